//! What `doubts` shows: creates and deletes of which nobody knows whether they happened.

use jiff::Timestamp;
use serde::Serialize;

use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::plan::Proposal;
use crate::state::{Attempt, AttemptId, Doubt, Record, State};
use crate::store::Holder;

/// One doubt in `doubts`.
#[derive(Debug, Serialize)]
pub struct DoubtData {
    /// Whose.
    pub name: InstanceName,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: InstanceType,
    /// The attempt.
    pub attempt: AttemptId,
    /// Since when.
    pub since: Timestamp,
    /// What was seen.
    pub reason: String,
    /// Who ran it.
    pub by: Option<String>,
    /// Whether a list from before it is kept.
    pub is_fenced: bool,
    /// The run that is at work, and whose doubt it is: it may still be answered. None: nobody is.
    pub at_work: Option<String>,
    /// What the server's list proposes; none: it was not asked.
    pub proposal: Option<ProposalData>,
    /// It is no create that is in doubt, but the delete of this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletes: Option<InstanceId>,
}

/// A proposal in a document.
#[derive(Debug, Serialize)]
pub struct ProposalData {
    /// `created`, `not_created`, `wait` or `unknown`.
    pub verdict: &'static str,
    /// The candidate.
    pub id: Option<InstanceId>,
    /// From when on an absence counts.
    pub settles: Option<Timestamp>,
    /// Why the list does not tell.
    pub reason: Option<&'static str>,
}

impl From<&Proposal> for ProposalData {
    fn from(proposal: &Proposal) -> Self {
        let bare = |verdict| Self { verdict, id: None, settles: None, reason: None };
        match proposal {
            Proposal::Exists(found) => Self { id: Some(found.id.clone()), ..bare("created") },
            Proposal::NotCreated => bare("not_created"),
            Proposal::NotYetSettled { at } => Self { settles: Some(*at), ..bare("wait") },
            Proposal::Unknown { why } => Self { reason: Some(why), ..bare("unknown") },
        }
    }
}

impl DoubtData {
    /// From a state's doubt.
    pub fn new(state: &State, record: &Record, attempt: &Attempt, doubt: &Doubt, proposal: Option<&Proposal>) -> Self {
        let by = attempt.run.as_ref().map(|run| {
            let parts = [&run.who.user, &run.who.host, &run.who.job, &run.who.commit];
            parts.into_iter().flatten().cloned().collect::<Vec<_>>().join(", ")
        });
        Self {
            name: record.name.clone(),
            kind: record.kind,
            attempt: attempt.id.clone(),
            since: doubt.since,
            reason: doubt.reason.clone(),
            by: by.filter(|by| !by.is_empty()),
            is_fenced: state.fence_of(attempt).is_some(),
            at_work: None,
            proposal: proposal.map(ProposalData::from),
            deletes: None,
        }
    }

    /// The same, beside the run that writes to the state just now.
    pub fn beside(self, writer: Option<&Holder>) -> Self {
        let at_work = writer.filter(|writer| writer.since <= self.since).map(ToString::to_string);
        Self { at_work, ..self }
    }

    /// From a delete that is not concluded, if `record` has one.
    pub fn of_delete(record: &Record) -> Option<Self> {
        let open = record.retirement()?;
        let seen = if open.sent.is_some() { "no answer that proves anything" } else { "begun, and not sent" };
        Some(Self {
            name: record.name.clone(),
            kind: record.kind,
            attempt: open.attempt.clone(),
            since: open.since,
            reason: format!("deleting it: {seen}"),
            by: None,
            is_fenced: false,
            at_work: None,
            proposal: None,
            deletes: record.id().cloned(),
        })
    }
}
