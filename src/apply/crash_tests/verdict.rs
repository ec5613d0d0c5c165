//! What has to be so at the end of a story, whichever matrix it is of.

use std::ops::RangeInclusive;

use super::*;
use crate::provider::certainty::Verdict;

/// The token in the answer that the entry `serial` has.
fn kept_token(dir: &Path, serial: Serial) -> Option<String> {
    let entry = crate::store::read_entries(dir, &BTreeSet::from([serial])).unwrap().remove(&serial)?;
    let Event::Received { answer, .. } = entry.event else { return None };
    match crate::provider::certainty::judge(&answer.clear()?) {
        Verdict::Created(instance) => Some(instance.token?.expose().to_owned()),
        _ => None,
    }
}

/// Nothing was done that must not be, no name was created more often than it `may`, and every token that was reported is kept.
pub(super) fn promises(world: &World, dir: &Path, may: impl Fn(&InstanceName) -> usize) -> Result<State, String> {
    bounded(world, may)?;
    let state = crate::store::read(dir, None).map_err(|error| format!("does not open: {error}"))?.state;
    for record in state.records().values().filter(|record| record.is_retired()) {
        let id = record.id().unwrap();
        if world.has(id) {
            return Err(format!("P9: {} is on record as deleted, and {id} exists", record.name));
        }
    }
    for id in lock(&world.reported).iter() {
        let record = state.known_ids().get(id).and_then(|owner| state.record(owner));
        if !world.has(id) && record.is_none_or(Record::is_retired) {
            continue;
        }
        let token = record.and_then(Record::token).and_then(|token| kept_token(dir, token.entry));
        if token.is_none() || token != world.token(id) {
            return Err(format!("P3: {id} was reported as created, and its token is gone"));
        }
    }
    Ok(state)
}

/// The part of the promises that holds also where nobody can go on.
pub(super) fn bounded(world: &World, may: impl Fn(&InstanceName) -> usize) -> Result<(), String> {
    let mut per_name: BTreeMap<InstanceName, usize> = BTreeMap::new();
    for (attempt, ..) in lock(&world.creates).iter() {
        *per_name.entry(lock(&world.names)[attempt].clone()).or_default() += 1;
    }
    if let Some((name, count)) = per_name.iter().find(|(name, count)| **count > may(name)) {
        return Err(format!("P1: {name} was created {count} times"));
    }
    lock(&world.violations).first().map_or(Ok(()), |violation| Err(violation.clone()))
}

/// `name` has the instance `id`, on the server too, with its token.
pub(super) fn has_whole(
    world: &World,
    dir: &Path,
    state: &State,
    (name, id): (&InstanceName, &InstanceId),
) -> Result<(), String> {
    let record = state.record(name).ok_or_else(|| format!("P3: nothing is known of {name}"))?;
    let token = record.instance().and_then(|it| it.token.as_ref()).and_then(|at| kept_token(dir, at.entry));
    let is_whole = record.id() == Some(id) && world.has(id) && token.is_some() && token == world.token(id);
    if is_whole { Ok(()) } else { Err(format!("P3: {name} was {id} with its token, and ends as {:?}", record.phase)) }
}

/// Whether `name` is in doubt; if not, it has to be created, with its token.
pub(super) fn is_doubted(state: &State, name: &InstanceName) -> Result<bool, String> {
    match state.record(name).map(|record| &record.phase) {
        Some(Phase::Created(instance)) if instance.token.is_some() => Ok(false),
        Some(Phase::InDoubt(..)) => Ok(true),
        other => Err(format!("{name} ends as {other:?}")),
    }
}

/// A crash leaves as many doubts as it may, of `parallel` creates at once, and no more.
pub(super) fn has_no_more_doubts(world: &World, crash: Crash, parallel: usize, doubts: usize) -> Result<(), String> {
    let may = doubts_of(crash, world.spent.load(Ordering::SeqCst), parallel);
    if may.contains(&doubts) { Ok(()) } else { Err(format!("{doubts} doubts")) }
}

/// The table of crash points: how many doubts a crash may leave.
fn doubts_of(crash: Crash, has_happened: bool, parallel: usize) -> RangeInclusive<usize> {
    let survives = |when| when == When::Done || (when == When::Written && crash.mode != Mode::PowerCut);
    let mine = match (crash.step, crash.mode) {
        (Step::Sent, Mode::Fail) => crash.when == When::Done,
        (Step::Sent, _) => survives(crash.when),
        (Step::Call, Mode::Fail) => crash.when == When::Written,
        (Step::Call, _) => true,
        (Step::Received, Mode::Fail) => crash.when == When::Before,
        (Step::Received, _) => !survives(crash.when),
        _ => false,
    };
    // Others in flight at that moment may have been between their sent and received as well. Where this one is before its `sent`, or
    // behind its answer, all slots may be taken by others: intents are written ahead, and an answer shares its sync with the next `sent`.
    let has_none = match (crash.step, crash.mode) {
        (Step::Intent, _) => true,
        // The last of them is followed by none.
        (Step::Received | Step::Created, _) => parallel > 1 || crash.nth == 1,
        (Step::Connect, mode) => mode != Mode::Fail,
        (Step::Sent, mode) => mode == Mode::PowerCut,
        _ => false,
    };
    match (mine && has_happened, parallel) {
        (true, parallel) => 1..=parallel,
        (false, parallel) if has_none && has_happened => 0..=parallel,
        (false, parallel) => 0..=parallel - 1,
    }
}
