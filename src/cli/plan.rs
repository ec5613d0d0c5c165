//! `chatapi plan`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::args::PlanArgs;
use super::console::{BAD, BOLD, Console, DIM, DOUBT, GOOD, Loudness};
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::reports::{self, Told};
use super::sealing::{self, Pinning};
use crate::apply::Report;
use crate::instance::{InstanceName, InstanceType};
use crate::manifest::{Manifest, ProviderKind};
use crate::plan::{Action, Change, Guard, Plan, PlanSummary, Reason};
use crate::report::account::{Case, Counts, Notice};
use crate::report::events::{Line, Summary};
use crate::report::{self, PlanDocument};
use crate::state::{FORMAT, Lineage, Serial, State};
use crate::store::{self, LockFile, Source, StoreError};

pub(super) fn run(context: &Context, args: &PlanArgs) -> Result<Exit, CliError> {
    let lock_path = Context::lock_file(&args.manifests.files, args.lock_file.lock_file.as_ref());
    let lock = LockFile::read(&lock_path)?;
    // Two threads: the manifest and the state know nothing of each other, and each takes its time.
    let (manifest, reading) = std::thread::scope(|scope| {
        let reading = scope.spawn(|| store::read(&context.state_dir, lock.as_ref()));
        (Context::manifest(&args.manifests.files), reading.join())
    });
    let manifest = manifest?;
    let reading = reading.unwrap_or_else(|_| store::read(&context.state_dir, lock.as_ref()));
    let state = match reading {
        Ok(reading) => {
            tracing::info!(serial = %reading.head.serial, from_index = reading.source == Source::Index, "read the state");
            Some(reading.state)
        }
        Err(StoreError::Absent(_)) => None,
        Err(error) => {
            return Err(CliError::from(error).on(manifest.provider, &lock_path, (&context.state_dir, &context.command())));
        }
    };
    let plan = crate::plan::plan(&declared(&manifest), state.as_ref().unwrap_or(&nothing()));
    let summary = plan.summary();
    let guards: Vec<Guard> = plan.guards(&[]).into_iter().chain(plan.over_budget(args.budget.max_creates)).collect();
    let wanted = sealing::wanted(&manifest)?;
    let sealing =
        state.as_ref().map_or(Ok(Pinning::Pin(wanted.clone())), |state| sealing::check(&wanted, state, &context.command()));
    if context.wants_document() {
        let pinned = state.as_ref().map(|state| &state.recipients);
        context.deliver(&PlanDocument::new(&plan, state.as_ref(), &guards).sealing(pinned, &wanted, sealing.is_err()))?;
    }
    if context.is_text() {
        show(&context.console, &plan);
        remark(context, &manifest, state.is_none(), (&plan, &guards));
    }
    account(context, &manifest, state.as_ref(), (&plan, &guards));
    if let Err(error) = sealing {
        context.console.warn("an apply will stop:");
        context.complain(&error);
    }
    Ok(match summary {
        PlanSummary { in_doubt: 1.., .. } | PlanSummary { token_missing: 1.., .. } => Exit::InDoubt,
        _ if args.detailed_exitcode && report::has_changes(&summary) => Exit::Changes,
        _ => Exit::Done,
    })
}

/// The declared names and types.
pub(super) fn declared(manifest: &Manifest) -> BTreeMap<InstanceName, InstanceType> {
    manifest.declarations().iter().map(|declaration| (declaration.name.clone(), declaration.kind)).collect()
}

fn nothing() -> State {
    State::new(Lineage::from_bytes([0; 16]), Serial(0), FORMAT)
}

/// The plan as text: what changes or needs attention, and the counts.
pub(super) fn show(console: &Console, plan: &Plan) {
    let quiet = console.loudness < Loudness::Verbose;
    let shown: Vec<&Change> = plan.changes.iter().filter(|change| !quiet || is_notable(change)).collect();
    let width = |text: &dyn Fn(&Change) -> usize| shown.iter().map(|change| text(change)).max().unwrap_or(0);
    let names = width(&|change| change.name.as_str().len());
    let kinds = width(&|change| change.kind.as_str().len());
    let actions = width(&|change| change.action.as_str().len());
    let mut text = String::new();
    for change in &shown {
        let style = match (change.action, &change.reason) {
            (Action::Create | Action::Finish, _) => GOOD,
            (_, Reason::TokenMissing { .. } | Reason::InDoubt { .. }) => DOUBT,
            (Action::Conflict, _) => BAD,
            _ => DIM,
        };
        let mark = if matches!(change.reason, Reason::TokenMissing { .. }) { '!' } else { report::mark(change.action) };
        let (action, reason) = (change.action.as_str(), &change.reason);
        // Writing into a string cannot fail.
        let _ = write!(
            text,
            "  {style}{mark}{style:#} {:names$}  {:kinds$}  {action:actions$}  {DIM}{reason}{DIM:#}",
            change.name, change.kind
        );
        if let Some(from) = &change.renamed_from {
            let _ = write!(text, " {DOUBT}(renamed from {from}?){DOUBT:#}");
        }
        text.push('\n');
    }
    if !text.is_empty() {
        text.push('\n');
    }
    console.result(text);
    console.line(format_args!("{BOLD}{}{BOLD:#}", sentence(&plan.summary())));
}

fn is_notable(change: &Change) -> bool {
    change.action != Action::NoOp || matches!(change.reason, Reason::TokenMissing { .. })
}

/// The counts as one sentence: `Plan: 2 to create, 5 unchanged, 1 in doubt, 1 orphaned.`
fn sentence(summary: &PlanSummary) -> String {
    let PlanSummary { create, unchanged, in_doubt, finish, token_missing, conflict, orphaned, .. } = *summary;
    if create + in_doubt + finish + token_missing + conflict + orphaned == 0 {
        return report::nothing_to_do(unchanged);
    }
    let first = format!("Plan: {create} to create, {unchanged} unchanged");
    let counts = [
        (finish, "to finish"),
        (in_doubt, "in doubt"),
        (token_missing, "without token"),
        (conflict, "in conflict"),
        (orphaned, "orphaned"),
    ];
    report::tally(first, &counts)
}

/// What the reports tell.
fn account(context: &Context, manifest: &Manifest, state: Option<&State>, (plan, guards): (&Plan, &[Guard])) {
    let (reports, command) = (&context.reports, context.command());
    if !reports.is_wanted() {
        return;
    }
    reports.declare(manifest);
    context.planned(plan);
    for guard in guards {
        context.note(Notice::of_guard(guard).hint(&guard_hint(guard, &command)));
    }
    if let Some(state) = state {
        reports.about(&state.lineage, state.serial);
        let nothing = Report::default();
        reports::doubts(state, &nothing, &command)
            .chain(reports::tokens(state, &command))
            .for_each(|notice| context.note(notice));
    }
    let summary = plan.summary();
    let (create, in_doubt) = (summary.create, summary.in_doubt);
    let counts = Counts { is_changed: report::has_changes(&summary), create, in_doubt, refused: 0 };
    context.emit(|| Some(Line::summary("plan", &sentence(&summary), Summary::Plan(summary.into()))));
    reports.tell(|| Told { headline: sentence(&summary), counts, cases: Case::of_plan(plan) });
}

/// What the person should know besides.
fn remark(context: &Context, manifest: &Manifest, is_first: bool, (plan, guards): (&Plan, &[Guard])) {
    let console = &context.console;
    for guard in guards {
        console.warn(format_args!("an apply will stop: {}", report::guard_text(guard)));
        console.note(format_args!("  {BOLD}hint{BOLD:#}: {}", guard_hint(guard, &context.command())));
    }
    let (summary, command) = (plan.summary(), context.command());
    if summary.in_doubt > 0 {
        console
            .note(format_args!("  {BOLD}hint{BOLD:#}: `{command} doubts` shows the evidence and the command that settles each"));
    }
    if summary.token_missing > 0 {
        console.note(format_args!("  {BOLD}hint{BOLD:#}: `{command} token set NAME` reads a missing token from standard input"));
    }
    if is_first && context.is_ci && manifest.provider == ProviderKind::Chatapi {
        console.warn("there is no state here; in CI the first apply has to be told so: `chatapi apply --init`");
    }
}

/// What answers a guard.
pub(super) fn guard_hint(guard: &Guard, command: &str) -> String {
    match guard {
        Guard::TypeChange { name, recorded, .. } => {
            format!("declare `{name}` as {recorded} again, or give the new one another name")
        }
        Guard::Released { name, .. } => {
            format!("to manage it again: `{command} state rm --undo {name}`; for a new instance choose another name")
        }
        Guard::Budget { wanted, .. } => {
            format!("if so many are meant: `--max-creates {wanted}`, or CHATAPI_MAX_CREATES where your CI keeps its settings")
        }
        Guard::ProbableRename { from, to, .. } => {
            format!("if it is a rename: `{command} state mv {from} {to}`; if it is new, apply with `--not-a-rename {to}`")
        }
    }
}
