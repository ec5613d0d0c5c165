//! What each entry makes of a state, or why it is refused. The steps of one attempt are in [`super::table`].

use std::collections::btree_map::Entry as Slot;

use jiff::Timestamp;

use super::table::{Step, next_phase};
use super::{
    Attempt, AttemptId, Begun, Checkpoint, Doubt, Entry, Event, Former, Instance, Phase, Record, Retirement, Run, Serial, State,
    TokenAt, Verdict,
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
                let instance = Instance { token, is_address_listed: false, ..Instance::listed(id, api_url.as_ref(), entry.at) };
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
            Event::Retiring { attempt, name, id, unprotected } => self.retire(entry.at, attempt, (name, id), *unprotected),
            Event::RetireSent { attempt } => self.step(entry, attempt, &Step::RetireSent),
            Event::Retired { attempt, .. } => self.step(entry, attempt, &Step::Retired),
            Event::Kept { attempt, .. } => self.step(entry, attempt, &Step::Kept),
            Event::Gone { name, id, .. } => self.lose(entry.at, name, id),
            Event::Protection { protected, unprotected } => {
                self.mark(protected, |record| record.is_protected = true)?;
                self.mark(unprotected, |record| record.is_protected = false)
            }
            Event::TokenSet { name, .. } => self.set_token(name, entry.serial),
            Event::Adopted { name, kind, id, api_url, .. } => {
                self.adopt(name, *kind, Instance::listed(id, api_url.as_ref(), entry.at))
            }
            Event::AdoptedDoubt { attempt, name, kind } => self.adopt_doubt(entry.at, attempt, name, *kind),
            Event::Released { name } => self.release(name, "released"),
            Event::Reclaimed { name } => self.release(name, "reclaimed"),
            Event::Moved { from, to } => self.rename(from, to),
            Event::Replacing { name, to } => self.set_aside(name, to),
            Event::Forgotten { name } => self.forget(name),
            Event::Noted { orphaned, returned } => {
                self.mark(orphaned, |record| record.orphan_noted = true)?;
                self.mark(returned, |record| record.orphan_noted = false)
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
        if let Some(attempt) = record.open_id() {
            return self.open(&attempt.clone(), record.clone());
        }
        self.keep(record.clone());
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
            Some(Record { phase: Phase::Absent { .. } | Phase::Retired { .. }, attempts, .. }) => *attempts,
            Some(record) => return Err(illegal(record, "intent")),
        };
        let opened = Attempt { id: attempt.clone(), fence, since: at, run: self.run.clone() };
        let phase = Phase::Intent(opened);
        self.open(attempt, Record { attempts: attempts + 1, ..Record::new(name.clone(), kind, phase) })
    }

    fn open(&mut self, attempt: &AttemptId, record: Record) -> Result<(), Illegal> {
        match self.open.entry(attempt.clone()) {
            Slot::Occupied(taken) => return Err(Illegal::Taken(taken.get().clone())),
            Slot::Vacant(slot) => slot.insert(record.name.clone()),
        };
        self.put(record);
        Ok(())
    }

    /// In the place of what its name had; the id of what was deleted there is nobody's from then on.
    pub(super) fn put(&mut self, mut record: Record) {
        if let Some(Record { phase, mut former, replaces, is_protected, .. }) = self.take_out(&record.name.clone()) {
            // Whatever the name gets is in the place of what it had, unless it gets that back.
            if replaces.is_some() && replaces.as_ref() == record.id() {
                (record.is_replaced, record.is_kept) = (false, false);
            } else {
                record.replaces = record.replaces.or(replaces);
            }
            if let Phase::Retired { id, since, lost } = phase {
                self.ids.remove(&id);
                former.push(Former { id, since, lost, is_protected });
            }
            former.retain(|old| record.id() != Some(&old.id) && !record.former.contains(old));
            record.former.extend(former);
        }
        self.keep(record);
    }

    fn keep(&mut self, record: Record) {
        self.lost.extend(record.lost_before().map(|(id, _)| (id.clone(), record.name.clone())));
        self.records.insert(record.name.clone(), record);
    }

    fn take_out(&mut self, name: &InstanceName) -> Option<Record> {
        let record = self.records.remove(name)?;
        for (id, _) in record.lost_before() {
            if self.lost.get(id) == Some(name) {
                self.lost.remove(id);
            }
        }
        Some(record)
    }

    /// What is on record of an instance that only lists called gone, and whether it was protected.
    fn lost_instance(&self, id: &InstanceId) -> Option<(Instance, bool)> {
        let retired = self.ids.get(id).and_then(|owner| self.records.get(owner));
        let now = retired.and_then(|record| Some((record.lost()?.clone(), record.is_protected)));
        now.or_else(|| {
            let record = self.records.get(self.lost.get(id)?)?;
            let (_, (instance, is_protected)) = record.lost_before().find(|(former, _)| *former == id)?;
            Some((instance.clone(), is_protected))
        })
    }

    /// `id` is `name`'s from now on. What had it before was deleted: [`State::check_id`] has seen to that.
    fn own(&mut self, id: &InstanceId, name: &InstanceName) {
        let earlier = self.ids.insert(id.clone(), name.clone()).filter(|earlier| earlier != name);
        if let Some(record) = earlier.and_then(|earlier| self.records.get_mut(&earlier)) {
            record.phase = Phase::Absent { closed: format!("deleted as {id}, and the server gave that id to `{name}`") };
        }
    }

    fn retire(
        &mut self,
        at: Timestamp,
        attempt: &AttemptId,
        (name, id): (&InstanceName, &InstanceId),
        is_unprotected: bool,
    ) -> Result<(), Illegal> {
        let record = self.records.get(name).ok_or_else(|| Illegal::Unknown(name.clone()))?;
        let instance = record.instance().filter(|instance| instance.id == *id && (is_unprotected || !record.is_protected));
        let Some(instance) = instance.cloned() else { return Err(illegal(record, "retiring")) };
        let retirement = Retirement { attempt: attempt.clone(), since: at, sent: None };
        self.open(attempt, Record { phase: Phase::Retiring(instance, retirement), ..record.clone() })
    }

    /// Deleted by somebody else: there is no attempt of ours.
    fn lose(&mut self, at: Timestamp, name: &InstanceName, id: &InstanceId) -> Result<(), Illegal> {
        let record = self.records.get_mut(name).ok_or_else(|| Illegal::Unknown(name.clone()))?;
        let Some(instance) = record.instance().filter(|instance| instance.id == *id).cloned() else {
            return Err(illegal(record, "gone"));
        };
        record.phase = Phase::Retired { id: id.clone(), since: at, lost: Some(Box::new(instance)) };
        Ok(())
    }

    fn step(&mut self, entry: &Entry, attempt: &AttemptId, step: &Step<'_>) -> Result<(), Illegal> {
        let not_open = || Illegal::NotOpen(attempt.clone());
        let name = self.open.get(attempt).ok_or_else(not_open)?;
        let record = self.records.get_mut(name).ok_or_else(not_open)?;
        record.phase = next_phase(&record.phase, step, entry).ok_or_else(|| illegal(record, entry.event.word()))?;
        let (id, name, is_open) = (record.instance().map(|it| it.id.clone()), record.name.clone(), record.open_id().is_some());
        if let Some(id) = id {
            self.own(&id, &name);
        }
        if !is_open {
            self.open.remove(attempt);
        }
        Ok(())
    }

    fn check_id(&self, id: &InstanceId) -> Result<(), Illegal> {
        let owner = self.ids.get(id).filter(|owner| self.records.get(*owner).is_none_or(|record| !record.is_retired()));
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

    fn adopt(&mut self, name: &InstanceName, kind: InstanceType, instance: Instance) -> Result<(), Illegal> {
        self.check_vacant(name)?;
        self.check_id(&instance.id)?;
        let id = instance.id.clone();
        // What was called gone and exists after all is what it was, with its token.
        let (instance, is_protected) = match self.lost_instance(&id) {
            Some((lost, is_protected)) => (Instance { api_url: instance.api_url.or(lost.api_url), ..lost }, is_protected),
            None => (instance, false),
        };
        self.put(Record { is_protected, ..Record::new(name.clone(), kind, Phase::Created(instance)) });
        self.own(&id, name);
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
        self.open(attempt, Record { attempts: 1, ..Record::new(name.clone(), kind, phase) })
    }

    fn check_vacant(&self, name: &InstanceName) -> Result<(), Illegal> {
        match self.records.get(name).map(|record| &record.phase) {
            None | Some(Phase::Absent { .. } | Phase::Retired { .. }) => Ok(()),
            Some(_) => Err(Illegal::Taken(name.clone())),
        }
    }

    pub(super) fn rename(&mut self, from: &InstanceName, to: &InstanceName) -> Result<(), Illegal> {
        self.check_vacant(to)?;
        match self.records.get(from) {
            None => return Err(Illegal::Unknown(from.clone())),
            Some(record) if record.instance().is_none() => return Err(illegal(record, "moved")),
            Some(_) => {}
        }
        if let Some(mut record) = self.take_out(from) {
            if let Some(instance) = record.instance() {
                self.ids.insert(instance.id.clone(), to.clone());
            }
            record.name = to.clone();
            record.orphan_noted = false;
            record.is_kept = record.is_replaced;
            self.put(record);
        }
        Ok(())
    }

    fn forget(&mut self, name: &InstanceName) -> Result<(), Illegal> {
        let record = self.records.get(name).ok_or_else(|| Illegal::Unknown(name.clone()))?;
        if !record.has_nothing_to_lose() {
            return Err(illegal(record, "forgotten"));
        }
        if let Some(id) = self.take_out(name).as_ref().and_then(Record::id) {
            self.ids.remove(id);
        }
        Ok(())
    }

    fn mark(&mut self, names: &[InstanceName], mark: fn(&mut Record)) -> Result<(), Illegal> {
        if let Some(unknown) = names.iter().find(|name| !self.records.contains_key(name)) {
            return Err(Illegal::Unknown(unknown.clone()));
        }
        for name in names {
            if let Some(record) = self.records.get_mut(name) {
                mark(record);
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

pub(super) fn illegal(record: &Record, event: &'static str) -> Illegal {
    Illegal::Step { name: record.name.clone(), status: record.status(), event }
}
