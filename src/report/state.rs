//! What `state list`, `state show` and `doubts` show.

use jiff::Timestamp;
use serde::Serialize;

use super::FORMAT_VERSION;
use crate::instance::{ApiUrl, InstanceId, InstanceName, InstanceType};
use crate::plan::Proposal;
use crate::state::{Attempt, AttemptId, Doubt, Hash, Head, Lineage, Origin, Phase, Record, Serial, State};

/// One instance in `state list` and `state show`.
#[derive(Debug, Serialize)]
pub struct InstanceData {
    /// Our name.
    pub name: InstanceName,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: InstanceType,
    /// Where it stands.
    pub status: &'static str,
    /// The server's id.
    pub id: Option<InstanceId>,
    /// Its address.
    pub api_url: Option<ApiUrl>,
    /// Since when it stands there.
    pub since: Option<Timestamp>,
    /// Attempts, open and closed.
    pub attempts: u32,
    /// The open attempt.
    pub attempt: Option<AttemptId>,
    /// Why it is in doubt, or why the last attempt was closed.
    pub reason: Option<String>,
}

impl From<&Record> for InstanceData {
    fn from(record: &Record) -> Self {
        let instance = record.instance();
        let (since, reason) = match &record.phase {
            Phase::Absent { closed } => (None, Some(closed.clone())),
            Phase::Intent(attempt) | Phase::Received(attempt, _) => (Some(attempt.since), None),
            Phase::InDoubt(_, doubt) => (Some(doubt.since), Some(doubt.reason.clone())),
            Phase::Created(instance) => (Some(instance.since), None),
        };
        Self {
            name: record.name.clone(),
            kind: record.kind,
            status: record.status(),
            id: instance.map(|instance| instance.id.clone()),
            api_url: instance.and_then(|instance| instance.api_url.clone()),
            since,
            attempts: record.attempts,
            attempt: record.open_attempt().map(|attempt| attempt.id.clone()),
            reason,
        }
    }
}

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
    /// What the server's list proposes; none: it was not asked.
    pub proposal: Option<ProposalData>,
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
            proposal: proposal.map(ProposalData::from),
        }
    }
}

/// `state show` without a name.
#[derive(Debug, Serialize)]
pub struct StateDocument {
    format_version: &'static str,
    lineage: Lineage,
    serial: Serial,
    head: Hash,
    origin: Option<Origin>,
    read_from: &'static str,
    instances: usize,
    in_doubt: usize,
}

impl StateDocument {
    /// Of a state read from `read_from`.
    pub fn new(state: &State, head: Head, read_from: &'static str) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            lineage: state.lineage.clone(),
            serial: head.serial,
            head: head.hash,
            origin: state.binding.as_ref().map(|binding| binding.origin.clone()),
            read_from,
            instances: state.records().values().filter(|record| record.instance().is_some()).count(),
            in_doubt: state.doubts().count(),
        }
    }
}
