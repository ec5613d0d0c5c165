//! `count`, `except` and `for_each`: how many instances an entry makes, and what differs between them.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use super::document::{Entry, Node, Value};
use super::items::{self, Notation};
use super::report::{Page, Report};
use super::rows::{self, Format, Left};
use super::scalar::Meaning;
use super::scope::{self, Local, Scope};
use super::source::Source;
use super::syntax::shortened;
use super::table::Table;
use super::validate::{Found, expected, span_of};
use super::variables::Variables;
use super::{INSTANCES_MAX, Limits, beside};
use crate::diagnostic::{Diagnostic, Span};

/// What the entries of one file may use.
pub(super) struct Ground<'g, 's> {
    pub(super) variables: &'g Variables,
    pub(super) source: &'s Source,
    pub(super) limits: &'g mut Limits,
    /// The files that were read for this one, by the name that it gives them; nothing where one is wrong.
    pub(super) tables: HashMap<String, Option<Rc<Table>>>,
    /// The pages of all such files, which come behind those of all others.
    pub(super) pages: &'g mut Vec<(Page, Option<&'s str>)>,
    /// The rank of the first of them.
    pub(super) first: usize,
}

/// How many instances an entry makes.
#[derive(Debug)]
pub(super) enum Repeat {
    /// One.
    Once,
    /// From 1 to `last`, without some.
    Count { last: u64, except: BTreeSet<u64> },
    /// One for each row.
    Rows(Rc<Table>),
    /// Nobody knows, and that is reported.
    Refused,
}

impl Repeat {
    /// What placeholders may name.
    pub(super) fn local(&self) -> Local<'_> {
        match self {
            Self::Once => Local::Nothing,
            Self::Count { .. } => Local::Number,
            Self::Rows(table) => Local::Row(table),
            Self::Refused => Local::Refused,
        }
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Once => 1,
            Self::Count { last, except } => usize::try_from(*last).unwrap_or(usize::MAX) - except.len(),
            Self::Rows(table) => table.len(),
            Self::Refused => 0,
        }
    }

    /// What an entry says.
    pub(super) fn read(
        [count, except, for_each]: [Found<'_, '_>; 3],
        ground: &mut Ground<'_, '_>,
        report: &mut Report<'_>,
    ) -> Self {
        if let (Some(_), Some(second)) = (count.entry(), for_each.entry()) {
            let both = Diagnostic::error("`count` and `for_each` cannot stand together").at(second.key.span);
            report.push(both.help("make two entries of it, or put the numbers into the list"));
            return Self::Refused;
        }
        if let (None, Some(entry)) = (count.entry(), except.entry()) {
            let alone = Diagnostic::error("`except` goes with `count`").at(entry.key.span);
            report.push(alone.help("take the item out of the list instead: the others keep their names"));
        }
        match (count, for_each) {
            (Found::Entry(entry) | Found::Misspelt(entry), _) => {
                Self::count(entry, except, ground, report).unwrap_or(Self::Refused)
            }
            (_, Found::Entry(entry) | Found::Misspelt(entry)) => match for_each_of(entry, ground, report) {
                Some(table) => Self::Rows(table),
                None => Self::Refused,
            },
            (Found::Refused, _) | (_, Found::Refused) => Self::Refused,
            (Found::Missing, Found::Missing) => Self::Once,
        }
    }

    fn count(entry: &Entry<'_>, except: Found<'_, '_>, ground: &Ground<'_, '_>, report: &mut Report<'_>) -> Option<Self> {
        let (last, is_typed) = match entry.value.text().and_then(scope::variable) {
            Some(name) => (variable(&name, entry, ground, report)?, false),
            None => (number(&entry.value, span_of(entry), report)?, true),
        };
        let except = match except.entry() {
            Some(entry) => left_out(entry, is_typed.then_some(last), report)?,
            None => BTreeSet::new(),
        };
        let except: BTreeSet<u64> = except.into_iter().filter(|number| *number <= last).collect();
        Some(Self::Count { last, except })
    }
}

/// The number that the variable `name` holds.
fn variable(name: &str, entry: &Entry<'_>, ground: &Ground<'_, '_>, report: &mut Report<'_>) -> Option<u64> {
    let scope = Scope { variables: ground.variables, local: Local::Nothing };
    let bound = scope.bind(entry.value.text()?, span_of(entry), report)?;
    let value = bound.fixed().unwrap_or_default().parse().ok().filter(|value| *value <= INSTANCES_MAX as u64);
    if value.is_none() {
        let wrong = if ground.variables.is_number(name) {
            format!("a count is a number from 0 to {INSTANCES_MAX}, and `{name}` is another one")
        } else {
            format!("a count is a number, and the variable `{name}` is none")
        };
        report.push(Diagnostic::error(&wrong).at(span_of(entry)).help(&format!("declare it as `{name}: {{type: number}}`")));
    }
    value
}

/// A number from 0 to [`INSTANCES_MAX`].
fn number(node: &Node<'_>, span: Span, report: &mut Report<'_>) -> Option<u64> {
    let help = "write a number without quotes, or a variable as \"{var.shops}\"";
    let Some(text) = node.text().filter(|_| node.meaning() == Some(Meaning::Number)) else {
        expected("a number", node, span, help, report);
        return None;
    };
    let number = text.parse::<u64>().ok().filter(|number| number.to_string() == text && *number <= INSTANCES_MAX as u64);
    if number.is_none() {
        let wrong = format!("a number from 0 to {INSTANCES_MAX} is expected, and this is `{}`", shortened(text));
        report.push(Diagnostic::error(&wrong).at(span).help("write it in digits, without zeros in front"));
    }
    number
}

/// The numbers of `except`. One that never was is a mistake; but where a variable says how many there are, it may be any.
fn left_out(entry: &Entry<'_>, last: Option<u64>, report: &mut Report<'_>) -> Option<BTreeSet<u64>> {
    let Value::List(items) = &entry.value.value else {
        expected("a list of numbers", &entry.value, span_of(entry), "write `except: [7]`", report);
        return None;
    };
    let mut numbers = BTreeSet::new();
    let mut is_right = true;
    for item in items {
        let Some(number) = number(item, item.span, report) else {
            is_right = false;
            continue;
        };
        let wrong = match last {
            _ if number == 0 => Some("the numbers begin with 1".to_owned()),
            Some(last) if number > last => Some(format!("there is no number {number}: the count is {last}")),
            _ if !numbers.insert(number) => Some(format!("the number {number} is left out twice")),
            _ => None,
        };
        if let Some(wrong) = wrong {
            report.push_with(|_| Diagnostic::error(&wrong).at(item.span).help("take it out"));
            is_right = false;
        }
    }
    is_right.then_some(numbers)
}

/// The name of the file in `{file: stores.csv}`, which is no map with an item of that name.
pub(super) fn named_file<'n, 'a>(node: &'n Node<'a>) -> Option<&'n Node<'a>> {
    match &node.value {
        Value::Mapping(entries) => match entries.as_slice() {
            [Entry { key, value }] if key.text() == Some("file") && value.text().is_some_and(|text| !text.is_empty()) => {
                Some(value)
            }
            _ => None,
        },
        _ => None,
    }
}

fn for_each_of(entry: &Entry<'_>, ground: &mut Ground<'_, '_>, report: &mut Report<'_>) -> Option<Rc<Table>> {
    let Some(file) = named_file(&entry.value) else {
        if matches!(entry.value.value, Value::List(_) | Value::Mapping(_)) {
            return items::table(&entry.value, Notation::Yaml, report).map(Rc::new);
        }
        let help = "write `for_each: [one, two]`, or `for_each: {file: stores.csv}`";
        expected("a list or a mapping", &entry.value, span_of(entry), help, report);
        return None;
    };
    let name = file.text()?;
    if let Some(known) = ground.tables.get(name) {
        return known.clone();
    }
    let table = of_file(name, file.span, ground, report).map(Rc::new);
    ground.tables.insert(name.to_owned(), table.clone());
    table
}

fn of_file(name: &str, span: Span, ground: &mut Ground<'_, '_>, report: &mut Report<'_>) -> Option<Table> {
    let refused = |(summary, help): (String, String)| Diagnostic::error(&summary).at(span).help(&help);
    let format = match beside::format(name) {
        Ok(format) => format,
        Err(wrong) => {
            report.push(refused(wrong));
            return None;
        }
    };
    let file = match ground.source.beside(name) {
        Some(Ok(file)) => file,
        Some(Err(wrong)) => {
            report.push(refused(wrong.clone()));
            return None;
        }
        None => {
            report.push(refused((beside::MISSING.to_owned(), beside::MISSING_HELP.to_owned())));
            return None;
        }
    };
    let mut page = Page::new(&file.label, ground.first + ground.pages.len());
    let mut inner = report.of(&mut page);
    let Some(left) = ground.limits.bytes.checked_sub(file.bytes.len()).filter(|_| file.bytes.len() <= super::FILE_MAX) else {
        inner.push(super::source::too_long(file.bytes.len() > super::FILE_MAX));
        ground.pages.push((page, None));
        return None;
    };
    ground.limits.bytes = left;
    let mut left = Left { nodes: &mut ground.limits.nodes, rows: ground.limits.instances };
    let (table, text) = rows::table(&file.bytes, format, &mut left, &mut inner);
    if format == Format::Csv {
        // Nothing in it is to be hidden: a column that may hold secrets is refused, and then nothing is shown.
        inner.complete();
    }
    ground.pages.push((page, text));
    table
}
