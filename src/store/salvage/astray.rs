//! Answers and tokens in intact lines whose names are in lines that are gone: what else knows the ids tells whose they are.

use std::collections::BTreeMap;

use super::Pieces;
use super::implied::concluded;
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::state::{AttemptId, Entry, Event, KeptSecret, Outline, Phase, Record, Serial, State, Verdict};
use crate::store::{LockFile, LockedDoubt};

/// What else knows of an id.
#[derive(Clone)]
enum Told {
    /// The name that it had when it was created, and its type.
    Name(InstanceName, InstanceType),
    /// It was deleted.
    Gone,
}

/// The entry that an index names for each token, with the id that it is of.
pub(super) fn token_ids(index: &State) -> BTreeMap<Serial, InstanceId> {
    index.records().values().filter_map(|record| Some((record.token()?.entry, record.id()?.clone()))).collect()
}

impl Pieces<'_> {
    /// Whether a token that was set under a name is of another instance than the name has here: the lines between are gone.
    pub(super) fn is_anothers(&self, state: &State, old: Serial, entry: &Entry) -> bool {
        let Event::TokenSet { name, .. } = &entry.event else { return false };
        let here = state.record(name).and_then(Record::id);
        self.token_ids.get(&old).is_some_and(|id| Some(id) != here)
    }

    /// Gives what an answer proves, and nobody has, the name that it is known by elsewhere; else one of its own, under which it is
    /// found, protected, and no other is created in its place without a question.
    pub(super) fn name_answers(&mut self, state: &mut State, index: Option<&State>, lock: Option<&LockFile>) {
        state.expect_restored(false);
        let is_answer = |(_, entry): &mut (Serial, Entry)| matches!(entry.event, Event::Received { .. });
        let answers: Vec<(Serial, Entry)> = self.astray.extract_if(.., is_answer).collect();
        let only = lock.filter(|_| answers.len() == 1).and_then(|lock| about_to_be(lock, state));
        for (old, Entry { event, .. }) in answers {
            let Event::Received { attempt, answer } = &event else { continue };
            let Some(Outline::Created { id, .. }) = (self.reads)(answer) else { continue };
            if state.known_ids().contains_key(&id) || state.former_owner(&id).is_some() {
                continue;
            }
            let told = index.and_then(|index| by_index(index, &id, attempt));
            let is_by_head = told.is_some() && index.is_some_and(|index| index.serial >= self.last);
            let told = told.or_else(|| by_lock(lock?, &id, attempt)).or_else(|| only.clone());
            let is_free = |name: &InstanceName| state.record(name).is_none_or(is_vacant);
            let (name, kind) = match told {
                Some(Told::Gone) => continue,
                // An index at the head says whose the name is now: what is in the way here makes way for it.
                Some(Told::Name(name, kind)) if is_by_head || is_free(&name) => (name, kind),
                told => {
                    // Which type it is of, the server's list tells.
                    let kind = if let Some(Told::Name(_, kind)) = told { kind } else { InstanceType::WhatsApp };
                    let Some(name) = InstanceName::lost(&id) else { continue };
                    (name, kind)
                }
            };
            let is_nameless = InstanceName::lost(&id).is_some_and(|lost| lost == name);
            // What is sealed is sealed under its name: without that it cannot be opened.
            let is_lost = is_nameless && answer.clear().is_none();
            let attempt = attempt.clone();
            let begun = Event::Intent { attempt: attempt.clone(), name: name.clone(), kind, fence: None };
            let begun = Entry { serial: state.serial, at: self.at, event: begun };
            self.lead_to(state, &begun);
            self.add(state, begun.event);
            self.add(state, Event::Sent { attempt: attempt.clone() });
            let entry = Entry { serial: state.serial.next(), at: self.at, event };
            if state.apply(&entry).is_ok() {
                let at = entry.serial;
                self.kept.insert(at, entry);
                let mut proven = concluded(&attempt, at, &|at| self.answer(at));
                if let (Event::Created { token_in, .. }, true) = (&mut proven, is_lost) {
                    *token_in = None;
                }
                self.add(state, proven);
                self.touched.insert(name.clone(), old);
            }
            if is_nameless {
                self.add(state, Event::Protection { protected: vec![name], unprotected: Vec::new() });
            }
        }
        self.name_conclusions(state, index, lock);
    }

    /// The same for ids that were concluded, where the answers are gone too.
    fn name_conclusions(&self, state: &mut State, index: Option<&State>, lock: Option<&LockFile>) {
        for (_, entry) in &self.astray {
            let (Event::Created { attempt, id, .. } | Event::Resolved { attempt, verdict: Verdict::Created { id, .. }, .. }) =
                &entry.event
            else {
                continue;
            };
            let is_known = state.known_ids().contains_key(id) || state.former_owner(id).is_some();
            let is_told = index.is_some_and(|index| by_index(index, id, attempt).is_some())
                || lock.is_some_and(|lock| by_lock(lock, id, attempt).is_some());
            let Some(name) = InstanceName::lost(id).filter(|_| !is_known && !is_told) else { continue };
            let source = "the journal's own conclusion, whose beginning was damaged".to_owned();
            let (kind, id) = (InstanceType::WhatsApp, id.clone());
            self.add(state, Event::Adopted { name: name.clone(), kind, id, api_url: None, source, is_foreign: false });
            self.add(state, Event::Protection { protected: vec![name], unprotected: Vec::new() });
        }
    }

    /// Sets tokens that were set: where the index says that they are of what is here; without one, where the name has none and nothing is
    /// known to have come since.
    pub(super) fn set_tokens(&mut self, state: &mut State, has_index: bool) {
        for (old, entry) in std::mem::take(&mut self.astray) {
            let Event::TokenSet { name, token, api_url } = entry.event else { continue };
            let now = self.token_ids.get(&old).and_then(|id| state.known_ids().get(id)).cloned().or_else(|| {
                let is_bare = state.record(&name).and_then(Record::instance).is_some_and(|instance| instance.token.is_none());
                let is_last = self.touched.get(&name).is_none_or(|last| *last < old);
                (!has_index && is_bare && is_last).then(|| name.clone())
            });
            // What is sealed is sealed under the name of that time.
            let Some(now) = now.filter(|now| *now == name || matches!(token, KeptSecret::Clear(_))) else { continue };
            let entry = Entry { serial: state.serial.next(), at: self.at, event: Event::TokenSet { name: now, token, api_url } };
            if state.apply(&entry).is_ok() {
                self.kept.insert(entry.serial, entry);
            }
        }
    }

    /// Protects those of the names that are known, where one that is not makes the entry not follow. Whether any was.
    pub(super) fn protect_each(&self, state: &mut State, entry: &Entry) -> bool {
        let Event::Protection { protected, .. } = &entry.event else { return false };
        let mut any = false;
        for name in protected {
            any |= self.add(state, Event::Protection { protected: vec![name.clone()], unprotected: Vec::new() });
        }
        any
    }
}

fn is_vacant(record: &Record) -> bool {
    matches!(record.phase, Phase::Absent { .. })
}

/// The one name that a lock file says is about to be tried, and of which nothing else is known.
fn about_to_be(lock: &LockFile, state: &State) -> Option<Told> {
    let is_open =
        |(name, doubt): &(&InstanceName, &LockedDoubt)| doubt.attempt.is_none() && state.record(name).is_none_or(is_vacant);
    let mut open = lock.in_doubt.iter().filter(is_open);
    let (name, doubt) = open.next()?;
    open.next().is_none().then(|| Told::Name(name.clone(), doubt.kind))
}

fn by_index(index: &State, id: &InstanceId, attempt: &AttemptId) -> Option<Told> {
    if index.former_owner(id).is_some() {
        return Some(Told::Gone);
    }
    let of_id = index.known_ids().get(id).and_then(|owner| index.record(owner));
    let record = of_id.or_else(|| index.records().values().find(|record| record.open_id() == Some(attempt)))?;
    // What only lists called gone has its token to lose.
    if record.is_retired() && record.lost().is_none() {
        return Some(Told::Gone);
    }
    // Its token is sealed under the name of that time; what it is called now is learned afterwards.
    let name = record.token().map_or(&record.name, |token| &token.name);
    Some(Told::Name(name.clone(), record.kind))
}

fn by_lock(lock: &LockFile, id: &InstanceId, attempt: &AttemptId) -> Option<Told> {
    let known = lock.known().find(|(_, instance)| instance.id == *id).map(|(name, instance)| (name, instance.kind));
    let doubt = || lock.in_doubt.iter().find(|(_, doubt)| doubt.attempt.as_ref() == Some(attempt));
    if known.is_none() && lock.deleted.values().any(|deleted| deleted.id == *id) {
        return Some(Told::Gone);
    }
    let (name, kind) = known.or_else(|| doubt().map(|(name, doubt)| (name, doubt.kind)))?;
    Some(Told::Name(name.clone(), kind))
}
