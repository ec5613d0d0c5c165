//! `chatapi resolve`: an operator closes a doubt, against the server's list where there is one.

use jiff::Timestamp;

use super::answers::Asked;
use super::args::ResolveArgs;
use super::context::{Context, kind_of};
use super::error::CliError;
use super::exit::Exit;
use super::guards::guard_hints;
use super::machine::not_before;
use super::{doubts, foreseen, neighbours, sealing, token, witness};
use crate::apply::Examination;
use crate::instance::{InstanceId, InstanceName};
use crate::plan::{Candidate, Guard, Proposal};
use crate::report::{self, in_words};
use crate::saved::Consent;
use crate::state::{AttemptId, Event, Grounds, Phase, State, Verdict};
use crate::store::StateStore;

pub(super) fn run(context: &Context, args: &ResolveArgs) -> Result<Exit, CliError> {
    let token = if args.token_stdin { Some(token::from_stdin()?) } else { None };
    let (mut store, witness) = witness::open(context, "resolve", args.lock.lock_timeout, &args.lock_file)?;
    let foreseen = foreseen::of_held(context, &mut store)?;
    let state = &foreseen.state;
    let attempt = find(state, args)?;
    if let Some(id) = &args.created {
        check_free(state, (&args.name, id))?;
        if !args.despite_list {
            check_new(context, state, (&args.name, id))?;
        }
    }
    let examination = if args.offline { None } else { Some(list(context, state, args)?) };
    if let Some(id) = &args.created {
        let provider = kind_of(state.binding.as_ref());
        neighbours::check_free(&neighbours::beside(context, Some(state), provider), id)?;
    }
    if let Some(examination) = &examination {
        check(context, args, (examination, state), &attempt)?;
    }
    let grounds = Grounds {
        by: "operator".to_owned(),
        reason: args.reason.clone(),
        candidates: examination.as_ref().map(|examination| examination.candidates.ids()),
    };
    let verdict = match &args.created {
        Some(id) => {
            Verdict::Created { id: id.clone(), api_url: args.api_url.clone().or_else(|| address(examination.as_ref(), id)) }
        }
        None => Verdict::NotCreated,
    };
    let mut pin = None;
    let token = match token {
        Some(token) => {
            let to = sealing::for_token(context, store.state(), &witness)?;
            let kept = token::keep(store.state(), to.as_ref(), &args.name, token)?;
            pin = to;
            Some(kept)
        }
        None => None,
    };
    store.append(context.run_info("resolve").event(), Timestamp::now())?;
    foreseen::finish(&mut store, &foreseen)?;
    if let Some(to) = pin {
        store.append(Event::Recipients { to }, Timestamp::now())?;
    }
    store.append(Event::Resolved { attempt, verdict, grounds }, Timestamp::now())?;
    let has_token = token.is_some();
    let half = store.state().half_replaced(&args.name).map(|(old, instance)| Guard::HalfReplaced {
        name: args.name.clone(),
        id: instance.id.clone(),
        aside: old.name.clone(),
    });
    if let Some(token) = token {
        store.append(Event::TokenSet { name: args.name.clone(), token, api_url: None }, Timestamp::now())?;
    }
    store.sync()?;
    let closed = witness.close(store);
    tell(context, args, has_token, half.as_ref())?;
    closed.tell(context)
}

/// The open doubt that is meant.
fn find(state: &State, args: &ResolveArgs) -> Result<AttemptId, CliError> {
    let name = &args.name;
    let record = super::state::record(state, name)?;
    let Phase::InDoubt(attempt, _) = &record.phase else {
        return Err(CliError::message(Exit::Error, format!("`{name}` is {}, not in doubt", in_words(record.status())))
            .hint("`chatapi doubts` lists what is; an apply reads a recorded answer by itself"));
    };
    if attempt.id != AttemptId::typed(&args.attempt) {
        return Err(CliError::message(
            Exit::Error,
            format!("the open attempt of `{name}` is {}, another one than typed", attempt.id),
        )
        .hint("look again: `chatapi doubts`"));
    }
    Ok(attempt.id.clone())
}

/// Refuses an id that another name has.
fn check_free(state: &State, (name, id): (&InstanceName, &InstanceId)) -> Result<(), CliError> {
    let owner = state.known_ids().get(id).and_then(|owner| state.record(owner)).filter(|owner| !owner.is_retired());
    owner.map_or(Ok(()), |owner| {
        let message = format!("the attempt of `{name}` cannot have created {id}, which is `{}`", owner.name);
        Err(CliError::message(Exit::Guard, message).hint("nothing was changed"))
    })
}

/// Refuses an id that a name had before, and that was recorded as deleted.
fn check_new(context: &Context, state: &State, (name, id): (&InstanceName, &InstanceId)) -> Result<(), CliError> {
    let retired = state.known_ids().get(id).and_then(|owner| state.record(owner));
    let former = state.former().find(|(former, _)| former.id == *id).map(|(_, record)| record);
    let Some(owner) = retired.or(former) else { return Ok(()) };
    let command = context.command();
    let message = format!("the attempt of `{name}` has not created {id}: it was `{}`, and is recorded as deleted", owner.name);
    Err(CliError::message(Exit::Guard, message)
        .hint("nothing was changed")
        .hint(format!("if it exists after all: `{command} import NAME --id {id}`, with its token where that is known")))
}

fn list(context: &Context, state: &State, args: &ResolveArgs) -> Result<Examination, CliError> {
    doubts::ask(context, state, &args.server).map_err(|error| {
        error.hint("the server's list is asked before a doubt is closed; `--offline` closes it on your word alone")
    })
}

/// Refuses a verdict that the list speaks against, if no reason is given that goes before the list.
fn check(
    context: &Context,
    args: &ResolveArgs,
    (examination, state): (&Examination, &State),
    attempt: &AttemptId,
) -> Result<(), CliError> {
    let Some(message) = objection(args.created.as_ref(), &args.name, examination, state) else { return Ok(()) };
    if args.despite_list && args.reason.is_some() {
        return Ok(());
    }
    let (command, name) = (context.command(), &args.name);
    let refused = CliError::message(Exit::Guard, message).hint("nothing was changed");
    let refused = match examination.proposals.get(name) {
        Some((_, Proposal::Exists(found))) if args.created.as_ref() != Some(&found.id) => {
            refused.hint(format!("if that is it: `{command} resolve {name} --attempt {attempt} --created {}`", found.id))
        }
        _ => refused,
    };
    Err(refused.hint("if you know better than the list: `--despite-list`, with a `--reason` that is kept"))
}

/// What the list says against a verdict on `name`: that it was `created` with this id, or not at all.
pub(super) fn objection(
    created: Option<&InstanceId>,
    name: &InstanceName,
    examination: &Examination,
    state: &State,
) -> Option<String> {
    let record = state.record(name);
    let new = record.and_then(|record| Some(examination.candidates.new_to(state, record.open_attempt()?, record.kind)));
    let candidates = new.unwrap_or_default();
    match created {
        Some(id) if !candidates.iter().any(|candidate| candidate.id == *id) => {
            Some(format!("the server does not list {id} as new since the attempt"))
        }
        Some(_) => None,
        None => match examination.proposals.get(name).map(|(_, proposal)| proposal) {
            Some(Proposal::NotCreated) => None,
            Some(Proposal::Exists(found)) => Some(format!("the server lists what may be it: {}", found.id)),
            Some(Proposal::NotYetSettled { at }) => {
                let at = not_before(*at);
                Some(format!("the server lists nothing new yet, and that counts only from {at} on"))
            }
            Some(Proposal::Unknown { why }) => Some(format!("the server's list does not tell: {why}")),
            None => Some("the server's list says nothing about it".to_owned()),
        },
    }
}

pub(super) fn address(examination: Option<&Examination>, id: &InstanceId) -> Option<crate::instance::ApiUrl> {
    let mut candidates = examination?.candidates.of.values().flatten();
    candidates.find(|candidate: &&Candidate| candidate.id == *id)?.api_url.clone()
}

/// `half`: the name was to have a new instance in the place of the one that it had, and has none.
fn tell(context: &Context, args: &ResolveArgs, has_token: bool, half: Option<&Guard>) -> Result<(), CliError> {
    let (console, name) = (&context.console, &args.name);
    if let Some(guard) = half {
        context.done(format!("`{name}` was not created."))?;
        console.note(report::guard_text(guard));
        for hint in guard_hints(guard, &Asked { command: &context.command(), with: "apply", said: &Consent::default() }) {
            console.note(format_args!("next: {hint}"));
        }
        return Ok(());
    }
    match &args.created {
        None => context.done(format!("`{name}` was not created; the next apply tries again.")),
        Some(id) if has_token => context.done(format!("`{name}` exists as {id}, and its token is kept.")),
        Some(id) => {
            context.done(format!("`{name}` exists as {id}; its token is missing."))?;
            console.note(format_args!("next: `{} token set {name} < FILE`", context.command()));
            Ok(())
        }
    }
}
