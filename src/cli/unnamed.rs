//! States and lock files of environments that `chatapi.yaml` names no more, or that nobody has read: whoever begins a new state beside
//! them may mean one of them, and would create everything in it again.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::context::{Context, STATE, typed};
use super::environment::{self, Chosen};
use super::error::CliError;
use super::exit::Exit;
use super::reserved::real;
use crate::manifest::ProviderKind;
use crate::state::Origin;
use crate::store::{self, LockFile, Reading};

/// Most entries of a directory that are looked at.
const LOOKED_AT: usize = 10_000;

/// Refuses to begin a state where one of a name that is gone may be meant. `lock_file` is where the lock file of this one is.
pub(super) fn check(context: &Context, lock_file: &Path, provider: ProviderKind) -> Result<(), CliError> {
    let chosen = context.environment.as_ref();
    let is_free = provider == ProviderKind::Emulator || chosen.is_some_and(Chosen::is_on_emulator);
    // What a lock file tells of is missed by itself.
    let is_told = LockFile::read(lock_file).is_ok_and(|lock| lock.is_some_and(|lock| lock.records_anything()));
    if is_free || is_told || store::has_state(&context.state_dir) {
        return Ok(());
    }
    let names = found(context, lock_file);
    let Some(name) = names.first() else { return Ok(()) };
    let (all, command) = (names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "), context.command());
    let place = chosen.map_or_else(|| context.state_dir.clone(), |chosen| chosen.home().join(STATE));
    let message = match chosen {
        Some(chosen) => {
            format!("`{}` was never used, and there is what no environment of {} names: {all}", chosen.name(), chosen.file())
        }
        None => format!("no state was begun in {}, and there is what belongs to environments: {all}", typed(&place)),
    };
    let refused =
        CliError::message(Exit::Guard, message).hint("nothing was sent: what exists there would be created a second time");
    let (state, lock) = (typed(&Path::new(STATE).join(name)), format!("chatapi.{name}.lock"));
    Err(match chosen {
        Some(chosen) => refused
            .hint(format!(
                "if it has another name now: `state: {state}` and `lock_file: {lock}` under `{}`, then `{command} state rebind`",
                chosen.name()
            ))
            .hint(format!("if it is a new one: `{command} apply --init`, once")),
        None => refused
            .hint(match owner(context, lock_file, name) {
                Some(owner) => format!("if one of them is meant: `--env {owner}` in the place of `--state`"),
                None => format!("if one of them is meant: `--env {name}`, with the chatapi.yaml that declares it"),
            })
            .hint(format!("if a state of its own is meant: `{command} apply --init`, once")),
    })
}

/// The environment that has what was called `name` once.
fn owner(context: &Context, lock_file: &Path, name: &str) -> Option<String> {
    let home = lock_file.with_file_name("");
    let (state, lock) = (context.state_dir.join(name), home.join(format!("chatapi.{name}.lock")));
    environment::owner(&home.join(environment::FILE), &context.confidential, &state, &lock)
}

/// The names of environments that left a state or a lock file behind, with instances in it that may be on the server that is meant.
fn found(context: &Context, lock_file: &Path) -> BTreeSet<String> {
    let chosen = context.environment.as_ref();
    let (home, states) = match chosen {
        Some(chosen) => (chosen.home(), chosen.home().join(STATE)),
        None => (lock_file.with_file_name(""), context.state_dir.clone()),
    };
    let others = chosen.into_iter().flat_map(Chosen::neighbours).map(|(_, dir, _)| dir);
    let files = chosen.into_iter().flat_map(Chosen::files).cloned();
    let declared: BTreeSet<PathBuf> = others.chain(files).map(|path| real(&path)).collect();
    let wanted = context.origin();
    let may_be_meant = |theirs: Option<&Origin>| {
        theirs.is_none_or(|theirs| !theirs.is_emulator() && wanted.as_ref().is_none_or(|wanted| wanted == theirs))
    };
    let is_left = |path: &PathBuf| !declared.contains(&real(path));
    let of_states = entries(&states).filter(is_left).filter(|dir| {
        store::has_state(dir)
            && store::read(dir, None).map_or(true, |Reading { state, .. }| {
                !state.records().is_empty() && may_be_meant(state.binding.as_ref().map(|bound| &bound.origin))
            })
    });
    let names = of_states.filter_map(|dir| Some(dir.file_name()?.to_str()?.to_owned()));
    let of_locks = entries(&home).filter(is_left).filter_map(|path| {
        let name = path.file_name().and_then(OsStr::to_str)?.strip_prefix("chatapi.")?.strip_suffix(".lock")?.to_owned();
        let lock = LockFile::read(&path).ok()??;
        (lock.records_anything() && may_be_meant(lock.origin.as_ref())).then_some(name)
    });
    names.chain(of_locks).collect()
}

fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let entries = fs::read_dir(dir).into_iter().flatten().take(LOOKED_AT);
    entries.flatten().map(|entry| entry.path())
}
