//! What a command shows, as data: the JSON documents, whose shape is a contract, and what the text is made from.
//!
//! A document carries `format_version` "major.minor": a minor change adds, a major one breaks. No secret has a place in one, but for
//! those whose very purpose it is: [`RevealedDocument`], [`TokenDocument`] and [`credentials`], which have no `Debug` that shows it.

pub mod account;
pub mod annotations;
mod apply;
pub mod credentials;
mod destroy;
mod discover;
mod doctor;
mod doubts;
mod drift;
pub mod events;
mod failure;
pub mod github;
pub mod gitlab;
mod guard;
mod init;
pub mod junit;
pub mod markdown;
mod plan;
pub mod qr;
pub mod schema;
mod state;
mod status;

use serde::Serialize;

pub use apply::{ApplyDocument, ApplySummary, halt_text, outcome_word, settled_word};
pub use destroy::{DestroyDocument, DestroySummary};
pub use discover::Discovery;
pub use doctor::{DoctorDocument, DoctorSummary};
pub use doubts::{DoubtData, ProposalData};
pub use drift::{DriftData, DriftDocument, DriftSummary};
pub use failure::FailureDocument;
pub use guard::{GuardData, guard_text};
pub use init::{InitDocument, InitFile, InitState};
pub use plan::{ChangeData, CostData, PlanDocument, SummaryData};
pub use state::{
    Happening, HistoryDocument, InstanceData, RevealedDocument, StateDocument, TokenDocument, VerifyDocument, in_words,
};
pub use status::{StatusDocument, StatusRow, StatusSummary};

use crate::diagnostic::{DiagnosticData, Diagnostics};
use crate::plan::{Action, PlanSummary};
use crate::seal::{KeyId, Recipient};

/// The version of every document here.
pub const FORMAT_VERSION: &str = "1.0";

/// `validate --format json`.
#[derive(Debug, Serialize)]
pub struct ValidateDocument {
    format_version: &'static str,
    valid: bool,
    error_count: usize,
    instances: usize,
    diagnostics: Vec<DiagnosticData>,
}

impl ValidateDocument {
    /// Of a good manifest with so many instances.
    pub fn valid(instances: usize) -> Self {
        Self { format_version: FORMAT_VERSION, valid: true, error_count: 0, instances, diagnostics: Vec::new() }
    }

    /// Of a bad one.
    pub fn invalid(problems: &Diagnostics) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            valid: false,
            error_count: problems.len(),
            instances: 0,
            diagnostics: problems.to_data(),
        }
    }
}

/// What a command did that has nothing else to show.
#[derive(Debug, Serialize)]
pub struct MessageDocument {
    format_version: &'static str,
    message: String,
}

impl MessageDocument {
    /// Says `message`.
    pub fn new(message: String) -> Self {
        Self { format_version: FORMAT_VERSION, message }
    }
}

/// `key generate|show --format json`.
#[derive(Debug, Serialize)]
pub struct KeyDocument {
    format_version: &'static str,
    keys: Vec<KeyData>,
}

/// A public key.
#[derive(Debug, Serialize)]
struct KeyData {
    public: Recipient,
    id: KeyId,
}

impl KeyDocument {
    /// Of public keys.
    pub fn new(keys: &[Recipient]) -> Self {
        let keys = keys.iter().map(|key| KeyData { public: *key, id: key.id() }).collect();
        Self { format_version: FORMAT_VERSION, keys }
    }
}

/// `version --format json`.
#[derive(Debug, Serialize)]
pub struct VersionDocument {
    /// The program's version.
    pub version: &'static str,
    /// The stored format that it writes.
    pub state_format: u32,
    /// The version of its JSON documents.
    pub format_version: &'static str,
    /// The system that it was built for.
    pub platform: String,
    /// The version of the manifests that it reads.
    pub manifest_version: u32,
    /// The commit that it was built from; none: the builder did not say.
    pub commit: Option<&'static str>,
    /// What it was built with beside the ordinary, sorted.
    pub features: Vec<&'static str>,
}

/// `first` and those of the counts that are not 0, as one sentence.
pub fn tally(first: String, counts: &[(usize, &str)]) -> String {
    let parts = counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!(", {count} {word}"));
    parts.fold(first, |sentence, part| sentence + &part) + "."
}

/// The sentence for a manifest that asks for nothing.
pub fn nothing_to_do(unchanged: usize) -> String {
    match unchanged {
        0 => "Nothing declared, nothing to do.".to_owned(),
        1 => "Nothing to do: the instance exists as declared.".to_owned(),
        _ => format!("Nothing to do: {unchanged} instances exist as declared."),
    }
}

/// The same, where the server's list says otherwise of some of them.
pub fn nothing_but_drift(unchanged: usize) -> String {
    let are = if unchanged == 1 { "instance is" } else { "instances are" };
    format!("Nothing to do by the state: {unchanged} {are} recorded as declared. The server's list says otherwise.")
}

/// Whether a plan asks for anything, be it something that an apply will refuse.
pub fn has_changes(summary: &PlanSummary) -> bool {
    let PlanSummary { create, finish, conflict, delete, protect, unprotect, import, moves, settle, .. } = *summary;
    create + finish + conflict + delete + protect + unprotect + import + moves + settle > 0
}

/// The mark before a planned change.
pub fn mark(action: Action) -> char {
    match action {
        Action::Create => '+',
        Action::NoOp => '=',
        Action::Hold => '?',
        Action::Finish => '~',
        Action::Conflict => '!',
        // Before anything is created.
        Action::Import | Action::Move | Action::Settle => '>',
        // No minus: nothing is taken away.
        Action::Orphan => 'o',
        Action::Delete => '-',
        Action::Protect | Action::Unprotect => '*',
        Action::Aside => '.',
    }
}
