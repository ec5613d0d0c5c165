//! When an absence from the server's list counts: after a time that no clock can make up. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::Proposal;
use crate::state::{Attempt, Doubt};

/// How long it takes until an absence from the list counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settling {
    /// From the request on.
    pub after: Duration,
    /// Between two lists that agree.
    pub between: Duration,
}

impl Default for Settling {
    fn default() -> Self {
        Self { after: Duration::from_secs(15 * 60), between: Duration::from_secs(5) }
    }
}

/// A moment on two clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// On the clock that people set.
    pub wall: Timestamp,
    /// The start of the machine.
    pub boot: Option<&'a str>,
    /// How long ago that was.
    pub up: Option<Duration>,
}

impl Moment<'_> {
    /// How long ago `since` of `attempt` was by the clock that nobody sets; none: the machine was another one or has started anew.
    fn passed(self, attempt: &Attempt, since: Timestamp) -> Option<Duration> {
        let run = attempt.run.as_ref()?;
        let begun = run.begun.filter(|_| run.boot.is_some() && run.boot.as_deref() == self.boot)?;
        // Both are the run's own: a jump in between is in neither.
        let into_it = Duration::try_from(since.duration_since(begun.at)).unwrap_or_default();
        Some(self.up?.saturating_sub(Duration::from_millis(begun.up)).saturating_sub(into_it))
    }
}

/// The settling time has to be over on the wall's clock and, where it is the same machine since its start, on the one that
/// nobody sets: a clock that was put right, or wrong, since the attempt lets no time pass.
pub(super) fn absence((attempt, doubt): (&Attempt, &Doubt), is_agreeing: bool, now: Moment<'_>, settling: Settling) -> Proposal {
    let later = |from: Timestamp, time| from.checked_add(time).unwrap_or(Timestamp::MAX);
    let settles = later(doubt.since, settling.after);
    let left = now.passed(attempt, doubt.since).map(|passed| settling.after.saturating_sub(passed));
    let settles = left.map_or(settles, |left| settles.max(later(now.wall, left)));
    if now.wall >= settles && is_agreeing { Proposal::NotCreated } else { Proposal::NotYetSettled { at: settles } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{AttemptId, Begun, Run, Who};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    /// Boot id then and now, milliseconds up at the run's beginning, seconds up now, seconds by the wall since, absent, why.
    type Row = (&'static str, &'static str, Option<u64>, u64, i64, bool, &'static str);

    #[test]
    fn p1_p16_a_clock_that_jumps_settles_nothing() {
        let hour: i64 = 3_600;
        let decade = 10 * 365 * 24 * hour;
        let (begun, settling) = (decade, Settling::default());
        let rows: &[Row] = &[
            ("b", "b", Some(50_000), 50 + 1_000, 1_000, true, "both clocks say so"),
            ("b", "b", Some(50_000), 50 + 60, decade, false, "the wall's clock was put forward"),
            ("b", "b", Some(50_000), 50 + 899 + 7, hour, false, "a second is missing"),
            ("b", "b", Some(50_000), 50 + 900 + 7, hour, true, "now it is not"),
            ("b", "b", Some(50_000), 10_000, -decade, false, "the wall's clock was put back"),
            ("b", "b", Some(50_000), 10_000, 0, false, "the wall's clock stands still"),
            ("b", "b", Some(50_000), 49, decade, false, "the machine was set back to an earlier moment"),
            ("b", "c", Some(50_000), 1, hour, true, "another machine, or started anew: only the wall's clock is left"),
            ("b", "b", None, 1, hour, true, "an older version did not record it"),
            ("b", "b", Some(u64::MAX), u64::MAX, i64::MAX / 1_000_000_000, true, "no panic at the ends"),
        ];
        for (then, now, up_then, up_now, wall, absent, why) in rows {
            let run = Run {
                who: Who::default(),
                boot: Some((*then).into()),
                begun: up_then.map(|up| Begun { at: at(begun), up }),
                aim: None,
            };
            let attempt = Attempt { id: AttemptId::typed("a"), fence: None, since: at(begun), run: Some(run.into()) };
            // Seven seconds into the run.
            let doubt = Doubt { since: at(begun + 7), reason: String::new(), answer: None };
            let wall = Timestamp::from_second(begun.saturating_add(*wall)).unwrap_or(Timestamp::MAX);
            let moment = Moment { wall, boot: Some(now), up: Some(Duration::from_secs(*up_now)) };
            let proposal = absence((&attempt, &doubt), true, moment, settling);
            assert_eq!(proposal == Proposal::NotCreated, *absent, "{why}: {proposal:?}");
        }
        let doubt = Doubt { since: Timestamp::MAX, reason: String::new(), answer: None };
        let attempt = Attempt { id: AttemptId::typed("a"), fence: None, since: Timestamp::MIN, run: None };
        let moment = Moment { wall: Timestamp::MIN, boot: None, up: None };
        assert_eq!(absence((&attempt, &doubt), true, moment, settling), Proposal::NotYetSettled { at: Timestamp::MAX });
    }
}
