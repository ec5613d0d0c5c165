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
