//! The state: what was created, what is being tried, what is in doubt. A pure value that only [`State::apply`] changes.
//!
//! It holds no secret. A token or a raw answer is named by the [`Serial`] of the journal entry that has it, so that printing
//! or indexing a state cannot leak one. It knows nothing of files, clocks or the network.

mod checkpoint;
mod copy_on_write;
mod event;
mod fences;
mod identity;
mod kept;
mod record;
mod replacement;
mod table;
mod touched;
mod transition;
#[cfg(test)]
mod transition_tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use checkpoint::{Checkpoint, History};
use copy_on_write::CopyOnWrite;
pub use event::{Entry, Event, FORMAT, Grounds, Verdict, Who};
pub use identity::{AttemptId, Binding, Hash, Head, KeyFingerprint, Lineage, Origin, PlanId, Serial};
pub use kept::{Answer, KeptAnswer, KeptBody, KeptSecret, Outline, about_answer, about_token};
pub use record::{Attempt, Doubt, Former, Instance, Phase, Record, Retirement, TokenAt};
pub use transition::Illegal;

use crate::instance::{InstanceId, InstanceName};
use crate::seal::Recipients;

/// Everything known of one lineage, as of one serial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Who it is.
    pub lineage: Lineage,
    /// The number of the last entry in it.
    pub serial: Serial,
    /// The newest format in it.
    pub format: u32,
    /// The server and account it belongs to; none before the first apply.
    pub binding: Option<Binding>,
    /// The command whose entries are being written.
    pub run: Option<Arc<Run>>,
    /// Whom secrets are sealed to; none: they are kept in the clear.
    pub recipients: Recipients,
    /// Entries of a checkpoint that are still to come; 0 but for the time in which one is read.
    restoring: u64,
    /// A look at a state clones it: that has to cost nothing, however many records there are.
    records: CopyOnWrite<BTreeMap<InstanceName, Record>>,
    /// Of the attempts that are not closed.
    open: BTreeMap<AttemptId, InstanceName>,
    /// Of the instances that exist.
    ids: CopyOnWrite<BTreeMap<InstanceId, InstanceName>>,
    /// Of the former ones: whose they were.
    former_ids: BTreeMap<InstanceId, InstanceName>,
    /// Of the listings that an open attempt refers to, the newest, and those since an open attempt that show what the newest does not.
    fences: CopyOnWrite<BTreeMap<Serial, BTreeSet<InstanceId>>>,
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
    /// How many instances there were to be after the last run that created any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub aim: Option<u64>,
}

/// The same moment on two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// On the clock that people set.
    pub at: Timestamp,
    /// Milliseconds since the machine started, suspended ones too.
    pub up: u64,
}

impl State {
    /// A state before its first entry but for the genesis.
    pub fn new(lineage: Lineage, serial: Serial, format: u32) -> Self {
        Self {
            lineage,
            serial,
            format,
            binding: None,
            run: None,
            recipients: Recipients::none(),
            restoring: 0,
            records: CopyOnWrite::default(),
            open: BTreeMap::new(),
            ids: CopyOnWrite::default(),
            former_ids: BTreeMap::new(),
            fences: CopyOnWrite::default(),
        }
    }

    /// Puts a state together from what an index kept of it.
    pub(crate) fn from_parts(parts: Parts) -> Self {
        let open = parts.records.values().filter_map(|record| Some((record.open_id()?.clone(), record.name.clone())));
        let ids = parts.records.values().filter_map(|record| Some((record.id()?.clone(), record.name.clone())));
        let former_ids =
            parts.records.values().flat_map(|record| record.former.iter().map(|former| (former.id.clone(), record.name.clone())));
        Self {
            open: open.collect(),
            ids: ids.collect::<BTreeMap<_, _>>().into(),
            former_ids: former_ids.collect(),
            lineage: parts.lineage,
            serial: parts.serial,
            format: parts.format,
            binding: parts.binding,
            run: parts.run,
            recipients: parts.recipients,
            restoring: 0,
            records: parts.records.into(),
            fences: parts.fences.into(),
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
        let attempt = event
            .attempt()
            .filter(|_| !matches!(event, Event::Intent { .. } | Event::AdoptedDoubt { .. } | Event::Retiring { .. }))?;
        self.open.get(attempt)
    }

    /// The ids of the instances that are managed, and so must be in a list that can be believed.
    pub fn managed_ids(&self) -> impl Iterator<Item = &InstanceId> {
        self.records.values().filter_map(|record| record.instance().map(|instance| &instance.id))
    }

    /// Every id that belongs to one of our names, released ones too: none of them is a stranger.
    pub fn known_ids(&self) -> &BTreeMap<InstanceId, InstanceName> {
        &self.ids
    }

    /// What was recorded as deleted, and whose name has had another since: each with the record of that name.
    pub fn former(&self) -> impl Iterator<Item = (&Former, &Record)> {
        self.records.values().flat_map(|record| record.former.iter().map(move |former| (former, record)))
    }

    /// The name that had `id` before, where that was recorded as deleted and the name has had another since.
    pub(crate) fn former_owner(&self, id: &InstanceId) -> Option<&InstanceName> {
        self.former_ids.get(id)
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
    pub(crate) format: u32,
    pub(crate) binding: Option<Binding>,
    pub(crate) run: Option<Arc<Run>>,
    pub(crate) recipients: Recipients,
    pub(crate) records: BTreeMap<InstanceName, Record>,
    pub(crate) fences: BTreeMap<Serial, BTreeSet<InstanceId>>,
}
