//! A run as a stream of events, one JSON object a line: what happened, as it happens.
//!
//! Each line begins with `@level`, `@message` and `@timestamp`, and says its `type`; the first one is `version`, the last one `end`.
//! Whoever meets a type that it does not know shows the message.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::account::{Notice, Standing};
use super::apply::ResultData;
use super::{ApplySummary, ChangeData, FORMAT_VERSION, SummaryData, outcome_word, settled_word};
use crate::apply::{Departure, Outcome, Progress};
use crate::diagnostic::{DiagnosticData, Severity};
use crate::instance::InstanceName;
use crate::plan::{Action, Change, Reason};

/// How important a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Info,
    /// Somebody should look.
    Warn,
    /// Something failed.
    Error,
}

/// One line.
#[derive(Debug, Serialize)]
pub struct Line {
    #[serde(rename = "@level")]
    level: Level,
    #[serde(rename = "@message")]
    message: String,
    #[serde(rename = "@timestamp")]
    timestamp: Timestamp,
    #[serde(flatten)]
    event: Event,
}

/// What happened.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    Version { chatapi: &'static str, format_version: &'static str, command: &'static str },
    Diagnostic { diagnostic: DiagnosticData },
    PlannedChange { change: ChangeData },
    ChangeSummary { operation: &'static str, changes: Summary },
    ApplyStart { name: InstanceName },
    ApplyProgress(ProgressData),
    ApplyComplete(EndData),
    ApplyErrored(EndData),
    ApplyInDoubt(EndData),
    DeleteStart { name: InstanceName },
    DeleteComplete(EndData),
    Guard { guard: &'static str, name: Option<InstanceName>, hints: Vec<String> },
    End { exit_code: u8 },
}

/// The counts of a plan or an apply.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub enum Summary {
    /// What a plan asks for.
    Plan(SummaryData),
    /// What an apply did.
    Apply(ApplySummary),
}

/// Something on the way.
#[derive(Debug, Serialize)]
struct ProgressData {
    /// `retrying`, `waiting`, `locked`, `stopping`, `not_created`, `imported`, `moved` or `settled`.
    progress: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<InstanceName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// How long it waits now.
    #[serde(skip_serializing_if = "Option::is_none")]
    wait_ms: Option<u64>,
}

/// How it ended for a name.
#[derive(Debug, Serialize)]
struct EndData {
    /// As in the document of an apply.
    #[serde(flatten)]
    result: ResultData,
    /// Since its request began; none: nothing was asked, an earlier run was finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    elapsed_ms: Option<u64>,
}

impl Line {
    fn new(level: Level, message: String, event: Event) -> Self {
        Self { level, message, timestamp: Timestamp::UNIX_EPOCH, event }
    }

    /// Happening at `now`.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        Self { timestamp: now, ..self }
    }

    /// The first line.
    pub fn version(command: &'static str) -> Self {
        let chatapi = env!("CARGO_PKG_VERSION");
        let message = format!("chatapi {chatapi}");
        Self::new(Level::Info, message, Event::Version { chatapi, format_version: FORMAT_VERSION, command })
    }

    /// The last line.
    pub fn end(exit_code: u8) -> Self {
        let level = if exit_code == 0 || exit_code == 2 { Level::Info } else { Level::Error };
        Self::new(level, format!("exit code {exit_code}"), Event::End { exit_code })
    }

    /// A problem of a manifest.
    pub fn problem(problem: DiagnosticData) -> Self {
        Self::new(level(problem.severity), problem.summary.clone(), Event::Diagnostic { diagnostic: problem })
    }

    /// What needs a person.
    pub fn notice(notice: &Notice) -> Self {
        let (message, hints) = (notice.sentence(), notice.hints.clone());
        let event = if let Some(guard) = notice.guard {
            Event::Guard { guard, name: notice.name.clone(), hints }
        } else {
            let detail = (!hints.is_empty()).then(|| hints.join("\n"));
            let (severity, summary) = (notice.severity, message.clone());
            Event::Diagnostic { diagnostic: DiagnosticData { severity, summary, detail, range: None, related: None } }
        };
        Self::new(level(notice.severity), message, event)
    }

    /// What is planned for a name; none: nothing is.
    pub fn planned(change: &Change) -> Option<Self> {
        if change.action == Action::Aside {
            return None;
        }
        if change.action == Action::NoOp && !matches!(change.reason, Reason::TokenMissing { .. }) {
            return None;
        }
        let message = format!("{}: {}, {}", change.name, change.action.as_str(), change.reason);
        let case = super::account::Case::planned(change);
        let level = if case.standing < Standing::Skipped { Level::Warn } else { Level::Info };
        Some(Self::new(level, message, Event::PlannedChange { change: change.into() }))
    }

    /// The counts, and as a sentence.
    pub fn summary(operation: &'static str, sentence: &str, changes: Summary) -> Self {
        Self::new(Level::Info, sentence.to_owned(), Event::ChangeSummary { operation, changes })
    }

    /// What an apply tells while it runs; none: it is no event, or told as a notice.
    pub fn progress(progress: &Progress) -> Option<Self> {
        let on_the_way = |level, word, (name, reason): (Option<&InstanceName>, Option<&String>), wait: Duration| {
            let (name, reason) = (name.cloned(), reason.cloned());
            let subject = name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
            let why = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            let message = format!("{subject}{word}{why}");
            let data = ProgressData { progress: word, name, reason, wait_ms: Some(millis(wait)) };
            Some(Self::new(level, message, Event::ApplyProgress(data)))
        };
        match progress {
            Progress::Recovered { outcome: Outcome::NotSent { .. }, .. } | Progress::Rescued { .. } => None,
            Progress::Deleting { name } => {
                Some(Self::new(Level::Info, format!("{name}: deleting"), Event::DeleteStart { name: name.clone() }))
            }
            Progress::Departed { name, departure } => Some(Self::departed(name, departure)),
            Progress::Recovered { name, outcome } => Some(Self::ended(name, outcome, None)),
            Progress::Done { name, outcome, took } => Some(Self::ended(name, outcome, Some(millis(*took)))),
            Progress::NoFence { reason } => Some(Self::notice(&Notice::warning(&format!(
                "no list from before the creates ({reason}): a doubt could not be settled by one"
            )))),
            Progress::Started { name } => {
                Some(Self::new(Level::Info, format!("{name}: creating"), Event::ApplyStart { name: name.clone() }))
            }
            Progress::Settled { change } => {
                let (progress, name, reason) = (settled_word(change), Some(change.name.clone()), Some(change.reason.to_string()));
                let message = format!("{}: {progress}: {}", change.name, change.reason);
                let data = ProgressData { progress, name, reason, wait_ms: None };
                Some(Self::new(Level::Info, message, Event::ApplyProgress(data)))
            }
            Progress::Retrying { name, reason, wait } => on_the_way(Level::Info, "retrying", (Some(name), Some(reason)), *wait),
            Progress::Waiting { reason, wait } => on_the_way(Level::Info, "waiting", (None, Some(reason)), *wait),
            Progress::Stopping { signal, drain, .. } => {
                on_the_way(Level::Warn, "stopping", (None, Some(&signal.as_str().to_owned())), *drain)
            }
        }
    }

    /// The state is held by somebody else; the run waits for it so long at the most.
    pub fn locked(holder: &str, left: Duration) -> Self {
        let (progress, wait_ms) = ("locked", Some(millis(left)));
        let data = ProgressData { progress, name: None, reason: Some(holder.to_owned()), wait_ms };
        Self::new(Level::Info, format!("waiting for {holder}"), Event::ApplyProgress(data))
    }

    fn departed(name: &InstanceName, departure: &Departure) -> Self {
        let (level, words) = match departure {
            Departure::Deleted { id, .. } => (Level::Info, format!("deleted, {id}")),
            Departure::Kept { reason } => (Level::Error, format!("still exists: {reason}")),
            Departure::InDoubt { reason } => (Level::Error, format!("may still exist: {reason}")),
            Departure::NotTried => (Level::Warn, "not tried".to_owned()),
        };
        let data = EndData { result: ResultData::departed(name, departure), elapsed_ms: None };
        Self::new(level, format!("{name}: {words}"), Event::DeleteComplete(data))
    }

    fn ended(name: &InstanceName, outcome: &Outcome, elapsed_ms: Option<u64>) -> Self {
        let words = outcome_word(outcome).replace('_', " ");
        let (level, message) = match outcome {
            Outcome::Created { id, has_token } => {
                let (level, token) = if *has_token { (Level::Info, "") } else { (Level::Warn, ", token missing") };
                (level, format!("{name}: created as {id}{token}"))
            }
            Outcome::Refused { reason } | Outcome::NotSent { reason } | Outcome::NotCreated { reason } => {
                (Level::Error, format!("{name}: {words}: {reason}"))
            }
            Outcome::InDoubt { attempt, reason } => (Level::Error, format!("{name}: in doubt (attempt {attempt}): {reason}")),
            Outcome::Unfinished | Outcome::NotTried => (Level::Warn, format!("{name}: {words}")),
        };
        let data = EndData { result: ResultData::new(name, outcome), elapsed_ms };
        let event = match outcome {
            Outcome::Created { .. } => Event::ApplyComplete(data),
            Outcome::InDoubt { .. } => Event::ApplyInDoubt(data),
            Outcome::NotCreated { .. } => Event::ApplyProgress(ProgressData {
                progress: "not_created",
                name: Some(data.result.name),
                reason: data.result.reason,
                wait_ms: None,
            }),
            _ => Event::ApplyErrored(data),
        };
        let level = if matches!(outcome, Outcome::NotCreated { .. }) { Level::Info } else { level };
        Self::new(level, message, event)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

const fn level(severity: Severity) -> Level {
    match severity {
        Severity::Error => Level::Error,
        Severity::Warning => Level::Warn,
    }
}
