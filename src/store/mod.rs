//! Where a state is kept: the port [`StateStore`] and its two implementations, on disk and in memory.
//!
//! On disk the truth is an append-only, hash-chained journal with its own fsyncs; a sled database beside it is an index that
//! can be rebuilt from the journal at any time, and is whenever it is missing, lagging, damaged or panics. Nothing outside this
//! folder knows that either exists. Nothing inside it knows what a server is.
//!
//! ```text
//! state/
//!   journal.jsonl   the truth: one JSON entry a line, each with the hash of all before it
//!   history/        earlier journals, without their secrets
//!   index/          sled; holds no secret
//!   outputs.json    which outputs an apply has promised and delivered; no secret
//!   lock            held by the one writer, and says who that is
//!   emulator/       what the embedded emulator created (written by `emulator`, not by this module)
//! ```

mod behind;
#[cfg(test)]
mod care_tests;
mod checkpoint;
#[cfg(test)]
mod conformance;
mod disk;
#[cfg(test)]
pub(crate) mod fault;
mod file;
#[cfg(test)]
mod format_tests;
mod history;
mod hold;
mod journal;
mod lockfile;
mod memory;
#[cfg(test)]
mod model_tests;
mod place;
mod reader;
mod receipts;
mod relearn;
mod rotate;
mod salvage;
mod sled;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

use jiff::Timestamp;

pub use behind::Behind;
pub use checkpoint::{Export, ExportError, Restored, Snapshot, referred};
pub use disk::DiskMedium;
pub(crate) use disk::{is_stream, make_beside, make_new, probe, replace, sync_dir};
pub use file::FileStore;
pub use history::{Past, history};
pub use hold::{Hold, Holder, writer};
pub use journal::{Medium, Witness};
pub use lockfile::{LockFile, LockFileError, LockedDoubt, LockedInstance};
pub use memory::MemoryStore;
pub use place::{Hazard, check_file_system, is_of_state};
pub use reader::{Reading, Source, has_state, read, read_entries};
pub use receipts::{Delivered, Receipt, Receipts};
pub use rotate::{Reseal, Rotated};
pub use salvage::{Reads, Salvage, salvage};
pub use sled::is_guarded as is_index_guarded;
pub use verify::{Finding, Severity, old_journals, verify};

use crate::state::{Entry, Event, Head, Illegal, Serial, State};

/// The space kept free for one open attempt: its answer of at most 1 MiB as base64, and its small entries.
pub const ANSWER_SPACE: u64 = 1_536 * 1_024;

/// What keeps a state. One writer at a time; every method blocks until it is done.
pub trait StateStore: Send {
    /// The state as of the last appended entry.
    fn state(&self) -> &State;

    /// The position of the last appended entry.
    fn head(&self) -> Head;

    /// Writes `event` as the next entry. It is durable only after [`StateStore::sync`].
    ///
    /// An [`Event::Intent`] is taken only when [`ANSWER_SPACE`] is reserved for it and for every other attempt of this process that may still be answered. After an
    /// error the state is as before and the store takes further entries, unless the error is [`StoreError::Broken`].
    fn append(&mut self, event: Event, at: Timestamp) -> Result<Serial, StoreError>;

    /// Makes everything appended durable. A failure is final: no further entry is taken.
    fn sync(&mut self) -> Result<(), StoreError>;

    /// Reads the entry `serial` again.
    fn entry(&mut self, serial: Serial) -> Result<Entry, StoreError> {
        self.entries(&BTreeSet::from([serial]))?.remove(&serial).ok_or(StoreError::NoEntry(serial))
    }

    /// Reads these entries again, in one pass. [`StoreError::NoEntry`] if one of them is not there.
    fn entries(&mut self, serials: &BTreeSet<Serial>) -> Result<BTreeMap<Serial, Entry>, StoreError>;

    /// Syncs, brings the index up to date and lets go of the state. What an index cannot take is no error: it is rebuilt later.
    fn close(self: Box<Self>) -> Result<(), StoreError>;
}

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// The verb: `open`, `write`, …
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may have changed it, or may do so, or it is not what it seems.
    #[error("{} is not safe to use: {why}", .path.display())]
    Unsafe {
        /// The directory, or a file in it.
        path: PathBuf,
        /// What is wrong with it.
        why: Hazard,
    },
    /// There is no state here.
    #[error("there is no state in {}", .0.display())]
    Absent(PathBuf),
    /// Another process is the writer.
    #[error("the state in {} is locked by {holder}", .path.display())]
    Locked {
        /// The state directory.
        path: PathBuf,
        /// Who has it.
        holder: Box<Holder>,
    },
    /// The journal's bytes are not what was written.
    #[error("the journal is damaged at line {line}: {why}")]
    Damaged {
        /// From 1.
        line: u64,
        /// What is wrong.
        why: String,
    },
    /// The journal has a step that no version would have written.
    #[error("the journal is damaged at line {line}")]
    Inconsistent {
        /// From 1.
        line: u64,
        /// The step.
        source: Illegal,
    },
    /// The state lacks what a copy of its head elsewhere proves.
    #[error(transparent)]
    Behind(#[from] Behind),
    /// A later version wrote it.
    #[error("the state was written by a newer version of chatapi (format {found}, this one knows {known})")]
    Newer {
        /// The state's format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// The entry does not fit the state. Nothing was written.
    #[error("the entry does not fit the state")]
    Refused(#[source] Illegal),
    /// An earlier write or sync failed; nothing more is written, so that nothing is built on it.
    #[error("the store takes no further entries after a failed write")]
    Broken,
    /// There is no such entry.
    #[error("entry {0} is not in the journal")]
    NoEntry(Serial),
    /// The list of promised outputs cannot be read: something may be owed, and nobody knows what. Nothing is wrong with the state.
    #[error("the list of owed outputs, {}, cannot be used: {why}", .path.display())]
    Receipts {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl StoreError {
    /// Whether the disk, a quota or a file size limit is exhausted.
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge))
    }

    /// Whether the state itself is missing, damaged, older or newer than it should be: nothing may be created from it.
    pub fn is_untrustworthy(&self) -> bool {
        matches!(
            self,
            Self::Absent(_) | Self::Damaged { .. } | Self::Inconsistent { .. } | Self::Behind { .. } | Self::Newer { .. }
        )
    }

    fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
