//! The CI system around a run: what it is, and what it is told in its own way.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::cli::args::{CiReports, ForgeArgs};
use crate::cli::console::Console;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::report::account::Account;
use crate::report::annotations::{Base, Forge, annotations};
use crate::report::github::{output_file, pairs};
use crate::report::markdown::{Budget, LEAST, markdown};
use crate::text::hex;

/// A summary that is longer is not shown at all.
const SUMMARY_MAX: usize = 1_024 * 1_024;
/// Left to whoever writes after us.
const SUMMARY_SPARE: usize = 1_024;

/// Who is told what.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    forge: Option<Forge>,
    /// Where numbers for later steps go.
    outputs: Option<PathBuf>,
    /// Where Markdown goes.
    summary: Option<PathBuf>,
}

impl Surroundings {
    /// As the environment says. `is_full`: more than annotations.
    pub(super) fn of(args: &ForgeArgs, is_full: bool) -> Self {
        if args.ci_reports == CiReports::Never {
            return Self::default();
        }
        let is_true = |name| env::var(name).is_ok_and(|value| value.eq_ignore_ascii_case("true"));
        if is_true("GITHUB_ACTIONS") {
            let file = |name| env::var_os(name).filter(|path| is_full && !path.is_empty()).map(PathBuf::from);
            return Self { forge: Some(Forge::GitHub), outputs: file("GITHUB_OUTPUT"), summary: file("GITHUB_STEP_SUMMARY") };
        }
        Self { forge: is_true("TF_BUILD").then_some(Forge::Azure), ..Self::default() }
    }

    pub(super) fn is_anybody_there(&self) -> bool {
        self.forge.is_some()
    }

    /// Sees that what GitHub named can be written, before anything else happens, and leaves alone what cannot. A missing summary is
    /// a pity; later steps would decide without their numbers, so that is an error.
    pub(super) fn probe(&mut self, console: &Console) -> Option<CliError> {
        if let Some(path) = &self.summary
            && let Err(error) = open(path)
        {
            console.warn(format_args!("the job's summary cannot be written: {error}"));
            self.summary = None;
        }
        let error = self.outputs.as_deref().and_then(|path| open(path).err())?;
        self.outputs = None;
        Some(unwritten(&error).hint("nothing was sent"))
    }

    /// Tells all of it. A missing summary is a pity; later steps would go on without their numbers, so that is an error.
    pub(super) fn tell(&self, console: &Console, account: &Account) -> Result<(), CliError> {
        if let Some(forge) = self.forge {
            for annotation in annotations(account, forge, &base(forge)) {
                console.annotation(&annotation);
            }
        }
        if let Some(path) = &self.summary
            && let Err(error) = summarise(path, account)
        {
            console.warn(format_args!("the job's summary cannot be written: {error}"));
        }
        let Some(path) = &self.outputs else { return Ok(()) };
        let written = outputs(account).and_then(|text| append(path, &text));
        written.map_err(|error| unwritten(&error))
    }
}

fn unwritten(error: &io::Error) -> CliError {
    CliError::new(Exit::Error, error)
        .context("cannot write the step's outputs to the file that GITHUB_OUTPUT names")
        .hint("if they are not wanted: `--ci-reports never`")
}

/// Where this directory is below what the forge calls its workspace.
fn base(forge: Forge) -> Base {
    let name = match forge {
        Forge::GitHub => "GITHUB_WORKSPACE",
        Forge::Azure => "BUILD_SOURCESDIRECTORY",
    };
    let (Some(root), Ok(here)) = (env::var_os(name), env::current_dir()) else { return Base::default() };
    let root = fs::canonicalize(&root).unwrap_or_else(|_| PathBuf::from(root));
    let dir = |path: &Path| match path.to_string_lossy() {
        text if text.is_empty() => String::new(),
        text => format!("{}/", text.trim_end_matches('/')),
    };
    Base { below: here.strip_prefix(&root).map(dir).unwrap_or_default(), root: dir(&root) }
}

/// Appends the summary, within what is left of the most that a step may write.
fn summarise(path: &Path, account: &Account) -> io::Result<()> {
    let present = match fs::metadata(path) {
        Ok(metadata) => usize::try_from(metadata.len()).unwrap_or(usize::MAX),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    let room = SUMMARY_MAX.saturating_sub(SUMMARY_SPARE).saturating_sub(present);
    if room < LEAST {
        return Err(io::Error::other(format!("{present} bytes stand there already, and more than {SUMMARY_MAX} are not shown")));
    }
    let text = markdown(account, Budget { bytes: room.min(Budget::COMMENT.bytes), ..Budget::COMMENT });
    append(path, &if present > 0 { format!("\n{text}") } else { text })
}

fn outputs(account: &Account) -> io::Result<String> {
    let pairs = pairs(account);
    for _ in 0..8 {
        let random = ring::rand::generate::<[u8; 16]>(&ring::rand::SystemRandom::new());
        let random = random.map_err(|_| io::Error::other("the system gives no random numbers"))?;
        if let Some(text) = output_file(&pairs, &format!("end_{}", hex(&random.expose()))) {
            return Ok(text);
        }
    }
    Err(io::Error::other("every delimiter stands in a value"))
}

/// One write, so that nothing of another's comes in between.
fn append(path: &Path, text: &str) -> io::Result<()> {
    open(path)?.write_all(text.as_bytes())
}

/// Opens what GitHub named, to append to it. A pipe in its place might wait for its reader without end, and is refused.
fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().append(true).create(true).custom_flags(flags).open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() || kind.is_char_device() { Ok(file) } else { Err(io::Error::other("it is not a file")) }
}
