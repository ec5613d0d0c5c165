//! One run of the binary: started with nothing but what was said, watched while it runs, and never waited for without end.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{BOUND, eventually};

/// A call that can still be changed.
#[must_use = "it is not run yet"]
pub(crate) struct Call {
    command: Command,
    input: Vec<u8>,
    is_coloured: bool,
}

/// What a run left.
#[derive(Debug)]
pub(crate) struct Run {
    /// The exit code; that of a killed process is 1000 and the signal's number.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A process that runs.
#[must_use = "wait for it"]
pub(crate) struct Running {
    pid: Pid,
    ended: Receiver<ExitStatus>,
    stdout: Stream,
    stderr: Stream,
    is_coloured: bool,
}

struct Stream {
    seen: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Call {
    /// The binary with `args` in `directory`, with an empty environment.
    pub(crate) fn new(directory: PathBuf, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        Self::of(env!("CARGO_BIN_EXE_chatapi"), directory, args)
    }

    /// Another program, for runs that need something around the binary.
    pub(crate) fn of(program: &str, directory: PathBuf, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let mut command = Command::new(program);
        command.args(args).current_dir(directory).env_clear();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, input: Vec::new(), is_coloured: false }
    }

    pub(crate) fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn envs(mut self, all: &[(OsString, OsString)]) -> Self {
        self.command.envs(all.iter().cloned());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// In a directory below the project's.
    pub(crate) fn in_dir(mut self, name: &str) -> Self {
        let below = self.command.get_current_dir().expect("it has one").join(name);
        self.command.current_dir(below);
        self
    }

    /// Colour may come out of this one.
    pub(crate) fn coloured(mut self) -> Self {
        self.is_coloured = true;
        self
    }

    /// Standard output goes there, not to the test.
    pub(crate) fn stdout_to(mut self, stdout: impl Into<Stdio>) -> Self {
        self.command.stdout(stdout);
        self
    }

    /// Somebody sits at that terminal: all three streams are it.
    pub(crate) fn at(mut self, terminal: &File) -> Self {
        let side = || terminal.try_clone().expect("it is open");
        self.command.stdin(side()).stdout(side()).stderr(side());
        self.env("TERM", "xterm-256color").env("CI", "false")
    }

    /// A person sits at `terminal`: it is asked there, and answers there.
    #[cfg(feature = "failpoints")]
    pub(crate) fn at_terminal(mut self, terminal: &File) -> Self {
        let again = || terminal.try_clone().expect("a file can be opened twice");
        self.command.stdin(again()).stderr(again());
        self
    }

    /// Runs it to its end.
    #[must_use = "look at what came out"]
    pub(crate) fn run(self) -> Run {
        self.start().wait()
    }

    pub(crate) fn start(mut self) -> Running {
        let mut child = self.command.spawn().expect("the binary starts");
        let pid = Pid::from_child(&child);
        // It has the terminal's other sides.
        drop(self.command);
        let input = self.input;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that reads no input closes its end: no error of the test.
            std::thread::spawn(move || drop(stdin.write_all(&input)));
        }
        let stdout = Stream::of(child.stdout.take());
        let stderr = Stream::of(child.stderr.take());
        let (tell, ended) = channel();
        std::thread::spawn(move || tell.send(child.wait().expect("a child can be waited for")));
        Running { pid, ended, stdout, stderr, is_coloured: self.is_coloured }
    }
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().cast_unsigned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("it runs");
    }

    /// Kills it, unless it has ended before.
    #[cfg(feature = "failpoints")]
    pub(crate) fn kill(&self) {
        let _ = kill_process(self.pid, Signal::KILL);
    }

    /// What stands on standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits until `text` stands on standard error.
    pub(crate) fn says(&self, text: &str) {
        eventually(text, || self.stderr.text().contains(text));
    }

    /// Waits until `text` stands on standard output.
    pub(crate) fn prints_so_far(&self, text: &str) {
        eventually(text, || self.stdout.text().contains(text));
    }

    /// Its end. Past the bound it is killed, and the test fails.
    #[must_use = "look at what came out"]
    pub(crate) fn wait(self) -> Run {
        let Ok(status) = self.ended.recv_timeout(BOUND) else {
            let _ = kill_process(self.pid, Signal::KILL);
            panic!("still running after {BOUND:?}: {}", self.stderr.text());
        };
        let code = status.code().unwrap_or_else(|| 1_000 + status.signal().unwrap_or_default());
        let run = Run { code, stdout: self.stdout.end(), stderr: self.stderr.end() };
        for text in [&run.stdout, &run.stderr] {
            let is_crash = ["panicked at", "BUG:", "overflowed its stack"].into_iter().any(|mark| text.contains(mark));
            assert!(!is_crash, "{run}");
            assert!(self.is_coloured || !text.contains('\u{1b}'), "colour in a pipe: {run}");
        }
        run
    }
}

impl Stream {
    fn of(from: Option<impl Read + Send + 'static>) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let reader = std::thread::spawn(move || {
            let Some(mut from) = from else { return };
            let mut buffer = [0; 8_192];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                sink.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        Self { seen, reader }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    fn end(self) -> String {
        self.reader.join().unwrap();
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {}\n--- stdout\n{}--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

impl Run {
    /// It ended with `code`.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    /// `text` stands on standard output.
    #[track_caller]
    pub(crate) fn prints(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "`{text}` is not on stdout of {self}");
        self
    }

    /// `text` stands on standard error.
    #[track_caller]
    pub(crate) fn warns(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "`{text}` is not on stderr of {self}");
        self
    }

    /// Standard output is one JSON document and nothing else.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    /// Nothing is left to be said of it.
    #[track_caller]
    /// It ended well, or something is in doubt.
    pub(crate) fn done_or_doubtful(self) {
        assert!(matches!(self.code, 0 | 3), "{self}");
    }

    /// `text` stands on one of the streams, and no more is to be said of it.
    #[track_caller]
    pub(crate) fn done_with(self, text: &str) {
        assert!(self.stdout.contains(text) || self.stderr.contains(text), "`{text}` is nowhere in {self}");
    }

    pub(crate) fn done(self) {
        assert_eq!(self.code, 0, "{self}");
    }
}
