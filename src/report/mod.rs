//! What a command shows, as data: the JSON documents, whose shape is a contract, and what the text is made from.
//!
//! A document carries `format_version` "major.minor": a minor change adds, a major one breaks. No secret has a place in one, but for
//! those whose very purpose it is: [`RevealedDocument`], [`TokenDocument`] and [`credentials`], which have no `Debug` that shows it.

pub mod account;
pub mod annotations;
pub mod credentials;
mod doctor;
pub mod events;
mod failure;
pub mod github;
pub mod gitlab;
mod guard;
mod init;
pub mod junit;
pub mod markdown;
pub mod schema;
mod state;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

pub use doctor::{DoctorDocument, DoctorSummary};
pub use failure::FailureDocument;
pub use guard::{GuardData, guard_text};
pub use init::{InitDocument, InitFile, InitState};
pub use state::{
    DoubtData, Happening, HistoryDocument, InstanceData, ProposalData, RevealedDocument, StateDocument, TokenDocument,
    VerifyDocument,
};

use crate::apply::{Halt, Outcome, Report};
use crate::diagnostic::{DiagnosticData, Diagnostics};
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::plan::{Action, Change, Cost, Guard, Plan, PlanSummary};
use crate::price::{Amount, Currency};
use crate::saved::{Made, SavedPlan};
use crate::seal::{KeyId, Recipient, Recipients};
use crate::state::{AttemptId, Hash, Head, Lineage, Origin, PlanId, Serial, State};

/// The version of every document here.
pub const FORMAT_VERSION: &str = "1.0";

/// `plan --format json`.
#[derive(Debug, Serialize)]
pub struct PlanDocument {
    format_version: &'static str,
    /// None: there is no state yet.
    lineage: Option<Lineage>,
    serial: Serial,
    summary: SummaryData,
    changes: Vec<ChangeData>,
    guards: Vec<GuardData>,
    sealing: SealingData,
    /// What was reviewed: [`Plan::checksum`].
    plan_hash: Hash,
    /// None: the manifest says no prices.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<CostData>,
    /// None: it is not saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    saved: Option<SavedData>,
}

/// Costs a month, as decimal texts.
#[derive(Debug, Serialize)]
pub struct CostData {
    currency: Currency,
    added: Amount,
    total: Amount,
    /// Types in the plan of which nobody said what they cost.
    unpriced: BTreeSet<InstanceType>,
}

impl From<Cost> for CostData {
    fn from(cost: Cost) -> Self {
        let Cost { currency, added, total, unpriced } = cost;
        Self { currency, added, total, unpriced }
    }
}

/// Where a saved plan comes from, and until when it is good.
#[derive(Debug, Serialize)]
struct SavedData {
    id: PlanId,
    made: Made,
    expires: Timestamp,
    origin: Origin,
}

/// Whom tokens are sealed to, and whether an apply would stop for that.
#[derive(Debug, Default, Serialize)]
struct SealingData {
    /// What the state has pinned; none: there is no state yet.
    pinned: Option<Vec<KeyId>>,
    /// What the manifest or the environment says.
    wanted: Vec<KeyId>,
    /// An apply would stop: they differ.
    is_refused: bool,
}

/// A plan's counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SummaryData {
    create: usize,
    unchanged: usize,
    in_doubt: usize,
    finish: usize,
    token_missing: usize,
    conflict: usize,
    orphaned: usize,
    probable_rename: usize,
}

impl From<PlanSummary> for SummaryData {
    fn from(summary: PlanSummary) -> Self {
        let PlanSummary { create, unchanged, in_doubt, finish, token_missing, conflict, orphaned, probable_rename } = summary;
        Self { create, unchanged, in_doubt, finish, token_missing, conflict, orphaned, probable_rename }
    }
}

#[derive(Debug, Serialize)]
struct ChangeData {
    name: InstanceName,
    #[serde(rename = "type")]
    kind: InstanceType,
    action: &'static str,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    renamed_from: Option<InstanceName>,
}

impl PlanDocument {
    /// From a plan with its hash, the state that it was made against, and what would stop an apply of it.
    pub fn new((plan, plan_hash): (&Plan, Hash), state: Option<(&Lineage, Serial)>, guards: &[Guard]) -> Self {
        let change = |change: &Change| ChangeData {
            name: change.name.clone(),
            kind: change.kind,
            action: change.action.as_str(),
            reason: change.reason.to_string(),
            renamed_from: change.renamed_from.clone(),
        };
        Self {
            format_version: FORMAT_VERSION,
            lineage: state.map(|(lineage, _)| lineage.clone()),
            serial: state.map_or(Serial(0), |(_, serial)| serial),
            summary: plan.summary().into(),
            changes: plan.changes.iter().map(change).collect(),
            guards: guards.iter().map(GuardData::from).collect(),
            sealing: SealingData::default(),
            plan_hash,
            cost: None,
            saved: None,
        }
    }

    /// With what it costs.
    #[must_use]
    pub fn costing(mut self, cost: Option<Cost>) -> Self {
        self.cost = cost.map(CostData::from);
        self
    }

    /// As it was saved.
    #[must_use]
    pub fn saved_as(mut self, saved: &SavedPlan) -> Self {
        let SavedPlan { id, made, expires, origin, .. } = saved;
        self.saved = Some(SavedData { id: id.clone(), made: made.clone(), expires: *expires, origin: origin.clone() });
        self
    }

    /// With the public keys that the state has pinned and those that are wanted.
    #[must_use]
    pub fn sealing(mut self, pinned: Option<&Recipients>, wanted: &Recipients, is_refused: bool) -> Self {
        let ids = |keys: &Recipients| keys.iter().map(Recipient::id).collect();
        self.sealing = SealingData { pinned: pinned.map(ids), wanted: ids(wanted), is_refused };
        self
    }
}

/// `apply --format json`.
#[derive(Debug, Serialize)]
pub struct ApplyDocument {
    format_version: &'static str,
    lineage: Lineage,
    serial: Serial,
    exit_code: u8,
    summary: ApplySummary,
    results: Vec<ResultData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped: Option<StoppedData>,
    guards: Vec<GuardData>,
    /// What was reviewed: [`Plan::checksum`] of what this run was to create.
    plan_hash: Hash,
    /// The saved plan that was applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<PlanId>,
    /// What the run has added, and what everything costs; none: the manifest says no prices.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<CostData>,
    /// Outputs that could not be delivered; none: none were wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs_owed: Option<usize>,
}

/// The counts of an apply. `in_doubt`, `token_missing`, `unchanged` and `orphaned` are of the whole state, the rest of this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ApplySummary {
    /// Created by this run.
    pub created: usize,
    /// Finished from recorded answers.
    pub recovered: usize,
    /// As they should be before this run.
    pub unchanged: usize,
    /// Refused by the server.
    pub refused: usize,
    /// Not sent.
    pub not_sent: usize,
    /// Answered, and the answer is recorded and not read yet: an instance may exist.
    pub unfinished: usize,
    /// Not tried.
    pub not_tried: usize,
    /// In doubt now.
    pub in_doubt: usize,
    /// Existing without a token now.
    pub token_missing: usize,
    /// Recorded and not declared.
    pub orphaned: usize,
}

#[derive(Debug, Serialize)]
struct ResultData {
    name: InstanceName,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<InstanceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<AttemptId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct StoppedData {
    cause: &'static str,
    reason: String,
}

/// The word for an outcome.
pub fn outcome_word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Created { has_token: true, .. } => "created",
        Outcome::Created { has_token: false, .. } => "token_missing",
        Outcome::Refused { .. } => "refused",
        Outcome::NotSent { .. } => "not_sent",
        Outcome::NotCreated { .. } => "not_created",
        Outcome::InDoubt { .. } => "in_doubt",
        Outcome::Unfinished => "unfinished",
        Outcome::NotTried => "not_tried",
    }
}

/// The cause of a halt, and its words.
pub fn halt_text(halt: &Halt) -> (&'static str, String) {
    match halt {
        Halt::Refused(reason) => ("refused", format!("the server refuses every create: {reason}")),
        Halt::Unreachable(reason) => ("unreachable", format!("the server cannot be reached: {reason}")),
        Halt::RateLimited(reason) => ("rate_limited", format!("the server asks to wait longer than a run may: {reason}")),
        Halt::Store(error) => ("state", format!("the state cannot be written: {}", with_causes(&**error))),
        Halt::Interrupted(signal) => ("interrupted", format!("stopped by {}", signal.as_str())),
    }
}

/// An error and why it came to it, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl ResultData {
    fn new(name: &InstanceName, outcome: &Outcome) -> Self {
        let mut data = Self { name: name.clone(), result: outcome_word(outcome), id: None, attempt: None, reason: None };
        match outcome {
            Outcome::Created { id, .. } => data.id = Some(id.clone()),
            Outcome::Refused { reason } | Outcome::NotSent { reason } | Outcome::NotCreated { reason } => {
                data.reason = Some(reason.clone());
            }
            Outcome::InDoubt { attempt, reason } => {
                (data.attempt, data.reason) = (Some(attempt.clone()), Some(reason.clone()));
            }
            Outcome::Unfinished | Outcome::NotTried => {}
        }
        data
    }
}

impl ApplyDocument {
    /// From what a run did.
    pub fn new(
        report: &Report,
        recovered: &BTreeMap<InstanceName, Outcome>,
        summary: ApplySummary,
        state: (&Lineage, Head),
    ) -> Self {
        // What was recovered and then tried again is told once, as it ended.
        let recovered = recovered.iter().filter(|(name, _)| !report.outcomes.contains_key(*name));
        let results = recovered.chain(&report.outcomes).map(|(name, outcome)| ResultData::new(name, outcome));
        let stopped = report.halt.as_ref().map(|halt| {
            let (cause, reason) = halt_text(halt);
            StoppedData { cause, reason }
        });
        Self {
            format_version: FORMAT_VERSION,
            lineage: state.0.clone(),
            serial: state.1.serial,
            exit_code: 0,
            summary,
            results: results.collect(),
            stopped,
            guards: Vec::new(),
            plan_hash: Hash::ZERO,
            plan: None,
            cost: None,
            outputs_owed: None,
        }
    }

    /// With the plan that it carried out: its hash, what it costs, and its id if it was a saved one.
    #[must_use]
    pub fn carrying_out(mut self, plan_hash: Hash, cost: Option<Cost>, plan: Option<&PlanId>) -> Self {
        (self.plan_hash, self.cost, self.plan) = (plan_hash, cost.map(CostData::from), plan.cloned());
        self
    }

    /// With how many outputs are owed, where some were wanted.
    #[must_use]
    pub fn owing(mut self, outputs: Option<usize>) -> Self {
        self.outputs_owed = outputs;
        self
    }

    /// With the guards that stopped it.
    #[must_use]
    pub fn stopped_by(mut self, guards: &[Guard]) -> Self {
        self.guards = guards.iter().map(GuardData::from).collect();
        self
    }

    /// With the exit code that goes with it.
    #[must_use]
    pub fn exiting(mut self, code: u8) -> Self {
        self.exit_code = code;
        self
    }
}

impl ApplySummary {
    /// Counts a run. `before`: the plan's counts before it began; `now`: the state after it.
    pub fn of(report: &Report, recovered: &BTreeMap<InstanceName, Outcome>, before: PlanSummary, now: &State) -> Self {
        let count = |word| report.outcomes.values().filter(|outcome| outcome_word(outcome) == word).count();
        let is_created = |outcome: &&Outcome| matches!(outcome, Outcome::Created { .. });
        // An answer whose sync failed stands in the state as received, and nobody knows whether the disk has it.
        let unsure = report.outcomes.iter().filter(|(_, outcome)| matches!(outcome, Outcome::InDoubt { .. }));
        let in_doubt: BTreeSet<_> = unsure.map(|(name, _)| name).chain(now.doubts().map(|(record, ..)| &record.name)).collect();
        Self {
            created: report.outcomes.values().filter(is_created).count(),
            recovered: recovered.values().filter(is_created).count(),
            unchanged: before.unchanged,
            refused: count("refused"),
            not_sent: count("not_sent"),
            unfinished: count("unfinished"),
            not_tried: count("not_tried"),
            in_doubt: in_doubt.len(),
            token_missing: now.records().values().filter(|record| record.status() == "token_missing").count(),
            orphaned: before.orphaned,
        }
    }
}

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

/// Whether a plan asks for anything, be it something that an apply will refuse.
pub fn has_changes(summary: &PlanSummary) -> bool {
    summary.create + summary.finish + summary.conflict > 0
}

/// The mark before a planned change.
pub fn mark(action: Action) -> char {
    match action {
        Action::Create => '+',
        Action::NoOp => '=',
        Action::Hold => '?',
        Action::Finish => '~',
        Action::Conflict => '!',
        // No minus: nothing is taken away.
        Action::Orphan => 'o',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::AttemptId;

    #[test]
    fn p3_p7_an_answer_that_may_not_be_on_the_disk_counts_as_in_doubt() {
        let state = State::new(Lineage::from_bytes([1; 16]), Serial(1), crate::state::FORMAT);
        let outcome = Outcome::InDoubt { attempt: AttemptId::typed("a-x"), reason: "its sync failed".to_owned() };
        let outcomes = BTreeMap::from([(InstanceName::parse("x").unwrap(), outcome)]);
        let summary = ApplySummary::of(&Report { outcomes, halt: None }, &BTreeMap::new(), PlanSummary::default(), &state);
        assert_eq!(summary.in_doubt, 1);
    }
}
