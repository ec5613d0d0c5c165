//! What an instance has beside its name: type, labels, owner and protection; and `defaults`, which every instance of a file has.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::document::{Entry, Node, Value};
use super::pattern::Bound;
use super::report::Report;
use super::scope::{Local, Scope};
use super::secrets::Forbidden;
use super::syntax::shortened;
use super::validate::{Found, boolean, expected, fields, span_of, text, unknown_word};
use super::variables::Variables;
use crate::diagnostic::{Diagnostic, Span};
use crate::instance::InstanceType;
use crate::text::is_hidden;

/// The keys of `defaults`: all that an instance has beside what names it.
pub(super) const KEYS: [&str; 4] = ["type", "labels", "owner", "protect"];
/// Most labels of one instance.
pub(super) const LABELS_MAX: usize = 32;
/// Longest key of a label, in characters.
pub(super) const KEY_MAX: usize = 63;
/// Longest value of a label and longest owner, in bytes.
pub(super) const TEXT_MAX: usize = 256;

/// One attribute: the same for all instances of an entry, or made for each.
#[derive(Debug, Clone)]
pub(super) struct Each<T> {
    /// Where it is said.
    pub(super) span: Span,
    value: Made<T>,
    read: Reader<T>,
}

#[derive(Debug, Clone)]
enum Made<T> {
    Fixed(T),
    Bound(Bound),
}

/// What is wrong with an instance, and where that is said.
pub(super) type Wrong = (Box<Diagnostic>, Span);

/// What a text means, or what is wrong with it.
type Reader<T> = fn(&str) -> Result<T, Box<Diagnostic>>;

impl<T: Clone> Each<T> {
    pub(super) fn fixed(span: Span, value: T, read: Reader<T>) -> Self {
        Self { span, value: Made::Fixed(value), read }
    }

    /// The pattern `text` at `span`, which `read` understands once it is filled; what is wrong already is reported.
    pub(super) fn of((text, span): (&str, Span), scope: &Scope<'_>, read: Reader<T>, report: &mut Report<'_>) -> Option<Self> {
        let bound = scope.bind(text, span, report)?;
        let Some(fixed) = bound.fixed() else { return Some(Self { span, value: Made::Bound(bound), read }) };
        match read(fixed) {
            Ok(value) => Some(Self::fixed(span, value, read)),
            Err(problem) => {
                report.push(problem.at(span));
                None
            }
        }
    }

    /// The value, if it is the same for all.
    pub(super) fn same(&self) -> Option<&T> {
        match &self.value {
            Made::Fixed(value) => Some(value),
            Made::Bound(_) => None,
        }
    }

    /// The value for one instance.
    pub(super) fn make(&self, fill: &dyn Fn(&Bound) -> Result<String, Box<Diagnostic>>) -> Result<T, Wrong> {
        match &self.value {
            Made::Fixed(value) => Ok(value.clone()),
            Made::Bound(bound) => fill(bound).and_then(|text| (self.read)(&text)).map_err(|problem| (problem, self.span)),
        }
    }
}

/// Labels: those that are the same for all, and those that are made for each.
#[derive(Debug, Clone, Default)]
pub(super) struct Labels {
    same: Arc<BTreeMap<String, String>>,
    made: Vec<(String, Each<String>)>,
}

impl Labels {
    pub(super) fn make(
        &self,
        fill: &dyn Fn(&Bound) -> Result<String, Box<Diagnostic>>,
    ) -> Result<Arc<BTreeMap<String, String>>, Wrong> {
        if self.made.is_empty() {
            return Ok(Arc::clone(&self.same));
        }
        let mut labels = BTreeMap::clone(&self.same);
        for (key, value) in &self.made {
            labels.insert(key.clone(), value.make(fill)?);
        }
        Ok(Arc::new(labels))
    }

    /// What the labels of one instance take, in bytes, where they are its own.
    pub(super) fn weight(&self, labels: &BTreeMap<String, String>) -> usize {
        /// An allocated map with room for eleven, and the allocations of one entry.
        const MAP: usize = 600;
        const ENTRY: usize = 32;
        let texts = || labels.iter().map(|(key, value)| key.len() + value.len() + ENTRY).sum::<usize>();
        if self.made.is_empty() { 0 } else { MAP * labels.len().div_ceil(6) + texts() }
    }
}

/// All but the name.
#[derive(Debug, Clone, Default)]
pub(super) struct Attributes {
    pub(super) kind: Option<Each<InstanceType>>,
    pub(super) labels: Labels,
    pub(super) owner: Option<Each<String>>,
    pub(super) protect: Option<Each<bool>>,
    /// A type is said, right or wrong.
    pub(super) has_kind: bool,
}

impl Attributes {
    /// What `defaults` of a file says; only what is the same for all can stand there.
    pub(super) fn defaults(found: Found<'_, '_>, variables: &Variables, report: &mut Report<'_>) -> Self {
        let none = Self { has_kind: matches!(found, Found::Refused), ..Self::default() };
        let Some(entry) = found.entry() else { return none };
        let Value::Mapping(entries) = &entry.value.value else {
            let help = "write `defaults: {type: whatsapp}`, or leave it out";
            expected("a mapping", &entry.value, span_of(entry), help, report);
            return Self { has_kind: true, ..none };
        };
        let scope = Scope { variables, local: Local::Nothing };
        none.with(fields(entries, KEYS, report), &scope, report)
    }

    /// With what an entry says of its own.
    pub(super) fn with(
        &self,
        [kind, labels, owner, protect]: [Found<'_, '_>; 4],
        scope: &Scope<'_>,
        report: &mut Report<'_>,
    ) -> Self {
        let mut all = self.clone();
        if !matches!(kind, Found::Missing) {
            let said = |entry| text(entry, "write `whatsapp` or `whatsapp_dev`", report).map(|text| (text, span_of(entry)));
            let said = kind.entry().and_then(said);
            all.kind = said.and_then(|said| Each::of(said, scope, read_type, report));
            all.has_kind = true;
        }
        if let Some(entry) = owner.entry() {
            let said = text(entry, "write who it belongs to, as `owner: retail`", report);
            all.owner = said.and_then(|said| Each::of((said, span_of(entry)), scope, read_owner, report));
        }
        if let Some(entry) = protect.entry() {
            all.protect = protection(entry, scope, report);
        }
        if let Some(entry) = labels.entry() {
            all.labels = self.labels.with(entry, scope, report);
        }
        all
    }
}

impl Labels {
    fn with(&self, entry: &Entry<'_>, scope: &Scope<'_>, report: &mut Report<'_>) -> Self {
        let Value::Mapping(entries) = &entry.value.value else {
            expected("a mapping of labels", &entry.value, span_of(entry), "write `labels: {tier: gold}`", report);
            return self.clone();
        };
        let mut same = BTreeMap::clone(&self.same);
        let mut made: BTreeMap<String, Each<String>> = self.made.iter().cloned().collect();
        for Entry { key, value } in entries {
            let Some(name) = label_key(key, report) else { continue };
            let help =
                value.text().map_or("write a text".to_owned(), |text| format!("write it in quotes: \"{}\"", shortened(text)));
            let span = if value.span.is_empty() { key.span } else { value.span };
            let Some(text) = value.text().filter(|_| value.meaning().is_none()) else {
                expected("a text", value, span, &help, report);
                continue;
            };
            let Some(each) = Each::of((text, span), scope, read_label, report) else { continue };
            if let Some(fixed) = each.same() {
                made.remove(name);
                same.insert(name.to_owned(), fixed.clone());
            } else {
                same.remove(name);
                made.insert(name.to_owned(), each);
            }
        }
        if same.len() + made.len() > LABELS_MAX {
            report.push(Diagnostic::error(&format!("more than {LABELS_MAX} labels")).at(entry.key.span).help("leave some out"));
            return self.clone();
        }
        Self { same: Arc::new(same), made: made.into_iter().collect() }
    }
}

/// The key of a label; `=` stands between key and value where labels select.
fn label_key<'n>(key: &'n Node<'_>, report: &mut Report<'_>) -> Option<&'n str> {
    let text = key.text().filter(|text| *text != "<<" && Forbidden::of(text).is_none())?;
    if is_label_key(text) {
        return Some(text);
    }
    let wrong = Diagnostic::error(&format!("`{}` cannot be the key of a label", shortened(text))).at(key.span);
    let help = format!("use up to {KEY_MAX} letters, digits, `.`, `_`, `-` and `/`; begin with a letter or a digit");
    report.push(wrong.help(&help));
    None
}

fn is_label_key(text: &str) -> bool {
    let is_rest = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/');
    text.len() <= KEY_MAX && text.starts_with(|first: char| first.is_ascii_alphanumeric()) && text.bytes().all(is_rest)
}

pub(super) fn read_type(text: &str) -> Result<InstanceType, Box<Diagnostic>> {
    let known = InstanceType::ALL.map(InstanceType::as_str);
    text.parse().map_err(|_| Box::new(unknown_word("type", text, &known)))
}

fn read_label(text: &str) -> Result<String, Box<Diagnostic>> {
    plain(text, "the value of a label")
}

fn read_owner(text: &str) -> Result<String, Box<Diagnostic>> {
    if text.trim().is_empty() {
        return Err(Box::new(Diagnostic::error("an owner cannot be empty").help("say who it belongs to, or leave it out")));
    }
    plain(text, "an owner")
}

fn read_protect(text: &str) -> Result<bool, Box<Diagnostic>> {
    let wrong = || Box::new(Diagnostic::error("`true` or `false` is expected").help("that is what `protect` becomes here"));
    text.parse().map_err(|_| wrong())
}

/// A text that is shown and compared, and does nothing else.
fn plain(text: &str, what: &str) -> Result<String, Box<Diagnostic>> {
    let wrong = |summary: String, help: &str| Err(Box::new(Diagnostic::error(&summary).help(help)));
    if text.len() > TEXT_MAX {
        return wrong(format!("{what} has at most {TEXT_MAX} bytes, this one has {}", text.len()), "shorten it");
    }
    if let Some(odd) = text.chars().find(|character| is_hidden(*character)) {
        return wrong(format!("{what} cannot hold U+{:04X}, which nobody would see", u32::from(odd)), "take it out");
    }
    if text.contains(crate::seal::SECRET) {
        return wrong(format!("{what} is no place for a secret key"), "take it out, and make a new pair: it was shown to others");
    }
    Ok(text.to_owned())
}

fn protection(entry: &Entry<'_>, scope: &Scope<'_>, report: &mut Report<'_>) -> Option<Each<bool>> {
    let span = span_of(entry);
    match entry.value.text().filter(|text| text.contains('{')) {
        Some(text) => Each::of((text, span), scope, read_protect, report),
        None => boolean(entry, report).map(|value| Each::fixed(span, value, read_protect)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_labels_can_be_typed_before_an_equals_sign() {
        for key in ["team", "cost-centre", "example.com/tier", "A_1", "0"] {
            assert!(is_label_key(key), "{key}");
        }
        for key in ["", "-a", "a=b", "a b", "é", "a{n}", &"x".repeat(64)] {
            assert!(!is_label_key(key), "{key}");
        }
    }

    #[test]
    fn values_are_what_one_sees() {
        for (text, is_good) in [
            ("gold", true),
            ("", true),
            ("=1+1", true),
            ("Zürich, \"Altstadt\"", true),
            ("a\nb", false),
            ("a\u{202e}b", false),
            ("a\u{200b}b", false),
            (&"x".repeat(257), false),
            ("CHATAPI-SECRET-KEY1-X", false),
        ] {
            assert_eq!(read_label(text).is_ok(), is_good, "{text:?}");
        }
        assert!(read_owner(" ").is_err() && read_owner("ops").is_ok());
    }
}
