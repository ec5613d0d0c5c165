//! How long the emulator takes: a fixed time or a range, in a person's spelling.

use std::time::Duration;

use jiff::SignedDuration;

/// Longest accepted time.
const LONGEST: Duration = Duration::from_hours(1);

/// A time between `min` and `max`, both included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latency {
    min: Duration,
    max: Duration,
}

/// The text is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a time is written `50ms`, `2s` or, for a range, `0..200ms`, up to one hour")]
pub struct LatencyError;

impl Latency {
    /// One value of the range.
    pub(super) fn draw(self, dice: &mut fastrand::Rng) -> Duration {
        if self.min == self.max {
            return self.min;
        }
        // At most one hour, so nanoseconds fit in 64 bits.
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(dice.u64(nanos(self.min)..=nanos(self.max)))
    }
}

/// Reads `50ms` or `0..200ms`; a first number without a unit takes that of the second.
pub fn parse_latency(text: &str) -> Result<Latency, LatencyError> {
    let Some((min, max)) = text.split_once("..") else {
        let fixed = parse_duration(text)?;
        return Ok(Latency { min: fixed, max: fixed });
    };
    let unit = max.trim_start_matches(|c: char| c.is_ascii_digit());
    let has_own_unit = min.bytes().any(|byte| !byte.is_ascii_digit());
    let min = if has_own_unit { parse_duration(min)? } else { parse_duration(&format!("{min}{unit}"))? };
    let max = parse_duration(max)?;
    if min <= max { Ok(Latency { min, max }) } else { Err(LatencyError) }
}

pub(super) fn parse_duration(text: &str) -> Result<Duration, LatencyError> {
    let signed: SignedDuration = text.parse().map_err(|_| LatencyError)?;
    let duration = Duration::try_from(signed).map_err(|_| LatencyError)?;
    if duration <= LONGEST { Ok(duration) } else { Err(LatencyError) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ranges_are_read() {
        let millis = |min, max| Ok(Latency { min: Duration::from_millis(min), max: Duration::from_millis(max) });
        for (text, expected) in [
            ("50ms", millis(50, 50)),
            ("0..200ms", millis(0, 200)),
            ("10ms..1s", millis(10, 1000)),
            ("1..2s", millis(1000, 2000)),
            ("0ms", millis(0, 0)),
        ] {
            assert_eq!(parse_latency(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "50", "ms", "-1s", "2s..1s", "..", "1s..", "..1s", "2h", "0.. 5", "1s...2s"] {
            assert_eq!(parse_latency(text), Err(LatencyError), "{text}");
        }
    }

    #[test]
    fn a_draw_stays_in_its_range() {
        let latency = parse_latency("5..7ms").unwrap();
        let mut dice = fastrand::Rng::with_seed(1);
        for _ in 0..1000 {
            assert!((latency.min..=latency.max).contains(&latency.draw(&mut dice)));
        }
    }
}
