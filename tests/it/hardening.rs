//! The threats of `docs/threats.md` against the real binary: what it leaves behind, whom it trusts with its files, what it
//! prints of what others wrote, and whom it talks to. Each test is quick (a few seconds at the most); what this machine does not
//! allow is skipped with its reason on standard error.

mod answers;
mod origin;
mod place;
mod process;
mod session;
mod table;
mod words;

/// Whether the tests run as root, who may do what others may not.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
