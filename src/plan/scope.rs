//! What the operator asks for beside creating what is missing: deleting what has left, replacing what exists, some names alone.
//!
//! Each takes a plan and gives another one. Pure, as the planner is.

use std::collections::BTreeSet;

use super::{Action, Change, Plan, Reason};
use crate::instance::{InstanceName, NAME_MAX};
use crate::state::{Phase, Record, State};

impl Plan {
    /// The same, with what changes in what may be deleted: `is_protected` says what the manifest has of a name that it declares.
    #[must_use]
    pub fn protecting(mut self, is_protected: impl Fn(&InstanceName) -> bool, state: &State) -> Self {
        for change in self.changes.iter_mut().filter(|change| change.action == Action::NoOp) {
            let Some(record) = state.record(&change.name) else { continue };
            match (record.is_protected, is_protected(&change.name)) {
                (false, true) => change.action = Action::Protect,
                (true, false) => change.action = Action::Unprotect,
                _ => {}
            }
        }
        self
    }

    /// The same, with a delete of everything that is managed and no longer declared. What is in doubt is none of it.
    #[must_use]
    pub fn pruning(mut self, state: &State) -> Self {
        for change in self.changes.iter_mut().filter(|change| change.action == Action::Orphan) {
            let Some(record) = state.record(&change.name) else { continue };
            match &record.phase {
                Phase::Created(instance) => {
                    change.action = Action::Delete;
                    change.reason = Reason::Pruned { id: instance.id.clone(), is_protected: record.is_protected };
                }
                Phase::Retiring(..) => change.action = Action::Delete,
                _ => {}
            }
        }
        self
    }

    /// The same, with a new instance for each of `names` that is declared and has one. Once that is done, it is not done again: as
    /// long as the record of the one that was replaced is kept.
    #[must_use]
    pub fn replacing(mut self, names: &[InstanceName], state: &State) -> Self {
        for change in self.changes.iter_mut().filter(|change| names.contains(&change.name)) {
            let Some(record) = state.record(&change.name) else { continue };
            let (Some(instance), None) = (record.instance(), state.replaced(&change.name)) else { continue };
            if matches!(change.action, Action::Orphan | Action::Delete) {
                continue;
            }
            let Some(aside) = name_aside(record, state) else { continue };
            let (id, is_protected) = (instance.id.clone(), record.is_protected);
            (change.action, change.exists_as) = (Action::Create, None);
            change.reason = Reason::Replaces { id, aside, is_protected };
        }
        self
    }

    /// The same, with nothing to be done for names that are not `selected`; what they are stays in it, and what is in doubt or to
    /// be finished stays what it is.
    #[must_use]
    pub fn limited_to(mut self, selected: &BTreeSet<InstanceName>) -> Self {
        for change in self.changes.iter_mut().filter(|change| !selected.contains(&change.name)) {
            if !matches!(change.action, Action::Hold | Action::Finish) {
                change.action = Action::Aside;
                change.renamed_from = None;
            }
        }
        self
    }

    /// How many instances exist or may exist before it is carried out.
    pub(super) fn existing(&self) -> usize {
        self.changes.iter().filter(|change| exists(change)).count()
    }

    /// How many there are to be once it is carried out.
    pub fn aim(&self) -> usize {
        self.existing() + self.with(Action::Create).count() - self.with(Action::Delete).count()
    }

    /// The names that get a new instance in the place of the one that they have, and what that is called from then on.
    pub fn replacements(&self) -> impl Iterator<Item = (&InstanceName, &InstanceName)> {
        self.with(Action::Create).filter_map(|change| match &change.reason {
            Reason::Replaces { aside, .. } => Some((&change.name, aside)),
            _ => None,
        })
    }
}

/// What a replaced instance is called: its name and its id, which no other has.
fn name_aside(record: &Record, state: &State) -> Option<InstanceName> {
    let id = record.id()?.as_str();
    let room = NAME_MAX.checked_sub(id.len() + 1)?;
    let stem: String = record.name.as_str().chars().take(room).collect();
    InstanceName::parse(&format!("{stem}.{id}")).ok().filter(|name| state.record(name).is_none())
}

/// Whether there is or may be an instance of it that is not to be created now.
pub(super) const fn exists(change: &Change) -> bool {
    let is_absent =
        matches!(change.reason, Reason::New | Reason::TriedBefore { .. } | Reason::Begun { .. } | Reason::Retired { .. });
    !matches!(change.action, Action::Create) && !is_absent
}

/// Whether a change does something, be it here or on the server.
pub(super) const fn acts(change: &Change) -> bool {
    matches!(change.action, Action::Create | Action::Delete | Action::Protect | Action::Unprotect | Action::Finish)
}
