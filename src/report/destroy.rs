//! The document of a delete.

use serde::Serialize;

use super::apply::StoppedData;
use super::{FORMAT_VERSION, tally};
use crate::apply::{Departure, Departures};
use crate::instance::{InstanceId, InstanceName};
use crate::state::{Lineage, Serial};

/// `destroy --format json`.
#[derive(Debug, Serialize)]
pub struct DestroyDocument {
    format_version: &'static str,
    lineage: Lineage,
    serial: Serial,
    exit_code: u8,
    summary: DestroySummary,
    results: Vec<ResultData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped: Option<StoppedData>,
}

/// The counts of a delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct DestroySummary {
    /// Gone.
    pub deleted: usize,
    /// Still there.
    pub kept: usize,
    /// Nobody knows.
    pub in_doubt: usize,
    /// Not tried.
    pub not_tried: usize,
}

#[derive(Debug, Serialize)]
struct ResultData {
    name: InstanceName,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<InstanceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl DestroySummary {
    /// Counts a run.
    pub fn of(departures: &Departures) -> Self {
        let mut summary = Self::default();
        for departure in departures.outcomes.values() {
            *match departure {
                Departure::Deleted { .. } => &mut summary.deleted,
                Departure::Kept { .. } => &mut summary.kept,
                Departure::InDoubt { .. } => &mut summary.in_doubt,
                Departure::NotTried => &mut summary.not_tried,
            } += 1;
        }
        summary
    }

    /// The counts as a sentence.
    pub fn sentence(&self) -> String {
        let counts = [(self.kept, "kept"), (self.in_doubt, "in doubt"), (self.not_tried, "not tried")];
        tally(format!("Destroy: {} deleted", self.deleted), &counts)
    }
}

impl DestroyDocument {
    /// From what a run did.
    pub fn new(departures: &Departures, summary: DestroySummary, state: (&Lineage, Serial), exit_code: u8) -> Self {
        let result = |(name, departure): (&InstanceName, &Departure)| {
            let (result, id, reason) = match departure {
                Departure::Deleted { id, grounds } => ("deleted", Some(id.clone()), Some(grounds.clone())),
                Departure::Kept { reason } => ("kept", None, Some(reason.clone())),
                Departure::InDoubt { reason } => ("in_doubt", None, Some(reason.clone())),
                Departure::NotTried => ("not_tried", None, None),
            };
            ResultData { name: name.clone(), result, id, reason }
        };
        Self {
            format_version: FORMAT_VERSION,
            lineage: state.0.clone(),
            serial: state.1,
            exit_code,
            summary,
            results: departures.outcomes.iter().map(result).collect(),
            stopped: departures.halt.as_ref().map(StoppedData::from),
        }
    }
}
