//! The document of a plan.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use super::{DriftData, FORMAT_VERSION, GuardData};
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::manifest::Manifest;
use crate::plan::{Change, Cost, Guard, Plan, PlanSummary, Reason};
use crate::price::{Amount, Currency};
use crate::saved::{Made, SavedPlan};
use crate::seal::{KeyId, Recipient, Recipients};
use crate::state::{AttemptId, Hash, Lineage, Origin, PlanId, Serial};

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
    /// None: the server was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    drift: Option<DriftData>,
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
    import: usize,
    #[serde(rename = "move")]
    moves: usize,
    settle: usize,
    delete: usize,
    protect: usize,
    unprotect: usize,
    aside: usize,
}

impl From<PlanSummary> for SummaryData {
    fn from(summary: PlanSummary) -> Self {
        let PlanSummary { create, unchanged, in_doubt, finish, token_missing, conflict, orphaned, probable_rename, .. } = summary;
        let PlanSummary { delete, protect, unprotect, aside, import, moves, settle, .. } = summary;
        Self {
            create,
            unchanged,
            in_doubt,
            finish,
            token_missing,
            conflict,
            orphaned,
            probable_rename,
            import,
            moves,
            settle,
            delete,
            protect,
            unprotect,
            aside,
        }
    }
}

/// What a plan says of one name.
#[derive(Debug, Serialize)]
pub struct ChangeData {
    name: InstanceName,
    #[serde(rename = "type")]
    kind: InstanceType,
    action: &'static str,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    renamed_from: Option<InstanceName>,
    /// The instance that the name has, gets or is rid of, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<InstanceId>,
    /// The name until now of what is moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    moved_from: Option<InstanceName>,
    /// Of one that gets a new instance in the place of its own: the name of the old one from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    set_aside_as: Option<InstanceName>,
    /// The attempt that is settled.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<AttemptId>,
    /// As declared; none where nothing is said.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protected: Option<bool>,
}

impl From<&Change> for ChangeData {
    fn from(change: &Change) -> Self {
        let (moved_from, set_aside_as, attempt) = match &change.reason {
            Reason::Renamed { from, .. } => (Some(from), None, None),
            Reason::Replaces { aside, .. } | Reason::Replacing { aside, .. } => (None, Some(aside), None),
            Reason::Verdict { attempt, .. } => (None, None, Some(attempt)),
            _ => (None, None, None),
        };
        Self {
            name: change.name.clone(),
            kind: change.kind,
            action: change.action.as_str(),
            reason: change.reason.to_string(),
            renamed_from: change.renamed_from.clone(),
            id: id(&change.reason).cloned(),
            moved_from: moved_from.cloned(),
            set_aside_as: set_aside_as.cloned(),
            attempt: attempt.cloned(),
            labels: BTreeMap::new(),
            owner: None,
            protected: None,
        }
    }
}

/// The instance that a reason is about.
const fn id(reason: &Reason) -> Option<&InstanceId> {
    match reason {
        Reason::Exists { id }
        | Reason::TokenMissing { id }
        | Reason::Released { id }
        | Reason::Retiring { id, .. }
        | Reason::Retired { id, .. }
        | Reason::Replaces { id, .. }
        | Reason::Replacing { id, .. }
        | Reason::Replaced { id, .. }
        | Reason::Pruned { id, .. }
        | Reason::Foreign { id }
        | Reason::Renamed { id, .. } => Some(id),
        Reason::NotDeclared { id } | Reason::Verdict { created: id, .. } => id.as_ref(),
        Reason::New
        | Reason::TriedBefore { .. }
        | Reason::Begun { .. }
        | Reason::InDoubt { .. }
        | Reason::Received { .. }
        | Reason::OtherType { .. } => None,
    }
}

impl PlanDocument {
    /// From a plan with its hash, the state that it was made against, and what would stop an apply of it.
    pub fn new((plan, plan_hash): (&Plan, Hash), state: Option<(&Lineage, Serial)>, guards: &[Guard]) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            lineage: state.map(|(lineage, _)| lineage.clone()),
            serial: state.map_or(Serial(0), |(_, serial)| serial),
            summary: plan.summary().into(),
            changes: plan.rows().map(ChangeData::from).collect(),
            guards: guards.iter().map(GuardData::from).collect(),
            sealing: SealingData::default(),
            plan_hash,
            drift: None,
            cost: None,
            saved: None,
        }
    }

    /// With what is declared of each name beside its type.
    #[must_use]
    pub fn declared_in(mut self, manifest: &Manifest) -> Self {
        for change in &mut self.changes {
            let Some(declared) = manifest.get(&change.name) else { continue };
            change.labels = BTreeMap::clone(&declared.labels);
            change.owner.clone_from(&declared.owner);
            change.protected = declared.is_protected.then_some(true);
        }
        self
    }

    /// With what the server's list says.
    #[must_use]
    pub fn verified(self, drift: Option<DriftData>) -> Self {
        Self { drift, ..self }
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
