//! Where manifests come from: files, directories, standard input. The only part of the manifest with I/O.
//!
//! Whatever a path leads to, reading it ends: only regular files are read, opening never waits, and no more is taken than
//! [`FILE_MAX`] bytes of each and [`TOTAL_MAX`] of all.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use super::beside::{self, Beside, Refusal};
use super::confidential::{Confidential, told};
use super::{FILE_MAX, TOTAL_MAX};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::text::closest;

/// Most files of one manifest.
const FILES_MAX: usize = 10_000;

/// The path that stands for standard input.
const STDIN: &str = "-";

/// One file, read but not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    label: Arc<str>,
    bytes: Vec<u8>,
    /// The files that it names, read or not.
    beside: BTreeMap<String, Result<Beside, Refusal>>,
}

impl Source {
    /// `bytes` that people know as `label`.
    pub fn new(label: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { label: label.into(), bytes: bytes.into(), beside: BTreeMap::new() }
    }

    /// With the file `name`, which stands beside it.
    pub fn with_file(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.beside.insert(name.to_owned(), Ok(Beside { label: name.into(), bytes: bytes.into() }));
        self
    }

    /// The file `name` that it names, if it was looked for.
    pub(super) fn beside(&self, name: &str) -> Option<&Result<Beside, Refusal>> {
        self.beside.get(name)
    }

    /// The file as the user named it.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// What it holds.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// What standard input is, as far as a manifest may come from it.
pub enum Stdin<'a> {
    /// A person would have to type it.
    Terminal,
    /// A pipe or a file.
    Piped(&'a mut dyn Read),
}

impl std::fmt::Debug for Stdin<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Terminal) { "Terminal" } else { "Piped" })
    }
}

/// What could be read, and the problems with the rest.
#[derive(Debug)]
pub struct Loaded {
    /// The files read, in the order given.
    pub sources: Vec<Source>,
    /// What could not be read.
    pub problems: Diagnostics,
}

/// Reads the files that `paths` name. A directory stands for the `*.yaml` and `*.yml` files directly in it, sorted by name,
/// hidden ones and `chatapi.yaml` left out; `-` stands for standard input. A file that is named twice is read once.
pub fn load(paths: &[PathBuf], stdin: Stdin<'_>) -> Loaded {
    load_guarded(paths, stdin, &Confidential::default())
}

/// As [`load`], of files that must lie in the directory `home`, links followed: for those that stand in a file which comes with pull
/// requests.
pub fn load_beside(home: &Path, paths: &[PathBuf], confidential: &Confidential) -> Loaded {
    let is_inside = |path: &&PathBuf| !matches!(beside::within(home, path), Ok(None));
    let (inside, outside): (Vec<_>, Vec<_>) = paths.iter().partition(is_inside);
    let inside: Vec<PathBuf> = inside.into_iter().cloned().collect();
    let mut loaded = load_guarded(&inside, Stdin::Terminal, confidential);
    for path in outside {
        let problem = Diagnostic::error("the file lies outside of the directory of the file that names it, or a link leads out");
        let problem = problem.help("put the file itself there; on the command line `--var-file` names any file");
        loaded.problems.push(problem.in_file(&Arc::from(path.to_string_lossy()), 0));
    }
    loaded
}

/// As [`load`], but for what is `confidential`.
pub fn load_guarded(paths: &[PathBuf], mut stdin: Stdin<'_>, confidential: &Confidential) -> Loaded {
    let mut loader = Loader {
        loaded: Loaded { sources: Vec::new(), problems: Diagnostics::new() },
        confidential,
        seen: HashSet::new(),
        bytes: 0,
        others: 0,
    };
    for path in paths {
        let label = path.to_string_lossy();
        let outcome = if label == STDIN { loader.stdin(&mut stdin) } else { loader.path(path) };
        if let Err(problem) = outcome {
            let label = if label == STDIN { "<stdin>".into() } else { Arc::from(label) };
            loader.loaded.problems.push(problem.in_file(&label, 0));
        }
    }
    loader.loaded
}

struct Loader<'c> {
    loaded: Loaded,
    confidential: &'c Confidential,
    /// Device and inode of what was read; standard input as nothing.
    seen: HashSet<Option<(u64, u64)>>,
    bytes: usize,
    /// How many files the manifests name.
    others: usize,
}

impl Loader<'_> {
    fn stdin(&mut self, stdin: &mut Stdin<'_>) -> Result<(), Box<Diagnostic>> {
        let Stdin::Piped(reader) = stdin else {
            let problem = Diagnostic::error("a manifest is expected from standard input, and that is a terminal");
            return Err(Box::new(problem.help("pipe it in, as in `… < instances.yaml`, or name a file")));
        };
        if self.seen.insert(None) { self.take("<stdin>", Path::new("."), *reader) } else { Ok(()) }
    }

    fn path(&mut self, path: &Path) -> Result<(), Box<Diagnostic>> {
        let metadata = fs::metadata(path).map_err(|error| absent(&error, path))?;
        if !metadata.is_dir() {
            return self.file(path);
        }
        let files = yaml_files(path).map_err(|error| unreadable(&error))?;
        if files.is_empty() {
            return Err(Box::new(Diagnostic::error("no `*.yaml` or `*.yml` file in this directory").help("name the file")));
        }
        for file in files {
            if let Err(problem) = self.file(&file) {
                self.loaded.problems.push(problem.in_file(&Arc::from(file.to_string_lossy()), 0));
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<(), Box<Diagnostic>> {
        regular(&fs::metadata(path).map_err(|error| unreadable(&error))?)?;
        // What the path leads to may have been replaced since: it is opened without waiting, and looked at again.
        let mut file = open(path).map_err(|error| unreadable(&error))?;
        let metadata = file.metadata().map_err(|error| unreadable(&error))?;
        regular(&metadata)?;
        self.confidential.check_file(path, &metadata).map_err(told)?;
        if !self.seen.insert(Some((metadata.dev(), metadata.ino()))) {
            return Ok(());
        }
        let directory = path.parent().unwrap_or(Path::new("."));
        self.take(&path.to_string_lossy(), directory, &mut file)
    }

    fn take(&mut self, label: &str, directory: &Path, reader: &mut dyn Read) -> Result<(), Box<Diagnostic>> {
        if self.loaded.sources.len() >= FILES_MAX {
            return Err(Box::new(Diagnostic::error(&format!("more than {FILES_MAX} files"))));
        }
        let limit = FILE_MAX.min(TOTAL_MAX.saturating_sub(self.bytes));
        let mut bytes = Vec::new();
        let wanted = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        reader.take(wanted).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
        if bytes.len() > limit {
            return Err(Box::new(too_long(limit == FILE_MAX)));
        }
        self.confidential.check_bytes(&bytes).map_err(told)?;
        self.bytes += bytes.len();
        let mut source = Source::new(label, bytes);
        self.beside(&mut source, directory);
        self.loaded.sources.push(source);
        Ok(())
    }

    /// Reads the files that `source` names; what is wrong with one is said where it is named.
    fn beside(&mut self, source: &mut Source, directory: &Path) {
        for name in beside::wanted(&source.bytes) {
            self.others += 1;
            let file = if self.others > FILES_MAX {
                Err((format!("more than {FILES_MAX} files"), "make fewer of them".to_owned()))
            } else {
                beside::read(directory, &name, TOTAL_MAX.saturating_sub(self.bytes), self.confidential)
            };
            self.bytes += file.as_ref().map_or(0, |file| file.bytes.len());
            source.beside.insert(name, file);
        }
    }
}

/// Says that a file, or all of them together, is longer than what is read.
pub(super) fn too_long(alone: bool) -> Diagnostic {
    let mebibytes = |bytes: usize| bytes >> 20;
    if alone {
        Diagnostic::error(&format!("the file is longer than {} MiB", mebibytes(FILE_MAX)))
    } else {
        Diagnostic::error(&format!("the files together are longer than {} MiB", mebibytes(TOTAL_MAX)))
    }
}

/// Opens a file without waiting.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or_default();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn regular(metadata: &Metadata) -> Result<(), Box<Diagnostic>> {
    if metadata.is_file() {
        return Ok(());
    }
    if metadata.is_dir() {
        let problem = Diagnostic::error("a manifest is a file, and this is a directory within a directory");
        return Err(Box::new(problem.help("name it too")));
    }
    let problem = Diagnostic::error("a manifest is a regular file, and this is a pipe, a socket or a device");
    Err(Box::new(problem.help("pipe it into standard input and name it `-`")))
}

/// Names the file that was probably meant where there is none.
fn absent(error: &io::Error, path: &Path) -> Box<Diagnostic> {
    match neighbour(path).filter(|_| error.kind() == io::ErrorKind::NotFound) {
        Some(near) => {
            let help = format!("did you mean `{}`?", near.display());
            Box::new(Diagnostic::error("no such file").help(&help))
        }
        None => unreadable(error),
    }
}

/// What `path` was probably meant to be: a file of YAML or JSON or a directory beside it, whose name is nearly the same.
pub(crate) fn neighbour(path: &Path) -> Option<PathBuf> {
    let typed = path.file_name()?.to_str()?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_meant = |entry: &fs::DirEntry| {
        let is_text = matches!(Path::new(&entry.file_name()).extension().and_then(OsStr::to_str), Some("yaml" | "yml" | "json"));
        is_text || entry.file_type().is_ok_and(|kind| kind.is_dir())
    };
    let entries = fs::read_dir(directory).ok()?.take(FILES_MAX).flatten().filter(is_meant);
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| !name.starts_with('.') && name != typed);
    names.sort_unstable();
    let near = closest(typed, names.iter().map(String::as_str))?;
    Some(path.with_file_name(near))
}

fn unreadable(error: &io::Error) -> Box<Diagnostic> {
    Box::new(match error.kind() {
        io::ErrorKind::NotFound => Diagnostic::error("no such file").help("check the path"),
        io::ErrorKind::PermissionDenied => Diagnostic::error("the file cannot be read: permission denied"),
        _ => Diagnostic::error(&format!("the file cannot be read: {error}")),
    })
}

/// The manifests directly in `directory`, sorted by name.
fn yaml_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)?.take(FILES_MAX * 10) {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        let is_yaml = Path::new(&name).extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        // The environments of the manifests, and none of them.
        if is_yaml && !text.starts_with('.') && text != "chatapi.yaml" {
            files.push(directory.join(&name));
        }
    }
    files.sort();
    Ok(files)
}
