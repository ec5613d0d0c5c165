//! A store that lives as long as the process: for tests, and for what only wants to ask "what if".

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::journal;
use super::{StateStore, StoreError};
use crate::state::{Entry, Event, FORMAT, Head, Lineage, Serial, State};

/// The journal as a vector.
#[derive(Debug)]
pub struct MemoryStore {
    entries: Vec<Entry>,
    state: State,
    head: Head,
}

impl MemoryStore {
    /// Begins a state.
    pub fn begin(lineage: Lineage, at: Timestamp) -> Result<Self, StoreError> {
        let event = Event::Genesis { format: FORMAT, lineage: lineage.clone() };
        let genesis = Entry { serial: Serial(1), at, event };
        let head = next_head(&genesis, Head::START)?;
        Ok(Self { entries: vec![genesis], state: State::new(lineage, Serial(1), FORMAT), head })
    }
}

fn next_head(entry: &Entry, head: Head) -> Result<Head, StoreError> {
    let encoded = journal::encode(entry, head.hash);
    let (_, hash) = encoded.map_err(|error| StoreError::io("encode for", "memory")(error.into()))?;
    Ok(Head { serial: entry.serial, hash })
}

impl StateStore for MemoryStore {
    fn state(&self) -> &State {
        &self.state
    }

    fn head(&self) -> Head {
        self.head
    }

    fn append(&mut self, event: Event, at: Timestamp) -> Result<Serial, StoreError> {
        let entry = Entry { serial: self.head.serial.next(), at, event };
        let head = next_head(&entry, self.head)?;
        self.state.apply(&entry).map_err(StoreError::Refused)?;
        self.head = head;
        self.entries.push(entry);
        Ok(self.head.serial)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn entries(&mut self, serials: &BTreeSet<Serial>) -> Result<BTreeMap<Serial, Entry>, StoreError> {
        let find = |serial: &Serial| self.entries.iter().find(|entry| entry.serial == *serial).cloned();
        serials.iter().map(|serial| Ok((*serial, find(serial).ok_or(StoreError::NoEntry(*serial))?))).collect()
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}
