//! How an apply ends: its exit code, and its counts in one sentence.

use crate::apply::{Halt, Outcome, Report};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::plan::Guard;
use crate::report::{self, ApplySummary};

/// An error after creates: it does not say that there were none.
pub(super) fn after(report: &Report, mut error: CliError, again: &str) -> CliError {
    let has = |is_so: fn(&Outcome) -> bool| report.outcomes.values().any(is_so);
    error.exit = match error.exit {
        _ if has(|outcome| matches!(outcome, Outcome::InDoubt { .. })) => Exit::InDoubt,
        _ if has(|outcome| matches!(outcome, Outcome::Created { .. } | Outcome::Unfinished)) => Exit::Partly,
        exit => exit,
    };
    error.hint(format!("what was created before is recorded; {again} to go on"))
}

pub(super) fn exit(report: &Report, guards: &[Guard], summary: &ApplySummary) -> Exit {
    let created = summary.created + summary.recovered + summary.deleted;
    let failed = summary.kept + summary.refused + summary.not_sent + summary.not_tried + summary.unfinished;
    match &report.halt {
        _ if summary.in_doubt > 0 => Exit::InDoubt,
        // A missing token does not hide that nothing was done.
        _ if !guards.is_empty() => Exit::Guard,
        _ if summary.token_missing > 0 => Exit::InDoubt,
        Some(Halt::Interrupted(signal)) => Exit::Signal(*signal),
        halt if failed > 0 || halt.is_some() => {
            if created + summary.unfinished > 0 {
                Exit::Partly
            } else {
                Exit::Error
            }
        }
        _ => Exit::Done,
    }
}

/// The counts as one sentence: `Apply: 3 created, 2 unchanged.`
pub(super) fn sentence(summary: &ApplySummary) -> String {
    let ApplySummary { created, recovered, unchanged, refused, not_sent, not_tried, .. } = *summary;
    let ApplySummary { unfinished, in_doubt, token_missing, orphaned, .. } = *summary;
    let ApplySummary { deleted, kept, protected, unprotected, aside, imported, moved, settled, .. } = *summary;
    let creates = created + recovered + refused + not_sent + unfinished + not_tried + in_doubt + token_missing + orphaned;
    let before = imported + moved + settled;
    if creates + deleted + kept + protected + unprotected + aside + before == 0 {
        return report::nothing_to_do(unchanged);
    }
    let deletes = if deleted > 0 { format!(", {deleted} deleted") } else { String::new() };
    let first = format!("Apply: {created} created{deletes}, {unchanged} unchanged");
    let counts = [
        (imported, "imported"),
        (moved, "moved"),
        (settled, "settled"),
        (kept, "kept"),
        (protected, "protected"),
        (unprotected, "protected no longer"),
        (recovered, "recovered"),
        (refused, "refused"),
        (not_sent, "not sent"),
        (unfinished, "answered and not finished"),
        (not_tried, "not tried"),
        (in_doubt, "in doubt"),
        (token_missing, "without token"),
        (orphaned, "orphaned"),
        (aside, "left aside"),
    ];
    report::tally(first, &counts)
}
