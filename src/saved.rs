//! A saved plan: what somebody reviewed, in a file, to be applied once and as it is.
//!
//! It is bound to one state at one position, to one server and to the manifest that it was made from, and it expires. That a
//! plan is spent is not in the file, which may be copied, but in the state's journal: the run that carries it out names it there,
//! durably, before its first request. Pure: files, clock and state come as arguments.

mod manifest;
mod settlements;
mod stale;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::instance::InstanceName;
use crate::manifest::Target;
use crate::plan::{Action, Change, Plan, Reason, Replace};
use crate::state::{Hash, Head, Lineage, Origin, PlanId, Who};
pub use manifest::SavedManifest;
use manifest::is_false;
pub use stale::Stale;

/// The version of the format: a minor change adds, a major one breaks.
const VERSION: &str = "1.0";
/// The first member of every saved plan: how one is told from a manifest.
const MARK: &str = "\"chatapi_plan\"";
/// Room for a plan of half a million names.
pub const SIZE_MAX: u64 = 256 * 1_024 * 1_024;
/// Longest time that a plan is good.
pub const VALIDITY_MAX: Duration = Duration::from_hours(30 * 24);

/// A plan that was saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedPlan {
    chatapi_plan: String,
    /// Its name in the journal.
    pub id: PlanId,
    /// When, by whom and with what it was made.
    pub made: Made,
    /// When it expires.
    pub expires: Timestamp,
    /// The state that it was made against.
    pub lineage: Lineage,
    /// That state's position.
    pub head: Head,
    /// The server that it is for.
    pub origin: Origin,
    /// What is declared.
    pub manifest: SavedManifest,
    /// What the operator said when it was made.
    pub consent: Consent,
    /// What was reviewed, in one number: [`Plan::checksum`].
    pub plan_hash: Hash,
    /// What is to be done.
    pub plan: Plan,
    sum: Hash,
}

/// Where a saved plan comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// When.
    pub at: Timestamp,
    /// Who made it.
    pub by: Who,
    /// The program's version.
    pub version: String,
}

/// What was said when a plan was made, and holds when it is applied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// Names that are no renames.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_a_rename: Vec<InstanceName>,
    /// Names that get another instance in the place of one that was deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recreate: Vec<InstanceName>,
    /// Names that get a new instance in the place of the one that they have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replace: Vec<Replace>,
    /// What is no longer declared is deleted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub prune: bool,
    /// What alone is changed; none: everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Target>,
    /// Creates at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_creates: Option<usize>,
}

/// A file that is no saved plan that can be used.
#[derive(Debug, thiserror::Error)]
pub enum SavedPlanError {
    /// It cannot be read as one.
    #[error("it is not a saved plan of chatapi, or not whole")]
    Content(#[source] serde_json::Error),
    /// Another version wrote it.
    #[error("it is of version {0}, and this program reads {VERSION}: make it anew")]
    Version(String),
    /// Its bytes are not those that were written.
    #[error("it was changed after it was made: its checksum differs")]
    Changed,
    /// It claims more than any plan has.
    #[error("it was changed after it was made: {0}")]
    Forged(&'static str),
}

impl SavedPlan {
    /// Saves `plan`, which was made of `manifest` against the state of `lineage` at `head`, for the server at `origin`.
    pub fn new(
        (id, made, expires): (PlanId, Made, Timestamp),
        (lineage, head, origin): (Lineage, Head, Origin),
        manifest: SavedManifest,
        (consent, plan, plan_hash): (Consent, Plan, Hash),
    ) -> Self {
        let chatapi_plan = VERSION.to_owned();
        let sum = Hash::ZERO;
        let mut saved = Self { chatapi_plan, id, made, expires, lineage, head, origin, manifest, consent, plan_hash, plan, sum };
        saved.sum = saved.checksum().unwrap_or(Hash::ZERO);
        saved
    }

    /// Over everything but itself.
    fn checksum(&self) -> Result<Hash, serde_json::Error> {
        let bare = Self { sum: Hash::ZERO, ..self.clone() };
        serde_json::to_vec(&bare).map(|bytes| Hash::of(&bytes))
    }

    /// Its bytes.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Whether a file that begins with `bytes` is a saved plan, good or bad, and no manifest.
    pub fn is_one(bytes: &[u8]) -> bool {
        let mut significant = bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace());
        significant.next() == Some(b'{') && significant.take(MARK.len()).eq(MARK.bytes())
    }

    /// Reads one.
    pub fn parse(bytes: &[u8]) -> Result<Self, SavedPlanError> {
        #[derive(Deserialize)]
        struct Version {
            chatapi_plan: String,
        }
        let Version { chatapi_plan } = serde_json::from_slice(bytes).map_err(SavedPlanError::Content)?;
        if chatapi_plan != VERSION {
            return Err(SavedPlanError::Version(chatapi_plan.chars().take(20).collect()));
        }
        let saved: Self = serde_json::from_slice(bytes).map_err(SavedPlanError::Content)?;
        if saved.checksum().map_err(SavedPlanError::Content)? != saved.sum {
            return Err(SavedPlanError::Changed);
        }
        saved.check()
    }

    /// Refuses what no version would have written.
    fn check(self) -> Result<Self, SavedPlanError> {
        let footing = self.manifest.manifest().footing();
        let hash = |lineage| self.plan.checksum(lineage, &footing).map_err(SavedPlanError::Content);
        let most = self.made.at.checked_add(VALIDITY_MAX).unwrap_or(self.made.at);
        match () {
            // A state that records nothing has no part in it.
            () if ![hash(None)?, hash(Some(&self.lineage))?].contains(&self.plan_hash) => {
                Err(SavedPlanError::Forged("its hash is not its own"))
            }
            () if !self.is_of_one_piece() => Err(SavedPlanError::Forged("it does not plan what it declares")),
            () if self.expires > most => Err(SavedPlanError::Forged("no plan is good for so long")),
            () => Ok(self),
        }
    }

    /// Whether it names everything once, in order, creates only what is declared, settles only what the manifest says, and deletes only
    /// what is not declared, if that was said.
    fn is_of_one_piece(&self) -> bool {
        let declared: BTreeMap<_, _> = self.manifest.instances.iter().map(|saved| (&saved.name, saved.kind)).collect();
        let planned: BTreeSet<_> = self.plan.changes.iter().map(|change| &change.name).collect();
        self.manifest.instances.is_sorted_by(|one, next| one.name < next.name)
            && planned.len() == self.plan.changes.len()
            && self.manifest.settlements.has_all(&self.plan.settlements)
            && self.plan.with(Action::Create).all(|change| declared.get(&change.name) == Some(&change.kind))
            && self.plan.with(Action::Delete).all(|change| {
                let was_asked = self.consent.prune || change.is_remainder_of(&self.consent.replace);
                was_asked && !declared.contains_key(&change.name)
            })
            && self.plan.replacements().all(|(name, _)| self.consent.replace.iter().any(|asked| asked.name == *name))
    }

    /// Of `plan`, made again when this one is applied: the same without the creates and deletes that nobody reviewed, and their
    /// names. There are some when a doubt was settled meanwhile.
    pub fn restrict(&self, plan: Plan) -> (Plan, BTreeSet<InstanceName>) {
        let creates: BTreeMap<_, _> = self.plan.with(Action::Create).map(|change| (&change.name, change)).collect();
        let deletes: BTreeMap<_, _> = self.plan.with(Action::Delete).map(|change| (&change.name, &change.reason)).collect();
        let is_replacement = |change: &Change| matches!(change.reason, Reason::Replaces { .. } | Reason::Replacing { .. });
        let aside = |change: &Change| is_replacement(change).then(|| change.reason.clone());
        let is_reviewed = |change: &Change| match change.action {
            Action::Create => {
                creates.get(&change.name).is_some_and(|reviewed| reviewed.kind == change.kind && aside(reviewed) == aside(change))
            }
            Action::Delete => deletes.get(&change.name) == Some(&&change.reason),
            _ => true,
        };
        let (kept, new) = plan.changes.into_iter().partition::<Vec<_>, _>(is_reviewed);
        (Plan { settlements: plan.settlements, changes: kept }, new.into_iter().map(|change| change.name).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::InstanceType;
    use crate::manifest::{Manifest, Source};
    use crate::state::Serial;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn change(name: &str, kind: InstanceType, action: Action) -> Change {
        Change {
            name: InstanceName::parse(name).unwrap(),
            kind,
            action,
            reason: Reason::New,
            exists_as: None,
            renamed_from: None,
        }
    }

    fn saved(changes: Vec<Change>) -> SavedPlan {
        let text = "prices: {currency: EUR, whatsapp: 1.5}\ninstances:\n  - {name: b, type: whatsapp}\n  - {name: a, type: whatsapp_dev}\n";
        let manifest = Manifest::parse(&[Source::new("x.yaml", text)]).unwrap();
        let declared = SavedManifest::of(&manifest, vec!["x.yaml".to_owned()], "chatapi.lock".to_owned());
        let made = Made { at: at(1_000), by: Who::default(), version: "0".to_owned() };
        let head = Head { serial: Serial(3), hash: Hash::of(b"x") };
        let origin = Origin("https://gateway.example:443".to_owned());
        let bound_to = (Lineage::from_bytes([1; 16]), head, origin);
        let plan = Plan { changes, ..Plan::default() };
        let hash = plan.checksum(None, "chatapi").unwrap();
        SavedPlan::new((PlanId::from_bytes([2; 8]), made, at(2_000)), bound_to, declared, (Consent::default(), plan, hash))
    }

    #[test]
    fn a_saved_plan_survives_its_bytes_and_gives_its_manifest_again() {
        let saved = saved(vec![change("a", InstanceType::WhatsAppDev, Action::Create)]);
        let bytes = saved.encode().unwrap();
        assert!(SavedPlan::is_one(&bytes));
        let read = SavedPlan::parse(&bytes).unwrap();
        assert_eq!(read, saved);
        let manifest = read.manifest.manifest();
        let places: Vec<_> = manifest.declarations().iter().map(|it| format!("{} {}", it.name, it.place)).collect();
        assert_eq!(places, ["a x.yaml:4:12", "b x.yaml:3:12"]);
        assert_eq!(read.check_manifest(&manifest), Ok(()));
        let mut other = manifest;
        other.exclusive = true;
        assert_eq!(read.check_manifest(&other), Err(Stale::OtherManifest));
    }

    #[test]
    fn every_changed_byte_is_seen() {
        let bytes = saved(vec![change("a", InstanceType::WhatsAppDev, Action::Create)]).encode().unwrap();
        let whole = SavedPlan::parse(&bytes).unwrap();
        for index in 0..bytes.len() {
            for bit in 0..8 {
                let mut other = bytes.clone();
                other[index] ^= 1 << bit;
                // A space more or less, or the same number in other digits, is the same plan.
                assert!(SavedPlan::parse(&other).map_or(true, |read| read == whole), "bit {bit} of byte {index}");
            }
        }
    }

    #[test]
    fn a_plan_that_no_version_would_have_written_is_refused() {
        let honest = saved(vec![change("a", InstanceType::WhatsAppDev, Action::Create)]);
        let forge = |change: fn(&mut SavedPlan)| {
            let mut plan = honest.clone();
            change(&mut plan);
            plan.sum = plan.checksum().unwrap();
            SavedPlan::parse(&plan.encode().unwrap())
        };
        assert!(forge(|_| ()).is_ok());
        assert!(matches!(forge(|plan| plan.plan_hash = Hash::of(b"another")), Err(SavedPlanError::Forged(_))));
        let twice = forge(|plan| {
            plan.plan.changes.push(plan.plan.changes[0].clone());
            plan.plan_hash = plan.plan.checksum(None, "chatapi").unwrap();
        });
        assert!(matches!(twice, Err(SavedPlanError::Forged(_))));
        let undeclared = forge(|plan| {
            plan.plan.changes[0].name = InstanceName::parse("other").unwrap();
            plan.plan_hash = plan.plan.checksum(None, "chatapi").unwrap();
        });
        assert!(matches!(undeclared, Err(SavedPlanError::Forged(_))));
        let unsaid = forge(|plan| {
            plan.plan.settlements.push(change("a", InstanceType::WhatsAppDev, Action::Import));
            plan.plan_hash = plan.plan.checksum(None, "chatapi").unwrap();
        });
        assert!(matches!(unsaid, Err(SavedPlanError::Forged(_))));
        let doubly_declared = forge(|plan| plan.manifest.instances.push(plan.manifest.instances[0].clone()));
        assert!(matches!(doubly_declared, Err(SavedPlanError::Forged(_))));
        assert!(matches!(forge(|plan| plan.expires = at(9_999_999)), Err(SavedPlanError::Forged(_))));
        assert!(matches!(forge(|plan| plan.plan.changes.clear()), Err(SavedPlanError::Forged(_))));
    }

    #[test]
    fn a_plan_has_its_time() {
        let saved = saved(Vec::new());
        assert_eq!(saved.check_time(at(1_999)), Ok(()));
        assert_eq!(saved.check_time(at(2_000)), Err(Stale::Expired(at(2_000))));
        assert_eq!(saved.check_time(at(701)), Ok(()), "clocks differ a little");
        assert_eq!(saved.check_time(at(699)), Err(Stale::Future(at(1_000))));
    }

    /// P4: a create that nobody reviewed is none; nor is one of another type.
    #[test]
    fn only_reviewed_creates_are_left() {
        let (wa, dev) = (InstanceType::WhatsApp, InstanceType::WhatsAppDev);
        let saved = saved(vec![change("a", wa, Action::Create), change("b", wa, Action::Create), change("c", wa, Action::Hold)]);
        let now = vec![
            change("a", wa, Action::Create),
            change("b", dev, Action::Create),
            change("c", wa, Action::Create),
            change("d", wa, Action::NoOp),
        ];
        let (plan, new) = saved.restrict(Plan { changes: now, ..Plan::default() });
        assert_eq!(plan.changes.iter().map(|change| change.name.as_str()).collect::<Vec<_>>(), ["a", "d"]);
        assert_eq!(new.iter().map(InstanceName::as_str).collect::<Vec<_>>(), ["b", "c"]);
    }
}
