//! One delete: its intent, its request, and what that comes to.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::apply::attempt::draw_attempt;
use crate::apply::recorder::RecordError;
use crate::apply::shared::Shared;
use crate::apply::{Halt, Progress};
use crate::failpoint;
use crate::instance::{InstanceId, InstanceName};
use crate::provider::{DeleteError, Pending};
use crate::state::{AttemptId, Event, Phase};
use crate::store::StateStore;

/// A delete that is on record.
#[derive(Debug, Clone)]
pub(super) struct Open {
    pub(super) attempt: AttemptId,
    pub(super) id: InstanceId,
    /// When the instance was recorded.
    pub(super) since: Timestamp,
}

/// Whether there is anything to send.
pub(super) enum Opened {
    /// The delete that is on record, begun now or before; and whether it was sent.
    Delete(Open, bool),
    /// It may not be deleted.
    Protected,
}

/// What one request came to.
#[derive(Debug, Clone)]
pub(super) enum Answer {
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

impl Shared {
    /// Deletes `open`, as often as the server asks to come again, and no longer than a run may wait.
    pub(super) async fn delete(&self, name: &InstanceName, open: &Open, was_sent: bool) -> Result<Answer, RecordError> {
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
            // The slot that it is in has had its turn already.
            let is_again = put_off.is_some();
            if !self.pace.turn(&mut stop).await || is_again && !self.slots.turn(&mut stop).await {
                return Ok(unasked("the run was asked to stop".to_owned(), put_off.as_ref()));
            }
            if !is_on_record {
                self.pen.record(Event::RetireSent { attempt: open.attempt.clone() }).await?;
                is_on_record = true;
            }
            match self.send_delete(name, open).await {
                Try::Done(answer) => return Ok(answer),
                Try::Unsent(reason) => return Ok(unasked(reason, put_off.as_ref())),
                Try::Later { sent, after, reason } => match self.later(sent, after) {
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
        self.slots.answered(sent);
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

    /// The delete of `name`, on record. `is_unprotecting`: also of what is protected, and its record stays so until it is gone.
    pub(super) async fn open_delete(&self, name: &InstanceName, is_unprotecting: bool) -> Result<Option<Opened>, RecordError> {
        let wanted = name.clone();
        let known = move |store: &mut dyn StateStore| {
            let record = store.state().record(&wanted)?;
            Some((record.phase.clone(), record.is_protected))
        };
        let (phase, is_protected) = match self.pen.look(known).await? {
            Some((Phase::Created(_) | Phase::Retiring(..), true)) if !is_unprotecting => return Ok(Some(Opened::Protected)),
            Some(known) => known,
            None => return Ok(None),
        };
        match phase {
            Phase::Retiring(instance, open) => {
                let was_sent = open.sent.is_some();
                Ok(Some(Opened::Delete(Open { attempt: open.attempt, id: instance.id, since: instance.since }, was_sent)))
            }
            Phase::Created(instance) => {
                let Ok(attempt) = draw_attempt() else { return Ok(None) };
                let open = Open { attempt, id: instance.id, since: instance.since };
                let (attempt, id) = (open.attempt.clone(), open.id.clone());
                self.pen.record(Event::Retiring { attempt, name: name.clone(), id, unprotected: is_protected }).await?;
                Ok(Some(Opened::Delete(open, false)))
            }
            _ => Ok(None),
        }
    }
}
