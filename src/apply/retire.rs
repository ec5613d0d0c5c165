//! Deletes: each of one id, which the server never gives to another instance, so that sending one twice does no harm. What keeps
//! it from harm all the same is the order: the intent names the id (durable), the request is on record (durable) before it
//! leaves, and a name is called deleted only when the server says so, or two lists that can be believed do not show it.

mod evidence;
mod lists;
#[cfg(test)]
mod lists_tests;
mod request;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::task::JoinSet;

use self::evidence::{Standing, judge};
use self::lists::{Listed, Lists, NoList};
use self::request::{Answer, Open, Opened};
use super::applier::Applier;
use super::recorder::RecordError;
use super::shared::Shared;
use super::{Halt, Progress};
use crate::failpoint;
use crate::instance::{InstanceId, InstanceName};
use crate::plan::missing;
use crate::state::{Event, Phase, State};

/// How often one delete is sent at the most.
const TRIES: u32 = 2;

/// What the operator says beside the names.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms {
    /// What the server refuses to delete, and does not list, is gone, also where the list shows nothing at all.
    pub is_refusal_enough: bool,
    /// What is protected is deleted all the same. What is kept after all is protected as before.
    pub is_unprotecting: bool,
}

/// What became of a name that was to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Departure {
    /// It exists no longer.
    Deleted {
        /// The id that it had.
        id: InstanceId,
        /// What shows it.
        grounds: String,
    },
    /// It still exists.
    Kept {
        /// Why.
        reason: String,
    },
    /// Nobody knows. Deleting it again does no harm.
    InDoubt {
        /// What was seen.
        reason: String,
    },
    /// The run stopped before its turn.
    NotTried,
}

/// What kept the lists from telling what became of deletes, where somebody can do something about that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Obstacles {
    /// Recorded as existing, not named, and not listed either: with these a list is not to be believed.
    pub lacking: BTreeSet<InstanceName>,
    /// Nothing at all is listed.
    pub is_nothing_listed: bool,
    /// From when on the absence of all of them counts.
    pub counts_from: Option<Timestamp>,
}

/// What a run has deleted.
#[derive(Debug, Clone, Default)]
pub struct Departures {
    /// Every name that was to be deleted.
    pub outcomes: BTreeMap<InstanceName, Departure>,
    /// Why it stopped early, if it did.
    pub halt: Option<Halt>,
    /// Why some are in doubt.
    pub obstacles: Obstacles,
}

/// What is known of each name so far.
type Outcomes = Arc<Mutex<BTreeMap<InstanceName, Departure>>>;
/// Those of which a list has to tell more.
type Unclear = Vec<(InstanceName, Open, Answer)>;

impl Applier {
    /// Deletes the instances of `names`, or finishes their deletes. What has another phase stays as it is. Every name is in what
    /// comes back.
    pub async fn retire(&self, names: &BTreeSet<InstanceName>, terms: Terms) -> Departures {
        let begun = names.iter().map(|name| (name.clone(), Departure::NotTried)).collect();
        let outcomes: Outcomes = Arc::new(Mutex::new(begun));
        let result = self.retire_all(names, terms, &outcomes).await;
        let mut outcomes = held(&outcomes).clone();
        let (halt, obstacles) = match result {
            Ok(obstacles) => (self.shared.stop.asked().map(Halt::Interrupted).or(self.shared.take_report().halt), obstacles),
            Err(error) => {
                for (name, outcome) in &mut outcomes {
                    self.look_after(name, outcome).await;
                }
                (Some(Halt::Store(error.into_store_error())), Obstacles::default())
            }
        };
        Departures { outcomes, halt, obstacles }
    }

    /// What the state says of a name whose delete was cut off.
    async fn look_after(&self, name: &InstanceName, outcome: &mut Departure) {
        let wanted = name.clone();
        let phase = self.look(move |store| store.state().record(&wanted).map(|record| record.phase.clone())).await;
        if *outcome != Departure::NotTried {
            return;
        }
        let grounds = || "it is on record".to_owned();
        match phase {
            Ok(Some(Phase::Retired { id, .. })) => *outcome = Departure::Deleted { id, grounds: grounds() },
            Ok(Some(Phase::Retiring(_, open))) if open.sent.is_some() => {
                *outcome = Departure::InDoubt { reason: "what became of it could not be recorded".to_owned() };
            }
            Err(_) => *outcome = Departure::InDoubt { reason: "the state can be asked no longer".to_owned() },
            Ok(_) => {}
        }
    }

    async fn retire_all(
        &self,
        names: &BTreeSet<InstanceName>,
        terms: Terms,
        outcomes: &Outcomes,
    ) -> Result<Obstacles, RecordError> {
        self.shared.begin().await?;
        let (mut left, mut obstacles) = (names.clone(), Obstacles::default());
        for _ in 0..TRIES {
            let unclear = self.ask(&left, terms, outcomes).await?;
            (left, obstacles) = self.conclude_deletes(unclear, terms, outcomes).await?;
            if left.is_empty() || self.shared.is_over() {
                break;
            }
        }
        Ok(obstacles)
    }

    /// Sends a delete for each of `names`, some at a time. What an answer proves by itself is on record before the next one is sent.
    async fn ask(&self, names: &BTreeSet<InstanceName>, terms: Terms, outcomes: &Outcomes) -> Result<Unclear, RecordError> {
        let mut stop = self.shared.stop.clone();
        let mut running = JoinSet::new();
        let mut all = Vec::new();
        for name in names {
            let Some(slot) = self.shared.slots.enter(&mut stop).await else { break };
            if self.shared.is_over() {
                break;
            }
            let (shared, name, outcomes) = (Arc::clone(&self.shared), name.clone(), Arc::clone(outcomes));
            running.spawn(async move {
                let unclear = shared.depart(name, terms, &outcomes).await;
                drop(slot);
                unclear
            });
            while let Some(unclear) = running.try_join_next() {
                all.extend(unclear.unwrap_or(Err(RecordError::Closed))?);
            }
        }
        while let Some(unclear) = running.join_next().await {
            all.extend(unclear.unwrap_or(Err(RecordError::Closed))?);
        }
        Ok(all)
    }

    /// Records what the answers prove together with lists; gives the names that are worth another try, and what they are in doubt for.
    async fn conclude_deletes(
        &self,
        unclear: Unclear,
        terms: Terms,
        outcomes: &Outcomes,
    ) -> Result<(BTreeSet<InstanceName>, Obstacles), RecordError> {
        let lists = if unclear.is_empty() { Lists::none() } else { self.lists_of(&unclear, terms.is_refusal_enough).await? };
        let (mut again, mut obstacles) = (BTreeSet::new(), Obstacles::default());
        for (name, open, answer) in unclear {
            let (listed, standing) = (lists.about(&open.id), self.standing(&open, terms.is_refusal_enough));
            let departure = judge(&open.id, answer, listed, standing);
            if matches!(departure, Departure::InDoubt { .. }) {
                again.insert(name.clone());
                obstacles.add(&open.id, listed, (!standing.is_settled).then(|| self.counts_from(&open)));
            }
            self.shared.conclude_delete(name, open, departure, outcomes).await?;
        }
        Ok((again, obstacles))
    }

    /// From when on its absence from a list counts.
    fn counts_from(&self, open: &Open) -> Timestamp {
        open.since.checked_add(self.shared.options.settling.after).unwrap_or(Timestamp::MAX)
    }

    fn standing(&self, open: &Open, is_refusal_enough: bool) -> Standing {
        Standing { is_settled: (self.shared.options.clock)() >= self.counts_from(open), is_refusal_enough }
    }

    /// A list in which absence counts, or why there is none.
    async fn credible_list(&self) -> Result<Listed, RecordError> {
        let listing = match self.list().await {
            None => return Ok(Err(NoList::Failed("the run was asked to stop".to_owned()))),
            Some(Err(error)) => return Ok(Err(NoList::Failed(error.to_string()))),
            Some(Ok(listing)) => listing,
        };
        let state: State = self.look(|store| store.state().clone()).await?;
        let named = |id: InstanceId| Some((state.known_ids().get(&id)?.clone(), id));
        let lacking: Vec<_> = missing(&state, &listing).into_iter().filter_map(named).collect();
        Ok(match () {
            () if !lacking.is_empty() => Err(NoList::Lacking(lacking)),
            () if listing.odd_items > 0 => Err(NoList::Failed("the list has items that cannot be read".to_owned())),
            () => Ok(listing),
        })
    }
}

impl Obstacles {
    /// Of the doubt about `id`, which is too new for a list to tell until `counts_from`.
    fn add(&mut self, id: &InstanceId, listed: &Listed, counts_from: Option<Timestamp>) {
        match listed {
            Err(NoList::Lacking(names)) => self.lacking.extend(names.iter().map(|(name, _)| name.clone())),
            Err(NoList::Failed(_)) => {}
            Ok(listing) if listing.instances.iter().any(|instance| instance.id == *id) => {}
            Ok(_) if counts_from.is_some() => self.counts_from = self.counts_from.max(counts_from),
            Ok(listing) => self.is_nothing_listed |= listing.instances.is_empty(),
        }
    }
}

impl Shared {
    /// Deletes the instance of `name`. What its answer proves by itself is recorded; else it is given back.
    async fn depart(
        &self,
        name: InstanceName,
        terms: Terms,
        outcomes: &Outcomes,
    ) -> Result<Option<(InstanceName, Open, Answer)>, RecordError> {
        let (open, was_sent) = match self.open_delete(&name, terms.is_unprotecting).await? {
            None => return Ok(None),
            Some(Opened::Delete(open, was_sent)) => (open, was_sent),
            Some(Opened::Protected) => {
                held(outcomes).insert(name, Departure::Kept { reason: "it is protected".to_owned() });
                return Ok(None);
            }
        };
        let answer = self.delete(&name, &open, was_sent).await?;
        if matches!(answer, Answer::Refused(_) | Answer::Unknown(_)) {
            return Ok(Some((name, open, answer)));
        }
        let standing = Standing { is_settled: false, is_refusal_enough: false };
        let departure = judge(&open.id, answer, &Err(NoList::Failed(String::new())), standing);
        self.conclude_delete(name, open, departure, outcomes).await?;
        Ok(None)
    }

    /// Records what became of it: it may be concluded again as long as that is not durable.
    async fn conclude_delete(
        &self,
        name: InstanceName,
        open: Open,
        departure: Departure,
        outcomes: &Outcomes,
    ) -> Result<(), RecordError> {
        let attempt = open.attempt;
        let event = match departure.clone() {
            Departure::Deleted { grounds, .. } => Some(Event::Retired { attempt, grounds }),
            Departure::Kept { reason } => Some(Event::Kept { attempt, reason }),
            Departure::InDoubt { .. } | Departure::NotTried => None,
        };
        failpoint::pass("delete-judged");
        if let Some(event) = event {
            self.pen.note(event).await?;
        }
        self.observer.tell(Progress::Departed { name: name.clone(), departure: departure.clone() });
        held(outcomes).insert(name, departure);
        Ok(())
    }
}

fn held(outcomes: &Outcomes) -> MutexGuard<'_, BTreeMap<InstanceName, Departure>> {
    outcomes.lock().unwrap_or_else(PoisonError::into_inner)
}
