//! Parts of both runners: the files of the recipe, and programs for machines of which nothing else is known.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::forge::Kind;
use crate::stage::Call;

/// The recipe as it is committed.
pub(super) fn recipe(kind: Kind) -> String {
    let name = if kind == Kind::GitHub { "github.yml" } else { "gitlab-ci.yml" };
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ci").join(name)).unwrap()
}

/// YAML as values.
pub(super) fn parsed(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

/// The keys of `value` are among `known`: what the runner does not know is not passed over.
#[track_caller]
pub(super) fn knows(value: &Value, known: &[&str]) {
    for key in value.as_object().expect("a mapping").keys() {
        assert!(known.contains(&key.as_str()), "the runner of the tests does not know `{key}`");
    }
}

/// The shell blocks of the README, in their order.
pub(super) fn instructions() -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ci/README.md")).unwrap();
    let blocks = text.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

/// The places of the README's shell blocks.
pub(super) const BEGIN: usize = 0;
pub(super) const BRANCH: usize = 1;
pub(super) const PUSH: usize = 2;
pub(super) const FETCH: usize = 3;
pub(super) const BRING_BACK: usize = 4;

/// Git as on a machine of which nothing is known; it reaches paths only.
pub(super) const GIT: [(&str, &str); 5] = [
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_ALLOW_PROTOCOL", "file"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("LC_ALL", "C"),
];

/// Where the system's programs are, without any place that has another chatapi or cargo.
pub(super) fn system_path() -> String {
    let all = std::env::var_os("PATH").unwrap_or_default();
    let is_clean = |path: &PathBuf| !path.join("chatapi").exists() && !path.join("cargo").exists();
    let clean: Vec<_> = std::env::split_paths(&all).filter(is_clean).collect();
    std::env::join_paths(clean).unwrap().into_string().unwrap()
}

/// Written by another process: one that this process has open for writing may not be run by any.
pub(super) fn executable(path: &Path, text: &str) {
    let call =
        Call::of("bash", path.parent().unwrap().to_owned(), ["-c", "cat > \"$0\"; chmod 755 \"$0\"", path.to_str().unwrap()]);
    call.env("PATH", system_path()).input(text).run().exits(0).done();
}

/// All files at `path`, a file or a directory below `base`, named from there.
pub(super) fn files(base: &Path, path: &str) -> Vec<(String, Vec<u8>)> {
    let full = base.join(path);
    if full.is_file() {
        return vec![(path.to_owned(), fs::read(full).unwrap())];
    }
    let mut entries: Vec<_> = fs::read_dir(full).into_iter().flatten().map(|entry| entry.unwrap().file_name()).collect();
    entries.sort();
    let named = entries.iter().map(|name| format!("{path}/{}", name.to_str().unwrap()));
    named.flat_map(|path| files(base, &path)).collect()
}
