//! Whether a saved plan may still be applied: at this time, to this state, on this server, of this manifest.

use std::time::Duration;

use jiff::Timestamp;

use super::SavedPlan;
use crate::manifest::Manifest;
use crate::state::{Head, Lineage, Origin, State};

/// How far the clocks of two machines may differ.
const SKEW: Duration = Duration::from_mins(5);

/// Why a saved plan must not be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// Its time is over.
    #[error("the plan has expired: it was good until {0}")]
    Expired(Timestamp),
    /// It was made later than now.
    #[error("the plan was made in the future, at {0}: a clock is wrong")]
    Future(Timestamp),
    /// It is for another state.
    #[error("the plan is for another state: it was made against lineage {planned}, and this is {found}")]
    OtherState {
        /// The plan's.
        planned: Lineage,
        /// This one's.
        found: Lineage,
    },
    /// The state has changed.
    #[error("the state has changed since the plan was made: that was at serial {planned}, and it is at {found}")]
    Moved {
        /// The plan's serial.
        planned: u64,
        /// The state's.
        found: u64,
    },
    /// It is for another server.
    #[error("the plan is for {planned}, not for {found}")]
    OtherServer {
        /// The plan's.
        planned: Origin,
        /// The one at hand.
        found: Origin,
    },
    /// The manifest says something else now.
    #[error("the manifest has changed since the plan was made")]
    OtherManifest,
    /// A part of the manifest is gone.
    #[error("the manifest has changed since the plan was made: {0} is gone")]
    NoManifest(String),
    /// The manifest cannot be read any more.
    #[error("the manifest has changed since the plan was made: it is not valid now (`chatapi validate`)")]
    BadManifest,
}

impl SavedPlan {
    /// Whether it may still be applied at `now`, whatever it is for.
    pub fn check_time(&self, now: Timestamp) -> Result<(), Stale> {
        let late = now.checked_add(SKEW).unwrap_or(now);
        match () {
            () if self.made.at > late => Err(Stale::Future(self.made.at)),
            () if now >= self.expires => Err(Stale::Expired(self.expires)),
            () => Ok(()),
        }
    }

    /// Whether `state` at `head` is the one that it was made against.
    pub fn check_state(&self, state: &State, head: Head) -> Result<(), Stale> {
        if self.lineage != state.lineage {
            return Err(Stale::OtherState { planned: self.lineage.clone(), found: state.lineage.clone() });
        }
        if self.head != head {
            return Err(Stale::Moved { planned: self.head.serial.0, found: head.serial.0 });
        }
        Ok(())
    }

    /// Whether `origin` is the server that it is for.
    pub fn check_server(&self, origin: &Origin) -> Result<(), Stale> {
        let other = || Stale::OtherServer { planned: self.origin.clone(), found: origin.clone() };
        if self.origin == *origin { Ok(()) } else { Err(other()) }
    }

    /// Whether `manifest`, as it stands now, declares what it was made from.
    pub fn check_manifest(&self, manifest: &Manifest) -> Result<(), Stale> {
        if self.manifest.says_what(manifest) { Ok(()) } else { Err(Stale::OtherManifest) }
    }
}
