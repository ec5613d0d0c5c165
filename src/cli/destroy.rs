//! `chatapi destroy`: deletes instances on the server, after their number was confirmed.
//!
//! Everything is looked at before anything is written or sent: each name has an instance that is managed and not protected, and
//! somebody has said how many are meant.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::answers::Asked;
use super::args::DestroyArgs;
use super::console::BOLD;
use super::context::{Context, settling};
use super::deletes::{self, line};
use super::error::CliError;
use super::exit::Exit;
use super::gone;
use super::guards::{guard_hints, they_are, victims};
use super::machine::steady_now;
use super::planning::chosen;
use super::progress::{DRAIN, Display, TRIES};
use super::witness::{self, Witness};
use super::{prompt, signals, state};
use crate::apply::{
    Applier, Departure, Departures, Halt, NoRescue, Observer, Obstacles, Options, RecordError, Signal, StopSignal, Terms,
};
use crate::instance::{InstanceId, InstanceName};
use crate::plan::Guard;
use crate::provider::Provider;
use crate::report::{DestroyDocument, DestroySummary, guard_text, halt_text};
use crate::saved::Consent;
use crate::state::{Lineage, Phase, Record, Serial, State};
use crate::store::{FileStore, StateStore};
use crate::text::counted;

/// What goes before a list that shows nothing, and before its time.
const DESPITE: &str = " --despite-list";
const AT_ONCE: &str = " --settle-after 0s";

/// What was deleted before, of what was named.
type Before = BTreeMap<InstanceName, InstanceId>;

pub(super) fn run(context: &Arc<Context>, args: &DestroyArgs) -> Result<Exit, CliError> {
    let (store, witness) = witness::open(context, "destroy", args.lock.lock_timeout, &args.lock_file)?;
    let mut before = Before::new();
    let head = (store.state().lineage.clone(), store.head().serial);
    let ended = |error| stopped(context, args, (&head.0, head.1), error);
    let names = doomed(context, store.state(), args, &mut before).map_err(ended)?;
    if names.is_empty() {
        if context.is_json() {
            let (departures, head) = (Departures::default(), (&store.state().lineage, store.head().serial));
            let document = DestroyDocument::new(&departures, DestroySummary::default(), head, Exit::Done.code());
            context.document(&document.deleted_before(&before))?;
        }
        Box::new(store).close()?;
        if context.is_text() {
            context.done("Nothing to delete.".to_owned())?;
        }
        return Ok(Exit::Done);
    }
    signals::runtime()?.block_on(async {
        let stop = signals::listen()?;
        confirm(context, (store.state(), &names), args, &stop).await.map_err(ended)?;
        go(context, args, (store, witness), (names, before), stop).await
    })
}

/// A run that is stopped before anything was sent has a document too.
fn stopped(context: &Context, args: &DestroyArgs, head: (&Lineage, Serial), error: CliError) -> CliError {
    if !context.is_json() {
        return error;
    }
    let outcomes = args.names.iter().map(|name| (name.clone(), Departure::NotTried)).collect();
    let departures = Departures { outcomes, ..Departures::default() };
    let document = DestroyDocument::new(&departures, DestroySummary::of(&departures), head, error.exit.code());
    let cause = if error.exit == Exit::Guard { "guard" } else { "error" };
    match context.document(&document.stopped_by(cause, error.first())) {
        Ok(()) => error,
        Err(unwritten) => unwritten,
    }
}

/// The names whose instances are to be deleted, or every reason why that cannot be.
fn doomed(context: &Context, state: &State, args: &DestroyArgs, before: &mut Before) -> Result<BTreeSet<InstanceName>, CliError> {
    let mut names = BTreeSet::new();
    for name in &chosen(context, &args.names, &args.selection, state)? {
        let record = state::record(state, name).map_err(|error| error.hint("nothing was sent"))?;
        // What is selected by a label is what there is of it.
        if !args.names.contains(name) && matches!(record.phase, Phase::Absent { .. } | Phase::Retired { .. }) {
            continue;
        }
        if let Phase::Retired { id, .. } = &record.phase {
            context.console.note(format_args!("{name} was deleted before, as {id}"));
            before.insert(name.clone(), id.clone());
            continue;
        }
        check(context, record, args.unprotect)?;
        names.insert(name.clone());
    }
    Ok(names)
}

fn check(context: &Context, record: &Record, unprotect: bool) -> Result<(), CliError> {
    let (name, command) = (&record.name, context.command());
    let wrong = |message: String| CliError::message(Exit::Error, message).hint("nothing was sent");
    match &record.phase {
        Phase::Created(_) | Phase::Retiring(..) if record.is_protected && !unprotect => {
            Err(CliError::message(Exit::Guard, format!("`{name}` is protected"))
                .hint("nothing was sent")
                .hint("`protect: false` in the manifest and an apply lift that, or `--unprotect` here"))
        }
        Phase::Created(_) | Phase::Retiring(..) => Ok(()),
        Phase::Released(_) => Err(wrong(format!("`{name}` was released and is not managed"))
            .hint(format!("`chatapi release --undo {name}` manages it again"))),
        Phase::Absent { .. } | Phase::Retired { .. } => {
            Err(wrong(format!("`{name}` has no instance")).hint("`chatapi state list` shows every name"))
        }
        Phase::Intent(_) | Phase::InDoubt(..) | Phase::Received(..) => {
            let open = format!("`{name}` has an open attempt: whether it has an instance is not known");
            Err(wrong(open).hint(format!("settle it first: `{command} doubts`; an apply reads a recorded answer")))
        }
    }
}

/// Has somebody say how many instances are to be deleted.
async fn confirm(
    context: &Arc<Context>,
    (state, names): (&State, &BTreeSet<InstanceName>),
    args: &DestroyArgs,
    stop: &StopSignal,
) -> Result<(), CliError> {
    let count = names.len();
    let instances = counted(count, "instance", "instances");
    if let Some(most) = args.deletes.max_deletes.filter(|most| count > *most) {
        let message = format!("{instances} would be deleted, and this run may delete {most}");
        return Err(CliError::message(Exit::Guard, message)
            .hint("nothing was sent")
            .hint(victims(names, None))
            .hint(format!("if {} meant: `--max-deletes {count}`", they_are(count))));
    }
    if args.deletes.yes && args.deletes.max_deletes.is_some() {
        deletes::announce(context, state, names);
        return Ok(());
    }
    if args.deletes.yes || !prompt::is_answered(context) {
        let message = format!("{instances} would be deleted for good, and nobody is asked here");
        return Err(CliError::message(Exit::Guard, message)
            .hint("nothing was sent")
            .hint(victims(names, None))
            .hint(format!("if {} meant: `--yes --max-deletes {count}`", they_are(count))));
    }
    deletes::announce(context, state, names);
    let answer = prompt::unless_stopped(context, stop.clone(), move |console| deletes::ask(console, count)).await;
    answer.unwrap_or_else(|| {
        let signal = stop.asked().unwrap_or(Signal::Interrupt);
        Err(CliError::message(Exit::Signal(signal), format!("stopped by {}", signal.as_str())).hint("nothing was sent"))
    })
}

async fn go(
    context: &Arc<Context>,
    args: &DestroyArgs,
    (store, witness): (FileStore, Witness),
    (names, before): (BTreeSet<InstanceName>, Before),
    stop: StopSignal,
) -> Result<Exit, CliError> {
    let recorded = store.state().clone();
    let bound = recorded.binding.clone();
    let server = context.connect_bound(bound.as_ref(), &args.server).await?;
    context.check_binding(bound.as_ref(), &server, &recorded.lineage)?;
    let options = Options {
        parallelism: args.pace.parallelism,
        rate: args.pace.rate,
        is_exclusive: false,
        settling: settling(&args.server),
        tries: TRIES,
        drain: DRAIN,
        run: context.run_info("destroy"),
        rescue: Arc::new(NoRescue),
        clock: steady_now,
    };
    let display = Arc::new(Display::new(Arc::clone(context)));
    let provider: Arc<dyn Provider> = server.provider.clone();
    let applier = Applier::new(Box::new(store), provider, Arc::clone(&display) as Arc<dyn Observer>, options, stop);
    let terms = Terms { is_refusal_enough: args.despite_list, is_unprotecting: args.unprotect };
    let looked = deletes::look(&applier, &recorded, &names).await;
    if let Some(guard) = looked.mistaken {
        return Err(mistaken(context, args, applier, &guard).await);
    }
    for name in looked.unlisted.iter().filter_map(|id| recorded.known_ids().get(id)) {
        context.console.warn(format_args!("the server does not list `{name}`: it may be gone already"));
    }
    let departures = applier.retire(&names, terms).await;
    display.settle();
    let looked = applier.look(|store| (store.state().clone(), store.head())).await.map_err(unrecorded);
    let renewed = match (&looked, applier.sync().await) {
        (Ok((state, head)), Ok(())) => Some(witness.renew(state, *head)),
        _ => None,
    };
    if let Err(error) = applier.close().await {
        context.complain(&CliError::from(&error));
    }
    display.end();
    let (state, head) = looked?;
    let exit = tell(context, args, (&departures, &before), (&state, head.serial))?;
    match renewed.map(|renewed| renewed.tell(context)) {
        Some(unwritten) if exit == Exit::Done => Ok(unwritten),
        _ => Ok(exit),
    }
}

/// The server shows another instance than the record has: nothing is sent.
async fn mistaken(context: &Context, args: &DestroyArgs, applier: Applier, guard: &Guard) -> CliError {
    let error = CliError::message(Exit::Guard, guard_text(guard)).hint("nothing was sent");
    let error = guard_hints(guard, &Asked { command: &context.command(), with: "destroy", said: &Consent::default() })
        .into_iter()
        .fold(error, CliError::hint);
    let looked = applier.look(|store| (store.state().lineage.clone(), store.head().serial)).await;
    if let Err(error) = applier.close().await {
        context.complain(&CliError::from(&error));
    }
    match looked {
        Ok((lineage, serial)) => stopped(context, args, (&lineage, serial), error),
        Err(_) => error,
    }
}

fn unrecorded(error: RecordError) -> CliError {
    CliError::from(&*error.into_store_error())
}

fn tell(
    context: &Context,
    args: &DestroyArgs,
    (departures, before): (&Departures, &Before),
    (state, serial): (&State, Serial),
) -> Result<Exit, CliError> {
    let summary = DestroySummary::of(departures);
    let exit = exit(departures, &summary);
    if context.is_json() {
        let document = DestroyDocument::new(departures, summary, (&state.lineage, serial), exit.code());
        context.document(&document.deleted_before(before))?;
    }
    if context.is_text() {
        departures.outcomes.iter().for_each(|(name, departure)| line(context, name, departure));
        context.console.line(format_args!("{BOLD}{}{BOLD:#}", summary.sentence()));
    }
    if let Some(halt) = &departures.halt {
        context.complain(&halted(halt, exit));
    }
    if summary.in_doubt > 0 {
        let what = counted(summary.in_doubt, "instance still exists", "instances still exist");
        let error = CliError::message(exit, format!("whether {what} is not known"));
        context.complain(&ways_on(&context.command(), args, departures, state).into_iter().fold(error, CliError::hint));
    }
    Ok(exit)
}

/// Why it stopped early, and what goes on.
fn halted(halt: &Halt, exit: Exit) -> CliError {
    let on = "then delete again: what was sent is on record, and deleting again does no harm";
    match halt {
        Halt::Store(error) => {
            let first = if error.is_full() { "make room on the disk" } else { "mend the disk" };
            CliError::new(exit, &**error).context("the state cannot be written").hint(format!("{first}, {on}"))
        }
        _ => CliError::message(exit, halt_text(halt).1),
    }
}

/// What leads to the end, each with the command that does: with the flags that were given, for more than one may be needed.
fn ways_on(command: &str, args: &DestroyArgs, departures: &Departures, state: &State) -> Vec<String> {
    let Obstacles { lacking, is_nothing_listed, counts_from } = &departures.obstacles;
    // What the list lacks besides may be there, and nobody has spoken of it: no flag that forces anything is told with its name.
    let named: BTreeSet<&InstanceName> = in_doubt(departures).collect();
    let is_protected = named.iter().any(|name| state.record(name).is_some_and(|record| record.is_protected));
    let again = |more: &str| {
        let flags = [
            (is_protected, " --unprotect"),
            (args.despite_list || more == DESPITE, DESPITE),
            (args.server.settle_after.is_zero() || more == AT_ONCE, AT_ONCE),
        ];
        let flags: String = flags.into_iter().filter(|(is_given, _)| *is_given).map(|(_, flag)| flag).collect();
        gone::destroy(command, &named, &flags)
    };
    let is_stuck = *is_nothing_listed && !args.despite_list;
    let mut ways = Vec::new();
    match () {
        () if !lacking.is_empty() => {
            let others = lacking.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            ways.push(format!("the list may lag behind, and lacks {others} too: ask again later, and look: `{command} drift`"));
            let all: BTreeSet<&InstanceName> = named.iter().copied().chain(lacking).collect();
            let all = gone::destroy(command, &all, "");
            ways.push(format!(
                "if `drift` shows that all of them were deleted for good: {all} deletes and records them in one command"
            ));
        }
        () if is_stuck => {
            ways.push("nothing at all is listed: deleting again does no harm, and settles nothing by itself".to_owned());
        }
        () => ways.push(format!("deleting again does no harm: {}", again(""))),
    }
    if let Some(at) = counts_from {
        let at = at.round(jiff::Unit::Second).unwrap_or(*at);
        let now = again(AT_ONCE);
        ways.push(format!("an absence from the list counts from {at} on; if this server's list never lags: {now}"));
    }
    if is_stuck {
        let despite = again(DESPITE);
        ways.push(format!("if the account is the right one, and has nothing any more: {despite}"));
    }
    ways
}

fn in_doubt(departures: &Departures) -> impl Iterator<Item = &InstanceName> {
    departures.outcomes.iter().filter(|(_, it)| matches!(it, Departure::InDoubt { .. })).map(|(name, _)| name)
}

fn exit(departures: &Departures, summary: &DestroySummary) -> Exit {
    let is_all = summary.kept + summary.not_tried == 0;
    match &departures.halt {
        _ if summary.in_doubt > 0 => Exit::InDoubt,
        Some(Halt::Interrupted(signal)) => Exit::Signal(*signal),
        None if is_all => Exit::Done,
        _ if summary.deleted > 0 => Exit::Partly,
        _ => Exit::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_tells_whether_some_are_deleted() {
        let deleted = || Departure::Deleted { id: InstanceId::parse("1").unwrap(), grounds: String::new() };
        let kept = || Departure::Kept { reason: "the server asks to wait".to_owned() };
        let limited = || Some(Halt::RateLimited("status 429".to_owned()));
        let rows = [
            (vec![deleted()], None, 0),
            (vec![deleted(), kept()], None, 4),
            (vec![deleted(), kept()], limited(), 4),
            (vec![deleted(), kept(), Departure::NotTried], limited(), 4),
            (vec![kept(), Departure::NotTried], limited(), 1),
            (vec![kept()], None, 1),
            (vec![deleted(), Departure::InDoubt { reason: String::new() }], limited(), 3),
        ];
        for (all, halt, code) in rows {
            let name = |number| InstanceName::parse(&format!("n{number}")).unwrap();
            let outcomes = all.into_iter().enumerate().map(|(number, departure)| (name(number), departure)).collect();
            let departures = Departures { outcomes, halt, ..Departures::default() };
            assert_eq!(exit(&departures, &DestroySummary::of(&departures)).code(), code, "{departures:?}");
        }
    }
}
