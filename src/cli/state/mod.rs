//! `chatapi state …`: looking at it, and taking care of it.

mod care;
mod export;
mod past;
mod rebind;
mod rebuild;
mod rekey;
mod rescue;

use jiff::Timestamp;

pub(super) use rescue::Elsewhere;

use super::args::{LockArgs, StateVerb};
use super::console::Console;
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::table::{Column, table};
use crate::instance::InstanceName;
use crate::report::{InstanceData, StateDocument};
use crate::state::{Event, Record, State};
use crate::store::{self, Reading, Source, StateStore};
use crate::text::closest;

pub(super) fn run(context: &Context, verb: StateVerb) -> Result<Exit, CliError> {
    match verb {
        StateVerb::List { names: true } => names(context),
        StateVerb::List { .. } => list(context),
        StateVerb::Show { name } => show(context, name.as_ref()),
        StateVerb::Mv { from, to, lock } => mv(context, &from, &to, &lock),
        StateVerb::Rm { name, undo, lock } => rm(context, &name, undo, &lock),
        StateVerb::Rebuild(args) => rebuild::run(context, &args),
        StateVerb::Rebind { despite_list, reason, lock, server } => {
            rebind::run(context, despite_list, reason.as_deref(), &lock, &server)
        }
        StateVerb::Verify(args) => care::verify(context, &args),
        StateVerb::Compact(lock) => care::compact(context, &lock),
        StateVerb::History { name } => past::run(context, name.as_ref()),
        StateVerb::Export { reveal: true, identity, .. } => export::reveal(context, &identity),
        StateVerb::Export { unsealed, .. } => export::export(context, unsealed),
        StateVerb::Import { file, lock_file, lock } => export::import(context, &file, &lock_file, &lock),
        StateVerb::Rescue { file, identity, lock } => rescue::run(context, &file, &identity, &lock),
        StateVerb::Rekey { manifests, only_new, unseal, identity, lock } => {
            rekey::run(context, &manifests, rekey::How { only_new, unseal }, &identity, &lock)
        }
    }
}

/// Opens a file to be read; no pipe that nobody writes to, and no device without an end.
fn regular(path: &std::path::Path) -> std::io::Result<std::fs::File> {
    if std::fs::metadata(path)?.is_file() {
        return std::fs::File::open(path);
    }
    Err(std::io::Error::other("it is not a file"))
}

/// Reads the state for looking.
pub(super) fn read(context: &Context) -> Result<Reading, CliError> {
    Ok(store::read(&context.state_dir, None)?)
}

fn names(context: &Context) -> Result<Exit, CliError> {
    read(context)?.state.records().keys().for_each(|name| context.console.line(name));
    Ok(Exit::Done)
}

fn list(context: &Context) -> Result<Exit, CliError> {
    let reading = read(context)?;
    let instances: Vec<InstanceData> = reading.state.records().values().map(InstanceData::from).collect();
    if context.is_json() {
        context.document(&instances)?;
        return Ok(Exit::Done);
    }
    if instances.is_empty() {
        context.console.note("nothing is recorded yet");
        return Ok(Exit::Done);
    }
    let row = |instance: &InstanceData| {
        let id = instance.id.as_ref().map_or("-", |id| id.as_str());
        let api_url = instance.api_url.as_ref().map_or("-", |api_url| api_url.as_str());
        [instance.name.as_str(), instance.kind.as_str(), instance.status, id, api_url].map(str::to_owned).to_vec()
    };
    let columns = [
        Column::cut("NAME", 16),
        Column::whole("TYPE"),
        Column::whole("STATUS"),
        Column::cut("ID", 12),
        Column::cut("ADDRESS", 16).spare(),
    ];
    let rows: Vec<_> = instances.iter().map(row).collect();
    context.console.result(table(&columns, &rows, Console::width()));
    Ok(Exit::Done)
}

fn show(context: &Context, name: Option<&InstanceName>) -> Result<Exit, CliError> {
    let reading = read(context)?;
    match name {
        None => show_state(context, &reading),
        Some(name) => show_one(context, &reading, name),
    }
}

fn show_state(context: &Context, reading: &Reading) -> Result<Exit, CliError> {
    let source = match reading.source {
        Source::Index => "index",
        Source::Journal => "journal",
    };
    if context.is_json() {
        context.document(&StateDocument::new(&reading.state, reading.head, source))?;
        return Ok(Exit::Done);
    }
    let state = &reading.state;
    let created = state.records().values().filter(|record| record.instance().is_some()).count();
    let server = state.binding.as_ref().map_or("none yet", |binding| binding.origin.0.as_str());
    let rows = [
        ("directory", context.state_dir.display().to_string()),
        ("lineage", state.lineage.to_string()),
        ("serial", reading.head.serial.to_string()),
        ("server", server.to_owned()),
        ("instances", created.to_string()),
        ("in doubt", state.doubts().count().to_string()),
        ("sealed to", state.recipients.to_string()),
        ("read from", source.to_owned()),
    ];
    print_pairs(context, &rows);
    Ok(Exit::Done)
}

fn show_one(context: &Context, reading: &Reading, name: &InstanceName) -> Result<Exit, CliError> {
    let record = record(context, &reading.state, name)?;
    let data = InstanceData::from(record);
    if context.is_json() {
        context.document(&data)?;
        return Ok(Exit::Done);
    }
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let rows = [
        ("name", data.name.to_string()),
        ("type", data.kind.to_string()),
        ("status", data.status.to_owned()),
        ("id", text(data.id.map(|id| id.to_string()))),
        ("address", text(data.api_url.map(|api_url| api_url.to_string()))),
        ("since", text(data.since.map(|since| since.round(jiff::Unit::Second).unwrap_or(since).to_string()))),
        ("attempts", data.attempts.to_string()),
        ("open attempt", text(data.attempt.map(|attempt| attempt.to_string()))),
        ("reason", text(data.reason)),
    ];
    print_pairs(context, &rows);
    Ok(Exit::Done)
}

fn print_pairs(context: &Context, rows: &[(&str, String)]) {
    let width = rows.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    for (label, value) in rows {
        context.console.line(format_args!("{label:width$}   {value}"));
    }
}

/// What is recorded under `name`.
pub(super) fn record<'s>(context: &Context, state: &'s State, name: &InstanceName) -> Result<&'s Record, CliError> {
    state.record(name).ok_or_else(|| unknown(context, name, state.records().keys()))
}

/// Nothing is recorded under `name`; one of the `known` ones may be meant.
pub(super) fn unknown<'n>(context: &Context, name: &InstanceName, known: impl IntoIterator<Item = &'n InstanceName>) -> CliError {
    let error = CliError::message(Exit::Error, format!("nothing is recorded under `{name}`"));
    meant(error, name, known).hint(format!("`{} state list` shows every name", context.command()))
}

/// Adds which of the `known` names is probably meant.
pub(super) fn meant<'n>(error: CliError, name: &InstanceName, known: impl IntoIterator<Item = &'n InstanceName>) -> CliError {
    match closest(name.as_str(), known.into_iter().map(InstanceName::as_str)) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error,
    }
}

fn mv(context: &Context, from: &InstanceName, to: &InstanceName, lock: &LockArgs) -> Result<Exit, CliError> {
    let mut store = context.open("state mv", lock.lock_timeout, None)?;
    record(context, store.state(), from)?;
    store.append(context.run_info("state mv").event(), Timestamp::now())?;
    store.append(Event::Moved { from: from.clone(), to: to.clone() }, Timestamp::now())?;
    Box::new(store).close()?;
    context.done(format!("`{from}` is `{to}` from now on; declare it under that name."))?;
    Ok(Exit::Done)
}

fn rm(context: &Context, name: &InstanceName, undo: bool, lock: &LockArgs) -> Result<Exit, CliError> {
    let mut store = context.open("state rm", lock.lock_timeout, None)?;
    let record = record(context, store.state(), name)?;
    let fits = if undo { record.status() == "released" } else { record.instance().is_some() };
    if !fits {
        let wrong = CliError::message(Exit::Error, format!("`{name}` is {}", record.status()));
        return Err(if record.open_attempt().is_some() {
            wrong.hint("settle it first: `chatapi doubts`")
        } else {
            wrong.hint("`chatapi state list` shows every name and its status")
        });
    }
    let event = if undo { Event::Reclaimed { name: name.clone() } } else { Event::Released { name: name.clone() } };
    store.append(context.run_info("state rm").event(), Timestamp::now())?;
    store.append(event, Timestamp::now())?;
    Box::new(store).close()?;
    if undo {
        context.done(format!("`{name}` is managed again."))?;
        return Ok(Exit::Done);
    }
    context.done(format!("`{name}` is managed no longer; it stays on the server and is still paid for there."))?;
    context
        .console
        .note(format_args!("remove it from the manifest; `{} state rm --undo {name}` takes it back", context.command()));
    Ok(Exit::Done)
}
