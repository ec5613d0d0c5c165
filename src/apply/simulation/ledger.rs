//! The oracle: what was really done, and the promises held against it, at the moment when one could be broken.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use super::disk::Content;
use super::leaving::Retiring;
use super::life::declared;
use super::process::Ended;
use super::server::Real;
use super::tally::Tally;
use super::world::{Inner, World, wall};
use crate::apply::Outcome;
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::provider::certainty;
use crate::secret::Secret;
use crate::state::{AttemptId, Event, KeptAnswer, KeptSecret, Phase, State, Verdict};
use crate::store::{FileStore, StateStore};

/// What the settling times are promised to be.
pub(super) const SETTLES_AFTER: Duration = Duration::from_secs(15 * 60);
pub(super) const SETTLES_BETWEEN: Duration = Duration::from_secs(5);

/// A line of the journal, and where it begins.
pub(super) type Line = (usize, Vec<u8>);

/// An attempt as the simulation knows it.
#[derive(Debug, Clone)]
pub(super) struct Tried {
    pub(super) name: InstanceName,
    kind: InstanceType,
    /// Its `sent` record.
    sent: Option<Line>,
    /// Its answer, if that decides.
    answered: Option<Line>,
    delivered: bool,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) attempts: BTreeMap<AttemptId, Tried>,
    /// What was said to be created, with its token.
    pub(super) told: BTreeMap<InstanceName, InstanceId>,
    /// Names whose entries are gone, and nothing could tell: a lying disk, or an older state with an older lock file.
    pub(super) excused: BTreeSet<InstanceName>,
    /// Names whose token went with a state that had to be rebuilt.
    pub(super) tokenless: BTreeSet<InstanceName>,
    pub(super) wrong_absences: BTreeSet<AttemptId>,
    pub(super) retirings: BTreeMap<AttemptId, Retiring>,
    /// What the server said to a process to be deleted.
    pub(super) said_deleted: BTreeSet<(usize, InstanceId)>,
    pub(super) wrong_deletions: BTreeSet<InstanceId>,
    pub(super) wrong_keeps: BTreeSet<InstanceId>,
    /// What a rule or an operator took for a name's.
    pub(super) adopted: BTreeMap<InstanceId, InstanceName>,
    /// Ids that some process knew or listed; for a defect only.
    pub(super) seen: BTreeSet<InstanceId>,
    pub(super) violations: Vec<String>,
    pub(super) tally: Tally,
}

impl Inner {
    fn tried(&self, attempt: &AttemptId) -> &Tried {
        &self.ledger.attempts[attempt]
    }

    pub(super) fn is_excused(&self, name: &InstanceName) -> bool {
        self.ledger.excused.contains(name) || self.lost.contains(name)
    }

    /// Whether the disk has said that these bytes are kept.
    pub(super) fn is_claimed(&self, (start, line): &Line) -> bool {
        let has = |content: &Content| content.bytes.get(*start..).is_some_and(|rest| rest.starts_with(line));
        self.disk.claimed.as_ref().is_some_and(has) && self.disk.written.as_ref().is_some_and(has)
    }

    /// V4: a request arrives. Its `sent` record is older, and was durable as far as the disk said.
    pub(super) fn check_sent(&mut self, attempt: &AttemptId) {
        let tried = self.tried(attempt);
        let is_durable = tried.sent.as_ref().is_some_and(|line| self.is_claimed(line));
        if !is_durable {
            self.violation(format!("V4: {attempt} arrives before its `sent` is durable"));
        }
        if self.tried(attempt).delivered {
            self.violation(format!("P14: {attempt} arrives twice"));
        }
        self.ledger.attempts.get_mut(attempt).unwrap().delivered = true;
    }

    /// The name that an instance counts for: of two doubts of one type, a rule may give each the other's.
    pub(super) fn owner(&self, real: &Real) -> Option<&InstanceName> {
        self.ledger.adopted.get(&real.id).or_else(|| Some(&self.tried(real.attempt.as_ref()?).name))
    }

    /// V1: the server creates. Every other instance of this name must have been called absent with all the evidence there is.
    pub(super) fn check_create(&mut self, attempt: &AttemptId) {
        self.ledger.tally.creates += 1;
        let name = self.tried(attempt).name.clone();
        let is_another = |real: &&Real| self.owner(real) == Some(&name) && !real.is_deleted();
        let others: Vec<_> = self.server.reals.iter().filter(is_another).collect();
        let others: Vec<_> = others.into_iter().filter_map(|real| real.attempt.clone()).collect();
        if others.iter().all(|other| self.ledger.wrong_absences.contains(other)) {
            return;
        }
        if self.is_excused(&name) {
            self.ledger.tally.excused_doubles += 1;
        } else {
            self.violation(format!("V1: {name} is created again, with nothing that closes {others:?}"));
        }
    }

    /// An entry was written, ending where the file ends.
    pub(super) fn appended(&mut self, event: &Event, line: Range<usize>) {
        let name = match event {
            Event::Intent { name, .. }
            | Event::AdoptedDoubt { name, .. }
            | Event::Adopted { name, .. }
            | Event::Retiring { name, .. } => Some(name.clone()),
            Event::Sent { attempt }
            | Event::Received { attempt, .. }
            | Event::Created { attempt, .. }
            | Event::Unsent { attempt, .. }
            | Event::Refused { attempt, .. }
            | Event::Doubted { attempt, .. }
            | Event::Resolved { attempt, .. } => self.ledger.attempts.get(attempt).map(|tried| tried.name.clone()),
            Event::RetireSent { attempt } | Event::Retired { attempt, .. } | Event::Kept { attempt, .. } => {
                self.ledger.retirings.get(attempt).map(|open| open.name.clone())
            }
            _ => None,
        };
        let content = self.disk.content();
        content.log.push((line.end, name));
        let line = (line.start, content.bytes[line].to_vec());
        self.note(|| format!("  {}", event.word()));
        match event {
            Event::Intent { attempt, name, kind, .. } => {
                let tried = Tried { name: name.clone(), kind: *kind, sent: None, answered: None, delivered: false };
                self.ledger.attempts.insert(attempt.clone(), tried);
            }
            Event::Sent { attempt } => self.ledger.attempts.get_mut(attempt).unwrap().sent = Some(line),
            Event::Received { attempt, answer } if is_definite(answer) => {
                self.ledger.attempts.get_mut(attempt).unwrap().answered = Some(line);
            }
            Event::Listed { ids } => self.ledger.seen.extend(ids.iter().cloned()),
            Event::Created { attempt, id, token_in, .. } => {
                self.ledger.seen.insert(id.clone());
                let real = self.server.of(attempt).filter(|real| real.id == *id);
                if real.is_none() || token_in.is_none() {
                    self.violation(format!("V3: {attempt} is recorded as {id}, which is not what the server sent"));
                }
            }
            Event::Unsent { attempt, .. } | Event::Refused { attempt, .. } => {
                let name = self.tried(attempt).name.clone();
                if self.server.of(attempt).is_some() && !self.is_excused(&name) {
                    self.violation(format!("V1: {attempt} is closed as {}, and it exists", event.word()));
                }
            }
            _ => self.delete_appended(event, line),
        }
    }

    /// A rule is about to close a doubt: is the evidence there?
    pub(super) fn check_rule(&mut self, process: usize, attempt: &AttemptId, verdict: &Verdict, state: &State) {
        self.ledger.tally.settled_by_rule += 1;
        let Some((record, open, doubt)) = state.doubts().find(|(_, open, _)| open.id == *attempt) else { return };
        let fence = state.fence_of(open).cloned().unwrap_or_default();
        let lists: Vec<_> = self.server.shown.iter().filter(|shown| shown.process == process).collect();
        let known = state.known_ids();
        let wrong = match (verdict, lists.as_slice()) {
            (_, []) => Some("without a list"),
            (Verdict::NotCreated, [.., before, last]) => {
                let shows_known = state.managed_ids().all(|id| before.ids.contains(id) && last.ids.contains(id));
                let shows_old =
                    last.ids.iter().any(|id| known.contains_key(id) || state.fences().values().any(|fence| fence.contains(id)));
                let is_old = wall().duration_since(doubt.since) >= SETTLES_AFTER.try_into().unwrap();
                let real = self.server.of(attempt).filter(|real| !real.is_deleted()).cloned();
                let is_listed = |real: &Real| last.ids.contains(&real.id) && !known.contains_key(&real.id);
                // Two doubts of one type are paired in any order: what is this one's may go to the other.
                let other = state.doubts().find(|(other, ..)| other.kind == record.kind && other.name != record.name);
                match real {
                    _ if !shows_known || !shows_old => Some("by a list that cannot be believed"),
                    _ if !is_old || last.at - before.at < SETTLES_BETWEEN => Some("too early"),
                    Some(real) if is_listed(&real) => match other {
                        Some((other, ..)) => {
                            self.ledger.adopted.insert(real.id, other.name.clone());
                            None
                        }
                        None => Some("although it is listed"),
                    },
                    Some(_) => {
                        self.ledger.wrong_absences.insert(attempt.clone());
                        self.ledger.tally.wrong_absences += 1;
                        None
                    }
                    None => None,
                }
            }
            (Verdict::NotCreated, _) => Some("after one list"),
            (Verdict::Created { id, .. }, [.., last]) => {
                let real = self.server.reals.iter().find(|real| real.id == *id);
                let is_ours = real.is_some_and(|real| real.attempt.is_some());
                match real {
                    None => Some("with an id that does not exist"),
                    Some(real) if real.kind != record.kind => Some("with an id of another type"),
                    Some(_) if !last.ids.contains(id) || known.contains_key(id) || fence.contains(id) => {
                        Some("with an id that is not new")
                    }
                    Some(_) if !is_ours && !self.chance.is_statement_false => Some("with an id of nobody"),
                    Some(_) => None,
                }
            }
        };
        if let Verdict::Created { id, .. } = verdict {
            self.ledger.adopted.insert(id.clone(), record.name.clone());
        }
        if let Some(wrong) = wrong {
            self.violation(format!("P16: {attempt} is closed by rule {wrong}"));
        }
    }

    /// P3: somebody says that `name` is created, with its token: its answer is on the disk, as far as the disk said.
    pub(super) fn told(&mut self, name: InstanceName, id: InstanceId) {
        let attempt = self.server.reals.iter().find(|real| real.id == id).and_then(|real| real.attempt.clone());
        let answered = attempt.and_then(|attempt| self.tried(&attempt).answered.clone());
        if !answered.is_some_and(|line| self.is_claimed(&line)) {
            self.violation(format!("P3: {name} is said to be created before its token is durable"));
        }
        self.ledger.told.insert(name, id);
    }

    /// V6: each doubt has its reason.
    pub(super) fn check_doubts(&mut self, state: &State) {
        for (record, open, doubt) in state.doubts() {
            self.ledger.tally.doubts += 1;
            let Some(tried) = self.ledger.attempts.get(&open.id) else { continue };
            let rests = doubt.answer.is_none() && tried.answered.as_ref().is_some_and(|line| self.is_claimed(line));
            let was_sent = tried.sent.is_some() || self.ledger.tally.rebuilt > 0 || (!self.chance.keeps && self.boot > 0);
            if (rests || !was_sent) && !self.is_excused(&record.name) {
                self.violation(format!("V6: {} is in doubt without a reason: {}", record.name, doubt.reason));
            }
        }
    }

    /// V2: what exists is known, or its name is in doubt.
    pub(super) fn check_orphans(&mut self, state: &State) {
        let is_swapped = self.chance.is_exclusive && (self.chance.is_statement_false || !self.ledger.wrong_absences.is_empty());
        if is_swapped || (self.chance.is_exclusive && !self.ledger.excused.is_empty()) {
            return;
        }
        let mut orphans = Vec::new();
        for real in &self.server.reals {
            let is_unknown = !real.is_deleted() && !self.accounts_for(state, &real.id);
            let Some(attempt) = real.attempt.as_ref().filter(|_| is_unknown) else { continue };
            let tried = self.tried(attempt);
            let is_held = state.record(&tried.name).is_some_and(|record| matches!(record.phase, Phase::InDoubt(..)));
            // Two doubts of one type are paired in any order.
            let is_paired = self.chance.is_exclusive && state.doubts().any(|(record, ..)| record.kind == tried.kind);
            if !is_held && !is_paired && !self.ledger.wrong_absences.contains(attempt) && !self.is_excused(&tried.name) {
                orphans.push(format!("V2: {} of {} is nobody's", real.id, tried.name));
            }
        }
        for orphan in orphans {
            self.violation(orphan);
        }
    }

    /// V6: a healthy run comes to its end, and every name is created, or in doubt where that may be.
    pub(super) fn check_run(&mut self, ended: &[Ended], state: &State, may_doubt: bool) {
        let [Ended::Applied(report)] = ended else {
            return self.violation(format!("V6: a healthy run ended as {ended:?}"));
        };
        if let Some(halt) = &report.halt {
            self.violation(format!("V6: a healthy run halts: {halt:?}"));
        }
        self.check_doomed(state, may_doubt);
        for name in declared(self.chance.names).keys().filter(|name| !self.doomed.contains(*name)).cloned().collect::<Vec<_>>() {
            let name = &name;
            match state.record(name).map(|record| &record.phase) {
                Some(Phase::Created(instance)) => self.check_exists(name, &instance.id),
                Some(Phase::InDoubt(..)) if may_doubt => {}
                other => self.violation(format!("V6: {name} ends as {other:?}")),
            }
            let outcome = report.outcomes.get(name);
            if outcome.is_some_and(|outcome| !matches!(outcome, Outcome::Created { .. })) {
                self.violation(format!("V6: a healthy run reports {name} as {outcome:?}"));
            }
        }
    }

    /// What a doubt's name really is: an id that no name has; none: it was never created.
    pub(super) fn truth(
        &self,
        state: &State,
        name: &InstanceName,
        attempt: &AttemptId,
        kind: InstanceType,
    ) -> Option<InstanceId> {
        let open = |real: &&Real| {
            real.attempt.is_some() && real.kind == kind && !real.is_deleted() && !state.known_ids().contains_key(&real.id)
        };
        let own = self.server.of(attempt).filter(open);
        // A rule gave this one's to another doubt of its type.
        let is_swapped = self.chance.is_exclusive && self.server.of(attempt).is_some();
        let is_lost = !self.ledger.attempts.contains_key(attempt);
        let named = || {
            self.server.reals.iter().filter(open).find(|real| {
                let tried = self.tried(real.attempt.as_ref().unwrap());
                tried.name == *name || is_swapped
            })
        };
        own.or_else(|| if is_lost || is_swapped { named() } else { None }).map(|real| real.id.clone())
    }
}

impl World {
    /// V3: every name that was said to be created has its id and the token that the server sent.
    pub(super) fn check_tokens(&self, store: &mut FileStore) {
        let (told, doomed) = self.with(|inner| (inner.ledger.told.clone(), inner.doomed.clone()));
        for (name, id) in told.into_iter().filter(|(name, _)| !doomed.contains(name)) {
            let instance = store.state().record(&name).and_then(|record| record.instance().cloned());
            let entry = instance.as_ref().and_then(|instance| store.entry(instance.token.as_ref()?.entry).ok());
            let token = entry.and_then(|entry| token_in(&entry.event));
            self.with(|inner| {
                let real = inner.server.reals.iter().find(|real| real.id == id).map(|real| real.token.as_str());
                let is_kept = instance.is_some_and(|instance| instance.id == id) && token.as_ref().map(Secret::expose) == real;
                if !is_kept && !inner.is_excused(&name) && !inner.ledger.tokenless.contains(&name) {
                    inner.violation(format!("V3: {name} was said to be created as {id}, and its token is gone"));
                }
            });
        }
    }
}

fn is_definite(answer: &KeptAnswer) -> bool {
    !answer.clear().is_some_and(|answer| matches!(certainty::judge(&answer), certainty::Verdict::Doubt { .. }))
}

/// The token in an answer, or as an operator set it.
fn token_in(event: &Event) -> Option<Secret> {
    match event {
        Event::TokenSet { token: KeptSecret::Clear(token), .. } => Some(token.clone()),
        Event::Received { answer, .. } => match certainty::judge(&answer.clear()?) {
            certainty::Verdict::Created(instance) => instance.token,
            _ => None,
        },
        _ => None,
    }
}
