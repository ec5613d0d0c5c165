//! What the index, the lock file and the history know besides what is left of a journal.

use std::path::Path;

use super::implied::resolved;
use super::{Pieces, lost_attempt};
use crate::instance::{InstanceName, InstanceType};
use crate::state::{Binding, Event, Phase, Record, Serial, State};
use crate::store::relearn::{self, of_index, of_lock, relearn};
use crate::store::{LockFile, history};

impl Pieces<'_> {
    /// The server and the keys, where the lines that named them are gone: a copy elsewhere is newer than what is left.
    pub(super) fn add_settings(&self, state: &mut State, index: Option<&State>, lock: Option<&LockFile>) {
        let bound = index.and_then(|index| index.binding.clone());
        let origin = || lock.and_then(|lock| lock.origin.clone()).map(|origin| Binding { origin, key: None, environment: None });
        if let (None, Some(binding)) = (&state.binding, bound.or_else(origin)) {
            self.add(state, Event::Bound(binding));
        }
        // What the journal still says goes first: an older copy may have the keys from before a `rekey`, and a lock file may come
        // with a pull request. The index alone can be newer than what is left of the journal.
        let newer = index.filter(|index| index.serial > self.keys_at).map(|index| index.recipients.clone());
        let to =
            newer.or_else(|| lock.map(|lock| lock.seal_to.clone()).filter(|_| state.recipients.is_empty() && index.is_none()));
        if let Some(to) = to.filter(|to| *to != state.recipients) {
            self.add(state, Event::Recipients { to });
        }
    }

    /// Adds names that are known elsewhere; returns how many.
    pub(super) fn add_from(&self, state: &mut State, index: Option<&State>, lock: Option<&LockFile>) -> usize {
        let mut added = 0;
        if let Some(index) = index {
            let source = ("the index, after the journal was damaged", self.at);
            added += relearn(state, of_index(index), source, &|name| self.is_behind(name, index.serial)).1;
            for record in index.records().values() {
                let is_added = match record.open_attempt() {
                    Some(attempt) => self.add(
                        state,
                        Event::AdoptedDoubt { attempt: attempt.id.clone(), name: record.name.clone(), kind: record.kind },
                    ),
                    None => record.id().is_some() && !record.is_retired() && self.hold_vacant(state, &record.name, record.kind),
                };
                added += usize::from(is_added);
            }
        }
        let Some(lock) = lock else { return added };
        let source = ("the lock file, after the journal was damaged", self.at);
        // An index that does not stand before it has seen all that it tells of, unless it was put together from pieces since.
        let is_newest = index.is_none_or(|index| index.serial < lock.serial);
        let has_seen_it = !is_newest && lock.serial >= self.rebuilt_at;
        let is_newer = |name: &InstanceName| is_newest && self.is_behind(name, lock.serial);
        added += relearn(state, of_lock(lock), source, &is_newer).1;
        for (name, instance) in lock.known().filter(|_| !has_seen_it) {
            added += usize::from(self.hold_vacant(state, name, instance.kind));
        }
        for (name, doubt) in &lock.in_doubt {
            let held = state.record(name).and_then(|record| record.open_attempt()).map(|attempt| attempt.id.clone());
            if let Some(held) = held.clone().filter(|held| doubt.attempt.as_ref().is_some_and(|known| known != held)) {
                // Its settling time begins anew: it was made later than the one that is known here.
                let reason = "another attempt was made later, and its entries are lost".to_owned();
                self.add(state, Event::Doubted { attempt: held, reason });
            }
            let attempt = doubt.attempt.clone().unwrap_or_else(|| lost_attempt(name));
            if held.is_none() {
                let is_new = !relearn::doubt(state, (attempt, name, doubt.kind), source, &is_newer).is_empty();
                added += usize::from(is_new);
            }
        }
        added
    }

    /// Whether a witness that stands at `serial` has seen all that could be read of a name.
    fn is_behind(&self, name: &InstanceName, serial: Serial) -> bool {
        self.touched.get(name).is_none_or(|last| *last <= serial)
    }

    /// A newer witness has an instance under this name, whose id stands under another one here: the name is not free.
    fn hold_vacant(&self, state: &mut State, name: &InstanceName, kind: InstanceType) -> bool {
        let is_vacant = state.record(name).is_none_or(|record| matches!(record.phase, Phase::Absent { .. }));
        is_vacant && self.add(state, Event::AdoptedDoubt { attempt: lost_attempt(name), name: name.clone(), kind })
    }

    /// Names of the state that a checkpoint went on from, where their own lines are gone. It is older than the journal, so that an id
    /// under another name was moved.
    pub(super) fn hold_past(&self, state: &mut State, dir: &Path) {
        let Some(before) = self.history.as_ref().and_then(|past| history::state_of(dir, past)) else { return };
        for record in before.records().values() {
            let is_moved = record.id().is_some_and(|id| state.known_ids().contains_key(id));
            if !is_moved && !matches!(record.phase, Phase::Absent { .. }) && !self.add_record(state, record) {
                self.hold_vacant(state, &record.name, record.kind);
            }
        }
    }

    fn add_record(&self, state: &mut State, record: &Record) -> bool {
        let (name, kind) = (record.name.clone(), record.kind);
        if let (Some(id), Some(known)) = (record.id(), state.record(&name).and_then(|record| record.open_attempt())) {
            let attempt = known.id.clone();
            return self.add(state, resolved(attempt, id.clone(), "the index, after the journal was damaged"));
        }
        if let Some(id) = record.id() {
            let source = "the index, after the journal was damaged".to_owned();
            return self.add(state, Event::Adopted { name, kind, id: id.clone(), api_url: None, source, is_foreign: false });
        }
        match record.open_attempt() {
            Some(attempt) => self.add(state, Event::AdoptedDoubt { attempt: attempt.id.clone(), name, kind }),
            None => false,
        }
    }
}
