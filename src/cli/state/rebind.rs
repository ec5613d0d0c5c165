//! `chatapi state rebind`: the same account under another key, or at another address.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::cli::args::{LockArgs, ServerArgs};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::signals;
use crate::cli::witness::{Closed, Witness};
use crate::listing::Listing;
use crate::manifest::ProviderKind;
use crate::provider::Provider as _;
use crate::state::{Binding, Event, State};
use crate::store::{FileStore, StateStore as _};
use crate::text::counted;

/// Ids that a message names at the most.
const NAMED: usize = 5;

pub(super) fn run(
    context: &Context,
    is_despite_list: bool,
    reason: Option<&str>,
    lock: &LockArgs,
    server: &ServerArgs,
) -> Result<Exit, CliError> {
    let witness = Witness::of_state(context, None)?;
    let store = witness.open(context, "state rebind", lock.lock_timeout)?;
    check(context, store.state())?;
    if let Some(to) = renamed(context, store.state()) {
        let name = to.environment.clone().unwrap_or_default();
        if store.state().binding.as_ref() == Some(&to) {
            Box::new(store).close()?;
            context.done(format!("The state is that of environment `{name}` already."))?;
            return Ok(Exit::Done);
        }
        let closed = record(context, (store, &witness), to, "an emulator's instances are in its state".to_owned())?;
        context.done(format!("The state is that of environment `{name}` from now on."))?;
        return closed.tell(context);
    }
    let (mut to, listing, is_known) = ask(context, store.state(), server)?;
    let bound = store.state().binding.clone();
    to.environment = to.environment.or_else(|| bound.as_ref()?.environment.clone());
    if bound.as_ref() == Some(&to) {
        Box::new(store).close()?;
        context.done(format!("The state belongs to {} and this key already.", to.origin))?;
        return Ok(Exit::Done);
    }
    let is_renamed = bound.as_ref().is_some_and(|bound| (&bound.origin, &bound.key) == (&to.origin, &to.key));
    let is_moved = bound.as_ref().is_some_and(|bound| bound.origin != to.origin);
    let is_open = store.state().records().values().any(|record| record.open_attempt().is_some());
    // On one server an id is one instance, whatever key shows it; another server may have the same ids.
    if is_open && (is_moved || is_despite_list) {
        let message = "something is in doubt here, and another server's list would settle it wrongly";
        return Err(CliError::message(Exit::Guard, message)
            .hint("nothing was changed; settle it first, with the old key and address: `chatapi doubts --refresh`")
            .hint("if that is gone: `chatapi resolve … --offline`, by what the provider says"));
    }
    let shown = match evidence(store.state(), &listing) {
        // Bound before a fingerprint was of an address: nothing changes but that.
        _ if is_known => "it was bound to both before".to_owned(),
        Ok(shown) => shown,
        // The account stays what it is.
        Err(_) if is_renamed => "the same account".to_owned(),
        Err(shown) if is_despite_list => shown,
        Err(against) => {
            return Err(CliError::message(Exit::Guard, against)
                .hint("nothing was changed: on another account every later apply would pay for what this one has already")
                .hint("if you are sure that it is the same account: `--despite-list --reason TEXT`"));
        }
    };
    let grounds = reason.map_or_else(|| shown.clone(), |reason| format!("{shown}; {reason}"));
    let origin = match &to.environment {
        Some(environment) => format!("environment `{environment}`, {}", to.origin),
        None => to.origin.to_string(),
    };
    let closed = record(context, (store, &witness), to, grounds)?;
    context.done(format!("The state belongs to {origin} and this key from now on: {shown}."))?;
    closed.tell(context)
}

fn record<'w>(
    context: &Context,
    (mut store, witness): (FileStore, &'w Witness),
    to: Binding,
    grounds: String,
) -> Result<Closed<'w>, CliError> {
    store.append(context.run_info("state rebind").event(), Timestamp::now())?;
    store.append(Event::Rebound { to, grounds }, Timestamp::now())?;
    store.sync()?;
    Ok(witness.close(store))
}

/// What a state of the embedded emulator is bound to under the name of the environment that was chosen: nobody has to be asked. None: it
/// is of a server, or no environment of the emulator was chosen.
fn renamed(context: &Context, state: &State) -> Option<Binding> {
    let chosen = context.environment.as_ref().filter(|chosen| chosen.origin().is_none())?;
    let bound = state.binding.as_ref().filter(|bound| bound.origin.is_emulator())?;
    Some(Binding { environment: Some(chosen.name().to_owned()), ..bound.clone() })
}

/// Only what is bound to a real server can be bound to another.
fn check(context: &Context, state: &State) -> Result<(), CliError> {
    match &state.binding {
        None => Err(CliError::message(Exit::Error, "the state belongs to no server yet: its first create binds it")
            .hint("nothing is to be done: set CHATAPI_URL and the key, and apply")),
        Some(bound) if bound.origin.is_emulator() && renamed(context, state).is_none() => {
            Err(CliError::message(Exit::Error, "the state belongs to the embedded emulator, and so do its instances")
                .hint("begin another state for a real server: `--state DIR`"))
        }
        Some(_) => Ok(()),
    }
}

/// What it would be bound to, what is listed there, and whether it was bound to the very same by the key before.
fn ask(context: &Context, state: &State, args: &ServerArgs) -> Result<(Binding, Listing, bool), CliError> {
    signals::runtime()?.block_on(async {
        let server = context.connect(ProviderKind::Chatapi, args).await?;
        let listing = server.provider.list().await;
        let listing = listing.map_err(|error| CliError::new(Exit::Error, &error).hint("nothing was changed"))?;
        let is_same = |bound: &Binding| bound.key.is_some() && server.is_of(bound, &state.lineage);
        Ok((server.binding(&state.lineage), listing, state.binding.as_ref().is_some_and(is_same)))
    })
}

/// That the server lists everything which this state created and still manages, with its type; an error says what is against it.
fn evidence(state: &State, listing: &Listing) -> Result<String, String> {
    let listed: BTreeSet<_> = listing.instances.iter().map(|instance| (&instance.id, instance.kind)).collect();
    let records = state.records().values();
    let ids: Vec<_> = records.filter_map(|record| Some((&record.instance()?.id, Some(record.kind)))).collect();
    let mut missing: Vec<&str> = ids.iter().filter(|id| !listed.contains(*id)).map(|(id, _)| id.as_str()).collect();
    missing.sort_unstable();
    if ids.is_empty() {
        return Err("this state records no instance by which the account could be known again".to_owned());
    }
    if missing.is_empty() {
        return Ok(format!("the server lists all of its instances ({})", ids.len()));
    }
    let more = if missing.len() > NAMED { ", …" } else { "" };
    let named: Vec<&str> = missing.iter().copied().take(NAMED).collect();
    let named = named.join(", ");
    Err(format!(
        "the server does not list {} of this state's {}: {named}{more}",
        missing.len(),
        counted(ids.len(), "instance", "instances")
    ))
}
