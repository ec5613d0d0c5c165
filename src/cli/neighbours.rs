//! What other environments of `chatapi.yaml` record as theirs: nobody takes that in a second time, for a delete here would be theirs.

use std::collections::BTreeMap;
use std::fmt;

use super::context::{Context, Server};
use super::environment::Chosen;
use super::error::CliError;
use super::exit::Exit;
use super::foreseen;
use crate::instance::InstanceId;
use crate::manifest::{Import, ProviderKind, Resolution};
use crate::plan::{Elsewhere, Settled, Settlement};
use crate::state::{Origin, Phase, State};
use crate::store;

/// Whose an instance is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    /// The environment, and its name there.
    pub(super) at: Elsewhere,
    /// The program, called for that environment.
    command: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "environment `{}` (as `{}`)", self.at.environment, self.at.name)
    }
}

/// By their ids, what is not of this environment.
pub(super) type Owners = BTreeMap<InstanceId, Owner>;

/// What the other environments manage on the server at `origin` (none: wherever that is), as far as their states are here. What they
/// have released is free. Ids are of one server, whatever the account: the emulator's are of one state.
pub(super) fn owners(context: &Context, origin: Option<&Origin>) -> Owners {
    if origin.is_some_and(Origin::is_emulator) {
        return Owners::new();
    }
    let is_same = |theirs: &Origin| !theirs.is_emulator() && origin.is_none_or(|origin| origin == theirs);
    of_states(context, |state| state.binding.as_ref().is_some_and(|theirs| is_same(&theirs.origin)))
}

/// The same for `state`, or for the one that begins with the first instance of `provider`.
pub(super) fn owners_beside(context: &Context, state: Option<&State>, provider: ProviderKind) -> Owners {
    let bound = state.and_then(|state| state.binding.as_ref()).map(|binding| binding.origin.clone());
    let origin = match provider {
        _ if bound.is_some() => bound,
        ProviderKind::Emulator => Some(Origin(Origin::EMULATOR.to_owned())),
        ProviderKind::Chatapi => context.origin(),
    };
    owners(context, origin.as_ref())
}

/// Of those, what is in states that were bound by the very key of `server`: nobody makes such a state up who does not have the key. A
/// state that comes with a pull request must not explain away what a lost run has created.
pub(super) fn proven(context: &Context, server: &Server) -> Owners {
    let is_ours = |state: &State| {
        let mine = server.binding(&state.lineage);
        state.binding.as_ref().is_some_and(|theirs| theirs.key.is_some() && *theirs == mine)
    };
    of_states(context, is_ours)
}

fn of_states(context: &Context, is_meant: impl Fn(&State) -> bool) -> Owners {
    let mut owners = Owners::new();
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
        let foreseen = match foreseen::of(context, &dir, &state) {
            Ok(foreseen) => foreseen,
            Err(error) => {
                context.forewarn(&format!("what environment `{environment}` has is not known"), &error);
                continue;
            }
        };
        for record in foreseen.state.records().values() {
            if let Phase::Created(instance) | Phase::Retiring(instance, _) = &record.phase {
                let at = Elsewhere { environment: environment.to_owned(), name: record.name.clone() };
                owners.insert(instance.id.clone(), Owner { at, command: command.clone() });
            }
        }
    }
    owners
}

/// Refuses to take in what another environment has.
pub(super) fn check_free(owners: &Owners, id: &InstanceId) -> Result<(), CliError> {
    let Some(Owner { at: Elsewhere { environment, name }, command }) = owners.get(id) else { return Ok(()) };
    Err(CliError::message(Exit::Guard, format!("{id} belongs to environment `{environment}`, as `{name}`"))
        .hint("nothing was changed: who deletes it here would delete it there")
        .hint(format!("to hand it over: `{command} release {name}`, then again")))
}

/// Refuses a settlement by what another environment has.
pub(super) fn check_step(owners: &Owners, settlement: &Settlement) -> Result<(), CliError> {
    let refused = |id, what: String| check_free(owners, id).map_err(|refused| refused.context(what));
    match settlement {
        Settlement::Import(Import { name, id, place, .. }) => refused(id, format!("{place}: `{name}` is not taken in")),
        Settlement::Resolve(Resolution { name, created: Some(id), place, .. }) => {
            refused(id, format!("{place}: `{name}` is not settled that way"))
        }
        Settlement::Resolve(Resolution { created: None, .. }) | Settlement::Move(_) => Ok(()),
    }
}

/// Refuses the first of `settled` that takes in what another environment has. `owners` is asked where there is something to take in.
pub(super) fn check_settled(settled: &Settled, owners: impl FnOnce() -> Owners) -> Result<(), CliError> {
    if !settled.steps.iter().any(|(settlement, _)| settlement.needs_list()) {
        return Ok(());
    }
    let owners = owners();
    settled.steps.iter().try_for_each(|(settlement, _)| check_step(&owners, settlement))
}
