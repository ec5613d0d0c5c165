//! What the server's list says of what is recorded: what is gone, stopped, unpaid or of another type, and what nobody here knows.
//!
//! It is a question, never a decision: nothing is created or deleted for what is found here. A list proves an absence only if it
//! can be believed, and one that shows nothing of what was there before is no proof that everything is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use super::guard::missing;
use super::recovery::Candidates;
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::listing::{ListedInstance, Listing};
use crate::state::{Phase, Record, State};

/// What the comparison goes by besides the state and the list.
#[derive(Debug, Clone, Copy)]
pub struct Watch<'a> {
    /// The time.
    pub now: Timestamp,
    /// Paid for less than this is worth a word.
    pub expiring_within: Duration,
    /// The types that are declared; none: no manifest was read.
    pub declared: Option<&'a BTreeMap<InstanceName, InstanceType>>,
    /// What other environments have, for certain.
    pub elsewhere: &'a BTreeMap<InstanceId, Elsewhere>,
}

/// Where an instance is managed that is not managed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// The environment.
    pub environment: String,
    /// Its name there.
    pub name: InstanceName,
}

/// What the list says that the state does not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Drift {
    /// What differs: managed names in order, then what is no longer or was never managed, by id.
    pub findings: Vec<Finding>,
    /// Managed instances that were looked for.
    pub checked: usize,
    /// Listed ids that no name has, and that an apply has seen before: whoever allowed them knows of them.
    pub seen_before: usize,
    /// What is listed and managed elsewhere, by id: that explains it.
    pub elsewhere: Vec<(InstanceId, Elsewhere)>,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub deviation: Deviation,
    /// Whose; none: nobody's.
    pub name: Option<InstanceName>,
    /// The server's id.
    pub id: InstanceId,
    /// Recorded; of what is nobody's: listed.
    pub kind: Option<InstanceType>,
}

/// How a state and a list differ about one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deviation {
    /// Recorded as existing, and not in a list that can be believed.
    Gone {
        /// When it was recorded.
        since: Timestamp,
    },
    /// The server says that it is stopped.
    Stopped,
    /// Its paid time is over.
    Expired {
        /// Since when.
        since: Timestamp,
    },
    /// Its paid time is over soon.
    Expiring {
        /// When.
        at: Timestamp,
        /// Whole days until then.
        days: u64,
    },
    /// The server says another type.
    WrongType {
        /// In its words.
        listed: String,
        /// The type that is meant.
        meant: InstanceType,
    },
    /// Its delete was begun, and is not concluded.
    Retiring {
        /// Since when.
        since: Timestamp,
        /// Whether the list shows it.
        is_listed: bool,
        /// Whether it is protected, so that finishing it has to be forced.
        is_protected: bool,
    },
    /// On record as deleted or gone, and listed all the same.
    StillListed {
        /// When it was recorded as deleted.
        since: Timestamp,
        /// Who has said so.
        by: CalledGone,
    },
    /// New since an attempt in doubt, which may have made it.
    Candidate {
        /// The names in doubt whose attempt it may be of.
        of: Vec<InstanceName>,
    },
    /// No name here has it, and no apply has seen it.
    Unknown {
        /// Its type in the server's words.
        listed: String,
    },
}

/// Who has called an instance gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalledGone {
    /// The server, asked to delete it.
    ByServer,
    /// Lists of the account, before another one was wanted.
    ByLists {
        /// Its name has nothing, and no attempt is open for one.
        is_name_free: bool,
    },
}

impl CalledGone {
    fn of(record: &Record, is_lost: bool) -> Self {
        let is_name_free = matches!(record.phase, Phase::Absent { .. } | Phase::Retired { .. });
        if is_lost { Self::ByLists { is_name_free } } else { Self::ByServer }
    }
}

impl Drift {
    /// Whether the list says of an instance on record that it is not there, does not run, or is another.
    pub fn contradicts_state(&self) -> bool {
        let is_contradiction = |deviation: &Deviation| {
            matches!(
                deviation,
                Deviation::Gone { .. } | Deviation::Stopped | Deviation::Expired { .. } | Deviation::WrongType { .. }
            )
        };
        self.findings.iter().any(|finding| is_contradiction(&finding.deviation))
    }
}

impl Deviation {
    /// Its word in every output.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Gone { .. } => "gone",
            Self::Stopped => "stopped",
            Self::Expired { .. } => "expired",
            Self::Expiring { .. } => "expiring",
            Self::WrongType { .. } => "wrong_type",
            Self::Retiring { .. } => "retiring",
            Self::StillListed { .. } => "still_listed",
            Self::Candidate { .. } => "candidate",
            Self::Unknown { .. } => "unknown",
        }
    }
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = |time: &Timestamp| super::to_the_second(*time);
        match self {
            Self::Gone { since } => write!(f, "recorded at {}, and not listed", second(since)),
            Self::Stopped => f.write_str("the server says that it is stopped"),
            Self::Expired { since } => write!(f, "over: paid until {}", second(since)),
            Self::Expiring { at, days: 0 } => write!(f, "less than a day: paid until {}", second(at)),
            Self::Expiring { at, days } => {
                let days = crate::text::counted(usize::try_from(*days).unwrap_or(usize::MAX), "day", "days");
                write!(f, "{days}: paid until {}", at.to_zoned(jiff::tz::TimeZone::UTC).date())
            }
            Self::WrongType { listed, meant } => write!(f, "listed as {listed}, and {meant} is meant"),
            Self::Retiring { since, is_listed, .. } => {
                let shown = if *is_listed { "still listed" } else { "not listed" };
                write!(f, "being deleted since {}, and {shown}: not known to be gone", second(since))
            }
            Self::StillListed { since, by: CalledGone::ByServer } => {
                write!(f, "recorded as deleted at {}, and still listed", second(since))
            }
            Self::StillListed { since, by: CalledGone::ByLists { .. } } => {
                write!(f, "recorded as gone at {}, and listed", second(since))
            }
            Self::Candidate { of } => {
                let names: Vec<&str> = of.iter().map(InstanceName::as_str).collect();
                write!(f, "new since an attempt in doubt: may be {}", names.join(" or "))
            }
            Self::Unknown { listed } if listed.is_empty() => f.write_str("no name here has it"),
            Self::Unknown { listed } => write!(f, "{listed}, and no name here has it"),
        }
    }
}

/// Why a list says nothing of what it does not show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unbelievable {
    /// Some of it could not be read.
    #[error("{0} of its items cannot be read, and {1} is not among the others")]
    OddItems(usize, InstanceId),
    /// Nothing of it was there before, and these are recorded as existing.
    #[error("it shows none of the {} that are recorded as existing, nor anything else that was there before", .0.len())]
    ShowsNothingOld(BTreeSet<InstanceName>),
}

/// Compares `state` with what the server lists.
pub fn drift(state: &State, listing: &Listing, watch: Watch<'_>) -> Result<Drift, Unbelievable> {
    let gone = absent(state, listing)?;
    let listed: BTreeMap<&InstanceId, &ListedInstance> = listing.instances.iter().map(|it| (&it.id, it)).collect();
    let mut drift = Drift::default();
    for record in state.records().values() {
        let (id, deviations) = match &record.phase {
            Phase::Created(instance) => {
                drift.checked += 1;
                let deviations = match listed.get(&instance.id) {
                    Some(shown) => of_listed(record, shown, watch),
                    None if gone.contains(&instance.id) => vec![Deviation::Gone { since: instance.since }],
                    None => Vec::new(),
                };
                (&instance.id, deviations)
            }
            Phase::Retiring(instance, open) => {
                let is_listed = listed.contains_key(&instance.id);
                (&instance.id, vec![Deviation::Retiring { since: open.since, is_listed, is_protected: record.is_protected }])
            }
            _ => continue,
        };
        let finding = |deviation| Finding { deviation, name: Some(record.name.clone()), id: id.clone(), kind: Some(record.kind) };
        drift.findings.extend(deviations.into_iter().map(finding));
    }
    strange(state, listing, watch.elsewhere, &mut drift);
    Ok(drift)
}

/// The ids of instances that exist by the record and are not in `listing`, if that can be believed.
pub fn absent(state: &State, listing: &Listing) -> Result<BTreeSet<InstanceId>, Unbelievable> {
    let gone: BTreeSet<InstanceId> = missing(state, listing).into_iter().collect();
    let Some(first) = gone.first() else { return Ok(gone) };
    if listing.odd_items > 0 {
        return Err(Unbelievable::OddItems(listing.odd_items, first.clone()));
    }
    let is_retired =
        |id: &InstanceId| state.known_ids().get(id).and_then(|name| state.record(name)).is_some_and(Record::is_retired);
    let seen = state.newest_fence().map(|(_, ids)| ids);
    let is_old =
        |id: &InstanceId| (state.known_ids().contains_key(id) || seen.is_some_and(|seen| seen.contains(id))) && !is_retired(id);
    let shows_old = listing.instances.iter().any(|instance| is_old(&instance.id));
    if shows_old {
        return Ok(gone);
    }
    let named = gone.iter().filter_map(|id| state.known_ids().get(id).cloned());
    Err(Unbelievable::ShowsNothingOld(named.collect()))
}

fn of_listed(record: &Record, shown: &ListedInstance, watch: Watch<'_>) -> Vec<Deviation> {
    let meant = watch.declared.and_then(|declared| declared.get(&record.name)).copied().unwrap_or(record.kind);
    let mut found = Vec::new();
    if shown.stopped == Some(true) {
        found.push(Deviation::Stopped);
    }
    found.extend(shown.paid_till.and_then(|till| of_paid_time(till, watch)));
    // A server that says no type says nothing against one.
    if shown.kind != Some(meant) && !shown.type_text.is_empty() {
        found.push(Deviation::WrongType { listed: shown.type_text.clone(), meant });
    }
    found
}

fn of_paid_time(till: Timestamp, watch: Watch<'_>) -> Option<Deviation> {
    let left = till.duration_since(watch.now);
    match Duration::try_from(left) {
        Err(_) | Ok(Duration::ZERO) => Some(Deviation::Expired { since: till }),
        Ok(left) if left < watch.expiring_within => Some(Deviation::Expiring { at: till, days: left.as_secs() / (24 * 60 * 60) }),
        Ok(_) => None,
    }
}

/// What is listed and not managed: what we have deleted, what is managed elsewhere, what a doubt may have made, and what nobody knows.
fn strange(state: &State, listing: &Listing, elsewhere: &BTreeMap<InstanceId, Elsewhere>, drift: &mut Drift) {
    let candidates: BTreeSet<InstanceId> = Candidates::from_listing(state, listing).ids().into_iter().collect();
    let seen = state.newest_fence().map(|(_, ids)| ids);
    let former: BTreeMap<_, _> = state.former().map(|(former, record)| (&former.id, (former, record))).collect();
    for instance in &listing.instances {
        let (deviation, name) = match state.known_ids().get(&instance.id).and_then(|name| state.record(name)) {
            Some(record @ Record { phase: Phase::Retired { since, lost, .. }, name, .. }) => {
                let by = CalledGone::of(record, lost.is_some());
                (Deviation::StillListed { since: *since, by }, Some(name.clone()))
            }
            Some(_) => continue,
            None if let Some((former, record)) = former.get(&instance.id) => {
                let by = CalledGone::of(record, former.lost.is_some());
                (Deviation::StillListed { since: former.since, by }, Some(record.name.clone()))
            }
            None if let Some(theirs) = elsewhere.get(&instance.id) => {
                drift.elsewhere.push((instance.id.clone(), theirs.clone()));
                continue;
            }
            None if candidates.contains(&instance.id) => (Deviation::Candidate { of: doubtful(state, instance) }, None),
            None if seen.is_some_and(|seen| seen.contains(&instance.id)) => {
                drift.seen_before += 1;
                continue;
            }
            None => (Deviation::Unknown { listed: instance.type_text.clone() }, None),
        };
        drift.findings.push(Finding { deviation, name, id: instance.id.clone(), kind: instance.kind });
    }
}

/// The names in doubt whose attempt may have made `instance`: whatever its type, for a server may call it otherwise.
fn doubtful(state: &State, instance: &ListedInstance) -> Vec<InstanceName> {
    let is_new = |attempt| state.fence_of(attempt).is_some_and(|fence| !fence.contains(&instance.id));
    let doubts = state.doubts().filter(|(_, attempt, _)| is_new(attempt));
    let (fitting, others): (Vec<_>, Vec<_>) = doubts.partition(|(record, ..)| Some(record.kind) == instance.kind);
    let of = if fitting.is_empty() { others } else { fitting };
    of.into_iter().map(|(record, ..)| record.name.clone()).collect()
}

#[cfg(test)]
#[path = "drift_tests.rs"]
mod tests;
