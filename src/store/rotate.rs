//! The journal's size is bounded: when it has grown it goes on in a new file that begins with a checkpoint, and the old one
//! stays as history, without its secrets.
//!
//! At no moment is there less than one complete journal: the history and the new journal are written beside the old one and
//! synced, then one rename puts the new one in its place. A crash before it leaves the old journal; files left over are
//! overwritten by the next try.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use jiff::Timestamp;

use super::checkpoint::{Snapshot, referred, too_long};
use super::file::{FileStore, JOURNAL, check_lock};
use super::{Behind, Hold, LockFile, StateStore, StoreError, disk, history, journal, sled};
use crate::seal::Recipients;
use crate::state::{Entry, Hash, Head, History, Record, Serial};

/// A journal shorter than this does not rotate by itself.
const ROTATED_FROM: u64 = 8 * 1_024 * 1_024;

/// What a rotation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    /// The old journal's bytes.
    pub before: u64,
    /// The new one's.
    pub after: u64,
}

/// Changes an entry that a checkpoint keeps: seals it anew.
pub type Reseal<'a> = dyn FnMut(&Record, Entry) -> Result<Entry, StoreError> + 'a;

impl FileStore {
    /// Whether the journal has grown to more than twice what it began with.
    pub(super) fn is_grown(&self) -> bool {
        self.length() > ROTATED_FROM.max(2 * self.base())
    }

    /// Goes on in a new journal. The state is the same, its serial grows; `reseal` may change what is kept of secrets.
    ///
    /// `recipients`: whom secrets are sealed to from now on, if that changes. One rename does it all: after an error there is the
    /// old journal or the new one, whole, and the store goes on with whichever it is.
    pub fn rotate(
        &mut self,
        at: Timestamp,
        recipients: Option<&Recipients>,
        reseal: &mut Reseal<'_>,
    ) -> Result<Rotated, StoreError> {
        self.sync()?;
        let before = self.length();
        let kept = self.kept(reseal)?;
        let dir = self.dir().to_owned();
        let after = self.head();
        let past = self.write_history(&dir, after)?;
        let mut snapshot = Snapshot::of(self.state(), after, &kept, Some(past));
        if let Some(recipients) = recipients {
            snapshot.checkpoint.recipients = recipients.clone();
        }
        let written = write_journal(&dir, snapshot, at);
        // The file that is open may have lost its name, even where an error is told.
        self.reopen()?;
        written?;
        Ok(Rotated { before, after: self.length() })
    }

    /// The state on its own, with what it refers to.
    pub fn snapshot(&mut self) -> Result<Snapshot, StoreError> {
        let kept = self.kept(&mut |_, entry| Ok(entry))?;
        Ok(Snapshot::of(self.state(), self.head(), &kept, None))
    }

    /// Rotates if the journal has grown. Whatever keeps it from that is told in the log: the old journal is as good.
    pub fn tidy(&mut self, at: Timestamp) {
        if !self.is_grown() {
            return;
        }
        match self.rotate(at, None, &mut |_, entry| Ok(entry)) {
            Ok(Rotated { before, after }) => tracing::info!(before, after, "the journal has been compacted"),
            Err(error) => tracing::warn!(%error, "the journal has grown and could not be compacted in full"),
        }
    }

    /// Begins a state in `dir` as `snapshot` has it, in the place of whatever journal stands there.
    pub fn restore(
        dir: &Path,
        mut hold: Hold,
        lock: Option<&LockFile>,
        snapshot: Snapshot,
        at: Timestamp,
    ) -> Result<Self, StoreError> {
        // Nobody writes into the one that is replaced.
        hold.take_journal(&dir.join(JOURNAL))?;
        let state = snapshot.state()?;
        check_lock(dir, &state, Some(&snapshot.checkpoint), lock)?;
        if let Some(head) = sled::head(dir).filter(|head| head.serial > snapshot.after().serial) {
            let (end, seen) = (snapshot.after().serial, head.serial);
            return Err(Behind::Older { witness: "the index that is there", end, seen }.into());
        }
        write_journal(dir, snapshot, at)?;
        Self::open(dir, hold, lock)
    }

    fn kept(&mut self, reseal: &mut Reseal<'_>) -> Result<BTreeMap<Serial, Entry>, StoreError> {
        let mut entries = self.entries(&referred(self.state()))?;
        let mut kept = BTreeMap::new();
        for record in self.state().records().values() {
            for serial in record.entries() {
                if let Some(entry) = entries.remove(&serial) {
                    kept.insert(serial, reseal(record, entry)?);
                }
            }
        }
        Ok(kept)
    }

    /// The journal without its secrets, as a file of the history.
    fn write_history(&self, dir: &Path, head: Head) -> Result<History, StoreError> {
        let mut reader = self.reader().map_err(StoreError::io("open", dir.join(JOURNAL)))?;
        history::write(dir, head.serial, &mut |put| journal::entries(&mut *reader, put).map(drop))
    }
}

/// Puts a journal that begins with `snapshot` in the place of the one in `dir`.
fn write_journal(dir: &Path, snapshot: Snapshot, at: Timestamp) -> Result<(), StoreError> {
    let path = dir.join(JOURNAL);
    let io = StoreError::io("write", &path);
    let mut serial = snapshot.after().serial;
    let mut hash = Hash::ZERO;
    let written = disk::replace_with(&path, 0o600, |to: &mut File| {
        let mut to = BufWriter::new(to);
        for event in snapshot.events() {
            serial = serial.next();
            let (line, next) = journal::encode(&Entry { serial, at, event }, hash)?;
            if line.len() as u64 >= journal::LINE_MAX {
                return Err(std::io::Error::other(too_long()));
            }
            hash = next;
            to.write_all(&line)?;
        }
        to.flush()
    });
    written.map_err(io)
}
