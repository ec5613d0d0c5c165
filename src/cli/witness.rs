//! The lock file of a state: where it is looked for, one rule for all commands, and what it says against the state.
//!
//! Where a plan or an apply would stop, looking goes on with a warning, as far as there is anything to look at; what writes, or
//! gives credentials away, stops as they do.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::WitnessArg;
use super::console::BOLD;
use super::context::{Context, LOCK_FILE, typed};
use super::environment::Chosen;
use super::error::CliError;
use super::exit::Exit;
use super::reports::whole;
use super::reserved;
use crate::manifest::ProviderKind;
use crate::state::{Head, Lineage, State};
use crate::store::{self, FileStore, LockFile, LockFileError, Reading, StateStore as _, StoreError};

/// Names the lock file for every command that is not told of it.
const VARIABLE: &str = "CHATAPI_LOCK_FILE";

/// The manifest that a command reads which is not told of one.
pub(super) const MANIFEST: &str = "instances.yaml";

/// A lock file, or the place where one belongs.
#[derive(Debug)]
pub(super) struct Witness {
    /// The one that is written.
    pub(super) path: PathBuf,
    /// What the state is held against.
    lock: Option<LockFile>,
    /// A second one of the same state. It is never written.
    other: Option<PathBuf>,
    /// It is `other` that the state is held against.
    is_other_newer: bool,
    /// Nobody named it, and it is not where it is looked for first.
    is_guess: bool,
}

impl Witness {
    /// Of a command that reads manifests: the lock file that was named, or that is beside the first manifest, or beside the state.
    pub(super) fn of_manifests(context: &Context, files: &[PathBuf], named: Option<&PathBuf>) -> Result<Self, LockFileError> {
        let manifest = beside_manifest(files);
        look_for(context, named, [manifest.clone(), beside_state(&context.state_dir)], manifest)
    }

    /// Of a saved plan, which says where the lock file was when it was made.
    pub(super) fn of_plan(context: &Context, planned: PathBuf, named: Option<&PathBuf>) -> Result<Self, LockFileError> {
        look_for(context, named, [planned.clone(), beside_state(&context.state_dir)], planned)
    }

    /// As [`Witness::of_manifests`], of a command that writes to what an apply has made.
    pub(super) fn of_applied(context: &Context, files: &[PathBuf], named: Option<&PathBuf>) -> Result<Self, LockFileError> {
        check_named(context, named)?;
        Self::of_manifests(context, files, named)
    }

    /// Of a command without a manifest: the lock file that was named, or that is beside the state, or here.
    pub(super) fn of_state(context: &Context, named: Option<&PathBuf>) -> Result<Self, LockFileError> {
        check_named(context, named)?;
        Self::of_restored(context, named)
    }

    /// As [`Witness::of_state`], of a command that makes the state anew, and its lock file too.
    pub(super) fn of_restored(context: &Context, named: Option<&PathBuf>) -> Result<Self, LockFileError> {
        let (beside, here) = (beside_state(&context.state_dir), PathBuf::from(LOCK_FILE));
        let default = if Path::new(MANIFEST).exists() { here.clone() } else { beside.clone() };
        look_for(context, named, [beside, here], default)
    }

    /// What the state is held against.
    pub(super) fn lock(&self) -> Option<&LockFile> {
        self.lock.as_ref()
    }

    /// Where that stands; if there is none: where it belongs.
    pub(super) fn source(&self) -> &Path {
        self.other.as_ref().filter(|_| self.is_other_newer).unwrap_or(&self.path)
    }

    /// Whether the lock file that is written says `now` already.
    pub(super) fn is_current(&self, now: &LockFile) -> bool {
        !self.is_other_newer && self.lock.as_ref() == Some(now)
    }

    /// `error` with the ways out of it. Without a manifest the lock file alone tells whether anything costs money.
    pub(super) fn explain(&self, context: &Context, error: impl Into<CliError>) -> CliError {
        self.explain_to(context, ProviderKind::Emulator, error)
    }

    /// `error` with the ways out of it, where the manifest names `provider`.
    pub(super) fn explain_to(&self, context: &Context, provider: ProviderKind, error: impl Into<CliError>) -> CliError {
        error.into().on(provider, (self.source(), self.is_guess), &context.state_dir)
    }

    /// Opens the state to write to it, if this does not speak against it.
    pub(super) fn open(&self, context: &Context, verb: &str, timeout: Duration) -> Result<FileStore, CliError> {
        if !context.state_dir.exists() {
            // An empty directory would be in the way of a copy that is brought back.
            store::read(&context.state_dir, self.lock()).map_err(|error| self.explain(context, error))?;
        }
        context.open(verb, timeout, self.lock()).map_err(|error| self.explain(context, error))
    }

    /// The manifest of the usual name that is of the state of `lineage` for certain: a lock file of that is beside it, and none of
    /// another state.
    pub(super) fn manifest_of(&self, lineage: &Lineage) -> Option<PathBuf> {
        let is_its = |path: &Path| LockFile::read(path).is_ok_and(|lock| lock.is_some_and(|lock| lock.lineage == *lineage));
        let locks = [Some(&self.path), self.other.as_ref()].into_iter().flatten().filter(|path| is_its(path));
        let mut manifests = locks.map(|path| path.with_file_name(MANIFEST));
        manifests.find(|manifest| {
            let usual = manifest.with_file_name(LOCK_FILE);
            manifest.exists() && (is_its(&usual) || !usual.exists())
        })
    }

    /// Brings the lock file up to `state` at `head`, if it is that state's. Only of a position that is durable: a lock file that knows
    /// more than its state stops every run. Nothing is printed, for that may take its time.
    pub(super) fn renew(&self, state: &State, head: Head) -> Renewed<'_> {
        let is_its = self.lock.as_ref().is_some_and(|lock| lock.lineage == state.lineage);
        Renewed { witness: self, written: is_its.then(|| LockFile::of(state, head, []).write(&self.path)) }
    }

    /// Brings the lock file up to `store`, which has been synced, and lets the state go.
    pub(super) fn close(&self, store: FileStore) -> Closed<'_> {
        let renewed = self.renew(store.state(), store.head());
        Closed { renewed, let_go: Box::new(store).close() }
    }

    /// Says that a second lock file stays as it was, after this one was written.
    pub(super) fn tell_of_other(&self, context: &Context) {
        if let Some(other) = &self.other {
            let (path, other) = (self.path.display(), typed(other));
            context.console.warn(format_args!("{path} was written, and {other}, a lock file of this state too, stays behind"));
            context.console.note(format_args!(
                "  {BOLD}hint{BOLD:#}: one is enough: `rm {other}`, or name one for every run: `--lock-file`, {VARIABLE}"
            ));
        }
    }
}

/// What became of the lock file of a state that was written to.
#[must_use = "it is to be told"]
pub(super) struct Renewed<'a> {
    witness: &'a Witness,
    /// None: it has none here.
    written: Option<Result<(), LockFileError>>,
}

impl Renewed<'_> {
    /// Tells it, after what was done; gives how the command ends if nothing else is wrong.
    pub(super) fn tell(self, context: &Context) -> Exit {
        match self.written {
            None => {
                let note = format_args!("the next apply writes it into the lock file beside its manifest, {LOCK_FILE}");
                context.console.note(note);
                Exit::Done
            }
            Some(Ok(())) => {
                context.console.note(format_args!("{} says so too: commit it", self.witness.path.display()));
                self.witness.tell_of_other(context);
                Exit::Done
            }
            Some(Err(error)) => {
                context.complain(&CliError::unwritten(&error).hint("the state has it; the next apply writes the lock file"));
                Exit::Partly
            }
        }
    }
}

/// A state that was written to and let go.
#[must_use = "it is to be told"]
pub(super) struct Closed<'a> {
    renewed: Renewed<'a>,
    let_go: Result<(), StoreError>,
}

impl Closed<'_> {
    /// Tells it, after what was done; gives how the command ends if nothing else is wrong.
    pub(super) fn tell(self, context: &Context) -> Result<Exit, CliError> {
        self.let_go?;
        Ok(self.renewed.tell(context))
    }
}

/// What was named by the process's environment.
fn set_path() -> Option<PathBuf> {
    env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// A lock file that was named has to be there, where the state here says that there was one: else a mistyped name would stand for a
/// state that nothing speaks against.
fn check_named(context: &Context, named: Option<&PathBuf>) -> Result<(), LockFileError> {
    let records_something =
        || store::read(&context.state_dir, None).is_ok_and(|Reading { state, .. }| !state.records().is_empty());
    // Clap has looked into the environment where a command has the flag; one that has not looks now.
    match named.cloned().or_else(set_path) {
        Some(path) if matches!(path.try_exists(), Ok(false)) && records_something() => Err(LockFileError::Absent(path)),
        _ => Ok(()),
    }
}

/// The one rule for all commands: what was named; else what is at `first`; else what is at `second`, unless the state records something
/// and is another one. Of two lock files of one state the newer one counts. Where there is none, one belongs at `default`.
fn look_for(
    context: &Context,
    named: Option<&PathBuf>,
    places: [PathBuf; 2],
    default: PathBuf,
) -> Result<Witness, LockFileError> {
    places.iter().chain([&default]).try_for_each(|path| check_place(context, path))?;
    found(context, told(context, named)?, places, default)
}

/// The lock file that is the environment's, or was named.
pub(super) fn told(context: &Context, named: Option<&PathBuf>) -> Result<Option<PathBuf>, LockFileError> {
    let own = context.environment.as_ref().map(Chosen::lock_file);
    let named = named.cloned().or_else(set_path);
    named.iter().chain(&own).try_for_each(|path| check_place(context, path))?;
    match (own, named) {
        (Some(own), Some(named)) if reserved::real(&own) != reserved::real(&named) => Err(LockFileError::Two { own, named }),
        (own, named) => Ok(own.or(named)),
    }
}

fn check_place(context: &Context, path: &Path) -> Result<(), LockFileError> {
    if reserved::is_in_state(context, path) { Err(LockFileError::InState(path.to_owned())) } else { Ok(()) }
}

fn found(
    context: &Context,
    named: Option<PathBuf>,
    [first, second]: [PathBuf; 2],
    default: PathBuf,
) -> Result<Witness, LockFileError> {
    let alone = |path: PathBuf, lock, is_guess| Witness { path, lock, other: None, is_other_newer: false, is_guess };
    if let Some(path) = named {
        return Ok(alone(path.clone(), LockFile::read(&path)?, false));
    }
    let found = LockFile::read(&first)?;
    if whole(&first) == whole(&second) {
        return Ok(alone(first, found, false));
    }
    let Some(found) = found else {
        // Where nobody may look, the state beside it cannot be read either, and says so.
        let near = if second.try_exists().is_ok() { LockFile::read(&second)? } else { None };
        let is_taken = near.is_some();
        return Ok(match near.filter(|lock| !is_of_another(lock, &context.state_dir)) {
            Some(lock) => alone(second, Some(lock), true),
            // Another state's lock file is not written over.
            None => alone(if is_taken { first } else { default }, None, false),
        });
    };
    let near = LockFile::read(&second).unwrap_or_else(|error| {
        context.console.warn(format_args!("{error}; the lock file is {}", first.display()));
        None
    });
    // One that records nothing tells of no state, and stands for any.
    let tells =
        |near: &LockFile| !found.records_anything() && near.records_anything() && !is_of_another(near, &context.state_dir);
    match near.filter(|near| near.lineage == found.lineage || tells(near)) {
        Some(near) if near.lineage != found.lineage || near.serial > found.serial => {
            let (newer, older) = (second.display(), first.display());
            context
                .console
                .warn(format_args!("beside {older} there is {newer}, which knows more: the state is held against that"));
            Ok(Witness { path: first, lock: Some(near), other: Some(second), is_other_newer: true, is_guess: true })
        }
        Some(_) => Ok(Witness { path: first, lock: Some(found), other: Some(second), is_other_newer: false, is_guess: false }),
        None => Ok(alone(first, Some(found), false)),
    }
}

/// Where the lock file of these manifests belongs: beside the first one.
pub(super) fn beside_manifest(files: &[PathBuf]) -> PathBuf {
    match files.first() {
        Some(first) if first.as_os_str() == "-" => PathBuf::from(LOCK_FILE),
        Some(first) if first.is_dir() => first.join(LOCK_FILE),
        Some(first) => first.with_file_name(LOCK_FILE),
        None => PathBuf::from(LOCK_FILE),
    }
}

/// A lock file beside the state directory; where that is a link and has none, beside the directory that it leads to.
pub(super) fn beside_state(dir: &Path) -> PathBuf {
    let beside = |dir: &Path| match dir.file_name() {
        Some(_) => dir.with_file_name(LOCK_FILE),
        // `.`, `..` and `/` would be taken for its parent.
        None => dir.join("..").join(LOCK_FILE),
    };
    let here = beside(dir);
    let whole = if here.exists() { None } else { std::fs::canonicalize(dir).ok() };
    whole.map(|dir| beside(&dir)).filter(|there| there.exists()).unwrap_or(here)
}

/// Whether the state in `dir` records something and is not the one that `lock` is of.
fn is_of_another(lock: &LockFile, dir: &Path) -> bool {
    let reading = store::read(dir, None);
    reading.is_ok_and(|Reading { state, .. }| state.lineage != lock.lineage && !state.records().is_empty())
}

/// Reads the state to show it. What the lock file says against it is told; only where nothing is left to be shown it is an error.
pub(super) fn look(context: &Context, named: &WitnessArg) -> Result<Reading, CliError> {
    let witness = match Witness::of_state(context, named.lock_file.as_ref()) {
        Ok(witness) => witness,
        Err(wrong @ (LockFileError::Absent(_) | LockFileError::InState(_) | LockFileError::Two { .. })) => {
            return Err(wrong.into());
        }
        Err(error) => {
            context.forewarn("a plan and an apply will stop", &error.into());
            return Ok(store::read(&context.state_dir, None)?);
        }
    };
    let behind = match store::read(&context.state_dir, witness.lock()) {
        Ok(reading) => return Ok(reading),
        Err(behind @ StoreError::Behind(_)) => behind,
        Err(error) => return Err(witness.explain(context, error)),
    };
    let error = witness.explain(context, behind);
    match store::read(&context.state_dir, None) {
        Ok(reading) if !reading.state.records().is_empty() => {
            context.forewarn("what is shown may not be all that exists; a plan and an apply will stop", &error);
            Ok(reading)
        }
        _ => Err(error),
    }
}

/// Reads the state to pass on what it holds: a state that the lock file speaks against is refused.
pub(super) fn read(context: &Context, named: &WitnessArg) -> Result<Reading, CliError> {
    let witness = Witness::of_state(context, named.lock_file.as_ref())?;
    let reading = store::read(&context.state_dir, witness.lock()).map_err(|error| witness.explain(context, error))?;
    context.check_environment(reading.state.binding.as_ref(), &reading.state.lineage)?;
    Ok(reading)
}

/// Opens the state to write to it, if the lock file does not speak against it.
pub(super) fn open(
    context: &Context,
    verb: &str,
    timeout: Duration,
    named: &WitnessArg,
) -> Result<(FileStore, Witness), CliError> {
    let witness = Witness::of_state(context, named.lock_file.as_ref())?;
    let store = witness.open(context, verb, timeout)?;
    context.check_environment(store.state().binding.as_ref(), &store.state().lineage)?;
    Ok((store, witness))
}

/// There is no state where one is needed: a lost one, if a lock file tells of it.
pub(super) fn absent(context: &Context) -> CliError {
    let error = StoreError::Absent(context.state_dir.clone());
    let Ok(witness) = Witness::of_state(context, None) else { return error.into() };
    match store::read(&context.state_dir, witness.lock()) {
        Err(behind @ StoreError::Behind(_)) => witness.explain(context, behind),
        _ => error.into(),
    }
}
