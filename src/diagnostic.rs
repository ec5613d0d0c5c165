//! Problems in what people wrote: collected all, sorted, shown later, as text with the line in question or as data.
//!
//! Every text in a [`Diagnostic`] is escaped when it is put in ([`crate::text`]), so whatever shows one may print it as it is.
//! This module reads no file: whoever finds a problem hands over the line ([`Excerpt`]) along with the place.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::text::{Untrusted, escape};

mod excerpt;
mod render;

pub use excerpt::{Excerpt, Hidden};
pub use render::{Colour, SHOWN_MAX};

/// Most problems kept in one [`Diagnostics`]; the rest are only counted.
pub const KEPT_MAX: usize = 1000;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The input cannot be used.
    Error,
    /// The input can be used, but somebody should look.
    Warning,
}

/// A point in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters (Unicode scalar values), from 1.
    pub column: u32,
    /// Offset in bytes from the start of the file, from 0.
    pub byte: u32,
}

impl Position {
    /// The first character of a file.
    pub const START: Self = Self { line: 1, column: 1, byte: 0 };
}

/// A stretch of a text; the end is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Span {
    /// Where it starts.
    pub start: Position,
    /// The first position that is no longer part of it.
    pub end: Position,
}

impl Span {
    /// The empty stretch at `position`.
    pub const fn at(position: Position) -> Self {
        Self { start: position, end: position }
    }

    /// Whether it holds nothing.
    pub const fn is_empty(self) -> bool {
        self.start.byte >= self.end.byte
    }
}

/// A point in a named file. `Display` is `file:line:column`, escaped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file as the user named it.
    pub file: Arc<str>,
    /// Where in it.
    pub position: Position,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", Untrusted(&self.file), self.position.line, self.position.column)
    }
}

/// Another place that explains a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// What is there, as in "first declared".
    pub what: &'static str,
    /// Where.
    pub place: Place,
}

/// One problem: what, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    severity: Severity,
    summary: String,
    file: Option<Arc<str>>,
    order: usize,
    span: Option<Span>,
    related: Option<Related>,
    help: Option<String>,
    excerpt: Option<Excerpt>,
}

impl Diagnostic {
    /// An error; `summary` is a lower-case fragment without a period.
    pub fn error(summary: &str) -> Self {
        Self::new(Severity::Error, summary)
    }

    /// A warning; `summary` is a lower-case fragment without a period.
    pub fn warning(summary: &str) -> Self {
        Self::new(Severity::Warning, summary)
    }

    fn new(severity: Severity, summary: &str) -> Self {
        let summary = escape(summary).into_owned();
        Self { severity, summary, file: None, order: 0, span: None, related: None, help: None, excerpt: None }
    }

    /// Says which file; `order` is the file's rank among those given, by which problems are sorted first.
    pub fn in_file(mut self, file: &Arc<str>, order: usize) -> Self {
        self.file = Some(Arc::clone(file));
        self.order = order;
        self
    }

    /// Says where in the file.
    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// Says what to type instead.
    pub fn help(mut self, help: &str) -> Self {
        self.help = Some(escape(help).into_owned());
        self
    }

    /// Points at another place too.
    pub fn related(mut self, what: &'static str, place: Place) -> Self {
        self.related = Some(Related { what, place });
        self
    }

    /// Adds the line in question.
    pub fn show(&mut self, excerpt: Excerpt) {
        self.excerpt = Some(excerpt);
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// What is wrong, printable.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// The file as the user named it: not escaped.
    pub fn file(&self) -> Option<&Arc<str>> {
        self.file.as_ref()
    }

    /// The rank of the file among those given.
    pub fn order(&self) -> usize {
        self.order
    }

    /// Where in the file; nothing when the file itself is the problem.
    pub fn span(&self) -> Option<Span> {
        self.span
    }

    /// The other place, where there is one.
    pub fn other_place(&self) -> Option<&Related> {
        self.related.as_ref()
    }

    /// What to do about it, printable.
    pub fn advice(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// As data for JSON.
    pub fn to_data(&self) -> DiagnosticData {
        let filename = self.file.as_deref().map(|file| escape(file).into_owned());
        let related = self.related.as_ref().map(|related| RelatedData {
            message: related.what,
            filename: escape(&related.place.file).into_owned(),
            start: related.place.position,
        });
        let range =
            filename.map(|filename| RangeData { filename, start: self.span.map(|s| s.start), end: self.span.map(|s| s.end) });
        DiagnosticData { severity: self.severity, summary: self.summary.clone(), detail: self.help.clone(), range, related }
    }
}

/// A [`Diagnostic`] as it stands in JSON; all texts are escaped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiagnosticData {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub summary: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<RangeData>,
    /// Another place that explains it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub related: Option<RelatedData>,
}

/// A stretch of a file; without `start` and `end` it is the file as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RangeData {
    /// The file as the user named it, escaped.
    pub filename: String,
    /// Where it starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Position>,
    /// The first position that is no longer part of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Position>,
}

/// Another place that explains a problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RelatedData {
    /// What is there.
    pub message: &'static str,
    /// The file as the user named it, escaped.
    pub filename: String,
    /// Where in it.
    pub start: Position,
}

/// All problems found: the first [`KEPT_MAX`], and how many more there were.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
#[error("{} in the manifest", counted(self.len()))]
pub struct Diagnostics {
    kept: Vec<Diagnostic>,
    uncounted: usize,
}

/// "1 problem", "2 problems".
pub(crate) fn counted(problems: usize) -> String {
    format!("{problems} problem{}", if problems == 1 { "" } else { "s" })
}

impl Diagnostics {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.is_full() { self.count() } else { self.kept.push(diagnostic) }
    }

    /// Whether the next one would only be counted.
    pub fn is_full(&self) -> bool {
        self.kept.len() >= KEPT_MAX
    }

    /// Counts one that nobody will look at.
    pub fn count(&mut self) {
        self.uncounted += 1;
    }

    /// Adds all of `others` behind these.
    pub fn append(&mut self, others: Self) {
        self.uncounted += others.uncounted;
        others.kept.into_iter().for_each(|diagnostic| self.push(diagnostic));
    }

    /// Sorts by file, then by place; problems at one place keep their order.
    pub fn sort(&mut self) {
        self.kept.sort_by_key(|diagnostic| (diagnostic.order, diagnostic.span));
    }

    /// How many were found, those not kept included.
    pub fn len(&self) -> usize {
        self.kept.len() + self.uncounted
    }

    /// Whether none was found.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Whether one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.kept.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Those kept.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.kept.iter()
    }

    /// Those kept, to add excerpts.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Diagnostic> {
        self.kept.iter_mut()
    }

    /// Those kept, as data for JSON.
    pub fn to_data(&self) -> Vec<DiagnosticData> {
        self.kept.iter().map(Diagnostic::to_data).collect()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> IntoIterator for &'a mut Diagnostics {
    type Item = &'a mut Diagnostic;
    type IntoIter = std::slice::IterMut<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self { kept: vec![diagnostic], uncounted: 0 }
    }
}
