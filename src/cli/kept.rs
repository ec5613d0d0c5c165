//! What no output may take the place of: the state, lock files, manifests, plans and keys.

use std::env;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::context::{Context, LOCK_FILE};
use super::environment::Chosen;
use super::reports::whole;
use super::reserved::{self, real};
use super::saved;
use crate::store::{self, LockFile};

/// Variables that name a file with a key, or the lock file.
const VARIABLES: [&str; 3] = ["CHATAPI_API_KEY_FILE", "CHATAPI_IDENTITY_FILE", "CHATAPI_LOCK_FILE"];

/// Variables that name a file of the CI system.
const RUNNER: [&str; 5] = ["GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STATE", "GITHUB_STEP_SUMMARY"];

/// So much of a file tells whether it is a manifest.
const LOOK: u64 = 64 * 1_024;

/// The files that a command reads, or that must outlive it.
#[derive(Debug)]
pub(super) struct Kept {
    states: Vec<PathBuf>,
    /// Files of other environments, and the one that declares them.
    of_environments: Vec<PathBuf>,
    files: Vec<PathBuf>,
    /// Files by which a job tells the CI system something.
    of_the_runner: Vec<PathBuf>,
    /// Every manifest in one of these is read.
    folders: Vec<PathBuf>,
}

impl Kept {
    /// Of a command that reads `read`, manifests or a saved plan, and `others`.
    pub(super) fn of(context: &Context, read: &[PathBuf], others: impl IntoIterator<Item = PathBuf>) -> Self {
        let plans = read.iter().filter(|path| saved::is_one(path)).filter_map(|path| saved::read(path).ok());
        let planned = plans.flat_map(|plan| plan.manifest.files.into_iter().chain([plan.manifest.lock_file]).map(PathBuf::from));
        let named = VARIABLES.iter().filter_map(env::var_os).filter(|path| !path.is_empty()).map(PathBuf::from);
        let all: Vec<PathBuf> = read.iter().cloned().chain(planned).chain(named).chain(others).map(|path| whole(&path)).collect();
        let (folders, files) = all.into_iter().partition(|path| path.is_dir());
        let of_the_runner =
            RUNNER.iter().filter_map(env::var_os).filter(|path| !path.is_empty()).map(|path| whole(Path::new(&path)));
        let of_environments = context.environment.iter().flat_map(Chosen::files).map(|path| real(path)).collect();
        Self { states: reserved::states(context), of_environments, files, of_the_runner: of_the_runner.collect(), folders }
    }

    /// Why no output may be written to `path`; none: it may.
    pub(super) fn refusal(&self, path: &Path) -> Option<&'static str> {
        let stands_there = || match () {
            () if looks_like(path, b"instances:") => Some("a manifest is there"),
            () if declares_environments(path) => Some("a file of environments is there"),
            () if matches!(LockFile::read(path), Ok(Some(_))) => Some("a lock file is there"),
            () if path.is_file() && saved::is_one(path) => Some("a saved plan is there"),
            () => None,
        };
        self.purpose(path).or_else(stands_there)
    }

    /// What `path` is for, if it is for something; whatever stands there.
    pub(super) fn purpose(&self, path: &Path) -> Option<&'static str> {
        let path = whole(path);
        let is_manifest = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
        match () {
            () if self.states.iter().any(|dir| real(&path).starts_with(dir)) || store::is_of_state(&path) => {
                Some("it is in a state's directory, where nothing else is written")
            }
            () if path.file_name().is_some_and(|name| name == LOCK_FILE) => Some("that is a lock file's name"),
            () if self.files.contains(&path) => Some("it is read by this very run"),
            () if self.of_environments.contains(&real(&path)) => Some("it belongs to an environment"),
            () if self.of_the_runner.contains(&path) => Some("it is the CI system's, which has it appended to"),
            () if is_manifest && self.folders.iter().any(|folder| path.parent() == Some(folder)) => {
                Some("it is read by this very run")
            }
            () => None,
        }
    }
}

/// Whether the file at `path` declares environments, whatever it is called.
pub(super) fn declares_environments(path: &Path) -> bool {
    looks_like(path, b"environments:")
}

/// Whether what stands at `path` has `list`, as what people write by hand. What `output` has written has the same list as a manifest,
/// and a version of its own.
fn looks_like(path: &Path, list: &[u8]) -> bool {
    let mut text = Vec::new();
    let is_file = path.metadata().is_ok_and(|found| found.is_file());
    let read = is_file && File::open(path).is_ok_and(|file| file.take(LOOK).read_to_end(&mut text).is_ok());
    let begins = |word: &[u8]| text.split(|byte| *byte == b'\n').any(|line| line.starts_with(word));
    read && begins(list) && !begins(b"format_version:")
}
