//! `state/outputs.json`: which outputs an apply has promised, and which of them are delivered.
//!
//! It decides nothing about creates. Whoever loses it loses a reminder: an apply with `--write-outputs` delivers again.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{StoreError, disk, place};
use crate::state::{Hash, Serial};

const FILE: &str = "outputs.json";
const VERSION: u32 = 1;
/// Nobody asks for so many outputs.
const SIZE_MAX: u64 = 1 << 20;

/// The bytes of the file at `path`, up to one more than there may be; none: it is no file. A pipe there is not waited for.
fn read_file(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let flags = place::no_links() | place::no_waiting();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(SIZE_MAX + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

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

/// What every version of the file begins with.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl Default for Receipts {
    fn default() -> Self {
        Self { version: VERSION, outputs: BTreeMap::new() }
    }
}

impl Receipts {
    /// Those of the state in `dir`. What cannot be understood is an error: something may be owed.
    pub fn read(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        let refuse = |why| StoreError::Receipts { path: path.clone(), why };
        let bytes = match read_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(StoreError::Io { action: "read", path, source }),
            Ok(None) => return Err(refuse("it is no file")),
            Ok(Some(bytes)) => bytes,
        };
        if bytes.len() as u64 > SIZE_MAX {
            return Err(refuse("it is too long"));
        }
        let Ok(Version { version }) = serde_json::from_slice(&bytes) else { return Err(refuse("it is damaged")) };
        if version > VERSION {
            return Err(refuse("a newer version of chatapi wrote it"));
        }
        serde_json::from_slice(&bytes).map_err(|_| refuse("it is damaged"))
    }

    /// Keeps them in `dir`, durably. The state has to be held.
    pub fn write(&self, dir: &Path) -> Result<(), StoreError> {
        let path = dir.join(FILE);
        let bytes = serde_json::to_vec_pretty(self).map_err(io::Error::other);
        bytes.and_then(|bytes| disk::replace_own(&path, &bytes, 0o600)).map_err(StoreError::io("write", path))
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
