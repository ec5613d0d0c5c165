//! `state/outputs.json`: which outputs an apply has promised, and which of them are delivered.
//!
//! It decides nothing about creates. Whoever loses it loses a reminder: an apply with `--write-outputs` delivers again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{StoreError, disk};
use crate::state::{Hash, Serial};

const FILE: &str = "outputs.json";
const VERSION: u32 = 1;
/// Nobody asks for so many outputs.
const SIZE_MAX: u64 = 1 << 20;

/// The outputs of a state, by the absolute path of their file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipts {
    version: u32,
    /// Every output that was asked for.
    pub outputs: BTreeMap<PathBuf, Receipt>,
}

/// One output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Its format, as it was typed.
    pub format: String,
    /// What is in its file; none: it is owed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered: Option<Delivered>,
}

/// A delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivered {
    /// When.
    pub at: Timestamp,
    /// The state's serial then.
    pub serial: Serial,
    /// SHA-256 of the file's bytes.
    pub sum: Hash,
}

impl Default for Receipts {
    fn default() -> Self {
        Self { version: VERSION, outputs: BTreeMap::new() }
    }
}

impl Receipts {
    /// Those of the state in `dir`; what cannot be understood is as if it was not there.
    pub fn read(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(SIZE_MAX).read_to_end(&mut bytes)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(StoreError::Io { action: "read", path, source }),
            Ok(_) => {}
        }
        let known: Option<Self> = serde_json::from_slice(&bytes).ok();
        Ok(known.filter(|receipts| receipts.version == VERSION).unwrap_or_default())
    }

    /// Keeps them in `dir`, durably. The state has to be held.
    pub fn write(&self, dir: &Path) -> Result<(), StoreError> {
        let path = dir.join(FILE);
        let bytes = serde_json::to_vec_pretty(self).map_err(std::io::Error::other);
        bytes.and_then(|bytes| disk::replace(&path, &bytes, 0o600)).map_err(StoreError::io("write", path))
    }

    /// Says that the output in `path` is asked for, and owed until it is delivered.
    pub fn owe(&mut self, path: PathBuf, format: &str) {
        self.outputs.insert(path, Receipt { format: format.to_owned(), delivered: None });
    }

    /// Says that the output in `path` is there.
    pub fn delivered(&mut self, path: &Path, delivered: Delivered) {
        if let Some(receipt) = self.outputs.get_mut(path) {
            receipt.delivered = Some(delivered);
        }
    }

    /// The outputs that are owed.
    pub fn owed(&self) -> impl Iterator<Item = (&PathBuf, &Receipt)> {
        self.outputs.iter().filter(|(_, receipt)| receipt.delivered.is_none())
    }
}
