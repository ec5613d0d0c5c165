//! What another witness of a state still knows of its instances, the lock file or an index, is taught to what is left of it.
//!
//! The newer one is right: where the witness stands behind the last entry that is known of a name, the name has the witness's id. A
//! release is always taken over, and so is protection: neither lets anything be deleted.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::lockfile::{LockFile, LockedInstance};
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::state::{AttemptId, Entry, Event, FORMAT, Grounds, Phase, Record, State, Verdict};

/// What a witness has of one instance.
#[derive(Debug, Clone)]
pub(super) struct Known {
    name: InstanceName,
    kind: InstanceType,
    id: InstanceId,
    standing: Standing,
    is_protected: bool,
    /// The witness does not say whether it is protected.
    is_unsure: bool,
    /// The name that has another instance since, or is to have one; and whether this one has a name of its own.
    replaced: Option<(InstanceName, bool)>,
}

impl Known {
    const fn is_gone(&self) -> bool {
        matches!(self.standing, Standing::Deleted(_))
    }

    /// As it came to exist.
    fn adopted(&self, name: &InstanceName, source: &str) -> Event {
        let (name, id, source) = (name.clone(), self.id.clone(), source.to_owned());
        Event::Adopted { name, kind: self.kind, id, api_url: None, source, is_foreign: false }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Managed,
    Released,
    /// Deleted; and whether it was declared then.
    Deleted(bool),
}

/// What a lock file knows.
pub(super) fn of_lock(lock: &LockFile) -> Vec<Known> {
    let known = |standing| {
        move |(name, locked): (&InstanceName, &LockedInstance)| Known {
            name: name.clone(),
            kind: locked.kind,
            id: locked.id.clone(),
            standing,
            is_protected: locked.is_protected,
            is_unsure: !lock.knows_protection(),
            replaced: locked.replaced_by.clone().map(|by| (by, locked.is_kept)),
        }
    };
    let managed = lock.instances.iter().map(known(Standing::Managed));
    let released = lock.released.iter().map(known(Standing::Released));
    managed.chain(released).chain(lock.deleted.iter().map(known(Standing::Deleted(true)))).collect()
}

/// What an index knows.
pub(super) fn of_index(index: &State) -> Vec<Known> {
    let records = index.records().values().filter_map(|record| {
        let (name, kind) = (record.name.clone(), record.kind);
        let standing = match &record.phase {
            Phase::Created(_) | Phase::Retiring(..) => Standing::Managed,
            Phase::Released(_) => Standing::Released,
            Phase::Retired { .. } => Standing::Deleted(!record.orphan_noted),
            _ => {
                let (id, is_protected) = record.asked_about()?;
                let (id, standing) = (id.clone(), Standing::Deleted(true));
                return Some(Known { name, kind, id, standing, is_protected, is_unsure: false, replaced: None });
            }
        };
        let replaced = index.replacement_of(record).map(|new| (new.name.clone(), record.is_kept));
        let id = record.id()?.clone();
        Some(Known { name, kind, id, standing, is_protected: record.is_protected, is_unsure: false, replaced })
    });
    records.collect()
}

/// Teaches `state` what `known` has: gives the entries for it, which `state` has taken in, and how many instances were new.
/// `is_newer`: the witness stands behind all that is known of a name.
pub(super) fn relearn(
    state: &mut State,
    known: Vec<Known>,
    (source, at): (&str, Timestamp),
    is_newer: &dyn Fn(&InstanceName) -> bool,
) -> (Vec<Event>, usize) {
    let mut lesson = Lesson { state, source, at, is_newer, events: Vec::new(), added: 0 };
    let managed: BTreeSet<InstanceId> = known.iter().filter(|one| !one.is_gone()).map(|one| one.id.clone()).collect();
    let (passed_on, known): (Vec<_>, Vec<_>) = known.into_iter().partition(|one| one.is_gone() && managed.contains(&one.id));
    // What another name has got since leaves the first one before that gets it.
    for one in &passed_on {
        lesson.pass_on(one);
    }
    let known = in_order(known);
    for one in &known {
        lesson.rename(one);
    }
    for one in &known {
        lesson.supersede(one);
    }
    for one in &known {
        lesson.add(one);
    }
    for one in &known {
        lesson.mark(one);
    }
    (lesson.events, lesson.added)
}

/// What was replaced first comes first, and what was not replaced last. What was replaced several times was each time called as its newest
/// one is called now.
fn in_order(mut known: Vec<Known>) -> Vec<Known> {
    let by = |one: &Known| one.replaced.as_ref().map(|(by, _)| by.clone());
    let links: BTreeMap<InstanceName, InstanceName> = known.iter().filter_map(|one| Some((one.name.clone(), by(one)?))).collect();
    // No more than there are: a witness may say anything.
    let chain = |one: &Known| std::iter::successors(by(one), |name| links.get(name).cloned()).take(links.len());
    known.sort_by_cached_key(|one| Reverse(chain(one).count()));
    for one in &mut known {
        let newest = chain(one).last();
        if let (Some((by, _)), Some(newest)) = (&mut one.replaced, newest) {
            *by = newest;
        }
    }
    known
}

struct Lesson<'a> {
    state: &'a mut State,
    source: &'a str,
    at: Timestamp,
    is_newer: &'a dyn Fn(&InstanceName) -> bool,
    events: Vec<Event>,
    added: usize,
}

impl Lesson<'_> {
    /// Whether `event` followed.
    fn tell(&mut self, event: Event) -> bool {
        let entry = Entry { serial: self.state.serial.next(), at: self.at, event };
        self.state.format = self.state.format.max(FORMAT);
        let has_followed = self.state.apply(&entry).is_ok();
        if has_followed {
            self.events.push(entry.event);
        }
        has_followed
    }

    fn owner(&self, id: &InstanceId) -> Option<InstanceName> {
        self.state.known_ids().get(id).cloned()
    }

    /// An id that has another name by now.
    fn rename(&mut self, one: &Known) {
        let Some(from) = self.owner(&one.id).filter(|from| *from != one.name && (self.is_newer)(from)) else { return };
        match &one.replaced {
            Some((by, _)) if *by == from && self.tell(Event::Replacing { name: from.clone(), to: one.name.clone() }) => {
                self.keep(one);
            }
            _ => drop(self.tell(Event::Moved { from, to: one.name.clone() })),
        }
    }

    /// What is replaced and has a name of its own got that afterwards.
    fn keep(&mut self, one: &Known) {
        let Some((by, true)) = &one.replaced else { return };
        let aside = InstanceName::parse(&format!("kept.{}", one.id)).ok();
        if let Some(aside) = aside.filter(|aside| aside != by && self.state.record(aside).is_none()) {
            let back = Event::Moved { from: aside.clone(), to: one.name.clone() };
            if self.tell(Event::Moved { from: one.name.clone(), to: aside }) {
                self.tell(back);
            }
        }
    }

    /// A name that has another id by now.
    fn supersede(&mut self, one: &Known) {
        let name = &one.name;
        let Some(record) = self.state.record(name).filter(|_| (self.is_newer)(name)) else { return };
        let Some(id) = record.id().cloned() else { return };
        if one.is_gone() == (id == one.id) && !record.is_retired() {
            self.vacate(name);
        }
    }

    /// What a name has is gone: nothing of it is managed any more.
    fn vacate(&mut self, name: &InstanceName) {
        let Some(record) = self.state.record(name) else { return };
        let grounds = self.source.to_owned();
        match record.phase.clone() {
            Phase::Created(instance) => drop(self.tell(Event::Gone { name: name.clone(), id: instance.id, grounds })),
            Phase::Retiring(_, open) => {
                if open.sent.is_none() {
                    self.tell(Event::RetireSent { attempt: open.attempt.clone() });
                }
                self.tell(Event::Retired { attempt: open.attempt, grounds });
            }
            Phase::Released(_) => drop(self.tell(Event::Forgotten { name: name.clone() })),
            _ => {}
        }
    }

    /// What was deleted under this name, and has another name since.
    fn pass_on(&mut self, one: &Known) {
        let is_to_leave = match self.owner(&one.id) {
            None => self.state.record(&one.name).is_none() && self.tell(one.adopted(&one.name, self.source)),
            Some(owner) => owner == one.name && (self.is_newer)(&owner),
        };
        if is_to_leave {
            self.vacate(&one.name);
        }
    }

    /// Whether what is known of it here is all that there is, or the newer.
    fn is_known(&self, one: &Known) -> bool {
        let is_right = |name: &InstanceName| !one.is_gone() && (self.is_newer)(name);
        match self.owner(&one.id) {
            Some(owner) if owner == one.name => true,
            // What was deleted under another name may be this one's since.
            Some(owner) => !is_right(&owner) || !self.state.record(&owner).is_some_and(Record::is_retired),
            // The name has had another since, or an attempt for one.
            None => self.state.former_owner(&one.id).is_some_and(|owner| !is_right(owner)),
        }
    }

    /// An instance that nothing else told of.
    fn add(&mut self, one: &Known) {
        if self.is_known(one) {
            return;
        }
        let held = self.state.record(&one.name).and_then(|record| record.open_attempt()).map(|attempt| attempt.id.clone());
        if let Some(attempt) = held {
            self.settle(one, attempt);
            return;
        }
        let own = one.adopted(&one.name, self.source);
        let by = one.replaced.as_ref().map(|(by, _)| (by.clone(), one.adopted(by, self.source)));
        let is_set_aside = by.is_some_and(|(by, lent)| {
            let is_lent = self.state.record(&one.name).is_none() && self.tell(lent);
            is_lent && self.tell(Event::Replacing { name: by, to: one.name.clone() })
        });
        if is_set_aside {
            self.keep(one);
        }
        if !is_set_aside && !self.tell(own) && !self.add_nameless(one) {
            return;
        }
        self.added += 1;
        if one.is_unsure || one.is_protected {
            self.tell(Event::Protection { protected: vec![one.name.clone()], unprotected: Vec::new() });
        }
        if let Standing::Deleted(was_declared) = one.standing {
            if !was_declared {
                self.tell(Event::Noted { orphaned: vec![one.name.clone()], returned: Vec::new() });
            }
            self.vacate(&one.name);
        }
    }

    /// What exists, and whose name has another here, by whom nobody knows to be right: neither is dropped.
    fn add_nameless(&mut self, one: &Known) -> bool {
        let Some(name) = InstanceName::lost(&one.id).filter(|_| !one.is_gone()) else { return false };
        let is_added = self.tell(one.adopted(&name, self.source));
        is_added && self.tell(Event::Protection { protected: vec![name], unprotected: Vec::new() })
    }

    /// An attempt that is open here has created it. What was deleted before the attempt says nothing of that.
    fn settle(&mut self, one: &Known, attempt: AttemptId) {
        if one.is_gone() && !(self.is_newer)(&one.name) {
            return;
        }
        let grounds = Grounds { by: self.source.to_owned(), reason: None, candidates: None };
        let verdict = Verdict::Created { id: one.id.clone(), api_url: None };
        if self.tell(Event::Resolved { attempt, verdict, grounds }) {
            self.added += 1;
            if one.is_gone() {
                self.vacate(&one.name);
            }
        }
    }

    /// What else is known of it, whatever it is called here. What is gone was protected, and is so again should it exist after all.
    fn mark(&mut self, one: &Known) {
        let Some(name) = self.owner(&one.id).filter(|name| !one.is_gone() || *name == one.name) else { return };
        let is_protected =
            self.state.record(&name).is_none_or(|record| record.is_protected || record.is_retired() && !one.is_gone());
        if one.is_protected && !is_protected {
            self.tell(Event::Protection { protected: vec![name.clone()], unprotected: Vec::new() });
        }
        if one.standing == Standing::Released {
            self.tell(Event::Released { name });
        }
    }
}

/// A name that is in doubt by a newer witness: what it had is gone, and it is held.
pub(super) fn doubt(
    state: &mut State,
    (attempt, name, kind): (AttemptId, &InstanceName, InstanceType),
    (source, at): (&str, Timestamp),
    is_newer: &dyn Fn(&InstanceName) -> bool,
) -> Vec<Event> {
    let mut lesson = Lesson { state, source, at, is_newer, events: Vec::new(), added: 0 };
    if is_newer(name) {
        lesson.vacate(name);
    }
    lesson.tell(Event::AdoptedDoubt { attempt, name: name.clone(), kind });
    lesson.events
}

#[cfg(test)]
#[path = "relearn_tests.rs"]
mod tests;
