//! An instance that somebody else has deleted: what is to be recorded of it before another is created in its place.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::instance::{InstanceId, InstanceName};
use crate::state::{Entry, Event, Illegal, Instance, Record, State};

/// A list may lag behind what was created so shortly before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` was recorded as {id} at {}, and a list may not show it yet", super::to_the_second(*.since))]
pub struct TooYoung {
    /// The name.
    pub name: InstanceName,
    /// Its id.
    pub id: InstanceId,
    /// When it was recorded.
    pub since: Timestamp,
    /// From when on its absence counts.
    pub at: Timestamp,
}

/// The instances of `names` that exist by the record.
pub fn existing<'a>(state: &'a State, names: &'a [InstanceName]) -> impl Iterator<Item = (&'a InstanceName, &'a Instance)> {
    names.iter().filter_map(|name| Some((name, state.record(name).and_then(Record::instance)?)))
}

/// What says of those of `names` that are in `absent` that they exist no longer. One that was recorded less than `settled` before
/// `now` may just not be listed yet.
pub fn lost(
    state: &State,
    absent: &BTreeSet<InstanceId>,
    names: &[InstanceName],
    (now, settled): (Timestamp, Duration),
) -> Result<Vec<Event>, TooYoung> {
    let names: Vec<InstanceName> = names.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect();
    let gone = existing(state, &names).filter(|(_, instance)| absent.contains(&instance.id));
    let event = |(name, instance): (&InstanceName, &Instance)| {
        let (name, id, since) = (name.clone(), instance.id.clone(), instance.since);
        let at = since.checked_add(settled).unwrap_or(Timestamp::MAX);
        if now < at {
            return Err(TooYoung { name, id, since, at });
        }
        Ok(Event::Gone { name, id, grounds: "lists of the account without it; another one is wanted".to_owned() })
    };
    gone.map(event).collect()
}

/// `state`, in which those of `names` exist that only lists called gone: whether they are is asked again.
pub fn revived(state: &State, names: &[InstanceName]) -> Result<State, Illegal> {
    let lost = names.iter().collect::<BTreeSet<_>>().into_iter().filter_map(|name| {
        let record = state.record(name)?;
        let (id, source) = (record.lost()?.id.clone(), "a question".to_owned());
        Some(Event::Adopted { name: name.clone(), kind: record.kind, id, api_url: None, source, is_foreign: false })
    });
    with_events(state, &lost.collect::<Vec<_>>(), Timestamp::UNIX_EPOCH)
}

/// Of `events` those that are not on record yet.
pub fn unrecorded(state: &State, events: &[Event]) -> Vec<Event> {
    let is_new = |event: &&Event| match event {
        Event::Gone { name, .. } => state.record(name).is_some_and(|record| record.instance().is_some()),
        _ => true,
    };
    events.iter().filter(is_new).cloned().collect()
}

/// The state as it will be with `events`.
pub fn with_events(state: &State, events: &[Event], at: Timestamp) -> Result<State, Illegal> {
    let mut state = state.clone();
    for event in events {
        state.apply(&Entry { serial: state.serial.next(), at, event: event.clone() })?;
    }
    Ok(state)
}
