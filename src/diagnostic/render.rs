//! Problems as text for people.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use anstream::adapter::strip_str;

use super::{Diagnostic, Diagnostics, Excerpt, Position, Severity, counted};
use crate::text::escape;

/// Most problems shown at once.
pub const SHOWN_MAX: usize = 50;

/// Wide enough that nothing is cut a second time: an excerpt is short, but escapes lengthen it.
const WIDTH: usize = 4096;

/// Whether the text carries terminal colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Letters only.
    Plain,
    /// With escape codes of our own.
    Ansi,
}

impl Diagnostics {
    /// The first [`SHOWN_MAX`] problems, each with its line, and how many more there are. Ends with a newline.
    pub fn render(&self, colour: Colour) -> String {
        let renderer = match colour {
            Colour::Plain => Renderer::plain(),
            Colour::Ansi => Renderer::styled(),
        };
        let renderer = renderer.term_width(WIDTH);
        let mut text = String::new();
        for diagnostic in self.iter().take(SHOWN_MAX) {
            let shown = renderer.render(&[group(diagnostic)]);
            let is_narrow = shown.lines().any(is_at_the_margin);
            for (number, line) in shown.lines().filter(|line| !is_gap(line)).enumerate() {
                if is_narrow && number > 0 {
                    text.push(' ');
                }
                text.push_str(line);
                text.push('\n');
            }
        }
        let more = self.len().saturating_sub(SHOWN_MAX);
        if more > 0 {
            text.push_str("and ");
            text.push_str(&counted(more));
            text.push_str(" more\n");
        }
        text
    }
}

/// Whether `line` names a place without room for a line's number: without a snippet the renderer leaves none.
fn is_at_the_margin(line: &str) -> bool {
    strip_str(line).to_string().starts_with("-->")
}

/// Whether the renderer put `line` between a place and a snippet that it takes for another file.
fn is_gap(line: &str) -> bool {
    strip_str(line).to_string().trim() == ":::"
}

fn group(diagnostic: &Diagnostic) -> Group<'_> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(diagnostic.summary.as_str()));
    if let Some(file) = &diagnostic.file {
        let start = diagnostic.span.map(|span| span.start);
        group = located(group, escape(file).into_owned(), start, diagnostic.excerpt.as_ref());
    }
    if let Some(related) = &diagnostic.related {
        group = group.element(Level::NOTE.message(format!("{} at {}", related.what, related.place)));
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    group
}

fn located<'a>(group: Group<'a>, path: String, start: Option<Position>, excerpt: Option<&'a Excerpt>) -> Group<'a> {
    let Some(start) = start else { return group.element(Origin::path(path)) };
    let origin = |path| Origin::path(path).line(start.line as usize).char_column(start.column as usize);
    let Some(excerpt) = excerpt else { return group.element(origin(path)) };
    let snippet = Snippet::source(excerpt.text.as_str())
        .line_start(start.line as usize)
        .annotation(AnnotationKind::Primary.span(excerpt.caret.clone()));
    // The renderer counts the column in the line that it shows; it is told the column where that line was cut or escaped.
    if excerpt.aligned { group.element(snippet.path(path)) } else { group.element(origin(path)).element(snippet) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::diagnostic::{Place, Span};

    fn at(line: u32, column: u32, byte: u32) -> Position {
        Position { line, column, byte }
    }

    fn sample() -> Diagnostic {
        let file: Arc<str> = "team/a.yaml".into();
        let text = "x: 1\n  - tpye: whatsapp\n";
        let span = Span { start: at(2, 5, 9), end: at(2, 9, 13) };
        let mut diagnostic = Diagnostic::error("unknown key `tpye`").in_file(&file, 0).at(span).help("did you mean `type`?");
        diagnostic = diagnostic.related("first used", Place { file: "b.yaml".into(), position: at(3, 7, 0) });
        diagnostic.show(Excerpt::of(text, span, &[]));
        diagnostic
    }

    #[test]
    fn a_place_without_its_line_stands_where_it_does_with_one() {
        let file: Arc<str> = "a.yaml".into();
        let problem = || Diagnostic::error("nothing here").in_file(&file, 0).at(Span::at(at(3, 7, 0)));
        let rendered = |problem: Diagnostic| Diagnostics::from(problem).render(Colour::Plain);
        assert_eq!(rendered(problem().help("look")), "error: nothing here\n --> a.yaml:3:7\n  = help: look\n");
        let coloured = Diagnostics::from(problem().help("look")).render(Colour::Ansi);
        assert_eq!(strip_str(&coloured).to_string(), rendered(problem().help("look")));
    }

    #[test]
    fn a_problem_shows_its_place_line_and_help() {
        let expected = "error: unknown key `tpye`\n --> team/a.yaml:2:5\n  |\n2 |   - tpye: whatsapp\n  |     ^^^^\n  |\n  \
                        = note: first used at b.yaml:3:7\n  = help: did you mean `type`?\n";
        assert_eq!(Diagnostics::from(sample()).render(Colour::Plain), expected);
        let coloured = Diagnostics::from(sample()).render(Colour::Ansi);
        assert!(coloured.contains("\u{1b}[") && coloured.contains("unknown key `tpye`"));
    }

    #[test]
    fn a_cut_line_keeps_its_true_column() {
        let text = format!("{}key", "x".repeat(500));
        let span = Span { start: at(1, 501, 500), end: at(1, 504, 503) };
        let mut diagnostic = Diagnostic::error("e").in_file(&"a".into(), 0).at(span);
        diagnostic.show(Excerpt::of(&text, span, &[]));
        let shown = Diagnostics::from(diagnostic).render(Colour::Plain);
        assert!(shown.contains("--> a:1:501\n") && shown.contains("…xxx") && shown.contains("^^^"), "{shown}");
        assert!(!shown.contains(":::"), "{shown}");
    }

    #[test]
    fn t10_t11_nothing_foreign_reaches_the_terminal_or_the_start_of_a_line() {
        let file: Arc<str> = "a\u{1b}[1m\n::add-mask::x".into();
        let mut problems = Diagnostics::from(Diagnostic::error("a\n::error::b").in_file(&file, 0).help("c\n##vso[x]"));
        problems.push(Diagnostic::warning("w").in_file(&file, 0).at(Span::at(Position::START)));
        let shown = problems.render(Colour::Plain);
        assert!(shown.chars().all(|c| c == '\n' || !crate::text::is_hidden(c)), "{shown}");
        assert!(!shown.lines().any(|line| line.trim_start().starts_with("::")) && !shown.contains("##vso["), "{shown}");
        let data = serde_json::to_string(&problems.to_data()).unwrap();
        assert!(!data.contains("##vso[") && data.contains("warning"), "{data}");
    }

    #[test]
    fn many_problems_are_counted_not_shown() {
        let mut problems = Diagnostics::new();
        (0..2500).for_each(|_| problems.push(Diagnostic::error("same")));
        let shown = problems.render(Colour::Plain);
        assert_eq!(shown.matches("error: same").count(), SHOWN_MAX);
        assert!(shown.ends_with("and 2450 problems more\n"), "{shown}");
        assert_eq!((problems.len(), problems.iter().count()), (2500, crate::diagnostic::KEPT_MAX));
    }

    #[test]
    fn data_has_the_place_in_lines_columns_and_bytes() {
        let json = serde_json::to_value(sample().to_data()).unwrap();
        let expected = serde_json::json!({
            "severity": "error", "summary": "unknown key `tpye`", "detail": "did you mean `type`?",
            "range": {"filename": "team/a.yaml",
                "start": {"line": 2, "column": 5, "byte": 9}, "end": {"line": 2, "column": 9, "byte": 13}},
            "related": {"message": "first used", "filename": "b.yaml", "start": {"line": 3, "column": 7, "byte": 0}},
        });
        assert_eq!(json, expected);
    }
}
