//! What git says of a file. A machine without git, or a git that does not answer, is no finding.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::pipelines;
use crate::cli::process::child_command;
use crate::doctor::{Git, Tracking};

/// How long one question may take; in a large work tree it takes a moment.
const PATIENCE: Duration = Duration::from_secs(10);

/// What git says of the journal and of the lock file; none: no git, or no work tree around `home`, where the manifest is.
pub(super) fn look(home: &Path, journal: &Path, lock: &Path) -> Option<Git> {
    ask(home, &["rev-parse", "--is-inside-work-tree"], None).filter(|code| *code == 0)?;
    Some(Git { state: tracking(home, journal), lock: tracking(home, lock) })
}

/// What git says of `files`, those that are in a work tree.
pub(super) fn look_at(home: &Path, files: impl Iterator<Item = PathBuf>) -> Vec<(PathBuf, Tracking)> {
    files.filter_map(|file| Some((tracking(home, &file)?, file))).map(|(tracking, file)| (file, tracking)).collect()
}

/// None: the file is in no work tree. One inside another, as a state on a branch of its own has it, is asked itself.
fn tracking(home: &Path, file: &Path) -> Option<Tracking> {
    let own = pipelines::root(file.parent()?)?;
    let is_apart = pipelines::root(home).is_some_and(|root| root != own);
    let directory = if is_apart { &own } else { home };
    // 0: ignored, 1: not; more: outside, or another error.
    let is_ignored = match ask(directory, &["check-ignore", "--quiet", "--no-index"], Some(file))? {
        0 => true,
        1 => false,
        _ => return None,
    };
    let is_tracked = ask(directory, &["ls-files", "--error-unmatch"], Some(file))? == 0;
    Some(Tracking { is_ignored, is_tracked, is_apart })
}

/// Git's exit code. It takes no lock, and starts no program that the repository's settings name.
fn ask(directory: &Path, words: &[&str], file: Option<&Path>) -> Option<i32> {
    let mut git = child_command("git");
    git.arg("-C").arg(directory).args(["-c", "core.fsmonitor=false"]).args(words);
    if let Some(file) = file {
        git.arg("--").arg(file);
    }
    git.env("GIT_OPTIONAL_LOCKS", "0").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = git.spawn().ok()?;
    let give_up = Instant::now() + PATIENCE;
    loop {
        match child.try_wait().ok()? {
            Some(status) => return status.code(),
            None if Instant::now() < give_up => std::thread::park_timeout(Duration::from_millis(2)),
            None => {
                // It may have ended just now.
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}
