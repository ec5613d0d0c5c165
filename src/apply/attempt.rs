//! One name: from its intent to what became of it.

use std::time::Duration;

use tokio::time::Instant;

use super::pace::jitter;
use super::recorder::RecordError;
use super::shared::{Job, Shared};
use super::{Halt, Outcome, Progress};
use crate::provider::certainty::Verdict;
use crate::provider::{Advice, CreateRequest, Exchange, Unsent};
use crate::state::{Answer, AttemptId, Event, Illegal};
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
    /// Tries `job` until something is known. Halts the run where the others could not succeed either.
    pub(super) async fn create(&self, job: &Job) -> Outcome {
        let mut stop = self.stop.clone();
        let mut unsent = 0;
        loop {
            if self.is_over() || !self.pace.turn(&mut stop).await {
                return Outcome::NotTried;
            }
            match self.attempt(job).await {
                Try::Done(outcome) => return outcome,
                Try::Halt(outcome, halt) => {
                    self.halt(halt);
                    return outcome;
                }
                Try::Later { sent, after, reason } => match self.pace.later(sent, after, Instant::now()) {
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
                    let wait = jitter(self.options.tries.wait * 2_u32.saturating_pow(unsent - 1));
                    self.observer.tell(Progress::Retrying { name: job.name.clone(), reason: reason.clone(), wait });
                    tokio::select! {
                        biased;
                        () = tokio::time::sleep(wait) => {}
                        _ = stop.wait() => return Outcome::NotSent { reason },
                    }
                }
            }
        }
    }

    /// One try. The order of its steps is the product: nothing may be moved here without the crash matrix.
    async fn attempt(&self, job: &Job) -> Try {
        let Ok(attempt) = draw_attempt() else {
            let reason = "the system gives no random numbers".to_owned();
            return Try::Halt(Outcome::NotSent { reason: reason.clone() }, Halt::Unreachable(reason));
        };
        let intent = Event::Intent { attempt: attempt.clone(), name: job.name.clone(), kind: job.kind, fence: job.fence };
        if let Err(error) = self.pen.record(intent).await {
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
        match ready.send().await {
            Exchange::Unsent(unsent) => self.unsent(&attempt, unsent).await,
            Exchange::Cut { reason } => self.doubted(attempt, reason).await,
            Exchange::Answered(answer) => self.answered(attempt, answer, sent).await,
        }
    }

    /// Whether nothing may be sent any more: an interrupt, or another name's trouble that concerns all.
    fn is_over(&self) -> bool {
        self.halted() || self.stop.asked().is_some()
    }

    async fn unsent(&self, attempt: &AttemptId, unsent: Unsent) -> Try {
        tracing::debug!(%attempt, reason = unsent.reason, "provably not sent");
        let event = Event::Unsent { attempt: attempt.clone(), reason: unsent.reason.clone() };
        match self.pen.note(event).await {
            Ok(_) => Try::Unsent(unsent),
            Err(error) => stored(Outcome::NotSent { reason: unsent.reason }, error),
        }
    }

    async fn answered(&self, attempt: AttemptId, answer: Answer, sent: Instant) -> Try {
        let received = Event::Received { attempt: attempt.clone(), answer: answer.clone() };
        if let Err(error) = self.pen.record(received).await {
            let reason = "an answer came and could not be recorded".to_owned();
            return stored(Outcome::InDoubt { attempt, reason }, error);
        }
        tracing::debug!(%attempt, status = answer.status, bytes = answer.body.len(), took = ?sent.elapsed(), "the answer is durable");
        self.judged(attempt, &answer, sent).await
    }

    /// Reads a recorded answer. Used by the run that received it and by every later one that finds it.
    pub(super) async fn conclude(&self, attempt: AttemptId, answer: &Answer) -> Result<Outcome, RecordError> {
        match self.judged(attempt, answer, Instant::now()).await {
            Try::Halt(_, Halt::Store(error)) => Err(RecordError::Store(error)),
            Try::Done(outcome) | Try::Halt(outcome, _) => Ok(outcome),
            Try::Later { reason, .. } | Try::Unsent(Unsent { reason, .. }) => Ok(Outcome::Refused { reason }),
        }
    }

    async fn judged(&self, attempt: AttemptId, answer: &Answer, sent: Instant) -> Try {
        match self.provider.judge(answer) {
            Verdict::Created(instance) => {
                let outcome = Outcome::Created { id: instance.id.clone(), has_token: instance.token.is_some() };
                let (id, api_url, token) = (instance.id, instance.api_url, instance.token);
                match self.pen.note(Event::Created { attempt: attempt.clone(), id, api_url, token }).await {
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
            Verdict::Refused { reason, for_all } => {
                let outcome = Outcome::Refused { reason: reason.clone() };
                match self.refused(attempt, reason.clone()).await {
                    Err(error) => stored(Outcome::Unfinished, error),
                    Ok(()) if for_all => Try::Halt(outcome, Halt::Refused(reason)),
                    Ok(()) => Try::Done(outcome),
                }
            }
            Verdict::Later { after, reason } => match self.refused(attempt, format!("asked to wait ({reason})")).await {
                Err(error) => stored(Outcome::Unfinished, error),
                Ok(()) => Try::Later { sent, after, reason },
            },
            Verdict::Doubt { reason } => self.doubted(attempt, reason).await,
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
fn draw_attempt() -> Result<AttemptId, ring::error::Unspecified> {
    let random = ring::rand::generate::<[u8; 8]>(&ring::rand::SystemRandom::new())?;
    Ok(AttemptId::from_bytes(random.expose()))
}
