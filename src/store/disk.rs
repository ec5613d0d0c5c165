//! Files and directories the way this project wants them: 0700 and 0600, synced together with the directory they are in.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, fstatvfs};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Resource, getrlimit};

use super::{Medium, StoreError};

/// Space is reserved this much ahead, so that not every entry asks for more.
const STEP: u64 = 1_024 * 1_024;

/// The journal as a file.
#[derive(Debug)]
pub struct DiskMedium {
    file: File,
    /// Space is reserved up to here.
    reserved: u64,
}

impl DiskMedium {
    /// Opens the file for appending, or makes an empty one (0600). `None`: there is none, and none was asked for.
    pub fn open(path: &Path, make: bool) -> io::Result<Option<Self>> {
        match OpenOptions::new().read(true).append(true).create(make).mode(0o600).open(path) {
            Ok(file) => {
                if file.metadata()?.permissions().mode() & 0o077 != 0 {
                    // A restored copy, most likely.
                    file.set_permissions(fs::Permissions::from_mode(0o600))?;
                }
                Ok(Some(Self { file, reserved: 0 }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Medium for DiskMedium {
    fn reader(&self) -> io::Result<Box<dyn BufRead + '_>> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        Ok(Box::new(BufReader::with_capacity(1 << 18, file)))
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.reserved = 0;
        self.file.set_len(length)
    }

    fn reserve(&mut self, length: u64, bytes: u64) -> io::Result<()> {
        if length + bytes <= self.reserved {
            return Ok(());
        }
        let wanted = bytes + STEP;
        if getrlimit(Resource::Fsize).current.is_some_and(|limit| length + wanted > limit) {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file size limit of this process leaves no room"));
        }
        // A signal may interrupt it, and is no reason to stop for.
        match retry_on_intr(|| fallocate(&self.file, FallocateFlags::KEEP_SIZE, length, wanted)) {
            Ok(()) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                let disk = fstatvfs(&self.file)?;
                if disk.f_bavail.saturating_mul(disk.f_frsize) < wanted {
                    return Err(io::ErrorKind::StorageFull.into());
                }
            }
            Err(error) => return Err(error.into()),
        }
        self.reserved = length + wanted;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Makes `path` (0700) with its parents, each durable in the directory above it; an existing one is closed to others.
pub(crate) fn make_private_dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_dir(parent_of(path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let metadata = fs::metadata(path)?;
            if metadata.is_dir() && metadata.permissions().mode() & 0o077 != 0 && is_ours(path)? {
                fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
            }
            Ok(())
        }
        // Only where the parent is missing: some file systems say the same of a name that they do not take.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !parent_of(path).exists() => {
            make_private_dir(parent_of(path))?;
            make_private_dir(path)
        }
        Err(error) => Err(error),
    }
}

/// Whether nothing but a state is in there: somebody's home is not closed to others because it was named by mistake.
fn is_ours(path: &Path) -> io::Result<bool> {
    const OURS: &[&str] = &["journal.jsonl", "index", "lock", "emulator", ".gitignore", "README.md"];
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        if !OURS.iter().any(|ours| name == *ours) {
            tracing::warn!(dir = %path.display(), "the state directory holds other files too and stays open to others; its own files do not");
            return Ok(false);
        }
    }
    Ok(true)
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

/// Makes the entries of directory `path` durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// A new file at `path`, in the place of whatever stands there: a link that somebody put there is removed, not followed.
pub(crate) fn make_anew(path: &Path, mode: u32) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// Replaces `path` by `bytes`: whoever reads it, or finds it after a power cut, sees the old or the new content, never a part.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let written = (|| {
        let mut file = make_anew(&temporary, mode)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_dir(parent_of(path))
    })();
    if written.is_err() {
        // The error itself is what the caller must see; a leftover file does no harm.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// What keeps a state with its tokens out of version control. A README beside it may be committed.
const IGNORE: &str = "# Tokens are in here. Nothing but this file and the README is committed.\n*\n!.gitignore\n!README.md\n";

/// Makes the state directory; a new one is kept out of version control.
pub(super) fn make_state_dir(path: &Path) -> Result<(), StoreError> {
    make_private_dir(path).map_err(StoreError::io("make the state directory", path))?;
    let ignore = path.join(".gitignore");
    if !ignore.exists()
        && let Err(error) = make_anew(&ignore, 0o600).and_then(|mut file| file.write_all(IGNORE.as_bytes()))
    {
        tracing::warn!(%error, "cannot write a .gitignore into the state directory: do not commit it");
    }
    Ok(())
}
