//! The document of a comparison with the server's list.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{FORMAT_VERSION, tally};
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::manifest::Manifest;
use crate::plan::{Deviation, Drift, Finding};
use crate::state::{Lineage, Serial};
use crate::text::counted;

/// `drift --format json`.
#[derive(Debug, Serialize)]
pub struct DriftDocument {
    format_version: &'static str,
    lineage: Lineage,
    serial: Serial,
    /// When the server was asked.
    at: Timestamp,
    summary: DriftSummary,
    findings: Vec<FindingData>,
    elsewhere: Vec<ElsewhereData>,
}

/// The same in the document of a plan.
#[derive(Debug, Serialize)]
pub struct DriftData {
    summary: DriftSummary,
    findings: Vec<FindingData>,
    elsewhere: Vec<ElsewhereData>,
}

/// How many findings there are of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct DriftSummary {
    checked: usize,
    gone: usize,
    stopped: usize,
    expired: usize,
    expiring: usize,
    wrong_type: usize,
    retiring: usize,
    still_listed: usize,
    candidate: usize,
    unknown: usize,
    seen_before: usize,
    elsewhere: usize,
}

/// An instance that another environment has.
#[derive(Debug, Serialize)]
struct ElsewhereData {
    id: InstanceId,
    environment: String,
    name: InstanceName,
}

#[derive(Debug, Serialize)]
struct FindingData {
    finding: &'static str,
    name: Option<InstanceName>,
    id: InstanceId,
    #[serde(rename = "type")]
    kind: Option<InstanceType>,
    message: String,
    /// Until when it is or was paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    paid_till: Option<Timestamp>,
    /// The names in doubt that it may be of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    may_be: Vec<InstanceName>,
    /// As declared; none where nothing is said.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// What answers it.
    hints: Vec<String>,
}

impl DriftSummary {
    /// Counts `drift`.
    pub fn of(drift: &Drift) -> Self {
        let (seen_before, elsewhere) = (drift.seen_before, drift.elsewhere.len());
        let mut summary = Self { checked: drift.checked, seen_before, elsewhere, ..Self::default() };
        for finding in &drift.findings {
            *match finding.deviation {
                Deviation::Gone { .. } => &mut summary.gone,
                Deviation::Stopped => &mut summary.stopped,
                Deviation::Expired { .. } => &mut summary.expired,
                Deviation::Expiring { .. } => &mut summary.expiring,
                Deviation::WrongType { .. } => &mut summary.wrong_type,
                Deviation::Retiring { .. } => &mut summary.retiring,
                Deviation::StillListed { .. } => &mut summary.still_listed,
                Deviation::Candidate { .. } => &mut summary.candidate,
                Deviation::Unknown { .. } => &mut summary.unknown,
            } += 1;
        }
        summary
    }

    /// The counts as a sentence.
    pub fn sentence(&self) -> String {
        let counts = [
            (self.gone, "gone"),
            (self.stopped, "stopped"),
            (self.expired, "expired"),
            (self.expiring, "expiring"),
            (self.wrong_type, "of another type"),
            (self.retiring, "being deleted"),
            (self.still_listed, "still listed"),
            (self.candidate, "possibly of a doubt"),
            (self.unknown, "unknown"),
        ];
        let checked = counted(self.checked, "instance", "instances");
        if counts.iter().all(|(count, _)| *count == 0) {
            return format!("No drift: {checked} checked against the server's list.");
        }
        tally(format!("Drift: {checked} checked"), &counts)
    }
}

impl DriftData {
    /// With what is declared, where a manifest is given, and the `hints` of each finding.
    pub fn new(drift: &Drift, manifest: Option<&Manifest>, hints: impl Fn(&Finding) -> Vec<String>) -> Self {
        let data = |finding: &Finding| {
            let declared = finding.name.as_ref().and_then(|name| manifest?.get(name));
            let (paid_till, may_be) = match &finding.deviation {
                Deviation::Expired { since: till } | Deviation::Expiring { at: till, .. } => (Some(*till), Vec::new()),
                Deviation::Candidate { of } => (None, of.clone()),
                _ => (None, Vec::new()),
            };
            FindingData {
                finding: finding.deviation.as_str(),
                name: finding.name.clone(),
                id: finding.id.clone(),
                kind: finding.kind,
                message: finding.deviation.to_string(),
                paid_till,
                may_be,
                labels: declared.map(|declared| BTreeMap::clone(&declared.labels)).unwrap_or_default(),
                owner: declared.and_then(|declared| declared.owner.clone()),
                hints: hints(finding),
            }
        };
        let elsewhere = drift.elsewhere.iter().map(|(id, theirs)| ElsewhereData {
            id: id.clone(),
            environment: theirs.environment.clone(),
            name: theirs.name.clone(),
        });
        let elsewhere = elsewhere.collect();
        Self { summary: DriftSummary::of(drift), findings: drift.findings.iter().map(data).collect(), elsewhere }
    }
}

impl DriftDocument {
    /// Of the state at this position, compared `at` that time.
    pub fn new(data: DriftData, state: (&Lineage, Serial), at: Timestamp) -> Self {
        let DriftData { summary, findings, elsewhere } = data;
        Self { format_version: FORMAT_VERSION, lineage: state.0.clone(), serial: state.1, at, summary, findings, elsewhere }
    }
}
