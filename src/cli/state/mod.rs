//! `chatapi state …`: looking at it, and taking care of it.

mod care;
mod export;
mod names;
mod past;
mod rebind;
mod rebuild;
mod rekey;
mod rescue;

pub(super) use names::{check_twins, meant, record, release};
pub(super) use rescue::Elsewhere;

use super::args::{StateVerb, WitnessArg};
use super::console::Console;
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::table::{Column, table};
use super::witness;
use crate::instance::InstanceName;
use crate::report::{InstanceData, StateDocument, in_words};
use crate::store::{Reading, Source};

pub(super) fn run(context: &Context, verb: StateVerb) -> Result<Exit, CliError> {
    match verb {
        StateVerb::List { names: true, lock_file } => names(context, &lock_file),
        StateVerb::List { lock_file, .. } => list(context, &lock_file),
        StateVerb::Show { name, lock_file } => show(context, name.as_ref(), &lock_file),
        StateVerb::Mv { from, to, lock_file, lock } => names::mv(context, (&from, &to), &lock_file, &lock),
        StateVerb::Rm { name, lock_file, lock } => names::rm(context, &name, &lock_file, &lock),
        StateVerb::Rebuild(args) => rebuild::run(context, &args),
        StateVerb::Rebind { despite_list, reason, lock, server } => {
            rebind::run(context, despite_list, reason.as_deref(), &lock, &server)
        }
        StateVerb::Verify(args) => care::verify(context, &args),
        StateVerb::Compact(lock) => care::compact(context, &lock),
        StateVerb::History { name } => past::run(context, name.as_ref()),
        StateVerb::Export { reveal: true, identity, lock_file, .. } => export::reveal(context, &identity, &lock_file),
        StateVerb::Export { unsealed, lock_file, .. } => export::export(context, unsealed, &lock_file),
        StateVerb::Import { file, lock_file, lock } => export::import(context, &file, &lock_file, &lock),
        StateVerb::Rescue { file, identity, lock_file, lock } => rescue::run(context, &file, &identity, (&lock_file, &lock)),
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

fn names(context: &Context, lock_file: &WitnessArg) -> Result<Exit, CliError> {
    witness::look(context, lock_file)?.state.records().keys().for_each(|name| context.console.line(name));
    Ok(Exit::Done)
}

fn list(context: &Context, lock_file: &WitnessArg) -> Result<Exit, CliError> {
    let reading = witness::look(context, lock_file)?;
    let data = |record| InstanceData::new(&reading.state, record);
    let instances: Vec<InstanceData> = reading.state.records().values().map(data).collect();
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
        let status = if instance.protected.is_some() {
            format!("{}, protected", in_words(instance.status))
        } else {
            in_words(instance.status).to_owned()
        };
        let [name, kind, id, api_url] = [instance.name.as_str(), instance.kind.as_str(), id, api_url].map(str::to_owned);
        vec![name, kind, status, id, api_url]
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

fn show(context: &Context, name: Option<&InstanceName>, lock_file: &WitnessArg) -> Result<Exit, CliError> {
    let reading = witness::look(context, lock_file)?;
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
    let record = record(&reading.state, name)?;
    let data = InstanceData::new(&reading.state, record);
    if context.is_json() {
        context.document(&data)?;
        return Ok(Exit::Done);
    }
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let mut rows = vec![
        ("name", data.name.to_string()),
        ("type", data.kind.to_string()),
        ("status", in_words(data.status).to_owned()),
        ("id", text(data.id.map(|id| id.to_string()))),
        ("address", text(data.api_url.map(|api_url| api_url.to_string()))),
        ("since", text(data.since.map(|since| since.round(jiff::Unit::Second).unwrap_or(since).to_string()))),
        ("attempts", data.attempts.to_string()),
        ("open attempt", text(data.attempt.map(|attempt| attempt.to_string()))),
        ("reason", text(data.reason)),
    ];
    if data.protected.is_some() {
        rows.push(("protected", "yes: it is not deleted before the manifest says `protect: false`".to_owned()));
    }
    if let Some(name) = &data.replaced {
        rows.push(("replaced", format!("it was {name}, which has a new instance or is to have one")));
    }
    print_pairs(context, &rows);
    Ok(Exit::Done)
}

fn print_pairs(context: &Context, rows: &[(&str, String)]) {
    let width = rows.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    for (label, value) in rows {
        context.console.line(format_args!("{label:width$}   {value}"));
    }
}
