//! The problems of one file while it is read, and what of it must not be shown.

use std::ops::Range;
use std::sync::Arc;

use super::secrets::{hidden_stretches, merged};
use crate::diagnostic::{Diagnostic, Diagnostics, Excerpt, Place, Position, Span};

/// Collects the problems of one file.
#[derive(Debug)]
pub(super) struct Report<'p> {
    file: Arc<str>,
    order: usize,
    problems: &'p mut Diagnostics,
    hidden: Vec<Range<usize>>,
    is_complete: bool,
}

impl<'p> Report<'p> {
    pub(super) fn new(file: &Arc<str>, order: usize, problems: &'p mut Diagnostics) -> Self {
        Self { file: Arc::clone(file), order, problems, hidden: Vec::new(), is_complete: false }
    }

    /// Adds `problem`, as one of this file.
    pub(super) fn push(&mut self, problem: Diagnostic) {
        self.problems.push(problem.in_file(&self.file, self.order));
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
        self.order
    }

    /// Never shows what stands at `span`.
    pub(super) fn hide(&mut self, span: Span) {
        self.hidden.push(span.start.byte as usize..span.end.byte as usize);
    }

    /// Says that the file was read to its end, so that everything to hide is known.
    pub(super) fn complete(&mut self) {
        self.is_complete = true;
    }

    /// `position` in this file.
    pub(super) fn place(&self, position: Position) -> Place {
        Place { file: Arc::clone(&self.file), position }
    }

    /// What is left once the file is read.
    pub(super) fn into_view(self, text: Option<&str>) -> View<'_> {
        View { text, hidden: self.is_complete.then(|| merged(self.hidden)) }
    }
}

/// A file as far as it may be shown.
#[derive(Debug)]
pub(super) struct View<'a> {
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
