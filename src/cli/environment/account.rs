//! Whose account a key opens, before an environment begins with it: what another environment has there would be created twice.

use std::path::Path;

use super::Chosen;
use crate::cli::context::{LOCK_FILE, STATE, Server, typed};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::reserved::real;
use crate::provider::Provider as _;
use crate::state::{Binding, Lineage};
use crate::store::{self, LockFile, Reading, StoreError};

impl Chosen {
    /// Refuses a state that says that it is another environment's, and one that another environment has too.
    pub(in crate::cli) fn check_own(&self, bound: Option<&Binding>, lineage: &Lineage) -> Result<(), CliError> {
        let (name, file) = (&self.name, typed(&self.file));
        let is_copy = |dir: &Path| store::has_state(dir) && store::read(dir, None).is_ok_and(|it| it.state.lineage == *lineage);
        if let Some((other, dir)) = self.neighbours.iter().find(|(_, dir)| is_copy(dir)) {
            let (own, theirs) = (typed(&self.state()), typed(dir));
            let message =
                format!("the states of `{name}` and `{other}` are one: a copy of {own} is in {theirs}, or the other way round");
            return Err(CliError::message(Exit::Guard, message)
                .hint("nothing was sent: each would create, and delete, what the other one has")
                .hint("move the one away that was copied; an environment begins with a state of its own"));
        }
        let is_named = bound.and_then(|bound| bound.environment.as_ref()).filter(|said| *said != name);
        is_named.map_or(Ok(()), |said| {
            let message = format!("the state in {} is that of environment `{said}`, and this is `{name}`", typed(&self.state()));
            Err(CliError::message(Exit::Error, message)
                .hint("nothing was sent")
                .hint(format!("look at `state` and `lock_file` of both in {file}: they may have changed places"))
                .hint(format!("if `{said}` is called `{name}` from now on: `chatapi {} state rebind`", self.words())))
        })
    }

    /// Refuses the key of another environment, before the first request of this one binds it.
    pub(in crate::cli) fn check_account(&self, bound: Option<&Binding>, server: &Server) -> Result<(), CliError> {
        if bound.is_some() || server.provider.origin().is_emulator() {
            return Ok(());
        }
        let (name, file) = (&self.name, typed(&self.file));
        let refused = |dir: &Path| {
            let message = format!("the key opens the account of the state in {}, and this is environment `{name}`", typed(dir));
            CliError::message(Exit::Guard, message)
                .hint("nothing was sent: what exists there would be created a second time")
                .hint(format!("use the key of `{name}`"))
        };
        for (other, dir, lock_file) in &self.others {
            let shared = format!("`same_account_as: [{other}]` under `{name}` in {file}");
            if is_of(server, dir).map_err(|error| unreadable(other, &error))? {
                return Err(refused(dir).hint(format!("if both share an account: {shared}")));
            }
            if !store::has_state(dir) && records_there(lock_file, server)? {
                let message =
                    format!("whether the key opens the account of environment `{other}` is not known: its state is not here");
                return Err(CliError::message(Exit::Guard, message)
                    .hint(format!("nothing was sent: by {} it has instances on that server", typed(lock_file)))
                    .hint(format!("bring its state to {}, as it is; with the first create of `{name}` that is over", typed(dir)))
                    .hint(format!("if you know the account, and begin with it: {shared}")));
            }
        }
        let before = self.near(Path::new(STATE));
        // What is another environment's by now was looked at above, unless both say that they share the account.
        let is_declared = self.neighbours.iter().any(|(_, dir)| real(dir) == real(&before));
        if before != self.state() && !is_declared && is_of(server, &before).map_err(|error| unreadable(STATE, &error))? {
            let moved = format!(
                "if that state is this environment's: `state: {STATE}` and `lock_file: {LOCK_FILE}` under `{name}` in {file}"
            );
            return Err(refused(&before).hint(moved));
        }
        Ok(())
    }
}

/// Whether the state in `dir`, if there is one, belongs to this server and key. The emulator has no accounts.
fn is_of(server: &Server, dir: &Path) -> Result<bool, StoreError> {
    if !store::has_state(dir) {
        return Ok(false);
    }
    let Reading { state, .. } = store::read(dir, None)?;
    Ok(state.binding.is_some_and(|theirs| !theirs.origin.is_emulator() && server.is_of(&theirs, &state.lineage)))
}

/// Whether the lock file at `path` tells of instances on this server.
fn records_there(path: &Path, server: &Server) -> Result<bool, CliError> {
    let lock = LockFile::read(path)?;
    Ok(lock.is_some_and(|lock| lock.records_anything() && lock.origin.as_ref() == Some(server.provider.origin())))
}

fn unreadable(whose: &str, error: &StoreError) -> CliError {
    let attempted = format!("the state of `{whose}` cannot be read, and the key may be of its account");
    CliError::from(error)
        .context(attempted)
        .hint("the first create of an environment needs to know: what exists there would be paid for twice")
}
