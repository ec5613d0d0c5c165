//! The document of a run that failed before it had one of its own.

use serde::Serialize;

use super::FORMAT_VERSION;
use super::account::{Account, Notice};
use crate::diagnostic::{DiagnosticData, Severity};

/// What stands in a run's JSON file where the run came to no plan and no result.
#[derive(Debug, Serialize)]
pub struct FailureDocument<'a> {
    format_version: &'static str,
    exit_code: u8,
    notices: Vec<NoticeData<'a>>,
    /// Problems of the manifests; the first thousand.
    diagnostics: &'a [DiagnosticData],
}

/// What needs a person.
#[derive(Debug, Serialize)]
struct NoticeData<'a> {
    severity: Severity,
    message: &'a str,
    causes: &'a [String],
    hints: &'a [String],
}

impl<'a> FailureDocument<'a> {
    /// Of what was told until the end.
    pub fn new(account: &'a Account) -> Self {
        let data = |notice: &'a Notice| NoticeData {
            severity: notice.severity,
            message: &notice.message,
            causes: &notice.causes,
            hints: &notice.hints,
        };
        Self {
            format_version: FORMAT_VERSION,
            exit_code: account.exit_code,
            notices: account.notices.iter().map(data).collect(),
            diagnostics: &account.problems,
        }
    }
}
