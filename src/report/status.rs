//! What instances say of themselves, as a document.

use jiff::Timestamp;
use serde::Serialize;

use super::{FORMAT_VERSION, tally};
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::text::counted;

/// `status --format json`.
#[derive(Debug, Serialize)]
pub struct StatusDocument<'a> {
    format_version: &'static str,
    /// When they were asked.
    at: Timestamp,
    summary: StatusSummary,
    instances: &'a [StatusRow],
}

/// What one instance says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusRow {
    /// Our name.
    pub name: InstanceName,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: InstanceType,
    /// The server's id; none: it is not known whether there is one.
    pub id: Option<InstanceId>,
    /// In its own words; none: it has not said anything.
    pub status: Option<String>,
    /// Whether its phone is linked.
    pub is_authenticated: bool,
    /// Whether it shows a code to link a phone. The code itself is a credential, and not told here.
    pub has_qr: bool,
    /// Why it has not said anything: a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<&'static str>,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How many there are of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct StatusSummary {
    instances: usize,
    authenticated: usize,
    not_authenticated: usize,
    no_answer: usize,
}

impl StatusSummary {
    /// Counts `rows`.
    pub fn of(rows: &[StatusRow]) -> Self {
        let mut summary = Self { instances: rows.len(), ..Self::default() };
        for row in rows {
            *match row.status {
                Some(_) if row.is_authenticated => &mut summary.authenticated,
                Some(_) => &mut summary.not_authenticated,
                None => &mut summary.no_answer,
            } += 1;
        }
        summary
    }

    /// Whether each of them is linked to a phone.
    pub const fn are_all_authenticated(&self) -> bool {
        self.authenticated == self.instances
    }

    /// The counts as a sentence.
    pub fn sentence(&self) -> String {
        let first = format!("Status: {}, {} authenticated", counted(self.instances, "instance", "instances"), self.authenticated);
        tally(first, &[(self.not_authenticated, "not authenticated"), (self.no_answer, "without an answer")])
    }
}

impl<'a> StatusDocument<'a> {
    /// Of `rows`, asked `at` that time.
    pub fn new(rows: &'a [StatusRow], at: Timestamp) -> Self {
        Self { format_version: FORMAT_VERSION, at, summary: StatusSummary::of(rows), instances: rows }
    }
}
