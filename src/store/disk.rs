//! Files and directories the way this project wants them: 0700 and 0600, synced together with the directory they are in.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FallocateFlags, OFlags, fallocate, fcntl_getfl, fcntl_setfl, fstatvfs};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Resource, getrlimit, getuid};

use super::{Medium, StoreError, place};
use crate::failpoint;

/// Space is reserved this much ahead, so that not every entry asks for more.
const STEP: u64 = 1_024 * 1_024;
/// A file that is written is locked long before it is so old.
const LEFT_OVER: Duration = Duration::from_secs(60);
/// So many runs that were killed may have left a file beside another.
const BESIDE_MAX: u32 = 10_000;
/// No system follows more links, one after the other.
const LINKS_MAX: u32 = 40;

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
        match OpenOptions::new().read(true).append(true).create(make).mode(0o600).custom_flags(place::no_links()).open(path) {
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

    fn renew(&mut self, from: u64, to: u64) -> io::Result<()> {
        // A file that appends takes no byte elsewhere.
        let flags = fcntl_getfl(&self.file)?;
        fcntl_setfl(&self.file, flags - OFlags::APPEND)?;
        let renewed = rewrite(&self.file, from, to);
        fcntl_setfl(&self.file, flags)?;
        renewed
    }

    fn sync(&mut self) -> io::Result<()> {
        if failpoint::lies() {
            return Ok(());
        }
        self.file.sync_data()
    }
}

/// Writes what stands there over itself. A cut in the middle changes nothing: old and new are the same.
fn rewrite(file: &File, from: u64, to: u64) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 18];
    let mut at = from;
    while at < to {
        let length = usize::try_from(to - at).map_or(buffer.len(), |left| left.min(buffer.len()));
        let part = buffer.get_mut(..length).unwrap_or_default();
        file.read_exact_at(part, at)?;
        file.write_all_at(part, at)?;
        at += length as u64;
    }
    Ok(())
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
    const OURS: &[&str] = &["history", "index", "lock", "emulator", "outputs.json", ".gitignore", "README.md"];
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        // With `.new` while it is replaced, with `.damaged-…` after a rebuild.
        let is_journal = name.to_string_lossy().starts_with("journal.jsonl");
        if !is_journal && !OURS.iter().any(|ours| name == *ours || name == format!("{ours}.new").as_str()) {
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
    make_new(path, mode)
}

/// A new file at `path`, where nothing may stand.
pub(crate) fn make_new(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// Replaces `path` by `bytes`: whoever reads it, or finds it after a power cut, sees the old or the new content, never a part. What
/// `path` is must be a file, or a link to one; the link is replaced, not followed. No file beside it is touched.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    check_replaceable(path)?;
    let (file, temporary) = make_beside(path, mode)?;
    swap_in(file, &temporary, path, mode, |file| file.write_all(bytes))
}

/// Whether [`replace`] could put a file at `path` now, as far as that can be seen without doing so.
pub(crate) fn probe(path: &Path) -> io::Result<()> {
    check_replaceable(path)?;
    let (_, temporary) = make_beside(path, 0o600)?;
    fs::remove_file(temporary)
}

/// A new file beside `path`, under the first of our names that nobody has taken; it is locked while it is written. What a run that
/// was killed has left goes.
pub(crate) fn make_beside(path: &Path, mode: u32) -> io::Result<(File, PathBuf)> {
    for number in 0..BESIDE_MAX {
        let beside = parent_of(path).join(format!(".chatapi-{number}.new"));
        let opened = match make_new(&beside, mode) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_left_over(&beside) => {
                fs::remove_file(&beside).and_then(|()| make_new(&beside, mode))
            }
            opened => opened,
        };
        match opened {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(file) => {
                // A file system without locks: nothing is taken for left over there.
                let _ = file.try_lock();
                return Ok((file, beside));
            }
        }
    }
    Err(io::Error::other(format!("there are {BESIDE_MAX} files `.chatapi-….new` beside it, left by runs that were killed")))
}

/// Whether our own file at `path` is written by nobody any more: it is not locked, and too old to be just about to be.
fn is_left_over(path: &Path) -> bool {
    let opened = OpenOptions::new().read(true).custom_flags(place::no_links()).open(path);
    opened.is_ok_and(|file| {
        let is_ours = file.metadata().is_ok_and(|found| {
            let age = found.modified().ok().and_then(|at| at.elapsed().ok()).unwrap_or_default();
            found.is_file() && found.uid() == getuid().as_raw() && found.nlink() == 1 && age >= LEFT_OVER
        });
        is_ours && file.try_lock().is_ok()
    })
}

/// [`replace`] of a file in the state's directory, which is ours alone: it is written first under its name with `.new` behind it.
pub(super) fn replace_own(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace_with(path, mode, |file| file.write_all(bytes))
}

/// [`replace_own`] by what `write` writes.
pub(super) fn replace_with(path: &Path, mode: u32, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    swap_in(make_anew(&temporary, mode)?, &temporary, path, mode, write)
}

/// Refuses what is no file: a rename would put one in the place of a device, a pipe or `/dev/stdout`.
fn check_replaceable(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(metadata) if !metadata.is_file() => return Err(io::Error::other("what stands there is not a file")),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // A directory that is not there is an error of its own.
    parent_of(path).canonicalize()?;
    if is_stream(path) { Err(io::Error::other("no files belong there")) } else { Ok(()) }
}

/// Whether `path` is, or is a link to, a name in `/dev` or below `/proc`: a stream, also where it calls itself a file because a
/// shell has led it into one.
pub(crate) fn is_stream(path: &Path) -> bool {
    let mut at = path.to_owned();
    for _ in 0..LINKS_MAX {
        let Ok(parent) = parent_of(&at).canonicalize() else { return false };
        if parent == Path::new("/dev") || parent.starts_with("/proc") {
            return true;
        }
        let Ok(target) = fs::read_link(&at) else { return false };
        at = parent.join(target);
    }
    false
}

/// Fills `file`, which stands at `temporary`, and puts it in the place of `path`.
fn swap_in(
    mut file: File,
    temporary: &Path,
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let written = (|| {
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        write(&mut file)?;
        file.sync_all()?;
        failpoint::at("replace-written")?;
        fs::rename(temporary, path)
    })();
    if written.is_err() {
        // The error itself is what the caller must see; a leftover file does no harm.
        let _ = fs::remove_file(temporary);
    }
    written?;
    failpoint::at("replace-renamed")?;
    sync_dir(parent_of(path))
}

/// Makes directory `path` durable: its entries, and its own in the one above.
pub(super) fn sync_path(path: &Path) -> io::Result<()> {
    sync_dir(path)?;
    sync_dir(parent_of(path))
}

/// What keeps a state with its tokens out of version control. A README beside it may be committed.
const IGNORE: &str = "# Tokens are in here. Nothing but this file and the README is committed.\n*\n!.gitignore\n!README.md\n";

/// Makes the state directory; a new one is kept out of version control.
pub(super) fn make_state_dir(path: &Path) -> Result<(), StoreError> {
    let made = make_private_dir(path).and_then(|()| failpoint::at("state-dir-made"));
    made.map_err(StoreError::io("make the state directory", path))?;
    let ignore = path.join(".gitignore");
    if !ignore.exists()
        && let Err(error) = make_anew(&ignore, 0o600).and_then(|mut file| file.write_all(IGNORE.as_bytes()))
    {
        tracing::warn!(%error, "cannot write a .gitignore into the state directory: do not commit it");
    }
    failpoint::at("ignore-written").map_err(StoreError::io("make the state directory", path))
}
