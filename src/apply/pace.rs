//! When the server says "later": one pause for all creates, shown, capped, and not for ever.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::StopSignal;

/// One wait at the most.
const WAIT_MAX: Duration = Duration::from_secs(5 * 60);
/// All waits of a run at the most.
const TOTAL_MAX: Duration = Duration::from_secs(15 * 60);
/// Waits in a row without a success in between, where the server does not say how long.
const ROW_MAX: u32 = 5;

/// The pause that all creates of a run share.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<Paused>);

#[derive(Debug, Default)]
struct Paused {
    until: Option<Instant>,
    total: Duration,
    in_a_row: u32,
}

impl Pace {
    /// The server said "later" after a request sent at `sent`, and perhaps for how many seconds. How long this pause is; zero
    /// if it is one that already runs; none if the run may not wait any longer.
    pub(super) fn later(&self, sent: Instant, after: Option<u64>, now: Instant) -> Option<Duration> {
        let mut paused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if paused.until.is_some_and(|until| until > now || sent < until) {
            return Some(Duration::ZERO);
        }
        let wait = match after {
            Some(seconds) => Duration::from_secs(seconds.max(1)).min(WAIT_MAX),
            None if paused.in_a_row >= ROW_MAX => return None,
            None => jitter(Duration::from_secs(1 << paused.in_a_row.min(6))),
        };
        paused.total += wait;
        paused.in_a_row += 1;
        paused.until = Some(now + wait);
        (paused.total <= TOTAL_MAX).then_some(wait)
    }

    /// A create went through.
    pub(super) fn went_through(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).in_a_row = 0;
    }

    /// Waits for the end of the pause. `false`: asked to stop.
    pub(super) async fn turn(&self, stop: &mut StopSignal) -> bool {
        loop {
            if stop.asked().is_some() {
                return false;
            }
            let until = self.0.lock().unwrap_or_else(PoisonError::into_inner).until;
            match until.filter(|until| *until > Instant::now()) {
                None => return true,
                Some(until) => tokio::select! {
                    biased;
                    () = tokio::time::sleep_until(until) => {}
                    _ = stop.wait() => return false,
                },
            }
        }
    }
}

/// Half of `wait`, and a random part of the other half, so that many runs do not come back at the same moment.
pub(super) fn jitter(wait: Duration) -> Duration {
    wait.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_pause_serves_all_who_were_turned_away_together() {
        let pace = Pace::default();
        let now = Instant::now();
        assert_eq!(pace.later(now, Some(7), now), Some(Duration::from_secs(7)));
        assert_eq!(pace.later(now, Some(7), now), Some(Duration::ZERO), "the pause already runs");
        let after = now + Duration::from_secs(8);
        assert_eq!(pace.later(now, Some(7), after), Some(Duration::ZERO), "sent before the pause, turned away after it");
        assert_eq!(pace.later(after, Some(9), after), Some(Duration::from_secs(9)));
    }

    #[tokio::test]
    async fn waits_are_capped_one_by_one_and_together() {
        let pace = Pace::default();
        let mut now = Instant::now();
        for (after, expected) in [(0, Some(1)), (u64::MAX, Some(300)), (300, Some(300)), (300, None)] {
            assert_eq!(pace.later(now, Some(after), now), expected.map(Duration::from_secs), "{after}");
            now += Duration::from_secs(1_000);
        }
    }

    #[tokio::test]
    async fn without_a_number_five_waits_in_a_row_are_the_end_unless_one_goes_through() {
        let pace = Pace::default();
        let mut now = Instant::now();
        let mut later = || {
            now += Duration::from_secs(1_000);
            pace.later(now, None, now)
        };
        for row in 0..5 {
            let wait = later().unwrap();
            let full = Duration::from_secs(1 << row);
            assert!(wait >= full / 2 && wait <= full, "{row}: {wait:?}");
        }
        assert_eq!(later(), None);
        pace.went_through();
        assert!(later().is_some());
    }
}
