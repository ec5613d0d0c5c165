//! Deletes: the question before them, and what became of each.

use std::collections::BTreeSet;

use super::console::{BAD, Console, DIM, DOUBT};
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::prompt;
use crate::apply::Departure;
use crate::instance::InstanceName;
use crate::state::{Record, State};
use crate::text::counted;

/// Names that a question lists.
const LISTED: usize = 10;

/// Tells a person what is to be deleted.
pub(super) fn announce(context: &Context, state: &State, names: &BTreeSet<InstanceName>) {
    let count = names.len();
    let instances = counted(count, "instance", "instances");
    context.console.warn(format_args!("{instances} will be deleted on the server, for good:"));
    for name in names.iter().take(LISTED) {
        let id = state.record(name).and_then(Record::id).map(ToString::to_string).unwrap_or_default();
        context.console.note(format_args!("  {BAD}-{BAD:#} {name}  {DIM}{id}{DIM:#}"));
    }
    if count > LISTED {
        context.console.note(format_args!("  and {} more", count - LISTED));
    }
}

/// Asks whether so many are to be deleted: the answer is the number, which no habit types.
pub(super) fn ask(console: &Console, count: usize) -> Result<(), CliError> {
    let is_number = |answer: &str| match answer.trim() {
        "no" | "n" => Some(false),
        number if number == count.to_string() => Some(true),
        _ => None,
    };
    match prompt::ask(console, &format!("Type {count} to delete, or no to keep"), "no", is_number) {
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
