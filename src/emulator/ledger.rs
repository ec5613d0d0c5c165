//! What the emulator really did: the ground truth that a test holds against what a client believes.
//!
//! An append-only file of JSON lines, a header first. Each entry is handed to the system in one write before its answer
//! goes out, so it survives a kill of the process; it is not flushed to the disk, so it need not survive a power cut: the
//! instances cost nothing. A last line without its end was never answered, and is dropped. Any other damage is an error.
//!
//! The file holds tokens: it is 0600 in a directory 0700. One emulator at a time owns it, by a lock on a file beside it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::instance::{ApiUrl, InstanceId, InstanceType};
use crate::secret::{self, Secret};

/// The ledger's name in its directory.
pub const LEDGER_FILE: &str = "ledger.jsonl";
const LOCK_FILE: &str = "lock";
const VERSION: u32 = 1;

/// What happened to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerOp {
    /// It was made.
    Created,
    /// It was deleted.
    Deleted,
}

/// One deed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// 1, 2, 3, … without a gap.
    pub seq: u64,
    /// When, by the emulator's clock.
    pub at: Timestamp,
    /// What.
    pub op: LedgerOp,
    /// The instance; always decimal digits.
    pub id: InstanceId,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: InstanceType,
    /// The account: SHA-256 of its key, in hexadecimal.
    pub account: String,
    /// The address, as the answer gave it.
    pub api_url: ApiUrl,
    /// The token, as the answer gave it; none for a delete.
    #[serde(with = "secret::kept")]
    pub token: Option<Secret>,
    /// The request's `X-Request-Id`: the attempt that did it.
    pub request_id: Option<String>,
}

/// Why a ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The directory cannot be made.
    #[error("cannot make the directory `{}`", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be opened, read, locked or cut.
    #[error("cannot open the ledger file `{}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another emulator is running on the directory.
    #[error("another emulator uses `{}`", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The header is not that of a ledger of this version.
    #[error("`{}` is no emulator ledger of version {VERSION}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
    },
    /// A whole line that cannot be an entry at its place.
    #[error("line {line} of the ledger `{}` is damaged", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// The emulator has stopped.
    #[error("the ledger is closed")]
    Closed,
    /// An entry could not be written; nothing was done.
    #[error("cannot write to the ledger")]
    Write {
        /// Why.
        source: io::Error,
    },
}

#[derive(Serialize, Deserialize)]
struct Header {
    emulator_ledger: u32,
}

/// The open ledger, on disk or in memory.
#[derive(Debug)]
pub struct Ledger {
    entries: Vec<LedgerEntry>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory,
    File(LedgerFile),
    Closed,
}

#[derive(Debug)]
struct LedgerFile {
    file: File,
    /// Bytes known to be whole lines.
    length: u64,
    /// A full disk took a part of a line, and cutting it off failed: nothing may follow it.
    is_torn: bool,
    /// Held for as long as the ledger is open.
    _lock: File,
}

impl Ledger {
    /// A ledger that ends with the process.
    pub fn in_memory() -> Self {
        Self { entries: Vec::new(), place: Place::Memory }
    }

    /// Opens or makes the ledger in `directory` and cuts off a torn last line.
    pub fn open(directory: &Path) -> Result<Self, LedgerError> {
        make_directory(directory).map_err(|source| LedgerError::Directory { path: directory.to_owned(), source })?;
        let lock = lock(directory)?;
        let path = directory.join(LEDGER_FILE);
        let failed = |source| LedgerError::Open { path: path.clone(), source };
        let mut file = private().append(true).open(&path).map_err(failed)?;
        let bytes = fs::read(&path).map_err(failed)?;
        let (entries, whole) = parse(&path, &bytes)?;
        file.set_len(whole as u64).map_err(failed)?;
        let mut length = whole as u64;
        if whole == 0 {
            let header = line_of(&Header { emulator_ledger: VERSION }).map_err(failed)?;
            file.write_all(&header).map_err(failed)?;
            length = header.len() as u64;
        }
        Ok(Self { entries, place: Place::File(LedgerFile { file, length, is_torn: false, _lock: lock }) })
    }

    /// Writes `entry` down. On an error it is not in the ledger, and the world must not absorb it.
    pub fn append(&mut self, entry: LedgerEntry) -> Result<(), LedgerError> {
        match &mut self.place {
            Place::Memory => {}
            Place::File(file) => file.append(&entry).map_err(|source| LedgerError::Write { source })?,
            Place::Closed => return Err(LedgerError::Closed),
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Gives the file free and takes no more entries.
    pub fn close(&mut self) {
        self.place = Place::Closed;
    }

    /// Every deed so far, in order.
    pub fn entries(&self) -> &[LedgerEntry] {
        &self.entries
    }
}

impl LedgerFile {
    fn append(&mut self, entry: &LedgerEntry) -> io::Result<()> {
        let line = line_of(entry)?;
        if self.is_torn {
            self.file.set_len(self.length)?;
            self.is_torn = false;
        }
        if let Err(error) = self.file.write_all(&line) {
            self.is_torn = self.file.set_len(self.length).is_err();
            return Err(error);
        }
        self.length += line.len() as u64;
        Ok(())
    }
}

/// Reads the ledger at `path` as it is now, changing nothing; a torn last line is left out.
pub fn read_ledger(path: &Path) -> Result<Vec<LedgerEntry>, LedgerError> {
    let bytes = fs::read(path).map_err(|source| LedgerError::Open { path: path.to_owned(), source })?;
    Ok(parse(path, &bytes)?.0)
}

/// The entries, and how many bytes are whole lines.
fn parse(path: &Path, bytes: &[u8]) -> Result<(Vec<LedgerEntry>, usize), LedgerError> {
    let mut entries = Vec::new();
    let mut whole = 0;
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if !line.ends_with(b"\n") {
            break;
        }
        if index == 0 {
            check_header(path, line)?;
        } else {
            entries.push(parse_entry(index, line).ok_or_else(|| LedgerError::Line { path: path.to_owned(), line: index + 1 })?);
        }
        whole += line.len();
    }
    Ok((entries, whole))
}

fn check_header(path: &Path, line: &[u8]) -> Result<(), LedgerError> {
    match serde_json::from_slice::<Header>(line) {
        Ok(Header { emulator_ledger: VERSION }) => Ok(()),
        _ => Err(LedgerError::Header { path: path.to_owned() }),
    }
}

fn parse_entry(index: usize, line: &[u8]) -> Option<LedgerEntry> {
    let entry: LedgerEntry = serde_json::from_slice(line).ok()?;
    let is_in_order = usize::try_from(entry.seq) == Ok(index);
    let is_decimal = entry.id.as_str().parse::<u64>().is_ok();
    let has_its_token = (entry.op == LedgerOp::Created) == entry.token.is_some();
    (is_in_order && is_decimal && has_its_token).then_some(entry)
}

fn line_of<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

fn lock(directory: &Path) -> Result<File, LedgerError> {
    let path = directory.join(LOCK_FILE);
    let file = private().write(true).open(&path).map_err(|source| LedgerError::Open { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::InUse { path: directory.to_owned() }),
        Err(TryLockError::Error(source)) => Err(LedgerError::Open { path, source }),
    }
}

/// Made if missing, for its owner only; one that is there keeps its mode.
fn make_directory(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let no_links = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
        options.mode(0o600).custom_flags(no_links);
    }
    options
}

#[cfg(test)]
#[cfg(target_os = "linux")]
impl Ledger {
    pub(super) fn on_a_full_disk() -> Self {
        let file = File::options().append(true).open("/dev/full").unwrap();
        let lock = tempfile::tempfile().unwrap();
        Self { entries: Vec::new(), place: Place::File(LedgerFile { file, length: 0, is_torn: false, _lock: lock }) }
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
