//! What outlives a process: the disk, the lock file, the server, and what the simulation knows of all of them.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use super::chance::Chance;
use super::disk::{Content, Disk};
use super::ledger::Ledger;
use super::server::Server;
use crate::instance::InstanceName;
use crate::store::LockFile;

thread_local! {
    /// The wall clock at the simulation's beginning, and that beginning.
    static WALL: Cell<Option<(Timestamp, Instant)>> = const { Cell::new(None) };
}

/// The wall clock, which the operator or a daemon may set.
pub(super) fn wall() -> Timestamp {
    let (at, start) = WALL.get().unwrap();
    at + start.elapsed()
}

/// The clock that nobody sets.
pub(super) fn up() -> Option<std::time::Duration> {
    Some(WALL.get()?.1.elapsed())
}

/// What comes of a step of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hit {
    Goes,
    /// It dies in the middle of this step.
    Dies,
    /// It died before.
    Dead,
}

/// How the next process or machine ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Kill,
    PowerCut,
}

pub(super) struct Inner {
    pub(super) dice: fastrand::Rng,
    pub(super) chance: Chance,
    pub(super) disk: Disk,
    pub(super) lock_file: Option<LockFile>,
    /// What a power cut leaves of the lock file on a lying disk.
    pub(super) durable_lock_file: Option<LockFile>,
    /// Names that are declared no longer, and whose instances are to be deleted.
    pub(super) doomed: BTreeSet<InstanceName>,
    pub(super) server: Server,
    pub(super) ledger: Ledger,
    /// Steps until somebody dies.
    pub(super) fuse: Option<(u32, End)>,
    pub(super) processes: Vec<watch::Sender<bool>>,
    pub(super) power_is_cut: bool,
    /// The disk has forgotten what it said it kept.
    pub(super) has_lied: bool,
    /// Processes that have the state open.
    pub(super) writers: u32,
    pub(super) boot: u32,
    /// Names whose entries were lost although the disk had said that they were kept; as long as no process took that for the truth.
    pub(super) lost: BTreeSet<InstanceName>,
    /// The newest state, while an older one stands in its place; and what had been lost before that.
    pub(super) aside: Option<(Content, BTreeSet<InstanceName>)>,
    /// The lock file is older than it was.
    pub(super) lock_is_old: bool,
    /// Sum over everything that happened: equal seeds have equal sums.
    pub(super) sum: u64,
    trace: Option<String>,
    start: Instant,
}

/// Shared by everything in one seed.
pub(super) struct World(Mutex<Inner>);

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

impl World {
    pub(super) fn new(chance: Chance, dice: fastrand::Rng, is_traced: bool) -> Arc<Self> {
        let start = Instant::now();
        WALL.set(Some((Timestamp::from_second(1_700_000_000).unwrap(), start)));
        let trace = is_traced.then(|| format!("{chance:?}\n"));
        Arc::new(Self(Mutex::new(Inner {
            dice,
            chance,
            disk: Disk::default(),
            lock_file: None,
            durable_lock_file: None,
            doomed: BTreeSet::new(),
            server: Server::default(),
            ledger: Ledger::default(),
            fuse: None,
            processes: Vec::new(),
            power_is_cut: false,
            has_lied: false,
            writers: 0,
            boot: 0,
            lost: BTreeSet::new(),
            aside: None,
            lock_is_old: false,
            sum: 0,
            trace,
            start,
        })))
    }

    pub(super) fn with<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A new process; its number, and the news of its death.
    pub(super) fn start_process(&self) -> (usize, watch::Receiver<bool>) {
        self.with(|inner| {
            let (tell, told) = watch::channel(false);
            inner.processes.push(tell);
            (inner.processes.len() - 1, told)
        })
    }

    /// A moment of up to `most`; none at all half of the time.
    pub(super) fn moment(&self, most: Duration) -> Duration {
        self.with(|inner| if inner.dice.bool() { Duration::ZERO } else { most.mul_f64(inner.dice.f64()) })
    }
}

impl Inner {
    /// Whether something with so many chances in a hundred happens.
    pub(super) fn happens(&mut self, hundredths: u32) -> bool {
        hundredths > 0 && self.dice.u32(0..100) < hundredths
    }

    /// Whether the disk fails now.
    pub(super) fn fails(&mut self) -> bool {
        self.happens(self.chance.disk)
    }

    pub(super) fn is_dead(&self, process: usize) -> bool {
        *self.processes[process].borrow()
    }

    /// A process does something that it can die of.
    pub(super) fn step(&mut self, process: usize, what: &str) -> Hit {
        if self.is_dead(process) {
            return Hit::Dead;
        }
        self.note(|| format!("{process} {what}"));
        let Some((left, end)) = &mut self.fuse else { return Hit::Goes };
        if *left > 0 {
            *left -= 1;
            return Hit::Goes;
        }
        let end = *end;
        self.fuse = None;
        self.note(|| format!("{process} {end:?}"));
        match end {
            End::Kill => {
                self.ledger.tally.kills += 1;
                _ = self.processes[process].send_replace(true);
            }
            End::PowerCut => {
                self.power_is_cut = true;
                self.processes.iter().for_each(|process| _ = process.send_replace(true));
            }
        }
        Hit::Dies
    }

    /// Remembers what happens: as a sum, and as text if somebody reads it.
    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        let at = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.sum = (self.sum ^ at).wrapping_mul(0x0100_0000_01b3).rotate_left(23) ^ self.dice.clone().u64(..);
        if let Some(trace) = &mut self.trace {
            let _ = writeln!(trace, "{at:>9} {}", what());
        }
    }

    pub(super) fn violation(&mut self, what: String) {
        self.note(|| format!("VIOLATION {what}"));
        self.ledger.violations.push(what);
    }

    pub(super) fn take_trace(&mut self) -> String {
        self.trace.take().unwrap_or_default()
    }

    /// The wall clock jumps.
    pub(super) fn jump(&mut self) {
        let (at, start) = WALL.get().unwrap();
        let seconds = self.dice.i64(-200_000..200_000);
        self.note(|| format!("the clock jumps by {seconds} s"));
        WALL.set(Some((at + jiff::SignedDuration::from_secs(seconds), start)));
    }
}
