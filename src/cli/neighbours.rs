//! What other environments of `chatapi.yaml` record as theirs, and what they may have created: nobody takes that in a second time, for
//! a delete here would be theirs, and a doubt here is not settled by it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use super::context::{Context, Server};
use super::error::CliError;
use super::exit::Exit;
use super::foreseen;
use crate::instance::{InstanceId, InstanceName};
use crate::manifest::{Import, ProviderKind, Resolution};
use crate::plan::{Elsewhere, Settled, Settlement};
use crate::state::{Binding, Origin, Phase, State};
use crate::store::{self, LockFile};

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

/// A create of another environment of which nobody knows what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Doubt {
    /// Whose.
    pub(super) of: Owner,
    /// What was listed before it; none: no list.
    fence: Option<BTreeSet<InstanceId>>,
}

/// What the other environments have, and may have.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    /// What they manage.
    pub(super) owners: Owners,
    /// Their open doubts, of those that share the account.
    pub(super) doubts: Vec<Doubt>,
    /// Those whose states cannot be read.
    pub(super) unread: Vec<String>,
}

impl Neighbours {
    /// The doubt that may have created `id`.
    pub(super) fn doubt_of(&self, id: &InstanceId) -> Option<&Owner> {
        let is_its = |doubt: &&Doubt| doubt.fence.as_ref().is_none_or(|fence| !fence.contains(id));
        self.doubts.iter().find(is_its).map(|doubt| &doubt.of)
    }

    /// Where a state is elsewhere, its lock file says what it has.
    fn take_locks(&mut self, context: &Context, is_same: &impl Fn(&Origin) -> bool) {
        let Some(chosen) = &context.environment else { return };
        for (environment, _, command) in chosen.neighbours().filter(|(_, dir, _)| !store::has_state(dir)) {
            let lock = chosen.lock_file_of(environment).map(|path| LockFile::read(&path)).transpose();
            let lock = match lock {
                Ok(lock) => lock.flatten().filter(|lock| lock.origin.as_ref().is_some_and(is_same)),
                Err(error) => {
                    context.forewarn(&format!("what environment `{environment}` has is not known"), &error.into());
                    self.unread.push(environment.to_owned());
                    continue;
                }
            };
            let Some(lock) = lock else { continue };
            let owner = |name: &InstanceName| Owner {
                at: Elsewhere { environment: environment.to_owned(), name: name.clone() },
                command: command.clone(),
            };
            self.owners.extend(lock.instances.iter().map(|(name, instance)| (instance.id.clone(), owner(name))));
            if chosen.shares_with(environment) {
                self.doubts.extend(lock.in_doubt.keys().map(|name| Doubt { of: owner(name), fence: None }));
            }
        }
    }

    fn take(&mut self, (environment, command, shares): (&str, &str, bool), state: &State) {
        let owner = |name: &InstanceName| Owner {
            at: Elsewhere { environment: environment.to_owned(), name: name.clone() },
            command: command.to_owned(),
        };
        for record in state.records().values() {
            match &record.phase {
                Phase::Created(instance) | Phase::Retiring(instance, _) => {
                    self.owners.insert(instance.id.clone(), owner(&record.name));
                }
                Phase::InDoubt(attempt, _) if shares => {
                    let fence = state.fence_of(attempt).cloned();
                    self.doubts.push(Doubt { of: owner(&record.name), fence });
                }
                _ => {}
            }
        }
    }
}

/// What the other environments have on the server at `origin` (none: wherever that is), as far as their states are here. What they
/// have released is free. Ids are of one server, whatever the account: the emulator's are of one state.
pub(super) fn at(context: &Context, origin: Option<&Origin>) -> Neighbours {
    if origin.is_some_and(Origin::is_emulator) {
        return Neighbours::default();
    }
    let is_same = |theirs: &Origin| !theirs.is_emulator() && origin.is_none_or(|origin| origin == theirs);
    let mut all = of_states(context, |_, state| state.binding.as_ref().is_some_and(|theirs| is_same(&theirs.origin)));
    all.take_locks(context, &is_same);
    all
}

/// The same for `state`, or for the one that begins with the first instance of `provider`.
pub(super) fn beside(context: &Context, state: Option<&State>, provider: ProviderKind) -> Neighbours {
    let bound = state.and_then(|state| state.binding.as_ref()).map(|binding| binding.origin.clone());
    let origin = match provider {
        _ if bound.is_some() => bound,
        ProviderKind::Emulator => Some(Origin(Origin::EMULATOR.to_owned())),
        ProviderKind::Chatapi => context.origin(),
    };
    at(context, origin.as_ref())
}

/// Of what others manage, what is in states that were bound by the very key of `server`: nobody makes such a state up who does not
/// have the key. A state that comes with a pull request must not explain away what a lost run has created.
pub(super) fn proven(context: &Context, server: &Server) -> Owners {
    let is_its = |environment: &str, theirs: &Binding| theirs.environment.as_ref().is_none_or(|it| it == environment);
    let is_ours = |environment: &str, state: &State| {
        let theirs = state.binding.as_ref().filter(|theirs| is_its(environment, theirs));
        theirs.is_some_and(|theirs| theirs.key.is_some() && server.is_of(theirs, &state.lineage))
    };
    of_states(context, is_ours).owners
}

fn of_states(context: &Context, is_meant: impl Fn(&str, &State) -> bool) -> Neighbours {
    let mut all = Neighbours::default();
    let Some(chosen) = &context.environment else { return all };
    for (environment, dir, command) in chosen.neighbours().filter(|(_, dir, _)| store::has_state(dir)) {
        match read(context, &dir, |state| is_meant(environment, state)) {
            Ok(None) => {}
            Ok(Some(state)) => all.take((environment, &command, chosen.shares_with(environment)), &state),
            Err(error) => {
                context.forewarn(&format!("what environment `{environment}` has is not known"), &error);
                all.unread.push(environment.to_owned());
            }
        }
    }
    all
}

/// The state in `dir`, if it is meant, with its recorded answers read.
fn read(context: &Context, dir: &Path, is_meant: impl Fn(&State) -> bool) -> Result<Option<State>, CliError> {
    let state = store::read(dir, None)?.state;
    if !is_meant(&state) {
        return Ok(None);
    }
    foreseen::of(context, dir, &state).map(|foreseen| Some(foreseen.state))
}

/// Refuses to take in what another environment has, or may have: its state cannot be read.
pub(super) fn check_free(neighbours: &Neighbours, id: &InstanceId) -> Result<(), CliError> {
    let Some(Owner { at: Elsewhere { environment, name }, command }) = neighbours.owners.get(id) else {
        return neighbours.unread.first().map_or(Ok(()), |environment| Err(unread(environment, id)));
    };
    Err(CliError::message(Exit::Guard, format!("{id} belongs to environment `{environment}`, as `{name}`"))
        .hint("nothing was changed: who deletes it here would delete it there")
        .hint(format!("to hand it over: `{command} release {name}`, then again")))
}

fn unread(environment: &str, id: &InstanceId) -> CliError {
    let message = format!("whether environment `{environment}` has {id} is not known: its state cannot be read");
    CliError::message(Exit::Guard, message)
        .hint("nothing was changed: an instance that two states have is deleted by either")
        .hint(format!("mend that state first: `chatapi --env {environment} state verify` tells what is wrong with it"))
}

/// Refuses to take in what another environment has, or may have created.
pub(super) fn check_unclaimed(neighbours: &Neighbours, id: &InstanceId) -> Result<(), CliError> {
    check_free(neighbours, id)?;
    let Some(Owner { at: Elsewhere { environment, name }, command }) = neighbours.doubt_of(id) else { return Ok(()) };
    let message = format!("`{name}` of environment `{environment}` is in doubt, and {id} is new since: it may have created that");
    Err(CliError::message(Exit::Guard, message)
        .hint("nothing was changed: it would be created there a second time")
        .hint(format!("settle it there first: `{command} doubts --refresh`")))
}

/// Refuses a settlement by what another environment has, or may have.
fn check_step(neighbours: &Neighbours, settlement: &Settlement) -> Result<(), CliError> {
    let told = |refused: CliError, what: String| refused.context(what);
    match settlement {
        Settlement::Import(Import { name, id, place, .. }) => {
            check_unclaimed(neighbours, id).map_err(|refused| told(refused, format!("{place}: `{name}` is not taken in")))
        }
        Settlement::Resolve(Resolution { name, created: Some(id), place, .. }) => {
            check_free(neighbours, id).map_err(|refused| told(refused, format!("{place}: `{name}` is not settled that way")))
        }
        Settlement::Resolve(Resolution { created: None, .. }) | Settlement::Move(_) => Ok(()),
    }
}

/// Refuses the first of `settled` that takes in what another environment has. They are asked where there is something to take in.
pub(super) fn check_settled(settled: &Settled, neighbours: impl FnOnce() -> Neighbours) -> Result<(), CliError> {
    if !settled.steps.iter().any(|(settlement, _)| settlement.needs_list()) {
        return Ok(());
    }
    let neighbours = neighbours();
    settled.steps.iter().try_for_each(|(settlement, _)| check_step(&neighbours, settlement))
}
