//! What the operator asks for beside creating what is missing: deleting what has left, replacing what exists, some names alone.
//!
//! Each takes a plan and gives another one. Pure, as the planner is.

use std::collections::BTreeSet;

use super::{Action, Change, Plan, Reason};
use crate::instance::InstanceName;
use crate::state::{Phase, Record, State};

impl Plan {
    /// The same, with what changes in what may be deleted: `is_protected` says what the manifest has of a name that it declares.
    #[must_use]
    pub fn protecting(mut self, is_protected: impl Fn(&InstanceName) -> bool, state: &State) -> Self {
        // Both are in the order of their names: nothing is looked up.
        let mut records = state.records().values().peekable();
        let declared = self.changes.iter_mut().filter(|change| change.action == Action::NoOp);
        for change in declared {
            while records.next_if(|record| record.name < change.name).is_some() {}
            let Some(record) = records.next_if(|record| record.name == change.name) else { continue };
            match (record.is_protected, is_protected(&change.name)) {
                (false, true) => change.action = Action::Protect,
                (true, false) => change.action = Action::Unprotect,
                _ => {}
            }
        }
        self
    }

    /// The same, with a delete of everything that is managed and no longer declared. What is in doubt is none of it; nor is what was
    /// replaced, as long as the new one is declared and cannot be used yet.
    #[must_use]
    pub fn pruning(mut self, state: &State) -> Self {
        let is_declared = |change: &&Change| !matches!(change.action, Action::Orphan | Action::Delete);
        let declared: BTreeSet<_> = self.changes.iter().filter(is_declared).map(|change| change.name.clone()).collect();
        let is_awaited =
            |new: &&Record| new.open_attempt().is_some() || declared.contains(&new.name) && !is_usable(state, &new.name);
        let new = state.records().values().filter(|record| record.replaces.is_some()).filter(is_awaited);
        let needed: BTreeSet<_> = new.filter_map(|new| state.replaced(&new.name)).map(|old| &old.name).collect();
        let is_orphan = |change: &&mut Change| change.action == Action::Orphan && !needed.contains(&change.name);
        for change in self.changes.iter_mut().filter(is_orphan) {
            let Some(record) = state.record(&change.name) else { continue };
            match &record.phase {
                Phase::Created(instance) => {
                    change.action = Action::Delete;
                    change.reason = Reason::Pruned { id: instance.id.clone(), is_protected: record.is_protected };
                }
                Phase::Retiring(instance, _) if record.is_protected => {
                    change.action = Action::Delete;
                    change.reason = Reason::Pruned { id: instance.id.clone(), is_protected: true };
                }
                Phase::Retiring(..) => change.action = Action::Delete,
                _ => {}
            }
        }
        self
    }

    /// The same, with nothing to be done for names that are not `selected`; what they are stays in it, and what is in doubt or to
    /// be finished stays what it is.
    #[must_use]
    pub fn limited_to(mut self, selected: &BTreeSet<InstanceName>) -> Self {
        let is_selected = |change: &Change| match &change.reason {
            Reason::Replaced { by, .. } if change.action == Action::Delete => selected.contains(by),
            _ => selected.contains(&change.name),
        };
        for change in self.changes.iter_mut().filter(|change| !is_selected(change)) {
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
}

/// Whether `name` has an instance that can be used: one whose token is known.
pub fn is_usable(state: &State, name: &InstanceName) -> bool {
    state.record(name).is_some_and(|record| record.status() == "created")
}

/// Whether there is or may be an instance of it that is not to be created now.
pub(super) const fn exists(change: &Change) -> bool {
    let is_absent = matches!(
        change.reason,
        Reason::New | Reason::TriedBefore { .. } | Reason::Begun { .. } | Reason::Retired { .. } | Reason::Replacing { .. }
    );
    !matches!(change.action, Action::Create) && !is_absent
}

/// Whether a change does something, be it here or on the server.
pub(super) const fn acts(change: &Change) -> bool {
    matches!(change.action, Action::Create | Action::Delete | Action::Protect | Action::Unprotect | Action::Finish)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::{InstanceId, InstanceType};
    use crate::plan::{Guard, Limits, plan};
    use crate::state::{Entry, Event, FORMAT, Lineage, Serial};

    fn name(text: &str) -> InstanceName {
        InstanceName::parse(text).unwrap()
    }

    /// `a`, `b` and `c` exist as 1, 2 and 3; `c` is protected.
    fn state(more: impl IntoIterator<Item = Event>) -> State {
        let mut state = State::new(Lineage::from_bytes([1; 16]), Serial(1), FORMAT);
        let adopted = [("a", "1"), ("b", "2"), ("c", "3")].map(|(of, id)| Event::adopted(of, id));
        let protected = Event::Protection { protected: vec![name("c")], unprotected: Vec::new() };
        for event in adopted.into_iter().chain([protected]).chain(more) {
            let entry = Entry { serial: state.serial.next(), at: jiff::Timestamp::UNIX_EPOCH, event };
            state.apply(&entry).unwrap();
        }
        state
    }

    fn of(declared: &[&str], state: &State) -> Plan {
        plan(&declared.iter().map(|of| (name(of), InstanceType::WhatsApp)).collect(), state)
    }

    fn actions(plan: &Plan) -> String {
        plan.changes.iter().map(|change| format!("{} {}", change.name, change.action.as_str())).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn p9_only_what_is_managed_and_not_declared_is_pruned_and_nothing_protected_passes() {
        let state = state([Event::Released { name: name("b") }]);
        let pruned = of(&["d"], &state).pruning(&state);
        assert_eq!(actions(&pruned), "d create, a delete, c delete");
        assert_eq!((pruned.existing(), pruned.aim()), (2, 1));
        let protected = Guard::Protected { name: name("c"), id: InstanceId::parse("3").unwrap(), is_declared: false };
        assert!(pruned.guards(&Limits::default(), None).contains(&protected));
        let all = Limits { is_nothing_declared: true, max_deletes: Some(3), ..Limits::default() };
        assert!(
            of(&[], &state)
                .pruning(&state)
                .guards(&all, None)
                .contains(&Guard::Everything { names: [name("a"), name("c")].into() })
        );
        let few = Limits { max_deletes: Some(1), ..Limits::default() };
        assert!(pruned.guards(&few, None).contains(&Guard::Deletes { names: [name("a"), name("c")].into(), most: 1 }));
        assert_ne!(
            pruned.checksum(None, "x").unwrap(),
            of(&["d"], &state).checksum(None, "x").unwrap(),
            "deletes are reviewed too"
        );
    }

    #[test]
    fn what_is_not_selected_is_left_aside_and_counts_as_what_it_is() {
        let state = state([]);
        let plan = of(&["a", "d", "e"], &state).pruning(&state).limited_to(&[name("d"), name("b")].into());
        assert_eq!(actions(&plan), "a aside, d create, e aside, b delete, c aside");
        assert_eq!((plan.existing(), plan.aim()), (3, 3), "`e` is not there, and is not to be");
        assert!(plan.guards(&Limits::default(), None).iter().all(|guard| !matches!(guard, Guard::Protected { .. })));
    }

    #[test]
    fn protection_changes_only_what_exists_and_differs() {
        let state = state([]);
        let plan = of(&["a", "b", "c", "d"], &state).protecting(|it| ["a", "d"].contains(&it.as_str()), &state);
        assert_eq!(actions(&plan), "a protect, b no-op, c unprotect, d create");
    }
}
