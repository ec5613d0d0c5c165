//! The pipelines of the repository around the manifest.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::doctor::{FILE_MAX, Forge, Pipeline};

/// Most workflow files that are read.
const FILES_MAX: usize = 100;
/// Most entries of their directory that are looked at.
const ENTRIES_MAX: usize = 100_000;

/// The directory at or above `start` that a repository begins in.
pub(super) fn root(start: &Path) -> Option<PathBuf> {
    let marks = [".git", ".github", ".gitlab-ci.yml"];
    start.ancestors().find(|directory| marks.iter().any(|mark| directory.join(mark).exists())).map(Path::to_owned)
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) pipelines: Vec<Pipeline>,
    /// Files that are none.
    pub(super) unread: Vec<String>,
    /// How many more files there are, that were not read.
    pub(super) more: usize,
}

/// The pipelines below `root`.
pub(super) fn read(root: &Path) -> Found {
    let (workflows, more) = workflows(&root.join(".github/workflows"));
    let mut found = Found { more, ..Found::default() };
    let gitlab = Some(root.join(".gitlab-ci.yml")).filter(|path| path.exists());
    let files = workflows.into_iter().map(|path| (Forge::GitHub, path)).chain(gitlab.map(|path| (Forge::GitLab, path)));
    for (forge, path) in files {
        let shown = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        let include = |path: &str| included(root, path);
        match text(&path).and_then(|text| Pipeline::read(forge, &shown, &text, &include)) {
            Some(pipeline) => found.pipelines.push(pipeline),
            None => found.unread.push(shown),
        }
    }
    found
}

/// Another file of the repository; links do not lead out of it.
fn included(root: &Path, path: &str) -> Option<String> {
    let (root, path) = (fs::canonicalize(root).ok()?, fs::canonicalize(root.join(path)).ok()?);
    path.starts_with(root).then(|| text(&path)).flatten()
}

/// The manifests in the work tree that a pipeline applies or plans, and the file that says so.
pub(super) fn manifests(root: &Path, pipelines: &[Pipeline]) -> Option<(Vec<PathBuf>, String)> {
    let whole = fs::canonicalize(root).ok()?;
    let is_manifest = |path: &PathBuf| {
        let is_yaml = path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml");
        let is_inside = fs::canonicalize(path).is_ok_and(|path| path.starts_with(&whole));
        is_inside && (is_yaml || path.is_dir())
    };
    let applying = pipelines.iter().filter(|pipeline| pipeline.applying().next().is_some());
    let named = applying.flat_map(|pipeline| pipeline.manifests().into_iter().map(move |paths| (paths, &pipeline.file)));
    let mut there = named.map(|(paths, file)| {
        let paths: Vec<PathBuf> = paths.iter().map(|path| root.join(path)).filter(is_manifest).collect();
        (paths, file.clone())
    });
    there.find(|(paths, _)| !paths.is_empty())
}

/// The first workflows by name, and how many more there are.
fn workflows(directory: &Path) -> (Vec<PathBuf>, usize) {
    let entries = fs::read_dir(directory).into_iter().flatten().take(ENTRIES_MAX).flatten();
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml");
    let mut files: Vec<_> = entries.map(|entry| entry.path()).filter(is_yaml).collect();
    files.sort();
    let more = files.len().saturating_sub(FILES_MAX);
    files.truncate(FILES_MAX);
    (files, more)
}

/// The text of a regular file that is not too long.
fn text(path: &Path) -> Option<String> {
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    let limit = u64::try_from(FILE_MAX).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path).ok()?.take(limit).read_to_string(&mut text).ok()?;
    Some(text)
}
