//! Signals: those that ask to stop, and the one that a file size limit sends.

use rustix::process::{Resource, getrlimit};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::error::CliError;
use super::exit::Exit;
use super::stream;
use crate::apply::{Signal, StopHandle, StopSignal};

/// `SIGXFSZ`: a write beyond the file size limit. Its default ends the process; with a handler the write fails like any other.
const FILE_SIZE: i32 = 25;

/// Files that a command which talks to a server has open at once, and some.
const FILES: u64 = 16;

/// A runtime for commands that talk to a server.
pub(super) fn runtime() -> Result<Runtime, CliError> {
    if let Some(files) = too_few_files() {
        return Err(CliError::message(Exit::Error, format!("this process may open {files} files, and needs {FILES}"))
            .hint("nothing was sent; raise the limit, for example with `ulimit -n 1024`, then run it again"));
    }
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|error| CliError::new(Exit::Error, &error).context("cannot start"))
}

/// How many files may be open where that is less than enough: tokio's pipe for signals panics then instead of failing.
fn too_few_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current.filter(|files| *files < FILES)
}

/// Listens from now on. Inside a runtime.
pub(super) fn listen() -> Result<StopSignal, CliError> {
    let (handle, stop) = StopSignal::new();
    for (kind, meaning) in [
        (SignalKind::interrupt(), Signal::Interrupt),
        (SignalKind::terminate(), Signal::Terminate),
        (SignalKind::hangup(), Signal::HangUp),
    ] {
        forward(kind, meaning, handle.clone())?;
    }
    Ok(stop)
}

/// From now on a write beyond the file size limit fails, and ends no command: looking opens an index that may write, too.
pub(super) fn outlive_file_size_limit() {
    // The handler is the process's: it stays when the runtime and the stream are dropped. Without it a limit that is met ends
    // the program, as it ends most others.
    if too_few_files().is_none()
        && let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build()
    {
        let _inside = runtime.enter();
        drop(signal(SignalKind::from_raw(FILE_SIZE)));
    }
}

fn forward(kind: SignalKind, meaning: Signal, handle: StopHandle) -> Result<(), CliError> {
    let mut signals = listen_for(kind)?;
    tokio::spawn(async move {
        while signals.recv().await.is_some() {
            stream::stop();
            handle.ask(meaning);
        }
    });
    Ok(())
}

fn listen_for(kind: SignalKind) -> Result<tokio::signal::unix::Signal, CliError> {
    signal(kind).map_err(|error| CliError::new(Exit::Error, &error).context("cannot listen for signals"))
}
