//! New instances in the place of those that names have, because it was said so: once for each, however often a job runs. And what was
//! replaced before and is still there. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Action, Change, Plan, Reason, is_usable};
use crate::instance::{InstanceId, InstanceName};
use crate::state::{Record, State};

/// A name that is to have a new instance in the place of the one that it has: `NAME`, or `NAME=ID` for that one and no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Replace {
    /// The name.
    pub name: InstanceName,
    /// What it has until then, where that was said.
    pub id: Option<InstanceId>,
}

/// What was asked for cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Irreplaceable {
    /// The name does not have that id, and did not before.
    #[error("`{name}` is to be replaced as {asked}, and has {}", .has.as_ref().map_or("no instance", InstanceId::as_str))]
    OtherId {
        /// The name.
        name: InstanceName,
        /// The id that was said.
        asked: InstanceId,
        /// The id that it has.
        has: Option<InstanceId>,
    },
    /// What it has cannot be called as what is replaced is called.
    #[error("`{name}` is to be replaced, and {id} cannot be called `{aside}` then: that name is taken")]
    Taken {
        /// The name.
        name: InstanceName,
        /// The id that it has.
        id: InstanceId,
        /// What that would be called.
        aside: String,
    },
}

impl Replace {
    fn admits(&self, id: &InstanceId) -> bool {
        self.id.as_ref().is_none_or(|asked| asked == id)
    }

    /// Whether it is about what `record` has now, in `state`; else it was done before, or there is nothing yet.
    fn is_due(&self, record: &Record, state: &State) -> bool {
        match (record.instance(), &self.id) {
            (Some(instance), Some(asked)) => instance.id == *asked,
            // A job that runs twice pays once, also where somebody has given the name back what it had.
            (Some(_), None) => state.replaced(&self.name).is_none() && state.replacement_of(record).is_none(),
            (None, _) => false,
        }
    }

    /// Why it cannot be done in `state`, where `is_declared` names have their place.
    pub fn check(&self, is_declared: impl Fn(&InstanceName) -> bool, state: &State) -> Result<(), Irreplaceable> {
        let record = state.record(&self.name);
        if let Some(asked) = self.id.as_ref().filter(|asked| !is_or_was(&self.name, asked, state)) {
            let has = record.and_then(Record::id).cloned();
            return Err(Irreplaceable::OtherId { name: self.name.clone(), asked: asked.clone(), has });
        }
        let Some(record) = record.filter(|record| self.is_due(record, state)) else { return Ok(()) };
        let is_free = state.name_aside(record).is_some_and(|aside| !is_declared(&aside));
        match record.id().filter(|_| !is_free) {
            Some(id) => {
                let (name, id) = (self.name.clone(), id.clone());
                Err(Irreplaceable::Taken { aside: name.aside(&id), name, id })
            }
            None => Ok(()),
        }
    }
}

impl FromStr for Replace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, id) = text.split_once('=').map_or((text, None), |(name, id)| (name, Some(id)));
        let name = InstanceName::parse(name).map_err(|error| error.to_string())?;
        let id = id.map(InstanceId::parse).transpose().map_err(|error| error.to_string())?;
        Ok(Self { name, id })
    }
}

impl TryFrom<String> for Replace {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Replace> for String {
    fn from(replace: Replace) -> Self {
        replace.to_string()
    }
}

impl fmt::Display for Replace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => write!(f, "{}={id}", self.name),
            None => write!(f, "{}", self.name),
        }
    }
}

impl Plan {
    /// The same, with a new instance for each of those `asked` for that is declared and has one; and a delete of what was replaced
    /// before, if that is not declared and has no name of its own. `is_protected` says what the manifest has of a name.
    ///
    /// Once a name alone was replaced, it is not replaced again as long as the record of what it had is kept; nor is what was replaced,
    /// whatever it is called since. What was begun is to be finished.
    #[must_use]
    pub fn replacing(mut self, asked: &[Replace], is_protected: impl Fn(&InstanceName) -> bool, state: &State) -> Self {
        if asked.is_empty() {
            return self;
        }
        let planned: BTreeSet<_> = self.changes.iter().map(|change| change.name.clone()).collect();
        for asked in asked {
            let Some(change) = self.changes.iter_mut().find(|change| change.name == asked.name) else { continue };
            if let Reason::Replacing { id, was_asked, .. } = &mut change.reason {
                *was_asked |= asked.admits(id);
            }
            let is_there = !matches!(change.action, Action::Orphan | Action::Delete | Action::Create);
            let Some(record) = state.record(&asked.name).filter(|_| is_there) else { continue };
            if let (true, Some(id)) = (asked.is_due(record, state), record.id()) {
                let Some(aside) = state.name_aside(record).filter(|aside| !planned.contains(aside)) else { continue };
                // What is protected from now on is protected from this.
                let is_protected = record.is_protected || is_protected(&asked.name);
                (change.action, change.exists_as) = (Action::Create, None);
                change.reason = Reason::Replaces { id: id.clone(), aside, is_protected };
            } else {
                self.delete_remainder(asked, state);
            }
        }
        self
    }

    /// What `asked` has replaced before is deleted, now that the new one can be used.
    fn delete_remainder(&mut self, asked: &Replace, state: &State) {
        let remainder = state.remainder(&asked.name).filter(|_| is_usable(state, &asked.name));
        let Some((old, id)) = remainder.and_then(|old| Some((old, old.id()?))).filter(|(_, id)| asked.admits(id)) else { return };
        let change = self.changes.iter_mut().find(|change| change.name == old.name);
        // What is declared is none of it, whatever it was.
        if let Some(change) = change.filter(|change| change.action == Action::Orphan) {
            change.action = Action::Delete;
            change.reason = Reason::Replaced { id: id.clone(), by: asked.name.clone() };
        }
    }

    /// What was replaced before and is to be deleted, each with the name that has another one since.
    pub fn remainders(&self) -> impl Iterator<Item = (&InstanceName, &InstanceName)> {
        self.with(Action::Delete).filter_map(|change| match &change.reason {
            Reason::Replaced { by, .. } => Some((&change.name, by)),
            _ => None,
        })
    }

    /// The same, where nobody says that what was replaced before may go: it stays.
    #[must_use]
    pub fn keeping_remainders(mut self) -> Self {
        for change in self.changes.iter_mut().filter(|change| change.action == Action::Delete) {
            if matches!(change.reason, Reason::Replaced { .. }) {
                change.action = Action::Orphan;
            }
        }
        self
    }

    /// The names that get a new instance in the place of the one that they have or had, and what that is called from then on.
    pub fn replacements(&self) -> impl Iterator<Item = (&InstanceName, &InstanceName)> {
        self.with(Action::Create).filter_map(|change| match &change.reason {
            Reason::Replaces { aside, .. } | Reason::Replacing { aside, .. } => Some((&change.name, aside)),
            _ => None,
        })
    }

    /// Of these the names that still have it.
    pub fn set_asides(&self) -> impl Iterator<Item = (&InstanceName, &InstanceName)> {
        self.with(Action::Create).filter_map(|change| match &change.reason {
            Reason::Replaces { aside, .. } => Some((&change.name, aside)),
            _ => None,
        })
    }
}

impl Change {
    /// Whether it is a delete of what one of those `asked` for has replaced before.
    pub fn is_remainder_of(&self, asked: &[Replace]) -> bool {
        matches!(&self.reason, Reason::Replaced { id, by } if asked.iter().any(|it| it.name == *by && it.admits(id)))
    }
}

/// Whether `name` has that id, or had it before it was replaced, be it several times.
fn is_or_was(name: &InstanceName, id: &InstanceId, state: &State) -> bool {
    let before = |record: &&Record| {
        let owner = state.known_ids().get(record.replaces.as_ref()?)?;
        state.record(owner).filter(|old| old.is_replaced)
    };
    let has_it = |record: &Record| record.id() == Some(id) || record.replaces.as_ref() == Some(id);
    // No more than there are: a state may say anything.
    let records = std::iter::successors(state.record(name), before).take(state.records().len());
    records.into_iter().any(has_it)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::InstanceType;
    use crate::instance::NAME_MAX;
    use crate::plan::plan;
    use crate::state::{Entry, Event, FORMAT, Lineage, Serial};

    fn name(text: &str) -> InstanceName {
        InstanceName::parse(text).unwrap()
    }

    fn with(state: &State, more: impl IntoIterator<Item = Event>) -> State {
        let mut state = state.clone();
        for event in more {
            let entry = Entry { serial: state.serial.next(), at: jiff::Timestamp::UNIX_EPOCH, event };
            state.apply(&entry).unwrap();
        }
        state
    }

    /// `a`, `b` and `c` exist as 1, 2 and 3.
    fn state(more: impl IntoIterator<Item = Event>) -> State {
        let begun = State::new(Lineage::from_bytes([1; 16]), Serial(1), FORMAT);
        let all = [("a", "1"), ("b", "2"), ("c", "3")].map(|(of, id)| Event::adopted(of, id));
        with(&with(&begun, all), more)
    }

    fn of(declared: &[&str], state: &State) -> Plan {
        plan(&declared.iter().map(|of| (name(of), InstanceType::WhatsApp)).collect(), state)
    }

    fn asked(text: &str) -> Vec<Replace> {
        text.split(' ').map(|one| one.parse().unwrap()).collect()
    }

    fn actions(plan: &Plan) -> String {
        plan.changes.iter().map(|change| format!("{} {}", change.name, change.action.as_str())).collect::<Vec<_>>().join(", ")
    }

    fn token_of(of: &str) -> Event {
        let token = crate::state::KeptSecret::Clear(crate::secret::Secret::new("token".to_owned()));
        Event::TokenSet { name: name(of), token, api_url: None }
    }

    /// `a` was replaced: 1 is `a.1`, and `a` is 9 and can be used.
    fn done() -> State {
        state([Event::Replacing { name: name("a"), to: name("a.1") }, Event::adopted("a", "9"), token_of("a")])
    }

    #[test]
    fn a_replacement_is_planned_once_and_only_of_what_exists() {
        let begun = state([]);
        let replaced = of(&["a", "d"], &begun).replacing(&asked("a d"), |_| false, &begun);
        assert_eq!(actions(&replaced), "a create, d create, b orphan, c orphan");
        assert_eq!(replaced.replacements().collect::<Vec<_>>(), [(&name("a"), &name("a.1"))]);
        let half = state([Event::Replacing { name: name("a"), to: name("a.1") }]);
        assert_eq!(actions(&of(&["a", "b"], &half).pruning(&half)), "a create, b no-op, a.1 orphan, c delete", "it is needed");
        let tokenless = with(&half, [Event::adopted("a", "9")]);
        let again = of(&["a"], &tokenless).replacing(&asked("a"), |_| false, &tokenless);
        assert_eq!(actions(&again), "a no-op, a.1 orphan, b orphan, c orphan", "what is there cannot be used");
        assert_eq!(actions(&again.pruning(&tokenless)), "a no-op, a.1 orphan, b delete, c delete", "its token is missing");
        let usable = done();
        assert_eq!(actions(&of(&["a"], &usable).pruning(&usable)), "a no-op, a.1 delete, b delete, c delete");
    }

    /// P9: what is declared, protected, or called otherwise since is no remainder.
    #[test]
    fn p9_what_was_replaced_is_deleted_only_as_long_as_it_has_no_place_of_its_own() {
        let done = done();
        let planned = |declared: &[&str], state: &State| of(declared, state).replacing(&asked("a"), |_| false, state);
        let plan = planned(&["a"], &done);
        assert_eq!(actions(&plan), "a no-op, a.1 delete, b orphan, c orphan");
        assert_eq!(plan.changes[1].reason.to_string(), "replaced by what is a now; exists as 1");
        assert_ne!(plan.checksum(None, "x").unwrap(), of(&["a"], &done).checksum(None, "x").unwrap(), "it is reviewed");
        assert_eq!(actions(&plan.keeping_remainders()), "a no-op, a.1 orphan, b orphan, c orphan");
        assert_eq!(actions(&planned(&["a", "a.1"], &done)), "a no-op, a.1 no-op, b orphan, c orphan");
        let renamed = with(&done, [Event::Moved { from: name("a.1"), to: name("keep") }]);
        assert_eq!(actions(&planned(&["a", "keep"], &renamed)), "a no-op, keep no-op, b orphan, c orphan");
        assert_eq!(actions(&planned(&["a"], &renamed)), "a no-op, b orphan, c orphan, keep orphan");
        let protected = with(&done, [Event::Protection { protected: vec![name("a.1")], unprotected: vec![] }]);
        assert_eq!(actions(&planned(&["a"], &protected)), "a no-op, a.1 orphan, b orphan, c orphan");
        // Renamed and back again it is what it was; replaced again it is a remainder.
        let back = with(&renamed, [Event::Replacing { name: name("keep"), to: name("keep.1") }, Event::adopted("keep", "10")]);
        let back = with(&back, [token_of("keep")]);
        assert_eq!(
            actions(&of(&["a", "keep"], &back).replacing(&asked("keep"), |_| false, &back)),
            "a no-op, keep no-op, b orphan, c orphan, keep.1 delete"
        );
    }

    /// P1: the mark of what was replaced follows its id: a `--replace a` that a job goes on saying pays once.
    #[test]
    fn p1_what_was_replaced_and_has_its_name_back_is_not_replaced_again_unless_its_id_is_said() {
        let to = |from: &str, to: &str| Event::Moved { from: name(from), to: name(to) };
        let swapped = with(&done(), [to("a", "new"), to("a.1", "a")]);
        let planned = |text: &str| actions(&of(&["a", "new"], &swapped).replacing(&asked(text), |_| false, &swapped));
        assert_eq!(planned("a"), "a no-op, new no-op, b orphan, c orphan");
        assert_eq!(planned("new"), planned("a"), "what it replaced has its place");
        assert_eq!(planned("a=1"), "a create, new no-op, b orphan, c orphan");
        // What replaced it has gone: it is nobody's former one.
        let gone = Event::Gone { name: name("new"), id: InstanceId::parse("9").unwrap(), grounds: String::new() };
        let alone = with(&swapped, [gone, Event::Forgotten { name: name("new") }]);
        assert_eq!(actions(&of(&["a"], &alone).replacing(&asked("a"), |_| false, &alone)), "a create, b orphan, c orphan");
    }

    /// P1: a job that says the id replaces that one, however often it runs.
    #[test]
    fn p1_a_name_with_an_id_is_replaced_as_that_and_once() {
        let done = done();
        let planned = |text: &str, state: &State| actions(&of(&["a"], state).replacing(&asked(text), |_| false, state));
        assert_eq!(planned("a=1", &done), "a no-op, a.1 delete, b orphan, c orphan");
        assert_eq!(planned("a=9", &done), "a create, a.1 orphan, b orphan, c orphan");
        let twice =
            with(&done, [Event::Replacing { name: name("a"), to: name("a.9") }, Event::adopted("a", "11"), token_of("a")]);
        assert_eq!(planned("a=9", &twice), "a no-op, a.1 orphan, a.9 delete, b orphan, c orphan");
        assert_eq!(planned("a=1", &twice), "a no-op, a.1 orphan, a.9 orphan, b orphan, c orphan");
        let check =
            |text: &str, state: &State| asked(text)[0].check(|name| name.as_str() == "b.2", state).map_err(|it| it.to_string());
        for spent in ["a=1", "a=9", "a=11", "a", "d"] {
            assert_eq!(check(spent, &twice), Ok(()), "{spent}");
        }
        assert_eq!(check("a=7", &twice).unwrap_err(), "`a` is to be replaced as 7, and has 11");
        assert_eq!(check("d=7", &twice).unwrap_err(), "`d` is to be replaced as 7, and has no instance");
        assert_eq!(
            check("b", &twice).unwrap_err(),
            "`b` is to be replaced, and 2 cannot be called `b.2` then: that name is taken"
        );
        assert_eq!(serde_json::to_string(&asked("a=1 b")).unwrap(), r#"["a=1","b"]"#);
        assert!("a=".parse::<Replace>().is_err() && "=1".parse::<Replace>().is_err());
    }

    #[test]
    fn a_name_of_full_length_makes_room_for_the_id() {
        let long = "n".repeat(NAME_MAX);
        let state = state([Event::Moved { from: name("a"), to: name(&long) }]);
        let aside = state.name_aside(state.record(&name(&long)).unwrap()).unwrap();
        assert_eq!(aside.as_str(), format!("{}.1", "n".repeat(NAME_MAX - 2)));
    }
}
