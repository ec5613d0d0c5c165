//! What `state list`, `state show` and the other commands below `state` show.

use jiff::Timestamp;
use serde::Serialize;

use super::FORMAT_VERSION;
use crate::instance::{ApiUrl, InstanceId, InstanceName, InstanceType};
use crate::seal::{KeyId, Recipients};
use crate::secret::Secret;
use crate::state::{AttemptId, Binding, Entry, Event, Hash, Head, Lineage, Origin, Phase, Record, Serial, State, Verdict};
use crate::store::{Finding, Severity};
use crate::text::counted;

/// A status or an event as people read it: what documents call retired is deleted everywhere else.
pub fn in_words(status: &str) -> &str {
    match status {
        "retiring" => "being deleted",
        "retire_sent" => "delete sent",
        "retired" => "deleted",
        other => other,
    }
}

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
    /// It must not be deleted; none where it may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protected: Option<bool>,
    /// It was replaced: the name that has another in its place, or is to have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced: Option<InstanceName>,
}

impl InstanceData {
    /// Of `record` in `state`.
    pub fn new(state: &State, record: &Record) -> Self {
        let instance = match &record.phase {
            Phase::Created(instance) | Phase::Released(instance) | Phase::Retiring(instance, _) => Some(instance),
            _ => None,
        };
        let (since, reason) = match &record.phase {
            Phase::Absent { closed } => (None, Some(closed.clone())),
            Phase::Intent(attempt) | Phase::Received(attempt, _) => (Some(attempt.since), None),
            Phase::InDoubt(_, doubt) => (Some(doubt.since), Some(doubt.reason.clone())),
            Phase::Created(instance) | Phase::Released(instance) => (Some(instance.since), None),
            Phase::Retiring(_, open) => (Some(open.since), Some("being deleted, and not known to be gone".to_owned())),
            Phase::Retired { since, .. } => (Some(*since), None),
        };
        Self {
            name: record.name.clone(),
            kind: record.kind,
            status: record.status(),
            id: record.id().cloned(),
            api_url: instance.and_then(|instance| instance.api_url.clone()),
            since,
            attempts: record.attempts,
            attempt: record.open_id().cloned(),
            reason,
            protected: record.is_protected.then_some(true),
            replaced: state.replacement_of(record).map(|new| new.name.clone()),
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
    seal_to: Recipients,
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
            seal_to: state.recipients.clone(),
            read_from,
            instances: state.records().values().filter(|record| record.instance().is_some()).count(),
            in_doubt: state.doubts().count(),
        }
    }
}

/// `state verify`.
#[derive(Debug, Serialize)]
pub struct VerifyDocument {
    format_version: &'static str,
    is_intact: bool,
    findings: Vec<FindingData>,
}

#[derive(Debug, Serialize)]
struct FindingData {
    part: &'static str,
    severity: &'static str,
    message: String,
}

impl VerifyDocument {
    /// Of what was found.
    pub fn new(findings: &[Finding]) -> Self {
        let data = |finding: &Finding| FindingData {
            part: finding.part,
            severity: match finding.severity {
                Severity::Good => "good",
                Severity::Warning => "warning",
                Severity::Error => "error",
            },
            message: finding.message.clone(),
        };
        let is_intact = findings.iter().all(|finding| finding.severity < Severity::Error);
        Self { format_version: FORMAT_VERSION, is_intact, findings: findings.iter().map(data).collect() }
    }
}

/// One entry of `state history`.
#[derive(Debug, Serialize)]
pub struct Happening {
    /// Its number.
    pub serial: Serial,
    /// When it was written.
    pub at: Timestamp,
    /// Its word.
    pub event: &'static str,
    /// Whose.
    pub name: Option<InstanceName>,
    /// The attempt.
    pub attempt: Option<AttemptId>,
    /// What it says, in words; empty where the event says all.
    pub detail: String,
    /// The command and who ran it.
    pub by: String,
}

impl Happening {
    /// Of an entry about `name`, written by `by`.
    pub fn new(entry: &Entry, name: Option<InstanceName>, by: String) -> Self {
        let (event, attempt) = (entry.event.word(), entry.event.attempt().cloned());
        Self { serial: entry.serial, at: entry.at, event, name, attempt, detail: detail(&entry.event), by }
    }
}

fn detail(event: &Event) -> String {
    match event {
        Event::Bound(Binding { origin, environment: Some(environment), .. }) => format!("{origin}, environment {environment}"),
        Event::Bound(binding) => binding.origin.to_string(),
        Event::Rebound { to, grounds } => format!("{}: {grounds}", to.origin),
        Event::Run { verb, version, plan: Some(plan), .. } => format!("{verb} of {plan}, version {version}"),
        Event::Run { verb, version, .. } => format!("{verb}, version {version}"),
        Event::Recipients { to } => to.to_string(),
        Event::Listed { ids } => counted(ids.len(), "instance", "instances"),
        Event::Intent { kind, .. } | Event::AdoptedDoubt { kind, .. } => kind.to_string(),
        Event::Unsent { reason, .. }
        | Event::Refused { reason, .. }
        | Event::Doubted { reason, .. }
        | Event::Kept { reason, .. } => reason.clone(),
        Event::Received { answer, .. } => format!("status {}", answer.status),
        Event::Created { id, .. } | Event::Retiring { id, .. } => id.to_string(),
        Event::Resolved { verdict, grounds, .. } => {
            let verdict = match verdict {
                Verdict::Created { id, .. } => format!("created as {id}"),
                Verdict::NotCreated => "not created".to_owned(),
            };
            let reason = grounds.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("{verdict}, by {}{reason}", grounds.by)
        }
        Event::Gone { id, grounds, .. } => format!("{id}: {grounds}"),
        Event::Adopted { id, source, .. } => format!("{id}, from {source}"),
        Event::Moved { to, .. } => format!("is {to} from now on"),
        Event::Replacing { to, .. } => format!("is {to} from now on, and the name gets a new instance"),
        Event::Retired { grounds, .. } => grounds.clone(),
        Event::Protection { protected, unprotected } => {
            format!("{} protected, {} no longer", protected.len(), unprotected.len())
        }
        Event::Noted { orphaned, returned } => format!("{} no longer declared, {} again", orphaned.len(), returned.len()),
        Event::Checkpoint(checkpoint) => format!("goes on from serial {}", checkpoint.after.serial),
        _ => String::new(),
    }
}

/// `state history`.
#[derive(Debug, Serialize)]
pub struct HistoryDocument {
    format_version: &'static str,
    entries: Vec<Happening>,
    gaps: Vec<String>,
}

impl HistoryDocument {
    /// Of the entries and what is missing.
    pub fn new(entries: Vec<Happening>, gaps: Vec<String>) -> Self {
        Self { format_version: FORMAT_VERSION, entries, gaps }
    }
}

/// `token get --format json`.
#[derive(Serialize)]
#[expect(missing_debug_implementations, reason = "it holds a token in the clear")]
pub struct TokenDocument<'a> {
    format_version: &'static str,
    name: &'a InstanceName,
    id: &'a InstanceId,
    token: &'a str,
}

impl<'a> TokenDocument<'a> {
    /// The token of `name`.
    pub fn new(name: &'a InstanceName, id: &'a InstanceId, token: &'a Secret) -> Self {
        Self { format_version: FORMAT_VERSION, name, id, token: token.expose() }
    }
}

/// `state export --reveal`: all tokens in one document, and so without `Debug`.
#[derive(Serialize)]
#[expect(missing_debug_implementations, reason = "it holds tokens in the clear")]
pub struct RevealedDocument {
    format_version: &'static str,
    lineage: Lineage,
    serial: Serial,
    instances: Vec<RevealedData>,
}

#[derive(Serialize)]
struct RevealedData {
    #[serde(flatten)]
    instance: InstanceData,
    token: Option<String>,
    /// There is a token, and none of the given keys opens it: these do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sealed_to: Vec<KeyId>,
}

impl RevealedDocument {
    /// Of a state; its records follow.
    pub fn new(state: &State, head: Head) -> Self {
        let (lineage, serial) = (state.lineage.clone(), head.serial);
        Self { format_version: FORMAT_VERSION, lineage, serial, instances: Vec::new() }
    }

    /// Adds a record of `state` with its token, or with the keys that open it.
    pub fn push(&mut self, state: &State, record: &Record, token: Option<&Secret>, sealed_to: Vec<KeyId>) {
        let token = token.map(|token| token.expose().to_owned());
        self.instances.push(RevealedData { instance: InstanceData::new(state, record), token, sealed_to });
    }
}
