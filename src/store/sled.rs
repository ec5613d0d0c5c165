//! The index: the only file that names sled. What plan and the queries read, at a cost that does not grow with history.
//!
//! sled 0.34.7 is kept at arm's length, because of what was measured of it: its `flush` does not fsync, a kill while it opens
//! leaves a `snap.*.generating` that makes every later open fail, it panics on some damage and silently forgets records on
//! other, and it may wait for ever after a write that failed. So: it holds nothing that the journal does not have, and no
//! secret; half-written snapshots are removed under our lock; panics are caught; it is waited for only so long; what was written is
//! read again, and its file is fsynced by us; the content is counted and summed, and what does not add up, or does not stand at the
//! journal's head, is not used.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::failpoint;
use crate::instance::{InstanceId, InstanceName};
use crate::seal::Recipients;
use crate::state::{Binding, FORMAT, Head, Lineage, Parts, Record, Run, Serial, State};

pub(super) const DIR: &str = "index";
const META: &[u8] = b"meta";
const RECORD: &[u8] = b"record/";
/// Its own cache; the default is 1 GiB.
const CACHE: u64 = 16 * 1_024 * 1_024;
/// A write that fails may leave sled waiting for ever for its own thread. Whatever it does for us takes far less.
const BOUND: Duration = Duration::from_secs(15);

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside sled, where a panic is caught and means no more than "rebuild the index". A panic hook may
/// keep quiet then.
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// Everything but the records, with the count and sum of those.
#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    head: Head,
    format: u32,
    lineage: Lineage,
    recipients: Recipients,
    binding: Option<Binding>,
    run: Option<Run>,
    fences: BTreeMap<Serial, BTreeSet<InstanceId>>,
    count: u64,
    sum: Sum,
}

/// An order-free sum over records, so that one changed record costs one addition and one subtraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Sum(u64, u64);

impl Sum {
    fn of(key: &[u8], value: &[u8]) -> Self {
        let mut both = Vec::with_capacity(key.len() + value.len() + 1);
        both.extend_from_slice(key);
        both.push(0);
        both.extend_from_slice(value);
        let hash = digest(&SHA256, &both);
        let word =
            |at: usize| hash.as_ref().get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
        Self(word(0), word(8))
    }

    fn plus(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0), self.1.wrapping_add(other.1))
    }

    fn minus(self, other: Self) -> Self {
        Self(self.0.wrapping_sub(other.0), self.1.wrapping_sub(other.1))
    }
}

/// Why an index was not used. Never an error to a user: the journal has everything.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Sled(#[from] ::sled::Error),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Content(&'static str),
    #[error("sled panicked")]
    Panic,
    #[error("sled did not come back within {BOUND:?}")]
    Stuck,
}

/// The journal position that the index in `dir` stands at. For a writer: waits a little for a reader who has it open.
pub(super) fn head(dir: &Path) -> Option<Head> {
    existing(dir, |path| patient(path, |db| Ok(meta(db)?.map(|meta| meta.head))))
}

/// The state as the index in `dir` has it, if it is whole.
pub(super) fn load(dir: &Path) -> Option<(State, Head)> {
    let read = |db: &::sled::Db| {
        let Some(meta) = meta(db)? else { return Ok(None) };
        let mut records = BTreeMap::new();
        let mut sum = Sum::default();
        for pair in db.scan_prefix(RECORD) {
            let (key, value) = pair?;
            sum = sum.plus(Sum::of(&key, &value));
            let record: Record = serde_json::from_slice(&value)?;
            records.insert(record.name.clone(), record);
        }
        if sum != meta.sum || records.len() as u64 != meta.count {
            return Err(Unusable::Content("its records do not add up"));
        }
        let Meta { head, format, lineage, recipients, binding, run, fences, .. } = meta;
        let parts = Parts { lineage, serial: head.serial, format, binding, run, recipients, records, fences };
        Ok(Some((State::from_parts(parts), head)))
    };
    existing(dir, |path| guarded(path, read))
}

/// Brings the index to `head`: the records of `names`, or all of them anew.
///
/// A reader may have the database open for some milliseconds: that is waited for, a little. What does not work out in the end
/// leaves an index that lags, and a lagging index is not used.
pub(super) fn update(dir: &Path, state: State, head: Head, names: Option<BTreeSet<InstanceName>>) {
    let path = dir.join(DIR);
    let state = Arc::new(state);
    let all = {
        let state = Arc::clone(&state);
        move |db: &::sled::Db| write_all(db, &state, head)
    };
    let every = all.clone();
    let written = patient(&path, move |db| match &names {
        Some(names) => write_some(db, &state, head, names).or_else(|_| every(db)),
        None => every(db),
    });
    // Opening it once more writes the snapshot that a reader's opening would write otherwise, and shows whether it kept what it
    // took: after a kill sled may take everything and give back what was there before. sled lets go of its files some moments
    // after it is dropped, so that this may have to wait for ourselves.
    let kept = move |db: &::sled::Db| match meta(db)? {
        Some(meta) if meta.head == head => Ok(()),
        _ => Err(Unusable::Content("it does not keep what is written")),
    };
    let done = match written.and_then(|()| patient(&path, kept)) {
        Err(error) if !is_busy(&error) && !matches!(error, Unusable::Stuck) => {
            fs::remove_dir_all(&path).map_err(Unusable::Io).and_then(|()| {
                tracing::debug!(%error, "the index is built anew");
                failpoint::pass("index-removed");
                patient(&path, all).and_then(|()| patient(&path, kept))
            })
        }
        done => done,
    };
    let settled = done.and_then(|()| Ok(sync(&path)?));
    if let Err(error) = settled {
        tracing::warn!(%error, "the index could not be brought up to date; the journal is read instead");
    }
}

/// [`guarded`], again and again for two seconds while another process has the database open.
fn patient<T: Send + 'static>(
    path: &Path,
    work: impl Fn(&::sled::Db) -> Result<T, Unusable> + Clone + Send + 'static,
) -> Result<T, Unusable> {
    let give_up = Instant::now() + Duration::from_secs(2);
    loop {
        match guarded(path, work.clone()) {
            Err(error) if is_busy(&error) && Instant::now() < give_up => std::thread::park_timeout(Duration::from_millis(5)),
            done => return done,
        }
    }
}

/// sled says only in its words that another process has the database.
fn is_busy(error: &Unusable) -> bool {
    matches!(error, Unusable::Sled(::sled::Error::Io(error)) if error.to_string().contains("could not acquire lock"))
}

/// Removes what a kill while opening leaves behind. Only under the writer's lock.
pub(super) fn clear_half_written(dir: &Path) {
    let Ok(files) = fs::read_dir(dir.join(DIR)) else { return };
    for file in files.flatten() {
        if file.file_name().to_string_lossy().ends_with(".generating") {
            tracing::debug!("removing a half-written snapshot of the index");
            // If it stays, the index does not open and the journal is read.
            let _ = fs::remove_file(file.path());
        }
    }
}

fn existing<T>(dir: &Path, open: impl FnOnce(&Path) -> Result<Option<T>, Unusable>) -> Option<T> {
    let path = dir.join(DIR);
    if !path.join("db").exists() {
        return None;
    }
    open(&path).unwrap_or_else(|error| {
        tracing::debug!(%error, "the index is not used");
        None
    })
}

/// Opens, works and closes in a thread of its own, which is left behind if it does not come back.
fn guarded<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&::sled::Db) -> Result<T, Unusable> + Send + 'static,
) -> Result<T, Unusable> {
    let path = path.to_owned();
    within(BOUND, move || caught(&path, work))
}

/// Works in a thread that is waited for no longer than `bound`.
fn within<T: Send + 'static>(
    bound: Duration,
    work: impl FnOnce() -> Result<T, Unusable> + Send + 'static,
) -> Result<T, Unusable> {
    let (tell, told) = channel();
    std::thread::Builder::new().name("index".to_owned()).spawn(move || tell.send(work()))?;
    told.recv_timeout(bound).unwrap_or(Err(Unusable::Stuck))
}

/// Opens, works and closes with every panic caught.
fn caught<T>(path: &Path, work: impl FnOnce(&::sled::Db) -> Result<T, Unusable>) -> Result<T, Unusable> {
    GUARDED.set(true);
    let done = catch_unwind(AssertUnwindSafe(|| {
        let db = ::sled::Config::new().path(path).cache_capacity(CACHE).flush_every_ms(None).open()?;
        work(&db)
    }));
    GUARDED.set(false);
    done.unwrap_or(Err(Unusable::Panic))
}

fn meta(db: &::sled::Db) -> Result<Option<Meta>, Unusable> {
    let Some(value) = db.get(META)? else { return Ok(None) };
    let (sum, json) = value.split_at_checked(32).ok_or(Unusable::Content("its head is cut"))?;
    if digest(&SHA256, json).as_ref() != sum {
        return Err(Unusable::Content("its head is damaged"));
    }
    let meta: Meta = serde_json::from_slice(json)?;
    if meta.format > FORMAT {
        return Err(Unusable::Content("a newer version wrote it"));
    }
    Ok(Some(meta))
}

fn write_all(db: &::sled::Db, state: &State, head: Head) -> Result<(), Unusable> {
    db.clear()?;
    let mut batch = ::sled::Batch::default();
    let mut sum = Sum::default();
    for record in state.records().values() {
        let (key, value) = pair(record)?;
        sum = sum.plus(Sum::of(&key, &value));
        batch.insert(key, value);
    }
    finish(db, batch, state, head, sum)
}

fn write_some(db: &::sled::Db, state: &State, head: Head, names: &BTreeSet<InstanceName>) -> Result<(), Unusable> {
    let before = meta(db)?.ok_or(Unusable::Content("it is empty"))?;
    let mut batch = ::sled::Batch::default();
    let mut sum = before.sum;
    for name in names {
        let key = key(name);
        if let Some(old) = db.get(&key)? {
            sum = sum.minus(Sum::of(&key, &old));
        }
        if let Some(record) = state.record(name) {
            let (key, value) = pair(record)?;
            sum = sum.plus(Sum::of(&key, &value));
            batch.insert(key, value);
        } else {
            batch.remove(key);
        }
    }
    finish(db, batch, state, head, sum)
}

fn finish(db: &::sled::Db, mut batch: ::sled::Batch, state: &State, head: Head, sum: Sum) -> Result<(), Unusable> {
    let meta = Meta {
        head,
        format: state.format,
        lineage: state.lineage.clone(),
        recipients: state.recipients.clone(),
        binding: state.binding.clone(),
        run: state.run.clone(),
        fences: state.fences().clone(),
        count: state.records().len() as u64,
        sum,
    };
    let json = serde_json::to_vec(&meta)?;
    let mut value = digest(&SHA256, &json).as_ref().to_vec();
    value.extend_from_slice(&json);
    batch.insert(META, value);
    db.apply_batch(batch)?;
    db.flush()?;
    Ok(failpoint::at("index-flushed")?)
}

fn key(name: &InstanceName) -> Vec<u8> {
    [RECORD, name.as_str().as_bytes()].concat()
}

fn pair(record: &Record) -> Result<(Vec<u8>, Vec<u8>), Unusable> {
    Ok((key(&record.name), serde_json::to_vec(record)?))
}

/// Makes what sled wrote durable, and private: its own flush leaves the one to the kernel, its own opening the other.
fn sync(path: &Path) -> std::io::Result<()> {
    for file in fs::read_dir(path)?.flatten() {
        if file.file_type()?.is_file() {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600))?;
            File::open(file.path())?.sync_all()?;
        }
    }
    super::disk::sync_dir(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files of an index that a kill has left: sled 0.34.7 takes what is written to it without an error, and gives back what
    /// was there before.
    #[test]
    fn an_index_that_does_not_keep_what_is_written_is_built_anew() {
        let dir = tempfile::tempdir().unwrap();
        let index = dir.path().join(DIR);
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/index-forgetful");
        fs::create_dir(&index).unwrap();
        fs::create_dir(index.join("blobs")).unwrap();
        for file in fs::read_dir(kept).unwrap().flatten() {
            fs::copy(file.path(), index.join(file.file_name())).unwrap();
        }
        // As long as sled makes it; what is left out of the kept file is zeros.
        fs::OpenOptions::new().write(true).open(index.join("db")).unwrap().set_len(524_287).unwrap();
        let before = head(dir.path()).unwrap();
        assert_eq!(before.serial, Serial(21));
        let state = State::new(Lineage::from_bytes([7; 16]), Serial(40), FORMAT);
        let now = Head { serial: Serial(40), hash: before.hash };
        update(dir.path(), state.clone(), now, None);
        assert_eq!(load(dir.path()), Some((state, now)));
    }

    #[test]
    fn p13_an_index_that_never_comes_back_is_not_waited_for() {
        let (_never, comes) = channel::<()>();
        let stuck = within(Duration::from_millis(20), move || comes.recv().map_err(|_| Unusable::Panic));
        assert!(matches!(stuck, Err(Unusable::Stuck)));
        assert_eq!(within(BOUND, || Ok(7)).unwrap(), 7);
    }
}
