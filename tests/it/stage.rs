//! What the tests of the command line stand on: a project in a directory of its own, the real binary run in it with a clean
//! environment and a bounded wait, and servers that can be asked what they saw.

use std::time::{Duration, Instant};

mod account;
mod canary;
mod gateway;
mod other;
mod project;
mod run;
mod snapshot;
mod terminal;

pub(crate) use account::{Account, Create};
pub(crate) use canary::is_free_of;
pub(crate) use gateway::Gateway;
pub(crate) use other::{Asked, OtherGateway, Reply};
pub(crate) use project::{KEY, Project, manifest, rechained};
pub(crate) use run::{Call, Run};
pub(crate) use snapshot::{kept, snapshot, steady};
pub(crate) use terminal::Terminal;

/// No wait of a test is longer.
pub(crate) const BOUND: Duration = Duration::from_mins(2);

/// `bytes` in hexadecimal digits, each pair behind `before`.
pub(crate) fn hex(before: &str, bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + before + &format!("{byte:02x}"))
}

/// Waits until it holds, giving the processor away meanwhile.
pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + BOUND;
    while !holds() {
        assert!(Instant::now() < deadline, "it never came to hold: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}
