//! What limits an apply, as an operator writes it.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

/// The most that can be asked for at once.
const MOST: usize = 512;

/// How many requests may be on their way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parallelism {
    /// At most so many; at least 1.
    Fixed(usize),
    /// As many as the server answers without making them wait, which is found while the run goes on.
    Auto,
}

impl Parallelism {
    /// The number, or `auto` where it is to be found.
    pub const fn or(self, auto: usize) -> usize {
        match self {
            Self::Fixed(most) => most,
            Self::Auto => auto,
        }
    }
}

impl fmt::Display for Parallelism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(most) => write!(f, "{most}"),
            Self::Auto => f.write_str("auto"),
        }
    }
}

impl FromStr for Parallelism {
    type Err = NotParallelism;

    fn from_str(text: &str) -> Result<Self, NotParallelism> {
        match text.parse() {
            Ok(most) if (1..=MOST).contains(&most) => Ok(Self::Fixed(most)),
            Err(_) if text == "auto" => Ok(Self::Auto),
            Ok(_) | Err(_) => Err(NotParallelism),
        }
    }
}

/// A parallelism that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a number from 1 to {MOST}, or `auto`")]
pub struct NotParallelism;

/// How many requests may begin in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    most: NonZeroU32,
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
}

impl Unit {
    const ALL: [Self; 3] = [Self::Second, Self::Minute, Self::Hour];

    const fn letter(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "m",
            Self::Hour => "h",
        }
    }

    const fn length(self) -> Duration {
        match self {
            Self::Second => Duration::from_secs(1),
            Self::Minute => Duration::from_mins(1),
            Self::Hour => Duration::from_hours(1),
        }
    }
}

impl Rate {
    /// The time between two of them.
    pub fn period(self) -> Duration {
        self.unit.length() / self.most.get()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.most, self.unit.letter())
    }
}

impl FromStr for Rate {
    type Err = NotRate;

    fn from_str(text: &str) -> Result<Self, NotRate> {
        let (most, letter) = text.split_once('/').ok_or(NotRate)?;
        let unit = Unit::ALL.into_iter().find(|unit| unit.letter() == letter).ok_or(NotRate)?;
        Ok(Self { most: most.parse().map_err(|_| NotRate)?, unit })
    }
}

/// A rate that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a number for each second, minute or hour, as `10/s`, `600/m` or `1000/h`")]
pub struct NotRate;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parallelism_is_a_number_within_bounds_or_auto() {
        for (text, read) in [("1", Parallelism::Fixed(1)), ("512", Parallelism::Fixed(512)), ("auto", Parallelism::Auto)] {
            assert_eq!(text.parse(), Ok(read));
            assert_eq!(read.to_string(), text);
        }
        for text in ["", "0", "513", "-1", "Auto", "4 "] {
            assert_eq!(text.parse::<Parallelism>(), Err(NotParallelism), "{text}");
        }
    }

    #[test]
    fn a_rate_is_a_number_for_a_unit_of_time() {
        for (text, micros) in [("1/s", 1_000_000), ("10/s", 100_000), ("600/m", 100_000), ("1000/h", 3_600_000)] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(rate.period(), Duration::from_micros(micros), "{text}");
            assert_eq!(rate.to_string(), text);
        }
        for text in ["", "10", "0/s", "/s", "10/", "10/d", "1.5/s", "-1/s", "4294967296/s", "10/s/s"] {
            assert_eq!(text.parse::<Rate>(), Err(NotRate), "{text}");
        }
    }
}
