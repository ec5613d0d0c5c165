//! Deletes: the question before them, and what became of each.

use std::collections::{BTreeMap, BTreeSet};

use super::console::{BAD, Console, DIM, DOUBT};
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::prompt::{self, Question};
use crate::apply::{Applier, Departure};
use crate::instance::{InstanceId, InstanceName};
use crate::plan::Guard;
use crate::state::{Record, State};
use crate::text::{counted, escape};

/// Names that a question lists.
pub(super) const LISTED: usize = 10;

/// What finishes the delete of `record`: what is protected needs to be said again.
pub(super) fn finishing(command: &str, record: &Record) -> String {
    destroying(command, &record.name, record.is_protected)
}

/// What deletes `name`, also where that is protected.
pub(super) fn destroying(command: &str, name: &InstanceName, is_protected: bool) -> String {
    let unprotect = if is_protected { " --unprotect" } else { "" };
    format!("{command} destroy {name}{unprotect}")
}

/// Tells what is to be deleted: a person, who is asked, some of it as a warning; a log all of it.
pub(super) fn announce(context: &Context, state: &State, names: &BTreeSet<InstanceName>) {
    if names.is_empty() {
        return;
    }
    let headline = format!("{} will be deleted on the server, for good:", counted(names.len(), "instance", "instances"));
    let most = if prompt::is_answered(context) {
        context.console.warn(headline);
        LISTED
    } else {
        context.console.note(headline);
        usize::MAX
    };
    for name in names.iter().take(most) {
        let id = state.record(name).and_then(Record::id).map(ToString::to_string).unwrap_or_default();
        context.console.note(format_args!("  {BAD}-{BAD:#} {name}  {DIM}{id}{DIM:#}"));
    }
    if names.len() > most {
        context.console.note(format_args!("  and {} more", names.len() - most));
    }
}

/// Tells which of those that may go are not among the ones that were announced.
pub(super) fn set_apart(context: &Context, unlisted: &BTreeSet<InstanceName>) {
    if unlisted.is_empty() {
        return;
    }
    let names = unlisted.iter().take(LISTED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let more = if unlisted.len() > LISTED { format!(" and {} more", unlisted.len() - LISTED) } else { String::new() };
    context.console.note(format_args!("  not counted: {names}{more}, not on the server's list: nothing is sent"));
}

/// What the server's list says of those that are to be deleted. Where there is no list, it says nothing.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// One is listed as something else than is on record.
    pub(super) mistaken: Option<Guard>,
    /// These are not listed, and no delete of them is on record. By id: what is replaced is called otherwise when it goes.
    pub(super) unlisted: BTreeSet<InstanceId>,
}

/// Lists the account before anything is deleted.
pub(super) async fn look(applier: &Applier, state: &State, names: &BTreeSet<InstanceName>) -> Looked {
    let mut looked = Looked::default();
    let Some(Ok(listing)) = applier.survey().await else { return looked };
    let listed: BTreeMap<_, _> = listing.instances.iter().map(|it| (&it.id, it)).collect();
    for record in names.iter().filter_map(|name| state.record(name)) {
        let Some(id) = record.id() else { continue };
        match listed.get(id) {
            Some(found) if found.kind.is_some_and(|kind| kind != record.kind) => {
                let (name, listed) = (record.name.clone(), escape(&found.type_text).into_owned());
                looked.mistaken.get_or_insert(Guard::Mistaken { name, id: id.clone(), recorded: record.kind, listed });
            }
            None if record.instance().is_some() => drop(looked.unlisted.insert(id.clone())),
            _ => {}
        }
    }
    looked
}

/// Asks whether so many are to be deleted: the answer is the number, which no habit types.
pub(super) fn ask(console: &Console, count: usize) -> Result<(), CliError> {
    let is_number = |answer: &str| match answer.trim() {
        "no" | "n" => Some(false),
        number if number == count.to_string() => Some(true),
        _ => None,
    };
    let text = format!("Type {count} to delete, or no to keep");
    let question = Question { text, default: "no", expected: format!("{count} or no") };
    match prompt::ask(console, &question, is_number) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(CliError::message(Exit::Guard, "it was not confirmed").hint("nothing was sent")),
    }
}

/// What became of one, as text.
pub(super) fn line(context: &Context, name: &InstanceName, departure: &Departure) {
    let console = &context.console;
    match departure {
        Departure::Deleted { id, grounds } => {
            console.line(format_args!("  {BAD}-{BAD:#} {name} deleted ({id}): {DIM}{grounds}{DIM:#}"));
        }
        Departure::Kept { reason } => console.line(format_args!("  {DIM}={DIM:#} {name} still exists: {reason}")),
        Departure::InDoubt { reason } => console.line(format_args!("  {DOUBT}?{DOUBT:#} {name} may still exist: {reason}")),
        Departure::NotTried => console.line(format_args!("  {DIM}~ {name} not tried{DIM:#}")),
    }
}
