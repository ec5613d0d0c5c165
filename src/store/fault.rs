//! A journal file that fails on demand and forgets at a power cut what was not synced. For tests.

use std::io::{self, BufRead};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::{DiskMedium, Medium};

/// What the disk does, and what it has seen; shared with the test.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// Bytes that still fit; none: no limit.
    pub(crate) room: Option<u64>,
    /// A sync reports an error.
    pub(crate) fails_sync: bool,
    /// A sync reports success and does nothing: the seeded defect "not fsynced".
    pub(crate) lies: bool,
    /// Bytes that would survive a power cut.
    pub(crate) durable: u64,
    /// Bytes written.
    pub(crate) written: u64,
}

/// The handle to a [`Disk`].
#[derive(Debug, Clone, Default)]
pub(crate) struct DiskControl(Arc<Mutex<Disk>>);

impl DiskControl {
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Disk) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The machine loses power: what was not synced is gone from the file at `path`.
    pub(crate) fn cut_power(&self, path: &Path) -> io::Result<()> {
        let durable = self.with(|disk| disk.durable);
        match std::fs::OpenOptions::new().write(true).open(path) {
            Ok(file) => file.set_len(durable.min(file.metadata()?.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// A [`DiskMedium`] under control.
#[derive(Debug)]
pub(crate) struct FaultMedium {
    inner: DiskMedium,
    control: DiskControl,
}

impl FaultMedium {
    pub(crate) fn open(path: &Path, make: bool, control: DiskControl) -> io::Result<Option<Self>> {
        let Some(inner) = DiskMedium::open(path, make)? else { return Ok(None) };
        let length = std::fs::metadata(path)?.len();
        control.with(|disk| (disk.durable, disk.written) = (length, length));
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
            disk.written += fits.len() as u64;
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
            disk.durable = disk.durable.min(length);
        });
        Ok(())
    }

    fn reserve(&mut self, _length: u64, bytes: u64) -> io::Result<()> {
        match self.control.with(|disk| disk.room) {
            Some(room) if room < bytes => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.control.with(|disk| {
            if disk.fails_sync {
                return Err(io::Error::other("the disk reports an error"));
            }
            if !disk.lies {
                disk.durable = disk.written;
            }
            Ok(())
        })
    }
}
