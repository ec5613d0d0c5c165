//! `chatapi state …`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tabwriter::TabWriter;

use super::args::LockArgs;
use super::context::{Context, draw_lineage};
use super::error::CliError;
use super::exit::Exit;
use crate::instance::InstanceName;
use crate::report::{InstanceData, StateDocument};
use crate::state::{AttemptId, Binding, Event};
use crate::store::{self, FileStore, LockFile, Reading, Source, StateStore, StoreError};

/// Reads the state for looking.
pub(super) fn read(context: &Context) -> Result<Reading, CliError> {
    Ok(store::read(&context.state_dir, None)?)
}

pub(super) fn list(context: &Context) -> Result<Exit, CliError> {
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
    let rows = instances.iter().map(|instance| {
        let id = instance.id.as_ref().map_or("-", |id| id.as_str());
        let api_url = instance.api_url.as_ref().map_or("-", |api_url| api_url.as_str());
        [instance.name.as_str(), instance.kind.as_str(), instance.status, id, api_url].map(str::to_owned).to_vec()
    });
    context.console.result(table(&["NAME", "TYPE", "STATUS", "ID", "ADDRESS"], rows));
    Ok(Exit::Done)
}

/// Aligned columns, each line with its line feed.
pub(super) fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut text = head.join("\t");
    for row in rows {
        text.push('\n');
        text.push_str(&row.join("\t"));
    }
    text.push('\n');
    let mut aligned = TabWriter::new(Vec::new()).padding(3);
    // Into memory: this cannot fail, and if it did the unaligned text would do.
    let written = aligned.write_all(text.as_bytes()).and_then(|()| aligned.flush());
    let bytes = written.ok().and_then(|()| aligned.into_inner().ok());
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or(text)
}

pub(super) fn show(context: &Context, name: Option<&InstanceName>) -> Result<Exit, CliError> {
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
        ("read from", source.to_owned()),
    ];
    print_pairs(context, &rows);
    Ok(Exit::Done)
}

fn show_one(context: &Context, reading: &Reading, name: &InstanceName) -> Result<Exit, CliError> {
    let record = reading.state.record(name).ok_or_else(|| unknown(name))?;
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

/// Nothing is recorded under a name.
pub(super) fn unknown(name: &InstanceName) -> CliError {
    CliError::message(Exit::Error, format!("nothing is recorded under `{name}`")).hint("`chatapi state list` shows every name")
}

pub(super) fn mv(context: &Context, from: &InstanceName, to: &InstanceName, lock: &LockArgs) -> Result<Exit, CliError> {
    let mut store = context.open("state mv", lock.lock_timeout, None)?;
    store.append(context.run_info("state mv").event(), Timestamp::now())?;
    store.append(Event::Moved { from: from.clone(), to: to.clone() }, Timestamp::now())?;
    Box::new(store).close()?;
    context.done(format!("`{from}` is `{to}` from now on; declare it under that name."))?;
    Ok(Exit::Done)
}

pub(super) fn rebuild(context: &Context, from_lock: &Path, lock: &LockArgs) -> Result<Exit, CliError> {
    let Some(known) = LockFile::read(from_lock)? else {
        return Err(CliError::message(Exit::Error, format!("there is no lock file at {}", from_lock.display())));
    };
    let hold = context.hold("state rebuild", lock.lock_timeout)?;
    let mut store = match FileStore::open_or_begin(&context.state_dir, hold, None, draw_lineage()?, Timestamp::now()) {
        Ok(store) if store.state().records().is_empty() => store,
        Ok(_) => return Err(in_the_way(context)),
        Err(error @ StoreError::Locked { .. }) => return Err(error.into()),
        Err(error) => return Err(CliError::from(error).hint("what is left of the old state is in the way: move it aside")),
    };
    store.append(context.run_info("state rebuild").event(), Timestamp::now())?;
    if let Some(origin) = known.origin.clone() {
        store.append(Event::Bound(Binding { origin, key: None }), Timestamp::now())?;
    }
    for (name, instance) in &known.instances {
        let source = "a lock file, after the state was lost".to_owned();
        let event = Event::Adopted { name: name.clone(), kind: instance.kind, id: instance.id.clone(), source };
        store.append(event, Timestamp::now())?;
    }
    for (name, doubt) in &known.in_doubt {
        let unnamed = || AttemptId::typed(&format!("a-lost-{name}"));
        let attempt = doubt.attempt.clone().unwrap_or_else(unnamed);
        store.append(Event::AdoptedDoubt { attempt, name: name.clone(), kind: doubt.kind }, Timestamp::now())?;
    }
    store.sync()?;
    keep_old(from_lock)?;
    LockFile::of(store.state(), store.head(), []).write(from_lock).map_err(|error| CliError::unwritten(&error))?;
    Box::new(store).close()?;
    let (instances, doubts) = (known.instances.len(), known.in_doubt.len());
    context.done(format!("Rebuilt: {instances} instances without token, {doubts} in doubt."))?;
    let command = context.command();
    context
        .console
        .note(format_args!("the lock file belongs to this state from now on; the old one is {}", old(from_lock).display()));
    context.console.note(format_args!("next: `{command} token set NAME < FILE` for each, `{command} doubts` for the rest"));
    Ok(Exit::Done)
}

/// Where the lock file of the lost state is kept: should that state turn up again, it goes with it.
fn old(lock: &Path) -> PathBuf {
    let mut name = lock.as_os_str().to_owned();
    name.push(".before-rebuild");
    PathBuf::from(name)
}

fn keep_old(lock: &Path) -> Result<(), CliError> {
    let kept = std::fs::copy(lock, old(lock));
    kept.map_err(|error| CliError::new(Exit::Error, &error).context("cannot keep a copy of the lock file"))?;
    Ok(())
}

fn in_the_way(context: &Context) -> CliError {
    let dir = context.state_dir.display();
    CliError::message(Exit::Error, format!("the state in {dir} records instances; it is not lost"))
        .hint("to begin anew in spite of it, move that directory aside first")
}
