//! What a text without quotes means to the YAML readers of the world, where that is not text.
//!
//! YAML 1.1 and 1.2 disagree about `no`, `012` and `12:30`, and people know neither by heart. So a name that any of them would
//! read as something else has to stand in quotes: then all of them, and people, see the same.

/// What a plain scalar may be read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Null,
    Boolean,
    Number,
    Sexagesimal,
    Date,
}

impl Meaning {
    /// For messages, with an article.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::Sexagesimal => "a number to base 60",
            Self::Date => "a date",
        }
    }
}

/// Words that are no text: every spelling of YAML 1.1, in lower case.
const BOOLEANS: [&str; 8] = ["true", "false", "yes", "no", "on", "off", "y", "n"];

/// Whether every reader of YAML takes `plain` for text.
pub(crate) fn is_text(plain: &str) -> bool {
    meaning(plain).is_none()
}

/// What some reader of YAML takes `plain` for; nothing if all take it for text.
pub(super) fn meaning(plain: &str) -> Option<Meaning> {
    let is = |words: &[&str]| words.iter().any(|word| plain.eq_ignore_ascii_case(word));
    if plain.is_empty() || plain == "~" || is(&["null"]) {
        return Some(Meaning::Null);
    }
    if is(&BOOLEANS) {
        return Some(Meaning::Boolean);
    }
    let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(plain);
    if is_number(unsigned) || is(&[".nan"]) {
        return Some(Meaning::Number);
    }
    if is_sexagesimal(unsigned) {
        return Some(Meaning::Sexagesimal);
    }
    is_date(plain).then_some(Meaning::Date)
}

fn is_number(text: &str) -> bool {
    if !text.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return false;
    }
    let lower = text.to_ascii_lowercase();
    let based = [("0x", 16), ("0o", 8), ("0b", 2)];
    let is_based = based.iter().any(|(prefix, base)| lower.strip_prefix(prefix).is_some_and(|digits| are_digits(digits, *base)));
    is_based || are_digits(&lower, 10) || lower == ".inf" || is_float(&lower)
}

fn are_digits(text: &str, base: u32) -> bool {
    text.chars().any(|c| c.is_digit(base)) && text.chars().all(|c| c.is_digit(base) || c == '_')
}

fn is_float(lower: &str) -> bool {
    let (mantissa, exponent) = lower.split_once('e').map_or((lower, None), |(mantissa, exponent)| (mantissa, Some(exponent)));
    let exponent_fits = exponent.is_none_or(|digits| are_digits(digits.strip_prefix(['+', '-']).unwrap_or(digits), 10));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let part = |digits: &str| digits.is_empty() || are_digits(digits, 10);
    exponent_fits && part(whole) && part(fraction) && !(whole.is_empty() && fraction.is_empty())
}

fn is_sexagesimal(text: &str) -> bool {
    let mut groups = text.split(':');
    let first = groups.next().is_some_and(|digits| are_digits(digits, 10));
    let mut rest = groups.peekable();
    first
        && rest.peek().is_some()
        && rest.all(|group| {
            let whole = group.split_once('.').map_or(group, |(whole, _)| whole);
            (1..=2).contains(&whole.len()) && are_digits(whole, 10)
        })
}

fn is_date(text: &str) -> bool {
    let day = text.split(['T', 't', ' ']).next().unwrap_or(text);
    let mut parts = day.split('-');
    let mut digits = |lengths: std::ops::RangeInclusive<usize>| {
        parts.next().is_some_and(|part| lengths.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()))
    };
    digits(4..=4) && digits(1..=2) && digits(1..=2) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p4_what_any_yaml_reader_takes_for_something_else_is_known() {
        for (meaning_of, texts) in [
            (Some(Meaning::Null), &["", "~", "null", "Null", "NULL"][..]),
            (Some(Meaning::Boolean), &["true", "False", "YES", "no", "on", "Off", "y", "N"]),
            (
                Some(Meaning::Number),
                &["0", "7", "-1", "+12", "012", "0o17", "0x1F", "0b101", "1_000", "79001234567", "1_", "0_7"],
            ),
            (
                Some(Meaning::Number),
                &["1.5", ".5", "5.", "1e3", "1E+3", "12e-03", "6.8523015e+5", "685_230.15", ".inf", "-.INF", ".NaN"],
            ),
            (Some(Meaning::Sexagesimal), &["12:30", "190:20:30", "-1:0", "190:20:30.15"]),
            (Some(Meaning::Date), &["2026-11-22", "2026-1-2", "2026-11-22T10:00:00Z", "2026-11-22 10:00:00"]),
            (
                None,
                &[
                    "support-eu",
                    "a1",
                    "1a",
                    "1-2",
                    "1.2.3",
                    "10.0.0.1",
                    "yes-please",
                    "nope",
                    "0xZZ",
                    "0x",
                    "e3",
                    "1e",
                    "1e3e",
                    ".",
                ],
            ),
            (
                None,
                &["2026", "2026-11", "2026-11-222", "20261122-1-1", "12:", ":30", "12:300", "_1", "-", "+", "infinity", "nan"],
            ),
        ] {
            for text in texts {
                let expected = if *text == "2026" { Some(Meaning::Number) } else { meaning_of };
                assert_eq!(meaning(text), expected, "{text}");
            }
        }
    }
}
