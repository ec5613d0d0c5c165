//! The process: nobody looks into it, it leaves no core, and closed or broken streams are no harm (T12 to T14).

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::is_root;
use crate::stage::{Call, Gateway, Project, eventually};

const BINARY: &str = env!("CARGO_BIN_EXE_chatapi");
const CANARY: &str = "CanaryKey7Zq0Zq1Zq2Zq3Zq4Zq5Z";

/// A process that is killed when the test ends.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Who shall read and be read: this user; or, for root reads everything, one who may do nothing.
fn as_a_user(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(program);
    command
}

/// Starts `program` as a user with the key in its environment, and gives, once `is_up`, whose that environment is in `/proc` and
/// what the same user reads there. That of a process which is not dumpable is root's.
fn environment_of(program: &Path, args: &[&str], is_up: impl Fn(u32) -> bool) -> (u32, String) {
    let mut command = as_a_user(program);
    let command = command.args(args).env("CHATAPI_API_KEY", CANARY).stdout(Stdio::null()).stderr(Stdio::null());
    let child = Guarded(command.spawn().unwrap());
    eventually("the program runs", || is_up(child.0.id()));
    let environment = format!("/proc/{}/environ", child.0.id());
    let read = as_a_user(Path::new("/bin/cat")).arg(&environment).output().unwrap();
    (std::fs::metadata(environment).unwrap().uid(), String::from_utf8_lossy(&read.stdout).into_owned())
}

/// Whether process `pid` is `name` by now, and no longer what starts it.
fn is_named(pid: u32, name: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
}

/// Whether process `pid` ignores or catches `signal`: a sign that it has begun.
fn status_bit(pid: u32, mask: &str, signal: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix(mask)).and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    bits.is_some_and(|bits| bits >> (signal - 1) & 1 == 1)
}

#[test]
fn t13_the_same_user_cannot_read_the_environment() {
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let binary: PathBuf = place.path().join("chatapi");
    // By another process: no fork of this one may hold the copy open for writing when it is started.
    assert!(std::process::Command::new("cp").args([BINARY.as_ref(), binary.as_os_str()]).status().unwrap().success());
    let user = if is_root() { 65_534 } else { rustix::process::geteuid().as_raw() };
    let (owner, read) = environment_of(Path::new("/bin/sleep"), &["60"], |pid| is_named(pid, "sleep"));
    assert_eq!(owner, user, "another program's is its user's");
    if !read.contains(CANARY) {
        eprintln!("note: this system lets nobody read another program's environment either");
    }
    // The handler for the file size limit is put up after the process is closed.
    let is_up = |pid| is_named(pid, "chatapi") && status_bit(pid, "SigCgt:", 25);
    assert_eq!(environment_of(&binary, &["emulator"], is_up), (0, String::new()));
}

/// How `program` ends when it is told to abort, in `dir`, with cores of any size allowed.
fn aborted(dir: &Path, program: &str, arg: &str, is_up: impl Fn(u32) -> bool) -> ExitStatus {
    let script = "ulimit -c unlimited; exec \"$0\" \"$1\"";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, program, arg]).current_dir(dir).env("CHATAPI_API_KEY", CANARY);
    let mut child = Guarded(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    eventually("the program runs", || is_up(child.0.id()));
    kill_process(Pid::from_child(&child.0), Signal::ABORT).unwrap();
    child.0.wait().unwrap()
}

#[test]
fn t14_an_abort_leaves_no_core() {
    let (place, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ended = aborted(place.path(), BINARY, "emulator", |pid| is_named(pid, "chatapi") && status_bit(pid, "SigCgt:", 25));
    assert_eq!((ended.signal(), ended.core_dumped()), (Some(6), false));
    let left: Vec<_> = std::fs::read_dir(place.path()).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    if !aborted(other.path(), "/bin/sleep", "60", |pid| is_named(pid, "sleep")).core_dumped() {
        eprintln!("note: this machine makes no cores of other programs either");
    }
}

#[cfg(feature = "failpoints")]
#[test]
fn t14_a_panic_shows_its_place_and_not_its_message() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]);
    // Into a file: what a program of these tests says of a panic fails its test.
    let words = ["-c", "exec \"$0\" apply 2> said.txt", BINARY];
    let call = Call::of("/bin/sh", project.dir().to_owned(), words).envs(project.env());
    call.env("CHATAPI_FAILPOINT", "told=panic").run().exits(101);
    let said = project.read("said.txt");
    assert!(said.contains("panicked at src/failpoint.rs:") && said.contains("hint: what was created is on record"), "{said}");
    assert!(!said.contains("BUG: wanted"), "{said}");
}

#[test]
fn t17_the_umask_is_closed_and_broken_pipes_are_errors() {
    let mut command = Command::new(BINARY);
    let child = Guarded(command.arg("emulator").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let pid = child.0.id();
    eventually("the program runs", || is_named(pid, "chatapi") && status_bit(pid, "SigCgt:", 25));
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("Umask:\t0077"), "{status}");
    assert!(status_bit(pid, "SigIgn:", 13), "SIGPIPE is ignored: {status}");
}

#[test]
fn t14_closed_streams_are_no_files_of_the_state() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a", "b"]);
    let words = ["-c", "exec \"$0\" apply -vvv <&- >&- 2>&-", BINARY];
    Call::of("/bin/sh", project.dir().to_owned(), words).envs(project.env()).run().done();
    for (path, bytes) in Project::files(project.dir()) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains("created as") && !text.contains("TRACE"), "{}: {text}", path.display());
    }
    project.run("apply").exits(0).prints("Nothing to do: 2");
    assert_eq!(gateway.creates(), 2);
}

#[test]
fn t12_a_key_among_the_arguments_is_refused_and_not_shown() {
    let gateway = Gateway::start(&[]);
    let project = Project::at(&gateway.url(), &["a"]).with("CHATAPI_API_KEY", CANARY);
    for line in [
        format!("apply --api-key {CANARY}"),
        format!("apply --api-key={CANARY}"),
        format!("apply -k{CANARY}"),
        format!("apply {CANARY}"),
        format!("{CANARY} apply"),
        format!("apply --lock-file x-{CANARY}-y"),
        format!("token set a {CANARY}"),
    ] {
        let run = project.run(&line).exits(1).warns("holds a secret key");
        assert!(!format!("{run}").contains(CANARY), "{run}");
    }
    for line in ["apply --api-key=Another1Canary2Key3", "apply --key Another1Canary2Key3", "apply -kAnother1Canary2Key3"] {
        let run = project.run(line).exits(1).warns("unexpected argument");
        assert!(!run.stderr.contains("Canary"), "a flag that does not exist, and its value is not shown: {run}");
    }
    assert_eq!(gateway.requests(), 0);
}
