//! Directories with a manifest of so many instances.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::Result;

/// How a manifest says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Manifest {
    /// Every instance by itself, with a name and a type.
    Listed,
    /// One entry, with a count.
    Generated,
}

/// A directory with a manifest, and the address of the emulator that its instances are created on.
pub(super) struct Project {
    dir: tempfile::TempDir,
    url: String,
    pub(super) count: usize,
}

impl Project {
    pub(super) fn new(count: usize, manifest: Manifest, url: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut text = String::from("version: 1\ninstances:\n");
        match manifest {
            Manifest::Generated => write!(text, "  - name: shop-{{n:07}}\n    type: whatsapp\n    count: {count}\n")?,
            Manifest::Listed => {
                for index in 0..count {
                    let kind = if index % 4 == 0 { "whatsapp_dev" } else { "whatsapp" };
                    writeln!(text, "  - name: shop-{index:07}\n    type: {kind}")?;
                }
            }
        }
        std::fs::write(dir.path().join("instances.yaml"), text)?;
        Ok(Self { dir, url: url.to_owned(), count })
    }

    pub(super) fn path(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// `chatapi` with `words`, in this directory.
    pub(super) fn command(&self, words: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chatapi"));
        command.args(words).current_dir(self.dir.path());
        command.env("CHATAPI_URL", &self.url).env("CHATAPI_API_KEY", "benchmark").env("CI", "false");
        command
    }

    /// Creates what is missing, without measuring it.
    pub(super) fn create(&self) -> Result<()> {
        let mut command = self.command(&["apply", "--parallelism", "64"]);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err(format!("an apply of {} ended with {status}", self.count).into()) }
    }

    /// The journal is read instead, then.
    pub(super) fn lose_index(&self) -> Result<()> {
        Ok(std::fs::remove_dir_all(self.dir.path().join("state/index"))?)
    }
}

/// What the server's latency alone makes so many creates cost: ⌈N/P⌉·L.
pub(super) fn ideal(count: usize, parallelism: usize, latency: u64) -> Duration {
    Duration::from_millis(count.div_ceil(parallelism.max(1)) as u64 * latency)
}
