//! The store on disk: journal first, index last.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::journal::{self, Medium, Scan, Witness};
use super::{ANSWER_SPACE, Behind, DiskMedium, Hold, LockFile, StateStore, StoreError, disk, history, sled};
use crate::failpoint::{self, Stage};
use crate::instance::InstanceName;
use crate::state::{AttemptId, Checkpoint, Entry, Event, FORMAT, Head, Illegal, Lineage, Phase, Serial, State};

pub(super) const JOURNAL: &str = "journal.jsonl";
/// What the entries besides the answers may take, and then some.
const MARGIN: u64 = 256 * 1_024;
const THE_LOCK_FILE: &str = "the lock file";

/// The state directory, held by this process.
#[derive(Debug)]
pub struct FileStore {
    dir: PathBuf,
    medium: Box<dyn Medium>,
    state: State,
    head: Head,
    length: u64,
    /// Of those, bytes of the checkpoint that it begins with.
    base: u64,
    checkpoint: Option<Checkpoint>,
    /// Where the index stands.
    indexed: Option<Head>,
    /// Records that the index does not have as they are; none: it has to be rebuilt.
    unindexed: Option<BTreeSet<InstanceName>>,
    /// Attempts of this process whose answer may still come. Those of earlier ones are never answered any more.
    awaited: BTreeSet<AttemptId>,
    unsynced: bool,
    broken: bool,
    hold: Hold,
}

impl FileStore {
    /// Opens the state in `dir`, verifying all of it against itself, its index and the lock file.
    pub fn open(dir: &Path, mut hold: Hold, lock: Option<&LockFile>) -> Result<Self, StoreError> {
        hold.take_journal(&dir.join(JOURNAL))?;
        Self::open_on(dir, hold, lock, plain(dir, false)?)
    }

    /// Opens the state in `dir`, or begins a new one where there is none and nothing says that there was.
    pub fn open_or_begin(
        dir: &Path,
        mut hold: Hold,
        lock: Option<&LockFile>,
        lineage: Lineage,
        at: Timestamp,
    ) -> Result<Self, StoreError> {
        hold.take_journal(&dir.join(JOURNAL))?;
        match Self::find(dir, lock, plain(dir, false)?) {
            Ok((medium, scan, index)) => Self::resume(dir, hold, medium, scan, index),
            Err(StoreError::Absent(_)) => Self::begin(dir, hold, lineage, at),
            Err(error) => Err(error),
        }
    }

    /// [`FileStore::open`] with the journal's bytes elsewhere than in a plain file.
    pub(crate) fn open_on(
        dir: &Path,
        hold: Hold,
        lock: Option<&LockFile>,
        medium: Option<Box<dyn Medium>>,
    ) -> Result<Self, StoreError> {
        let (medium, scan, index) = Self::find(dir, lock, medium)?;
        Self::resume(dir, hold, medium, scan, index)
    }

    fn find(dir: &Path, lock: Option<&LockFile>, medium: Option<Box<dyn Medium>>) -> Result<Found, StoreError> {
        sled::clear_half_written(dir);
        failpoint::at("half-cleared").map_err(StoreError::io("open", dir))?;
        let index = sled::head(dir);
        let witnesses = witnesses(index, lock);
        let Some(medium) = medium else { return Err(missing(dir, &witnesses)) };
        let scan = {
            let mut reader = medium.reader().map_err(StoreError::io("read", dir.join(JOURNAL)))?;
            journal::scan(&mut *reader, &witnesses)?
        };
        let Some(scan) = scan else { return Err(missing(dir, &witnesses)) };
        check_lock(dir, &scan.state, scan.checkpoint.as_ref(), lock)?;
        Ok((medium, scan, index))
    }

    fn resume(dir: &Path, hold: Hold, medium: Box<dyn Medium>, scan: Scan, index: Option<Head>) -> Result<Self, StoreError> {
        let is_current = index == Some(scan.head);
        tracing::debug!(serial = %scan.head.serial, bytes = scan.length, is_current, "opened the journal and its index");
        let mut store = Self {
            dir: dir.to_owned(),
            medium,
            state: scan.state,
            head: scan.head,
            length: scan.length,
            base: scan.base,
            checkpoint: scan.checkpoint,
            indexed: index,
            unindexed: is_current.then(BTreeSet::new),
            awaited: BTreeSet::new(),
            // The process that wrote the last entries may have died before it synced them.
            unsynced: true,
            broken: false,
            hold,
        };
        if scan.torn > 0 {
            tracing::warn!(bytes = scan.torn, "dropping the part of an entry that a cut-short write left");
            let cut = failpoint::at("torn-found").and_then(|()| store.medium.cut(store.length));
            cut.and_then(|()| failpoint::at("torn-cut")).map_err(StoreError::io("shorten", dir.join(JOURNAL)))?;
        }
        if scan.lacks_newline {
            store.medium.append(b"\n").map_err(StoreError::io("write", dir.join(JOURNAL)))?;
            store.length += 1;
        }
        if !is_current {
            store.vouch(scan.vouched).map_err(StoreError::io("sync", dir.join(JOURNAL)))?;
        }
        failpoint::at("state-opened").map_err(StoreError::io("open", dir))?;
        Ok(store)
    }

    /// The run before this one did not end in order: some of what is read here may be in the page cache only, and after a failed
    /// sync even called clean. Nothing is built on it before it is durable.
    fn vouch(&mut self, from: u64) -> std::io::Result<()> {
        self.medium.renew(from, self.length)?;
        failpoint::at("tail-renewed")?;
        self.medium.sync()?;
        disk::sync_path(&self.dir)?;
        self.unsynced = false;
        Ok(())
    }

    /// Begins a new state in `dir`, which has none.
    pub(crate) fn begin(dir: &Path, mut hold: Hold, lineage: Lineage, at: Timestamp) -> Result<Self, StoreError> {
        let medium = plain(dir, true)?.ok_or_else(|| StoreError::Absent(dir.to_owned()))?;
        hold.take_journal(&dir.join(JOURNAL))?;
        Self::begin_on(dir, hold, medium, lineage, at)
    }

    /// [`FileStore::begin`] with the journal's bytes elsewhere than in a plain file.
    pub(crate) fn begin_on(
        dir: &Path,
        hold: Hold,
        mut medium: Box<dyn Medium>,
        lineage: Lineage,
        at: Timestamp,
    ) -> Result<Self, StoreError> {
        let has_begun = {
            let mut reader = medium.reader().map_err(StoreError::io("read", dir.join(JOURNAL)))?;
            journal::scan(&mut *reader, &[])?.is_some()
        };
        if has_begun {
            return Err(StoreError::Refused(Illegal::Genesis));
        }
        let path = dir.join(JOURNAL);
        let genesis = Entry { serial: Serial(1), at, event: Event::Genesis { format: FORMAT, lineage: lineage.clone() } };
        let (line, hash) = encode(&genesis, Head::START)?;
        let written = failpoint::entry(Stage::Before, "genesis").and_then(|()| medium.cut(0)).and_then(|()| medium.append(&line));
        let written = written.and_then(|()| failpoint::entry(Stage::Written, "genesis")).and_then(|()| medium.sync());
        written.and_then(|()| failpoint::entries_synced()).map_err(StoreError::io("write", &path))?;
        let listed = disk::sync_dir(dir).and_then(|()| failpoint::at("genesis-listed"));
        listed.map_err(StoreError::io("sync", dir))?;
        Ok(Self {
            dir: dir.to_owned(),
            medium,
            state: State::new(lineage, Serial(1), FORMAT),
            head: Head { serial: Serial(1), hash },
            length: line.len() as u64,
            base: line.len() as u64,
            checkpoint: None,
            indexed: None,
            unindexed: None,
            awaited: BTreeSet::new(),
            unsynced: false,
            broken: false,
            hold,
        })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    pub(super) const fn base(&self) -> u64 {
        self.base
    }

    /// The checkpoint that the journal begins with, if it is not the first of its state.
    pub const fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref()
    }

    pub(super) fn reader(&self) -> std::io::Result<Box<dyn std::io::BufRead + '_>> {
        self.medium.reader()
    }

    /// Goes on with the journal that has been put in the old one's place.
    pub(super) fn reopen(&mut self) -> Result<(), StoreError> {
        // Nothing may be written into the old one any more, whatever happens here.
        self.broken = true;
        let missing = || StoreError::Absent(self.dir.clone());
        self.hold.take_journal(&self.dir.join(JOURNAL))?;
        let medium = plain(&self.dir, false)?.ok_or_else(missing)?;
        let scan = {
            let mut reader = medium.reader().map_err(StoreError::io("read", self.dir.join(JOURNAL)))?;
            journal::scan(&mut *reader, &[Witness { name: "the journal before it", head: self.head, lineage: None }])?
                .ok_or_else(missing)?
        };
        self.medium = medium;
        (self.state, self.head, self.length) = (scan.state, scan.head, scan.length);
        (self.base, self.checkpoint) = (scan.base, scan.checkpoint);
        self.unindexed = None;
        self.broken = false;
        Ok(())
    }

    fn reserve(&mut self, event: &Event) -> Result<(), StoreError> {
        if !matches!(event, Event::Intent { .. }) {
            return Ok(());
        }
        let answers = self.awaited.len() as u64 + 1;
        let space = self.medium.reserve(self.length, answers * ANSWER_SPACE + MARGIN);
        let space = space.and_then(|()| failpoint::at("space-reserved"));
        space.map_err(StoreError::io("reserve space in", self.dir.join(JOURNAL)))
    }

    /// After a failed write: back to the last intact line, on disk and in memory. Where that fails too, the store is broken.
    fn undo(&mut self) {
        self.broken = true;
        let Ok(()) = self.medium.cut(self.length) else { return };
        let again = self.medium.reader().ok().and_then(|mut reader| journal::scan(&mut *reader, &[]).ok().flatten());
        if let Some(scan) = again.filter(|scan| scan.head == self.head) {
            self.state = scan.state;
            self.broken = false;
            // The cut gave back what was reserved for those in flight. If it is gone by now, their answers must do without.
            let answers = self.awaited.len() as u64;
            let _ = self.medium.reserve(self.length, answers * ANSWER_SPACE + MARGIN);
        }
    }

    /// Keeps in mind what the index does not have yet, and whose answer may still come.
    fn mark(&mut self, event: &Event, touched: Vec<InstanceName>) {
        match event {
            Event::Intent { attempt, .. } => drop(self.awaited.insert(attempt.clone())),
            Event::Unsent { attempt, .. } | Event::Received { attempt, .. } | Event::Doubted { attempt, .. } => {
                self.awaited.remove(attempt);
            }
            _ => {}
        }
        if let Some(names) = &mut self.unindexed {
            names.extend(touched);
        }
    }
}

impl StateStore for FileStore {
    fn state(&self) -> &State {
        &self.state
    }

    fn head(&self) -> Head {
        self.head
    }

    fn append(&mut self, event: Event, at: Timestamp) -> Result<Serial, StoreError> {
        if self.broken {
            return Err(StoreError::Broken);
        }
        if self.state.format < FORMAT && event.format().is_none() {
            self.append(Event::Format { format: FORMAT }, at)?;
        }
        self.reserve(&event)?;
        let touched = self.state.touched(&event);
        let entry = Entry { serial: self.head.serial.next(), at, event };
        let (line, hash) = encode(&entry, self.head)?;
        if line.len() as u64 >= journal::LINE_MAX {
            let too_long = std::io::Error::new(std::io::ErrorKind::InvalidInput, "the entry is longer than a line may be");
            return Err(StoreError::io("write", self.dir.join(JOURNAL))(too_long));
        }
        self.state.apply(&entry).map_err(StoreError::Refused)?;
        self.unsynced = true;
        let word = entry.event.word();
        let written = failpoint::entry(Stage::Before, word).and_then(|()| self.medium.append(&line));
        if let Err(source) = written.and_then(|()| failpoint::entry(Stage::Written, word)) {
            self.undo();
            return Err(StoreError::Io { action: "write", path: self.dir.join(JOURNAL), source });
        }
        tracing::trace!(serial = %entry.serial, event = word, bytes = line.len(), "appended");
        self.mark(&entry.event, touched);
        self.length += line.len() as u64;
        self.head = Head { serial: entry.serial, hash };
        Ok(entry.serial)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        if self.broken {
            return Err(StoreError::Broken);
        }
        if self.unsynced {
            let synced = self.medium.sync().and_then(|()| failpoint::entries_synced());
            // After a failed fsync the kernel may call the lost pages clean: a second one would lie.
            self.broken = synced.is_err();
            synced.map_err(StoreError::io("sync", self.dir.join(JOURNAL)))?;
            tracing::trace!(serial = %self.head.serial, "synced");
            self.unsynced = false;
        }
        Ok(())
    }

    fn entries(&mut self, serials: &BTreeSet<Serial>) -> Result<BTreeMap<Serial, Entry>, StoreError> {
        let mut reader = self.medium.reader().map_err(StoreError::io("read", self.dir.join(JOURNAL)))?;
        journal::find(&mut *reader, serials)
    }

    fn close(mut self: Box<Self>) -> Result<(), StoreError> {
        self.sync()?;
        failpoint::pass("closing");
        if let Err(error) = self.medium.cut(self.length) {
            tracing::warn!(%error, "cannot give reserved space back");
        }
        let Self { dir, state, head, indexed, unindexed, hold, .. } = *self;
        if indexed != Some(head) {
            sled::update(&dir, state, head, unindexed);
            failpoint::pass("index-updated");
        }
        // Kept until here: the index has one writer too.
        drop(hold);
        Ok(())
    }
}

/// A journal's bytes, what they hold, and where the index stands.
type Found = (Box<dyn Medium>, Scan, Option<Head>);

/// The journal as a plain file.
fn plain(dir: &Path, make: bool) -> Result<Option<Box<dyn Medium>>, StoreError> {
    let path = dir.join(JOURNAL);
    let medium = DiskMedium::open(&path, make).map_err(StoreError::io("open", path))?;
    Ok(medium.map(|medium| Box::new(medium) as Box<dyn Medium>))
}

fn encode(entry: &Entry, head: Head) -> Result<(Vec<u8>, crate::state::Hash), StoreError> {
    journal::encode(entry, head.hash).map_err(|error| StoreError::io("encode for", JOURNAL)(error.into()))
}

pub(super) fn witnesses(index: Option<Head>, lock: Option<&LockFile>) -> Vec<Witness> {
    let index = index.map(|head| Witness { name: "its own index", head, lineage: None });
    let seen = |lock: &LockFile| Witness { name: THE_LOCK_FILE, head: lock.head(), lineage: Some(lock.lineage.clone()) };
    let lock = lock.filter(|lock| lock.records_anything()).map(seen);
    index.into_iter().chain(lock).collect()
}

/// Why there is nothing in `dir`: a fresh start, unless something says that there was more.
pub(super) fn missing(dir: &Path, witnesses: &[Witness]) -> StoreError {
    match witnesses.last() {
        None => StoreError::Absent(dir.to_owned()),
        Some(witness) => Behind::missing(dir, witness).into(),
    }
}

/// Whether the lock file is this state's.
pub(super) fn check_lineage(state: &State, lock: Option<&LockFile>) -> Result<(), StoreError> {
    match lock.filter(|lock| lock.records_anything() && lock.lineage != state.lineage) {
        Some(lock) => {
            let (found, expected) = (state.lineage.clone(), lock.lineage.clone());
            Err(Behind::Other { witness: THE_LOCK_FILE, found, expected }.into())
        }
        None => Ok(()),
    }
}

/// Whether `state`, whose journal begins after `checkpoint`, is the one that the lock file belongs to.
///
/// A lock file from before the checkpoint is not contradicted by any line of the journal, and not vouched for either: its position
/// is looked up in the history, or else everything that it names has to be known.
pub(super) fn check_lock(
    dir: &Path,
    state: &State,
    checkpoint: Option<&Checkpoint>,
    lock: Option<&LockFile>,
) -> Result<(), StoreError> {
    let Some(lock) = lock.filter(|lock| lock.records_anything()) else { return Ok(()) };
    let lacking = |why| Err(Behind::Lacking { witness: THE_LOCK_FILE, why }.into());
    check_lineage(state, Some(lock))?;
    // Whatever else vouches for it: a lock file may have been merged by hand, its head from one side and its names from both.
    if let Some((name, instance)) = lock.known().find(|(_, instance)| !state.known_ids().contains_key(&instance.id)) {
        let is_held = state.record(name).is_some_and(|record| record.open_attempt().is_some());
        if !is_held {
            return lacking(format!("`{name}` exists as {}, and the state does not know it", instance.id));
        }
    }
    let Some(checkpoint) = checkpoint.filter(|checkpoint| lock.serial < checkpoint.after.serial) else { return Ok(()) };
    match history::hash_at(dir, checkpoint, lock.serial) {
        Some(hash) if hash == lock.head => return Ok(()),
        Some(_) => return Err(Behind::Apart { witness: THE_LOCK_FILE, at: lock.serial }.into()),
        None => {}
    }
    // Nothing proves that the state has all that the lock file saw: then every name in it has to be taken.
    let is_free = |name: &&InstanceName| state.record(name).is_none_or(|record| matches!(record.phase, Phase::Absent { .. }));
    match lock.known().map(|(name, _)| name).chain(lock.in_doubt.keys()).find(is_free) {
        Some(name) => lacking(format!("`{name}` may exist, and the state does not know it")),
        None => Ok(()),
    }
}
