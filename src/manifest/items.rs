//! `for_each` as it stands in YAML or JSON: a list, a map, or a list of objects, as a [`Table`].

use std::collections::HashMap;

use super::document::{Entry, Node, Value};
use super::report::Report;
use super::scalar::Meaning;
use super::syntax::shortened;
use super::table::{CELLS_MAX, COLUMNS_MAX, KEY, Table};
use super::validate::expected;
use crate::diagnostic::{Diagnostic, Span};

/// Whether every scalar says its type by itself, as in JSON, or may be read in two ways, as in YAML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notation {
    Yaml,
    Json,
}

/// The rows of a list or a mapping; nothing if something in them is wrong, which is reported.
pub(super) fn table(node: &Node<'_>, notation: Notation, report: &mut Report<'_>) -> Option<Table> {
    let rows: Option<Vec<Row<'_, '_>>> = match &node.value {
        Value::List(items) => collect(items.iter().map(|item| listed(item, notation, report))),
        Value::Mapping(entries) => collect(entries.iter().map(|entry| keyed(entry, report))),
        _ => {
            expected("a list or a mapping", node, node.span, "write `for_each: [one, two]`", report);
            return None;
        }
    };
    built(node, &rows?, notation, report)
}

/// All of them, or nothing: but each is looked at.
fn collect<T>(items: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let (mut all, mut is_whole) = (Vec::new(), true);
    for item in items {
        match item {
            Some(item) => all.push(item),
            None => is_whole = false,
        }
    }
    is_whole.then_some(all)
}

/// An item: its key, and its fields.
struct Row<'n, 'a> {
    span: Span,
    key: Option<&'n str>,
    fields: &'n [Entry<'a>],
}

fn listed<'n, 'a>(item: &'n Node<'a>, notation: Notation, report: &mut Report<'_>) -> Option<Row<'n, 'a>> {
    if let (Value::Mapping(fields), Notation::Json) = (&item.value, notation) {
        return Some(Row { span: item.span, key: None, fields });
    }
    match cell(item, notation, report) {
        Cell::Text(key) => Some(Row { span: item.span, key: Some(key), fields: &[] }),
        Cell::Absent => {
            expected("a text", item, item.span, "write a text, or leave it out", report);
            None
        }
        Cell::Wrong => None,
    }
}

fn keyed<'n, 'a>(entry: &'n Entry<'a>, report: &mut Report<'_>) -> Option<Row<'n, 'a>> {
    // A key that is no text is reported as one; whatever else YAML takes it for.
    let key = entry.key.text()?;
    if entry.key.meaning().is_some() {
        expected("a text", &entry.key, entry.key.span, &in_quotes(key), report);
        return None;
    }
    let fields = match &entry.value.value {
        Value::Mapping(fields) => fields.as_slice(),
        _ if entry.value.meaning() == Some(Meaning::Null) => &[],
        _ => {
            expected("a mapping of fields", &entry.value, entry.value.span, "write `{}` if there is none", report);
            return None;
        }
    };
    Some(Row { span: entry.key.span, key: Some(key), fields })
}

fn in_quotes(text: &str) -> String {
    format!("write it in quotes: \"{}\"", shortened(text))
}

/// What a scalar is in a cell.
enum Cell<'n> {
    Text(&'n str),
    /// `null`, as JSON has it for what is not there.
    Absent,
    /// Something else, which is reported.
    Wrong,
}

fn cell<'n>(node: &'n Node<'_>, notation: Notation, report: &mut Report<'_>) -> Cell<'n> {
    let is_json = notation == Notation::Json;
    let help = match (&node.value, node.meaning()) {
        (Value::Quoted(text) | Value::Plain(text), None) => return Cell::Text(text),
        (Value::Plain(text), Some(Meaning::Number | Meaning::Boolean)) if is_json => return Cell::Text(text),
        (Value::Plain(_), Some(Meaning::Null)) if is_json => return Cell::Absent,
        (Value::Plain(text), _) => in_quotes(text),
        _ => "write a text; what has parts can be the item of a mapping".to_owned(),
    };
    expected("a text", node, node.span, &help, report);
    Cell::Wrong
}

fn built(node: &Node<'_>, rows: &[Row<'_, '_>], notation: Notation, report: &mut Report<'_>) -> Option<Table> {
    let mut columns: Vec<String> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    let mut add = |name| {
        known.entry(name).or_insert_with(|| {
            columns.push(String::from(name));
            columns.len() - 1
        });
    };
    if rows.iter().any(|row| row.key.is_some()) {
        add(KEY);
    }
    rows.iter().flat_map(|row| row.fields).filter_map(|entry| entry.key.text()).for_each(&mut add);
    if columns.len() > COLUMNS_MAX {
        report.push(Diagnostic::error(&format!("more than {COLUMNS_MAX} fields")).at(node.span));
        return None;
    }
    let mut table = Table::new((report.file().clone(), report.order()), columns);
    let mut is_right = true;
    for row in rows {
        let mut cells: Vec<(usize, &str)> = row.key.and_then(|key| Some((*known.get(KEY)?, key))).into_iter().collect();
        for entry in row.fields {
            match cell(&entry.value, notation, report) {
                Cell::Text(text) => cells.extend(entry.key.text().and_then(|name| Some((*known.get(name)?, text)))),
                Cell::Absent => {}
                Cell::Wrong => is_right = false,
            }
        }
        if table.push(row.span, cells).is_err() {
            report.push(Diagnostic::error(&format!("more than {CELLS_MAX} values")).at(row.span));
            return None;
        }
    }
    Some(table).filter(|_| is_right)
}
