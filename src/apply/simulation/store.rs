//! The real store on the simulated disk: it tells the oracle what is written, dies with its process, and takes seeded defects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::Defect;
use super::world::World;
use crate::state::{Entry, Event, Head, Serial, State};
use crate::store::{FileStore, StateStore, StoreError};

pub(super) struct SimStore {
    inner: FileStore,
    world: Arc<World>,
    process: usize,
    /// Entries that a defect keeps back.
    held: Vec<Event>,
    /// A defect leaves the next sync out.
    skips_sync: bool,
}

impl SimStore {
    pub(super) fn new(inner: FileStore, world: &Arc<World>, process: usize) -> Self {
        world.with(|world| {
            world.writers += 1;
            if world.writers > 1 {
                world.violation(format!("P6: {} processes write at once", world.writers));
            }
        });
        Self { inner, world: Arc::clone(world), process, held: Vec::new(), skips_sync: false }
    }

    pub(super) fn inner(&mut self) -> &mut FileStore {
        &mut self.inner
    }

    fn write(&mut self, event: &Event, at: Timestamp) -> Result<Serial, StoreError> {
        let start = self.world.with(|world| {
            if let Event::Resolved { attempt, verdict, grounds } = event
                && grounds.by != "operator"
            {
                world.check_rule(self.process, attempt, verdict, self.inner.state());
            }
            if let Event::Retired { attempt, .. } = event {
                world.check_retired(self.process, attempt, self.inner.state());
            }
            self.skips_sync = matches!(
                (world.chance.defect, event),
                (Some(Defect::SentNotSynced), Event::Sent { .. }) | (Some(Defect::RetireSentNotSynced), Event::RetireSent { .. })
            );
            world.disk.content().bytes.len()
        });
        let written = self.inner.append(event.clone(), at);
        self.world.with(|world| {
            let bytes = &world.disk.content().bytes;
            // Who dies while it writes may have written all of it.
            let line = bytes.get(start..).unwrap_or_default();
            let is_whole = written.is_ok() || line.ends_with(b"\"}") || line.ends_with(b"\"}\n");
            let end = bytes.len();
            if is_whole {
                world.appended(event, start..end);
            }
        });
        written
    }

    fn release(&mut self, at: Timestamp) -> Result<(), StoreError> {
        std::mem::take(&mut self.held).into_iter().try_for_each(|event| self.write(&event, at).map(drop))
    }
}

impl Drop for SimStore {
    fn drop(&mut self) {
        self.world.with(|world| world.writers -= 1);
    }
}

impl StateStore for SimStore {
    fn state(&self) -> &State {
        self.inner.state()
    }

    fn head(&self) -> Head {
        self.inner.head()
    }

    fn append(&mut self, event: Event, at: Timestamp) -> Result<Serial, StoreError> {
        let keeps_back = match self.world.with(|world| world.chance.defect) {
            Some(Defect::SentAfterRequest) => matches!(event, Event::Sent { .. }),
            Some(Defect::ParsedBeforeReceived) => matches!(event, Event::Received { .. }),
            _ => false,
        };
        if keeps_back {
            self.held.push(event);
            // The serial that it gets when it is written after all.
            return Ok(self.inner.head().serial.next());
        }
        self.release(at)?;
        self.write(&event, at)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        if self.skips_sync {
            return Ok(());
        }
        self.inner.sync()
    }

    fn entries(&mut self, serials: &BTreeSet<Serial>) -> Result<BTreeMap<Serial, Entry>, StoreError> {
        self.inner.entries(serials)
    }

    /// As the real one but for the index, which needs a directory.
    fn close(mut self: Box<Self>) -> Result<(), StoreError> {
        self.release(Timestamp::UNIX_EPOCH)?;
        self.inner.sync()
    }
}
