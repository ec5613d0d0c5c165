//! The paths that are somebody's already: state directories, lock files and files of values, of every environment. Nothing that this
//! program writes takes their place, and a lock file lies in no state.

use std::fs;
use std::path::{Path, PathBuf};

use super::context::{Context, LOCK_FILE};
use super::environment::Chosen;
use crate::store;

/// As many links as a system follows in one path.
const LINKS_MAX: usize = 40;

/// Where `path` really is, or would be: links are followed also where they lead to nothing yet.
pub(super) fn real(path: &Path) -> PathBuf {
    let owned = |path: &Path| path.components().rev().map(|part| part.as_os_str().to_owned()).collect::<Vec<_>>();
    let mut rest = owned(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    let (mut whole, mut links) = (PathBuf::new(), 0);
    while let Some(part) = rest.pop() {
        if part == ".." {
            whole.pop();
            continue;
        }
        let next = whole.join(&part);
        match fs::read_link(&next) {
            Ok(target) if links < LINKS_MAX => {
                links += 1;
                rest.extend(owned(&target));
            }
            _ => whole = next,
        }
    }
    whole
}

/// The state directories that this run knows: its own, and those of all environments.
pub(super) fn states(context: &Context) -> Vec<PathBuf> {
    let others = context.environment.iter().flat_map(Chosen::neighbours).map(|(_, dir, _)| dir);
    std::iter::once(context.state_dir.clone()).chain(others).map(|dir| real(&dir)).collect()
}

/// Whether a lock file at `path` would lie where a state keeps its files. One of the usual name is nobody's but a lock file.
pub(super) fn is_in_state(context: &Context, path: &Path) -> bool {
    let path = real(path);
    let is_usual = path.file_name().is_some_and(|name| name == LOCK_FILE);
    !is_usual && (states(context).iter().any(|dir| path.starts_with(dir)) || store::is_of_state(&path))
}
