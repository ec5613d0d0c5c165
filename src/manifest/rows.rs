//! The files that `for_each` reads: CSV and JSON, as a [`Table`]. They come as bytes; who reads them is `beside`.
//!
//! A row is an instance that costs money, so nothing is guessed: each row has all columns, each column one name, and no value goes
//! on in the next line, where an open quote would have swallowed rows.

use serde::de::IgnoredAny;

use super::document;
use super::encoding::{self, Text};
use super::items::{self, Notation};
use super::report::Report;
use super::secrets::Forbidden;
use super::syntax::shortened;
use super::table::{CELLS_MAX, COLUMNS_MAX, Table};
use crate::diagnostic::{Diagnostic, Position, Span};
use crate::text::counted;

/// The format of a file, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Json,
}

impl Format {
    /// By the end of `name`.
    pub(super) fn of(name: &str) -> Option<Self> {
        match name.rsplit_once('.')?.1 {
            "csv" => Some(Self::Csv),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// What is left to be read, of all files together.
pub(super) struct Left<'l> {
    pub(super) nodes: &'l mut usize,
    pub(super) rows: usize,
}

/// Reads `bytes`; what is wrong is reported. The text comes back if it may be shown.
pub(super) fn table<'a>(
    bytes: &'a [u8],
    format: Format,
    left: &mut Left<'_>,
    report: &mut Report<'_>,
) -> (Option<Table>, Option<&'a str>) {
    let text = match encoding::decode(bytes) {
        Ok(text) => text,
        Err(problem) => {
            report.push(*problem);
            return (None, None);
        }
    };
    match format {
        Format::Csv => csv(text, left, report),
        Format::Json => (json(text, left, report), Some(text.whole)),
    }
}

/// That it is JSON is judged by one reader, where things stand is told by the other: JSON is YAML.
fn json(text: Text<'_>, left: &mut Left<'_>, report: &mut Report<'_>) -> Option<Table> {
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text.content) {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).max(1);
        let at = Position { line: number(error.line()), column: number(error.column()), byte: 0 };
        let line = text.whole.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
        let byte = u32::try_from(line + error.column().saturating_sub(1)).unwrap_or(u32::MAX);
        let words = error.to_string();
        let what = words.split(" at line ").next().unwrap_or_default();
        report.push(Diagnostic::error(&format!("not valid JSON: {what}")).at(Span::at(Position { byte, ..at })));
        return None;
    }
    let root = document::read(text, left.nodes, report)?;
    items::table(&root, Notation::Json, report).filter(|table| fits(table, left, report))
}

fn fits(table: &Table, left: &Left<'_>, report: &mut Report<'_>) -> bool {
    if let Some(span) = table.span(left.rows) {
        report.push(too_many(span));
    }
    table.len() <= left.rows
}

/// Says that there are more instances than are read.
pub(super) fn too_many(span: Span) -> Diagnostic {
    let summary = format!("more than {} instances in all", super::INSTANCES_MAX);
    Diagnostic::error(&summary).at(span).help("use several manifests, each with a state of its own")
}

fn csv<'a>(text: Text<'a>, left: &Left<'_>, report: &mut Report<'_>) -> (Option<Table>, Option<&'a str>) {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.content.as_bytes());
    let mut record = csv::StringRecord::new();
    let places = Places { content: text.content, base: text.whole.len() - text.content.len() };
    if !matches!(reader.read_record(&mut record), Ok(true)) {
        report.push(
            Diagnostic::error("the file has no header").at(Span::at(Position::START)).help("name the columns in its first row"),
        );
        return (None, Some(text.whole));
    }
    let span = places.of(&record);
    if let Err((problem, is_shown)) = header(&record) {
        report.push(problem.at(span));
        return (None, is_shown.then_some(text.whole));
    }
    let mut table = Table::new((report.file().clone(), report.order()), record.iter().map(str::to_owned).collect());
    while matches!(reader.read_record(&mut record), Ok(true)) {
        let span = places.of(&record);
        if table.len() >= left.rows {
            report.push(too_many(span));
            return (None, Some(text.whole));
        }
        if let Some(problem) = odd(&record, table.columns().len()) {
            report.push_with(|_| problem.at(span));
        } else if table.push(span, record.iter().enumerate()).is_err() {
            report.push(Diagnostic::error(&format!("more than {CELLS_MAX} values")).at(span));
            return (None, Some(text.whole));
        }
    }
    // Without the rows that are wrong: what is wrong with the others is told as well.
    (Some(table), Some(text.whole))
}

/// What is wrong with the names of the columns, and whether the file may be shown all the same.
fn header(record: &csv::StringRecord) -> Result<(), (Box<Diagnostic>, bool)> {
    let mut names: Vec<&str> = record.iter().collect();
    if let Some((name, forbidden)) = names.iter().find_map(|name| Some((*name, Forbidden::of(name)?))) {
        let problem = Diagnostic::error(&format!("the column `{}` {}", shortened(name), forbidden.why()));
        let help = "take the column out, or give it another name if that is not what it holds";
        return Err((Box::new(problem.help(help)), false));
    }
    if let [only] = names.as_slice()
        && only.contains([';', '\t'])
    {
        let problem = Diagnostic::error("the columns are not separated by commas");
        return Err((Box::new(problem.help("save the file with `,` between its columns")), true));
    }
    if names.len() > COLUMNS_MAX {
        return Err((Box::new(Diagnostic::error(&format!("more than {COLUMNS_MAX} columns"))), true));
    }
    if names.iter().any(|name| name.contains(['\n', '\r'])) {
        return Err((Box::new(line_break()), true));
    }
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    match names.windows(2).find_map(|pair| pair.first().filter(|one| pair.get(1) == Some(one))) {
        Some(name) => {
            let problem = Diagnostic::error(&format!("two columns have the name `{}`", shortened(name)));
            Err((Box::new(problem.help("give each column a name of its own")), true))
        }
        None => Ok(()),
    }
}

fn line_break() -> Diagnostic {
    Diagnostic::error("a value goes on in the next line").help("close the quote that is open, or take the line break out")
}

/// What is wrong with a row.
fn odd(record: &csv::StringRecord, columns: usize) -> Option<Diagnostic> {
    if record.iter().any(|value| value.contains(['\n', '\r'])) {
        return Some(line_break());
    }
    (record.len() != columns).then(|| {
        let values = counted(record.len(), "value", "values");
        let summary = format!("this row has {values}, and the header names {}", counted(columns, "column", "columns"));
        Diagnostic::error(&summary)
            .help("put a value with a comma in quotes; leave nothing between two commas where there is none")
    })
}

/// Where records stand.
struct Places<'a> {
    content: &'a str,
    base: usize,
}

impl Places<'_> {
    /// The first line of `record`.
    fn of(&self, record: &csv::StringRecord) -> Span {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (byte, line) = record.position().map_or((0, 1), |at| (at.byte(), at.line()));
        let (mut byte, mut line) = (usize::try_from(byte).unwrap_or(usize::MAX), usize::try_from(line).unwrap_or(usize::MAX));
        let rest = self.content.get(byte..).unwrap_or_default();
        // Empty lines are no records, and the place is before them.
        let blank = rest.len() - rest.trim_start_matches(['\n', '\r']).len();
        let skipped = rest.get(..blank).unwrap_or_default();
        line += skipped.matches('\n').count() + skipped.matches('\r').count() - skipped.matches("\r\n").count();
        byte += blank;
        let shown = self.content.get(byte..).unwrap_or_default().split(['\n', '\r']).next().unwrap_or_default();
        let start = Position { line: number(line), column: 1, byte: number(self.base + byte) };
        let end = Position { column: number(shown.chars().count() + 1), byte: number(self.base + byte + shown.len()), ..start };
        Span { start, end }
    }
}
