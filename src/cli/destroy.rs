//! `chatapi destroy`: deletes instances on the server, after their number was confirmed.
//!
//! Everything is looked at before anything is written or sent: each name has an instance that is managed and not protected, and
//! somebody has said how many are meant.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::args::DestroyArgs;
use super::console::BOLD;
use super::context::{Context, settling};
use super::deletes::{self, line};
use super::error::CliError;
use super::exit::Exit;
use super::machine::steady_now;
use super::planning::chosen;
use super::progress::{DRAIN, Display, TRIES};
use super::witness::{self, Witness};
use super::{prompt, signals, state};
use crate::apply::{Applier, Departure, Departures, Halt, NoRescue, Observer, Options, RecordError};
use crate::instance::InstanceName;
use crate::provider::Provider;
use crate::report::{DestroyDocument, DestroySummary, halt_text};
use crate::state::{Event, Phase, Record, State};
use crate::store::{FileStore, StateStore};
use crate::text::counted;

pub(super) fn run(context: &Arc<Context>, args: &DestroyArgs) -> Result<Exit, CliError> {
    let (mut store, witness) = witness::open(context, "destroy", args.lock.lock_timeout, &args.lock_file)?;
    let names = doomed(context, store.state(), args)?;
    if names.is_empty() {
        Box::new(store).close()?;
        context.done("Nothing to delete.".to_owned())?;
        return Ok(Exit::Done);
    }
    confirm(context, store.state(), &names, args)?;
    lift_protection(context, &mut store, &names)?;
    signals::runtime()?.block_on(go(context, args, (store, witness), names))
}

/// The names whose instances are to be deleted, or every reason why that cannot be.
fn doomed(context: &Context, state: &State, args: &DestroyArgs) -> Result<BTreeSet<InstanceName>, CliError> {
    let mut names = BTreeSet::new();
    for name in &chosen(context, &args.names, &args.selection, state)? {
        let record = state::record(state, name)?;
        // What is selected by a label is what there is of it.
        if !args.names.contains(name) && matches!(record.phase, Phase::Absent { .. } | Phase::Retired { .. }) {
            continue;
        }
        if let Phase::Retired { id, .. } = &record.phase {
            context.console.note(format_args!("{name} was deleted before, as {id}"));
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
fn confirm(context: &Context, state: &State, names: &BTreeSet<InstanceName>, args: &DestroyArgs) -> Result<(), CliError> {
    let count = names.len();
    let instances = counted(count, "instance", "instances");
    if let Some(most) = args.deletes.max_deletes.filter(|most| count > *most) {
        let message = format!("{instances} would be deleted, and this run may delete {most}");
        return Err(CliError::message(Exit::Guard, message)
            .hint("nothing was sent")
            .hint(format!("if they are meant: `--max-deletes {count}`")));
    }
    if args.deletes.yes && args.deletes.max_deletes.is_some() {
        return Ok(());
    }
    if args.deletes.yes || !prompt::is_answered(context) {
        let message = format!("{instances} would be deleted for good, and nobody is asked here");
        return Err(CliError::message(Exit::Guard, message)
            .hint("nothing was sent")
            .hint(format!("if they are meant: `--yes --max-deletes {count}`")));
    }
    deletes::announce(context, state, names);
    deletes::ask(&context.console, count)
}

/// What was protected and is to be deleted all the same, as was said.
fn lift_protection(context: &Context, store: &mut FileStore, names: &BTreeSet<InstanceName>) -> Result<(), CliError> {
    let is_protected = |name: &&InstanceName| store.state().record(name).is_some_and(|record| record.is_protected);
    let unprotected: Vec<_> = names.iter().filter(is_protected).cloned().collect();
    if !unprotected.is_empty() {
        store.append(context.run_info("destroy").event(), Timestamp::now())?;
        store.append(Event::Protection { protected: Vec::new(), unprotected }, Timestamp::now())?;
    }
    Ok(())
}

async fn go(
    context: &Arc<Context>,
    args: &DestroyArgs,
    (store, witness): (FileStore, Witness),
    names: BTreeSet<InstanceName>,
) -> Result<Exit, CliError> {
    let stop = signals::listen()?;
    let bound = store.state().binding.clone();
    let server = context.connect_bound(bound.as_ref(), &args.server).await?;
    context.check_binding(bound.as_ref(), &server, &store.state().lineage)?;
    let options = Options {
        parallelism: usize::from(args.parallelism),
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
    let departures = applier.retire(&names, args.despite_list).await;
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
    let exit = tell(context, &departures, (&state, head.serial))?;
    match renewed.map(|renewed| renewed.tell(context)) {
        Some(unwritten) if exit == Exit::Done => Ok(unwritten),
        _ => Ok(exit),
    }
}

fn unrecorded(error: RecordError) -> CliError {
    CliError::from(&*error.into_store_error())
}

fn tell(context: &Context, departures: &Departures, (state, serial): (&State, crate::state::Serial)) -> Result<Exit, CliError> {
    let summary = DestroySummary::of(departures);
    let exit = exit(departures, &summary);
    if context.is_json() {
        let document = DestroyDocument::new(departures, summary, (&state.lineage, serial), exit.code());
        context.document(&document)?;
    }
    if context.is_text() {
        departures.outcomes.iter().for_each(|(name, departure)| line(context, name, departure));
        context.console.line(format_args!("{BOLD}{}{BOLD:#}", summary.sentence()));
    }
    if let Some(halt) = &departures.halt {
        context.complain(&CliError::message(exit, halt_text(halt).1));
    }
    if summary.in_doubt > 0 {
        let command = context.command();
        let names: Vec<&str> = in_doubt(departures).map(InstanceName::as_str).collect();
        let message = format!("whether {} still exist is not known", counted(summary.in_doubt, "instance", "instances"));
        context.complain(
            &CliError::message(exit, message)
                .hint(format!("deleting again does no harm: `{command} destroy {}`", names.join(" "))),
        );
    }
    Ok(exit)
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
        None if summary.deleted > 0 => Exit::Partly,
        Some(_) | None => Exit::Error,
    }
}
