//! A journal file that fails on demand and forgets at a power cut what was not synced. For tests.

use std::io::{self, BufRead};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use fastrand::Rng;

use super::{DiskMedium, Medium};

/// What a disk writes at once or not at all.
const SECTOR: u64 = 512;

/// What the disk does, and what it has seen; shared with the test.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// Bytes that still fit; none: no limit.
    pub(crate) room: Option<u64>,
    /// A sync reports an error. What it was to write is called clean, and no later sync writes it.
    pub(crate) fails_sync: bool,
    /// So does the sync of this number, counted from 1, and no other.
    pub(crate) fails_sync_at: Option<u32>,
    /// A sync reports success and does nothing: the seeded defect "not fsynced".
    pub(crate) lies: bool,
    /// Syncs so far.
    pub(crate) syncs: u32,
    /// Bytes written.
    pub(crate) written: u64,
    /// The file's length after a power cut.
    size: u64,
    /// Written and not synced.
    dirty: Vec<Range<u64>>,
    /// Called clean by a sync that failed.
    lost: Vec<Range<u64>>,
    is_known: bool,
}

impl Disk {
    /// The bytes up to here survive a power cut.
    pub(crate) fn durable(&self) -> u64 {
        let at_stake = self.dirty.iter().chain(&self.lost).map(|range| range.start);
        at_stake.min().unwrap_or(self.written).min(self.written)
    }
}

/// What a power cut leaves of the bytes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tear {
    /// Nothing.
    Clean,
    /// Some sectors, some zeros, some bytes of somebody else's, drawn from this seed; and some of the length.
    Torn(u64),
}

/// The handle to a [`Disk`].
#[derive(Debug, Clone, Default)]
pub(crate) struct DiskControl(Arc<Mutex<Disk>>);

impl DiskControl {
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Disk) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The machine loses power: of what was not synced the file at `path` keeps what `tear` says. Gives the bytes that were at stake.
    pub(crate) fn cut_power(&self, path: &Path, tear: Tear) -> io::Result<u64> {
        let file = match std::fs::OpenOptions::new().write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        self.with(|disk| {
            let mut dice = Rng::with_seed(if let Tear::Torn(seed) = tear { seed } else { 0 });
            let grown = disk.written.saturating_sub(disk.size);
            let size = if tear == Tear::Clean { disk.size } else { disk.size + dice.u64(0..=grown) };
            let mut at_stake = 0;
            for range in &disk.dirty {
                at_stake += range.end - range.start;
                for sector in sectors(range) {
                    match dice.u8(0..3) {
                        0 if tear != Tear::Clean => {}
                        1 if tear != Tear::Clean => write_garbage(&file, &sector, &mut dice)?,
                        _ => file.write_all_at(&zeros(&sector), sector.start)?,
                    }
                }
            }
            for range in &disk.lost {
                file.write_all_at(&zeros(range), range.start)?;
            }
            file.set_len(size.min(disk.written))?;
            *disk = Disk { room: disk.room, ..Disk::default() };
            Ok(at_stake)
        })
    }
}

/// The parts of `range` that lie in one sector each.
fn sectors(range: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let (start, end) = (range.start, range.end);
    (start / SECTOR..end.div_ceil(SECTOR)).map(move |sector| start.max(sector * SECTOR)..end.min((sector + 1) * SECTOR))
}

fn zeros(range: &Range<u64>) -> Vec<u8> {
    vec![0; usize::try_from(range.end - range.start).unwrap()]
}

fn write_garbage(file: &std::fs::File, range: &Range<u64>, dice: &mut Rng) -> io::Result<()> {
    let mut bytes = zeros(range);
    dice.fill(&mut bytes);
    file.write_all_at(&bytes, range.start)
}

/// What of `ranges` is outside of `cut`.
fn without(ranges: &[Range<u64>], cut: &Range<u64>) -> Vec<Range<u64>> {
    let parts = |range: &Range<u64>| [range.start..range.end.min(cut.start), range.start.max(cut.end)..range.end];
    ranges.iter().flat_map(parts).filter(|range| range.start < range.end).collect()
}

/// A [`DiskMedium`] under control.
#[derive(Debug)]
pub(crate) struct FaultMedium {
    inner: DiskMedium,
    control: DiskControl,
}

impl FaultMedium {
    /// What an earlier process wrote and did not sync stays unsynced.
    pub(crate) fn open(path: &Path, make: bool, control: DiskControl) -> io::Result<Option<Self>> {
        let Some(inner) = DiskMedium::open(path, make)? else { return Ok(None) };
        let length = std::fs::metadata(path)?.len();
        control.with(|disk| {
            if !std::mem::replace(&mut disk.is_known, true) {
                (disk.size, disk.written) = (length, length);
            }
        });
        Ok(Some(Self { inner, control }))
    }
}

impl Medium for FaultMedium {
    fn reader(&self) -> io::Result<Box<dyn BufRead + '_>> {
        self.inner.reader()
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let room = self.control.with(|disk| disk.room).map_or(usize::MAX, |room| usize::try_from(room).unwrap_or(usize::MAX));
        let fits = &bytes[..room.min(bytes.len())];
        self.inner.append(fits)?;
        self.control.with(|disk| {
            let end = disk.written + fits.len() as u64;
            disk.dirty.push(disk.written..end);
            disk.written = end;
            disk.room = disk.room.map(|room| room - fits.len() as u64);
        });
        if fits.len() < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.inner.cut(length)?;
        self.control.with(|disk| {
            let freed = disk.written.saturating_sub(length);
            disk.room = disk.room.map(|room| room + freed);
            disk.written = length;
            disk.size = disk.size.min(length);
            disk.dirty = without(&disk.dirty, &(length..u64::MAX));
            disk.lost = without(&disk.lost, &(length..u64::MAX));
        });
        Ok(())
    }

    fn reserve(&mut self, _length: u64, bytes: u64) -> io::Result<()> {
        match self.control.with(|disk| disk.room) {
            Some(room) if room < bytes => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    fn renew(&mut self, from: u64, to: u64) -> io::Result<()> {
        self.inner.renew(from, to)?;
        self.control.with(|disk| {
            let whole = from..to;
            let again = without(&disk.lost, &(0..from))
                .iter()
                .flat_map(|range| without(std::slice::from_ref(range), &(to..u64::MAX)))
                .collect::<Vec<_>>();
            disk.lost = without(&disk.lost, &whole);
            disk.dirty.extend(again);
        });
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.control.with(|disk| {
            disk.syncs += 1;
            if disk.fails_sync || disk.fails_sync_at == Some(disk.syncs) {
                let dirty = std::mem::take(&mut disk.dirty);
                disk.lost.extend(dirty);
                return Err(io::Error::other("the disk reports an error"));
            }
            if !disk.lies {
                disk.dirty.clear();
                disk.size = disk.written;
            }
            Ok(())
        })
    }
}
