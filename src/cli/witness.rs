//! The lock file of a state that is named without a manifest: where it is looked for, and what it says against the state.
//!
//! Where a plan or an apply would stop, looking goes on with a warning, as far as there is anything to look at; what writes, or
//! gives credentials away, stops as they do.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::WitnessArg;
use super::context::{Context, LOCK_FILE};
use super::error::CliError;
use crate::manifest::ProviderKind;
use crate::state::{Head, State};
use crate::store::{self, FileStore, LockFile, LockFileError, Reading, StoreError};

/// Names the lock file for every command that is not told of it.
const VARIABLE: &str = "CHATAPI_LOCK_FILE";

/// A lock file, or the place where one belongs.
#[derive(Debug)]
pub(super) struct Witness {
    pub(super) path: PathBuf,
    lock: Option<LockFile>,
}

impl Witness {
    /// The lock file that was named, or that is beside the state, or here.
    pub(super) fn find(context: &Context, named: Option<&WitnessArg>) -> Result<Self, LockFileError> {
        let (path, is_guess) = place(&context.state_dir, named);
        let lock = LockFile::read(&path)?.filter(|lock| !is_guess || !is_of_another(lock, &context.state_dir));
        Ok(Self { path, lock })
    }

    /// `error` with the ways out of it.
    pub(super) fn explain(&self, context: &Context, error: impl Into<CliError>) -> CliError {
        // Without a manifest the lock file alone tells whether anything costs money.
        error.into().on(ProviderKind::Emulator, &self.path, (&context.state_dir, &context.command()))
    }

    /// What `state` is now, in the place of what it was, if this is the state's lock file. Only of a position that is durable: a lock
    /// file that knows more than its state stops every run, so `head` has been synced.
    pub(super) fn renew(&self, context: &Context, state: &State, head: Head) {
        if self.lock.as_ref().is_none_or(|lock| lock.lineage != state.lineage) {
            context.console.note(format_args!("the next apply writes it into the lock file beside its manifest, {LOCK_FILE}"));
            return;
        }
        match LockFile::of(state, head, []).write(&self.path) {
            Ok(()) => context.console.note(format_args!("{} says so too: commit it", self.path.display())),
            Err(error) => {
                let told = CliError::unwritten(&error).hint("the state has it; the next apply writes the lock file");
                context.complain(&told);
            }
        }
    }
}

/// Where the lock file is, and whether that was only guessed: a state elsewhere need not be the one of a manifest here.
fn place(state_dir: &Path, named: Option<&WitnessArg>) -> (PathBuf, bool) {
    let set = || env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    if let Some(path) = named.and_then(|named| named.lock_file.clone()).or_else(set) {
        return (path, false);
    }
    let (beside, here) = (state_dir.with_file_name(LOCK_FILE), PathBuf::from(LOCK_FILE));
    if beside.exists() || !here.exists() { (beside, false) } else { (here, true) }
}

/// Whether the state in `dir` records something and is not the one that `lock` is of.
fn is_of_another(lock: &LockFile, dir: &Path) -> bool {
    let reading = store::read(dir, None);
    reading.is_ok_and(|Reading { state, .. }| state.lineage != lock.lineage && !state.records().is_empty())
}

/// Reads the state to show it. What the lock file says against it is told; only where nothing is left to be shown it is an error.
pub(super) fn look(context: &Context, named: &WitnessArg) -> Result<Reading, CliError> {
    let witness = match Witness::find(context, Some(named)) {
        Ok(witness) => witness,
        Err(error) => {
            context.console.warn("a plan and an apply will stop:");
            context.complain(&error.into());
            return Ok(store::read(&context.state_dir, None)?);
        }
    };
    let behind = match store::read(&context.state_dir, witness.lock.as_ref()) {
        Ok(reading) => return Ok(reading),
        Err(behind @ StoreError::Behind(_)) => behind,
        Err(error) => return Err(witness.explain(context, error)),
    };
    let error = witness.explain(context, behind);
    match store::read(&context.state_dir, None) {
        Ok(reading) if !reading.state.records().is_empty() => {
            context.console.warn("what is shown may not be all that exists; a plan and an apply will stop:");
            context.complain(&error);
            Ok(reading)
        }
        _ => Err(error),
    }
}

/// Reads the state to pass on what it holds: a state that the lock file speaks against is refused.
pub(super) fn read(context: &Context, named: &WitnessArg) -> Result<Reading, CliError> {
    let witness = Witness::find(context, Some(named))?;
    store::read(&context.state_dir, witness.lock.as_ref()).map_err(|error| witness.explain(context, error))
}

/// Opens the state to write to it, if the lock file does not speak against it.
pub(super) fn open(
    context: &Context,
    verb: &str,
    timeout: Duration,
    named: &WitnessArg,
) -> Result<(FileStore, Witness), CliError> {
    let witness = Witness::find(context, Some(named))?;
    if !context.state_dir.exists() {
        // An empty directory would be in the way of a copy that is brought back.
        store::read(&context.state_dir, witness.lock.as_ref()).map_err(|error| witness.explain(context, error))?;
    }
    let opened = context.open(verb, timeout, witness.lock.as_ref());
    let store = opened.map_err(|error| witness.explain(context, error))?;
    Ok((store, witness))
}

/// There is no state where one is needed: a lost one, if a lock file tells of it.
pub(super) fn absent(context: &Context) -> CliError {
    let error = StoreError::Absent(context.state_dir.clone());
    let Ok(witness) = Witness::find(context, None) else { return error.into() };
    match store::read(&context.state_dir, witness.lock.as_ref()) {
        Err(behind @ StoreError::Behind(_)) => witness.explain(context, behind),
        _ => error.into(),
    }
}
