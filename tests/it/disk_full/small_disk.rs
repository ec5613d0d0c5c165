//! A file system of a chosen size, mounted where nobody else sees it, and gone with the process that holds it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Mounts, then obeys: each line is a mount option to take over, or `fill`.
const KEEPER: &str = r#"mount -t tmpfs -o "$0" tmpfs "$1" && echo ready || exit 1
while read -r order; do
  case "$order" in
  fill) cat /dev/zero >"$1/filler" 2>&-; test -e "$1/filler" ;;
  *) mount -o "remount,$order" tmpfs "$1" ;;
  esac && echo done || echo failed
done"#;

/// A tmpfs in a mount namespace of its own, reached through the keeper's view of the file system.
#[derive(Debug)]
pub(super) struct SmallDisk {
    keeper: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    path: PathBuf,
    _place: tempfile::TempDir,
}

impl SmallDisk {
    /// Of `kib` KiB. An error says why this machine cannot have one.
    pub(super) fn new(kib: u64) -> Result<Self, String> {
        // As root, or as whoever may be root in a namespace.
        Self::mounted(kib, "-m").or_else(|_| Self::mounted(kib, "-rm"))
    }

    fn mounted(kib: u64, namespaces: &str) -> Result<Self, String> {
        let place = tempfile::tempdir().unwrap();
        let mut command = Command::new("unshare");
        command.args([namespaces, "sh", "-c", KEEPER, &format!("size={kib}k,mode=0700")]).arg(place.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut keeper = command.spawn().map_err(|error| format!("no `unshare`: {error}"))?;
        let orders = keeper.stdin.take().unwrap();
        let answers = BufReader::new(keeper.stdout.take().unwrap());
        let path = PathBuf::from(format!("/proc/{}/root{}", keeper.id(), place.path().display()));
        let mut disk = Self { keeper, orders, answers, path, _place: place };
        let answer = disk.answer();
        let is_usable = answer == "ready" && std::fs::read_dir(&disk.path).is_ok();
        if is_usable { Ok(disk) } else { Err("mounting a tmpfs in a namespace of its own is not allowed here".to_owned()) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// `size=4096k`, `ro`, `rw`.
    pub(super) fn remount(&mut self, option: &str) {
        writeln!(self.orders, "{option}").unwrap();
        assert_eq!(self.answer(), "done", "remount {option}");
    }

    /// Has a file written until nothing more fits. By the keeper: a file that is open here may be open for a moment longer in a program
    /// that another test starts, and keeps its room so long after it was removed.
    pub(super) fn fill(&mut self) {
        writeln!(self.orders, "fill").unwrap();
        assert_eq!(self.answer(), "done", "fill");
    }

    pub(super) fn unfill(&self) {
        std::fs::remove_file(self.path.join("filler")).unwrap();
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
