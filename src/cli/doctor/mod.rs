//! `chatapi doctor`: gathers what there is to see, has it examined, and shows the findings.

mod facts;
mod git;
mod pipelines;

use std::fmt::Write as _;

use super::args::DoctorArgs;
use super::console::{BAD, BOLD, DIM, DOUBT, GOOD};
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use crate::doctor::{self, Check, Status};
use crate::report::{DoctorDocument, DoctorSummary};
use crate::text::escape;

pub(super) fn run(context: &Context, args: &DoctorArgs) -> Result<Exit, CliError> {
    let checks = doctor::examine(&facts::gather(context, args));
    if context.is_json() {
        context.document(&DoctorDocument::new(&checks))?;
    } else {
        context.console.result(text(&checks));
        context.console.line(format_args!("{BOLD}{}{BOLD:#}", sentence(DoctorSummary::of(&checks))));
    }
    let has_error = checks.iter().any(|check| check.status == Status::Error);
    Ok(if has_error { Exit::Error } else { Exit::Done })
}

/// A line for each finding, and below it what to type next.
fn text(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.id.len()).max().unwrap_or_default();
    let mut text = String::new();
    for Check { id, status, message, hint } in checks {
        let style = match status {
            Status::Ok => GOOD,
            Status::Warning => DOUBT,
            Status::Error => BAD,
            Status::Skipped => DIM,
        };
        // Writing into a string cannot fail. A message may quote a file that came with a pull request.
        let _ = writeln!(text, "  {style}{:7}{style:#}  {id:width$}  {}", status.as_str(), escape(message));
        if let Some(hint) = hint {
            let _ = writeln!(text, "  {:7}  {:width$}  {DIM}hint: {}{DIM:#}", "", "", escape(hint));
        }
    }
    text.push('\n');
    text
}

fn sentence(summary: DoctorSummary) -> String {
    let DoctorSummary { ok, warning, error, skipped } = summary;
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    format!("Doctor: {}, {}, {ok} ok, {skipped} skipped.", plural(error, "error"), plural(warning, "warning"))
}
