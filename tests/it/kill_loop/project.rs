//! A project directory, and the real program at work in it. Knows nothing of what the program should do.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::stage::BOUND;
use chatapi::seal::Identity;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// The program under test: the one that was built with the tests, or the one that `CHATAPI_KILL_BINARY` names.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("CHATAPI_KILL_BINARY").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_chatapi")), PathBuf::from)
}

/// What opens the tokens of these projects. An apply never has it.
pub(crate) fn identities() -> &'static [Identity] {
    static IDENTITIES: LazyLock<Vec<Identity>> =
        LazyLock::new(|| Identity::read_all(include_str!("../../fixtures/identity-1.txt")).unwrap());
    &IDENTITIES
}

/// A directory with a manifest, and perhaps a state.
#[derive(Debug)]
pub(crate) struct Project {
    dir: PathBuf,
    /// What `CHATAPI_URL` says; none: the embedded emulator.
    pub(crate) url: Option<String>,
    names: Vec<String>,
}

impl Project {
    /// In `dir`, which exists.
    pub(crate) fn new(dir: &Path, url: Option<String>) -> Self {
        Self { dir: dir.to_owned(), url, names: Vec::new() }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.join(below)
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Declares `count` names more, of both types, and writes the manifest.
    pub(crate) fn declare(&mut self, count: usize) {
        let first = self.names.len();
        self.names.extend((first..first + count).map(|number| format!("name-{number}")));
        let kind = if self.url.is_some() { "chatapi" } else { "emulator" };
        let mut text = format!("version: 1\nprovider:\n  kind: {kind}\ninstances:\n");
        for (number, name) in self.names.iter().enumerate() {
            let kind = if number % 3 == 2 { "whatsapp_dev" } else { "whatsapp" };
            writeln!(text, "  - {{name: {name}, type: {kind}}}").unwrap();
        }
        fs::write(self.path("instances.yaml"), text).unwrap();
    }

    /// The program with `words`, in an environment that holds nothing of this machine's.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(words);
        self.at_home(&mut command, words);
        command
    }

    /// The program under a file size limit of `blocks` times 512 bytes.
    pub(crate) fn limited(&self, blocks: u64, words: &[&str]) -> Command {
        self.limited_to(&format!("-f {blocks}"), words)
    }

    /// The program under a limit as the shell's `ulimit` takes it.
    pub(crate) fn limited_to(&self, limit: &str, words: &[&str]) -> Command {
        self.under("sh", &["-c", "ulimit $0 && exec \"$@\"", limit], words)
    }

    /// The program with `words`, started by another one that is called with `args`.
    pub(crate) fn under(&self, around: &str, args: &[&str], words: &[&str]) -> Command {
        let mut command = Command::new(around);
        command.args(args).arg(binary()).args(words);
        self.at_home(&mut command, words);
        command
    }

    fn at_home(&self, command: &mut Command, words: &[&str]) {
        command.current_dir(&self.dir).env_clear().env("PATH", "/usr/bin:/bin").env("CHATAPI_TIMEOUT", "20s");
        if let Some(url) = &self.url {
            command.env("CHATAPI_URL", url).env("CHATAPI_API_KEY", "key-of-the-tests");
            // With a server of its own tokens are sealed; on the embedded emulator they are in the clear.
            command.env("CHATAPI_SEAL_TO", identities()[0].recipient().unwrap().to_string());
        }
        if words.starts_with(&["token", "get"]) {
            command.env("CHATAPI_IDENTITY", identities()[0].to_secret().expose());
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        Run::start(self.command(words)).end()
    }

    /// Every file but the index's, with its content: what looking must leave alone.
    pub(crate) fn snapshot(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.dir, &mut files);
        files
    }
}

fn collect(dir: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if !path.is_dir() {
            files.insert(path.clone(), fs::read(&path).unwrap_or_default());
        } else if !path.ends_with("index") && !path.ends_with("gateway") {
            files.insert(path.clone(), Vec::new());
            collect(&path, files);
        }
    }
}

/// A started program, in a process group of its own. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Run {
    child: Option<Child>,
    pid: Pid,
}

/// What a program left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn start(mut command: Command) -> Self {
        let child = command.process_group(0).spawn().unwrap();
        let pid = Pid::from_child(&child);
        Self { child: Some(child), pid }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // It may have ended on its own; it is not reaped before `end`, so that the id is still its own.
        let _ = kill_process(self.pid, signal);
    }

    /// Its process id.
    #[cfg(feature = "failpoints")]
    pub(crate) fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Ends it and everything that it started.
    pub(crate) fn kill(&self) {
        let _ = kill_process_group(self.pid, Signal::KILL);
    }

    pub(crate) fn is_over(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some())
    }

    /// Waits until `holds`, or until the program is over. `false`: it was over first.
    pub(crate) fn wait_until(&mut self, mut holds: impl FnMut() -> bool) -> bool {
        let deadline = Instant::now() + BOUND;
        loop {
            if holds() {
                return true;
            }
            if self.is_over() {
                return false;
            }
            assert!(Instant::now() < deadline, "neither an event nor an end within {BOUND:?}");
            pause(Duration::from_micros(250));
        }
    }

    /// Waits for its end. One that does not end by itself is an error.
    pub(crate) fn end(mut self) -> Ended {
        let deadline = Instant::now() + BOUND;
        let child = self.child.as_mut().unwrap();
        let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
        while !self.is_over() {
            assert!(Instant::now() < deadline, "the program has not ended within {BOUND:?}");
            pause(Duration::from_micros(500));
        }
        let status = self.child.take().unwrap().wait().unwrap();
        Ended { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
    }
}

/// Reads in a thread of its own: a program whose pipe is full would wait for ever.
fn drain(from: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error counts.
        let _ = from.map(|mut from| from.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
            let _ = self.child.take().map(|mut child| child.wait());
        }
    }
}

impl Ended {
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The names that it printed as created, with their ids.
    pub(crate) fn printed(&self) -> Vec<(String, String)> {
        let pair = |line: &str| {
            let (name, rest) = line.strip_prefix("  + ")?.split_once(" created as ")?;
            Some((name.to_owned(), rest.split(' ').next()?.to_owned()))
        };
        // A last line without its end was not printed.
        self.stdout.split_inclusive('\n').filter(|line| line.ends_with('\n')).filter_map(|line| pair(line.trim_end())).collect()
    }
}

/// Lets time pass in a loop that waits for something, or before a random moment. No assertion rests on it.
pub(crate) fn pause(time: Duration) {
    let until = Instant::now() + time;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}
