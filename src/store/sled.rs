//! The index: the only file that names sled. What plan and the queries read, at a cost that does not grow with history.
//!
//! sled 0.34.7 is kept at arm's length, because of what was measured of it: its `flush` does not fsync, a kill while it opens
//! leaves a `snap.*.generating` that makes every later open fail, it panics on some damage and silently forgets records on
//! other, and it may wait for ever after a write that failed. So: it holds nothing that the journal does not have, and no
//! secret; half-written snapshots are removed under our lock; panics are caught; it is waited for only so long; what was written is
//! read again, and its file is fsynced by us; the content is counted and summed, and what does not add up, or does not stand at the
//! journal's head, is not used.

mod block;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::ops::{Bound, RangeBounds as _};
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use ::sled::IVec;
use block::BlockError;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::failpoint;
use crate::instance::{InstanceId, InstanceName};
use crate::seal::Recipients;
use crate::state::{Binding, FORMAT, Head, Lineage, Parts, Record, Run, Serial, State};

pub(super) const DIR: &str = "index";
const META: &[u8] = b"meta";
/// Before the name of a block's first record.
const BLOCK: &[u8] = b"block/";
/// Greater than the key of any block, and less than any other key behind them.
const BEHIND_BLOCKS: &[u8] = b"block0";
/// Before the name of a record that is a value of its own, as earlier versions wrote them.
const RECORD: &[u8] = b"record/";
/// How records lie in it now; 0: each as a value of its own.
const LAYOUT: u32 = 1;
/// Space is made for as many records at once, and no more: the count is only as good as the file.
const FORESEEN_MAX: usize = 1 << 20;
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
    #[serde(default)]
    layout: u32,
    lineage: Lineage,
    recipients: Recipients,
    binding: Option<Binding>,
    run: Option<Arc<Run>>,
    fences: BTreeMap<Serial, BTreeSet<InstanceId>>,
    count: u64,
    sum: Sum,
}

/// An order-free sum over blocks, so that one changed block costs one addition and one subtraction.
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
    #[error(transparent)]
    Block(#[from] BlockError),
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
    existing(dir, |path| guarded(path, read))
}

fn read(db: &::sled::Db) -> Result<Option<(State, Head)>, Unusable> {
    let Some(meta) = meta(db)? else { return Ok(None) };
    let records = records(db, &meta)?;
    let Meta { head, format, lineage, recipients, binding, run, fences, .. } = meta;
    let parts = Parts { lineage, serial: head.serial, format, binding, run, recipients, records, fences };
    Ok(Some((State::from_parts(parts), head)))
}

/// Every record, in one of the two layouts.
fn records(db: &::sled::Db, meta: &Meta) -> Result<BTreeMap<InstanceName, Record>, Unusable> {
    let prefix = if meta.layout == LAYOUT { BLOCK } else { RECORD };
    let mut rows = Vec::with_capacity(usize::try_from(meta.count).unwrap_or(0).min(FORESEEN_MAX));
    let mut sum = Sum::default();
    for pair in db.scan_prefix(prefix) {
        let (key, value) = pair?;
        sum = sum.plus(Sum::of(&key, &value));
        if meta.layout == LAYOUT {
            block::decode(&value, |record| rows.push((record.name.clone(), record)))?;
        } else {
            let record: Record = serde_json::from_slice(&value)?;
            rows.push((record.name.clone(), record));
        }
    }
    let count = rows.len() as u64;
    let records: BTreeMap<_, _> = rows.into_iter().collect();
    if sum != meta.sum || count != meta.count || records.len() as u64 != count {
        return Err(Unusable::Content("its records do not add up"));
    }
    Ok(records)
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
    db.get(META)?.map(|value| Meta::from_value(&value)).transpose()
}

impl Meta {
    fn of(state: &State, head: Head, sum: Sum) -> Self {
        Self {
            head,
            format: state.format,
            layout: LAYOUT,
            lineage: state.lineage.clone(),
            recipients: state.recipients.clone(),
            binding: state.binding.clone(),
            run: state.run.clone(),
            fences: state.fences().clone(),
            count: state.records().len() as u64,
            sum,
        }
    }

    /// Its JSON behind the SHA-256 of that.
    fn to_value(&self) -> Result<Vec<u8>, Unusable> {
        let json = serde_json::to_vec(self)?;
        Ok([digest(&SHA256, &json).as_ref(), &json].concat())
    }

    fn from_value(value: &[u8]) -> Result<Self, Unusable> {
        let (sum, json) = value.split_at_checked(32).ok_or(Unusable::Content("its head is cut"))?;
        if digest(&SHA256, json).as_ref() != sum {
            return Err(Unusable::Content("its head is damaged"));
        }
        let meta: Self = serde_json::from_slice(json)?;
        if meta.format > FORMAT || meta.layout > LAYOUT {
            return Err(Unusable::Content("a newer version wrote it"));
        }
        Ok(meta)
    }
}

fn write_all(db: &::sled::Db, state: &State, head: Head) -> Result<(), Unusable> {
    db.clear()?;
    let mut change = Change::default();
    change.put(&state.records().values().collect::<Vec<_>>())?;
    change.finish(db, state, head)
}

/// Writes anew the blocks in which the records of `names` stand or will stand.
fn write_some(db: &::sled::Db, state: &State, head: Head, names: &BTreeSet<InstanceName>) -> Result<(), Unusable> {
    let before = meta(db)?.filter(|meta| meta.layout == LAYOUT).ok_or(Unusable::Content("there is nothing to go on from"))?;
    let mut change = Change { sum: before.sum, ..Change::default() };
    let mut names = names.iter().peekable();
    while let Some(name) = names.next() {
        let stretch = Stretch::around(db, name)?;
        if !stretch.holds(name) {
            return Err(Unusable::Content("its blocks are not in the order of their names"));
        }
        while names.next_if(|name| stretch.holds(name)).is_some() {}
        change.replace(&stretch, state)?;
    }
    change.finish(db, state, head)
}

/// The names from one block's first up to the next one's; the first block has all before it too.
struct Stretch {
    from: Bound<InstanceName>,
    upto: Bound<InstanceName>,
    /// Its key and value.
    block: Option<(IVec, IVec)>,
}

impl Stretch {
    fn around(db: &::sled::Db, name: &InstanceName) -> Result<Self, Unusable> {
        let own = db.range(BLOCK.to_vec()..=key(name)).next_back().transpose()?;
        let is_first = own.as_ref().is_none_or(|(own, _)| db.range(BLOCK..own).next_back().is_none());
        let block = match own {
            None => db.scan_prefix(BLOCK).next().transpose()?,
            own => own,
        };
        let Some((first, _)) = &block else { return Ok(Self { from: Bound::Unbounded, upto: Bound::Unbounded, block }) };
        let next = db.range::<&[u8], _>((Bound::Excluded(first.as_ref()), Bound::Excluded(BEHIND_BLOCKS))).next().transpose()?;
        let from = if is_first { Bound::Unbounded } else { Bound::Included(named(first)?) };
        let upto = next.map_or(Ok(Bound::Unbounded), |(next, _)| named(&next).map(Bound::Excluded))?;
        Ok(Self { from, upto, block })
    }

    fn holds(&self, name: &InstanceName) -> bool {
        (self.from.as_ref(), self.upto.as_ref()).contains(name)
    }
}

/// What is to be written, and the sum that the blocks have then.
#[derive(Default)]
struct Change {
    batch: ::sled::Batch,
    sum: Sum,
}

impl Change {
    /// Puts the records of `state` in the place of those that stand in `stretch`.
    fn replace(&mut self, stretch: &Stretch, state: &State) -> Result<(), Unusable> {
        if let Some((key, value)) = &stretch.block {
            self.sum = self.sum.minus(Sum::of(key, value));
            self.batch.remove(key);
        }
        let bounds = (stretch.from.as_ref(), stretch.upto.as_ref());
        self.put(&state.records().range(bounds).map(|(_, record)| record).collect::<Vec<_>>())
    }

    fn put(&mut self, records: &[&Record]) -> Result<(), Unusable> {
        let rows = if records.len() < 2 * block::ROWS { records.len().max(1) } else { block::ROWS };
        for records in records.chunks(rows) {
            let Some(first) = records.first() else { continue };
            let (key, value) = (key(&first.name), block::encode(records.iter().copied())?);
            self.sum = self.sum.plus(Sum::of(&key, &value));
            self.batch.insert(key, value);
        }
        Ok(())
    }

    fn finish(mut self, db: &::sled::Db, state: &State, head: Head) -> Result<(), Unusable> {
        self.batch.insert(META, Meta::of(state, head, self.sum).to_value()?);
        db.apply_batch(self.batch)?;
        db.flush()?;
        Ok(failpoint::at("index-flushed")?)
    }
}

fn key(name: &InstanceName) -> Vec<u8> {
    [BLOCK, name.as_str().as_bytes()].concat()
}

/// The name that the block with this key begins with.
fn named(key: &[u8]) -> Result<InstanceName, Unusable> {
    let name = key.strip_prefix(BLOCK).and_then(|name| std::str::from_utf8(name).ok()).map(InstanceName::parse);
    name.and_then(Result::ok).ok_or(Unusable::Content("a block has no name"))
}

/// Makes what sled wrote durable, and private: its own flush leaves the one to the kernel, its own opening the other. Large values are
/// files in a directory below.
fn sync(path: &Path) -> std::io::Result<()> {
    for file in fs::read_dir(path)?.flatten() {
        let kind = file.file_type()?;
        if kind.is_dir() {
            sync(&file.path())?;
        } else if kind.is_file() {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600))?;
            File::open(file.path())?.sync_all()?;
        }
    }
    super::disk::sync_dir(path)
}

#[cfg(test)]
mod tests;
