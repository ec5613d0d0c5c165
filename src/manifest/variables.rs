//! `variables`: values that one manifest has in several places, declared with their type and given from outside.
//!
//! Whoever reads the manifest sees which there are. A value is text that is put in where `{var.NAME}` stands, and nothing more; it
//! is no secret: it stands in saved plans and in messages.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;
use std::sync::Arc;

use super::confidential::Confidential;
use super::document::{Entry, Node, Value};
use super::report::{Page, Report};
use super::scalar::Meaning;
use super::secrets::Forbidden;
use super::source::Source;
use super::syntax::shortened;
use super::validate::{Found, boolean, expected, fields, listed, not_one_of, span_of, text};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Span};
use crate::text::{closest, is_hidden};

/// The keys of one variable.
pub(super) const KEYS: [&str; 2] = ["type", "default"];
/// Longest name of a variable.
pub(super) const NAME_MAX: usize = 40;
/// Longest value, in bytes.
pub(super) const VALUE_MAX: usize = 256;

const HELP: &str = "write `NAME: {type: text, default: eu}`; the types are `text`, `number` and `boolean`";

/// What a variable holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Boolean,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Text, Self::Number, Self::Boolean];

    /// The word in a manifest.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }

    /// Whether `text` is one.
    fn admits(self, text: &str) -> bool {
        match self {
            Self::Text => text.len() <= VALUE_MAX && !text.contains(is_hidden) && !text.contains(crate::seal::SECRET),
            Self::Number => text.parse::<i64>().is_ok_and(|number| number.to_string() == text),
            Self::Boolean => matches!(text, "true" | "false"),
        }
    }

    /// Says that `what` gives something else.
    fn refused(self, what: &str) -> Diagnostic {
        Diagnostic::error(&format!("a {} is expected from `{what}`", self.as_str())).help(self.help())
    }

    /// What it looks like.
    fn help(self) -> &'static str {
        match self {
            Self::Text => "a text has at most 256 bytes, and nothing in it that nobody would see",
            Self::Number => "a number is written in digits, as `20`, without zeros in front",
            Self::Boolean => "write `true` or `false`",
        }
    }
}

/// Values from outside, the strongest first.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// Name and value, as typed.
    pub flags: Vec<(String, String)>,
    /// Files of values: YAML mappings.
    pub files: Vec<Source>,
    /// By the variable's name; what is not declared is not looked at.
    pub environment: BTreeMap<String, String>,
    /// What no value and no file may hold.
    pub confidential: Confidential,
}

impl Given {
    /// All values, as they were once.
    pub fn exactly(values: &BTreeMap<String, String>) -> Self {
        Self { flags: values.clone().into_iter().collect(), ..Self::default() }
    }
}

/// A variable as it is declared.
#[derive(Debug)]
struct Declared {
    kind: Kind,
    default: Option<String>,
    order: usize,
    file: Arc<str>,
    span: Span,
}

/// What a variable holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held<'v> {
    Value(&'v str),
    /// It is wrong, or may be declared where nobody could read, and that is reported.
    Refused,
    /// There is none of that name.
    Nothing,
}

/// The variables of all files.
#[derive(Debug, Default)]
pub(super) struct Variables {
    declared: BTreeMap<String, Declared>,
    /// Nothing where a value was refused, which is reported.
    values: BTreeMap<String, Option<String>>,
    /// Some were refused: nobody knows which there are.
    pub(super) is_partial: bool,
}

impl Variables {
    /// Reads the declarations of one file.
    pub(super) fn declare(&mut self, found: Found<'_, '_>, report: &mut Report<'_>) {
        let Some(entry) = found.entry() else {
            self.is_partial |= matches!(found, Found::Refused);
            return;
        };
        let Value::Mapping(entries) = &entry.value.value else {
            expected("a mapping of variables", &entry.value, span_of(entry), HELP, report);
            self.is_partial = true;
            return;
        };
        for entry in entries {
            let Some(name) = entry.key.text() else {
                self.is_partial = true;
                continue;
            };
            if !is_name(name) {
                let wrong = format!("`{}` cannot be the name of a variable", shortened(name));
                let help = format!("use up to {NAME_MAX} of a to z, 0 to 9 and `_`; begin with a letter");
                report.push(Diagnostic::error(&wrong).at(entry.key.span).help(&help));
                self.is_partial = true;
                continue;
            }
            match declared(entry, report) {
                Some(declared) => self.add(name, declared, report),
                None => self.is_partial = true,
            }
        }
    }

    fn add(&mut self, name: &str, declared: Declared, report: &mut Report<'_>) {
        match self.declared.entry(name.to_owned()) {
            MapEntry::Vacant(free) => drop(free.insert(declared)),
            MapEntry::Occupied(first) => {
                let first = first.get();
                // Twice in one file is a duplicate key.
                if first.order != declared.order && (first.kind, &first.default) != (declared.kind, &declared.default) {
                    let differs = Diagnostic::error(&format!("the variable `{name}` differs from the one in another file"));
                    let place = Place { file: first.file.clone(), position: first.span.start };
                    report.push(differs.at(declared.span).related("first declared", place).help("declare it in one file only"));
                }
            }
        }
    }

    /// Gives every variable its value. The files of values come as trees with their pages.
    pub(super) fn resolve(&mut self, given: &Given, files: (&[Option<Node<'_>>], &mut [Page]), problems: &mut Diagnostics) {
        let mut values = BTreeMap::new();
        for (name, text) in &given.flags {
            if given.confidential.finds(name) || given.confidential.finds(text) {
                problems.push(with_key("a value of `--var`"));
                values.insert(name.clone(), None);
            } else {
                self.flag(name, text, &mut values, problems);
            }
        }
        let mut written = BTreeMap::new();
        for (root, page) in files.0.iter().zip(files.1) {
            if let Some(root) = root {
                self.file(root, &mut written, &mut Report::new(page, problems));
            }
        }
        for (name, value) in written {
            values.entry(name).or_insert(value);
        }
        for (name, declared) in &self.declared {
            if !values.contains_key(name) {
                let value = declared.otherwise(name, given, problems);
                values.insert(name.clone(), value);
            }
        }
        self.values = values;
    }

    fn flag(&self, name: &str, text: &str, values: &mut BTreeMap<String, Option<String>>, problems: &mut Diagnostics) {
        let flag = format!("--var {}", shortened(name));
        let problem = match self.declared.get(name) {
            None if self.is_partial => None,
            None => Some(self.undeclared(&flag, name)),
            Some(declared) if !declared.kind.admits(text) => Some(declared.kind.refused(&flag)),
            Some(_) if values.contains_key(name) => Some(Diagnostic::error(&format!("`{flag}` is given twice"))),
            Some(_) => None,
        };
        let value = problem.is_none().then(|| text.to_owned());
        if let Some(problem) = problem {
            problems.push(problem);
        }
        values.insert(name.to_owned(), value);
    }

    fn file(&self, root: &Node<'_>, values: &mut BTreeMap<String, Option<String>>, report: &mut Report<'_>) {
        let Value::Mapping(entries) = &root.value else {
            expected("a mapping of variables to values", root, root.span, "write `NAME: value`", report);
            return;
        };
        for entry in entries {
            let Some(name) = entry.key.text() else { continue };
            let Some(declared) = self.declared.get(name) else {
                if Forbidden::of(name).is_none() && !self.is_partial {
                    report.push(self.undeclared(name, name).at(entry.key.span));
                }
                continue;
            };
            let value = scalar(entry, declared.kind, report);
            if values.insert(name.to_owned(), value).is_some() {
                let twice = Diagnostic::error(&format!("`{name}` stands in two of the files of variables"));
                report.push(twice.at(entry.key.span).help("say it once; `--var` goes before the files"));
            }
        }
    }

    fn undeclared(&self, shown: &str, name: &str) -> Diagnostic {
        let near = closest(name, self.declared.keys().map(String::as_str));
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.declared.is_empty() => "declare it under `variables` in the manifest".to_owned(),
            None => format!("declared are {}", listed(self.declared.keys().map(String::as_str))),
        };
        Diagnostic::error(&format!("`{}` is no variable of the manifest", shortened(shown))).help(&help)
    }

    /// What a variable holds.
    pub(super) fn get(&self, name: &str) -> Held<'_> {
        match self.values.get(name).filter(|_| self.declared.contains_key(name)) {
            Some(Some(value)) => Held::Value(value),
            Some(None) => Held::Refused,
            None if self.is_partial => Held::Refused,
            None => Held::Nothing,
        }
    }

    /// Whether `name` holds a number.
    pub(super) fn is_number(&self, name: &str) -> bool {
        self.declared.get(name).is_none_or(|declared| declared.kind == Kind::Number)
    }

    /// Their names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.declared.keys().map(String::as_str)
    }

    /// All values, once none was refused.
    pub(super) fn into_values(self) -> BTreeMap<String, String> {
        self.values.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl Declared {
    /// What it holds where neither a flag nor a file says it.
    fn otherwise(&self, name: &str, given: &Given, problems: &mut Diagnostics) -> Option<String> {
        let variable = format!("CHATAPI_VAR_{}", name.to_ascii_uppercase());
        let said = given.environment.get(name);
        // CI systems set what nobody has defined to the empty text.
        let problem = match (said.filter(|text| !text.is_empty()), &self.default) {
            (Some(text), _) if given.confidential.finds(text) => with_key(&variable),
            (Some(text), _) if self.kind.admits(text) => return Some(text.clone()),
            (Some(_), _) => self.kind.refused(&variable),
            (None, Some(default)) => return Some(default.clone()),
            (None, None) => {
                let is_empty = if said.is_some() { format!(": {variable} is empty") } else { String::new() };
                Diagnostic::error(&format!("the variable `{name}` has no value{is_empty}"))
                    .help(&format!("say `--var {name}=…`, set {variable}, or declare a `default`"))
            }
        };
        problems.push(problem.at(self.span).in_file(&self.file, self.order));
        None
    }
}

/// A value becomes a name or a label: it would be shown, and sent.
fn with_key(what: &str) -> Diagnostic {
    Diagnostic::error(&format!("{what} holds the API key, and is not shown"))
        .help("say another value: it stands in names, plans and messages")
}

fn declared(entry: &Entry<'_>, report: &mut Report<'_>) -> Option<Declared> {
    let Value::Mapping(entries) = &entry.value.value else {
        expected("a mapping with `type`", &entry.value, span_of(entry), HELP, report);
        return None;
    };
    let [kind, default] = fields(entries, KEYS, report);
    let kind = match kind {
        Found::Entry(entry) | Found::Misspelt(entry) => kind_of(entry, report)?,
        Found::Refused => return None,
        Found::Missing => {
            report.push(Diagnostic::error("this variable has no `type`").at(entry.key.span).help(HELP));
            return None;
        }
    };
    let default = match default.entry() {
        Some(entry) => Some(scalar(entry, kind, report)?),
        None => None,
    };
    Some(Declared { kind, default, order: report.order(), file: report.file().clone(), span: entry.key.span })
}

fn kind_of(entry: &Entry<'_>, report: &mut Report<'_>) -> Option<Kind> {
    let text = text(entry, HELP, report)?;
    let found = Kind::ALL.into_iter().find(|kind| kind.as_str() == text);
    if found.is_none() {
        not_one_of("type of variable", text, &Kind::ALL.map(Kind::as_str), span_of(entry), report);
    }
    found
}

/// A value of this kind, as it stands in YAML.
fn scalar(entry: &Entry<'_>, kind: Kind, report: &mut Report<'_>) -> Option<String> {
    let value = match kind {
        Kind::Text => {
            let quoted = entry.value.text().map(|text| format!("write it in quotes: \"{}\"", shortened(text)));
            text(entry, quoted.as_deref().unwrap_or("write a text"), report)?
        }
        Kind::Boolean => return boolean(entry, report).map(|value| value.to_string()),
        Kind::Number if entry.value.meaning() == Some(Meaning::Number) => entry.value.text()?,
        Kind::Number => {
            expected("a number", &entry.value, span_of(entry), kind.help(), report);
            return None;
        }
    };
    if !kind.admits(value) {
        report.push(kind.refused(entry.key.text().unwrap_or_default()).at(span_of(entry)));
        return None;
    }
    Some(value.to_owned())
}

fn is_name(text: &str) -> bool {
    let is_rest = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    text.len() <= NAME_MAX && text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(is_rest)
}
