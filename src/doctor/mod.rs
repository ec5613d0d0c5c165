//! What is wrong with a set-up, before it costs money or a token: where the state lives, who can read it, whether git and the
//! pipelines treat it well.
//!
//! Pure: [`Facts`] were gathered elsewhere, [`examine`] says what they mean. A finding names what is wrong and what to type next.

mod forge;
mod ground;
mod guards;
mod keeping;
mod pins;
mod pipelines;
mod queues;
mod secrets;

use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;

pub use forge::{
    ARTIFACTS, Cancels, Command, FILE_MAX, Files, Forge, Group, Holds, Job, Machine, Name, Pipeline, Queue, Step, Uses, When,
};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be.
    Ok,
    /// It cannot be told from here: somebody has to look.
    Unsure,
    /// Works, and should be mended.
    Warning,
    /// Costs money, tokens or the next run, sooner or later.
    Error,
    /// There was nothing to look at.
    Skipped,
}

impl Status {
    /// The word in every output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unsure => "unsure",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Skipped => "skipped",
        }
    }
}

/// One finding. A check with several findings has several of these under one id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at; stable.
    pub id: &'static str,
    /// How it ended.
    pub status: Status,
    /// What was found.
    pub message: String,
    /// What to type next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Check {
    fn new(id: &'static str, status: Status, message: impl Into<String>) -> Self {
        Self { id, status, message: message.into(), hint: None }
    }

    fn ok(id: &'static str, message: impl Into<String>) -> Self {
        Self::new(id, Status::Ok, message)
    }

    fn skipped(id: &'static str, message: impl Into<String>) -> Self {
        Self::new(id, Status::Skipped, message)
    }

    fn unsure(id: &'static str, message: impl Into<String>) -> Self {
        Self::new(id, Status::Unsure, message)
    }

    fn warning(id: &'static str, message: impl Into<String>) -> Self {
        Self::new(id, Status::Warning, message)
    }

    fn error(id: &'static str, message: impl Into<String>) -> Self {
        Self::new(id, Status::Error, message)
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// The findings of one check, or what it says if there are none.
fn or(findings: Vec<Check>, else_: impl FnOnce() -> Check) -> Vec<Check> {
    if findings.is_empty() { vec![else_()] } else { findings }
}

/// What was seen.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The program as it has to be called for this state.
    pub command: String,
    /// The environment that was chosen, and the file that declares it, as they have to be typed.
    pub environment: Option<(String, String)>,
    /// What to type for a key to seal to.
    pub key_hint: String,
    /// The manifest.
    pub manifest: ManifestFacts,
    /// Where it is, and the pipeline that says so; none: it is where it was looked for.
    pub manifest_by: Option<String>,
    /// Whether the schema beside it is this program's; none: there is none.
    pub is_schema_current: Option<bool>,
    /// The state.
    pub state: StateFacts,
    /// Where it is.
    pub place: Place,
    /// The lock file.
    pub lock: LockFacts,
    /// What git says; none: no git, or no work tree.
    pub git: Option<Git>,
    /// Files that credentials are written to, in a work tree, and what git says of them.
    pub outputs: Vec<(String, Tracking)>,
    /// Files of ours that others can read.
    pub exposed: Vec<Exposed>,
    /// Whether `CHATAPI_SEAL_TO` names keys.
    pub is_sealed_by_environment: bool,
    /// Where `CHATAPI_URL` points to, or what is wrong with it; none: it is not set.
    pub url: Option<Result<Target, String>>,
    /// Whether this is a job of a CI system.
    pub is_ci: bool,
    /// The clock.
    pub now: Timestamp,
    /// The pipelines in the repository.
    pub pipelines: Vec<Pipeline>,
    /// Their files that could not be read.
    pub unread: Vec<String>,
    /// How many more there are, that were not read.
    pub unread_more: usize,
}

/// Where an address points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Another machine.
    Server,
    /// The machine that asks: there is an emulator, or a tunnel.
    ThisMachine,
}

impl Target {
    /// Where `url` points to, by its host alone.
    pub fn of(url: &str) -> Self {
        let host = url.split_once("://").map_or(url, |(_, rest)| rest);
        let host = host.split(['/', '?', '#']).next().unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
        let name = host.strip_prefix('[').map_or_else(|| host.split(':').next(), |inner| inner.split(']').next());
        let name = name.unwrap_or_default();
        let is_here = name == "localhost" || name.ends_with(".localhost") || name == "::1" || name == "0.0.0.0";
        if is_here || name.strip_prefix("127.").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
        {
            Self::ThisMachine
        } else {
            Self::Server
        }
    }
}

/// The manifest, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManifestFacts {
    /// None where it was looked for.
    Missing,
    /// With so many problems.
    Bad(usize),
    /// It can be applied.
    Good {
        /// How many instances are declared.
        instances: usize,
        /// Whether they cost money.
        is_paid: bool,
        /// Whether it says whom tokens are sealed to.
        is_sealed: bool,
    },
}

/// The state, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateFacts {
    /// None yet.
    Absent,
    /// It cannot be used.
    Broken {
        /// Why.
        message: String,
        /// What to type.
        hint: Option<String>,
    },
    /// It can be read.
    Good {
        /// How many names it records.
        records: usize,
        /// Whether it is bound to a server that costs money.
        is_paid: Option<bool>,
        /// How many tokens or answers stand in it in the clear.
        unsealed: usize,
        /// Whether it names keys to seal to.
        is_sealed: bool,
        /// The newest moment in it.
        newest: Option<Timestamp>,
    },
}

/// Where the state is.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// As it has to be typed.
    pub shown: String,
    /// From the root of the file system.
    pub absolute: PathBuf,
    /// From the repository's root, if it is in one.
    pub in_repository: Option<String>,
    /// What it stands on.
    pub storage: Storage,
    /// Why its lock may not hold there.
    pub unsafe_locks: Option<String>,
    /// Directories that are emptied by somebody: the system's and the CI's.
    pub thrown_away: Vec<(PathBuf, &'static str)>,
}

/// Why a hosted runner's work tree is no place that stays; a pipeline that carries its state away does without one.
pub const HOSTED_WORK: &str = "a hosted runner is thrown away after each job; something must carry it away";

/// What a directory stands on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Storage {
    /// A disk, as far as can be seen.
    #[default]
    Disk,
    /// Memory.
    Memory,
    /// A container's own layer.
    Container,
}

/// The lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockFacts {
    /// None.
    Absent,
    /// It cannot be read.
    Bad(String),
    /// It can.
    Good {
        /// As it has to be typed.
        shown: String,
        /// Whether it belongs to the state; none: there is no state to compare it with.
        is_of_state: Option<bool>,
    },
}

/// What git says of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tracking {
    /// It is left out of commits.
    pub is_ignored: bool,
    /// It is committed, or will be with the next commit.
    pub is_tracked: bool,
    /// It is in another work tree than the manifest.
    pub is_apart: bool,
}

/// What git says; none: the file is outside of the work tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Git {
    /// Of the state's journal.
    pub state: Option<Tracking>,
    /// Of the lock file.
    pub lock: Option<Tracking>,
}

/// A file that others can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposed {
    /// What it is, in words.
    pub what: String,
    /// Its mode.
    pub mode: u32,
    /// What closes it.
    pub remedy: String,
}

impl Facts {
    /// Whether anything here costs money. Nobody knows: then it does.
    fn is_paid(&self) -> bool {
        let of_state = if let StateFacts::Good { is_paid, .. } = &self.state { *is_paid } else { None };
        let of_manifest = if let ManifestFacts::Good { is_paid, .. } = &self.manifest { Some(*is_paid) } else { None };
        of_state == Some(true) || of_manifest.or(of_state).unwrap_or(true)
    }

    /// How another one of its own is named: a flag, or what the environment says. A command about one takes no flag for it.
    fn named(&self, what: &str, as_what: &str) -> String {
        match &self.environment {
            Some((name, file)) => format!("`{what}: {as_what}` under `{name}` in {file}"),
            None => format!("`--{} {as_what}`", what.replace('_', "-")),
        }
    }

    /// The state of the pipelines, if none is here and theirs is kept elsewhere than this one would be.
    fn state_elsewhere(&self) -> Option<String> {
        self.other_state().filter(|_| matches!(self.state, StateFacts::Absent))
    }

    /// A state of the pipelines, if none of theirs is this one.
    fn other_state(&self) -> Option<String> {
        let here = [self.place.in_repository.as_deref(), Some(self.place.shown.as_str()), self.place.absolute.to_str()];
        let states: Vec<String> = self.pipelines.iter().flat_map(Pipeline::applying).flat_map(Job::states).collect::<Vec<_>>();
        let is_theirs_too = states.iter().any(|state| here.contains(&Some(state)));
        states.into_iter().next().filter(|_| !is_theirs_too)
    }

    /// Whether a pipeline applies to the state that is here, so that `state-kept` says what becomes of it.
    fn is_state_of_pipeline(&self) -> bool {
        let mut states = self.pipelines.iter().flat_map(Pipeline::applying).flat_map(Job::states);
        self.place.in_repository.as_ref().is_some_and(|here| states.any(|state| state == *here))
    }

    /// What a variable says in the pipelines that apply.
    fn variable_of_pipelines(&self, name: &str) -> Option<&str> {
        self.pipelines.iter().flat_map(Pipeline::applying).find_map(|job| job.variable(name))
    }

    /// An error where money is at stake, else a warning.
    fn serious(&self, id: &'static str, message: impl Into<String>) -> Check {
        if self.is_paid() { Check::error(id, message) } else { Check::warning(id, message) }
    }
}

/// Everything that there is to say, in the order in which it is shown.
pub fn examine(facts: &Facts) -> Vec<Check> {
    [ground::checks(facts), secrets::checks(facts), pipelines::checks(facts)].concat()
}

#[cfg(test)]
mod tests;
