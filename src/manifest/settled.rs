//! The entries of `import`, `moved` and `resolutions`, one file at a time.

use super::attributes::read_type;
use super::document::{Entry, Node, Value};
use super::entry::read_name;
use super::names::At;
use super::report::Report;
use super::settlements::{Import, Move, Resolution, Said};
use super::syntax::shortened;
use super::validate::{Found, boolean, expected, fields, span_of, text};
use crate::diagnostic::{Diagnostic, Place, Span};
use crate::instance::{InstanceId, InstanceName};
use crate::state::AttemptId;

/// The keys of an entry of `import`.
pub(super) const IMPORT: [&str; 3] = ["name", "id", "type"];
/// The keys of an entry of `moved`.
pub(super) const MOVED: [&str; 2] = ["from", "to"];
/// The keys of an entry of `resolutions`.
pub(super) const RESOLUTION: [&str; 4] = ["name", "attempt", "created", NOT_CREATED];
const NOT_CREATED: &str = "not-created";

/// What an entry is called, and how one is written.
#[derive(Clone, Copy)]
struct Form {
    what: &'static str,
    example: &'static str,
}

const IMPORTS: Form = Form { what: "import", example: "- {name: old-desk, id: \"100234\", type: whatsapp}" };
const MOVES: Form = Form { what: "move", example: "- {from: support, to: support-eu}" };
const RESOLUTIONS: Form =
    Form { what: "resolution", example: "- {name: support-us, attempt: a-k3jx7q2mfa, created: \"100235\"}" };

/// What one file says.
pub(super) fn said([import, moved, resolutions]: [Found<'_, '_>; 3], report: &mut Report<'_>) -> Said {
    Said {
        imports: entries(import, (IMPORTS, IMPORT), report, read_import),
        moves: entries(moved, (MOVES, MOVED), report, read_move),
        resolutions: entries(resolutions, (RESOLUTIONS, RESOLUTION), report, read_resolution),
    }
}

/// One entry with its keys.
struct Item<'n, 'a, const N: usize> {
    node: &'n Node<'a>,
    form: Form,
    keys: [&'static str; N],
    found: [Found<'n, 'a>; N],
}

fn entries<'n, 'a, T, const N: usize>(
    found: Found<'n, 'a>,
    (form, keys): (Form, [&'static str; N]),
    report: &mut Report<'_>,
    read: fn(&Item<'n, 'a, N>, &mut Report<'_>) -> Option<(T, At)>,
) -> Vec<(T, At)> {
    let Some(entry) = found.entry() else { return Vec::new() };
    let help = format!("write `{}`", form.example);
    let Value::List(items) = &entry.value.value else {
        expected("a list", &entry.value, span_of(entry), &help, report);
        return Vec::new();
    };
    let mut all = Vec::new();
    for node in items {
        let Value::Mapping(entries) = &node.value else {
            let span = if node.span.is_empty() { entry.key.span } else { node.span };
            expected("a mapping", node, span, &help, report);
            continue;
        };
        let item = Item { node, form, keys, found: fields(entries, keys, report) };
        all.extend(read(&item, report));
    }
    all
}

impl<'n, 'a, const N: usize> Item<'n, 'a, N> {
    /// What stands under the key at `index`; that it is missing is reported.
    fn required(&self, index: usize, report: &mut Report<'_>) -> Option<&'n Entry<'a>> {
        let found = self.found.get(index).copied().unwrap_or(Found::Refused);
        if let Found::Missing = found {
            let key = self.keys.get(index).copied().unwrap_or_default();
            let missing = Diagnostic::error(&format!("this {} has no `{key}`", self.form.what)).at(self.node.span);
            report.push(missing.help(&format!("write `{}`", self.form.example)));
        }
        found.entry()
    }

    fn name(&self, index: usize, report: &mut Report<'_>) -> Option<(InstanceName, Span)> {
        let entry = self.required(index, report)?;
        let text = text(entry, &quoted(entry, "write a name, as `support-eu`"), report)?;
        let name = read_name(text).map_err(|problem| report.push(problem.at(span_of(entry)))).ok()?;
        Some((name, span_of(entry)))
    }
}

fn at(span: Span, report: &Report<'_>) -> (Place, At) {
    (report.place(span.start), At { order: report.order(), span })
}

fn read_import(item: &Item<'_, '_, 3>, report: &mut Report<'_>) -> Option<(Import, At)> {
    let name = item.name(0, report);
    let id = item.required(1, report).and_then(|entry| read_id(entry, report));
    let kind = item.required(2, report).and_then(|entry| {
        let text = text(entry, "write `whatsapp` or `whatsapp_dev`", report)?;
        read_type(text).map_err(|problem| report.push(problem.at(span_of(entry)))).ok()
    });
    let ((name, span), id, kind) = (name?, id?, kind?);
    let (place, at) = at(span, report);
    Some((Import { name, id, kind, place }, at))
}

fn read_move(item: &Item<'_, '_, 2>, report: &mut Report<'_>) -> Option<(Move, At)> {
    let (from, to) = (item.name(0, report), item.name(1, report));
    let ((from, span), (to, _)) = (from?, to?);
    let (place, at) = at(span, report);
    Some((Move { from, to, place }, at))
}

fn read_resolution(item: &Item<'_, '_, 4>, report: &mut Report<'_>) -> Option<(Resolution, At)> {
    let name = item.name(0, report);
    let attempt = item.required(1, report).and_then(|entry| read_attempt(entry, report));
    let [_, _, created, not_created] = item.found;
    let verdict = match (created, not_created) {
        (Found::Refused, _) | (_, Found::Refused) => None,
        (Found::Missing, Found::Missing) => {
            let neither = Diagnostic::error("this resolution says neither `created` nor `not-created`").at(item.node.span);
            report.push(neither.help("write `created: \"ID\"`, or `not-created: true`"));
            None
        }
        (Found::Missing, said) => said.entry().and_then(|entry| nothing_created(entry, report)).map(|()| None),
        (said, Found::Missing) => said.entry().and_then(|entry| read_id(entry, report)).map(Some),
        (_, said) => {
            let span = said.entry().map_or(item.node.span, |entry| entry.key.span);
            let both = Diagnostic::error("this resolution says both `created` and `not-created`").at(span);
            report.push(both.help("keep one of the two"));
            None
        }
    };
    let ((name, span), attempt, created) = (name?, attempt?, verdict?);
    let (place, at) = at(span, report);
    Some((Resolution { name, attempt, created, place }, at))
}

fn nothing_created(entry: &Entry<'_>, report: &mut Report<'_>) -> Option<()> {
    let is_said = boolean(entry, report)?;
    if !is_said {
        let only = Diagnostic::error("`not-created` can only be `true`").at(span_of(entry));
        report.push(only.help("if it was created, write `created: \"ID\"`; to leave it in doubt, take the entry out"));
    }
    is_said.then_some(())
}

fn read_id(entry: &Entry<'_>, report: &mut Report<'_>) -> Option<InstanceId> {
    let text = text(entry, &quoted(entry, "write the server's id, as \"100234\""), report)?;
    let read = InstanceId::parse(text);
    let wrong = |error: crate::instance::IdError| {
        let wrong = Diagnostic::error(&error.to_string()).at(span_of(entry));
        report.push(wrong.help("write the id that `chatapi import --discover` or `chatapi doubts --refresh` shows"));
    };
    read.map_err(wrong).ok()
}

fn read_attempt(entry: &Entry<'_>, report: &mut Report<'_>) -> Option<AttemptId> {
    let text = text(entry, "write the attempt, as `chatapi doubts` shows it", report)?;
    let wrong = |why: &str| {
        let wrong = Diagnostic::error(why).at(span_of(entry));
        report.push(wrong.help("write the attempt, as `chatapi doubts` shows it"));
    };
    AttemptId::try_from(text.to_owned()).map_err(wrong).ok()
}

/// What to write in the place of something that is no text.
fn quoted(entry: &Entry<'_>, otherwise: &str) -> String {
    match entry.value.text().filter(|text| entry.value.meaning().is_some() && !text.is_empty()) {
        Some(text) => format!("write it in quotes: \"{}\"", shortened(text)),
        None => otherwise.to_owned(),
    }
}
