//! A state with what earlier runs left open concluded, for commands that are no apply.

use std::path::Path;

use jiff::Timestamp;

use super::context::Context;
use super::error::CliError;
use super::machine::keeps_what_is_synced;
use crate::apply::{Foreseen, RunInfo, foresee, unread};
use crate::state::State;
use crate::store::{self, FileStore, StateStore as _};

/// Of the state that is kept in `dir`, which is only read.
pub(super) fn of(context: &Context, dir: &Path, state: &State) -> Result<Foreseen, CliError> {
    let unread = unread(state);
    let entries = if unread.is_empty() { Ok(std::collections::BTreeMap::new()) } else { store::read_entries(dir, &unread) };
    let run = RunInfo { keeps_what_is_synced: keeps_what_is_synced(dir), ..context.run_info("look") };
    Ok(foresee(state, &entries?, &run, Timestamp::now()))
}

/// Of the state that is about to be written to. Nothing is written yet.
pub(super) fn of_held(context: &Context, store: &mut FileStore) -> Result<Foreseen, CliError> {
    let unread = unread(store.state());
    let entries = store.entries(&unread)?;
    Ok(foresee(store.state(), &entries, &context.run_info("look"), Timestamp::now()))
}

/// Records what was foreseen, as an apply begins.
pub(super) fn finish(store: &mut FileStore, foreseen: &Foreseen) -> Result<(), CliError> {
    if !foreseen.events.is_empty() {
        // What is concluded from an entry must not outlive it: its writer may have died before it was synced.
        store.sync()?;
    }
    for event in &foreseen.events {
        store.append(event.clone(), Timestamp::now())?;
    }
    Ok(())
}

/// Says which instances an apply has still to finish.
pub(super) fn tell(context: &Context, foreseen: &Foreseen) {
    for (name, id) in foreseen.answered() {
        let command = context.command();
        context.console.note(format_args!(
            "the answer to the create of `{name}` is on record: {id}; an apply finishes it (`{command} apply`)"
        ));
    }
}
