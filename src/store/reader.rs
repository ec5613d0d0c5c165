//! Looking: reads a state without its lock and without writing, beside a writer, on a full or read-only disk.
//!
//! The index answers when it stands at the journal's last line; otherwise the journal is replayed. Both give the same state.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use super::file::{JOURNAL, check_lock, missing, witnesses};
use super::journal;
use super::place::{self, Purpose};
use super::{LockFile, StoreError, sled};
use crate::state::{Entry, Head, Serial, State};

/// How much of the journal's end is looked at for its last line.
const TAIL: u64 = 64 * 1_024;

/// Which copy answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The sled database.
    Index,
    /// The journal, replayed.
    Journal,
}

/// A state as it was at one moment.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The state.
    pub state: State,
    /// Its position.
    pub head: Head,
    /// Where it was read from.
    pub source: Source,
}

/// Reads the state in `dir`. [`StoreError::Absent`] if there is none and nothing says that there was one.
pub fn read(dir: &Path, lock: Option<&LockFile>) -> Result<Reading, StoreError> {
    place::check(dir, Purpose::Look)?;
    let indexed = sled::load(dir);
    let is_current =
        |head: Head| last_line(dir) == Some(head) && lock.is_none_or(|lock| !lock.records_anything() || lock.head() == head);
    match indexed {
        Some((state, head)) if is_current(head) => {
            check_lock(dir, &state, None, lock)?;
            Ok(Reading { state, head, source: Source::Index })
        }
        indexed => {
            let (state, head) = replay(dir, indexed.map(|(_, head)| head), lock)?;
            Ok(Reading { state, head, source: Source::Journal })
        }
    }
}

/// Whether there is a state in `dir`, in whatever shape.
pub fn has_state(dir: &Path) -> bool {
    let found = dir.join(JOURNAL).try_exists();
    // Where nobody may look there may be one: reading it says why not.
    found.unwrap_or_else(|error| error.kind() != ErrorKind::NotADirectory)
}

/// Reads entries of the journal in `dir` in one pass: tokens, or raw answers.
pub fn read_entries(dir: &Path, serials: &BTreeSet<Serial>) -> Result<BTreeMap<Serial, Entry>, StoreError> {
    place::check(dir, Purpose::Look)?;
    let path = dir.join(JOURNAL);
    let mut file = std::io::BufReader::new(File::open(&path).map_err(StoreError::io("open", &path))?);
    journal::find(&mut file, serials)
}

fn replay(dir: &Path, index: Option<Head>, lock: Option<&LockFile>) -> Result<(State, Head), StoreError> {
    let witnesses = witnesses(index, lock);
    let path = dir.join(JOURNAL);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(missing(dir, &witnesses)),
        Err(source) => return Err(StoreError::Io { action: "open", path, source }),
    };
    let mut reader = std::io::BufReader::with_capacity(1 << 18, file);
    let scan = journal::scan(&mut reader, &witnesses)?.ok_or_else(|| missing(dir, &witnesses))?;
    check_lock(dir, &scan.state, scan.checkpoint.as_ref(), lock)?;
    Ok((scan.state, scan.head))
}

/// The position that the journal's last line claims.
fn last_line(dir: &Path) -> Option<Head> {
    let mut file = File::open(dir.join(JOURNAL)).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail).ok()?;
    journal::claimed_head(&tail)
}
