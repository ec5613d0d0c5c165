//! The oracle of deletes: what may be deleted, what may be called deleted, and how a name that was to go ends.

use tokio::time::Instant;

use super::ledger::{Line, SETTLES_AFTER, SETTLES_BETWEEN};
use super::server::{Real, Shown};
use super::world::{Inner, wall};
use crate::instance::{InstanceId, InstanceName};
use crate::state::{AttemptId, Event, Instance, Phase, State};

/// A delete as the simulation knows it.
#[derive(Debug, Clone)]
pub(super) struct Retiring {
    pub(super) name: InstanceName,
    pub(super) id: InstanceId,
    /// Its `retire_sent` record.
    sent: Option<Line>,
    /// When a request for it last came to the server.
    arrived: Option<Instant>,
}

impl Inner {
    fn real(&self, id: &InstanceId) -> Option<&Real> {
        self.server.reals.iter().find(|real| real.id == *id)
    }

    /// An entry of a delete was written.
    pub(super) fn delete_appended(&mut self, event: &Event, line: Line) {
        match event {
            Event::Retiring { attempt, name, id, .. } => {
                let open = Retiring { name: name.clone(), id: id.clone(), sent: None, arrived: None };
                self.ledger.retirings.insert(attempt.clone(), open);
            }
            Event::RetireSent { attempt } => self.ledger.retirings.get_mut(attempt).unwrap().sent = Some(line),
            Event::Kept { attempt, .. } => self.check_kept(attempt),
            _ => {}
        }
    }

    /// V4: a request to delete `id` arrives. Its `retire_sent` record is older, and was durable as far as the disk said.
    pub(super) fn check_retire_sent(&mut self, id: &InstanceId) {
        let of_id = |open: &&Retiring| open.id == *id;
        let sent = self.ledger.retirings.values().filter(of_id).filter_map(|open| open.sent.as_ref());
        let is_durable = sent.into_iter().any(|line| self.is_claimed(line));
        if !is_durable {
            self.violation(format!("V4: the delete of {id} arrives before its `retire_sent` is durable"));
        }
        for open in self.ledger.retirings.values_mut().filter(|open| open.id == *id) {
            open.arrived = Some(Instant::now());
        }
    }

    /// P9, V7: the server deletes. The instance is that of a name which is to go, and nobody else's.
    pub(super) fn check_delete(&mut self, id: &InstanceId) {
        let owner = self.real(id).and_then(|real| self.owner(real));
        let is_meant = owner.is_some_and(|name| self.doomed.contains(name));
        if !is_meant {
            self.violation(format!("P9/V7: {id} of {owner:?} is deleted, and nobody had named it", owner = owner.cloned()));
        }
    }

    /// V7: a name is about to be called deleted. The server has said so, or the evidence is there.
    pub(super) fn check_retired(&mut self, process: usize, attempt: &AttemptId, state: &State) {
        let Some(open) = self.ledger.retirings.get(attempt).cloned() else { return };
        if self.ledger.said_deleted.contains(&(process, open.id.clone())) {
            return;
        }
        self.ledger.tally.deleted_by_list += 1;
        let exists = self.real(&open.id).is_some_and(|real| !real.is_deleted());
        match self.lacks_evidence(process, &open, state) {
            Some(wrong) => self.violation(format!("V7: {} is called deleted {wrong}", open.name)),
            None if exists => {
                self.ledger.tally.wrong_deletions += 1;
                self.ledger.wrong_deletions.insert(open.id);
            }
            None => {}
        }
    }

    /// What is wrong with the lists by which a delete is about to be concluded.
    fn lacks_evidence(&self, process: usize, open: &Retiring, state: &State) -> Option<&'static str> {
        let is_later = |at: Instant| open.arrived.is_none_or(|arrived| at >= arrived);
        let lists: Vec<_> = self.server.shown.iter().filter(|shown| shown.process == process && is_later(shown.at)).collect();
        let [.., before, last] = lists.as_slice() else { return Some("without two lists") };
        let instance = match state.record(&open.name).map(|record| &record.phase) {
            Some(Phase::Retiring(instance, _)) if instance.id == open.id => instance,
            _ => return Some("with an id that it has not"),
        };
        match () {
            () if before.ids.contains(&open.id) || last.ids.contains(&open.id) => Some("although it is listed"),
            () if before.ids.is_empty() || last.ids.is_empty() => Some("by a list of nothing"),
            () if !before.is_believable(state) || !last.is_believable(state) => Some("by a list that cannot be believed"),
            () if last.at - before.at < SETTLES_BETWEEN || !is_settled(instance) => Some("too early"),
            () => None,
        }
    }

    /// V7: somebody says that it is deleted.
    pub(super) fn check_told_deleted(&mut self, name: &InstanceName, id: &InstanceId) {
        let exists = self.real(id).is_some_and(|real| !real.is_deleted());
        if exists && !self.ledger.wrong_deletions.contains(id) {
            self.violation(format!("V7: {name} is said to be deleted, and {id} exists"));
        }
    }

    /// A name is called kept. If it is gone all the same, a list showed it that lags, then or before.
    fn check_kept(&mut self, attempt: &AttemptId) {
        let Some(open) = self.ledger.retirings.get(attempt).cloned() else { return };
        if !self.real(&open.id).is_some_and(Real::is_deleted) {
            return;
        }
        let is_shown = self.server.shown.last().is_some_and(|shown| shown.ids.contains(&open.id));
        let is_known = self.ledger.wrong_keeps.contains(&open.id) || self.ledger.tally.rebuilt > 0 || self.is_excused(&open.name);
        if !is_shown && !is_known {
            self.violation(format!("V7: {} is called kept, and {} is gone", open.name, open.id));
        }
        self.ledger.tally.wrong_keeps += 1;
        self.ledger.wrong_keeps.insert(open.id);
    }

    /// Whether `state` says of `id`, which exists, whose it is.
    pub(super) fn accounts_for(&self, state: &State, id: &InstanceId) -> bool {
        let record = state.known_ids().get(id).and_then(|name| state.record(name));
        record.is_some_and(|record| !record.is_retired()) || self.ledger.wrong_deletions.contains(id)
    }

    /// V7: what a declared name has exists.
    pub(super) fn check_exists(&mut self, name: &InstanceName, id: &InstanceId) {
        if self.real(id).is_none_or(Real::is_deleted) && !self.is_excused(name) {
            self.violation(format!("V7: {name} is declared, and {id} is gone"));
        }
    }

    /// V7: every name that was to go is gone, or was never there; or nothing can prove it.
    pub(super) fn check_doomed(&mut self, state: &State, may_doubt: bool) {
        for name in self.doomed.clone() {
            match state.record(&name).map(|record| &record.phase) {
                None | Some(Phase::Absent { .. } | Phase::Retired { .. }) => {}
                Some(Phase::InDoubt(..)) if may_doubt => {}
                Some(Phase::Retiring(instance, _)) if self.cannot_be_proven(instance, state) => {
                    self.ledger.tally.unproven_deletes += u64::from(!may_doubt);
                }
                other => self.violation(format!("V7: {name} was to be deleted, and ends as {other:?}")),
            }
        }
    }

    /// Whether a delete is carried out, and no list shows it that can be believed.
    fn cannot_be_proven(&self, instance: &Instance, state: &State) -> bool {
        let is_believable = self.server.shown.last().is_some_and(|shown| !shown.ids.is_empty() && shown.is_believable(state));
        let is_gone = self.real(&instance.id).is_none_or(Real::is_deleted);
        is_gone && !(is_believable && is_settled(instance))
    }
}

impl Shown {
    /// Whether it can be read, and shows everything that is managed.
    fn is_believable(&self, state: &State) -> bool {
        self.is_whole && state.managed_ids().all(|id| self.ids.contains(id))
    }
}

/// Whether it was recorded so long ago that a list which lags would show it.
fn is_settled(instance: &Instance) -> bool {
    wall().duration_since(instance.since) >= SETTLES_AFTER.try_into().unwrap()
}
