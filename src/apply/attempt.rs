//! One name: from its intent to what became of it.

use std::time::Duration;

use tokio::time::Instant;

use super::keep::outline;
use super::pace::jitter;
use super::recorder::RecordError;
use super::shared::{Intended, Job, Shared};
use super::slots::Slot;
use super::{Halt, Outcome, Packet, Progress};
use crate::failpoint;
use crate::provider::{Advice, CreateRequest, Exchange, Unsent};
use crate::state::{Answer, AttemptId, Event, Illegal, KeptAnswer, Outline, Serial};
use crate::store::StoreError;

/// How one try ended.
enum Try {
    /// The name is done.
    Done(Outcome),
    /// The name is done, and so is the run.
    Halt(Outcome, Halt),
    /// Nothing was sent.
    Unsent(Unsent),
    /// The server said "later".
    Later { sent: Instant, after: Option<u64>, reason: String },
}

impl Shared {
    /// Has the intent of a new attempt for `job` written.
    pub(super) fn intend(&self, job: &Job) -> Result<Intended, Halt> {
        let Ok(attempt) = draw_attempt() else {
            return Err(Halt::Unreachable("the system gives no random numbers".to_owned()));
        };
        let intent = Event::Intent { attempt: attempt.clone(), name: job.name.clone(), kind: job.kind, fence: job.fence };
        Ok(Intended { attempt, intent: self.pen.begin(intent) })
    }

    /// Nothing is sent for it any more.
    pub(super) async fn withdrawn(&self, Intended { attempt, intent }: Intended) -> Result<(), RecordError> {
        intent.durable().await?;
        let Unsent { reason, .. } = Unsent::stopped();
        self.pen.note(Event::Unsent { attempt, reason }).await.map(|_| ())
    }

    /// Tries `job` until something is known. Halts the run where the others could not succeed either.
    /// `slot` is let go as soon as the next request may take it.
    pub(super) async fn create(&self, job: &Job, mut intended: Intended, slot: &mut Option<Slot>) -> Outcome {
        let mut stop = self.stop.clone();
        let mut unsent = 0;
        loop {
            match self.attempt(job, intended, slot).await {
                Try::Done(outcome) => return outcome,
                Try::Halt(outcome, halt) => {
                    self.halt(halt);
                    return outcome;
                }
                Try::Later { sent, after, reason } => match self.later(sent, after) {
                    Some(Duration::ZERO) => {}
                    Some(wait) => self.observer.tell(Progress::Waiting { reason, wait }),
                    None => {
                        self.halt(Halt::RateLimited(reason.clone()));
                        return Outcome::Refused { reason: format!("{reason}, and no end of waiting") };
                    }
                },
                Try::Unsent(Unsent { reason, .. }) if self.is_over() => return Outcome::NotSent { reason },
                Try::Unsent(Unsent { reason, advice }) => {
                    unsent += 1;
                    if advice == Advice::Stop || unsent >= self.options.tries.most {
                        self.halt(Halt::Unreachable(reason.clone()));
                        return Outcome::NotSent { reason };
                    }
                    *slot = None;
                    let wait = jitter(self.options.tries.wait * 2_u32.saturating_pow(unsent - 1));
                    self.observer.tell(Progress::Retrying { name: job.name.clone(), reason: reason.clone(), wait });
                    tokio::select! {
                        biased;
                        () = tokio::time::sleep(wait) => {}
                        _ = stop.wait() => return Outcome::NotSent { reason },
                    }
                }
            }
            *slot = None;
            if self.is_over() || !self.pace.turn(&mut stop).await {
                return Outcome::NotTried;
            }
            *slot = self.slots.enter(&mut stop).await;
            if slot.is_none() {
                return Outcome::NotTried;
            }
            intended = match self.intend(job) {
                Ok(intended) => intended,
                Err(halt) => {
                    self.halt(halt);
                    return Outcome::NotTried;
                }
            };
        }
    }

    /// One try. The order of its steps is the product: nothing may be moved here without the crash matrix.
    async fn attempt(&self, job: &Job, intended: Intended, slot: &mut Option<Slot>) -> Try {
        if self.is_over() || !self.pace.turn(&mut self.stop.clone()).await {
            return match self.withdrawn(intended).await {
                Ok(()) => Try::Done(Outcome::NotTried),
                Err(error) => stored(Outcome::NotTried, error),
            };
        }
        let Intended { attempt, intent } = intended;
        if let Err(error) = intent.durable().await {
            return stored(Outcome::NotTried, error);
        }
        tracing::debug!(name = %job.name, %attempt, "intent is durable, connecting");
        let request = CreateRequest { kind: job.kind, attempt: Some(attempt.clone()) };
        let ready = match self.provider.connect(request).await {
            Ok(ready) => ready,
            Err(unsent) => return self.unsent(&attempt, unsent).await,
        };
        if self.is_over() {
            drop(ready);
            return self.unsent(&attempt, Unsent::stopped()).await;
        }
        if let Err(error) = self.pen.record(Event::Sent { attempt: attempt.clone() }).await {
            // Dropped before it was let go: the request never leaves.
            drop(ready);
            return stored(Outcome::NotSent { reason: "the state cannot be written".to_owned() }, error);
        }
        if self.is_over() {
            drop(ready);
            return self.unsent(&attempt, Unsent::stopped()).await;
        }
        tracing::debug!(name = %job.name, %attempt, "sent is durable, letting the request go");
        let sent = Instant::now();
        let exchange = ready.send().await;
        if let Exchange::Answered(_) = &exchange {
            self.slots.answered(sent);
        }
        match exchange {
            Exchange::Unsent(unsent) => self.unsent(&attempt, unsent).await,
            Exchange::Cut { reason } => self.doubted(attempt, reason).await,
            Exchange::Answered(answer) => self.answered(job, attempt, &answer, (sent, slot)).await,
        }
    }

    /// Whether nothing may be sent any more: an interrupt, or another name's trouble that concerns all.
    pub(super) fn is_over(&self) -> bool {
        self.halted() || self.stop.asked().is_some()
    }

    /// The server said "later" to a request sent at `sent`: how long all wait; none if the run may not wait any longer.
    pub(super) fn later(&self, sent: Instant, after: Option<u64>) -> Option<Duration> {
        self.slots.turned_away(sent);
        self.pace.later(sent, after, Instant::now())
    }

    async fn unsent(&self, attempt: &AttemptId, unsent: Unsent) -> Try {
        tracing::debug!(%attempt, reason = unsent.reason, "provably not sent");
        let event = Event::Unsent { attempt: attempt.clone(), reason: unsent.reason.clone() };
        match self.pen.note(event).await {
            Ok(_) => Try::Unsent(unsent),
            Err(error) => stored(Outcome::NotSent { reason: unsent.reason }, error),
        }
    }

    async fn answered(&self, job: &Job, attempt: AttemptId, answer: &Answer, (sent, slot): (Instant, &mut Option<Slot>)) -> Try {
        let kept = job.keeper.keep(&*self.provider, &job.name, &attempt, answer);
        let known = kept.outline.clone();
        let received = Event::Received { attempt: attempt.clone(), answer: kept.clone() };
        let recording = self.pen.begin(received);
        // The next request's `sent` stands behind this answer, and shares its sync. What may be a word for all requests is read first.
        if (200..300).contains(&answer.status) && !self.slots.is_single() {
            *slot = None;
        }
        let serial = match recording.durable().await {
            Ok(serial) => serial,
            Err(error) => {
                let reason = self.rescued(job, &attempt, kept);
                return stored(Outcome::InDoubt { attempt, reason }, error);
            }
        };
        tracing::debug!(%attempt, status = answer.status, bytes = answer.body.len(), took = ?sent.elapsed(), "the answer is durable");
        let outline = known.or_else(|| outline(&*self.provider, answer));
        self.judged(attempt, serial, outline, sent).await
    }

    /// Takes an answer that the journal does not take to the second place, and says in words what became of it.
    fn rescued(&self, job: &Job, attempt: &AttemptId, answer: KeptAnswer) -> String {
        let packet = Packet::new(&job.keeper.lineage, &job.name, attempt, answer);
        match self.options.rescue.save(&packet) {
            Some(place) => {
                self.observer.tell(Progress::Rescued { name: job.name.clone(), place: place.clone() });
                format!("an answer came that could not be recorded; it is kept in {place}")
            }
            None => "an answer came and could not be recorded".to_owned(),
        }
    }

    /// Concludes from a recorded answer, in the run that received it and in every later one that finds it.
    pub(super) async fn conclude(&self, attempt: AttemptId, serial: Serial, answer: &KeptAnswer) -> Result<Outcome, RecordError> {
        let read = |answer| outline(&*self.provider, &answer);
        let outline = answer.clear().map_or_else(|| answer.outline.clone(), read);
        match self.judged(attempt, serial, outline, Instant::now()).await {
            Try::Halt(_, Halt::Store(error)) => Err(RecordError::Store(error)),
            Try::Done(outcome) | Try::Halt(outcome, _) => Ok(outcome),
            Try::Later { reason, .. } | Try::Unsent(Unsent { reason, .. }) => Ok(Outcome::Refused { reason }),
        }
    }

    /// `serial`: the entry with the answer.
    async fn judged(&self, attempt: AttemptId, serial: Serial, outline: Option<Outline>, sent: Instant) -> Try {
        let unread = || Outline::Doubt { reason: "the recorded answer could not be read".to_owned() };
        failpoint::pass("judged");
        match outline.unwrap_or_else(unread) {
            Outline::Created { id, api_url, has_token } => {
                let outcome = Outcome::Created { id: id.clone(), has_token };
                let token_in = has_token.then_some(serial);
                let created = Event::Created { attempt: attempt.clone(), id, api_url, token_in, token: None };
                match self.pen.note(created).await {
                    Ok(_) => {
                        self.pace.went_through();
                        Try::Done(outcome)
                    }
                    Err(error) => match taken(&error) {
                        Some(reason) => self.doubted(attempt, reason).await,
                        None => stored(Outcome::Unfinished, error),
                    },
                }
            }
            Outline::Refused { reason, for_all } => {
                let outcome = Outcome::Refused { reason: reason.clone() };
                match self.refused(attempt, reason.clone()).await {
                    Err(error) => stored(Outcome::Unfinished, error),
                    Ok(()) if for_all => Try::Halt(outcome, Halt::Refused(reason)),
                    Ok(()) => Try::Done(outcome),
                }
            }
            Outline::Later { after, reason } => match self.refused(attempt, format!("asked to wait ({reason})")).await {
                Err(error) => stored(Outcome::Unfinished, error),
                Ok(()) => Try::Later { sent, after, reason },
            },
            Outline::Doubt { reason } => self.doubted(attempt, reason).await,
        }
    }

    async fn refused(&self, attempt: AttemptId, reason: String) -> Result<(), RecordError> {
        self.pen.note(Event::Refused { attempt, reason }).await.map(|_| ())
    }

    async fn doubted(&self, attempt: AttemptId, reason: String) -> Try {
        tracing::debug!(%attempt, reason, "in doubt");
        let event = Event::Doubted { attempt: attempt.clone(), reason: reason.clone() };
        let outcome = Outcome::InDoubt { attempt, reason };
        match self.pen.note(event).await {
            Ok(_) => Try::Done(outcome),
            Err(error) => stored(outcome, error),
        }
    }
}

fn stored(outcome: Outcome, error: RecordError) -> Try {
    Try::Halt(outcome, Halt::Store(error.into_store_error()))
}

/// The words for an answer that names an id which belongs to another name.
fn taken(error: &RecordError) -> Option<String> {
    match error {
        RecordError::Store(error) => match &**error {
            StoreError::Refused(Illegal::IdTaken { id, owner }) => Some(format!("the answer names id {id}, which is `{owner}`")),
            _ => None,
        },
        RecordError::Closed => None,
    }
}

/// A new attempt id.
pub(super) fn draw_attempt() -> Result<AttemptId, ring::error::Unspecified> {
    let random = ring::rand::generate::<[u8; 8]>(&ring::rand::SystemRandom::new())?;
    Ok(AttemptId::from_bytes(random.expose()))
}
