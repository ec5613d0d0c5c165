//! `chatapi state mv` and `rm`, and `chatapi release`: what a name of ours stands for. Everything is checked before anything is written, for each entry makes
//! the saved plans stale.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::cli::args::{LockArgs, ReleaseArgs, WitnessArg};
use crate::cli::context::{Context, kind_of};
use crate::cli::deletes::finishing;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::{neighbours, witness};
use crate::instance::InstanceName;
use crate::report::in_words;
use crate::state::{AttemptId, Event, Phase, Record, State};
use crate::store::StateStore;
use crate::text::closest;

/// Names that an error lists at the most.
const LISTED: usize = 8;

pub(super) fn mv(
    context: &Context,
    (from, to): (&InstanceName, &InstanceName),
    lock_file: &WitnessArg,
    lock: &LockArgs,
) -> Result<Exit, CliError> {
    let (mut store, witness) = witness::open(context, "state mv", lock.lock_timeout, lock_file)?;
    check_move(store.state(), from, to)?;
    store.append(context.run_info("state mv").event(), Timestamp::now())?;
    store.append(Event::Moved { from: from.clone(), to: to.clone() }, Timestamp::now())?;
    // The state first: a lock file that is behind is caught up with, and one that is ahead stops every run.
    store.sync()?;
    let closed = witness.close(store);
    context.done(format!("`{from}` is `{to}` from now on; declare it under that name."))?;
    closed.tell(context)
}

/// Refuses a name that no manifest could declare beside another one: they differ in their letters' case or their signs only. `but`
/// is the name that is given up for it.
pub(in crate::cli) fn check_twins(state: &State, name: &InstanceName, but: &InstanceName) -> Result<(), CliError> {
    let is_there = |record: &&Record| record.instance().is_some() || record.open_id().is_some();
    let key = name.twin_key();
    let others = state.records().values().filter(is_there).map(|record| &record.name);
    let Some(twin) = others.into_iter().find(|other| *other != name && *other != but && other.twin_key() == key) else {
        return Ok(());
    };
    Err(CliError::message(Exit::Error, format!("the names `{name}` and `{twin}` are twins: no manifest may declare both"))
        .hint("nothing was changed; choose a name that differs in more than case and signs"))
}

/// Whether what is recorded under `from` may be called `to`.
fn check_move(state: &State, from: &InstanceName, to: &InstanceName) -> Result<(), CliError> {
    let there = state.record(to).filter(|record| !matches!(record.phase, Phase::Absent { .. }));
    let Some(record) = state.record(from) else {
        let missing = unknown(from, state.records().keys());
        return Err(match there {
            Some(_) => missing.hint(format!("`{to}` is recorded: it may have that name already (`chatapi state history {to}`)")),
            None => missing,
        });
    };
    if record.instance().is_none() {
        return Err(unfit(record));
    }
    check_twins(state, to, from)?;
    let Some(taken) = there else { return Ok(()) };
    let message = format!("the name `{to}` is taken: it is {}", in_words(taken.status()));
    let refused = CliError::message(Exit::Error, message).hint("nothing was changed; choose another name");
    Err(match taken.phase {
        _ if from == to => refused,
        Phase::Released(_) => refused.hint(format!("if it is the one that was released: `chatapi release --undo {to}`")),
        _ => refused.hint(format!("`chatapi state show {to}` shows what has it")),
    })
}

pub(super) fn rm(context: &Context, name: &InstanceName, lock_file: &WitnessArg, lock: &LockArgs) -> Result<Exit, CliError> {
    let (mut store, witness) = witness::open(context, "state rm", lock.lock_timeout, lock_file)?;
    let record = record(store.state(), name)?;
    if !record.has_nothing_to_lose() {
        return Err(match &record.phase {
            Phase::Created(instance) => {
                let message = format!(
                    "`{name}` exists as {}, and is managed: forgotten, it would be paid for, and known to nobody",
                    instance.id
                );
                CliError::message(Exit::Error, message)
                    .hint(format!("to keep it on the server and manage it no longer: `chatapi release {name}`"))
                    .hint(format!("to delete it there: `chatapi destroy {name}`"))
                    .hint(format!("to give it another name: `chatapi state mv {name} NEW`"))
            }
            Phase::Retiring(..) => unfit(record).hint(format!("`{}` finishes the delete", finishing("chatapi", record))),
            _ => unfit(record),
        });
    }
    if let Some((old, _)) = store.state().half_replaced(name) {
        let aside = &old.name;
        return Err(CliError::message(Exit::Error, format!("`{name}` is half replaced: what it had is `{aside}` now"))
            .hint(format!("to take that back: `chatapi state mv {aside} {name}`; to go on: `chatapi apply --replace {name}`")));
    }
    let was_released = record.status() == "released";
    let lost = record.lost().into_iter().chain(record.former.iter().filter_map(|former| former.lost.as_deref()));
    let tokens: Vec<String> = lost.filter(|it| it.token.is_some()).map(|it| it.id.to_string()).collect();
    store.append(context.run_info("state rm").event(), Timestamp::now())?;
    store.append(Event::Forgotten { name: name.clone() }, Timestamp::now())?;
    store.sync()?;
    let closed = witness.close(store);
    context.done(format!("`{name}` is forgotten; declared again, it is created anew."))?;
    if was_released {
        context.console.note("it is still paid for, and its id belongs to nobody that this state knows from now on");
    }
    if !tokens.is_empty() {
        let ids = tokens.join(", ");
        context
            .console
            .warn(format_args!("only lists called {ids} gone, and its token is forgotten: nobody has it should it exist"));
    }
    closed.tell(context)
}

pub(in crate::cli) fn release(context: &Context, args: &ReleaseArgs) -> Result<Exit, CliError> {
    let ReleaseArgs { names, undo, lock_file, lock } = args;
    let (mut store, witness) = witness::open(context, "release", lock.lock_timeout, lock_file)?;
    let names: BTreeSet<&InstanceName> = names.iter().collect();
    for name in &names {
        let record = record(store.state(), name)?;
        let fits = if *undo { record.status() == "released" } else { record.instance().is_some() || begun(record).is_some() };
        if !fits {
            return Err(unfit(record));
        }
    }
    if *undo {
        let state = store.state();
        let theirs = neighbours::beside(context, Some(state), kind_of(state.binding.as_ref()));
        let ids = names.iter().filter_map(|name| state.record(name)?.id());
        ids.into_iter().try_for_each(|id| neighbours::check_free(&theirs, id))?;
    }
    store.append(context.run_info("release").event(), Timestamp::now())?;
    for name in &names {
        if let Some(attempt) = store.state().record(name).and_then(begun).cloned() {
            // Nothing was sent: it exists as before.
            store.append(Event::Kept { attempt, reason: "taken back before it was sent".to_owned() }, Timestamp::now())?;
        }
        let name = (*name).clone();
        let event = if *undo { Event::Reclaimed { name } } else { Event::Released { name } };
        store.append(event, Timestamp::now())?;
    }
    store.sync()?;
    let closed = witness.close(store);
    let all: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let (is, them, stay) = if names.len() == 1 { ("is", "it", "it stays") } else { ("are", "them", "they stay") };
    let all = all.join(", ");
    if *undo {
        context.done(format!("{all} {is} managed again."))?;
    } else {
        let paid = if names.len() == 1 { "is" } else { "are" };
        context.done(format!("{all} {is} managed no longer; {stay} on the server and {paid} still paid for there."))?;
        let typed: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        let back = format!("{} release --undo {}", context.command(), typed.join(" "));
        context.console.note(format_args!("remove {them} from the manifest; `{back}` takes {them} back"));
    }
    closed.tell(context)
}

/// The delete that is on record and was not sent.
fn begun(record: &Record) -> Option<&AttemptId> {
    record.retirement().filter(|open| open.sent.is_none()).map(|open| &open.attempt)
}

/// The record's status has no such step.
fn unfit(record: &Record) -> CliError {
    let wrong = CliError::message(Exit::Error, format!("`{}` is {}", record.name, in_words(record.status())));
    if record.open_attempt().is_some() {
        wrong.hint("settle it first: `chatapi doubts`")
    } else if let Some(retirement) = record.retirement() {
        let name = &record.name;
        match retirement.sent {
            Some(_) => wrong.hint(format!("its delete was sent: `{}` tells what became of it", finishing("chatapi", record))),
            None => wrong.hint(format!("its delete was not sent: `chatapi release {name}` takes that back")),
        }
    } else {
        wrong.hint("`chatapi state list` shows every name and its status")
    }
}

/// What is recorded under `name`.
pub(in crate::cli) fn record<'s>(state: &'s State, name: &InstanceName) -> Result<&'s Record, CliError> {
    state.record(name).ok_or_else(|| unknown(name, state.records().keys()))
}

/// Nothing is recorded under `name`: which of the `known` ones was meant, and what there is.
pub(super) fn unknown<'n>(name: &InstanceName, known: impl IntoIterator<Item = &'n InstanceName>) -> CliError {
    let known: Vec<&InstanceName> = known.into_iter().collect();
    let error = CliError::message(Exit::Error, format!("nothing is recorded under `{name}`"));
    let error = meant(error, name, known.iter().copied());
    match known.get(..LISTED).unwrap_or(&known) {
        [] => error.hint("no name is recorded at all: `chatapi apply FILE` creates what is declared"),
        some if some.len() < known.len() => error.hint("`chatapi state list` shows every name"),
        all => {
            let all: Vec<&str> = all.iter().map(|name| name.as_str()).collect();
            error.hint(format!("recorded are {}; `chatapi state list` shows every name", all.join(", ")))
        }
    }
}

/// Adds which of the `known` names is probably meant.
pub(in crate::cli) fn meant<'n>(
    error: CliError,
    name: &InstanceName,
    known: impl IntoIterator<Item = &'n InstanceName>,
) -> CliError {
    match closest(name.as_str(), known.into_iter().map(InstanceName::as_str)) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error,
    }
}
