//! The moment of a kill: at random, or when something has just happened.

use std::fs;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::gateway::Gateway;
use super::project::{Project, Run, pause};

/// When to kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// So long after the start.
    After(Duration),
    /// The journal has so many more entries of this kind than before the run.
    Journal(&'static str, usize),
    /// The server has so many more complete creates than before the run.
    Seen(usize),
    /// The server has done so many more creates than before the run.
    Done(usize),
}

/// A moment, and how much later.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aim {
    pub(crate) moment: Moment,
    pub(crate) late: Duration,
}

impl Aim {
    /// One of many for a run that creates up to `missing` names and takes about `usual`.
    pub(crate) fn draw(dice: &mut Rng, missing: usize, usual: Duration, gateway: Option<&Gateway>) -> Self {
        let count = dice.usize(1..=missing.max(1));
        let moment = match dice.u8(0..12) {
            // A third of a run that creates four is start and end.
            0..=3 => Moment::After(usual.mul_f64(dice.f64() * (0.35 + 0.17 * f64::from(u8::try_from(missing).unwrap())))),
            4 => Moment::Journal("intent", count),
            5 | 6 => Moment::Journal("sent", count),
            7 | 8 => Moment::Journal("received", count),
            9 if gateway.is_some_and(Gateway::is_inside) => Moment::Seen(count),
            9 | 10 => Moment::Done(count),
            _ => Moment::Journal("created", count),
        };
        // An event opens a window; half of the kills are at its edge, the others walk through it.
        let late = if dice.bool() { Duration::ZERO } else { Duration::from_micros(dice.u64(0..2_000)) };
        Self { moment, late }
    }

    /// Kills `run` at this moment. `false`: it was over before.
    pub(crate) fn kill(self, run: &mut Run, start: Instant, before: &Before, look: &Look<'_>) -> bool {
        let is_due = match self.moment {
            Moment::After(time) => run.wait_until(|| start.elapsed() >= time),
            Moment::Journal(kind, count) => run.wait_until(|| look.entries(kind) >= before.entries(kind) + count),
            Moment::Seen(count) => run.wait_until(|| look.seen() >= before.seen + count),
            Moment::Done(count) => run.wait_until(|| look.done() >= before.done + count),
        };
        if is_due {
            pause(self.late);
        }
        let was_running = !run.is_over();
        run.kill();
        was_running
    }
}

/// What can be watched from outside.
#[derive(Debug)]
pub(crate) struct Look<'a> {
    pub(crate) project: &'a Project,
    pub(crate) gateway: Option<&'a Gateway>,
}

/// The counts from before a run.
#[derive(Debug)]
pub(crate) struct Before {
    journal: String,
    seen: usize,
    done: usize,
}

impl Before {
    fn entries(&self, kind: &str) -> usize {
        count(&self.journal, kind)
    }
}

impl Look<'_> {
    pub(crate) fn before(&self) -> Before {
        Before { journal: self.journal(), seen: self.seen(), done: self.done() }
    }

    fn journal(&self) -> String {
        let bytes = fs::read(self.project.path("state/journal.jsonl")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn entries(&self, kind: &str) -> usize {
        count(&self.journal(), kind)
    }

    fn seen(&self) -> usize {
        self.gateway.map_or(0, |gateway| gateway.seen().len())
    }

    fn done(&self) -> usize {
        let embedded = || super::gateway::creates(&self.project.path("state/emulator/ledger.jsonl"));
        self.gateway.map_or_else(embedded, Gateway::creates).len()
    }
}

fn count(journal: &str, kind: &str) -> usize {
    journal.matches(&format!("\"event\":{{\"{kind}\":")).count()
}
