//! The writer's lock: one writer per state directory, by the kernel's file lock, which a dead holder cannot keep.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::place;
use crate::failpoint;
use crate::state::Who;

const FILE: &str = "lock";
/// How often a waiting command is told that it still waits.
const TICK: Duration = Duration::from_secs(1);
/// How long somebody who only looks whether there is a holder may have the lock.
const GLANCE: Duration = Duration::from_millis(100);
/// How long a holder that is gone may still have the journal.
const GOING: Duration = Duration::from_millis(500);

/// Who holds a lock. All of it is what the holder said of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process id, on its own machine.
    pub pid: u32,
    /// Its command.
    pub verb: String,
    /// Since when.
    pub since: Timestamp,
    /// The person, machine and CI job.
    pub who: Who,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pid == 0 {
            return f.write_str("another process");
        }
        write!(f, "`chatapi {}` (process {}", self.verb.escape_default(), self.pid)?;
        if let Some(host) = &self.who.host {
            write!(f, " on {}", host.escape_default())?;
        }
        write!(f, ", since {}", self.since.round(jiff::Unit::Second).unwrap_or(self.since))?;
        if let Some(job) = &self.who.job {
            write!(f, ", {}", job.escape_default())?;
        }
        f.write_str(")")
    }
}

impl Holder {
    /// One of whom nothing is known.
    fn unknown() -> Self {
        Self { pid: 0, verb: String::new(), since: Timestamp::UNIX_EPOCH, who: Who::default() }
    }
}

/// The held lock. Dropping it lets the next writer in.
#[derive(Debug)]
#[must_use = "the lock is free again as soon as this is dropped"]
pub struct Hold {
    /// The journal's own lock, once there is a journal. Let go before the other one: who waits for that one does not wait for this.
    journal: Option<File>,
    _file: File,
}

impl Hold {
    /// Makes the state directory if need be and takes its lock, waiting up to `timeout`. `waiting` is called about once a second.
    pub fn acquire(dir: &Path, me: &Holder, timeout: Duration, waiting: &mut dyn FnMut(&Holder)) -> Result<Self, StoreError> {
        place::prepare(dir)?;
        let path = dir.join(FILE);
        let mut file = loop {
            let file = locked(dir, &path, timeout, waiting)?;
            // Somebody may have removed it while it was waited for: then it keeps nobody out.
            if is_at(&file, &path).map_err(StoreError::io("lock", &path))? {
                break file;
            }
        };
        tracing::debug!(dir = %dir.display(), "holding the state's lock");
        // A full disk must not keep a reader of the lock from being useful: who holds it is a courtesy, the lock is not.
        if let Err(error) = introduce(&mut file, me) {
            tracing::warn!(%error, "cannot say in the lock file who holds it");
        }
        failpoint::at("lock-taken").map_err(StoreError::io("lock", path))?;
        Ok(Self { journal: None, _file: file })
    }

    /// Takes the lock of the journal at `path` too, if there is one; in the place of the lock of one that stood there before.
    ///
    /// That file is never removed: it keeps a second writer out where the lock file was, by `git clean` for example.
    pub(super) fn take_journal(&mut self, path: &Path) -> Result<(), StoreError> {
        self.journal = None;
        let until = Instant::now() + GOING;
        loop {
            match journal(path) {
                // A writer that was killed loses its locks one after the other.
                Err(StoreError::Locked { .. }) if Instant::now() < until => std::thread::park_timeout(GOING / 50),
                taken => {
                    self.journal = taken?;
                    return Ok(());
                }
            }
        }
    }
}

/// The lock of the journal at `path`; none: there is none.
fn journal(path: &Path) -> Result<Option<File>, StoreError> {
    let io = |action| StoreError::io(action, path);
    let file = match OpenOptions::new().read(true).custom_flags(place::no_links()).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(io("open"))?,
    };
    let is_ours = match file.try_lock() {
        // Another writer may have put a new one in its place just before.
        Ok(()) => is_at(&file, path).map_err(io("lock"))?,
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(source)) => return Err(io("lock")(source)),
    };
    if is_ours {
        return Ok(Some(file));
    }
    let dir = path.parent().unwrap_or(path).to_owned();
    Err(StoreError::Locked { path: dir, holder: Box::new(Holder::unknown()) })
}

/// Who writes to the state in `dir` just now; none: nobody, or nobody can tell. A look that does not wait: a writer that comes in this
/// very moment waits for it.
pub fn writer(dir: &Path) -> Option<Holder> {
    let file = OpenOptions::new().read(true).custom_flags(place::no_links()).open(dir.join(FILE)).ok()?;
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)).then(|| holder(dir))
}

/// Opens the lock file and takes its lock.
fn locked(dir: &Path, path: &Path, timeout: Duration, waiting: &mut dyn FnMut(&Holder)) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(place::no_links());
    let file = options.open(path).map_err(StoreError::io("open", path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => wait(dir, file, timeout, waiting),
        Err(TryLockError::Error(source)) => Err(StoreError::io("lock", path)(source)),
    }
}

/// Whether `file` is what stands at `path`.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (own.dev(), own.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn introduce(file: &mut File, me: &Holder) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&serde_json::to_vec(me)?)
}

/// Waits in a thread of its own: the kernel wakes it at once when the lock is let go.
fn wait(dir: &Path, file: File, timeout: Duration, waiting: &mut dyn FnMut(&Holder)) -> Result<File, StoreError> {
    let deadline = Instant::now() + timeout.max(GLANCE);
    let (locked, wake) = channel();
    let io = |action| StoreError::io(action, dir.join(FILE));
    let waiter = file.try_clone().map_err(io("open"))?;
    // The thread ends with the lock or with the process; whoever gave up has dropped the receiver.
    std::thread::spawn(move || locked.send(waiter.lock()));
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match wake.recv_timeout(left.min(TICK)) {
            Ok(result) => return result.map(|()| file).map_err(io("lock")),
            Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => waiting(&holder(dir)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                return Err(StoreError::Locked { path: dir.to_owned(), holder: Box::new(holder(dir)) });
            }
        }
    }
}

/// Who the lock file says has it; process 0 where it does not say.
fn holder(dir: &Path) -> Holder {
    let mut text = Vec::new();
    let read = File::open(dir.join(FILE)).and_then(|file| file.take(16 * 1_024).read_to_end(&mut text));
    read.ok().and_then(|_| serde_json::from_slice(&text).ok()).unwrap_or_else(Holder::unknown)
}
