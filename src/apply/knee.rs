//! How many requests at once a server answers as fast as one: found while a run goes on, by what TCP Vegas does for packets.
//!
//! Up to some number at once each request takes what a single one takes; above it they only wait for each other. From the time that
//! an answer takes, and the least that one ever took, follows how many of those on their way wait: `limit · (1 − least / usual)`. The
//! limit doubles while hardly any wait, then goes up by one while few wait and down by one while more do; and to half where the
//! server says "later". Source: L. Brakmo, L. Peterson, "TCP Vegas: End to End Congestion Avoidance on a Global Internet", IEEE
//! JSAC 13(8), 1995, whose α and β these are.

use std::time::Duration;

use tokio::time::Instant;

/// Where it begins.
const FIRST: usize = 4;
/// It goes no higher: each create on its way when a run dies is one that somebody has to look for.
const MOST: usize = 256;
/// Fewer that wait than this: there is room for more.
const FEW: f64 = 2.0;
/// More that wait than this: there are too many.
const MANY: f64 = 4.0;

/// The number at once, and what is known of the server.
#[derive(Debug)]
pub(super) struct Knee {
    limit: usize,
    /// No room was found to be short yet.
    is_doubling: bool,
    least: Duration,
    /// What was answered since the limit was last looked at: how many, and their times together.
    answers: u32,
    sum: Duration,
    /// So many were on their way at once since then.
    used: usize,
    /// Requests sent before this moment were sent under an earlier limit.
    since: Option<Instant>,
}

impl Default for Knee {
    fn default() -> Self {
        Self { limit: FIRST, is_doubling: true, least: Duration::MAX, answers: 0, sum: Duration::ZERO, used: 0, since: None }
    }
}

impl Knee {
    /// How many may be on their way at once.
    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    /// A request that was sent at `sent`, with `used` on their way, was answered at `now`.
    pub(super) fn answered(&mut self, sent: Instant, now: Instant, used: usize) {
        if self.since.is_some_and(|since| sent < since) {
            return;
        }
        let took = now.duration_since(sent);
        self.least = self.least.min(took);
        self.sum += took;
        self.answers += 1;
        self.used = self.used.max(used);
        if self.answers as usize >= self.limit {
            self.look(now);
        }
    }

    /// The server said "later" to a request that was sent at `sent`.
    pub(super) fn turned_away(&mut self, sent: Instant, now: Instant) {
        if self.since.is_none_or(|since| sent >= since) {
            self.is_doubling = false;
            self.set((self.limit / 2).max(1), now);
        }
    }

    /// Judges by what came since the last look.
    fn look(&mut self, now: Instant) {
        let usual = self.sum / self.answers.max(1);
        let waiting = count(self.limit) * (1.0 - ratio(self.least, usual));
        // What was not used says nothing of whether there is room for more.
        let is_full = self.used >= self.limit;
        let next = if waiting > MANY {
            // What doubled too far goes back by those that wait at once, and by one at a time from there.
            if self.is_doubling { floor(count(self.limit) - waiting).max(FIRST) } else { self.limit - 1 }
        } else if waiting >= FEW || !is_full {
            self.limit
        } else if self.is_doubling {
            self.limit * 2
        } else {
            self.limit + 1
        };
        self.is_doubling &= waiting < FEW;
        self.set(next.clamp(1, MOST), now);
    }

    fn set(&mut self, limit: usize, now: Instant) {
        if limit != self.limit {
            tracing::debug!(limit, before = self.limit, least = ?self.least, "another number of requests at once");
            self.limit = limit;
            self.since = Some(now);
        }
        (self.answers, self.sum, self.used) = (0, Duration::ZERO, 0);
    }
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

fn ratio(least: Duration, usual: Duration) -> f64 {
    if usual.is_zero() { 1.0 } else { least.as_secs_f64() / usual.as_secs_f64() }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is at most MOST, and below zero becomes zero")]
const fn floor(number: f64) -> usize {
    number as usize
}
