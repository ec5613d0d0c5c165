//! The process itself, before it does anything: what it leaves behind, what others can read of it, and what its children inherit.

use std::ffi::OsString;
use std::panic::{Location, PanicHookInfo};
use std::process::Command;

use rustix::process::{Resource, Rlimit, setrlimit, umask};

use super::signals;
use crate::secret::{SEARCHED_FROM, Secret};

/// Every setting and secret of ours stands in a variable of this prefix; no other program needs one.
const OURS: &str = "CHATAPI_";

/// Called first of all. Files are private from the start, no core file is left behind and nobody may look into the memory or the
/// environment of this process, a file size limit is an error like any other, and a panic does not show what it carries.
///
/// Writing into a closed pipe is an error too, and closed standard streams lead to `/dev/null`: Rust's runtime sees to both.
pub(super) fn harden() {
    umask(rustix::fs::Mode::from_raw_mode(0o077));
    // A system that does not allow one of these still runs the program.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    signals::outlive_file_size_limit();
    std::panic::set_hook(Box::new(tell_of_panic));
}

/// A panic inside the index is not told: it is caught, and the index is built anew.
fn tell_of_panic(panic: &PanicHookInfo<'_>) {
    use std::io::Write as _;
    if !crate::store::is_index_guarded() {
        // Nobody is left to tell.
        let _ = std::io::stderr().write_all(words(panic.location()).as_bytes());
    }
}

/// Where it was, and what to do. Never the message: it may quote what must not be seen.
fn words(place: Option<&Location<'_>>) -> String {
    let place = place.map_or_else(|| "an unknown place".to_owned(), |place| format!("{}:{}", place.file(), place.line()));
    format!(
        "error: chatapi panicked at {place}: this is a bug, please report that place; its message is not shown, for it may hold a secret\n  \
         hint: what was created is on record: `chatapi plan` shows it, and another apply goes on from there\n"
    )
}

/// The number of the first argument, from 1, that holds a secret key of ours, or the API key which the environment names.
pub(super) fn argument_with_key() -> Option<usize> {
    let key = Secret::new(std::env::var("CHATAPI_API_KEY").unwrap_or_default().trim().to_owned());
    // A shorter one is a word like any other, and is refused as a key.
    let is_api_key = |text: &str| key.expose().len() >= SEARCHED_FROM && text.contains(key.expose());
    let is_secret = |argument: OsString| {
        let text = zeroize::Zeroizing::new(argument.to_string_lossy().into_owned());
        is_api_key(&text) || text.to_ascii_uppercase().contains(crate::seal::SECRET)
    };
    std::env::args_os().position(is_secret)
}

/// A program to be run, with all of the environment but what is ours: the key is not passed on.
pub(super) fn child_command(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with(OURS) {
            command.env_remove(name);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use std::process::Output;

    use super::*;

    /// Tells a child of the tests that it is one; without it, the children's tests do nothing.
    const CHILD: &str = "PROCESS_TEST_CHILD";
    /// What must not be seen.
    const CANARY: &str = "Canary7Zq0Zq1Zq2Zq3";

    /// Runs the test `name` of this module in a process of its own, with secrets in its environment.
    fn in_child(name: &str) -> Output {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args([&format!("cli::process::tests::{name}"), "--exact", "--nocapture", "--test-threads=1"]);
        child.env(CHILD, "1").env("CHATAPI_API_KEY", CANARY).env("CHATAPI_IDENTITY", CANARY).env("KEPT", "kept");
        child.output().unwrap()
    }

    fn is_child() -> bool {
        std::env::var_os(CHILD).is_some()
    }

    #[test]
    fn child_panics_when_a_parent_asks() {
        if is_child() {
            harden();
            let secret = std::env::var("CHATAPI_API_KEY").unwrap();
            assert!(secret.is_empty(), "the key is {secret}");
        }
    }

    #[test]
    fn t14_a_panic_shows_its_place_and_not_its_message() {
        let output = in_child("child_panics_when_a_parent_asks");
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("panicked at src/cli/process.rs:") && said.contains("hint: "), "{said}");
        assert!(!said.contains(CANARY) && !said.contains("the key is"), "{said}");
    }

    #[test]
    fn child_runs_a_program_when_a_parent_asks() {
        if is_child() {
            let ours = std::fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/rustfmt.toml")).unwrap();
            let shown = child_command("/bin/sh").args(["-c", "env; ls -l /proc/$$/fd"]).output().unwrap();
            println!("{}", String::from_utf8_lossy(&shown.stdout));
            drop(ours);
        }
    }

    #[test]
    fn t13_a_child_inherits_no_key_and_no_open_file() {
        let output = in_child("child_runs_a_program_when_a_parent_asks");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("KEPT=kept"), "{said}");
        assert!(!said.contains(CANARY) && !said.contains("CHATAPI_"), "{said}");
        assert!(said.contains("0 ->") && !said.contains("rustfmt.toml"), "{said}");
    }
}
