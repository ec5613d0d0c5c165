//! The real store, which dies with the process, and in which defects can be seeded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::world::{Hit, World, lock};
use super::{Defect, Step, When};
use crate::state::{Entry, Event, Head, Serial, State};
use crate::store::fault::DiskControl;
use crate::store::{StateStore, StoreError};

/// The real store, which dies with the process, and in which defects can be seeded.
pub(super) struct MortalStore {
    pub(super) inner: Box<dyn StateStore>,
    pub(super) world: Arc<World>,
    pub(super) disk: DiskControl,
    /// Appended since the last sync.
    pub(super) unsynced: Vec<(String, Step)>,
    pub(super) last: Option<Step>,
    /// Entries that a defect keeps back.
    pub(super) held: Vec<Event>,
}

/// The step that an event is, and whose: an attempt's, an id's or a name's.
pub(super) fn step_of(event: &Event) -> Option<(Step, String)> {
    let step = match event {
        Event::Run { .. } => Step::Run,
        Event::Bound(_) => Step::Bound,
        Event::Listed { .. } => Step::Listed,
        Event::Protection { .. } => Step::Protection,
        Event::Intent { .. } => Step::Intent,
        Event::Sent { .. } => Step::Sent,
        Event::Received { .. } => Step::Received,
        Event::Created { id, .. } => return Some((Step::Created, id.to_string())),
        Event::Resolved { .. } => Step::Resolved,
        Event::Moved { .. } => Step::Moved,
        Event::Adopted { .. } => Step::Adopted,
        Event::Replacing { .. } => Step::Replacing,
        Event::Retiring { .. } => Step::Retiring,
        Event::RetireSent { .. } => Step::RetireSent,
        Event::Retired { .. } => Step::Retired,
        Event::Kept { .. } => Step::Kept,
        _ => return None,
    };
    let whose = event.attempt().map(ToString::to_string).or_else(|| event.name().map(ToString::to_string));
    Some((step, whose.unwrap_or_default()))
}

pub(super) fn full() -> StoreError {
    StoreError::Io { action: "write", path: "journal".into(), source: std::io::ErrorKind::StorageFull.into() }
}

impl MortalStore {
    fn keeps_back(&self, step: Option<Step>) -> bool {
        match self.world.defect {
            Some(Defect::SentAfterCall) => step == Some(Step::Sent),
            Some(Defect::ParsedBeforeReceived) => step == Some(Step::Received),
            Some(Defect::RetireSentAfterCall) => step == Some(Step::RetireSent),
            _ => false,
        }
    }

    /// Whether a defect leaves out the sync that is due now.
    fn lies(&self) -> bool {
        match self.world.defect {
            Some(Defect::NothingSynced) => true,
            Some(Defect::IntentNotSynced) => self.last == Some(Step::Intent),
            Some(Defect::RetiringNotSynced) => self.last == Some(Step::Retiring),
            Some(Defect::ReplacingNotSynced) => self.last == Some(Step::Replacing),
            Some(Defect::SettlementsNotSynced) => {
                matches!(self.last, Some(Step::Resolved | Step::Moved | Step::Adopted))
            }
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
        let known = step_of(&event);
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
        match &event {
            Event::Intent { attempt, name, .. } => {
                lock(&self.world.names).insert(attempt.clone(), name.clone());
            }
            Event::Retiring { attempt, id, .. } => {
                lock(&self.world.retiring).insert(id.clone(), attempt.clone());
            }
            _ => {}
        }
        if self.keeps_back(step) {
            if !self.held.contains(&event) {
                self.held.push(event);
            }
            // The serial that it gets when it is written after all.
            return Ok(self.inner.head().serial.next());
        }
        self.release(at);
        let serial = self.inner.append(event, at)?;
        self.last = step;
        if let Some((step, whose)) = known {
            self.unsynced.push((whose, step));
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
        let lies = self.lies();
        self.disk.with(|disk| disk.lies = lies);
        let waiting = std::mem::take(&mut self.unsynced);
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
