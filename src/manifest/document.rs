//! One YAML file as a tree in which every node knows its place.
//!
//! The tree is built from the events of the engine under `serde_yaml`, not through `Deserialize`: a typed mirror stops at the
//! first problem, does not tell `012` from `"012"`, resolves aliases and drops tags; and this is twice as fast. What YAML offers
//! and a manifest never needs (anchors, aliases, merge keys, tags, directives, several documents) is refused here, in place.
//! Nothing is ever expanded, so the work grows with the size of the text and with nothing else.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_yaml::granit_parser::{self, ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, StrInput};

use super::encoding::Text;
use super::report::Report;
use super::scalar::{self, Meaning};
use super::secrets::Forbidden;
use super::syntax;
use crate::diagnostic::{Diagnostic, Position, Span};

/// Deepest nesting of lists and mappings.
pub const DEPTH_MAX: usize = 32;

/// Mappings with more keys than this look their duplicates up in a table.
const FEW_KEYS: usize = 8;

/// A node and where it stands.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) span: Span,
    pub(super) value: Value<'a>,
}

/// What a node is.
#[derive(Debug)]
pub(super) enum Value<'a> {
    /// A scalar without quotes: what it means is to be asked ([`scalar::meaning`]).
    Plain(Cow<'a, str>),
    /// A scalar in quotes, or a block of text.
    Quoted(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Mapping(Vec<Entry<'a>>),
    /// Something that was refused and reported; whoever meets it says nothing more.
    Refused,
}

/// A key with its value.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) key: Node<'a>,
    pub(super) value: Node<'a>,
}

impl Node<'_> {
    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Plain(text) | Value::Quoted(text) => Some(text),
            _ => None,
        }
    }

    /// What a plain scalar means, where that is not text.
    pub(super) fn meaning(&self) -> Option<Meaning> {
        match &self.value {
            Value::Plain(text) => scalar::meaning(text),
            _ => None,
        }
    }

    /// Whether it may be meant as a placeholder.
    pub(super) fn is_placeholder(&self) -> bool {
        matches!(&self.value, Value::Mapping(entries) if is_placeholder(entries))
    }

    /// What was found, for messages.
    pub(super) fn describe(&self) -> &'static str {
        match &self.value {
            Value::Plain(_) => self.meaning().map_or("a text", Meaning::describe),
            Value::Quoted(_) => "a text",
            Value::List(_) => "a list",
            Value::Mapping(_) => "a mapping",
            Value::Refused => "something else",
        }
    }
}

/// The engine stopped, or a limit was reached; the reason has been reported.
struct Stop;

/// Reads `text`. All problems go to `report`; the tree is there if the text could be read to its end and holds something.
pub(super) fn read<'a>(text: Text<'a>, nodes_left: &mut usize, report: &mut Report<'_>) -> Option<Node<'a>> {
    let options = granit_parser::options! {
        disallow_directives: true,
        emit_unresolved_aliases: true,
        emit_anchor_events: true,
        emit_comments: false,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    let base = text.whole.len() - text.content.len();
    let parser = Parser::new_from_str_with_options(text.content, options);
    let mut reader = Reader { parser, text: text.content, base, nodes_left, report };
    let root = reader.document().ok()?;
    reader.report.complete();
    if root.is_none() {
        let empty = Diagnostic::error("the file declares nothing").at(Span::at(Position::START));
        reader.report.push(empty.help("write at least `instances: []`"));
    }
    root
}

struct Reader<'a, 'r, 'p> {
    parser: Parser<'a, StrInput<'a>>,
    text: &'a str,
    base: usize,
    nodes_left: &'r mut usize,
    report: &'r mut Report<'p>,
}

impl<'a> Reader<'a, '_, '_> {
    /// The only document of the stream; nothing if there is none.
    fn document(&mut self) -> Result<Option<Node<'a>>, Stop> {
        let mut root = None;
        while let Some((event, span)) = self.next()? {
            match event {
                Event::DocumentStart(..) if root.is_some() => {
                    self.report
                        .push(Diagnostic::error("a second document begins here").at(span).help("make it a file of its own"));
                    return Err(Stop);
                }
                Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => {}
                first => root = Some(self.node(first, span, 0)?),
            }
        }
        Ok(root.filter(|node| node.meaning() != Some(Meaning::Null)))
    }

    /// The next event; anchors are reported on the way.
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Stop> {
        loop {
            let Some(next) = self.parser.next_event() else { return Ok(None) };
            let (event, span) = next.map_err(|error| self.stop(&error))?;
            let here = self.span(&span);
            if matches!(event, Event::Anchor(..)) {
                self.report.push_with(|_| syntax::anchor(here));
                continue;
            }
            if event.tag().is_some() {
                let tag = span.tag_span().map_or(here, |tag| self.span(&tag));
                self.report.push_with(|_| syntax::tag(tag));
            }
            return Ok(Some((event, here)));
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node<'a>, Stop> {
        let Some(left) = self.nodes_left.checked_sub(1) else {
            self.report.push(syntax::too_many(span));
            return Err(Stop);
        };
        *self.nodes_left = left;
        if depth > DEPTH_MAX {
            self.report.push(syntax::too_deep(span));
            return Err(Stop);
        }
        let mut end = span.end;
        let value = match event {
            Event::Scalar(_, _, _, Some(_)) => Value::Refused,
            // The engine gives an absent value as `~`, with nothing in the text.
            Event::Scalar(_, ScalarStyle::Plain, ..) if span.is_empty() => Value::Plain(Cow::Borrowed("")),
            Event::Scalar(text, ScalarStyle::Plain, ..) => Value::Plain(text),
            Event::Scalar(text, ..) => Value::Quoted(text),
            Event::SequenceStart(..) => self.list(depth, &mut end)?,
            Event::MappingStart(..) => self.mapping(depth, &mut end)?,
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.report.push_with(|_| syntax::alias(span));
                Value::Refused
            }
            _ => Value::Refused,
        };
        Ok(Node { span: Span { end, ..span }, value })
    }

    fn list(&mut self, depth: usize, end: &mut Position) -> Result<Value<'a>, Stop> {
        let mut items = Vec::new();
        while let Some((event, span)) = self.next()? {
            *end = span.end;
            if matches!(event, Event::SequenceEnd) {
                break;
            }
            items.push(self.node(event, span, depth + 1)?);
        }
        Ok(Value::List(items))
    }

    fn mapping(&mut self, depth: usize, end: &mut Position) -> Result<Value<'a>, Stop> {
        let mut entries = Vec::new();
        while let Some((event, span)) = self.next()? {
            *end = span.end;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = self.node(event, span, depth + 1)?;
            let Some((event, span)) = self.next()? else { break };
            let value = self.node(event, span, depth + 1)?;
            entries.push(Entry { key, value });
        }
        check_keys(&entries, self.report);
        Ok(Value::Mapping(entries))
    }

    fn stop(&mut self, error: &ScanError) -> Stop {
        let span = Span::at(self.position(error.marker()));
        let problem = match error.kind() {
            ErrorKind::RecursionLimitExceeded => syntax::too_deep(span),
            kind if syntax::is_tab(kind) => syntax::refused(kind, self.tab_near(span)),
            _ if syntax::breaks_a_pattern(self.text, span.start.byte as usize - self.base) => syntax::unquoted(span),
            kind => syntax::refused(kind, span),
        };
        self.report.push(problem);
        Stop
    }

    /// The tab that the engine refused at `span`: it often points behind it, or at the end of the line above.
    fn tab_near(&self, span: Span) -> Span {
        let offset = span.start.byte as usize - self.base;
        let line_start = self.text.get(..offset).and_then(|before| before.rfind('\n')).map_or(0, |feed| feed + 1);
        let lines = self.text.get(line_start..).unwrap_or_default().split_inclusive('\n');
        let mut start = line_start;
        for (line, number) in lines.zip(span.start.line..) {
            let indentation = line.len() - line.trim_start_matches([' ', '\t']).len();
            let is_blank = line.trim().is_empty();
            // Behind a dash or a colon it can stand where the engine points, on the first of these lines only.
            let from = if start == line_start { offset.saturating_sub(start + 1) } else { 0 };
            let indent = line.get(..indentation).and_then(|indent| indent.find('\t')).filter(|_| !is_blank);
            let here =
                || line.get(from..)?.find('\t').filter(|found| start == line_start && *found <= 1).map(|found| from + found);
            if let Some(at) = indent.or_else(here) {
                return self.one(number, (start, at));
            }
            start += line.len();
        }
        span
    }

    /// The one character that stands `at` bytes behind the `start` of line `number`.
    fn one(&self, number: u32, (start, at): (usize, usize)) -> Span {
        let characters = self.text.get(start..start + at).map_or(at, |before| before.chars().count());
        let position = |column: usize, byte: usize| Position {
            line: number,
            column: u32::try_from(column).unwrap_or(u32::MAX),
            byte: u32::try_from(self.base + byte).unwrap_or(u32::MAX),
        };
        Span { start: position(characters + 1, start + at), end: position(characters + 2, start + at + 1) }
    }

    fn span(&self, span: &granit_parser::Span) -> Span {
        Span { start: self.position(&span.start), end: self.position(&span.end) }
    }

    fn position(&self, marker: &Marker) -> Position {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let byte = self.base + marker.byte_offset().unwrap_or_else(|| marker.index());
        Position { line: number(marker.line()), column: number(marker.col() + 1), byte: number(byte) }
    }
}

/// The rules for the keys of any mapping: a text, once, no merge key, nothing that belongs outside of a manifest.
fn check_keys(entries: &[Entry<'_>], report: &mut Report<'_>) {
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for (index, Entry { key, value }) in entries.iter().enumerate() {
        let Some(text) = key.text() else {
            if !matches!(key.value, Value::Refused) {
                let found = format!("a key is a text, and this is {}", key.describe());
                report.push(Diagnostic::error(&found).at(key.span));
            }
            continue;
        };
        if is_merge_key(key) {
            report.push(syntax::merge_key(key.span));
        } else if let Some(forbidden) = Forbidden::of(text) {
            report.hide(value.span);
            report.push_with(|_| {
                let summary = format!("`{}` {}", syntax::shortened(text), forbidden.why());
                let help = if is_placeholder(entries) { syntax::QUOTE_IT } else { forbidden.help() };
                Diagnostic::error(&summary).at(key.span).help(help)
            });
        }
        let earlier = if entries.len() > FEW_KEYS {
            seen.insert(text, key.span)
        } else {
            entries.iter().take(index).find(|earlier| earlier.key.text() == Some(text)).map(|earlier| earlier.key.span)
        };
        if let Some(earlier) = earlier {
            report.push_with(|report| {
                let duplicate = Diagnostic::error(&format!("duplicate key `{}`", syntax::shortened(text))).at(key.span);
                duplicate.related("first used", report.place(earlier.start)).help("keep one of the two")
            });
        }
    }
}

/// Whether this is `{key}`: without quotes a placeholder is a mapping.
fn is_placeholder(entries: &[Entry<'_>]) -> bool {
    matches!(entries, [entry] if entry.value.span.is_empty())
}

/// Whether `key` would merge another mapping into this one.
pub(super) fn is_merge_key(key: &Node<'_>) -> bool {
    matches!(&key.value, Value::Plain(text) if text == "<<")
}
