//! What an instance costs a month, as the operator says it: exact decimal amounts of one currency. Nothing is ever rounded.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::instance::InstanceType;

/// Digits after the point that an amount keeps.
const DECIMALS: usize = 4;
/// Digits before the point.
const DIGITS_MAX: usize = 12;

/// An amount of money, from 0 on; at most twelve digits before the point and four after it where it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Amount(u64);

/// A text that is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an amount is written as `39`, `39.5` or `39.90`: up to twelve digits, and up to four after the point")]
pub struct AmountError;

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// `count` times this.
    #[must_use]
    pub fn times(self, count: usize) -> Self {
        Self(self.0.saturating_mul(count as u64))
    }

    /// What is left of this without `other`; nothing where that is more.
    #[must_use]
    pub const fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |digits: &str, most| (1..=most).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole, DIGITS_MAX) || !is_number(part, DECIMALS) {
            return Err(AmountError);
        }
        format!("{whole}{part:0<DECIMALS$}").parse().map(Self).map_err(|_| AmountError)
    }
}

impl TryFrom<String> for Amount {
    type Error = AmountError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Amount> for String {
    fn from(amount: Amount) -> Self {
        amount.to_string()
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = 10_u64.pow(4);
        let part = format!("{:0>DECIMALS$}", self.0 % unit);
        // Two digits at least: that is how prices are written.
        let shown = part.trim_end_matches('0').len().max(2);
        f.pad(&format!("{}.{}", self.0 / unit, part.get(..shown).unwrap_or(&part)))
    }
}

/// A currency's three letters (ISO 4217), as `EUR`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Currency(String);

impl TryFrom<String> for Currency {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase());
        if fits { Ok(Self(text)) } else { Err("a currency is three capital letters, as `EUR`") }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What an instance of each type costs a month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// Of all of them.
    pub currency: Currency,
    /// By type; a type without one is of unknown price.
    pub per_month: BTreeMap<InstanceType, Amount>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_survive_their_text_exactly() {
        let rows =
            [("0", "0.00"), ("39", "39.00"), ("39.9", "39.90"), ("0.0001", "0.0001"), ("1.2340", "1.234"), ("007.50", "7.50")];
        for (typed, shown) in rows {
            let amount: Amount = typed.parse().unwrap();
            assert_eq!(amount.to_string(), shown);
            assert_eq!(shown.parse::<Amount>(), Ok(amount));
        }
        for bad in
            ["", ".", "1.", ".5", "-1", "+1", "1,5", "1e3", "1.00000", "1234567890123", " 1", "1 ", "0x1", "NaN", "1.2.3", "１"]
        {
            assert_eq!(bad.parse::<Amount>(), Err(AmountError), "{bad}");
        }
    }

    #[test]
    fn a_sum_of_decimal_prices_is_exact_and_never_wraps() {
        let tenth: Amount = "0.1".parse().unwrap();
        assert_eq!(tenth.times(3).to_string(), "0.30");
        assert_eq!(tenth.times(3).plus("0.7".parse().unwrap()), "1".parse().unwrap());
        let most: Amount = "999999999999.9999".parse().unwrap();
        assert!(most.times(usize::MAX) >= most);
    }
}
