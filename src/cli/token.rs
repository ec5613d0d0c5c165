//! `chatapi token …`: the only place where a token leaves the program.

use std::io::{self, IsTerminal};

use jiff::Timestamp;

use super::args::LockArgs;
use super::context::{Context, read_secret};
use super::error::CliError;
use super::exit::Exit;
use super::state::{read, unknown};
use crate::instance::InstanceName;
use crate::secret::Secret;
use crate::state::{Event, State};
use crate::store::{self, StateStore};

/// Longest token that can be set, in bytes.
const TOKEN_MAX: usize = 4_096;

pub(super) fn get(context: &Context, name: &InstanceName) -> Result<Exit, CliError> {
    let reading = read(context)?;
    let record = reading.state.record(name).ok_or_else(|| unknown(name))?;
    let Some(instance) = record.instance() else {
        return Err(CliError::message(Exit::Error, format!("`{name}` is {} and has no token", record.status()))
            .hint(format!("`chatapi state show {name}` tells more")));
    };
    let Some(serial) = instance.token else {
        return Err(CliError::message(Exit::InDoubt, format!("the token of `{name}` is missing"))
            .hint(format!("`chatapi token set {name} < FILE` sets it")));
    };
    let entry = store::read_entry(&context.state_dir, serial)?;
    match entry.event {
        Event::Created { token: Some(token), .. } | Event::TokenSet { token: Some(token), .. } => {
            context.console.verbatim(token.expose());
            Ok(Exit::Done)
        }
        _ => Err(CliError::message(Exit::State, format!("entry {serial} of the journal holds no token"))),
    }
}

pub(super) fn set(context: &Context, name: &InstanceName, replace: bool, lock: &LockArgs) -> Result<Exit, CliError> {
    let token = from_stdin()?;
    let mut store = context.open("token set", lock.lock_timeout, None)?;
    check_settable(store.state(), name, replace)?;
    store.append(context.run_info("token set").event(), Timestamp::now())?;
    store.append(Event::TokenSet { name: name.clone(), token: Some(token) }, Timestamp::now())?;
    Box::new(store).close()?;
    context.done(format!("The token of `{name}` is kept."))?;
    Ok(Exit::Done)
}

fn check_settable(state: &State, name: &InstanceName, replace: bool) -> Result<(), CliError> {
    let record = state.record(name).ok_or_else(|| unknown(name))?;
    match record.instance() {
        None => {
            Err(CliError::message(Exit::Error, format!("`{name}` is {}: there is nothing to set a token for", record.status()))
                .hint("`chatapi doubts` shows what is in doubt"))
        }
        Some(instance) if instance.token.is_some() && !replace => {
            Err(CliError::message(Exit::Error, format!("the token of `{name}` is kept already"))
                .hint("`--replace` puts another in its place"))
        }
        Some(_) => Ok(()),
    }
}

/// A token from standard input; never from the command line, which others can read.
pub(super) fn from_stdin() -> Result<Secret, CliError> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(CliError::message(Exit::Error, "the token is read from standard input, which is a terminal here")
            .hint("`chatapi token set NAME < FILE`, or a pipe"));
    }
    let token = read_secret(stdin).map_err(|error| CliError::new(Exit::Error, &error).context("cannot read the token"))?;
    let is_plain = token.expose().bytes().all(|byte| byte.is_ascii_graphic());
    if token.expose().is_empty() || token.expose().len() > TOKEN_MAX || !is_plain {
        return Err(CliError::message(Exit::Error, "standard input holds no token: one line of visible ASCII characters"));
    }
    Ok(token)
}
