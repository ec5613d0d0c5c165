//! `chatapi doctor`: gathers what there is to see, has it examined, and shows the findings.

mod facts;
mod git;
mod pipelines;

use std::fmt::Write as _;

use super::again::addressed;
use super::args::DoctorArgs;
use super::console::{BAD, BOLD, Console, DIM, DOUBT, GOOD};
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use crate::doctor::{self, Check, Status};
use crate::report::{DoctorDocument, DoctorSummary};
use crate::text::escape;

pub(super) fn run(context: &Context, args: &DoctorArgs) -> Result<Exit, CliError> {
    let mut checks = doctor::examine(&facts::gather(context, args));
    for hint in checks.iter_mut().filter_map(|check| check.hint.as_mut()) {
        *hint = addressed(hint, &context.console.command).into_owned();
    }
    if context.is_json() {
        context.document(&DoctorDocument::new(&checks))?;
    } else {
        context.console.result(text(&checks, Console::width()));
        context.console.line(format_args!("{BOLD}{}{BOLD:#}", sentence(DoctorSummary::of(&checks))));
    }
    let has_error = checks.iter().any(|check| check.status == Status::Error);
    Ok(if has_error { Exit::Error } else { Exit::Done })
}

/// Narrowest column of text that is still worth breaking.
const COLUMN_MIN: usize = 30;

/// A line for each finding, and below it what to type next; broken where it would go over `columns`.
fn text(checks: &[Check], columns: Option<usize>) -> String {
    let width = checks.iter().map(|check| check.id.len()).max().unwrap_or_default();
    let indent = width + 13;
    let room = columns.map(|columns| columns.saturating_sub(indent)).filter(|room| *room >= COLUMN_MIN);
    let broken = |text: &str| broken(&escape(text), room, indent);
    let mut text = String::new();
    for Check { id, status, message, hint } in checks {
        let style = match status {
            Status::Ok => GOOD,
            Status::Unsure | Status::Warning => DOUBT,
            Status::Error => BAD,
            Status::Skipped => DIM,
        };
        // Writing into a string cannot fail. A message may quote a file that came with a pull request.
        let _ = writeln!(text, "  {style}{:7}{style:#}  {id:width$}  {}", status.as_str(), broken(message));
        if let Some(hint) = hint {
            let _ = writeln!(text, "  {:7}  {:width$}  {}", "", "", broken(&format!("hint: {hint}")));
        }
    }
    text.push('\n');
    text
}

/// `text` with line feeds between words, so that no line is wider than `room`, but for a word that is.
fn broken(text: &str, room: Option<usize>, indent: usize) -> String {
    let Some(room) = room else { return text.to_owned() };
    let (mut lines, mut used) = (String::new(), 0);
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > room {
            lines.push('\n');
            lines.push_str(&" ".repeat(indent));
            used = 0;
        } else if used > 0 {
            lines.push(' ');
            used += 1;
        }
        lines.push_str(word);
        used += length;
    }
    lines
}

fn sentence(summary: DoctorSummary) -> String {
    let DoctorSummary { ok, unsure, warning, error, skipped } = summary;
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let (error, warning) = (plural(error, "error"), plural(warning, "warning"));
    format!("Doctor: {error}, {warning}, {unsure} unsure, {ok} ok, {skipped} skipped.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_where_somebody_counts_columns() {
        assert_eq!(broken("one two three", None, 2), "one two three");
        assert_eq!(broken("one two three", Some(7), 2), "one two\n  three");
        assert_eq!(broken("a-very-long-word b", Some(5), 1), "a-very-long-word\n b");
        assert_eq!(broken("", Some(5), 1), "");
    }
}
