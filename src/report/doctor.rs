//! The document of `chatapi doctor`.

use serde::Serialize;

use super::FORMAT_VERSION;
use crate::doctor::{Check, Status};

/// `doctor --format json`.
#[derive(Debug, Serialize)]
pub struct DoctorDocument<'c> {
    format_version: &'static str,
    summary: DoctorSummary,
    checks: &'c [Check],
}

/// How many checks ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DoctorSummary {
    /// As they should be.
    pub ok: usize,
    /// That somebody has to look at.
    pub unsure: usize,
    /// To be mended.
    pub warning: usize,
    /// To be mended now.
    pub error: usize,
    /// With nothing to look at.
    pub skipped: usize,
}

impl DoctorSummary {
    /// Counts `checks`.
    pub fn of(checks: &[Check]) -> Self {
        let count = |status| checks.iter().filter(|check| check.status == status).count();
        Self {
            ok: count(Status::Ok),
            unsure: count(Status::Unsure),
            warning: count(Status::Warning),
            error: count(Status::Error),
            skipped: count(Status::Skipped),
        }
    }
}

impl<'c> DoctorDocument<'c> {
    /// Of what was found.
    pub fn new(checks: &'c [Check]) -> Self {
        Self { format_version: FORMAT_VERSION, summary: DoctorSummary::of(checks), checks }
    }
}
