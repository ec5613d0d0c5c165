//! A state as the beginning of a journal: what [`super::FileStore`] writes when a journal has grown, and what an export holds.
//!
//! A checkpoint names the position that it goes on from, and everything that is still referred to stands in it: the records,
//! the fences of open attempts and the newest one, and the entries with a token or an answer that is not concluded. What it leaves out is history.

use std::collections::{BTreeMap, BTreeSet};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::instance::InstanceId;
use crate::state::{Checkpoint, Entry, Event, FORMAT, Hash, Head, History, Record, Serial, State};

/// The version of an export.
const VERSION: u32 = 1;
/// Far beyond what any journal can hold.
const SERIAL_MAX: u64 = 1 << 53;

/// A state on its own, complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Its beginning.
    pub checkpoint: Checkpoint,
    /// The listings that open attempts refer to, and the newest: it says which instances of others were seen.
    pub fences: BTreeMap<Serial, BTreeSet<InstanceId>>,
    /// The records.
    pub records: Vec<Restored>,
}

/// One record with the entries that it refers to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restored {
    /// The record.
    pub record: Record,
    /// The entries.
    pub kept: Vec<Entry>,
}

/// The entries that a state refers to.
pub fn referred(state: &State) -> BTreeSet<Serial> {
    state.records().values().flat_map(Record::entries).collect()
}

impl Snapshot {
    /// `state` at `after`; `kept` holds the entries that it refers to ([`referred`]).
    pub fn of(state: &State, after: Head, kept: &BTreeMap<Serial, Entry>, history: Option<History>) -> Self {
        let used = state.used_fences();
        let fences: BTreeMap<_, _> =
            state.fences().iter().filter(|(serial, _)| used.contains(serial)).map(|(at, ids)| (*at, ids.clone())).collect();
        let records: Vec<_> = state
            .records()
            .values()
            .map(|record| Restored {
                record: record.clone(),
                kept: record.entries().filter_map(|serial| kept.get(&serial).cloned()).collect(),
            })
            .collect();
        let checkpoint = Checkpoint {
            format: FORMAT,
            lineage: state.lineage.clone(),
            after,
            entries: (fences.len() + records.len()) as u64,
            binding: state.binding.clone(),
            run: state.run.clone(),
            recipients: state.recipients.clone(),
            lost: None,
            history,
        };
        Self { checkpoint, fences, records }
    }

    /// The events that begin a journal with it.
    pub(super) fn events(self) -> impl Iterator<Item = Event> {
        let fences = self.fences.into_iter();
        let fences = fences.map(|(serial, ids)| Event::RestoredFence { serial, ids: ids.into_iter().collect() });
        let records = self.records.into_iter().map(|Restored { record, kept }| Event::Restored { record, kept });
        std::iter::once(Event::Checkpoint(self.checkpoint)).chain(fences).chain(records)
    }

    /// The state that it makes, read as its journal will be: its format, its entries and their order.
    pub fn state(&self) -> Result<State, StoreError> {
        let Checkpoint { format, after, .. } = &self.checkpoint;
        if *format > FORMAT {
            return Err(StoreError::Newer { found: *format, known: FORMAT });
        }
        let damaged = |why: &str| StoreError::Damaged { line: 1, why: why.to_owned() };
        if after.serial.0 > SERIAL_MAX {
            return Err(damaged("its serial is larger than any that was written"));
        }
        let mut state = State::from_checkpoint(&self.checkpoint, after.serial.next());
        for (event, line) in self.clone().events().skip(1).zip(2..) {
            let entry = Entry { serial: state.serial.next(), at: jiff::Timestamp::UNIX_EPOCH, event };
            state.apply(&entry).map_err(|source| StoreError::Inconsistent { line, source })?;
        }
        if state.is_incomplete() { Err(damaged("it is not complete")) } else { Ok(state) }
    }

    /// The position before it.
    pub fn after(&self) -> Head {
        self.checkpoint.after
    }
}

/// A state as one JSON document, with a sum over its content. Sealed texts stay sealed in it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    #[serde(rename = "chatapi_export")]
    version: u32,
    /// SHA-256 of the state's compact JSON.
    sum: Hash,
    state: Snapshot,
}

/// Why a text is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It is something else.
    #[error("it is no export of a state")]
    Content(#[from] serde_json::Error),
    /// A later version wrote it.
    #[error("a newer version of chatapi exported it (version {0}, this one knows {VERSION})")]
    Newer(u32),
    /// Its bytes are not what was written.
    #[error("it was changed: its content does not match its sum")]
    Changed,
}

impl Export {
    /// `state` with its sum.
    pub fn new(state: Snapshot) -> Result<Self, ExportError> {
        Ok(Self { version: VERSION, sum: sum(&state)?, state })
    }

    /// Reads and verifies an export.
    pub fn read(text: &[u8]) -> Result<Snapshot, ExportError> {
        #[derive(Deserialize)]
        struct Version {
            #[serde(rename = "chatapi_export")]
            version: u32,
        }
        let Version { version } = serde_json::from_slice(text)?;
        if version > VERSION {
            return Err(ExportError::Newer(version));
        }
        let export: Self = serde_json::from_slice(text)?;
        if sum(&export.state)? == export.sum { Ok(export.state) } else { Err(ExportError::Changed) }
    }
}

fn sum(state: &Snapshot) -> Result<Hash, serde_json::Error> {
    let hash = digest(&SHA256, &serde_json::to_vec(state)?);
    let mut sum = Hash::ZERO;
    sum.0.copy_from_slice(hash.as_ref());
    Ok(sum)
}

/// A checkpoint that a journal cannot hold, because one line of it is too long.
pub(super) fn too_long() -> StoreError {
    let why = std::io::Error::new(std::io::ErrorKind::InvalidInput, "an entry is longer than a line may be");
    StoreError::Io { action: "write", path: super::file::JOURNAL.into(), source: why }
}
