//! The document of a delete.

use std::collections::BTreeMap;

use serde::Serialize;

use super::apply::{ResultData, StoppedData};
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
        Self {
            format_version: FORMAT_VERSION,
            lineage: state.0.clone(),
            serial: state.1,
            exit_code,
            summary,
            results: departures.outcomes.iter().map(|(name, departure)| ResultData::departed(name, departure)).collect(),
            stopped: departures.halt.as_ref().map(StoppedData::from),
        }
    }

    /// With what was deleted by an earlier run, which counts nowhere.
    #[must_use]
    pub fn deleted_before(mut self, before: &BTreeMap<InstanceName, InstanceId>) -> Self {
        let grounds = || "it was deleted before".to_owned();
        let deleted = before.iter().map(|(name, id)| (name, Departure::Deleted { id: id.clone(), grounds: grounds() }));
        self.results.extend(deleted.map(|(name, departure)| ResultData::departed(name, &departure)));
        self
    }

    /// With what stopped it before anything was sent.
    #[must_use]
    pub fn stopped_by(mut self, cause: &'static str, reason: &str) -> Self {
        self.stopped = Some(StoppedData { cause, reason: reason.to_owned() });
        self
    }
}
