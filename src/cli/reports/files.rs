//! Reports in files: each is written whole or not at all, and whether it can be is seen before anything is sent.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::kept::Kept;
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

/// One file.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) kind: Kind,
    pub(super) path: PathBuf,
}

/// Refuses targets that cannot be written, that meet each other, or that are something else already.
pub(super) fn check(targets: &[Target], kept: &Kept) -> Result<(), CliError> {
    let mut known: Vec<PathBuf> = Vec::new();
    for target in targets {
        let path = whole(&target.path);
        if let Some(why) = kept.refusal(&path) {
            return Err(target.refused(why));
        }
        if known.contains(&path) {
            return Err(target.refused("another report goes there"));
        }
        target.probe().map_err(|error| target.unwritten(&error).hint("nothing was sent"))?;
        known.push(path);
    }
    Ok(())
}

/// `path` without links and detours, as far as it is there.
pub(in crate::cli) fn whole(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
        path.file_name().map_or_else(|| path.to_owned(), |name| dir.join(name))
    })
}

/// Whether a file could be made in the place of `path` now.
pub(in crate::cli) fn probe(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(name);
    drop(store::make_new(&beside, 0o600)?);
    fs::remove_file(&beside)
}

impl Target {
    fn refused(&self, why: &str) -> CliError {
        let message = format!("no report can go to {}: {why}", self.path.display());
        CliError::message(Exit::Error, message)
            .hint("nothing was sent")
            .hint(format!("name another file: `{} FILE`", self.kind.flag()))
    }

    fn unwritten(&self, error: &io::Error) -> CliError {
        let attempted = format!("cannot write the report {}", self.path.display());
        let hint = format!("`{} FILE` needs a directory that is there, writable and not full", self.kind.flag());
        CliError::new(Exit::Error, error).context(attempted).hint(hint)
    }

    /// A pipe or a device is written as it is; all else is replaced.
    fn is_replaced(&self) -> io::Result<bool> {
        match fs::metadata(&self.path) {
            Ok(metadata) if metadata.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Ok(metadata) => Ok(metadata.is_file()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Whether it could be written now.
    fn probe(&self) -> io::Result<()> {
        if self.is_replaced()? { probe(&self.path) } else { self.open_as_is().map(drop) }
    }

    /// A pipe that nobody reads is an error at once.
    fn open_as_is(&self) -> io::Result<File> {
        let file = OpenOptions::new().write(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(&self.path)?;
        fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
        Ok(file)
    }

    pub(super) fn write(&self, text: &str) -> Result<(), CliError> {
        let written = self.is_replaced().and_then(|is_replaced| {
            if is_replaced {
                store::replace(&self.path, text.as_bytes(), 0o644)
            } else {
                self.open_as_is()?.write_all(text.as_bytes())
            }
        });
        written.map_err(|error| self.unwritten(&error))
    }
}
