//! `chatapi token …`: the only place where a token leaves the program.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal};

use super::args::{IdentityArgs, WitnessArg};
use super::context::{Context, read_secret};
use super::error::CliError;
use super::exit::Exit;
use super::identity::{TokenError, identities, token_in};
use super::state::record;
use super::witness;
use crate::instance::InstanceName;
use crate::report::{TokenDocument, in_words};
use crate::seal::{Recipients, SealError};
use crate::secret::Secret;
use crate::state::{Event, KeptSecret, Phase, State, about_answer, about_token};
use crate::store::{self, StoreError};

/// Longest token that can be set, in bytes.
const TOKEN_MAX: usize = 4_096;

pub(super) fn get(context: &Context, name: &InstanceName, args: &IdentityArgs, lock_file: &WitnessArg) -> Result<Exit, CliError> {
    let state = witness::read(context, lock_file)?.state;
    let record = record(&state, name)?;
    if let Phase::Released(instance) = &record.phase {
        let kept =
            if instance.token.is_some() { "its token is kept, and given out" } else { "its token is missing; that is set" };
        return Err(CliError::message(Exit::Error, format!("`{name}` is released: {kept} when it is managed again"))
            .hint(format!("`chatapi release --undo {name}` first; it is declared again then")));
    }
    let Some(instance) = record.instance() else {
        return Err(CliError::message(Exit::Error, format!("`{name}` is {} and has no token", in_words(record.status())))
            .hint(format!("`chatapi state show {name}` tells more")));
    };
    let Some(at) = &instance.token else {
        return Err(CliError::message(Exit::InDoubt, format!("the token of `{name}` is missing"))
            .hint(format!("`chatapi token set {name} < FILE` sets it")));
    };
    let entries = store::read_entries(&context.state_dir, &BTreeSet::from([at.entry]))?;
    let entry = entries.get(&at.entry).ok_or(StoreError::NoEntry(at.entry))?;
    let token = token_in(entry, at, &state.lineage, &identities(args)?)?;
    if context.is_json() {
        context.document(&TokenDocument::new(name, &instance.id, &token))?;
    } else {
        context.console.verbatim(token.expose());
    }
    Ok(Exit::Done)
}

/// The bytes of an answer that could not be read as proof, or whose token could not.
pub(super) fn answer(
    context: &Context,
    name: &InstanceName,
    args: &IdentityArgs,
    lock_file: &WitnessArg,
) -> Result<Exit, CliError> {
    let state = witness::read(context, lock_file)?.state;
    let record = record(&state, name)?;
    let none = || {
        CliError::message(Exit::Error, format!("no answer is kept for `{name}`, which is {}", in_words(record.status())))
            .hint(format!("`chatapi state history {name}` shows what happened"))
    };
    let (serial, sealed_as) = match record.token() {
        Some(at) => (at.entry, at.name.clone()),
        None => (record.entry().ok_or_else(none)?, name.clone()),
    };
    let entries = store::read_entries(&context.state_dir, &BTreeSet::from([serial]))?;
    let Some(Event::Received { attempt, answer }) = entries.get(&serial).map(|entry| &entry.event) else { return Err(none()) };
    let about = about_answer(&state.lineage, &sealed_as, attempt);
    let answer = answer.open(&identities(args)?, &about).map_err(TokenError::from)?;
    context.console.note(format_args!(
        "status {}, {} bytes{}",
        answer.status,
        answer.body.len(),
        if answer.complete { "" } else { ", cut short" }
    ));
    context.console.bytes(&answer.body);
    Ok(Exit::Done)
}

/// A token as the state keeps it: sealed, if it has anybody to seal to or `pin` names him.
pub(super) fn keep(state: &State, pin: Option<&Recipients>, name: &InstanceName, token: Secret) -> Result<KeptSecret, CliError> {
    let to = pin.unwrap_or(&state.recipients);
    let kept = KeptSecret::keep(token, to, &about_token(&state.lineage, name));
    kept.map_err(|error: SealError| CliError::new(Exit::Error, &error).context("the token cannot be sealed; nothing was written"))
}

/// Whether it may be a token.
pub(super) fn is_token(text: &str) -> bool {
    (1..=TOKEN_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A token from standard input; never from the command line, which others can read.
pub(super) fn from_stdin() -> Result<Secret, CliError> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(CliError::message(Exit::Error, "the token is read from standard input, which is a terminal here")
            .hint("`chatapi token set NAME < FILE`, or a pipe"));
    }
    let token = read_secret(stdin).map_err(|error| CliError::new(Exit::Error, &error).context("cannot read the token"))?;
    if !is_token(token.expose()) {
        return Err(CliError::message(Exit::Error, "standard input holds no token: one line of visible ASCII characters"));
    }
    Ok(token)
}
