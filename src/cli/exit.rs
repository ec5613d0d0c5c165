//! The exit codes: part of the contract with every pipeline that runs the program.

use crate::apply::Signal;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done, or nothing to do, or a plan was made.
    Done,
    /// An error; nothing was created by this run.
    Error,
    /// With `--detailed-exitcode` only: there are changes.
    Changes,
    /// At least one create is in doubt, or an instance lacks its token.
    InDoubt,
    /// Not every instance that was asked is linked to a phone.
    Unlinked,
    /// Some were created and some not, none in doubt.
    Partly,
    /// Another process has the state.
    Locked,
    /// A guard stopped the run before anything was sent.
    Guard,
    /// A saved plan is stale, spent, expired, or for another state.
    Stale,
    /// The state is missing, damaged or older than it should be.
    State,
    /// Stopped by a signal, with everything in flight accounted for.
    Signal(Signal),
}

impl Exit {
    /// The process's exit code.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::Changes => 2,
            Self::InDoubt | Self::Unlinked => 3,
            Self::Partly => 4,
            Self::Locked => 5,
            Self::Guard => 6,
            Self::Stale => 7,
            Self::State => 8,
            Self::Signal(Signal::HangUp) => 129,
            Self::Signal(Signal::Interrupt) => 130,
            Self::Signal(Signal::Terminate) => 143,
        }
    }
}
