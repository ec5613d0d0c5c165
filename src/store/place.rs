//! Whether a place is safe to keep a state in: whose it is, who else may change it, what its files are, and whether a lock there
//! keeps others out.
//!
//! Whoever may write into the directory may put another journal there, and with it make us pay twice; or a link, and have us
//! write elsewhere. So writers and readers look before they open anything. Once the directory is ours and nobody else may write
//! there, nobody can change what was looked at. The directories above it are the user's business, and so is the directory's own
//! name, which may be a link.

use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::geteuid;

use super::StoreError;
use super::disk::make_state_dir;
use super::file::JOURNAL;

/// What a state consists of, beside what is harmless.
const FILES: [&str; 6] = [JOURNAL, "journal.jsonl.new", "history", "lock", "index", "emulator"];
/// The index has directories in it, and nothing below those.
const DEPTH: u32 = 3;

/// Why a place is not safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hazard {
    /// Others may write into the directory; its mode.
    Writable(u32),
    /// It is somebody else's; the user id.
    Foreign(u32),
    /// A symbolic link stands in the place of a file or directory of the state.
    Link,
    /// The file has several names; how many.
    Names(u64),
    /// Neither a file nor a directory.
    Kind,
    /// A file system whose locks do not keep other machines out; its name.
    FileSystem(&'static str),
}

impl fmt::Display for Hazard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Writable(mode) => write!(f, "others may write there (mode {mode:04o})"),
            Self::Foreign(user) => write!(f, "it belongs to another user (id {user})"),
            Self::Link => f.write_str("it is a symbolic link"),
            Self::Names(count) => write!(f, "the file has {count} names (hard links)"),
            Self::Kind => f.write_str("it is neither a file nor a directory"),
            Self::FileSystem(name) => write!(f, "it is on {name}, where a lock may not keep other machines out"),
        }
    }
}

/// Whether the file at `path`, links followed, is one of a state: its journal, or what stands beside that and is the state's own.
pub fn is_of_state(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let is_own = |name: &str| name.starts_with(JOURNAL) || FILES.contains(&name);
    path.ancestors().skip(1).any(|dir| {
        let first = path.strip_prefix(dir).ok().and_then(|below| below.components().next());
        first.is_some_and(|first| first.as_os_str().to_str().is_some_and(is_own)) && dir.join(JOURNAL).exists()
    })
}

/// What somebody is going to do with a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Read it. Root may look at anybody's.
    Look,
    /// Write to it. What root would leave in somebody's directory, that user could not read.
    Write,
}

/// Makes the state directory or takes the one that is there, closed to others, and checks it with all that is in it.
pub(super) fn prepare(dir: &Path) -> Result<(), StoreError> {
    check_dir(dir, Purpose::Write)?;
    make_state_dir(dir)?;
    // One that could not be closed: it holds other files, too.
    if let Some(found) = look(dir)? {
        refuse_writable(dir, &found)?;
    }
    check(dir, Purpose::Write)
}

/// Checks the state directory and all that is in it, if it is there.
pub(super) fn check(dir: &Path, purpose: Purpose) -> Result<(), StoreError> {
    let Some(owner) = check_dir(dir, purpose)? else { return Ok(()) };
    let visit = Visit { me: geteuid().as_raw(), owner, purpose };
    FILES.iter().try_for_each(|name| visit.check(&dir.join(name), DEPTH))
}

/// The owner of the directory, which is safe; none: there is no directory.
fn check_dir(dir: &Path, purpose: Purpose) -> Result<Option<u32>, StoreError> {
    let Some(found) = look(dir)? else { return Ok(None) };
    let (me, owner) = (geteuid().as_raw(), found.uid());
    let may_use = is_trusted(owner, me) || (me == 0 && purpose == Purpose::Look);
    if !may_use {
        return Err(hazard(dir, Hazard::Foreign(owner)));
    }
    // An empty one, as version control makes it, can still be closed: nobody has changed what is not there.
    if FILES.iter().any(|name| fs::symlink_metadata(dir.join(name)).is_ok()) {
        refuse_writable(dir, &found)?;
    }
    Ok(Some(owner))
}

fn refuse_writable(dir: &Path, found: &Metadata) -> Result<(), StoreError> {
    if found.mode() & 0o022 == 0 { Ok(()) } else { Err(hazard(dir, Hazard::Writable(found.mode() & 0o7777))) }
}

/// The directory itself, behind a link that somebody made for it; none: there is nothing, or no directory, which whoever opens
/// a file in it is told.
fn look(dir: &Path) -> Result<Option<Metadata>, StoreError> {
    match fs::metadata(dir) {
        Ok(found) => Ok(Some(found).filter(Metadata::is_dir)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(StoreError::io("look at", dir)(error)),
    }
}

/// Root can do as it likes anyway.
const fn is_trusted(owner: u32, me: u32) -> bool {
    owner == me || owner == 0
}

fn hazard(path: &Path, why: Hazard) -> StoreError {
    StoreError::Unsafe { path: path.to_owned(), why }
}

/// A look at what is in a directory.
struct Visit {
    me: u32,
    /// Whose the directory is.
    owner: u32,
    purpose: Purpose,
}

/// What is in `path`; none: it is gone again. The standard library does not try again where a signal interrupts.
fn list(path: &Path) -> io::Result<Option<fs::ReadDir>> {
    loop {
        match fs::read_dir(path) {
            Ok(entries) => return Ok(Some(entries)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl Visit {
    fn check(&self, path: &Path, depth: u32) -> Result<(), StoreError> {
        let found = match fs::symlink_metadata(path) {
            Ok(found) => found,
            // Gone again, as a writer's temporary files are.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(StoreError::io("look at", path)(error)),
        };
        if let Some(why) = self.hazard_of(&found) {
            return Err(hazard(path, why));
        }
        if !found.is_dir() || depth == 0 {
            return Ok(());
        }
        refuse_writable(path, &found)?;
        for entry in list(path).map_err(StoreError::io("look into", path))?.into_iter().flatten() {
            self.check(&entry.map_err(StoreError::io("look into", path))?.path(), depth - 1)?;
        }
        Ok(())
    }

    fn hazard_of(&self, found: &Metadata) -> Option<Hazard> {
        let is_owners = self.purpose == Purpose::Look && found.uid() == self.owner;
        let is_foreign = !is_owners && !is_trusted(found.uid(), self.me);
        match found.file_type() {
            kind if kind.is_symlink() => Some(Hazard::Link),
            kind if !kind.is_file() && !kind.is_dir() => Some(Hazard::Kind),
            _ if is_foreign => Some(Hazard::Foreign(found.uid())),
            kind if kind.is_file() && found.nlink() > 1 => Some(Hazard::Names(found.nlink())),
            _ => None,
        }
    }
}

/// The flag with which a state's files are opened: a link in their place is an error.
pub(super) fn no_links() -> i32 {
    i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default()
}

/// The flag with which a pipe is opened without waiting for its other end.
pub(super) fn no_waiting() -> i32 {
    i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default()
}

/// Refuses a directory, made or to be made, on a file system where several machines may meet, or whose locks are a program's
/// business. Known on Linux only.
pub fn check_file_system(dir: &Path) -> Result<(), StoreError> {
    match dir.ancestors().find_map(magic_of).and_then(shared) {
        Some(name) => Err(hazard(dir, Hazard::FileSystem(name))),
        None => Ok(()),
    }
}

/// The number of the file system; none: nothing is there. The empty last ancestor of a relative path is the current directory.
#[cfg(target_os = "linux")]
fn magic_of(path: &Path) -> Option<i64> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    rustix::fs::statfs(path).ok().map(|disk| disk.f_type & 0xFFFF_FFFF)
}

#[cfg(not(target_os = "linux"))]
fn magic_of(_: &Path) -> Option<i64> {
    None
}

/// The name of the file system with this number, if its locks may not hold: those of `linux/magic.h` and of `statfs(2)` that
/// several machines can mount, and those that a program in user space implements.
const fn shared(magic: i64) -> Option<&'static str> {
    match magic {
        0x6969 => Some("NFS"),
        0x517B | 0xFE53_4D42 | 0xFF53_4D42 => Some("SMB/CIFS"),
        0x6573_5546 => Some("FUSE"),
        0x0102_1997 => Some("9P"),
        0x5346_414F | 0x6B41_4653 => Some("AFS"),
        0x7375_7245 => Some("Coda"),
        0x564C => Some("NCP"),
        0x00C3_6400 => Some("Ceph"),
        0x0116_1970 => Some("GFS2"),
        0x7461_636F => Some("OCFS2"),
        0x0BD0_0BD0 => Some("Lustre"),
        0x4750_4653 => Some("GPFS"),
        0x1983_0326 => Some("BeeGFS"),
        0xAAD7_AAEA => Some("PanFS"),
        0x786F_4256 => Some("a VirtualBox share"),
        0xBACB_ACBC => Some("a VMware share"),
        0x7C7C_6673 => Some("a Parallels share"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A directory with the files of a state.
    fn state() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("index/blobs")).unwrap();
        for file in ["journal.jsonl", "lock", "index/db"] {
            fs::write(dir.path().join(file), "").unwrap();
        }
        dir
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// What is wrong for a writer, which must be what is wrong for a reader.
    #[track_caller]
    fn found(dir: &Path) -> Option<(String, Hazard)> {
        let of = |checked: Result<(), StoreError>| match checked {
            Ok(()) => None,
            Err(StoreError::Unsafe { path, why }) => Some((path.strip_prefix(dir).unwrap().to_string_lossy().into_owned(), why)),
            Err(error) => panic!("{error}"),
        };
        let seen = of(check(dir, Purpose::Look));
        assert_eq!(of(prepare(dir)), seen);
        seen
    }

    #[test]
    fn t17_a_state_that_others_may_write_to_is_refused() {
        let dir = state();
        assert_eq!(found(dir.path()), None);
        for mode in [0o777, 0o1777, 0o770, 0o702, 0o720] {
            set_mode(dir.path(), mode);
            assert_eq!(found(dir.path()), Some((String::new(), Hazard::Writable(mode))));
        }
        set_mode(dir.path(), 0o755);
        assert_eq!(found(dir.path()), None, "others may look, and see closed files");
        assert_eq!(dir.path().metadata().unwrap().mode() & 0o777, 0o700, "a writer closes it");
        set_mode(&dir.path().join("index"), 0o775);
        assert_eq!(found(dir.path()), Some(("index".to_owned(), Hazard::Writable(0o775))));
    }

    #[test]
    fn t17_an_empty_directory_is_closed_and_one_that_cannot_be_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        set_mode(dir.path(), 0o777);
        fs::write(dir.path().join("README.md"), "").unwrap();
        prepare(dir.path()).unwrap();
        assert_eq!(dir.path().metadata().unwrap().mode() & 0o777, 0o700);
        set_mode(dir.path(), 0o777);
        fs::write(dir.path().join("another's"), "").unwrap();
        let refused = prepare(dir.path());
        assert!(matches!(refused, Err(StoreError::Unsafe { why: Hazard::Writable(0o777), .. })), "{refused:?}");
    }

    #[test]
    fn t18_links_in_the_place_of_a_states_files_are_refused() {
        for name in ["journal.jsonl", "lock", "index", "index/db", "index/blobs", "emulator", "index/blobs/7"] {
            let dir = state();
            let (path, elsewhere) = (dir.path().join(name), tempfile::tempdir().unwrap());
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
            symlink(elsewhere.path(), &path).unwrap();
            assert_eq!(found(dir.path()), Some((name.to_owned(), Hazard::Link)));
            fs::remove_file(&path).unwrap();
            symlink("nowhere", &path).unwrap();
            assert_eq!(found(dir.path()), Some((name.to_owned(), Hazard::Link)), "a link that leads nowhere");
        }
        for name in ["journal.jsonl", "lock", "index/db"] {
            let dir = state();
            fs::hard_link(dir.path().join(name), dir.path().join("another-name")).unwrap();
            assert_eq!(found(dir.path()), Some((name.to_owned(), Hazard::Names(2))));
        }
        let dir = state();
        fs::remove_file(dir.path().join("lock")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("lock")).unwrap();
        assert_eq!(found(dir.path()), Some(("lock".to_owned(), Hazard::Kind)));
    }

    #[test]
    fn t18_the_directory_itself_may_be_behind_a_link() {
        let (dir, place) = (state(), tempfile::tempdir().unwrap());
        symlink(dir.path(), place.path().join("state")).unwrap();
        assert_eq!(found(&place.path().join("state")), None);
    }

    #[test]
    fn t17_what_is_another_users_is_refused() {
        let (user, dir) = (Some(4_242), state());
        if let Err(error) = std::os::unix::fs::chown(dir.path().join("lock"), user, None) {
            eprintln!("skipped: only root may give files away ({error})");
            return;
        }
        assert_eq!(found(dir.path()), Some(("lock".to_owned(), Hazard::Foreign(4_242))));
        for file in ["", "journal.jsonl", "index", "index/db", "index/blobs"] {
            std::os::unix::fs::chown(dir.path().join(file), user, None).unwrap();
        }
        check(dir.path(), Purpose::Look).expect("root may look at anybody's");
        let refused = prepare(dir.path());
        assert!(matches!(refused, Err(StoreError::Unsafe { why: Hazard::Foreign(4_242), .. })), "{refused:?}");
        assert!(!is_trusted(1, 2) && is_trusted(2, 2) && is_trusted(0, 2) && !is_trusted(1, 0));
    }

    #[test]
    fn t26_file_systems_of_several_machines_and_of_user_space_are_known() {
        for (magic, name) in [(0x6969, "NFS"), (0xFF53_4D42, "SMB/CIFS"), (0xFE53_4D42, "SMB/CIFS"), (0x6573_5546, "FUSE")] {
            assert_eq!(shared(magic), Some(name));
        }
        let local = [0xEF53, 0x5846_5342, 0x9123_683E, 0x2FC1_2FC1, 0x0102_1994, 0x794C_7630, 0xF2F5_2010, 0x8584_58F6];
        for magic in local {
            assert_eq!(shared(magic), None, "{magic:#x}: ext4, xfs, btrfs, zfs, tmpfs, overlay, f2fs, ramfs");
        }
        let here = tempfile::tempdir().unwrap();
        check_file_system(&here.path().join("not/yet/made")).unwrap();
        check_file_system(Path::new("not/yet/made")).unwrap();
    }
}
