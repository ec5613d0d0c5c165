//! Before anything new: what earlier runs left open is finished from the journal, closed where that is provable, or held.

use std::collections::{BTreeMap, BTreeSet};

use super::applier::Applier;
use super::doubts::examine;
use super::recorder::RecordError;
use super::{Outcome, Progress};
use crate::failpoint;
use crate::instance::{InstanceId, InstanceName};
use crate::plan::{Proposal, unsent_proof};
use crate::provider::ListError;
use crate::state::{AttemptId, Event, Grounds, KeptAnswer, Phase, Record, Serial, Verdict};
use crate::store::StoreError;

/// Why an intent without a `sent` record is no proof.
pub(super) const MAY_BE_LOST: &str = "the machine restarted in the middle, and its file system may have lost what was synced";

/// A doubt that a list settles.
#[derive(Debug, Clone)]
pub struct Proven {
    /// Whose.
    pub name: InstanceName,
    /// What is to be recorded.
    pub event: Event,
    outcome: Outcome,
}

/// An attempt that an earlier run left open.
enum Left {
    /// Its answer is recorded.
    Received(AttemptId, Serial, Result<KeptAnswer, StoreError>),
    /// It has no `sent` record; and what proves that it was not sent, if anything does.
    Intent(AttemptId, Option<&'static str>),
}

/// A create that is called absent, by lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// Whose.
    pub name: InstanceName,
    /// What these lists showed, or one before the attempt: none of that speaks against it. Whatever another list of the run shows
    /// may be it.
    pub weighed: BTreeSet<InstanceId>,
}

/// What the server's list alone settles.
#[derive(Debug, Clone, Default)]
pub struct ByList {
    /// Doubts that are closed by it.
    pub proven: Vec<Proven>,
    /// What is called absent.
    pub absent: Vec<Absent>,
    /// Names that stay in doubt, since what may be theirs is somebody else's.
    pub others: Vec<(InstanceName, InstanceId)>,
}

impl Applier {
    /// Reads recorded answers and closes attempts that were provably not sent. Needs no network.
    pub async fn recover(&self) -> Result<(), RecordError> {
        let run = self.shared.options.run.clone();
        let left = self.look(move |store| {
            let mut left = BTreeMap::new();
            let mut answers = Vec::new();
            for record in store.state().records().values() {
                match &record.phase {
                    Phase::Received(attempt, serial) => answers.push((record.name.clone(), attempt.id.clone(), *serial)),
                    Phase::Intent(attempt) => {
                        let proof = unsent_proof(attempt, run.boot.as_deref(), run.keeps_what_is_synced);
                        left.insert(record.name.clone(), Left::Intent(attempt.id.clone(), proof));
                    }
                    // An open delete is concluded by the next one, which may be sent again.
                    Phase::Retiring(..)
                    | Phase::Retired { .. }
                    | Phase::Absent { .. }
                    | Phase::InDoubt(..)
                    | Phase::Created(_)
                    | Phase::Released(_) => {}
                }
            }
            for (name, attempt, serial) in answers {
                let answer = store.entry(serial).and_then(|entry| match entry.event {
                    Event::Received { answer, .. } => Ok(answer),
                    _ => Err(StoreError::NoEntry(serial)),
                });
                left.insert(name, Left::Received(attempt, serial, answer));
            }
            left
        });
        let left = left.await?;
        if !left.is_empty() {
            // What is concluded from an entry must not outlive it: its writer may have died before it was synced.
            self.sync().await?;
        }
        for (name, left) in left {
            failpoint::pass("recover-left");
            self.shared.begin().await?;
            self.settle(name, left).await?;
            failpoint::pass("recover-settled");
        }
        Ok(())
    }

    async fn settle(&self, name: InstanceName, left: Left) -> Result<(), RecordError> {
        let outcome = match left {
            Left::Received(attempt, serial, answer) => {
                let answer = answer.map_err(|error| RecordError::Store(error.into()))?;
                self.shared.conclude(attempt, serial, &answer).await?
            }
            Left::Intent(attempt, Some(proof)) => {
                self.shared.pen.note(Event::Unsent { attempt, reason: proof.to_owned() }).await?;
                Outcome::NotSent { reason: proof.to_owned() }
            }
            Left::Intent(attempt, None) => {
                let reason = MAY_BE_LOST.to_owned();
                self.shared.pen.note(Event::Doubted { attempt: attempt.clone(), reason: reason.clone() }).await?;
                Outcome::InDoubt { attempt, reason }
            }
        };
        self.shared.observer.tell(Progress::Recovered { name, outcome });
        Ok(())
    }

    /// What the server's list alone proves of doubts: nothing is written yet. Only for an account that the operator calls exclusive.
    /// `others` is asked after the list what on it is of others who create there; none: that is not known, and nothing is proven.
    pub async fn proven(
        &self,
        others: impl FnOnce() -> Option<BTreeSet<InstanceId>>,
    ) -> Result<Result<ByList, ListError>, RecordError> {
        let state = self.look(|store| store.state().clone()).await?;
        let mut by_list = ByList::default();
        if !self.shared.options.is_exclusive || state.doubts().next().is_none() {
            return Ok(Ok(by_list));
        }
        let settling = self.shared.options.settling;
        let clocks = (&self.shared.options.run, self.shared.options.clock);
        let mut stop = self.shared.stop.clone();
        let examined = tokio::select! {
            biased;
            _ = stop.wait() => return Ok(Ok(by_list)),
            examined = examine(&*self.shared.provider, &state, settling, clocks) => examined,
        };
        let examination = match examined {
            Ok(examination) => examination,
            Err(error) => return Ok(Err(error)),
        };
        self.shared.saw(&examination.listed);
        let Some(others) = others() else { return Ok(Ok(by_list)) };
        let candidates = examination.candidates.ids();
        for (name, (attempt, proposal)) in examination.proposals {
            let (verdict, outcome, rule) = match proposal {
                Proposal::Exists(found) if others.contains(&found.id) => {
                    by_list.others.push((name, found.id));
                    continue;
                }
                Proposal::Exists(found) => (
                    Verdict::Created { id: found.id.clone(), api_url: found.api_url },
                    Outcome::Created { id: found.id, has_token: false },
                    "exclusive account: new in the list since the attempt",
                ),
                Proposal::NotCreated => (
                    Verdict::NotCreated,
                    Outcome::NotCreated { reason: "two lists agree after the settling time".to_owned() },
                    "exclusive account: absent from two lists after the settling time",
                ),
                Proposal::NotYetSettled { .. } | Proposal::Unknown { .. } => continue,
            };
            if verdict == Verdict::NotCreated {
                let fence = state.record(&name).and_then(Record::open_attempt).and_then(|attempt| state.fence_of(attempt));
                let weighed = examination.listed.iter().chain(fence.into_iter().flatten()).cloned().collect();
                by_list.absent.push(Absent { name: name.clone(), weighed });
            }
            let grounds = Grounds { by: rule.to_owned(), reason: None, candidates: Some(candidates.clone()) };
            by_list.proven.push(Proven { name, event: Event::Resolved { attempt, verdict, grounds }, outcome });
        }
        Ok(Ok(by_list))
    }

    /// Settles doubts as the list has proven.
    pub async fn settle_doubts(&self, proven: Vec<Proven>) -> Result<(), RecordError> {
        for Proven { name, event, outcome } in proven {
            self.shared.begin().await?;
            self.shared.pen.record(event).await?;
            self.shared.observer.tell(Progress::Recovered { name, outcome });
        }
        Ok(())
    }
}
