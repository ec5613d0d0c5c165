//! The rules of the format: which keys there are, what each holds, and what was probably meant where one is wrong.

use super::document::{Entry, Node, Value, is_merge_key};
use super::report::Report;
use super::scalar::Meaning;
use super::secrets::Forbidden;
use super::settlements::Said;
use super::syntax::{QUOTE_IT, shortened};
use super::{ProviderKind, VERSION, attributes, entry, prices, sealing, settled, variables};
use crate::diagnostic::{Diagnostic, Span};
use crate::price::Prices;
use crate::seal::Recipients;
use crate::text::closest;

/// Keys of the whole file and of `provider`.
const TOP: [&str; 10] =
    ["version", "provider", "prices", "seal_to", "variables", "defaults", INSTANCES, "import", "moved", "resolutions"];
const INSTANCES: &str = "instances";
const PROVIDER: [&str; 2] = ["kind", "exclusive"];

/// Where each key belongs, for one that stands elsewhere.
const HOMES: [(&[&str], &str); 9] = [
    (&TOP, "at the top of the file"),
    (&PROVIDER, "under `provider`"),
    (&entry::KEYS, "in an entry of `instances`"),
    (&attributes::KEYS, "in an entry of `instances`, or under `defaults`"),
    (&prices::KEYS, "under `prices`"),
    (&variables::KEYS, "in an entry of `variables`"),
    (&settled::IMPORT, "in an entry of `import`"),
    (&settled::MOVED, "in an entry of `moved`"),
    (&settled::RESOLUTION, "in an entry of `resolutions`"),
];

/// What `provider` says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) kind: ProviderKind,
    pub(super) exclusive: bool,
}

/// What one file says.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) provider: Option<(Settings, Span)>,
    pub(super) prices: Option<(Prices, Span)>,
    pub(super) seal_to: Option<(Recipients, Span)>,
    pub(super) settlements: Said,
}

/// What instances are made of: read once the variables of all files are known.
pub(super) struct Repeated<'n, 'a> {
    pub(super) variables: Found<'n, 'a>,
    pub(super) defaults: Found<'n, 'a>,
    pub(super) instances: Found<'n, 'a>,
}

/// Checks the tree of one file; what is right is in the result, what is wrong in `report`.
pub(super) fn content<'n, 'a>(root: &'n Node<'a>, report: &mut Report<'_>) -> (Content, Option<Repeated<'n, 'a>>) {
    let mut content = Content::default();
    let Value::Mapping(entries) = &root.value else {
        let help = match root.value {
            Value::List(_) => "write `instances:` above the list and indent the list",
            _ => "write `instances:`, and below it a list of `name` and `type`",
        };
        expected("a mapping with `instances`", root, root.span, help, report);
        return (content, None);
    };
    let [version, provider, prices, seal_to, variables, defaults, instances, import, moved, resolutions] =
        fields(entries, TOP, report);
    if let Some(entry) = version.entry() {
        check_version(entry, report);
    }
    if let Some(entry) = provider.entry() {
        content.provider = settings(entry, report).map(|settings| (settings, entry.key.span));
    }
    if let Some(entry) = prices.entry() {
        content.prices = prices::prices(entry, report).map(|prices| (prices, entry.key.span));
    }
    if let Some(entry) = seal_to.entry() {
        content.seal_to = sealing::recipients(entry, report).map(|recipients| (recipients, entry.key.span));
    }
    content.settlements = settled::said([import, moved, resolutions], report);
    if matches!(instances, Found::Missing) {
        let missing = Diagnostic::error("`instances` is missing").at(Span::at(root.span.start));
        report.push(missing.help("write `instances: []` if none is wanted"));
    }
    (content, Some(Repeated { variables, defaults, instances }))
}

/// A key that a mapping may have.
#[derive(Clone, Copy)]
pub(super) enum Found<'n, 'a> {
    Entry(&'n Entry<'a>),
    /// Not there, but something like it, which was reported. What stands under it is checked as if it were the right key.
    Misspelt(&'n Entry<'a>),
    /// Perhaps there: something was refused, and reported, that may have stood for it.
    Refused,
    Missing,
}

impl<'n, 'a> Found<'n, 'a> {
    /// What stands there, be it under another key.
    pub(super) fn entry(self) -> Option<&'n Entry<'a>> {
        match self {
            Self::Entry(entry) | Self::Misspelt(entry) => Some(entry),
            Self::Refused | Self::Missing => None,
        }
    }
}

/// The entries of the `known` keys; the first one where a key is there twice. All other keys are reported.
pub(super) fn fields<'n, 'a, const N: usize>(
    entries: &'n [Entry<'a>],
    known: [&'static str; N],
    report: &mut Report<'_>,
) -> [Found<'n, 'a>; N] {
    let mut found = [Found::Missing; N];
    for entry in entries {
        let Some(text) = entry.key.text().filter(|_| !is_merge_key(&entry.key)) else {
            // What was refused may have stood for any of them.
            found.iter_mut().filter(|place| matches!(place, Found::Missing)).for_each(|place| *place = Found::Refused);
            continue;
        };
        if let Some(place) = known.iter().position(|key| *key == text).and_then(|index| found.get_mut(index)) {
            if !matches!(place, Found::Entry(_)) {
                *place = Found::Entry(entry);
            }
        } else if Forbidden::of(text).is_none() {
            let is_only_list = stands_for_instances(entry, entries, &known);
            let meant = unknown(text, (entry, is_only_list), &known, report);
            if let Some(place @ Found::Missing) = meant.and_then(|index| found.get_mut(index)) {
                *place = Found::Misspelt(entry);
            }
        }
    }
    found
}

/// Whether `entry` is a list of mappings at the top of a file that has no `instances`: nothing else there is one.
fn stands_for_instances(entry: &Entry<'_>, entries: &[Entry<'_>], known: &[&str]) -> bool {
    let is_list = matches!(&entry.value.value, Value::List(items)
        if items.first().is_some_and(|item| matches!(item.value, Value::Mapping(_))));
    is_list && known.contains(&INSTANCES) && !entries.iter().any(|other| other.key.text() == Some(INSTANCES))
}

/// Reports an unknown key; returns which of the `known` ones was probably meant.
fn unknown(
    text: &str,
    (entry, is_only_list): (&Entry<'_>, bool),
    known: &[&'static str],
    report: &mut Report<'_>,
) -> Option<usize> {
    let mut meant = None;
    report.push_with(|_| {
        let home = HOMES.iter().find(|(keys, _)| keys.contains(&text));
        meant = match text {
            "kind" if known.contains(&"type") => Some("type"),
            _ => closest(&shortened(text), known.iter().copied()).or(is_only_list.then_some(INSTANCES)),
        };
        let help = match (meant, home) {
            (Some(meant), _) => did_you_mean(text, meant),
            (None, Some((_, place))) => format!("`{text}` belongs {place}"),
            (None, None) => format!("the keys here are {}", listed(known.iter().copied())),
        };
        Diagnostic::error(&format!("unknown key `{}`", shortened(text))).at(entry.key.span).help(&help)
    });
    known.iter().position(|key| Some(*key) == meant)
}

fn did_you_mean(text: &str, meant: &str) -> String {
    let hint = if text.is_ascii() { "" } else { " this one has a letter that looks like another, or one that does not show" };
    format!("did you mean `{meant}`?{hint}")
}

pub(super) fn listed<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let quoted: Vec<_> = texts.into_iter().map(|text| format!("`{text}`")).collect();
    quoted.split_last().map_or_else(String::new, |(last, rest)| {
        if rest.is_empty() { last.clone() } else { format!("{} and {last}", rest.join(", ")) }
    })
}

/// Reports that `node` is not what was `wanted`; nothing if it was reported before.
pub(super) fn expected(wanted: &str, node: &Node<'_>, span: Span, help: &str, report: &mut Report<'_>) {
    if !matches!(node.value, Value::Refused) {
        let problem = Diagnostic::error(&format!("{wanted} is expected, and this is {}", node.describe())).at(span);
        report.push(problem.help(if node.is_placeholder() { QUOTE_IT } else { help }));
    }
}

/// Where to point at for a value: at its key if nothing stands there.
pub(super) fn span_of(entry: &Entry<'_>) -> Span {
    if entry.value.span.is_empty() { entry.key.span } else { entry.value.span }
}

pub(super) fn check_version(entry: &Entry<'_>, report: &mut Report<'_>) {
    match &entry.value.value {
        Value::Plain(text) if *text == VERSION.to_string() => {}
        Value::Plain(text) if entry.value.meaning() == Some(Meaning::Number) => {
            let problem = Diagnostic::error(&format!("unknown version `{}`", shortened(text))).at(span_of(entry));
            report.push(problem.help(&format!("this program reads `version: {VERSION}`")));
        }
        _ => expected("a number", &entry.value, span_of(entry), &format!("write `version: {VERSION}`"), report),
    }
}

fn settings(entry: &Entry<'_>, report: &mut Report<'_>) -> Option<Settings> {
    let Value::Mapping(entries) = &entry.value.value else {
        // The kind that was written, if it is one: the other may cost money.
        let typed = ProviderKind::ALL.into_iter().find(|kind| entry.value.text() == Some(kind.as_str())).unwrap_or_default();
        let help = format!("write `provider: {{kind: {typed}}}`");
        expected("a mapping with `kind`", &entry.value, span_of(entry), &help, report);
        return None;
    };
    let [kind, exclusive] = fields(entries, PROVIDER, report);
    let kind = match kind {
        Found::Entry(entry) | Found::Misspelt(entry) => provider_kind(entry, report)?,
        Found::Refused => return None,
        Found::Missing => ProviderKind::default(),
    };
    let exclusive = match exclusive {
        Found::Entry(entry) | Found::Misspelt(entry) => boolean(entry, report)?,
        Found::Refused | Found::Missing => false,
    };
    Some(Settings { kind, exclusive })
}

fn provider_kind(entry: &Entry<'_>, report: &mut Report<'_>) -> Option<ProviderKind> {
    let known = ProviderKind::ALL.map(ProviderKind::as_str);
    let text = text(entry, &format!("write {}", known.map(|kind| format!("`{kind}`")).join(" or ")), report)?;
    let found = ProviderKind::ALL.into_iter().find(|kind| kind.as_str() == text);
    if found.is_none() {
        not_one_of("provider", text, &known, span_of(entry), report);
    }
    found
}

/// A boolean, in one of its two spellings.
pub(super) fn boolean(entry: &Entry<'_>, report: &mut Report<'_>) -> Option<bool> {
    match &entry.value.value {
        Value::Plain(text) if text == "true" => Some(true),
        Value::Plain(text) if text == "false" => Some(false),
        Value::Refused => None,
        _ => {
            let problem = Diagnostic::error("`true` or `false` is expected").at(span_of(entry));
            report.push(problem.help("write `true` or `false`, in lower case and without quotes"));
            None
        }
    }
}

/// The text of a value, if every reader of YAML takes it for text.
pub(super) fn text<'n>(entry: &'n Entry<'_>, help: &str, report: &mut Report<'_>) -> Option<&'n str> {
    let text = entry.value.text().filter(|_| entry.value.meaning().is_none());
    if text.is_none() {
        expected("a text", &entry.value, span_of(entry), help, report);
    }
    text
}

/// Reports a word that is none of the `known` ones.
pub(super) fn not_one_of(what: &str, text: &str, known: &[&str], span: Span, report: &mut Report<'_>) {
    report.push(unknown_word(what, text, known).at(span));
}

/// Says that a word is none of the `known` ones, and which one was probably meant.
pub(super) fn unknown_word(what: &str, text: &str, known: &[&str]) -> Diagnostic {
    let help = closest(&shortened(text), known.iter().copied())
        .map_or_else(|| format!("known are {}", listed(known.iter().copied())), |meant| did_you_mean(text, meant));
    Diagnostic::error(&format!("unknown {what} `{}`", shortened(text))).help(&help)
}
