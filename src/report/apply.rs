//! The document of an apply.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{CostData, FORMAT_VERSION, GuardData};
use crate::apply::{Departure, Halt, Outcome, Report};
use crate::instance::{InstanceId, InstanceName};
use crate::plan::{Action, Change, Cost, Guard, PlanSummary, Reason};
use crate::state::{AttemptId, Hash, Head, Lineage, PlanId, Serial, State};

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
    /// What was reviewed: [`Plan::checksum`](crate::plan::Plan::checksum) of what this run was to create.
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
    /// Taken in by this run.
    pub imported: usize,
    /// Renamed by this run.
    pub moved: usize,
    /// Doubts that the manifest has settled in this run.
    pub settled: usize,
    /// Deleted by this run.
    pub deleted: usize,
    /// Was to be deleted, and still exists.
    pub kept: usize,
    /// Protected from deletion by this run.
    pub protected: usize,
    /// Protected no longer.
    pub unprotected: usize,
    /// Not among the names that were selected.
    pub aside: usize,
}

/// What became of one name.
#[derive(Debug, Serialize)]
pub(super) struct ResultData {
    pub(super) name: InstanceName,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<InstanceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<AttemptId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
}

/// Why a run stopped before its end.
#[derive(Debug, Serialize)]
pub(super) struct StoppedData {
    pub(super) cause: &'static str,
    pub(super) reason: String,
}

impl From<&Halt> for StoppedData {
    fn from(halt: &Halt) -> Self {
        let (cause, reason) = halt_text(halt);
        Self { cause, reason }
    }
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

/// The word for what was settled.
pub fn settled_word(change: &Change) -> &'static str {
    match change.action {
        Action::Import => "imported",
        Action::Move => "moved",
        _ => "settled",
    }
}

impl ResultData {
    /// What was settled of a name.
    fn of_settled(change: &Change) -> Self {
        let (id, attempt) = match &change.reason {
            Reason::Foreign { id } | Reason::Renamed { id, .. } => (Some(id.clone()), None),
            Reason::Verdict { attempt, created } => (created.clone(), Some(attempt.clone())),
            _ => (None, None),
        };
        let reason = Some(change.reason.to_string());
        Self { name: change.name.clone(), result: settled_word(change), id, attempt, reason }
    }

    pub(super) fn new(name: &InstanceName, outcome: &Outcome) -> Self {
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

impl ResultData {
    /// Of a name that was to be deleted.
    pub(super) fn departed(name: &InstanceName, departure: &Departure) -> Self {
        let (result, id, reason) = match departure {
            Departure::Deleted { id, grounds } => ("deleted", Some(id.clone()), Some(grounds.clone())),
            Departure::Kept { reason } => ("kept", None, Some(reason.clone())),
            Departure::InDoubt { reason } => ("in_doubt", None, Some(reason.clone())),
            Departure::NotTried => ("not_tried", None, None),
        };
        Self { name: name.clone(), result, id, attempt: None, reason }
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
        let results = results.chain(report.departures.iter().map(|(name, departure)| ResultData::departed(name, departure)));
        let stopped = report.halt.as_ref().map(StoppedData::from);
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

    /// With what was settled before anything was created.
    #[must_use]
    pub fn having_settled(mut self, settled: &[Change]) -> Self {
        let before: Vec<_> = settled.iter().map(ResultData::of_settled).collect();
        self.results.splice(0..0, before);
        self
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
    /// With how many names it has protected, and protects no longer.
    #[must_use]
    pub const fn protecting(mut self, protected: usize, unprotected: usize) -> Self {
        (self.protected, self.unprotected) = (protected, unprotected);
        self
    }

    /// With more orphans: so many could have been deleted, and stay.
    #[must_use]
    pub const fn with_orphans(mut self, more: usize) -> Self {
        self.orphaned += more;
        self
    }

    /// Counts a run. `before`: the plan's counts before it began; `now`: the state after it.
    pub fn of(report: &Report, recovered: &BTreeMap<InstanceName, Outcome>, before: PlanSummary, now: &State) -> Self {
        let count = |word| report.outcomes.values().filter(|outcome| outcome_word(outcome) == word).count();
        let left = |is_so: fn(&Departure) -> bool| report.departures.values().filter(|it| is_so(it)).count();
        let is_created = |outcome: &&Outcome| matches!(outcome, Outcome::Created { .. });
        // An answer whose sync failed stands in the state as received, and nobody knows whether the disk has it.
        let unsure = report.outcomes.iter().filter(|(_, outcome)| matches!(outcome, Outcome::InDoubt { .. }));
        let open = now.records().values().filter(|record| record.retirement().is_some()).map(|record| &record.name);
        let doubts = now.doubts().map(|(record, ..)| &record.name);
        let in_doubt: BTreeSet<_> = unsure.map(|(name, _)| name).chain(doubts).chain(open).collect();
        Self {
            created: report.outcomes.values().filter(is_created).count(),
            recovered: recovered.values().filter(is_created).count(),
            unchanged: before.unchanged,
            refused: count("refused"),
            not_sent: count("not_sent"),
            unfinished: count("unfinished"),
            not_tried: count("not_tried") + left(|it| matches!(it, Departure::NotTried)),
            in_doubt: in_doubt.len(),
            token_missing: now.records().values().filter(|record| record.status() == "token_missing").count(),
            orphaned: before.orphaned,
            deleted: left(|it| matches!(it, Departure::Deleted { .. })),
            kept: left(|it| matches!(it, Departure::Kept { .. })),
            protected: 0,
            unprotected: 0,
            aside: before.aside,
            ..Self::default()
        }
    }

    /// With what was settled before anything was created.
    #[must_use]
    pub fn settling(self, settled: &[Change]) -> Self {
        let count = |action| settled.iter().filter(|change| change.action == action).count();
        Self { imported: count(Action::Import), moved: count(Action::Move), settled: count(Action::Settle), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p3_p7_an_answer_that_may_not_be_on_the_disk_counts_as_in_doubt() {
        let state = State::new(Lineage::from_bytes([1; 16]), Serial(1), crate::state::FORMAT);
        let outcome = Outcome::InDoubt { attempt: AttemptId::typed("a-x"), reason: "its sync failed".to_owned() };
        let outcomes = BTreeMap::from([(InstanceName::parse("x").unwrap(), outcome)]);
        let summary =
            ApplySummary::of(&Report { outcomes, ..Report::default() }, &BTreeMap::new(), PlanSummary::default(), &state);
        assert_eq!(summary.in_doubt, 1);
    }
}
