//! What people would use instead: the same creates by other means, which remember nothing.

use std::fmt;
use std::fmt::Write as _;
use std::process::Command;

use super::Result;

/// The means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Peer {
    /// One curl for all of them, `--parallel`.
    Curl,
    /// A shell that starts a curl for each, by xargs.
    Xargs,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Curl => "curl --parallel",
            Self::Xargs => "xargs and curl",
        })
    }
}

/// A directory with what a peer has to do.
pub(super) struct Job {
    dir: tempfile::TempDir,
    peer: Peer,
    parallelism: usize,
    url: String,
}

impl Job {
    pub(super) fn new(peer: Peer, count: usize, parallelism: usize, url: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut text = String::new();
        for index in 0..count {
            match peer {
                Peer::Curl => {
                    let next = if index == 0 { "" } else { "next\n" };
                    writeln!(text, "{next}url = \"{url}newInstance\"\nheader = \"content-type: application/json\"")?;
                    writeln!(text, "data = \"{{\\\"uid\\\":\\\"benchmark\\\",\\\"type\\\":\\\"whatsapp\\\"}}\"")?;
                    writeln!(text, "output = \"{index}.json\"\nsilent")?;
                }
                Peer::Xargs => writeln!(text, "{index}")?,
            }
        }
        std::fs::write(dir.path().join("all"), text)?;
        Ok(Self { dir, peer, parallelism, url: url.to_owned() })
    }

    pub(super) fn command(&self) -> Command {
        let most = self.parallelism.to_string();
        let mut command;
        match self.peer {
            Peer::Curl => {
                command = Command::new("curl");
                command.args(["--parallel", "--parallel-max", &most, "--config", "all"]);
            }
            Peer::Xargs => {
                let one = "curl -sf -H 'content-type: application/json' -d '{\"uid\":\"benchmark\",\"type\":\"whatsapp\"}' -o";
                command = Command::new("sh");
                let each = format!("{one} \"$0.json\" {}newInstance", self.url);
                command.args(["-c", "xargs -P \"$0\" -n 1 sh -c \"$1\" < all", &most, &each]);
            }
        }
        command.current_dir(self.dir.path());
        command
    }
}
