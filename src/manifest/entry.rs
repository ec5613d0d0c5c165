//! An entry of `instances`: one instance, or as many as `count` or `for_each` say.

use super::attributes::{Attributes, Each, Wrong};
use super::document::{Entry, Node, Value};
use super::names::{At, Candidate};
use super::pattern::Bound;
use super::repeat::{Ground, Repeat};
use super::report::Report;
use super::rows::too_many;
use super::scalar::Meaning;
use super::scope::{Scope, shown};
use super::table::Table;
use super::validate::{Found, expected, fields, span_of, text};
use crate::diagnostic::{Diagnostic, Place, Span};
use crate::instance::{InstanceName, NameError};

/// The keys of an instance.
pub(super) const KEYS: [&str; 8] = ["name", "type", "labels", "owner", "protect", "count", "except", "for_each"];

/// All entries of the list.
pub(super) fn candidates(
    entry: &Entry<'_>,
    defaults: &Attributes,
    ground: &mut Ground<'_, '_>,
    report: &mut Report<'_>,
) -> Vec<Candidate> {
    let Value::List(items) = &entry.value.value else {
        let help = match &entry.value.value {
            Value::Plain(text) if text.is_empty() => "write `instances: []` if none is wanted",
            _ => "write each instance as `- name: …` with its `type` below",
        };
        expected("a list", &entry.value, span_of(entry), help, report);
        return Vec::new();
    };
    let mut made = Vec::with_capacity(items.len());
    for item in items {
        candidate(item, (entry.key.span, defaults), ground, (report, &mut made));
    }
    made
}

fn candidate(
    item: &Node<'_>,
    (list, defaults): (Span, &Attributes),
    ground: &mut Ground<'_, '_>,
    (report, made): (&mut Report<'_>, &mut Vec<Candidate>),
) {
    let Value::Mapping(entries) = &item.value else {
        let help = match item.text() {
            Some(text) if InstanceName::parse(text).is_ok() => &format!("write `- name: {text}` and its `type` below"),
            _ => "write `- name: …` and its `type` below",
        };
        let span = if item.span.is_empty() && item.span.start.byte == 0 { list } else { item.span };
        expected("a mapping with `name` and `type`", item, span, help, report);
        return;
    };
    let [name, kind, labels, owner, protect, count, except, for_each] = fields(entries, KEYS, report);
    let repeat = Repeat::read([count, except, for_each], ground, report);
    let scope = Scope { variables: ground.variables, local: repeat.local() };
    let name = required(name, "name", item, report).and_then(|entry| instance_name(entry, &scope, report));
    let attributes = defaults.with([kind, labels, owner, protect], &scope, report);
    if !attributes.has_kind {
        required(kind, "type", item, report);
    }
    let Some(name) = name else { return };
    if let Some(fixed) = name.same()
        && repeat.len() > 1
    {
        report.push(alike(fixed, &repeat, name.span));
        return;
    }
    let template = Template { place: report.place(name.span.start), name, attributes };
    template.make(&repeat, ground, report, made);
}

/// Says that all instances of an entry would have one name.
fn alike(name: &InstanceName, repeat: &Repeat, span: Span) -> Diagnostic {
    let help = match repeat {
        Repeat::Rows(table) => {
            let column = table.columns().iter().find(|column| !column.is_empty()).map_or("key", String::as_str);
            format!("say in it what differs, as `{name}-{{{}}}`", shown(column))
        }
        _ => format!("put the number into it, as `{name}-{{n:03}}`"),
    };
    Diagnostic::error(&format!("all {} instances would have the name `{name}`", repeat.len())).at(span).help(&help)
}

pub(super) fn required<'n, 'a>(
    found: Found<'n, 'a>,
    key: &str,
    item: &Node<'_>,
    report: &mut Report<'_>,
) -> Option<&'n Entry<'a>> {
    match found {
        Found::Entry(entry) | Found::Misspelt(entry) => Some(entry),
        Found::Refused => None,
        Found::Missing => {
            let problem = Diagnostic::error(&format!("this instance has no `{key}`")).at(item.span);
            let help = if key == "name" { "add `name: …`" } else { "add `type: whatsapp` or `type: whatsapp_dev`" };
            report.push(problem.help(help));
            None
        }
    }
}

fn instance_name(entry: &Entry<'_>, scope: &Scope<'_>, report: &mut Report<'_>) -> Option<Each<InstanceName>> {
    let quoted =
        entry.value.text().filter(|text| InstanceName::parse(text).is_ok() && entry.value.meaning() != Some(Meaning::Null));
    let help =
        quoted.map_or("write a name, as in `name: support-eu`".to_owned(), |text| format!("write it in quotes: \"{text}\""));
    let text = text(entry, &help, report)?;
    Each::of((text, span_of(entry)), scope, read_name, report)
}

pub(super) fn read_name(text: &str) -> Result<InstanceName, Box<Diagnostic>> {
    InstanceName::parse(text).map_err(|error| {
        let help = match error {
            NameError::TooLong(_) => "shorten it",
            NameError::Reserved => "choose another name",
            _ => "use letters, digits, `.`, `_` and `-`; begin with a letter or a digit",
        };
        Box::new(Diagnostic::error(&error.to_string()).help(help))
    })
}

/// What the instances of an entry are made of.
struct Template {
    name: Each<InstanceName>,
    attributes: Attributes,
    place: Place,
}

/// One instance that is to be made.
#[derive(Clone, Copy)]
struct One<'t> {
    number: u64,
    row: Option<(&'t Table, usize)>,
}

impl One<'_> {
    fn fill(&self, bound: &Bound) -> Result<String, Box<Diagnostic>> {
        let cell = |column| self.row.and_then(|(table, row)| table.cell(row, column));
        bound.fill(self.number, cell).map_err(|column| {
            let name =
                self.row.and_then(|(table, _)| table.columns().get(column)).map_or_else(Default::default, |name| shown(name));
            Box::new(Diagnostic::error(&format!("this item has no `{name}`")).help("add it, or take `{…}` of that name out"))
        })
    }
}

impl Template {
    fn make(&self, repeat: &Repeat, ground: &mut Ground<'_, '_>, report: &mut Report<'_>, made: &mut Vec<Candidate>) {
        if !ground.limits.take(repeat.len()) {
            report.push(too_many(self.name.span));
            return;
        }
        made.reserve(repeat.len());
        match repeat {
            Repeat::Refused => {}
            Repeat::Once => drop(self.one(One { number: 0, row: None }, ground, report, made)),
            Repeat::Count { last, except } => {
                for number in (1..=*last).filter(|number| !except.contains(number)) {
                    // The others differ in the number only, and what is wrong is said.
                    if self.one(One { number, row: None }, ground, report, made).is_none() {
                        return;
                    }
                }
            }
            Repeat::Rows(table) => {
                for row in 0..table.len() {
                    self.one(One { number: 0, row: Some((table, row)) }, ground, report, made);
                }
            }
        }
    }

    fn one(&self, one: One<'_>, ground: &mut Ground<'_, '_>, report: &mut Report<'_>, made: &mut Vec<Candidate>) -> Option<()> {
        let is_full = ground.limits.is_full();
        match self.candidate(one, report) {
            Ok((candidate, weight)) => {
                ground.limits.made = ground.limits.made.saturating_sub(weight);
                if ground.limits.is_full() {
                    if !is_full {
                        let summary = format!("labels and owners take more than {} MiB", super::MADE_MAX >> 20);
                        report.push(Diagnostic::error(&summary).at(self.name.span).help("say the same of all, or less"));
                    }
                    return None;
                }
                made.push(candidate);
                Some(())
            }
            Err((problem, span)) => {
                self.tell(*problem, span, one, report);
                None
            }
        }
    }

    fn candidate(&self, one: One<'_>, report: &Report<'_>) -> Result<(Candidate, usize), Wrong> {
        let fill = |bound: &Bound| one.fill(bound);
        let Attributes { kind, labels, owner, protect, .. } = &self.attributes;
        let name = self.name.make(&fill)?;
        let kind = kind.as_ref().map(|kind| kind.make(&fill)).transpose()?;
        let owner = owner.as_ref().map(|owner| owner.make(&fill)).transpose()?;
        let is_protected = protect.as_ref().map(|protect| protect.make(&fill)).transpose()?.unwrap_or_default();
        let own = labels.make(&fill)?;
        let weight = labels.weight(&own) + owner.as_ref().map_or(0, String::len);
        let at = match one.row {
            Some((table, row)) => At { order: table.order, span: table.span(row).unwrap_or(self.name.span) },
            None => At { order: report.order(), span: self.name.span },
        };
        Ok((Candidate { name, kind, labels: own, owner, is_protected, place: self.place.clone(), at }, weight))
    }

    /// Reports what is wrong with one instance: where its row stands, or at the pattern.
    fn tell(&self, problem: Diagnostic, span: Span, one: One<'_>, report: &mut Report<'_>) {
        if let Some((table, row)) = one.row {
            let at = table.span(row).unwrap_or(span);
            report.push_in(&table.file, table.order, || problem.at(at).related("declared", self.place.clone()));
            return;
        }
        let summary = format!("with `{{n}}` as {}: {}", one.number, problem.summary());
        let told = Diagnostic::error(&summary).at(span);
        report.push(match problem.advice() {
            Some(help) => told.help(help),
            None => told,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_name_says_what_to_do() {
        for (text, help) in [("a/b", "use letters"), ("nul", "choose another"), (&"x".repeat(64), "shorten")] {
            assert!(read_name(text).unwrap_err().advice().unwrap().starts_with(help), "{text}");
        }
    }
}
