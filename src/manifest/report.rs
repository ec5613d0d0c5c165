//! The problems of one file while it is read, and what of it must not be shown.

use std::ops::Range;
use std::sync::Arc;

use super::secrets::{hidden_stretches, merged};
use crate::diagnostic::{Diagnostic, Diagnostics, Excerpt, Place, Position, Span};

/// Collects the problems of one file.
#[derive(Debug)]
pub(super) struct Report<'p> {
    page: &'p mut Page,
    problems: &'p mut Diagnostics,
}

/// What is known of one file beside its problems.
#[derive(Debug)]
pub(super) struct Page {
    file: Arc<str>,
    order: usize,
    hidden: Vec<Range<usize>>,
    is_complete: bool,
}

impl Page {
    /// The first of `file`, which has this rank.
    pub(super) fn new(file: &Arc<str>, order: usize) -> Self {
        Self { file: Arc::clone(file), order, hidden: Vec::new(), is_complete: false }
    }

    /// What is left once the file is read.
    pub(super) fn into_view(self, text: Option<&str>) -> View<'_> {
        View { file: self.file, text, hidden: self.is_complete.then(|| merged(self.hidden)) }
    }
}

impl<'p> Report<'p> {
    /// Goes on with `page`.
    pub(super) fn new(page: &'p mut Page, problems: &'p mut Diagnostics) -> Self {
        Self { page, problems }
    }

    /// The report of another file.
    pub(super) fn of<'r>(&'r mut self, page: &'r mut Page) -> Report<'r> {
        Report { page, problems: self.problems }
    }

    /// Adds `problem`, as one of this file.
    pub(super) fn push(&mut self, problem: Diagnostic) {
        self.problems.push(problem.in_file(&self.page.file, self.page.order));
    }

    /// Adds the problem that `make` describes. Where there may be very many, those that are only counted are not made.
    pub(super) fn push_with(&mut self, make: impl FnOnce(&Self) -> Diagnostic) {
        if self.problems.is_full() {
            self.problems.count();
        } else {
            let problem = make(self);
            self.push(problem);
        }
    }

    /// The rank of the file among those given.
    pub(super) fn order(&self) -> usize {
        self.page.order
    }

    /// The file.
    pub(super) fn file(&self) -> &Arc<str> {
        &self.page.file
    }

    /// Adds the problem that `make` describes, as one of another file.
    pub(super) fn push_in(&mut self, file: &Arc<str>, order: usize, make: impl FnOnce() -> Diagnostic) {
        if self.problems.is_full() { self.problems.count() } else { self.problems.push(make().in_file(file, order)) }
    }

    /// Never shows what stands at `span`.
    pub(super) fn hide(&mut self, span: Span) {
        self.page.hidden.push(span.start.byte as usize..span.end.byte as usize);
    }

    /// Says that the file was read to its end, so that everything to hide is known.
    pub(super) fn complete(&mut self) {
        self.page.is_complete = true;
    }

    /// `position` in this file.
    pub(super) fn place(&self, position: Position) -> Place {
        Place { file: Arc::clone(&self.page.file), position }
    }
}

/// A file as far as it may be shown.
#[derive(Debug)]
pub(super) struct View<'a> {
    /// Which one.
    pub(super) file: Arc<str>,
    text: Option<&'a str>,
    hidden: Option<Vec<Range<usize>>>,
}

/// Adds to each problem the line that it is about. `views` stand in the order of the files.
pub(super) fn show(problems: &mut Diagnostics, views: &[View<'_>]) {
    for problem in problems {
        let Some((span, view)) = problem.span().zip(views.get(problem.order())) else { continue };
        if let Some(text) = view.text {
            let hidden = hidden_stretches(text, span.start.byte as usize, view.hidden.as_deref());
            problem.show(Excerpt::of(text, span, &hidden));
        }
    }
}
