//! The transitions of one attempt, as one table: [`next_phase`]. Whatever it does not list is refused, while writing as well
//! as while reading: a journal that holds an illegal step is damaged.
//!
//! ```text
//! absent   -- intent --> intent -- sent --> in doubt -- received --> received -- created --> created
//!                          |                  |  ^                     |  |
//!                          +- unsent-> absent +  +------ doubted ------+  +- refused -> absent
//! in doubt -- resolved --> created | absent
//! created  -- released --> released -- reclaimed --> created
//! ```

use std::collections::btree_map::Entry as Slot;

use jiff::Timestamp;

use super::{
    Attempt, AttemptId, Begun, Checkpoint, Doubt, Entry, Event, Instance, Phase, Record, Run, Serial, State, TokenAt, Verdict,
};
use crate::instance::{InstanceId, InstanceName, InstanceType};

/// A step that the table does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// The entry is not the next one.
    #[error("entry {found} stands where {expected} belongs")]
    Serial {
        /// The number that belongs there.
        expected: Serial,
        /// The number that stands there.
        found: Serial,
    },
    /// A second beginning.
    #[error("the state is begun a second time")]
    Genesis,
    /// A record of a checkpoint outside of one, or something else inside.
    #[error("a checkpoint is not complete, or goes on too long")]
    Checkpoint,
    /// The format would go back.
    #[error("the format would go back")]
    Format,
    /// The binding would change.
    #[error("the state already belongs to another server or account")]
    Bound,
    /// No open attempt of this id.
    #[error("attempt {0} is not open")]
    NotOpen(AttemptId),
    /// Nothing is recorded under the name.
    #[error("nothing is recorded under `{0}`")]
    Unknown(InstanceName),
    /// The name is taken.
    #[error("`{0}` is already recorded")]
    Taken(InstanceName),
    /// The id belongs to another name.
    #[error("id {id} already belongs to `{owner}`")]
    IdTaken {
        /// The id.
        id: InstanceId,
        /// Whose it is.
        owner: InstanceName,
    },
    /// The phase has no such step.
    #[error("`{name}` is {status}: `{event}` cannot follow")]
    Step {
        /// Whose record.
        name: InstanceName,
        /// Its phase.
        status: &'static str,
        /// The event's word.
        event: &'static str,
    },
}

/// One attempt's step: its word and what it brings.
enum Step<'a> {
    Unsent(&'a str),
    Sent,
    Received,
    Created(Instance),
    Refused(&'a str),
    Doubted(&'a str),
    Resolved(&'a Verdict),
}

impl State {
    /// Takes in the next entry, or refuses it and stays as it was.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), Illegal> {
        let expected = self.serial.next();
        if entry.serial != expected {
            return Err(Illegal::Serial { expected, found: entry.serial });
        }
        let is_restored = matches!(entry.event, Event::Restored { .. } | Event::RestoredFence { .. });
        if is_restored != (self.restoring > 0) {
            return Err(Illegal::Checkpoint);
        }
        self.take(entry)?;
        self.restoring = self.restoring.saturating_sub(1);
        self.serial = entry.serial;
        Ok(())
    }

    fn take(&mut self, entry: &Entry) -> Result<(), Illegal> {
        match &entry.event {
            Event::Genesis { .. } | Event::Checkpoint(_) => Err(Illegal::Genesis),
            Event::Format { format } if *format <= self.format => Err(Illegal::Format),
            Event::Format { format } => {
                self.format = *format;
                Ok(())
            }
            Event::Recipients { to } => {
                self.recipients = to.clone();
                Ok(())
            }
            Event::Restored { record, kept } => self.restore(record, kept),
            Event::RestoredFence { serial, ids } => {
                self.fences.insert(*serial, ids.iter().cloned().collect());
                Ok(())
            }
            Event::Bound(binding) => match &self.binding {
                Some(bound) if !bound.admits(binding) => Err(Illegal::Bound),
                _ => {
                    self.binding = Some(binding.clone());
                    Ok(())
                }
            },
            Event::Rebound { to, .. } => {
                self.binding = Some(to.clone());
                Ok(())
            }
            Event::Run { who, boot, up, aim, .. } => {
                let begun = up.map(|up| Begun { at: entry.at, up });
                let aim = aim.or_else(|| self.run.as_ref()?.aim);
                self.run = Some(Run { who: who.clone(), boot: boot.clone(), begun, aim });
                Ok(())
            }
            Event::Listed { ids } => {
                self.forget_old_fences();
                self.fences.insert(entry.serial, ids.iter().cloned().collect());
                Ok(())
            }
            Event::Intent { attempt, name, kind, fence } => self.begin(entry.at, attempt, name, *kind, *fence),
            Event::Unsent { attempt, reason } => self.step(entry, attempt, &Step::Unsent(reason)),
            Event::Sent { attempt } => self.step(entry, attempt, &Step::Sent),
            Event::Received { attempt, .. } => self.step(entry, attempt, &Step::Received),
            Event::Created { attempt, id, api_url, token_in, token } => {
                self.check_id(id)?;
                let name = self.open.get(attempt).ok_or_else(|| Illegal::NotOpen(attempt.clone()))?.clone();
                let holder = token_in.or_else(|| token.as_ref().map(|_| entry.serial));
                let token = holder.map(|entry| TokenAt { entry, name });
                let instance = Instance { id: id.clone(), api_url: api_url.clone(), token, since: entry.at };
                self.step(entry, attempt, &Step::Created(instance))
            }
            Event::Refused { attempt, reason } => self.step(entry, attempt, &Step::Refused(reason)),
            Event::Doubted { attempt, reason } => self.step(entry, attempt, &Step::Doubted(reason)),
            Event::Resolved { attempt, verdict, .. } => {
                if let Verdict::Created { id, .. } = verdict {
                    self.check_id(id)?;
                }
                self.step(entry, attempt, &Step::Resolved(verdict))
            }
            Event::TokenSet { name, .. } => self.set_token(name, entry.serial),
            Event::Adopted { name, kind, id, .. } => self.adopt(entry.at, name, *kind, id),
            Event::AdoptedDoubt { attempt, name, kind } => self.adopt_doubt(entry.at, attempt, name, *kind),
            Event::Released { name } => self.release(name, "released"),
            Event::Reclaimed { name } => self.release(name, "reclaimed"),
            Event::Moved { from, to } => self.rename(from, to),
            Event::Noted { orphaned, returned } => {
                self.note(orphaned, true)?;
                self.note(returned, false)
            }
        }
    }

    /// A state as a checkpoint begins it; its records follow.
    pub(crate) fn from_checkpoint(checkpoint: &Checkpoint, serial: Serial) -> Self {
        let mut state = Self::new(checkpoint.lineage.clone(), serial, checkpoint.format);
        state.binding.clone_from(&checkpoint.binding);
        state.run.clone_from(&checkpoint.run);
        state.recipients = checkpoint.recipients.clone();
        state.restoring = checkpoint.entries;
        state
    }

    /// Whether entries of a checkpoint are still to come.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.restoring > 0
    }

    /// For reading what is left of a damaged checkpoint: whether the next entry may belong to one.
    pub(crate) fn expect_restored(&mut self, expected: bool) {
        self.restoring = u64::from(expected);
    }

    fn restore(&mut self, record: &Record, kept: &[Entry]) -> Result<(), Illegal> {
        if self.records.contains_key(&record.name) {
            return Err(Illegal::Taken(record.name.clone()));
        }
        if record.entries().any(|serial| !kept.iter().any(|entry| entry.serial == serial)) {
            return Err(Illegal::Checkpoint);
        }
        if let Some(id) = record.id() {
            self.check_id(id)?;
            self.ids.insert(id.clone(), record.name.clone());
        }
        if let Some(attempt) = record.open_attempt() {
            return self.open(&attempt.id.clone(), record.clone());
        }
        self.records.insert(record.name.clone(), record.clone());
        Ok(())
    }

    fn release(&mut self, name: &InstanceName, event: &'static str) -> Result<(), Illegal> {
        let record = self.records.get_mut(name).ok_or_else(|| Illegal::Unknown(name.clone()))?;
        record.phase = match (&record.phase, event) {
            (Phase::Created(instance), "released") => Phase::Released(instance.clone()),
            (Phase::Released(instance), "reclaimed") => Phase::Created(instance.clone()),
            _ => return Err(illegal(record, event)),
        };
        Ok(())
    }

    fn begin(
        &mut self,
        at: Timestamp,
        attempt: &AttemptId,
        name: &InstanceName,
        kind: InstanceType,
        fence: Option<Serial>,
    ) -> Result<(), Illegal> {
        let attempts = match self.records.get(name) {
            None => 0,
            Some(Record { phase: Phase::Absent { .. }, attempts, .. }) => *attempts,
            Some(record) => return Err(illegal(record, "intent")),
        };
        let opened = Attempt { id: attempt.clone(), fence, since: at, run: self.run.clone() };
        let phase = Phase::Intent(opened);
        self.open(attempt, Record { name: name.clone(), kind, phase, attempts: attempts + 1, orphan_noted: false })
    }

    fn open(&mut self, attempt: &AttemptId, record: Record) -> Result<(), Illegal> {
        match self.open.entry(attempt.clone()) {
            Slot::Occupied(taken) => return Err(Illegal::Taken(taken.get().clone())),
            Slot::Vacant(slot) => slot.insert(record.name.clone()),
        };
        self.records.insert(record.name.clone(), record);
        Ok(())
    }

    fn step(&mut self, entry: &Entry, attempt: &AttemptId, step: &Step<'_>) -> Result<(), Illegal> {
        let not_open = || Illegal::NotOpen(attempt.clone());
        let name = self.open.get(attempt).ok_or_else(not_open)?;
        let record = self.records.get_mut(name).ok_or_else(not_open)?;
        record.phase = next_phase(&record.phase, step, entry).ok_or_else(|| illegal(record, entry.event.word()))?;
        if let Some(instance) = record.instance() {
            self.ids.insert(instance.id.clone(), record.name.clone());
        }
        if record.open_attempt().is_none() {
            self.open.remove(attempt);
        }
        Ok(())
    }

    fn check_id(&self, id: &InstanceId) -> Result<(), Illegal> {
        let owner = self.ids.get(id);
        owner.map_or(Ok(()), |owner| Err(Illegal::IdTaken { id: id.clone(), owner: owner.clone() }))
    }

    fn set_token(&mut self, name: &InstanceName, at: Serial) -> Result<(), Illegal> {
        let record = self.records.get_mut(name).ok_or_else(|| Illegal::Unknown(name.clone()))?;
        match &mut record.phase {
            Phase::Created(instance) => {
                instance.token = Some(TokenAt { entry: at, name: name.clone() });
                Ok(())
            }
            _ => Err(illegal(record, "token_set")),
        }
    }

    fn adopt(&mut self, at: Timestamp, name: &InstanceName, kind: InstanceType, id: &InstanceId) -> Result<(), Illegal> {
        self.check_vacant(name)?;
        self.check_id(id)?;
        let phase = Phase::Created(Instance { id: id.clone(), api_url: None, token: None, since: at });
        self.ids.insert(id.clone(), name.clone());
        self.records.insert(name.clone(), Record { name: name.clone(), kind, phase, attempts: 0, orphan_noted: false });
        Ok(())
    }

    fn adopt_doubt(
        &mut self,
        at: Timestamp,
        attempt: &AttemptId,
        name: &InstanceName,
        kind: InstanceType,
    ) -> Result<(), Illegal> {
        self.check_vacant(name)?;
        let opened = Attempt { id: attempt.clone(), fence: None, since: at, run: self.run.clone() };
        let doubt = Doubt { since: at, reason: "it was being created when its state was lost".to_owned(), answer: None };
        let phase = Phase::InDoubt(opened, doubt);
        self.open(attempt, Record { name: name.clone(), kind, phase, attempts: 1, orphan_noted: false })
    }

    fn check_vacant(&self, name: &InstanceName) -> Result<(), Illegal> {
        match self.records.get(name).map(|record| &record.phase) {
            None | Some(Phase::Absent { .. }) => Ok(()),
            Some(_) => Err(Illegal::Taken(name.clone())),
        }
    }

    fn rename(&mut self, from: &InstanceName, to: &InstanceName) -> Result<(), Illegal> {
        self.check_vacant(to)?;
        match self.records.get(from) {
            None => return Err(Illegal::Unknown(from.clone())),
            Some(record) if record.instance().is_none() => return Err(illegal(record, "moved")),
            Some(_) => {}
        }
        if let Some(mut record) = self.records.remove(from) {
            if let Some(instance) = record.instance() {
                self.ids.insert(instance.id.clone(), to.clone());
            }
            record.name = to.clone();
            record.orphan_noted = false;
            self.records.insert(to.clone(), record);
        }
        Ok(())
    }

    fn note(&mut self, names: &[InstanceName], noted: bool) -> Result<(), Illegal> {
        if let Some(unknown) = names.iter().find(|name| !self.records.contains_key(name)) {
            return Err(Illegal::Unknown(unknown.clone()));
        }
        for name in names {
            if let Some(record) = self.records.get_mut(name) {
                record.orphan_noted = noted;
            }
        }
        Ok(())
    }

    fn forget_old_fences(&mut self) {
        let open = self.records.values().filter_map(|record| record.open_attempt()?.fence);
        let used: std::collections::BTreeSet<Serial> = open.collect();
        self.fences.retain(|serial, _| used.contains(serial));
    }
}

/// The table. `None`: there is no such step.
fn next_phase(phase: &Phase, step: &Step<'_>, entry: &Entry) -> Option<Phase> {
    let closed = |reason: &str| Some(Phase::Absent { closed: reason.to_owned() });
    let doubt = |reason: &str, since, answer| Doubt { since, reason: reason.to_owned(), answer };
    match (phase, step) {
        (Phase::Intent(_) | Phase::InDoubt(_, Doubt { answer: None, .. }), Step::Unsent(reason))
        | (Phase::Received(..), Step::Refused(reason)) => closed(reason),
        (Phase::Intent(attempt), Step::Sent) => {
            Some(Phase::InDoubt(attempt.clone(), doubt("sent, and no answer was recorded", entry.at, None)))
        }
        (Phase::Intent(attempt), Step::Doubted(reason)) => Some(Phase::InDoubt(attempt.clone(), doubt(reason, entry.at, None))),
        (Phase::InDoubt(attempt, Doubt { answer: None, .. }), Step::Received) => {
            Some(Phase::Received(attempt.clone(), entry.serial))
        }
        // The doubt is as old as the last thing that was seen of the attempt.
        (Phase::InDoubt(attempt, known), Step::Doubted(reason)) => {
            Some(Phase::InDoubt(attempt.clone(), doubt(reason, entry.at, known.answer)))
        }
        (Phase::Received(attempt, answer), Step::Doubted(reason)) => {
            Some(Phase::InDoubt(attempt.clone(), doubt(reason, entry.at, Some(*answer))))
        }
        (Phase::Received(_, answer), Step::Created(instance)) => {
            let holder = instance.token.as_ref().map(|token| token.entry);
            let holds = holder.is_none_or(|holder| holder == *answer || holder == entry.serial);
            holds.then(|| Phase::Created(instance.clone()))
        }
        (Phase::InDoubt(..), Step::Resolved(Verdict::NotCreated)) => closed("resolved as not created"),
        (Phase::InDoubt(..), Step::Resolved(Verdict::Created { id, api_url })) => {
            Some(Phase::Created(Instance { id: id.clone(), api_url: api_url.clone(), token: None, since: entry.at }))
        }
        _ => None,
    }
}

fn illegal(record: &Record, event: &'static str) -> Illegal {
    Illegal::Step { name: record.name.clone(), status: record.status(), event }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Grounds, Hash, Head, Lineage};

    const AT: Timestamp = Timestamp::UNIX_EPOCH;

    fn name(text: &str) -> InstanceName {
        InstanceName::parse(text).unwrap()
    }

    fn attempt() -> AttemptId {
        AttemptId::typed("a-1")
    }

    /// Applies `events` in order to a fresh state.
    fn replay(events: &[Event]) -> Result<State, Illegal> {
        let mut state = State::new(Lineage::from_bytes([1; 16]), Serial(1), crate::state::FORMAT);
        for event in events {
            let entry = Entry { serial: state.serial.next(), at: AT, event: event.clone() };
            state.apply(&entry)?;
        }
        Ok(state)
    }

    fn kept() -> crate::state::KeptSecret {
        crate::state::KeptSecret::Clear(crate::secret::Secret::new("t".into()))
    }

    fn event(word: &str) -> Event {
        let attempt = attempt();
        let reason = "why".to_owned();
        let id = InstanceId::parse("100").unwrap();
        let grounds = Grounds { by: "operator".to_owned(), reason: None, candidates: None };
        match word {
            "intent" => Event::Intent { attempt, name: name("a"), kind: InstanceType::WhatsApp, fence: None },
            "unsent" => Event::Unsent { attempt, reason },
            "sent" => Event::Sent { attempt },
            "received" => Event::Received {
                attempt,
                answer: super::super::Answer { status: 200, complete: true, retry_after: None, body: vec![] }.into(),
            },
            "created" => Event::Created { attempt, id, api_url: None, token_in: None, token: Some(kept()) },
            "refused" => Event::Refused { attempt, reason },
            "doubted" => Event::Doubted { attempt, reason },
            "exists" => Event::Resolved { attempt, verdict: Verdict::Created { id, api_url: None }, grounds },
            "never" => Event::Resolved { attempt, verdict: Verdict::NotCreated, grounds },
            "token" => Event::TokenSet { name: name("a"), token: kept() },
            _ => unreachable!("{word}"),
        }
    }

    /// The way to a phase, and what may follow: word and status afterwards.
    type Row = (&'static [&'static str], &'static [(&'static str, &'static str)]);

    #[test]
    fn p1_the_table_lists_every_step_and_refuses_the_rest() {
        // What a row does not list is illegal.
        let words = ["intent", "unsent", "sent", "received", "created", "refused", "doubted", "exists", "never", "token"];
        let table: &[Row] = &[
            (&[], &[("intent", "intent")]),
            (&["intent"], &[("unsent", "absent"), ("sent", "in_doubt"), ("doubted", "in_doubt")]),
            (
                &["intent", "sent"],
                &[
                    ("unsent", "absent"),
                    ("received", "received"),
                    ("doubted", "in_doubt"),
                    ("exists", "token_missing"),
                    ("never", "absent"),
                ],
            ),
            (&["intent", "sent", "received"], &[("created", "created"), ("refused", "absent"), ("doubted", "in_doubt")]),
            (
                &["intent", "sent", "received", "doubted"],
                &[("doubted", "in_doubt"), ("exists", "token_missing"), ("never", "absent")],
            ),
            (&["intent", "sent", "received", "created"], &[("token", "created")]),
            (&["intent", "sent", "exists"], &[("token", "created")]),
            (&["intent", "unsent"], &[("intent", "intent")]),
            (&["intent", "sent", "received", "refused"], &[("intent", "intent")]),
        ];
        for (way, allowed) in table {
            for word in words {
                let events: Vec<Event> = way.iter().chain([&word]).map(|word| event(word)).collect();
                let expected = allowed.iter().find(|(next, _)| *next == word).map(|(_, status)| *status);
                let found = replay(&events).ok().map(|state| state.records()[&name("a")].status());
                assert_eq!(found, expected, "{way:?} then {word}");
            }
        }
    }

    #[test]
    fn p1_a_refused_entry_leaves_the_state_as_it_was() {
        let mut state = replay(&[event("intent"), event("sent")]).unwrap();
        let before = state.clone();
        let entry = Entry { serial: state.serial.next(), at: AT, event: event("intent") };
        assert!(matches!(state.apply(&entry), Err(Illegal::Step { .. })));
        assert_eq!(state, before);
    }

    #[test]
    fn an_id_belongs_to_one_name_only() {
        let mut events: Vec<Event> = ["intent", "sent", "received", "created"].map(event).to_vec();
        let id = InstanceId::parse("100").unwrap();
        events.push(Event::Adopted { name: name("b"), kind: InstanceType::WhatsApp, id, source: "test".into() });
        assert!(matches!(replay(&events), Err(Illegal::IdTaken { .. })));
    }

    #[test]
    fn a_renamed_instance_keeps_its_id_and_frees_its_name() {
        let mut events: Vec<Event> = ["intent", "sent", "received", "created"].map(event).to_vec();
        events.push(Event::Moved { from: name("a"), to: name("b") });
        let state = replay(&events).unwrap();
        assert_eq!(state.known_ids().values().collect::<Vec<_>>(), [&name("b")]);
        assert!(state.record(&name("a")).is_none());
        events.push(Event::Moved { from: name("a"), to: name("c") });
        assert_eq!(replay(&events), Err(Illegal::Unknown(name("a"))));
    }

    #[test]
    fn a_fence_lives_as_long_as_an_attempt_refers_to_it() {
        let listed = |id: &str| Event::Listed { ids: vec![InstanceId::parse(id).unwrap()] };
        let intent = Event::Intent { attempt: attempt(), name: name("a"), kind: InstanceType::WhatsApp, fence: Some(Serial(2)) };
        let state = replay(&[listed("1"), intent, event("sent"), listed("2"), listed("3")]).unwrap();
        assert_eq!(state.fences().keys().copied().collect::<Vec<_>>(), [Serial(2), Serial(6)]);
        let (_, attempt, _) = state.doubts().next().unwrap();
        assert!(state.fence_of(attempt).unwrap().contains(&InstanceId::parse("1").unwrap()));
    }

    #[test]
    fn a_binding_names_its_account_once_and_never_another() {
        let bound = |origin: &str, key: Option<&str>| {
            let key = key.map(|key| super::super::KeyFingerprint(key.into()));
            Event::Bound(super::super::Binding { origin: super::super::Origin(origin.into()), key })
        };
        assert!(replay(&[bound("a", None), bound("a", Some("k")), bound("a", Some("k"))]).is_ok());
        for other in [bound("b", Some("k")), bound("a", Some("l")), bound("a", None)] {
            assert_eq!(replay(&[bound("a", Some("k")), other]), Err(Illegal::Bound));
        }
    }

    #[test]
    fn entries_come_in_order() {
        let mut state = replay(&[]).unwrap();
        let entry = Entry { serial: Serial(5), at: AT, event: event("intent") };
        assert_eq!(state.apply(&entry), Err(Illegal::Serial { expected: Serial(2), found: Serial(5) }));
        assert_eq!(Head::START.hash, Hash::ZERO);
    }
}
