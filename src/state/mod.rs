//! The state: what was created, what is being tried, what is in doubt. A pure value that only [`State::apply`] changes.
//!
//! It holds no secret. A token or a raw answer is named by the [`Serial`] of the journal entry that has it, so that printing
//! or indexing a state cannot leak one. It knows nothing of files, clocks or the network.

mod event;
mod identity;
mod transition;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use event::{Answer, Entry, Event, FORMAT, Grounds, Verdict, Who};
pub(crate) use identity::hex;
pub use identity::{AttemptId, Binding, Hash, Head, KeyFingerprint, Lineage, Origin, Serial};
pub use transition::Illegal;

use crate::instance::{ApiUrl, InstanceId, InstanceName, InstanceType};

/// Everything known of one lineage, as of one serial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Who it is.
    pub lineage: Lineage,
    /// The number of the last entry in it.
    pub serial: Serial,
    /// The server and account it belongs to; none before the first apply.
    pub binding: Option<Binding>,
    /// The command whose entries are being written.
    pub run: Option<Run>,
    records: BTreeMap<InstanceName, Record>,
    /// Of the attempts that are not closed.
    open: BTreeMap<AttemptId, InstanceName>,
    /// Of the instances that exist.
    ids: BTreeMap<InstanceId, InstanceName>,
    /// Of the listings that an open attempt refers to, and the newest.
    fences: BTreeMap<Serial, BTreeSet<InstanceId>>,
}

/// A command that changed the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Who ran it.
    pub who: Who,
    /// The machine's boot id.
    pub boot: Option<String>,
    /// When it began, on both clocks.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub begun: Option<Begun>,
}

/// The same moment on two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// On the clock that people set.
    pub at: Timestamp,
    /// Milliseconds since the machine started, suspended ones too.
    pub up: u64,
}

/// What is known of one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Our name.
    pub name: InstanceName,
    /// The type that it was tried or created with.
    pub kind: InstanceType,
    /// Where it stands.
    pub phase: Phase,
    /// How many attempts there were, open and closed.
    pub attempts: u32,
    /// An apply has shown it as no longer declared: no candidate for a rename any more.
    pub orphan_noted: bool,
}

/// Where a name stands. The table in `transition.rs` says what leads from one to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// No attempt is open: every one is closed as unsent, refused or not created.
    Absent {
        /// Why the last one was closed.
        closed: String,
    },
    /// About to try; nothing sent.
    Intent(Attempt),
    /// Sent, and no answer that proves anything. No further attempt may start.
    InDoubt(Attempt, Doubt),
    /// The raw answer is kept and not yet read.
    Received(Attempt, Serial),
    /// It exists.
    Created(Instance),
}

/// An open attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its id.
    pub id: AttemptId,
    /// The listing from just before it.
    pub fence: Option<Serial>,
    /// When the intent was written.
    pub since: Timestamp,
    /// The run that it belongs to.
    pub run: Option<Run>,
}

/// What is known of a doubt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// When the request may have left.
    pub since: Timestamp,
    /// What was seen; before anything was: that no answer was recorded.
    pub reason: String,
    /// The entry with an answer that could not be read as proof.
    pub answer: Option<Serial>,
}

/// An instance that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// The server's id.
    pub id: InstanceId,
    /// Its address, where known.
    pub api_url: Option<ApiUrl>,
    /// The journal entry that holds its token; none: the token is missing.
    pub token: Option<Serial>,
    /// When it was recorded.
    pub since: Timestamp,
}

impl State {
    /// A state before its first entry but for the genesis.
    pub fn new(lineage: Lineage, serial: Serial) -> Self {
        Self {
            lineage,
            serial,
            binding: None,
            run: None,
            records: BTreeMap::new(),
            open: BTreeMap::new(),
            ids: BTreeMap::new(),
            fences: BTreeMap::new(),
        }
    }

    /// Puts a state together from what an index kept of it.
    pub(crate) fn from_parts(parts: Parts) -> Self {
        let open = parts.records.values().filter_map(|record| Some((record.open_attempt()?.id.clone(), record.name.clone())));
        let ids = parts.records.values().filter_map(|record| Some((record.instance()?.id.clone(), record.name.clone())));
        Self {
            open: open.collect(),
            ids: ids.collect(),
            lineage: parts.lineage,
            serial: parts.serial,
            binding: parts.binding,
            run: parts.run,
            records: parts.records,
            fences: parts.fences,
        }
    }

    /// What an index keeps of it besides the records.
    pub(crate) fn fences(&self) -> &BTreeMap<Serial, BTreeSet<InstanceId>> {
        &self.fences
    }

    /// Every record, by name.
    pub fn records(&self) -> &BTreeMap<InstanceName, Record> {
        &self.records
    }

    /// The record of `name`.
    pub fn record(&self, name: &InstanceName) -> Option<&Record> {
        self.records.get(name)
    }

    /// The name that the attempt of `event` belongs to, while it is open.
    pub(crate) fn name_of_attempt(&self, event: &Event) -> Option<&InstanceName> {
        let (Event::Unsent { attempt, .. }
        | Event::Sent { attempt }
        | Event::Received { attempt, .. }
        | Event::Created { attempt, .. }
        | Event::Refused { attempt, .. }
        | Event::Doubted { attempt, .. }
        | Event::Resolved { attempt, .. }) = event
        else {
            return None;
        };
        self.open.get(attempt)
    }

    /// The ids that were listed just before `attempt`; none: there was no list.
    pub fn fence_of(&self, attempt: &Attempt) -> Option<&BTreeSet<InstanceId>> {
        self.fences.get(&attempt.fence?)
    }

    /// Every id that belongs to one of our names.
    pub fn known_ids(&self) -> &BTreeMap<InstanceId, InstanceName> {
        &self.ids
    }

    /// The records in doubt.
    pub fn doubts(&self) -> impl Iterator<Item = (&Record, &Attempt, &Doubt)> {
        self.records.values().filter_map(|record| {
            let Phase::InDoubt(attempt, doubt) = &record.phase else { return None };
            Some((record, attempt, doubt))
        })
    }
}

/// The pieces of a [`State`] as an index keeps them.
pub(crate) struct Parts {
    pub(crate) lineage: Lineage,
    pub(crate) serial: Serial,
    pub(crate) binding: Option<Binding>,
    pub(crate) run: Option<Run>,
    pub(crate) records: BTreeMap<InstanceName, Record>,
    pub(crate) fences: BTreeMap<Serial, BTreeSet<InstanceId>>,
}

impl Record {
    /// The attempt that is not closed, if there is one.
    pub fn open_attempt(&self) -> Option<&Attempt> {
        match &self.phase {
            Phase::Intent(attempt) | Phase::InDoubt(attempt, _) | Phase::Received(attempt, _) => Some(attempt),
            Phase::Absent { .. } | Phase::Created(_) => None,
        }
    }

    /// The instance, if it exists.
    pub fn instance(&self) -> Option<&Instance> {
        match &self.phase {
            Phase::Created(instance) => Some(instance),
            _ => None,
        }
    }

    /// The word for its phase in every output.
    pub fn status(&self) -> &'static str {
        match &self.phase {
            Phase::Absent { .. } => "absent",
            Phase::Intent(_) => "intent",
            Phase::InDoubt(..) => "in_doubt",
            Phase::Received(..) => "received",
            Phase::Created(Instance { token: None, .. }) => "token_missing",
            Phase::Created(_) => "created",
        }
    }
}
