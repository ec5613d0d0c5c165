//! `strace` around the program: it makes the Nth call of a kind fail, or kills the program there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::kill_loop::project::{Ended, Project, Run};

/// Calls that are seen wherever they go; each is made for the state's sake, or for sled's.
const ANYWHERE: &[&str] = &[
    "fdatasync",
    "fsync",
    "fallocate",
    "ftruncate",
    "flock",
    "mkdir",
    "rename",
    "unlink",
    "pwrite64",
    "sync_file_range",
    "fchmod",
    "chmod",
    "getdents64",
];

/// Calls that everything makes: seen only where they concern the state or its lock file.
const OURS: &[&str] = &["openat", "read", "pread64", "write", "close", "lseek", "statx"];

/// What comes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// The program is killed as it makes it.
    Kill,
    /// It is not made and gives this error.
    Error(&'static str),
}

/// Which calls of a kind; each thread counts its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Once(usize),
    From(usize),
    /// Eight of them: a call that is interrupted for ever is made for ever.
    Eight(usize),
}

/// One fault.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    pub(super) call: &'static str,
    pub(super) what: What,
    pub(super) which: Which,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.what {
            What::Kill => "signal=KILL".to_owned(),
            What::Error(error) => format!("error={error}"),
        };
        let which = match self.which {
            Which::Once(number) => number.to_string(),
            Which::From(number) => format!("{number}+"),
            Which::Eight(number) => format!("{number}..{}", number + 7),
        };
        write!(f, "{}:{what}:when={which}", self.call)
    }
}

/// Whether programs can be traced here. An error says why not.
pub(super) fn is_there() -> Result<(), String> {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "true"]);
    let ended = command.stdin(Stdio::null()).stderr(Stdio::piped()).output().map_err(|error| format!("no `strace`: {error}"))?;
    if ended.status.success() {
        Ok(())
    } else {
        Err(format!("tracing is not allowed here: {}", String::from_utf8_lossy(&ended.stderr)))
    }
}

/// The files of the state of `project` and its lock file, by absolute path; and their directories, but for `close`: the
/// standard library ends a program whose directory cannot be closed, which no disk has ever said.
fn paths(project: &Project, call: &str) -> Vec<PathBuf> {
    let directories: &[&str] = if call == "close" { &[] } else { &[".", "state", "state/index", "state/index/blobs"] };
    let files = ["state/journal.jsonl", "state/lock", "state/.gitignore", "state/index/db", "state/index/conf"];
    let files = files.iter().chain(&["chatapi.lock", ".chatapi-0.new"]).chain(directories);
    files.map(|file| project.path(file)).collect()
}

/// The journal alone.
pub(super) fn journal(project: &Project) -> Vec<PathBuf> {
    vec![project.path("state/journal.jsonl")]
}

fn traced(project: &Project, options: &[String], at: &[PathBuf], words: &[&str]) -> Command {
    let log = project.path("strace.log").display().to_string();
    let mut args = vec!["-f".to_owned(), "-qq".to_owned(), "-o".to_owned(), log];
    args.extend_from_slice(options);
    args.extend(at.iter().flat_map(|path| ["-P".to_owned(), path.display().to_string()]));
    let manifest = project.path("instances.yaml").display().to_string();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut command = project.under("strace", &args, &[words, &[&manifest]].concat());
    command.env("CHATAPI_STATE", project.path("state"));
    command
}

/// What a run of `words` does to names and directories, and when it goes to the network: the trace, one call a line, with paths in
/// the place of file numbers.
pub(super) fn names(project: &Project, words: &[&str]) -> (Ended, String) {
    let options = ["-y", "-e", "trace=openat,rename,renameat,renameat2,fsync,connect"].map(str::to_owned);
    let ended = Run::start(traced(project, &options, &[], words)).end();
    (ended, whole_calls(&log(project)))
}

/// Each call in one line, where it ended: while others call, strace writes one in two parts.
fn whole_calls(log: &str) -> String {
    let mut begun: BTreeMap<&str, &str> = BTreeMap::new();
    let mut whole = String::new();
    for line in log.lines() {
        let (thread, call) = line.split_once(' ').unwrap_or_default();
        let call = call.trim_start();
        if let Some(beginning) = call.strip_suffix("<unfinished ...>") {
            begun.insert(thread, beginning);
            continue;
        }
        let rest = call.strip_prefix("<... ").and_then(|call| call.split_once(" resumed>"));
        let (beginning, rest) = match rest {
            Some((_, rest)) => (begun.remove(thread).unwrap_or_default(), rest),
            None => ("", call),
        };
        whole.extend([thread, " ", beginning, rest, "\n"]);
    }
    whole
}

/// How often a thread makes each call in a run of `words`, at the most.
pub(super) fn count(project: &Project, words: &[&str]) -> BTreeMap<&'static str, usize> {
    let mut most = BTreeMap::new();
    for (calls, at) in [(ANYWHERE, Vec::new()), (OURS, paths(project, "all"))] {
        let options = ["--seccomp-bpf".to_owned(), "-e".to_owned(), format!("trace={}", calls.join(","))];
        drop(Run::start(traced(project, &options, &at, words)).end());
        let log = log(project);
        for call in calls {
            let mut threads: BTreeMap<&str, usize> = BTreeMap::new();
            for line in log.lines() {
                let (thread, rest) = line.split_once(' ').unwrap_or_default();
                if rest.trim_start().strip_prefix(call).is_some_and(|rest| rest.starts_with('(')) {
                    *threads.entry(thread).or_default() += 1;
                }
            }
            let known = most.entry(*call).or_default();
            *known = threads.into_values().max().unwrap_or_default().max(*known);
        }
        break_if_none(&most);
    }
    most
}

/// A trace that sees nothing would make a campaign of no faults.
fn break_if_none(most: &BTreeMap<&'static str, usize>) {
    assert!(most.get("fdatasync").is_some_and(|count| *count > 0), "nothing was traced: {most:?}");
}

/// Runs `words` with `fault`, at these paths or, without any, wherever the call is watched. Gives the end, and whether it was hit.
pub(super) fn run(project: &Project, fault: Fault, at: &[PathBuf], words: &[&str]) -> (Ended, bool) {
    let mut options = vec!["-e".to_owned(), format!("trace={}", fault.call), "-e".to_owned(), format!("inject={fault}")];
    if fault.what != What::Kill {
        // Quicker, and no signal is delivered that way.
        options.push("--seccomp-bpf".to_owned());
    }
    let at = if at.is_empty() && OURS.contains(&fault.call) { paths(project, fault.call) } else { at.to_vec() };
    let ended = Run::start(traced(project, &options, &at, words)).end();
    let is_hit = match fault.what {
        What::Kill => ended.code().is_none_or(|code| code == 137),
        What::Error(_) => log(project).contains("(INJECTED)"),
    };
    let _ = fs::remove_file(project.path("strace.log"));
    (ended, is_hit)
}

fn log(project: &Project) -> String {
    let path: &Path = &project.path("strace.log");
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
