//! `chatapi.lock`: what a state was, kept beside the manifest and committed with it. It holds no secret.
//!
//! A state that is missing, older or another than it says must not create anything: that is how a runner that lost its state
//! directory is told from a first run.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::disk;
use crate::failpoint;
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::seal::Recipients;
use crate::state::{AttemptId, Hash, Head, Lineage, Origin, Phase, Serial, State};

/// 2: names that were released, and the keys to seal to. Written where there are any; else 1.
const VERSION: u32 = 2;
/// Enough for half a million instances.
const SIZE_MAX: u64 = 64 * 1_024 * 1_024;

/// The lock file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockFile {
    version: u32,
    /// The state's lineage.
    pub lineage: Lineage,
    /// The state's serial at that time.
    pub serial: Serial,
    /// The state's hash at that serial.
    pub head: Hash,
    /// The server that it belongs to, as far as it is bound to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Whom secrets were sealed to.
    #[serde(default, skip_serializing_if = "Recipients::is_empty")]
    pub seal_to: Recipients,
    /// What existed.
    pub instances: BTreeMap<InstanceName, LockedInstance>,
    /// What existed and was managed no longer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub released: BTreeMap<InstanceName, LockedInstance>,
    /// What was in doubt, or being created.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub in_doubt: BTreeMap<InstanceName, LockedDoubt>,
}

/// An instance in a lock file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedInstance {
    /// The server's id.
    pub id: InstanceId,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: InstanceType,
}

/// A doubt in a lock file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedDoubt {
    /// The attempt; none where it had not begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptId>,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: InstanceType,
}

/// What every version of a lock file begins with.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// A lock file that cannot be read, written or understood.
#[derive(Debug, thiserror::Error)]
pub enum LockFileError {
    /// The file system refused.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// The verb.
        action: &'static str,
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was named, and is not there.
    #[error("there is no lock file {}, which was named", .0.display())]
    Absent(PathBuf),
    /// It would take the place of what a state keeps.
    #[error("{} is in a state directory, where no lock file belongs", .0.display())]
    InState(PathBuf),
    /// Its environment has another one.
    #[error("the environment's lock file is {}, and `--lock-file` or CHATAPI_LOCK_FILE names {}", .own.display(), .named.display())]
    Two {
        /// The environment's.
        own: PathBuf,
        /// The one that was named.
        named: PathBuf,
    },
    /// It is not one.
    #[error("{} is not a lock file of chatapi", .path.display())]
    Content {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A later version wrote it.
    #[error("{} was written by a newer version of chatapi (version {found}, this one knows {VERSION})", .path.display())]
    Newer {
        /// The lock file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
}

impl LockFile {
    /// What `state` is at `head`. `creating`: names that are about to be tried, so that a state lost in the middle is missed.
    pub fn of<'a>(state: &State, head: Head, creating: impl IntoIterator<Item = (&'a InstanceName, InstanceType)>) -> Self {
        let mut instances = BTreeMap::new();
        let (mut released, mut in_doubt) = (BTreeMap::new(), BTreeMap::new());
        for (name, kind) in creating {
            in_doubt.insert(name.clone(), LockedDoubt { attempt: None, kind });
        }
        for record in state.records().values() {
            match &record.phase {
                // As long as nothing shows that it is gone.
                Phase::Created(instance) | Phase::Retiring(instance, _) => {
                    instances.insert(record.name.clone(), LockedInstance { id: instance.id.clone(), kind: record.kind });
                }
                Phase::Released(instance) => {
                    released.insert(record.name.clone(), LockedInstance { id: instance.id.clone(), kind: record.kind });
                }
                Phase::Intent(attempt) | Phase::InDoubt(attempt, _) | Phase::Received(attempt, _) => {
                    let doubt = LockedDoubt { attempt: Some(attempt.id.clone()), kind: record.kind };
                    in_doubt.insert(record.name.clone(), doubt);
                }
                Phase::Absent { .. } | Phase::Retired { .. } => {}
            }
        }
        let origin = state.binding.as_ref().map(|binding| binding.origin.clone());
        let (lineage, seal_to) = (state.lineage.clone(), state.recipients.clone());
        let version = if released.is_empty() && seal_to.is_empty() { 1 } else { VERSION };
        Self { version, lineage, serial: head.serial, head: head.hash, origin, seal_to, instances, released, in_doubt }
    }

    /// Reads the lock file at `path`; none: there is none.
    pub fn read(path: &Path) -> Result<Option<Self>, LockFileError> {
        let io = |source| LockFileError::Io { action: "read", path: path.to_owned(), source };
        let content = |source| LockFileError::Content { path: path.to_owned(), source };
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
            Ok(metadata) if !metadata.is_file() || metadata.len() > SIZE_MAX => {
                return Err(io(io::Error::other("it is not a file of reasonable size")));
            }
            Ok(_) => {}
        }
        let bytes = fs::read(path).map_err(io)?;
        let Version { version: found } = serde_json::from_slice(&bytes).map_err(content)?;
        if found > VERSION {
            return Err(LockFileError::Newer { path: path.to_owned(), found });
        }
        serde_json::from_slice(&bytes).map(Some).map_err(content)
    }

    /// Writes it to `path`, whole or not at all. Anyone may read it: it is meant to be committed.
    pub fn write(&self, path: &Path) -> Result<(), LockFileError> {
        let mut bytes =
            serde_json::to_vec_pretty(self).map_err(|source| LockFileError::Content { path: path.to_owned(), source })?;
        bytes.push(b'\n');
        let written = failpoint::at("lockfile-before").and_then(|()| disk::replace(path, &bytes, 0o644));
        let written = written.and_then(|()| failpoint::at("lockfile-written"));
        written.map_err(|source| LockFileError::Io { action: "write", path: path.to_owned(), source })
    }

    /// The state's position at that time.
    pub fn head(&self) -> Head {
        Head { serial: self.serial, hash: self.head }
    }

    /// Every instance in it, managed or not.
    pub fn known(&self) -> impl Iterator<Item = (&InstanceName, &LockedInstance)> {
        self.instances.iter().chain(&self.released)
    }

    /// Whether there is anything to lose: a lock file without a record is a fresh start.
    pub fn records_anything(&self) -> bool {
        !self.instances.is_empty() || !self.in_doubt.is_empty() || !self.released.is_empty()
    }
}
