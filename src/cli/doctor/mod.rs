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
use super::wrap::broken;
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
    let broken = |text: &str| match room {
        Some(room) => broken(&escape(text), room, Some(0)).replace('\n', &format!("\n{:indent$}", "")),
        None => escape(text).into_owned(),
    };
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

fn sentence(summary: DoctorSummary) -> String {
    let DoctorSummary { ok, unsure, warning, error, skipped } = summary;
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let (error, warning) = (plural(error, "error"), plural(warning, "warning"));
    format!("Doctor: {error}, {warning}, {unsure} unsure, {ok} ok, {skipped} skipped.")
}
