//! What an apply begins with: the attempts that earlier runs left open, concluded from what is recorded alone. Here as a value, for
//! whoever looks at a state, or writes to it without being an apply: an id in a recorded answer belongs to its attempt.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::RunInfo;
use super::keep::unpanicked;
use crate::instance::{InstanceId, InstanceName};
use crate::plan::unsent_proof;
use crate::provider::certainty::judge;
use crate::state::{AttemptId, Entry, Event, Illegal, KeptAnswer, Outline, Phase, Record, Serial, State};

/// A state as an apply finds it once it has finished what earlier runs left.
#[derive(Debug, Clone)]
pub struct Foreseen {
    /// With everything concluded.
    pub state: State,
    /// What concludes it. It holds none of the server's words: nobody here knows which of them are secret.
    pub events: Vec<Event>,
}

/// The entries with answers that are not read yet.
pub fn unread(state: &State) -> BTreeSet<Serial> {
    state.records().values().filter_map(|record| answer_of(record).map(|(_, serial)| serial)).collect()
}

/// `state` as an apply by `run` would begin with it; `entries` are those of [`unread`].
pub fn foresee(state: &State, entries: &BTreeMap<Serial, Entry>, run: &RunInfo, at: Timestamp) -> Foreseen {
    let mut foreseen = Foreseen { state: state.clone(), events: Vec::new() };
    for record in state.records().values() {
        if let Some((attempt, serial)) = answer_of(record) {
            let answer = entries.get(&serial).and_then(|entry| match &entry.event {
                Event::Received { answer, .. } => Some(answer),
                _ => None,
            });
            foreseen.conclude(attempt, (serial, answer.and_then(read)), at);
        } else if let Phase::Intent(attempt) = &record.phase {
            let attempt_id = attempt.id.clone();
            let event = match unsent_proof(attempt, run.boot.as_deref(), run.keeps_what_is_synced) {
                Some(proof) => Event::Unsent { attempt: attempt_id, reason: proof.to_owned() },
                None => Event::Doubted { attempt: attempt_id, reason: super::recover::MAY_BE_LOST.to_owned() },
            };
            let _ = foreseen.take(event, at);
        }
    }
    foreseen
}

impl Foreseen {
    /// The names whose recorded answers say that an instance exists, with its id.
    pub fn answered(&self) -> impl Iterator<Item = (&InstanceName, &InstanceId)> {
        self.events.iter().filter_map(|event| match event {
            Event::Created { id, .. } => Some((self.state.known_ids().get(id)?, id)),
            _ => None,
        })
    }

    fn conclude(&mut self, attempt: &AttemptId, (serial, outline): (Serial, Option<Outline>), at: Timestamp) {
        let attempt = attempt.clone();
        let doubted = |reason: String| Event::Doubted { attempt: attempt.clone(), reason };
        let event = match outline {
            Some(Outline::Created { id, api_url, has_token }) => {
                let token_in = has_token.then_some(serial);
                Event::Created { attempt: attempt.clone(), id, api_url, token_in, token: None }
            }
            Some(Outline::Refused { reason, .. } | Outline::Later { reason, .. }) => {
                Event::Refused { attempt: attempt.clone(), reason }
            }
            Some(Outline::Doubt { reason }) => doubted(reason),
            None => doubted("the recorded answer could not be read".to_owned()),
        };
        if let Err(Illegal::IdTaken { id, owner }) = self.take(event, at) {
            let _ = self.take(doubted(format!("the answer names id {id}, which is `{owner}`")), at);
        }
    }

    /// What does not follow stays as it is: an apply is stopped by that.
    fn take(&mut self, event: Event, at: Timestamp) -> Result<(), Illegal> {
        self.state.apply(&Entry { serial: self.state.serial.next(), at, event: event.clone() })?;
        self.events.push(event);
        Ok(())
    }
}

fn answer_of(record: &Record) -> Option<(&AttemptId, Serial)> {
    match &record.phase {
        Phase::Received(attempt, serial) => Some((&attempt.id, *serial)),
        _ => None,
    }
}

/// What a recorded answer proves.
fn read(answer: &KeptAnswer) -> Option<Outline> {
    match answer.clear() {
        Some(clear) => unpanicked(|| judge(&clear).outline().without_words(clear.status)),
        None => answer.outline.clone(),
    }
}
