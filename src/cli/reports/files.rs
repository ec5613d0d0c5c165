//! Reports in files: each is written whole or not at all, and whether it can be is seen before anything is sent. Pipes and devices
//! are written through, and never replaced; none is waited for without end.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use crate::cli::console::Console;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::kept::Kept;
use crate::cli::stream::write_patiently;
use crate::store;

/// What stands in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    Markdown,
    Junit,
    Gitlab,
    Dotenv,
}

impl Kind {
    const fn flag(self) -> &'static str {
        match self {
            Self::Json => "--json-into",
            Self::Markdown => "--markdown-into",
            Self::Junit => "--junit-into",
            Self::Gitlab => "--gitlab-into",
            Self::Dotenv => "--dotenv-into",
        }
    }
}

/// One file, or a stream.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) kind: Kind,
    path: PathBuf,
    /// A pipe or a device, opened before anything else happens and kept: its reader stays, and none can be missing later. None: a
    /// file, which is replaced.
    stream: Option<File>,
}

/// The targets that can be written; and what is wrong with the first other one, which something else already is, which meets
/// another, or which nobody can write to.
pub(super) fn open(named: Vec<(Kind, PathBuf)>, kept: &Kept) -> (Vec<Target>, Option<CliError>) {
    let mut known: Vec<PathBuf> = Vec::new();
    let (mut targets, mut wrong) = (Vec::new(), None);
    for (kind, path) in named {
        let whole = whole(&path);
        let opened = match kept.refusal(&whole) {
            Some(why) => Err(refused(kind, &path, why)),
            None if known.contains(&whole) => Err(refused(kind, &path, "another report goes there")),
            None => open_stream(&path).map_err(|error| unwritten(kind, &path, &error).hint("nothing was sent")),
        };
        match opened {
            Ok(stream) => targets.push(Target { kind, path, stream }),
            Err(error) => wrong = wrong.or(Some(error)),
        }
        known.push(whole);
    }
    (targets, wrong)
}

/// `path` without links and detours, as far as it is there.
pub(in crate::cli) fn whole(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
        path.file_name().map_or_else(|| path.to_owned(), |name| dir.join(name))
    })
}

fn refused(kind: Kind, path: &Path, why: &str) -> CliError {
    let message = format!("no report can go to {}: {why}", path.display());
    CliError::message(Exit::Error, message).hint("nothing was sent").hint(format!("name another file: `{} FILE`", kind.flag()))
}

fn unwritten(kind: Kind, path: &Path, error: &io::Error) -> CliError {
    let attempted = format!("cannot write the report {}", path.display());
    let hint = match error.raw_os_error() {
        Some(code) if code == Errno::NXIO.raw_os_error() => "nobody reads that pipe: start its reader first".to_owned(),
        _ => format!("`{} FILE` needs a directory that is there, writable and not full", kind.flag()),
    };
    CliError::new(Exit::Error, error).context(attempted).hint(hint)
}

/// Opens `path` if a pipe or a device stands there, or is behind a link there; a pipe that nobody reads is an error at once. None:
/// a file stands there or can be made, and is replaced at the end.
fn open_stream(path: &Path) -> io::Result<Option<File>> {
    let found = match fs::metadata(path) {
        Ok(found) => Some(found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let is_other = found.as_ref().is_some_and(|found| !found.is_file() && !found.is_dir());
    if !is_other && !store::is_stream(path) {
        return store::probe(path).map(|()| None);
    }
    if let Some(own) = found.as_ref().and_then(Console::stream_to) {
        return Ok(Some(own));
    }
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().append(true).custom_flags(flags).open(path)?;
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(Some(file))
}

impl Target {
    pub(super) fn write(&self, text: &str) -> Result<(), CliError> {
        let written = match &self.stream {
            Some(stream) => write_patiently(stream, text),
            None => store::replace(&self.path, text.as_bytes(), 0o644),
        };
        written.map_err(|error| unwritten(self.kind, &self.path, &error))
    }
}
