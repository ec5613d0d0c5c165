//! `chatapi token …`: the only place where a token leaves the program.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal};
use std::path::Path;

use jiff::Timestamp;

use super::args::{IdentityArgs, TokenSetArgs, WitnessArg};
use super::context::{Context, read_secret};
use super::error::CliError;
use super::exit::Exit;
use super::identity::{TokenError, identities, token_in};
use super::state::record;
use super::{sealing, token_file, witness};
use crate::instance::{ApiUrl, InstanceName};
use crate::report::{TokenDocument, in_words};
use crate::seal::{Recipients, SealError};
use crate::secret::Secret;
use crate::state::{Event, KeptSecret, Phase, State, about_answer, about_token};
use crate::store::{self, StateStore, StoreError};
use crate::text::counted;

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

pub(super) fn set(context: &Context, args: &TokenSetArgs) -> Result<Exit, CliError> {
    let TokenSetArgs { name, from, replace, api_url, lock_file, lock } = args;
    let tokens = match (name, from) {
        (Some(name), _) => vec![(name.clone(), from_stdin()?)],
        (None, from) => token_file::read(from.as_deref().unwrap_or(Path::new("-")))?,
    };
    let (mut store, witness) = witness::open(context, "token set", lock.lock_timeout, lock_file)?;
    tokens.iter().try_for_each(|(name, _)| check_settable(store.state(), name, *replace))?;
    if let Some(name) = name {
        check_address(store.state(), name, api_url.as_ref())?;
    }
    let pin = sealing::for_token(context, store.state(), &witness)?;
    let seal = |(name, token): (InstanceName, Secret)| {
        let token = keep(store.state(), pin.as_ref(), &name, token)?;
        Ok::<_, CliError>(Event::TokenSet { name, token, api_url: api_url.clone() })
    };
    let events = tokens.into_iter().map(seal).collect::<Result<Vec<_>, _>>()?;
    let message = match (name, events.len()) {
        (Some(name), _) => format!("The token of `{name}` is kept."),
        (None, count) => format!("The tokens of {} are kept.", counted(count, "instance", "instances")),
    };
    store.append(context.run_info("token set").event(), Timestamp::now())?;
    if let Some(to) = pin {
        store.append(Event::Recipients { to }, Timestamp::now())?;
    }
    for event in events {
        store.append(event, Timestamp::now())?;
    }
    store.sync()?;
    let closed = witness.close(store);
    context.done(message)?;
    closed.tell(context)
}

/// A token as the state keeps it: sealed, if it has anybody to seal to or `pin` names him.
pub(super) fn keep(state: &State, pin: Option<&Recipients>, name: &InstanceName, token: Secret) -> Result<KeptSecret, CliError> {
    let to = pin.unwrap_or(&state.recipients);
    let kept = KeptSecret::keep(token, to, &about_token(&state.lineage, name));
    kept.map_err(|error: SealError| CliError::new(Exit::Error, &error).context("the token cannot be sealed; nothing was written"))
}

fn check_settable(state: &State, name: &InstanceName, replace: bool) -> Result<(), CliError> {
    let record = record(state, name)
        .map_err(|error| error.hint("the token itself is read from standard input: `chatapi token set NAME < FILE`"))?;
    match record.instance() {
        None => Err(CliError::message(
            Exit::Error,
            format!("`{name}` is {}: there is nothing to set a token for", in_words(record.status())),
        )
        .hint("`chatapi doubts` shows what is in doubt")),
        Some(instance) if instance.token.is_some() && !replace => {
            Err(CliError::message(Exit::Error, format!("the token of `{name}` is kept already"))
                .hint("`--replace` puts another in its place"))
        }
        Some(_) => Ok(()),
    }
}

/// Refuses an address where the create has told one: that is the instance's.
fn check_address(state: &State, name: &InstanceName, api_url: Option<&ApiUrl>) -> Result<(), CliError> {
    let told = record(state, name)?.instance().filter(|instance| !instance.is_address_listed);
    match (told.and_then(|instance| instance.api_url.as_ref()), api_url) {
        (Some(told), Some(typed)) if told != typed => {
            let message = format!("the answer to the create of `{name}` has told its address, {told}: no other is taken");
            Err(CliError::message(Exit::Error, message).hint("leave `--api-url` out; nothing was written"))
        }
        _ => Ok(()),
    }
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
