//! `chatapi.lock`: what a state was, kept beside the manifest and committed with it. It holds no secret.
//!
//! A state that is missing, older or another than it says must not create anything: that is how a runner that lost its state
//! directory is told from a first run.

mod merged;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::disk;
use super::relearn::{doubt, of_lock, relearn};
use crate::failpoint;
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::seal::Recipients;
use crate::state::{AttemptId, Event, Hash, Head, Lineage, Origin, Phase, Record, Serial, State};

/// 2: names that were released, and the keys to seal to. Written where there are any; else 1.
/// 3: what is protected, what was replaced, and what was deleted while it was declared. Written where there is an instance.
const VERSION: u32 = 3;
/// The first one that says what is protected.
const WITH_PROTECTION: u32 = 3;
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
    #[serde(deserialize_with = "merged::once")]
    pub instances: BTreeMap<InstanceName, LockedInstance>,
    /// What existed and was managed no longer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "merged::once")]
    pub released: BTreeMap<InstanceName, LockedInstance>,
    /// What was deleted while it was declared: nothing is created for it by itself. Its id may be another name's since. And what was
    /// replaced and deleted: what has its name since is not replaced once more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "merged::once")]
    pub deleted: BTreeMap<InstanceName, LockedInstance>,
    /// What was in doubt, or being created.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "merged::once")]
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
    /// It must not be deleted.
    #[serde(rename = "protected", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_protected: bool,
    /// The name that has got another instance in its place, or is to have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<InstanceName>,
    /// It was replaced, and has a name of its own since.
    #[serde(rename = "kept", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_kept: bool,
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

impl LockedInstance {
    /// None: it has no id.
    fn of(record: &Record, state: &State) -> Option<Self> {
        let replaced_by = state.replacement_of(record).map(|new| new.name.clone());
        let (id, kind, is_protected) = (record.id()?.clone(), record.kind, record.is_protected);
        Some(Self { id, kind, is_protected, is_kept: replaced_by.is_some() && record.is_kept, replaced_by })
    }

    /// What a name had that has nothing now. None: nobody asks about that.
    fn before(record: &Record) -> Option<Self> {
        let (id, is_protected) = record.asked_about()?;
        Some(Self { id: id.clone(), kind: record.kind, is_protected, replaced_by: None, is_kept: false })
    }
}

impl LockFile {
    /// What `state` is at `head`. `creating`: names that are about to be tried, so that a state lost in the middle is missed.
    pub fn of<'a>(state: &State, head: Head, creating: impl IntoIterator<Item = (&'a InstanceName, InstanceType)>) -> Self {
        let (mut instances, mut deleted) = (BTreeMap::new(), BTreeMap::new());
        let (mut released, mut in_doubt) = (BTreeMap::new(), BTreeMap::new());
        for (name, kind) in creating {
            in_doubt.insert(name.clone(), LockedDoubt { attempt: None, kind });
        }
        for record in state.records().values() {
            let into = match &record.phase {
                // As long as nothing shows that it is gone.
                Phase::Created(_) | Phase::Retiring(..) => &mut instances,
                Phase::Released(_) => &mut released,
                Phase::Retired { .. } if !record.orphan_noted || state.replacement_of(record).is_some() => &mut deleted,
                Phase::Intent(attempt) | Phase::InDoubt(attempt, _) | Phase::Received(attempt, _) => {
                    let doubt = LockedDoubt { attempt: Some(attempt.id.clone()), kind: record.kind };
                    in_doubt.insert(record.name.clone(), doubt);
                    continue;
                }
                Phase::Absent { .. } => {
                    deleted.extend(LockedInstance::before(record).map(|locked| (record.name.clone(), locked)));
                    continue;
                }
                Phase::Retired { .. } => continue,
            };
            into.extend(LockedInstance::of(record, state).map(|locked| (record.name.clone(), locked)));
        }
        let origin = state.binding.as_ref().map(|binding| binding.origin.clone());
        let (lineage, seal_to) = (state.lineage.clone(), state.recipients.clone());
        let version = match () {
            () if !(instances.is_empty() && released.is_empty() && deleted.is_empty()) => VERSION,
            () if !seal_to.is_empty() => 2,
            () => 1,
        };
        Self { version, lineage, serial: head.serial, head: head.hash, origin, seal_to, instances, released, deleted, in_doubt }
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
        let lock: Self = serde_json::from_slice(&bytes).map_err(content)?;
        lock.check().map_err(content)?;
        Ok(Some(lock))
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

    /// Whether it says what is protected; an earlier version's does not.
    pub const fn knows_protection(&self) -> bool {
        self.version >= WITH_PROTECTION
    }

    /// Every instance in it, managed or not.
    pub fn known(&self) -> impl Iterator<Item = (&InstanceName, &LockedInstance)> {
        self.instances.iter().chain(&self.released)
    }

    /// What it knows and `state` does not, as entries that follow there: ids, what is said of them, and doubts. Where the two differ, it is
    /// right. One of an earlier version does not say what is protected: then all that it has is.
    pub fn lessons(&self, state: &State, at: Timestamp) -> Vec<Event> {
        let (mut state, source) = (state.clone(), ("a lock file, after the state was lost", at));
        let (mut events, _) = relearn(&mut state, of_lock(self), source, &|_| true);
        for (name, doubt) in self.in_doubt.iter().filter(|(name, _)| !self.instances.contains_key(*name)) {
            let is_open = state.record(name).is_some_and(|record| record.open_id().is_some());
            let attempt = doubt.attempt.clone().unwrap_or_else(|| AttemptId::typed(&format!("a-lost-{name}")));
            if !is_open {
                events.extend(self::doubt(&mut state, (attempt, name, doubt.kind), source, &|_| false));
            }
        }
        let unsure = if self.knows_protection() { None } else { Some(state.records().values()) };
        let unsure = unsure.into_iter().flatten().filter(|record| record.instance().is_some() && !record.is_protected);
        let protected: Vec<_> = unsure.map(|record| record.name.clone()).collect();
        if !protected.is_empty() {
            events.push(Event::Protection { protected, unprotected: Vec::new() });
        }
        events
    }

    /// Every instance in it, deleted ones too.
    pub fn named(&self) -> impl Iterator<Item = (&InstanceName, &LockedInstance)> {
        self.known().chain(&self.deleted)
    }

    /// Whether there is anything to lose: a lock file without a record is a fresh start.
    pub fn records_anything(&self) -> bool {
        !self.instances.is_empty() || !self.in_doubt.is_empty() || !self.released.is_empty()
    }
}
