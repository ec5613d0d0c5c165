//! The applier: carries out a plan so that nothing is created twice and no token is lost, whatever happens in between.
//!
//! For each missing name: intent (durable) → connect → sent (durable) → the request is let go → the answer is recorded
//! (durable) → it is judged → created. Where several may be on their way, the intents of the next names are written meanwhile, so
//! that between one answer and the next request there is one sync: of that answer and of that `sent`. A crash after any of these
//! steps leaves a state from which [`Applier::recover`] goes on without a second request. It decides nothing that the plan decides,
//! and prints nothing: what happens is told to an [`Observer`].

mod applier;
mod attempt;
mod doubts;
mod foresee;
mod keep;
mod knee;
mod limits;
mod lose;
mod pace;
mod recorder;
mod recover;
mod rescue;
mod retire;
mod settle;
mod shared;
mod slots;
mod stop;

#[cfg(test)]
mod costs_tests;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod model;
#[cfg(test)]
mod simulation;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

pub use applier::Applier;
pub use doubts::{Examination, examine};
pub use foresee::{Foreseen, foresee, unread};
pub use limits::{NotParallelism, NotRate, Parallelism, Rate};
pub use recorder::{RecordError, Recorder};
pub use recover::{Absent, ByList, Proven};
pub use rescue::{NoRescue, Packet, Rescue};
pub use retire::{Departure, Departures, Obstacles, Terms};
pub use stop::{Signal, StopHandle, StopSignal};

use crate::instance::{InstanceId, InstanceName};
use crate::plan::{Change, Moment, Settling};
use crate::state::{AttemptId, Event, PlanId, Who};

/// The time, as the journal records it. A parameter so that tests choose it.
pub type Clock = fn() -> Timestamp;

/// How an apply works.
#[derive(Clone)]
pub struct Options {
    /// Creates and deletes in flight at the most.
    pub parallelism: Parallelism,
    /// How many of them may begin in a time; none: as many as can.
    pub rate: Option<Rate>,
    /// Nobody else creates on this account: a doubt may be settled by the list alone.
    pub is_exclusive: bool,
    /// When an absence from the list counts.
    pub settling: Settling,
    /// Tries of a request that provably did not leave, and the wait before the second; each further one waits twice as long.
    pub tries: Tries,
    /// How long requests in flight may take after an interrupt.
    pub drain: Duration,
    /// What the journal says of this run.
    pub run: RunInfo,
    /// Where an answer goes that the journal does not take.
    pub rescue: Arc<dyn Rescue>,
    /// The time.
    pub clock: Clock,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("parallelism", &self.parallelism).field("run", &self.run).finish_non_exhaustive()
    }
}

/// How often an unsent request is tried.
#[derive(Debug, Clone, Copy)]
pub struct Tries {
    /// In all; at least 1.
    pub most: u32,
    /// Before the second.
    pub wait: Duration,
}

/// What the journal says of a run.
#[derive(Debug, Clone)]
pub struct RunInfo {
    /// The command.
    pub verb: &'static str,
    /// Who runs it.
    pub who: Who,
    /// The machine's boot id.
    pub boot: Option<String>,
    /// How long ago that was; none where the system does not tell.
    pub up: fn() -> Option<Duration>,
    /// Whether the file system under the state keeps what was synced, as far as is known of its kind.
    pub keeps_what_is_synced: bool,
    /// The saved plan that it carries out.
    pub plan: Option<PlanId>,
}

impl RunInfo {
    /// The journal's entry for this run, where it goes on to create: its plan is spent with it.
    pub fn creating(&self, aim: usize) -> Event {
        match self.event() {
            Event::Run { verb, version, who, boot, up, .. } => {
                Event::Run { verb, version, who, boot, up, plan: self.plan.clone(), aim: Some(aim as u64) }
            }
            other => other,
        }
    }

    /// The journal's entry for this run.
    pub fn event(&self) -> Event {
        Event::Run {
            verb: self.verb.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            who: self.who.clone(),
            boot: self.boot.clone(),
            up: (self.up)().and_then(|up| u64::try_from(up.as_millis()).ok()),
            plan: None,
            aim: None,
        }
    }

    /// Now, where the wall's clock says `wall`.
    pub fn moment(&self, wall: Timestamp) -> Moment<'_> {
        Moment { wall, boot: self.boot.as_deref(), up: (self.up)() }
    }
}

/// What became of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It exists.
    Created {
        /// Its id.
        id: InstanceId,
        /// Whether its token is kept.
        has_token: bool,
    },
    /// The server created nothing.
    Refused {
        /// Why.
        reason: String,
    },
    /// Nothing was sent.
    NotSent {
        /// Why.
        reason: String,
    },
    /// A doubt of an earlier run is settled: it was not created.
    NotCreated {
        /// On what grounds.
        reason: String,
    },
    /// Nobody knows.
    InDoubt {
        /// The attempt.
        attempt: AttemptId,
        /// What was seen.
        reason: String,
    },
    /// The answer is recorded, and this run could not write more. The next run finishes it without a request.
    Unfinished,
    /// The run stopped before its turn.
    NotTried,
}

/// Why a run stopped before its end.
#[derive(Debug, Clone)]
pub enum Halt {
    /// The server refuses, and would refuse every other create too.
    Refused(String),
    /// The server cannot be reached, so that every other create would fail too.
    Unreachable(String),
    /// The server asks to wait longer than this run may.
    RateLimited(String),
    /// The state cannot be written: nothing more may be sent.
    Store(Arc<crate::store::StoreError>),
    /// A signal.
    Interrupted(Signal),
}

/// What a run did.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Every name that was to be created.
    pub outcomes: BTreeMap<InstanceName, Outcome>,
    /// Every name that was to be deleted.
    pub departures: BTreeMap<InstanceName, Departure>,
    /// Why it stopped early, if it did.
    pub halt: Option<Halt>,
}

/// What happens, as it happens.
#[derive(Debug, Clone)]
pub enum Progress {
    /// An attempt of an earlier run was finished or closed.
    Recovered {
        /// Whose.
        name: InstanceName,
        /// What was concluded.
        outcome: Outcome,
    },
    /// There is no list from before the creates: a doubt can then not be settled by one.
    NoFence {
        /// Why.
        reason: String,
    },
    /// It was settled before anything is created: taken in, renamed, or a doubt of it closed.
    Settled {
        /// As the plan shows it.
        change: Change,
    },
    /// A request is being made.
    Started {
        /// For which name.
        name: InstanceName,
    },
    /// A delete is being sent.
    Deleting {
        /// Whose.
        name: InstanceName,
    },
    /// What became of one that was to be deleted, as far as its answer tells.
    Departed {
        /// Whose.
        name: InstanceName,
        /// What became of it.
        departure: Departure,
    },
    /// A request did not leave; it is tried again.
    Retrying {
        /// For which name.
        name: InstanceName,
        /// Why.
        reason: String,
        /// After how long.
        wait: Duration,
    },
    /// The server asked to wait; nothing is sent meanwhile.
    Waiting {
        /// The server's words.
        reason: String,
        /// How long.
        wait: Duration,
    },
    /// An answer could not be recorded and is kept elsewhere.
    Rescued {
        /// Whose.
        name: InstanceName,
        /// Where.
        place: String,
    },
    /// A name is done.
    Done {
        /// Which.
        name: InstanceName,
        /// What became of it.
        outcome: Outcome,
        /// How long it took.
        took: Duration,
    },
    /// An interrupt: no new create starts.
    Stopping {
        /// The signal.
        signal: Signal,
        /// Requests in flight.
        in_flight: usize,
        /// How long they may take.
        drain: Duration,
    },
}

/// Who is told. Must not block.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn tell(&self, progress: Progress);
}

impl<F: Fn(Progress) + Send + Sync> Observer for F {
    fn tell(&self, progress: Progress) {
        self(progress);
    }
}
