//! `chatapi import`: takes in an instance that exists and was not created from here, against the server's list.
//!
//! The same as an entry of `import` in a manifest, for one instance and at once; and it takes the token too, which no manifest can hold.

use jiff::Timestamp;

use super::args::ImportArgs;
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::settled::{refusal, unlistable};
use super::state::check_twins;
use super::{discover, foreseen, neighbours, sealing, signals, token, witness};
use crate::instance::{ApiUrl, InstanceId, InstanceName, InstanceType};
use crate::manifest::ProviderKind;
use crate::plan::Admission;
use crate::provider::Provider as _;
use crate::report::in_words;
use crate::state::{Binding, Event, Phase, State};
use crate::store::StateStore;

pub(super) fn run(context: &Context, args: &ImportArgs) -> Result<Exit, CliError> {
    match (&args.discover, &args.name, &args.id) {
        (None, Some(name), Some(id)) => one(context, args, (name, id)),
        (discover, ..) => discover::run(context, args, discover.clone().flatten()),
    }
}

/// What is recorded of it.
struct Found {
    kind: InstanceType,
    api_url: Option<ApiUrl>,
    binding: Binding,
}

fn one(context: &Context, args: &ImportArgs, (name, id): (&InstanceName, &InstanceId)) -> Result<Exit, CliError> {
    let token = if args.token_stdin { Some(token::from_stdin()?) } else { None };
    let (mut store, witness) = witness::open(context, "import", args.lock.lock_timeout, &args.lock_file)?;
    let foreseen = foreseen::of_held(context, &mut store)?;
    check_has_account(context, args, &foreseen.state)?;
    check_vacant(context, (store.state(), &foreseen.state), (name, id))?;
    check_twins(&foreseen.state, name, name)?;
    let has_token = foreseen.state.records().values().any(|record| record.lost_as(id).is_some_and(|it| it.token.is_some()));
    if has_token && token.is_some() {
        let command = context.command();
        return Err(CliError::message(Exit::Error, format!("the token of {id} is kept already, from before it was called gone"))
            .hint("nothing was changed: leave `--token-stdin` out")
            .hint(format!("if another one is right: `{command} token set {name} --replace < FILE` after the import")));
    }
    let found = find(context, args, &foreseen.state, id)?;
    let pin = match token {
        Some(_) => sealing::for_token(context, store.state(), &witness)?,
        None => sealing::for_adoption(context, store.state(), &witness)?,
    };
    let kept = token.map(|token| token::keep(store.state(), pin.as_ref(), name, token)).transpose()?;
    store.append(context.run_info("import").event(), Timestamp::now())?;
    foreseen::finish(&mut store, &foreseen)?;
    if !store.state().binding.as_ref().is_some_and(|bound| bound.knows(&found.binding)) {
        store.append(Event::Bound(found.binding), Timestamp::now())?;
    }
    if let Some(to) = pin {
        store.append(Event::Recipients { to }, Timestamp::now())?;
    }
    let source = "the server's list, named by an operator".to_owned();
    let adopted =
        Event::Adopted { name: name.clone(), kind: found.kind, id: id.clone(), api_url: found.api_url, source, is_foreign: true };
    store.append(adopted, Timestamp::now())?;
    let has_token = kept.is_some() || store.state().record(name).is_some_and(|record| record.token().is_some());
    if let Some(token) = kept {
        store.append(Event::TokenSet { name: name.clone(), token, api_url: None }, Timestamp::now())?;
    }
    store.sync()?;
    let closed = witness.close(store);
    tell(context, (name, id, found.kind), has_token)?;
    closed.tell(context)
}

/// Refuses an id or a name that is recorded in `state`, which is the one that is `kept` with what is open concluded.
fn check_vacant(
    context: &Context,
    (kept, state): (&State, &State),
    (name, id): (&InstanceName, &InstanceId),
) -> Result<(), CliError> {
    let command = context.command();
    let refused = |message: String| CliError::message(Exit::Error, message).hint("nothing was changed");
    let owner = state.known_ids().get(id).and_then(|owner| state.record(owner)).filter(|record| !record.is_retired());
    if let Some(owner) = owner {
        let wrong = refused(format!("{id} is recorded already, as `{}`", owner.name));
        let is_unread = kept.record(&owner.name).is_some_and(|record| matches!(record.phase, Phase::Received(..)));
        return Err(match &owner.phase {
            _ if is_unread => wrong.hint(format!("the answer to its create is on record: `{command} apply` finishes it")),
            Phase::Released(_) => wrong.hint(format!("`{command} release --undo {}` manages it again", owner.name)),
            _ if owner.name == *name && owner.token().is_none() => {
                wrong.hint(format!("its token is missing: `{command} token set {name} < FILE`"))
            }
            _ if owner.name == *name => wrong,
            _ => wrong.hint(format!("to give it this name: `{command} state mv {} {name}`", owner.name)),
        });
    }
    let Some(record) = state.record(name) else { return Ok(()) };
    let taken = || refused(format!("the name `{name}` is taken: it is {}", in_words(record.status())));
    match &record.phase {
        Phase::Absent { .. } | Phase::Retired { .. } => Ok(()),
        Phase::InDoubt(attempt, _) => Err(taken()
            .hint(format!("if {id} is what it created: `{command} resolve {name} --attempt {} --created {id}`", attempt.id))),
        Phase::Intent(_) | Phase::Received(..) => Err(taken().hint("an apply concludes its open attempt; import after that")),
        _ => Err(taken().hint(format!("choose another name; `{command} state show {name}` shows what has it"))),
    }
}

/// Refuses a state that has worked with no server yet, where the one that is meant is the embedded emulator: that has only what was
/// created through a state.
fn check_has_account(context: &Context, args: &ImportArgs, state: &State) -> Result<(), CliError> {
    // A manifest that cannot be read says nothing of it.
    let manifest = || discover::manifest(context, None, &args.variables).ok().flatten();
    if state.binding.is_some() || discover::provider(context, None, manifest().as_ref()) != ProviderKind::Emulator {
        return Ok(());
    }
    Err(CliError::message(Exit::Guard, "there is nothing to take in: the embedded emulator has created nothing for this state")
        .hint("nothing was changed; `chatapi apply` creates what is declared")
        .hint("for an instance of a server: `provider: {kind: chatapi}` in the manifest, and CHATAPI_URL"))
}

/// Asks the server's list.
fn find(context: &Context, args: &ImportArgs, state: &State, id: &InstanceId) -> Result<Found, CliError> {
    let (binding, listing) = signals::runtime()?.block_on(async {
        let server = context.connect_bound(state.binding.as_ref(), &args.server).await?;
        let binding = server.binding(&state.lineage);
        context.check_binding(state.binding.as_ref(), &server, &state.lineage)?;
        let listed = server.provider.list().await.map_err(|error| {
            CliError::new(Exit::Error, &error).context("the account cannot be listed").hint("nothing was changed")
        });
        Ok::<_, CliError>((binding, listed?))
    })?;
    neighbours::check_unclaimed(&neighbours::at(context, Some(&binding.origin)), id)?;
    let command = context.command();
    let admission = Admission::new(state, &listing).map_err(|why| unlistable(&command, &why, state))?;
    let fitting = admission.of(id, args.kind).map_err(|why| refusal(&command, (id, args.kind), &why, state));
    fitting.map(|(found, kind)| Found { kind, api_url: found.api_url.clone(), binding })
}

fn tell(
    context: &Context,
    (name, id, kind): (&InstanceName, &InstanceId, InstanceType),
    has_token: bool,
) -> Result<(), CliError> {
    if has_token {
        context.done(format!("`{name}` is {id} from now on, and its token is kept."))?;
    } else {
        context.done(format!("`{name}` is {id} from now on; its token is missing."))?;
        context.console.note(format_args!("next: `{} token set {name} < FILE`", context.command()));
    }
    context.console.note(format_args!("declare it, so that it is no orphan: `- {{name: {name}, type: {kind}}}`"));
    Ok(())
}
