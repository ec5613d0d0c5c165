//! What each entry makes of a state, or why it is refused. The steps of one attempt are in [`super::table`].

use std::collections::BTreeSet;
use std::collections::btree_map::Entry as Slot;
use std::sync::Arc;

use jiff::Timestamp;

use super::table::{Step, next_phase};
use super::{
    Attempt, AttemptId, Begun, Binding, Checkpoint, Doubt, Entry, Event, Former, Instance, Phase, Record, Retirement, Run,
    Serial, State, TokenAt, Verdict,
};
use crate::instance::{ApiUrl, InstanceId, InstanceName, InstanceType};

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
                Some(bound) if !bound.admits(binding) || bound.of_another_environment(binding).is_some() => Err(Illegal::Bound),
                before => {
                    let known = before.as_ref().and_then(|before| before.environment.clone());
                    self.binding = Some(Binding { environment: binding.environment.clone().or(known), ..binding.clone() });
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
                self.run = Some(Arc::new(Run { who: who.clone(), boot: boot.clone(), begun, aim }));
                Ok(())
            }
            Event::Listed { ids } => {
                let ids: BTreeSet<InstanceId> = ids.iter().cloned().collect();
                self.forget_old_fences(&ids);
                self.fences.insert(entry.serial, ids);
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
            Event::Resolved { attempt, verdict, grounds } => {
                if let Verdict::Created { id, .. } = verdict {
                    self.check_id(id)?;
                }
                self.step(entry, attempt, &Step::Resolved(verdict, grounds))
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
            Event::TokenSet { name, api_url, .. } => self.set_token(name, entry.serial, api_url.as_ref()),
            Event::Adopted { name, kind, id, api_url, is_foreign, .. } => {
                self.adopt((name, *kind), Instance::listed(id, api_url.as_ref(), entry.at), *is_foreign)
            }
            Event::AdoptedDoubt { attempt, name, kind } => self.adopt_doubt(entry.at, attempt, name, *kind),
            Event::Released { name } => self.release(name, "released"),
            Event::Reclaimed { name } => self.release(name, "reclaimed"),
            Event::Moved { from, to } => self.rename(from, to),
            Event::Replacing { name, to } => self.set_aside(name, to),
            Event::Forgotten { name } => self.forget(name),
            Event::Noted { orphaned, returned } => {
                self.mark(orphaned, |record| record.orphan_noted = true)?;
                self.mark(returned, |record| {
                    record.orphan_noted = false;
                    record.is_foreign = false;
                })
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
        self.former_ids.extend(record.former.iter().map(|former| (former.id.clone(), record.name.clone())));
        self.records.insert(record.name.clone(), record);
    }

    fn take_out(&mut self, name: &InstanceName) -> Option<Record> {
        let record = self.records.remove(name)?;
        for former in &record.former {
            if self.former_ids.get(&former.id) == Some(name) {
                self.former_ids.remove(&former.id);
            }
        }
        Some(record)
    }

    /// What is on record of an instance that only lists called gone, and whether it was protected.
    fn lost_instance(&self, id: &InstanceId) -> Option<(Instance, bool)> {
        let retired = self.ids.get(id).and_then(|owner| self.records.get(owner));
        let now = retired.and_then(|record| Some((record.lost()?.clone(), record.is_protected)));
        now.or_else(|| {
            let record = self.records.get(self.former_ids.get(id)?)?;
            let former = record.former.iter().find(|former| former.id == *id)?;
            Some((former.lost.as_deref()?.clone(), former.is_protected))
        })
    }

    /// `id` is `name`'s from now on. What had it before was deleted: [`State::check_id`] has seen to that.
    fn own(&mut self, id: &InstanceId, name: &InstanceName) {
        let earlier = self.ids.insert(id.clone(), name.clone()).filter(|earlier| earlier != name);
        if let Some(record) = earlier.and_then(|earlier| self.records.get_mut(&earlier)) {
            if let Phase::Retired { id, since, .. } = &record.phase {
                record.taken = Some(Box::new(Former { id: id.clone(), since: *since, lost: None, is_protected: false }));
            }
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
        self.open(attempt, Record { phase: Phase::Retiring(instance, Box::new(retirement)), ..record.clone() })
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
            self.disown(&id, &name);
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

    fn set_token(&mut self, name: &InstanceName, at: Serial, api_url: Option<&ApiUrl>) -> Result<(), Illegal> {
        let record = self.records.get_mut(name).ok_or_else(|| Illegal::Unknown(name.clone()))?;
        match &mut record.phase {
            Phase::Created(instance) => {
                instance.token = Some(TokenAt { entry: at, name: name.clone() });
                // What was typed is as foreign as what was listed: no answer to a create has told it.
                if let Some(api_url) = api_url {
                    (instance.api_url, instance.is_address_listed) = (Some(api_url.clone()), true);
                }
                Ok(())
            }
            _ => Err(illegal(record, "token_set")),
        }
    }

    fn adopt(
        &mut self,
        (name, kind): (&InstanceName, InstanceType),
        instance: Instance,
        is_foreign: bool,
    ) -> Result<(), Illegal> {
        self.check_vacant(name)?;
        self.check_id(&instance.id)?;
        let id = instance.id.clone();
        // What was called gone and exists after all is what it was, with its token.
        let lost = self.lost_instance(&id);
        // What a name was declared with, or an apply has seen, is not new.
        let is_known = self.records.contains_key(name) || self.newest_fence().is_some_and(|(_, seen)| seen.contains(&id));
        let is_foreign = is_foreign && !is_known && lost.is_none();
        let (instance, is_protected) = match lost {
            // An address of its own answer is its answer's still; another one is known from the list only, whatever had told the first.
            Some((lost, is_protected)) if instance.api_url.is_none() || instance.api_url == lost.api_url => (lost, is_protected),
            Some((lost, is_protected)) => {
                let Instance { api_url, is_address_listed, .. } = instance;
                (Instance { api_url, is_address_listed, ..lost }, is_protected)
            }
            None => (instance, false),
        };
        self.put(Record { is_foreign, is_protected, ..Record::new(name.clone(), kind, Phase::Created(instance)) });
        self.own(&id, name);
        self.disown(&id, name);
        Ok(())
    }

    /// `id` was recorded as deleted under other names than `owner`, and exists. A name that has nothing now asks before it gets a new one.
    fn disown(&mut self, id: &InstanceId, owner: &InstanceName) {
        let Some(before) = self.former_ids.get(id).filter(|before| *before != owner).cloned() else { return };
        self.former_ids.remove(id);
        let Some(record) = self.records.get_mut(&before) else { return };
        let Some(at) = record.former.iter().position(|former| former.id == *id) else { return };
        let former = record.former.remove(at);
        if matches!(record.phase, Phase::Absent { .. }) {
            record.taken = Some(Box::new(Former { lost: None, ..former }));
        }
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
            record.is_foreign = false;
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
}

pub(super) fn illegal(record: &Record, event: &'static str) -> Illegal {
    Illegal::Step { name: record.name.clone(), status: record.status(), event }
}
