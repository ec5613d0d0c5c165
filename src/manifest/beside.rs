//! The files that `for_each` names: which ones a manifest wants, and how they are read.
//!
//! A manifest comes with pull requests, so a name leads nowhere else: it is relative to the manifest, has no `..`, ends in `.csv` or
//! `.json`, and what it leads to, links followed, stands in the manifest's directory.

use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::confidential::Confidential;
use super::document::{self, Node, Value};
use super::repeat::named_file;
use super::report::{Page, Report};
use super::rows::Format;
use super::source::{open, too_long};
use super::{FILE_MAX, NODES_MAX, encoding};
use crate::diagnostic::Diagnostics;

/// Longest name of such a file, in bytes.
const NAME_MAX: usize = 1_024;

/// There is none of that name.
pub(super) const MISSING: &str = "there is no such file beside the manifest";
pub(super) const MISSING_HELP: &str = "check the name; it is relative to the manifest";

/// What is wrong with a file, and what to do.
pub(super) type Refusal = (String, String);

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Beside {
    /// As people know it: beside the manifest as they named that.
    pub(super) label: Arc<str>,
    pub(super) bytes: Vec<u8>,
}

/// The format of the file `name`; or why a manifest cannot name it.
pub(super) fn format(name: &str) -> Result<Format, Refusal> {
    let refused = |summary: &str, help: &str| Err((summary.to_owned(), help.to_owned()));
    let parts: Vec<_> = Path::new(name).components().collect();
    if name.len() > NAME_MAX {
        return refused("the name of the file is too long", "shorten it");
    }
    if parts.is_empty() || !parts.iter().all(|part| matches!(part, Component::Normal(_))) {
        return refused(
            "the file does not stand beside the manifest",
            "name it relative to the manifest and without `..`, as `stores.csv`",
        );
    }
    match Format::of(name) {
        Some(format) => Ok(format),
        None => refused("the file is neither CSV nor JSON by its name", "name a file that ends in `.csv` or `.json`"),
    }
}

/// The names of the files that the manifest in `bytes` wants, each once. Pure; what is wrong with the manifest is said elsewhere.
pub(super) fn wanted(bytes: &[u8]) -> Vec<String> {
    let Some(text) = encoding::decode(bytes).ok().filter(|text| text.content.contains("for_each")) else { return Vec::new() };
    let (mut problems, mut nodes, mut page) = (Diagnostics::new(), NODES_MAX, Page::new(&"".into(), 0));
    let root = document::read(text, &mut nodes, &mut Report::new(&mut page, &mut problems));
    let mut names: Vec<String> = root.iter().flat_map(entries).filter_map(|entry| name_in(entry)).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| format(name).is_ok());
    names
}

/// What may be an entry of `instances`, also under a misspelt key.
fn entries<'n, 'a>(root: &'n Node<'a>) -> impl Iterator<Item = &'n Node<'a>> {
    let lists = match &root.value {
        Value::Mapping(entries) => entries.as_slice(),
        _ => &[],
    };
    lists.iter().flat_map(|list| match &list.value.value {
        Value::List(items) => items.as_slice(),
        _ => &[],
    })
}

fn name_in(entry: &Node<'_>) -> Option<String> {
    let Value::Mapping(fields) = &entry.value else { return None };
    fields.iter().find_map(|field| named_file(&field.value)?.text().map(str::to_owned))
}

/// Where `path` really is, links followed; none: outside of `directory`.
pub(super) fn within(directory: &Path, path: &Path) -> io::Result<Option<PathBuf>> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let (home, path) = (fs::canonicalize(directory)?, fs::canonicalize(path)?);
    Ok(path.starts_with(&home).then_some(path))
}

/// Reads the file `name` beside a manifest in `directory`, at most `left` bytes.
pub(super) fn read(directory: &Path, name: &str, left: usize, confidential: &Confidential) -> Result<Beside, Refusal> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => (MISSING.to_owned(), MISSING_HELP.to_owned()),
        io::ErrorKind::PermissionDenied => {
            ("the file cannot be read: permission denied".to_owned(), "give yourself the right".to_owned())
        }
        _ => (format!("the file cannot be read: {error}"), "check what stands there".to_owned()),
    };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let Some(path) = within(directory, &directory.join(name)).map_err(unreadable)? else {
        return Err((
            "the file leads out of the manifest's directory by a link".to_owned(),
            "put the file itself beside the manifest".to_owned(),
        ));
    };
    let mut file = open(&path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(("it is not a regular file".to_owned(), "name a file of CSV or JSON".to_owned()));
    }
    confidential.check_file(&path, &metadata)?;
    let limit = FILE_MAX.min(left);
    let mut bytes = Vec::new();
    let wanted = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.by_ref().take(wanted).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > limit {
        return Err((too_long(limit == FILE_MAX).summary().to_owned(), "take out what is not needed".to_owned()));
    }
    confidential.check_bytes(&bytes)?;
    let label = if directory == Path::new(".") { Path::new(name).to_owned() } else { directory.join(name) };
    Ok(Beside { label: label.to_string_lossy().into(), bytes })
}
