//! A file system on a block device of its own, whose power can be cut: only what the device has been given survives.
//!
//! The device is a loop device over an image. A cut copies the image as it is at that moment: what is still in the page cache of
//! the file system is not in it. The copy is then mounted in its place, and the file system replays its own journal.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::super::crash_points::scene::scratch;

/// Mounts, then obeys. Leaves neither a mount nor a loop device: both go with its mount namespace. What was killed may keep its files for a
/// moment longer, and so may a program that another test starts; others may be faster at a free loop device: both pass.
const KEEPER: &str = r#"
options=$0 place=$1
patiently() { n=0; until "$@"; do n=$((n + 1)); [ $n -lt 300 ] || return 1; sleep 0.1; done; }
cd "$place" && mkdir mnt || exit 1
truncate -s 24M image
mkfs.ext4 -q -F -b 4096 -m 0 -J size=4 -E lazy_itable_init=0,lazy_journal_init=0,nodiscard image || exit 1
mount -o "loop,$options" image mnt && chmod 700 mnt && sync -f mnt && echo ready || exit 1
while read -r order; do
    case $order in
        cut) cp --sparse=always image cut ;;
        fall) patiently umount mnt && mv cut image && patiently mount -o "loop,$options" image mnt ;;
    esac && echo done || echo failed
done
cd / ; patiently umount "$place/mnt""#;

/// Never written back in the middle of a test by itself.
const LAZY: &str = "commit=300";

/// An ext4 in a mount namespace of its own, reached through the keeper's view of the file system.
#[derive(Debug)]
pub(super) struct BlockDisk {
    keeper: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    path: PathBuf,
    _place: tempfile::TempDir,
}

impl BlockDisk {
    /// With the journal mode `mode` of ext4. An error says why this machine cannot have one.
    pub(super) fn new(mode: &str) -> Result<Self, String> {
        let place = scratch();
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", KEEPER, &format!("{LAZY},data={mode}")]).arg(place.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut keeper = command.spawn().map_err(|error| format!("no `unshare`: {error}"))?;
        let orders = keeper.stdin.take();
        let answers = BufReader::new(keeper.stdout.take().unwrap());
        let path = PathBuf::from(format!("/proc/{}/root{}/mnt", keeper.id(), place.path().display()));
        let mut disk = Self { keeper, orders, answers, path, _place: place };
        let is_usable = disk.answer() == "ready" && std::fs::read_dir(&disk.path).is_ok();
        if is_usable { Ok(disk) } else { Err("mounting a loop device in a namespace of its own is not allowed here".to_owned()) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps what the device has at this moment.
    pub(super) fn cut(&mut self) {
        self.order("cut");
    }

    /// Comes up again with what was kept. Nobody may have a file open.
    pub(super) fn come_up(&mut self) {
        self.order("fall");
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders.as_mut().unwrap(), "{order}").unwrap();
        assert_eq!(self.answer(), "done", "{order}");
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for BlockDisk {
    fn drop(&mut self) {
        // The end of its orders: it unmounts and goes.
        drop(self.orders.take());
        let _ = self.keeper.wait();
    }
}
