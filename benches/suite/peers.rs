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
    /// A resource of Terraform's own for each, with a curl.
    Terraform,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Curl => "curl --parallel",
            Self::Xargs => "xargs and curl",
            Self::Terraform => "terraform",
        })
    }
}

/// One resource for each instance; it is built in, so that no provider is fetched.
const CONFIGURATION: &str = r#"
variable "creates" { type = bool }
locals { names = toset([for index in range(COUNT) : format("shop-%07d", index)]) }
resource "terraform_data" "instance" {
  for_each = local.names
  input    = { type = "whatsapp" }
}
resource "terraform_data" "create" {
  for_each = var.creates ? local.names : toset([])
  provisioner "local-exec" {
    command = "curl -sf -H 'content-type: application/json' -d '{\"uid\":\"benchmark\",\"type\":\"whatsapp\"}' -o '${each.key}.json' 'URLnewInstance'"
  }
}
"#;

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
                Peer::Terraform => break,
            }
        }
        std::fs::write(dir.path().join("all"), text)?;
        let job = Self { dir, peer, parallelism, url: url.to_owned() };
        if peer == Peer::Terraform {
            let text = CONFIGURATION.replace("COUNT", &count.to_string()).replace("URL", url);
            std::fs::write(job.dir.path().join("main.tf"), text)?;
            job.terraform(&["init", "-input=false"]).output()?;
        }
        Ok(job)
    }

    /// `terraform` with `words`, in this directory.
    fn terraform(&self, words: &[&str]) -> Command {
        let mut command = Command::new("terraform");
        command.args(words).current_dir(self.dir.path()).env("CHECKPOINT_DISABLE", "1").env_remove("TF_CLI_CONFIG_FILE");
        command
    }

    /// Terraform's record of all of them, made without a curl for each.
    pub(super) fn record(&self) -> Result<()> {
        let applied = self.terraform(&["apply", "-auto-approve", "-input=false", "-var=creates=false"]).output()?;
        if applied.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&applied.stderr).into()) }
    }

    /// Terraform's plan after [`Job::record`]: nothing is to be done.
    pub(super) fn plan(&self) -> Command {
        self.terraform(&["plan", "-input=false", "-var=creates=false"])
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
            Peer::Terraform => {
                let most = format!("-parallelism={most}");
                command = self.terraform(&["apply", "-auto-approve", "-input=false", "-var=creates=true", &most]);
            }
        }
        command.current_dir(self.dir.path());
        command
    }
}
