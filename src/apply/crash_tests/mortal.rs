//! The real store, which dies with the process, and in which defects can be seeded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::world::{Hit, World, lock};
use super::{Defect, Step, When};
use crate::state::{AttemptId, Entry, Event, Head, Serial, State};
use crate::store::fault::DiskControl;
use crate::store::{StateStore, StoreError};

/// The real store, which dies with the process, and in which defects can be seeded.
pub(super) struct MortalStore {
    pub(super) inner: Box<dyn StateStore>,
    pub(super) world: Arc<World>,
    pub(super) disk: DiskControl,
    /// Appended since the last sync.
    pub(super) unsynced: Vec<(AttemptId, Step)>,
    pub(super) last: Option<Step>,
    /// Entries that a defect keeps back.
    pub(super) held: Vec<Event>,
}

pub(super) fn step_of(event: &Event) -> Option<(Step, Option<&AttemptId>)> {
    Some(match event {
        Event::Run { .. } => (Step::Run, None),
        Event::Bound(_) => (Step::Bound, None),
        Event::Listed { .. } => (Step::Listed, None),
        Event::Intent { attempt, .. } => (Step::Intent, Some(attempt)),
        Event::Sent { attempt } => (Step::Sent, Some(attempt)),
        Event::Received { attempt, .. } => (Step::Received, Some(attempt)),
        Event::Created { attempt, .. } => (Step::Created, Some(attempt)),
        _ => return None,
    })
}

pub(super) fn full() -> StoreError {
    StoreError::Io { action: "write", path: "journal".into(), source: std::io::ErrorKind::StorageFull.into() }
}

impl MortalStore {
    fn keeps_back(&self, step: Option<Step>) -> bool {
        match self.world.defect {
            Some(Defect::SentAfterCall) => step == Some(Step::Sent),
            Some(Defect::ParsedBeforeReceived) => step == Some(Step::Received),
            _ => false,
        }
    }

    /// Writes what a defect kept back, when its time has come.
    fn release(&mut self, at: Timestamp) {
        for event in std::mem::take(&mut self.held) {
            self.inner.append(event, at).unwrap();
        }
    }
}

impl StateStore for MortalStore {
    fn state(&self) -> &State {
        self.inner.state()
    }

    fn head(&self) -> Head {
        self.inner.head()
    }

    fn append(&mut self, event: Event, at: Timestamp) -> Result<Serial, StoreError> {
        let known = step_of(&event).map(|(step, attempt)| (step, attempt.cloned()));
        let step = known.as_ref().map(|(step, _)| *step);
        if self.world.is_dead() {
            return Err(StoreError::Broken);
        }
        if let Some(step) = step {
            match self.world.at(step, When::Before) {
                Hit::Go => {}
                Hit::Die => return Err(StoreError::Broken),
                Hit::Fail => return Err(full()),
            }
        }
        if let Event::Intent { attempt, name, .. } = &event {
            lock(&self.world.names).insert(attempt.clone(), name.clone());
        }
        if self.keeps_back(step) {
            self.held.push(event);
            // The serial that it gets when it is written after all.
            return Ok(self.inner.head().serial.next());
        }
        self.release(at);
        let serial = self.inner.append(event, at)?;
        self.last = step;
        if let Some((step, Some(attempt))) = known {
            self.unsynced.push((attempt, step));
        }
        match step.map_or(Hit::Go, |step| self.world.at(step, When::Written)) {
            Hit::Die => Err(StoreError::Broken),
            Hit::Go | Hit::Fail => Ok(serial),
        }
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        if self.world.is_dead() {
            return Err(StoreError::Broken);
        }
        let lies = match self.world.defect {
            Some(Defect::NothingSynced) => true,
            Some(Defect::IntentNotSynced) => self.last == Some(Step::Intent),
            _ => false,
        };
        self.disk.with(|disk| disk.lies = lies);
        let waiting: Vec<(AttemptId, Step)> = std::mem::take(&mut self.unsynced);
        let fails = waiting.iter().any(|(_, step)| self.world.at(*step, When::Done) == Hit::Fail);
        self.disk.with(|disk| disk.fails_sync = fails);
        self.inner.sync()?;
        if !lies {
            lock(&self.world.durable).extend(waiting);
        }
        // A crash "after" a step is after its sync: the world died in `at`, and nobody hears of the success.
        if self.world.is_dead() { Err(StoreError::Broken) } else { Ok(()) }
    }

    fn entries(&mut self, serials: &BTreeSet<Serial>) -> Result<BTreeMap<Serial, Entry>, StoreError> {
        self.inner.entries(serials)
    }

    fn close(mut self: Box<Self>) -> Result<(), StoreError> {
        if self.world.is_dead() {
            return Err(StoreError::Broken);
        }
        self.release(Timestamp::UNIX_EPOCH);
        self.inner.close()
    }
}
