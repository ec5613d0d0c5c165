//! The pipelines of the repository around the manifest.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::doctor::{FILE_MAX, Forge, Pipeline};

/// Most workflow files that are read.
const FILES_MAX: usize = 100;

/// The directory at or above `start` that a repository begins in.
pub(super) fn root(start: &Path) -> Option<PathBuf> {
    let marks = [".git", ".github", ".gitlab-ci.yml"];
    start.ancestors().find(|directory| marks.iter().any(|mark| directory.join(mark).exists())).map(Path::to_owned)
}

/// The pipelines below `root`, and the files that are none.
pub(super) fn read(root: &Path) -> (Vec<Pipeline>, Vec<String>) {
    let (mut pipelines, mut unread) = (Vec::new(), Vec::new());
    let workflows = workflows(&root.join(".github/workflows"));
    let gitlab = Some(root.join(".gitlab-ci.yml")).filter(|path| path.exists());
    let files = workflows.into_iter().map(|path| (Forge::GitHub, path)).chain(gitlab.map(|path| (Forge::GitLab, path)));
    for (forge, path) in files {
        let shown = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        match text(&path).and_then(|text| Pipeline::read(forge, &shown, &text)) {
            Some(pipeline) => pipelines.push(pipeline),
            None => unread.push(shown),
        }
    }
    (pipelines, unread)
}

fn workflows(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().take(FILES_MAX * 10).flatten();
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml");
    let mut files: Vec<_> = entries.map(|entry| entry.path()).filter(is_yaml).collect();
    files.sort();
    files.truncate(FILES_MAX);
    files
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
