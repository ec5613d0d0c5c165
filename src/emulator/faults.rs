//! What goes wrong, and when: a plan of rules, read from a file or from flags, as data.
//!
//! A rule is `OPERATION[:WHEN]=FAULT`, for example `create:nth=2=drop-after` or `list=lag:2s`. Rules are asked in their
//! order; each counts every request of its operation, and the first that applies decides. This module knows no socket and
//! draws nothing itself: `dice` does.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use super::latency::{Latency, parse_duration, parse_latency};
use super::request::Operation;
use crate::text::escape;

const OPERATIONS: &str = "create, list, delete, any";
const WHENS: &str = "nth=N, every=N, first=N (N from 1), p=0.1 (0 to 1)";
const FAULTS: &str = "drop-before, drop-after, reset-before, reset-after, stall, stall-before, delay:50ms, delay:0..50ms, \
                      refuse[:TEXT], status-before:CODE, status-after:CODE (400 to 599), too-many[:SECONDS], garbage, \
                      truncate:BYTES, truncate-reset:BYTES, truncate-stall:BYTES, lag:2s, no-token, exists, empty-list";

/// Before or after the gateway has acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nothing was done.
    Before,
    /// It is done, and the client is not told.
    After,
}

/// How a connection ends in the middle of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// An orderly close.
    Fin,
    /// A reset.
    Reset,
    /// It stays open, silent, until the client goes.
    Stall,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// No byte of an answer; the connection ends in this way.
    NoAnswer(Moment, Ending),
    /// Half of the time passes before acting and half after, like the two ways of a slow network.
    Delay(Latency),
    /// `{"error":…}` with status 200, without acting.
    Refuse(String),
    /// This status with a page that is no JSON.
    Status(Moment, u16),
    /// 429 without acting, with this `Retry-After` in seconds.
    TooMany(Option<u64>),
    /// Acts, then sends bytes that are no HTTP.
    Garbage,
    /// Acts, then sends so many bytes of the answer, head included. A number not below the answer's length cuts nothing.
    Truncate(usize, Ending),
    /// Listings leave out what is younger.
    Lag(Duration),
    /// A create answers without its token.
    NoToken,
    /// A create makes nothing and answers `exists`.
    Exists,
    /// A listing shows nothing.
    EmptyList,
}

/// Which requests a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One function.
    Only(Operation),
    /// All three functions of the account; never the methods of an instance.
    Any,
}

/// Which of those it hits, counted from 1 for each rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum When {
    /// All.
    Always,
    /// One.
    Nth(u64),
    /// Each whose number this divides.
    Every(u64),
    /// Those up to this one.
    First(u64),
    /// Each with this probability.
    Probability(f64),
}

/// One rule. Its `Display` is the text that it was read from.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultRule {
    pub(super) scope: Scope,
    pub(super) when: When,
    pub(super) fault: Fault,
    text: String,
}

/// Rules, in the order in which they are asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FaultPlan {
    rules: Vec<FaultRule>,
}

/// Why a text is no rule or no plan.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// Not of the form of a rule.
    #[error("fault rule `{}`: expected OPERATION[:WHEN]=FAULT, such as create:nth=2=drop-after", escape(.rule))]
    Form {
        /// The rule.
        rule: String,
    },
    /// An unknown operation.
    #[error("fault rule `{}`: unknown operation, known are {OPERATIONS}", escape(.rule))]
    Operation {
        /// The rule.
        rule: String,
    },
    /// An unknown condition.
    #[error("fault rule `{}`: unknown condition, known are {WHENS}", escape(.rule))]
    When {
        /// The rule.
        rule: String,
    },
    /// An unknown fault.
    #[error("fault rule `{}`: unknown fault, known are {FAULTS}", escape(.rule))]
    Fault {
        /// The rule.
        rule: String,
    },
    /// A fault that can never happen to the operation.
    #[error("fault rule `{}`: no-token and exists are for create, lag and empty-list for list", escape(.rule))]
    Mismatch {
        /// The rule.
        rule: String,
    },
    /// The file is no `faults:` list.
    #[error("cannot read the fault plan")]
    Yaml {
        /// Why, with line and column.
        source: Box<serde_yaml::Error>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    faults: Vec<String>,
}

impl FaultPlan {
    /// The rules, asked in this order.
    pub fn new(rules: Vec<FaultRule>) -> Self {
        Self { rules }
    }

    /// Reads a document with one key, `faults`: a list of rules.
    pub fn from_yaml(text: &str) -> Result<Self, FaultError> {
        let document: Document = serde_yaml::from_str(text).map_err(|source| FaultError::Yaml { source: Box::new(source) })?;
        document.faults.iter().map(|rule| rule.parse()).collect::<Result<_, _>>().map(Self::new)
    }

    /// Adds a rule behind the others.
    pub fn push(&mut self, rule: FaultRule) {
        self.rules.push(rule);
    }

    /// The rules.
    pub fn rules(&self) -> &[FaultRule] {
        &self.rules
    }
}

impl fmt::Display for FaultRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for FaultRule {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rule = || text.to_owned();
        let (operation, when, fault) = parts(text).ok_or_else(|| FaultError::Form { rule: rule() })?;
        let scope = parse_scope(operation).ok_or_else(|| FaultError::Operation { rule: rule() })?;
        let when = match when {
            None => When::Always,
            Some((word, number)) => parse_when(word, number).ok_or_else(|| FaultError::When { rule: rule() })?,
        };
        let fault = parse_fault(fault).ok_or_else(|| FaultError::Fault { rule: rule() })?;
        if fits(scope, &fault) {
            Ok(Self { scope, when, fault, text: rule() })
        } else {
            Err(FaultError::Mismatch { rule: rule() })
        }
    }
}

type Parts<'a> = (&'a str, Option<(&'a str, &'a str)>, &'a str);

/// A `:` before the first `=` starts a condition; behind that `=`, everything is the fault's.
fn parts(text: &str) -> Option<Parts<'_>> {
    let (head, rest) = text.split_once('=')?;
    match head.split_once(':') {
        None => Some((head, None, rest)),
        Some((operation, word)) => rest.split_once('=').map(|(number, fault)| (operation, Some((word, number)), fault)),
    }
}

fn parse_scope(text: &str) -> Option<Scope> {
    match text {
        "create" => Some(Scope::Only(Operation::Create)),
        "list" => Some(Scope::Only(Operation::List)),
        "delete" => Some(Scope::Only(Operation::Delete)),
        "any" => Some(Scope::Any),
        _ => None,
    }
}

fn parse_when(word: &str, number: &str) -> Option<When> {
    if word == "p" {
        return number.parse().ok().filter(|p| (0.0..=1.0).contains(p)).map(When::Probability);
    }
    let count = number.parse().ok().filter(|count| *count > 0)?;
    match word {
        "nth" => Some(When::Nth(count)),
        "every" => Some(When::Every(count)),
        "first" => Some(When::First(count)),
        _ => None,
    }
}

fn parse_fault(text: &str) -> Option<Fault> {
    match text.split_once(':') {
        None => parse_bare_fault(text),
        Some((word, value)) => parse_valued_fault(word, value),
    }
}

fn parse_bare_fault(word: &str) -> Option<Fault> {
    Some(match word {
        "drop-before" => Fault::NoAnswer(Moment::Before, Ending::Fin),
        "drop-after" => Fault::NoAnswer(Moment::After, Ending::Fin),
        "reset-before" => Fault::NoAnswer(Moment::Before, Ending::Reset),
        "reset-after" => Fault::NoAnswer(Moment::After, Ending::Reset),
        "stall-before" => Fault::NoAnswer(Moment::Before, Ending::Stall),
        "stall" => Fault::NoAnswer(Moment::After, Ending::Stall),
        "refuse" => Fault::Refuse("refused by a fault rule".to_owned()),
        "too-many" => Fault::TooMany(None),
        "garbage" => Fault::Garbage,
        "no-token" => Fault::NoToken,
        "exists" => Fault::Exists,
        "empty-list" => Fault::EmptyList,
        _ => return None,
    })
}

fn parse_valued_fault(word: &str, value: &str) -> Option<Fault> {
    let code = || value.parse().ok().filter(|code| (400..=599).contains(code));
    let bytes = || value.parse().ok();
    match word {
        "delay" => parse_latency(value).ok().map(Fault::Delay),
        "refuse" if !value.is_empty() => Some(Fault::Refuse(value.to_owned())),
        "status-before" => code().map(|code| Fault::Status(Moment::Before, code)),
        "status-after" => code().map(|code| Fault::Status(Moment::After, code)),
        "too-many" => value.parse().ok().map(|seconds| Fault::TooMany(Some(seconds))),
        "truncate" => bytes().map(|bytes| Fault::Truncate(bytes, Ending::Fin)),
        "truncate-reset" => bytes().map(|bytes| Fault::Truncate(bytes, Ending::Reset)),
        "truncate-stall" => bytes().map(|bytes| Fault::Truncate(bytes, Ending::Stall)),
        "lag" => parse_duration(value).ok().map(Fault::Lag),
        _ => None,
    }
}

fn fits(scope: Scope, fault: &Fault) -> bool {
    match fault {
        Fault::NoToken | Fault::Exists => scope == Scope::Only(Operation::Create),
        Fault::Lag(_) | Fault::EmptyList => scope == Scope::Only(Operation::List),
        _ => true,
    }
}

#[cfg(test)]
#[path = "faults_tests.rs"]
mod tests;
