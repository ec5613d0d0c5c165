//! Deletes: each of one id, which the server never gives to another instance, so that sending one twice does no harm. What keeps
//! it from harm all the same is the order: the intent names the id (durable), the request is on record (durable) before it
//! leaves, and a name is called deleted only when the server says so, or two lists that can be believed do not show it.

mod lists;
#[cfg(test)]
mod lists_tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::lists::Lists;
use super::applier::Applier;
use super::attempt::draw_attempt;
use super::recorder::RecordError;
use super::shared::Shared;
use super::{Halt, Progress};
use crate::failpoint;
use crate::instance::{InstanceId, InstanceName};
use crate::listing::Listing;
use crate::plan::missing;
use crate::provider::{DeleteError, Pending};
use crate::state::{AttemptId, Event, Phase, State};

/// How often one delete is sent at the most.
const TRIES: u32 = 2;

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

/// What a run has deleted.
#[derive(Debug, Clone, Default)]
pub struct Departures {
    /// Every name that was to be deleted.
    pub outcomes: BTreeMap<InstanceName, Departure>,
    /// Why it stopped early, if it did.
    pub halt: Option<Halt>,
}

/// A delete that is on record.
#[derive(Debug, Clone)]
struct Open {
    attempt: AttemptId,
    id: InstanceId,
    /// When the instance was recorded.
    since: Timestamp,
}

/// What one request came to.
#[derive(Debug, Clone)]
enum Answer {
    Deleted,
    /// It did not leave, and none did before.
    Unsent(String),
    /// The server asked to come again later, so it has done nothing; and it was not asked again.
    PutOff(String),
    Refused(String),
    Unknown(String),
}

/// How one request ended.
enum Try {
    Done(Answer),
    /// It did not leave.
    Unsent(String),
    /// The server has done nothing, and asks to come again.
    Later {
        sent: Instant,
        after: Option<u64>,
        reason: String,
    },
}

impl Applier {
    /// Deletes the instances of `names`, or finishes their deletes. What has another phase stays as it is. Every name is in what
    /// comes back. `is_refusal_enough`: the operator says that what the server refuses to delete, and does not list, is gone, also where
    /// the list shows nothing at all.
    pub async fn retire(&self, names: &BTreeSet<InstanceName>, is_refusal_enough: bool) -> Departures {
        let mut outcomes: BTreeMap<_, _> = names.iter().map(|name| (name.clone(), Departure::NotTried)).collect();
        let halt = match self.retire_all(names, is_refusal_enough, &mut outcomes).await {
            Ok(()) => self.shared.stop.asked().map(Halt::Interrupted).or(self.shared.take_report().halt),
            Err(error) => {
                for (name, outcome) in &mut outcomes {
                    self.look_after(name, outcome).await;
                }
                Some(Halt::Store(error.into_store_error()))
            }
        };
        Departures { outcomes, halt }
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
        is_refusal_enough: bool,
        outcomes: &mut BTreeMap<InstanceName, Departure>,
    ) -> Result<(), RecordError> {
        self.shared.begin().await?;
        let mut left = names.clone();
        for _ in 0..TRIES {
            let asked = self.ask(&left).await?;
            left = self.conclude_deletes(asked, is_refusal_enough, outcomes).await?;
            if left.is_empty() || self.shared.is_over() {
                break;
            }
        }
        Ok(())
    }

    /// Sends a delete for each of `names`, some at a time.
    async fn ask(&self, names: &BTreeSet<InstanceName>) -> Result<Vec<(InstanceName, Open, Answer)>, RecordError> {
        let queue: Arc<Mutex<VecDeque<InstanceName>>> = Arc::new(Mutex::new(names.iter().cloned().collect()));
        let mut workers = JoinSet::new();
        for _ in 0..self.shared.options.parallelism.min(names.len()).max(1) {
            let (shared, queue) = (Arc::clone(&self.shared), Arc::clone(&queue));
            workers.spawn(async move {
                let mut answers = Vec::new();
                while !shared.is_over() {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(name) = next else { break };
                    if let Some((open, was_sent)) = shared.open_delete(&name).await? {
                        let answer = shared.delete(&name, &open, was_sent).await?;
                        answers.push((name, open, answer));
                    }
                }
                Ok::<_, RecordError>(answers)
            });
        }
        let mut all = Vec::with_capacity(names.len());
        while let Some(answers) = workers.join_next().await {
            all.extend(answers.unwrap_or(Err(RecordError::Closed))?);
        }
        Ok(all)
    }

    /// Records what the answers prove, with lists where they alone prove nothing; gives the names that are worth another try.
    async fn conclude_deletes(
        &self,
        answers: Vec<(InstanceName, Open, Answer)>,
        is_refusal_enough: bool,
        outcomes: &mut BTreeMap<InstanceName, Departure>,
    ) -> Result<BTreeSet<InstanceName>, RecordError> {
        let is_unclear = |(.., answer): &(InstanceName, Open, Answer)| matches!(answer, Answer::Refused(_) | Answer::Unknown(_));
        let (unclear, clear): (Vec<_>, Vec<_>) = answers.into_iter().partition(is_unclear);
        // First, for what is kept after all has to be in every list that is to be believed.
        for (name, open, answer) in clear {
            let departure = judge(&open.id, answer, &Err(String::new()), self.standing(&open, is_refusal_enough));
            self.conclude_delete(name, open, departure, outcomes).await?;
        }
        let lists = if unclear.is_empty() { Lists::none() } else { self.lists_of(&unclear, is_refusal_enough).await? };
        let mut again = BTreeSet::new();
        for (name, open, answer) in unclear {
            let departure = judge(&open.id, answer, lists.about(&open.id), self.standing(&open, is_refusal_enough));
            if matches!(departure, Departure::InDoubt { .. }) {
                again.insert(name.clone());
            }
            self.conclude_delete(name, open, departure, outcomes).await?;
        }
        Ok(again)
    }

    /// Records what became of one.
    async fn conclude_delete(
        &self,
        name: InstanceName,
        open: Open,
        departure: Departure,
        outcomes: &mut BTreeMap<InstanceName, Departure>,
    ) -> Result<(), RecordError> {
        let attempt = open.attempt;
        let event = match departure.clone() {
            Departure::Deleted { grounds, .. } => Some(Event::Retired { attempt, grounds }),
            Departure::Kept { reason } => Some(Event::Kept { attempt, reason }),
            Departure::InDoubt { .. } | Departure::NotTried => None,
        };
        failpoint::pass("delete-judged");
        if let Some(event) = event {
            self.shared.pen.note(event).await?;
        }
        outcomes.insert(name, departure);
        Ok(())
    }

    fn standing(&self, open: &Open, is_refusal_enough: bool) -> Standing {
        let options = &self.shared.options;
        let at = open.since.checked_add(options.settling.after).unwrap_or(Timestamp::MAX);
        Standing { is_settled: (options.clock)() >= at, is_refusal_enough }
    }

    /// A list in which absence counts, or why there is none.
    async fn credible_list(&self) -> Result<Result<Listing, String>, RecordError> {
        let listing = match self.list().await {
            None => return Ok(Err("the run was asked to stop".to_owned())),
            Some(Err(error)) => return Ok(Err(error.to_string())),
            Some(Ok(listing)) => listing,
        };
        let state: State = self.look(|store| store.state().clone()).await?;
        Ok(match missing(&state, &listing).first() {
            Some(id) => Err(format!("the list does not show {id}, which exists")),
            None if listing.odd_items > 0 => Err("the list has items that cannot be read".to_owned()),
            None => Ok(listing),
        })
    }
}

/// What else counts where an absence from the list is to prove something.
#[derive(Debug, Clone, Copy)]
struct Standing {
    /// The instance was recorded so long ago that a list which lags would show it.
    is_settled: bool,
    /// A refusal proves it also where nothing at all is listed.
    is_refusal_enough: bool,
}

/// What an answer and a list prove about `id`.
fn judge(id: &InstanceId, answer: Answer, listed: &Result<Listing, String>, standing: Standing) -> Departure {
    let deleted = |grounds: String| Departure::Deleted { id: id.clone(), grounds };
    let is_listed = |listing: &Listing| listing.instances.iter().any(|instance| instance.id == *id);
    match (answer, listed) {
        (Answer::Deleted, _) => deleted("the server says that it is deleted".to_owned()),
        (Answer::Unsent(reason), _) => Departure::Kept { reason: format!("not sent: {reason}") },
        (Answer::PutOff(reason), _) => Departure::Kept { reason },
        (Answer::Refused(reason), Ok(listing)) if is_listed(listing) => Departure::Kept { reason },
        (Answer::Unknown(reason), Ok(listing)) if is_listed(listing) => {
            Departure::InDoubt { reason: format!("{reason}; it is still listed") }
        }
        (Answer::Refused(reason) | Answer::Unknown(reason), Ok(_)) if !standing.is_settled => {
            let why = "it is listed no longer, or not yet: it is too new for a list to tell";
            Departure::InDoubt { reason: format!("{reason}; {why}") }
        }
        (Answer::Refused(reason), Ok(listing)) if listing.instances.is_empty() && !standing.is_refusal_enough => {
            Departure::InDoubt { reason: format!("{reason}; nothing at all is listed") }
        }
        (Answer::Refused(reason), Ok(_)) => deleted(format!("the server refuses ({reason}) and does not list it")),
        // A list of nothing is what a server shows that has lost its mind, too.
        (Answer::Unknown(reason), Ok(listing)) if listing.instances.is_empty() => {
            Departure::InDoubt { reason: format!("{reason}; nothing at all is listed") }
        }
        (Answer::Unknown(reason), Ok(_)) => deleted(format!("no answer ({reason}), and it is listed no longer")),
        (Answer::Refused(reason) | Answer::Unknown(reason), Err(why)) => {
            Departure::InDoubt { reason: format!("{reason}; and no list tells: {why}") }
        }
    }
}

impl Shared {
    /// Deletes `open`, as often as the server asks to come again, and no longer than a run may wait.
    async fn delete(&self, name: &InstanceName, open: &Open, was_sent: bool) -> Result<Answer, RecordError> {
        let mut stop = self.stop.clone();
        failpoint::pass("delete-begun");
        let mut is_on_record = was_sent;
        // The server's last word, where that was to come again.
        let mut put_off: Option<String> = None;
        let unasked = |why: String, put_off: Option<&String>| match put_off {
            _ if was_sent => Answer::Unknown(why),
            Some(later) => Answer::PutOff(format!("the server asks to wait ({later}); {why}")),
            None => Answer::Unsent(why),
        };
        loop {
            if !self.pace.turn(&mut stop).await {
                return Ok(unasked("the run was asked to stop".to_owned(), put_off.as_ref()));
            }
            if !is_on_record {
                self.pen.record(Event::RetireSent { attempt: open.attempt.clone() }).await?;
                is_on_record = true;
            }
            match self.send_delete(name, open).await {
                Try::Done(answer) => return Ok(answer),
                Try::Unsent(reason) => return Ok(unasked(reason, put_off.as_ref())),
                Try::Later { sent, after, reason } => match self.pace.later(sent, after, Instant::now()) {
                    Some(Duration::ZERO) => put_off = Some(reason),
                    Some(wait) => {
                        self.observer.tell(Progress::Waiting { reason: reason.clone(), wait });
                        put_off = Some(reason);
                    }
                    None => {
                        self.halt(Halt::RateLimited(reason.clone()));
                        return Ok(unasked("there is no end of waiting".to_owned(), Some(&reason)));
                    }
                },
            }
        }
    }

    /// One request.
    async fn send_delete(&self, name: &InstanceName, open: &Open) -> Try {
        self.observer.tell(Progress::Deleting { name: name.clone() });
        failpoint::pass("delete-sent");
        let sent = Instant::now();
        let answer = match self.in_time(self.provider.delete(&open.id)).await {
            Ok(()) => Answer::Deleted,
            Err(DeleteError::Later { after, reason }) => return Try::Later { sent, after, reason },
            Err(DeleteError::NotSent(reason)) => return Try::Unsent(reason),
            Err(DeleteError::Refused(reason)) => Answer::Refused(reason),
            Err(DeleteError::InDoubt(reason)) => Answer::Unknown(reason),
        };
        failpoint::pass("delete-answered");
        self.pace.went_through();
        Try::Done(answer)
    }

    /// What `request` comes to; after an interrupt it has as long as every other that is in flight.
    async fn in_time(&self, request: Pending<'_, Result<(), DeleteError>>) -> Result<(), DeleteError> {
        let (mut stop, mut again, drain) = (self.stop.clone(), self.stop.clone(), self.options.drain);
        let late = async {
            stop.wait().await;
            tokio::select! {
                () = tokio::time::sleep(drain) => {}
                () = again.hurry() => {}
            }
        };
        tokio::select! {
            biased;
            answer = request => answer,
            () = late => Err(DeleteError::InDoubt("the run was asked to stop, and there was no answer until then".to_owned())),
        }
    }

    /// The delete of `name` that is on record, begun now or before; and whether it was sent.
    async fn open_delete(&self, name: &InstanceName) -> Result<Option<(Open, bool)>, RecordError> {
        let wanted = name.clone();
        let phase = self.pen.look(move |store| store.state().record(&wanted).map(|record| record.phase.clone())).await?;
        match phase {
            Some(Phase::Retiring(instance, open)) => {
                let is_sent = open.sent.is_some();
                Ok(Some((Open { attempt: open.attempt, id: instance.id, since: instance.since }, is_sent)))
            }
            Some(Phase::Created(instance)) => {
                let Ok(attempt) = draw_attempt() else { return Ok(None) };
                let open = Open { attempt, id: instance.id, since: instance.since };
                let (attempt, id) = (open.attempt.clone(), open.id.clone());
                self.pen.record(Event::Retiring { attempt, name: name.clone(), id }).await?;
                Ok(Some((open, false)))
            }
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::InstanceType;
    use crate::listing::ListedInstance;

    type Row = (Answer, Result<Listing, String>, &'static str, &'static str);

    #[test]
    fn an_instance_is_called_deleted_only_on_evidence() {
        let id = |text: &str| InstanceId::parse(text).unwrap();
        let list = |ids: &[&str]| {
            let instances = ids.iter().map(|text| ListedInstance::bare(id(text), InstanceType::WhatsApp)).collect();
            Ok(Listing { instances, odd_items: 0 })
        };
        let none = || Err("no list".to_owned());
        let why = || "why".to_owned();
        let rows: [Row; 11] = [
            (Answer::Deleted, none(), "deleted", "the server's word"),
            (Answer::Deleted, list(&["7"]), "deleted", "a list may lag behind the answer"),
            (Answer::Unsent(why()), none(), "kept", "nothing left"),
            (Answer::Refused(why()), list(&["7"]), "kept", "it says no, and shows it"),
            (Answer::Refused(why()), list(&["8"]), "deleted", "it says no, since it is gone"),
            (Answer::Refused(why()), list(&[]), "in doubt", "an empty list is no evidence, whatever it says"),
            (Answer::Refused(why()), none(), "in doubt", "a no alone proves nothing: it may be about the key"),
            (Answer::Unknown(why()), list(&["7"]), "in doubt", "it may be under way"),
            (Answer::Unknown(why()), list(&["8"]), "deleted", "gone from a list with others"),
            (Answer::Unknown(why()), list(&[]), "in doubt", "an empty list is no evidence"),
            (Answer::Unknown(why()), none(), "in doubt", "nothing is known"),
        ];
        for (answer, listed, expected, reason) in rows {
            let standing = Standing { is_settled: true, is_refusal_enough: false };
            let found = word(&judge(&id("7"), answer, &listed, standing));
            assert_eq!(found, expected, "{reason}");
        }
    }

    fn word(departure: &Departure) -> &'static str {
        match departure {
            Departure::Deleted { .. } => "deleted",
            Departure::Kept { .. } => "kept",
            Departure::InDoubt { .. } => "in doubt",
            Departure::NotTried => "not tried",
        }
    }

    /// A list that lags does not show what was created just now.
    #[test]
    fn what_is_new_is_called_deleted_by_no_list() {
        let id = |text: &str| InstanceId::parse(text).unwrap();
        let list = |ids: &[&str]| {
            let instances = ids.iter().map(|text| ListedInstance::bare(id(text), InstanceType::WhatsApp)).collect();
            Ok(Listing { instances, odd_items: 0 })
        };
        let why = || "why".to_owned();
        let new = Standing { is_settled: false, is_refusal_enough: true };
        assert_eq!(word(&judge(&id("7"), Answer::Unknown(why()), &list(&["8"]), new)), "in doubt");
        assert_eq!(word(&judge(&id("7"), Answer::Refused(why()), &list(&["8"]), new)), "in doubt");
        assert_eq!(word(&judge(&id("7"), Answer::Refused(why()), &list(&["7"]), new)), "kept");
        assert_eq!(word(&judge(&id("7"), Answer::Deleted, &list(&["8"]), new)), "deleted");
        let meant = Standing { is_settled: true, is_refusal_enough: true };
        assert_eq!(word(&judge(&id("7"), Answer::Refused(why()), &list(&[]), meant)), "deleted");
        assert_eq!(word(&judge(&id("7"), Answer::Unknown(why()), &list(&[]), meant)), "in doubt");
    }
}
