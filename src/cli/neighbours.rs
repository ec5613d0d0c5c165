//! What other environments of `chatapi.yaml` record as theirs: nobody takes that in a second time, for a delete here would be theirs.

use std::collections::BTreeMap;

use super::context::{Context, Server};
use super::environment::Chosen;
use super::error::CliError;
use super::exit::Exit;
use crate::instance::{InstanceId, InstanceName};
use crate::state::{Binding, Phase, State};
use crate::store;

/// Whose an instance is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    /// The environment.
    pub(super) environment: String,
    name: InstanceName,
    /// The program, called for that environment.
    command: String,
}

/// What the other environments manage on the server of this state, as far as their states are here. What they have released is free.
/// Ids are of one server, whatever the account: the emulator's are of one state.
pub(super) fn owners(context: &Context, bound: Option<&Binding>) -> BTreeMap<InstanceId, Owner> {
    let is_same = |theirs: &Binding| !theirs.origin.is_emulator() && bound.is_none_or(|bound| bound.origin == theirs.origin);
    of_states(context, |state| state.binding.as_ref().is_some_and(is_same))
}

/// Of those, what is in states that were bound by the very key of `server`: nobody makes such a state up who does not have the key. A
/// state that comes with a pull request must not explain away what a lost run has created.
pub(super) fn proven(context: &Context, server: &Server) -> BTreeMap<InstanceId, Owner> {
    let is_ours = |state: &State| {
        let mine = server.binding(&state.lineage);
        state.binding.as_ref().is_some_and(|theirs| theirs.key.is_some() && *theirs == mine)
    };
    of_states(context, is_ours)
}

fn of_states(context: &Context, is_meant: impl Fn(&State) -> bool) -> BTreeMap<InstanceId, Owner> {
    let mut owners = BTreeMap::new();
    for (environment, dir, command) in context.environment.iter().flat_map(Chosen::neighbours) {
        if !store::has_state(&dir) {
            continue;
        }
        let state = match store::read(&dir, None) {
            Ok(reading) => reading.state,
            Err(error) => {
                context.console.warn(format_args!("what environment `{environment}` has is not known: {error}"));
                continue;
            }
        };
        if !is_meant(&state) {
            continue;
        }
        for record in state.records().values() {
            if let Phase::Created(instance) | Phase::Retiring(instance, _) = &record.phase {
                let (environment, command, name) = (environment.to_owned(), command.clone(), record.name.clone());
                owners.insert(instance.id.clone(), Owner { environment, name, command });
            }
        }
    }
    owners
}

/// Refuses to take in what another environment has.
pub(super) fn check_free(owners: &BTreeMap<InstanceId, Owner>, id: &InstanceId) -> Result<(), CliError> {
    let Some(Owner { environment, name, command }) = owners.get(id) else { return Ok(()) };
    Err(CliError::message(Exit::Guard, format!("{id} belongs to environment `{environment}`, as `{name}`"))
        .hint("nothing was changed: who deletes it here would delete it there")
        .hint(format!("to hand it over: `{command} release {name}`, then again")))
}
