//! A disk that loses, tears and lies, and the journal on it.

use std::io::{self, BufRead, Cursor};
use std::sync::Arc;

use super::world::{Hit, World};
use crate::instance::InstanceName;
use crate::store::Medium;

const SECTOR: usize = 512;

/// A file's bytes, and whose name each stretch of them is about.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    /// Where an entry ends, and the name that it is about.
    pub(super) log: Vec<(usize, Option<InstanceName>)>,
}

impl Content {
    fn cut(&mut self, length: usize) {
        self.bytes.truncate(length);
        self.log.retain(|(end, _)| *end <= length);
    }

    /// Entries in it.
    pub(super) fn lines(&self) -> u64 {
        self.bytes.split(|byte| *byte == b'\n').count() as u64 - 1
    }

    /// What every entry is about that `self` has and `other` has not.
    pub(super) fn lost_in(&self, other: &Self) -> Vec<Option<InstanceName>> {
        let common = common(&self.bytes, &other.bytes);
        self.log.iter().filter(|(end, _)| *end > common).map(|(_, name)| name.clone()).collect()
    }
}

fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The journal's file.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// What a process reads; none: there is no file.
    pub(super) written: Option<Content>,
    /// What outlives a power cut for certain.
    pub(super) durable: Option<Content>,
    /// What the disk has said would outlive one.
    pub(super) claimed: Option<Content>,
    /// Bytes that still fit; none: no limit.
    pub(super) room: Option<usize>,
}

impl Disk {
    pub(super) fn content(&mut self) -> &mut Content {
        self.written.get_or_insert_default()
    }

    /// What is there after the power was cut: what is durable, or some of what came after it.
    pub(super) fn cut_power(&mut self, dice: &mut fastrand::Rng, reorders: bool) {
        let written = self.written.take();
        let survivor = match (&self.durable, written) {
            (None, None) => None,
            (None, Some(_)) if dice.bool() => None,
            (durable, Some(written)) => Some(tear(durable.as_ref(), written, dice, reorders)),
            (Some(durable), None) => Some(durable.clone()),
        };
        self.durable.clone_from(&survivor);
        self.written = survivor;
    }
}

fn tear(durable: Option<&Content>, mut written: Content, dice: &mut fastrand::Rng, reorders: bool) -> Content {
    let empty = Content::default();
    let durable = durable.unwrap_or(&empty);
    let kept = common(&durable.bytes, &written.bytes);
    let until = dice.usize(kept..=written.bytes.len());
    match dice.u32(0..6) {
        0 => return durable.clone(),
        1 => return written,
        // At a sector's end.
        2 => written.cut((until / SECTOR * SECTOR).max(kept)),
        // The length is kept and the bytes are not: zeros at the end.
        3 => {
            let length = written.bytes.len();
            written.cut(until);
            written.bytes.resize(length, 0);
        }
        // New bytes over the old ones, whose length is kept.
        4 if durable.bytes.len() > until => {
            written.cut(until);
            written.bytes.extend_from_slice(&durable.bytes[until..]);
        }
        _ => written.cut(until),
    }
    if reorders {
        let sectors = kept.div_ceil(SECTOR)..written.bytes.len().div_ceil(SECTOR);
        for sector in sectors.filter(|_| dice.bool()).collect::<Vec<_>>() {
            let end = ((sector + 1) * SECTOR).min(written.bytes.len());
            written.bytes[sector * SECTOR..end].fill(0);
        }
    }
    written
}

/// The journal as one process has it open.
#[derive(Debug)]
pub(super) struct SimMedium {
    world: Arc<World>,
    process: usize,
}

impl SimMedium {
    pub(super) fn open(world: &Arc<World>, process: usize, make: bool) -> Option<Box<dyn Medium>> {
        let exists = world.with(|inner| {
            if make {
                inner.disk.content();
            }
            inner.disk.written.is_some()
        });
        exists.then(|| Box::new(Self { world: Arc::clone(world), process }) as Box<dyn Medium>)
    }
}

fn dead() -> io::Error {
    io::Error::other("the process is dead")
}

impl Medium for SimMedium {
    fn reader(&self) -> io::Result<Box<dyn BufRead + '_>> {
        let bytes = self.world.with(|inner| inner.disk.written.as_ref().map(|content| content.bytes.clone()));
        Ok(Box::new(Cursor::new(bytes.unwrap_or_default())))
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.world.with(|inner| {
            let hit = inner.step(self.process, "append");
            if hit == Hit::Dead {
                return Err(dead());
            }
            let room = inner.disk.room.map_or(bytes.len(), |room| room.min(bytes.len()));
            let fits = match hit {
                Hit::Dies => inner.dice.usize(0..=room),
                Hit::Dead | Hit::Goes if inner.fails() => inner.dice.usize(0..bytes.len()).min(room),
                Hit::Dead | Hit::Goes => room,
            };
            inner.disk.content().bytes.extend_from_slice(&bytes[..fits]);
            if let Some(room) = &mut inner.disk.room {
                *room -= fits;
            }
            match hit {
                Hit::Dies => Err(dead()),
                _ if fits < bytes.len() => Err(io::ErrorKind::StorageFull.into()),
                _ => Ok(()),
            }
        })
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.world.with(|inner| {
            if inner.step(self.process, "cut") == Hit::Dead {
                return Err(dead());
            }
            if inner.fails() {
                return Err(io::Error::other("the disk reports an error"));
            }
            inner.disk.content().cut(usize::try_from(length).unwrap());
            if inner.is_dead(self.process) { Err(dead()) } else { Ok(()) }
        })
    }

    fn reserve(&mut self, _length: u64, _bytes: u64) -> io::Result<()> {
        self.world.with(|inner| {
            let is_full = inner.disk.room.is_some_and(|room| room < 2_000) || inner.fails();
            if is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        })
    }

    /// What a sync takes to the disk here is always all of it.
    fn renew(&mut self, _from: u64, _to: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.world.with(|inner| {
            match inner.step(self.process, "sync") {
                Hit::Dead => return Err(dead()),
                // In the middle of it: all of it may be there, or nothing.
                Hit::Dies if inner.dice.bool() => return Err(dead()),
                Hit::Dies | Hit::Goes => {}
            }
            if inner.fails() {
                return Err(io::Error::other("the disk reports an error"));
            }
            let lies = inner.chance.lies && inner.dice.u32(0..3) == 0;
            if !lies {
                inner.disk.durable.clone_from(&inner.disk.written);
            }
            if inner.is_dead(self.process) {
                return Err(dead());
            }
            inner.disk.claimed.clone_from(&inner.disk.written);
            Ok(())
        })
    }
}
