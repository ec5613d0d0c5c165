//! A plan as text: its rows, its counts and what it costs.

use std::fmt::Write as _;

use anstyle::Style;
use unicode_width::UnicodeWidthStr as _;

use crate::cli::console::{BAD, BOLD, Console, DIM, DOUBT, GOOD, Loudness};
use crate::cli::context::Context;
use crate::cli::reports::Told;
use crate::cli::table::{cut, fit};
use crate::cli::wrap::broken;
use crate::plan::{Action, Change, Cost, Drift, Plan, PlanSummary, Reason};
use crate::report;
use crate::report::account::{Case, Counts};
use crate::report::events::{Line, Summary};
use crate::text::escape;

/// The plan as text: what changes or needs attention, the counts, and the cost. With what the server's list says of it, where that
/// was asked for.
pub(in crate::cli) fn show(console: &Console, plan: &Plan, (cost, drift): (Option<&Cost>, Option<&Drift>)) {
    let quiet = console.loudness < Loudness::Verbose;
    let shown: Vec<&Change> = plan.rows().filter(|change| !quiet || is_notable(change)).collect();
    let mut text = rows(&shown, Console::width());
    if !text.is_empty() {
        text.push('\n');
    }
    console.result(text);
    console.line(format_args!("{BOLD}{}{BOLD:#}", sentence(&plan.summary(), drift)));
    cost.map(cost_sentence).into_iter().for_each(|line| console.line(line));
}

/// How narrow names may be cut; types and actions stand in full.
const LEAST: [Option<usize>; 3] = [Some(24), None, None];
/// The mark, and what stands between the columns.
const GAPS: usize = 10;
/// So long a reason stands behind its change, even if names are cut for it; a longer one stands below rather.
const SHORT: usize = 24;
/// Where a reason begins that does not fit behind its change.
const BELOW: usize = 6;

/// A line for each change, where possible in `room` columns of a terminal; a reason for which there is no room stands below.
fn rows(changes: &[&Change], room: Option<usize>) -> String {
    let width = |text: &dyn Fn(&Change) -> usize| changes.iter().map(|change| text(change)).max().unwrap_or(0);
    let mut widths = [
        width(&|change| change.name.as_str().len()),
        width(&|change| change.kind.as_str().len()),
        width(&|change| change.action.as_str().len()),
    ];
    let short = width(&|change| Some(change.reason.to_string().width()).filter(|width| *width <= SHORT).unwrap_or(0));
    fit(&mut widths, &LEAST, room.map(|room| room.saturating_sub(GAPS + short)));
    let used = GAPS + widths.iter().sum::<usize>();
    let [names, kinds, actions] = widths;
    let mut text = String::new();
    for change in changes {
        let (mark, style) = marked(change);
        let (name, action) = (cut(change.name.as_str(), names), change.action.as_str());
        // A saved plan may come from elsewhere: what it says stays on its line.
        let reason = change.reason.to_string();
        let (reason, renamed) = (escape(&reason), renamed(change));
        let length = reason.width() + renamed.len();
        let detail = format!("{DIM}{reason}{DIM:#}{DOUBT}{renamed}{DOUBT:#}");
        let row = format!("  {style}{mark}{style:#} {name:names$}  {:kinds$}  {action:actions$}", change.kind);
        // Writing into a string cannot fail.
        let _ = match room.filter(|room| used + length > *room) {
            None => writeln!(text, "{row}  {detail}"),
            Some(room) => {
                writeln!(text, "{}\n{}", row.trim_end(), broken(&format!("{:BELOW$}{detail}", ""), room, Some(BELOW)))
            }
        };
    }
    text
}

/// The mark before a change, and its colour.
fn marked(change: &Change) -> (char, Style) {
    let style = match (change.action, &change.reason) {
        (Action::Create | Action::Finish | Action::Import | Action::Move | Action::Settle, _) => GOOD,
        (_, Reason::TokenMissing { .. } | Reason::InDoubt { .. }) => DOUBT,
        (Action::Conflict | Action::Delete, _) => BAD,
        _ => DIM,
    };
    let mark = if matches!(change.reason, Reason::TokenMissing { .. }) && change.action == Action::NoOp {
        '!'
    } else {
        report::mark(change.action)
    };
    (mark, style)
}

/// What it may have been called before.
fn renamed(change: &Change) -> String {
    change.renamed_from.as_ref().map(|from| format!(" (renamed from {from}?)")).unwrap_or_default()
}

fn is_notable(change: &Change) -> bool {
    match change.action {
        Action::NoOp => matches!(change.reason, Reason::TokenMissing { .. }),
        action => action != Action::Aside,
    }
}

/// The counts as one sentence: `Plan: 2 to create, 5 unchanged, 1 in doubt, 1 orphaned.`
fn sentence(summary: &PlanSummary, drift: Option<&Drift>) -> String {
    let PlanSummary { create, unchanged, in_doubt, finish, token_missing, conflict, orphaned, .. } = *summary;
    let PlanSummary { delete, protect, unprotect, aside, import, moves, settle, .. } = *summary;
    let is_quiet = create + in_doubt + finish + token_missing + conflict + orphaned == 0;
    if is_quiet && delete + protect + unprotect + aside + import + moves + settle == 0 {
        return match drift {
            Some(drift) if drift.contradicts_state() => report::nothing_but_drift(unchanged),
            _ => report::nothing_to_do(unchanged),
        };
    }
    let deletes = if delete > 0 { format!(", {delete} to delete") } else { String::new() };
    let first = format!("Plan: {create} to create{deletes}, {unchanged} unchanged");
    let counts = [
        (import, "to import"),
        (moves, "to move"),
        (settle, "to settle"),
        (finish, "to finish"),
        (protect, "to protect"),
        (unprotect, "to protect no longer"),
        (in_doubt, "in doubt"),
        (token_missing, "without token"),
        (conflict, "in conflict"),
        (orphaned, "orphaned"),
        (aside, "left aside"),
    ];
    report::tally(first, &counts)
}

/// What the reports tell of a plan.
pub(in crate::cli) fn account(context: &Context, plan: &Plan, (cost, drift): (Option<&Cost>, Option<&Drift>)) {
    let summary = plan.summary();
    let (create, in_doubt) = (summary.create, summary.in_doubt);
    let counts = Counts { is_changed: report::has_changes(&summary), create, delete: summary.delete, in_doubt, refused: 0 };
    let headline = with_cost(sentence(&summary, drift), cost);
    context.emit(|| Some(Line::summary("plan", &headline, Summary::Plan(summary.into()))));
    context.reports.tell(|| Told { headline, counts, cases: Case::of_plan(plan) });
}

/// What it costs, as a sentence.
pub(in crate::cli) fn cost_sentence(cost: &Cost) -> String {
    let Cost { currency, added, total, unpriced } = cost;
    let without = match unpriced.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => none,
        kinds => format!("; no price is known for {kinds}"),
    };
    format!("Cost: {added} {currency} more a month, {total} {currency} in all{without}.")
}

/// `sentence`, and what it costs behind it.
pub(in crate::cli) fn with_cost(sentence: String, cost: Option<&Cost>) -> String {
    cost.map(cost_sentence).into_iter().fold(sentence, |text, cost| text + " " + &cost)
}
