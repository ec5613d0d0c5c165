//! What a manifest says of instances that exist already, held against the state: what is still to be done, what was done before,
//! and what cannot be. The planner then works on a copy of the state in which it is done.
//!
//! Doubts come first, then names, then what is taken in: a name that was in doubt may move in the same run.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Action, Change, Plan, Reason, plan};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Span};
use crate::instance::{ApiUrl, InstanceId, InstanceName, InstanceType};
use crate::manifest::{Import, Manifest, Move, Resolution};
use crate::state::{Entry, Event, Grounds, Illegal, Phase, Record, State, Verdict};
use crate::text::closest;

/// Who stands behind what is settled this way.
const BY: &str = "the manifest";

/// One thing that is to be settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// An instance is taken in. The server has to list it, with that type.
    Import(Import),
    /// An instance has another name. Nothing has to be asked.
    Move(Move),
    /// A doubt is closed. The server's list must not speak against it.
    Resolve(Resolution),
}

/// What was seen when it was settled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The new ids that the server listed; none: it was not asked.
    pub candidates: Option<Vec<InstanceId>>,
    /// The instance's address, where the list told.
    pub api_url: Option<ApiUrl>,
}

/// What is to be settled, and the state as it is afterwards.
#[derive(Debug, Clone)]
pub struct Settled {
    /// In the order in which it is done, each with the change that a plan shows.
    pub steps: Vec<(Settlement, Change)>,
    /// Entries that have nothing to do any more: where they stand, and why.
    pub spent: Vec<(Place, String)>,
    /// The state with every step done.
    pub state: State,
}

impl Settlement {
    /// What the state takes in when it is done.
    pub fn event(&self, seen: Evidence) -> Event {
        let Evidence { candidates, api_url } = seen;
        match self {
            Self::Import(Import { name, id, kind, .. }) => {
                let source = "the server's list, named by the manifest".to_owned();
                Event::Adopted { name: name.clone(), kind: *kind, id: id.clone(), api_url, source, is_foreign: true }
            }
            Self::Move(Move { from, to, .. }) => Event::Moved { from: from.clone(), to: to.clone() },
            Self::Resolve(Resolution { attempt, created, .. }) => {
                let verdict = created.clone().map_or(Verdict::NotCreated, |id| Verdict::Created { id, api_url });
                let grounds = Grounds { by: BY.to_owned(), reason: None, candidates };
                Event::Resolved { attempt: attempt.clone(), verdict, grounds }
            }
        }
    }

    /// Whether the server's list has to be asked.
    pub const fn needs_list(&self) -> bool {
        !matches!(self, Self::Move(_))
    }

    /// Where it is said.
    pub const fn place(&self) -> &Place {
        match self {
            Self::Import(Import { place, .. }) | Self::Move(Move { place, .. }) | Self::Resolve(Resolution { place, .. }) => {
                place
            }
        }
    }
}

impl Settled {
    /// Nothing is to be settled.
    pub fn nothing(state: State) -> Self {
        Self { steps: Vec::new(), spent: Vec::new(), state }
    }

    /// `state`, which these steps were made for, with those done that `is_done`.
    pub fn part(&self, mut state: State, is_done: fn(&Settlement) -> bool) -> State {
        for (settlement, _) in self.steps.iter().filter(|(settlement, _)| is_done(settlement)) {
            let event = settlement.event(Evidence::default());
            // What depends on a step that is left out is left out too.
            let _ = state.apply(&Entry { serial: state.serial.next(), at: Timestamp::UNIX_EPOCH, event });
        }
        state
    }

    /// Plans `declared` against the state as it is afterwards, with what is settled before.
    pub fn plan(&self, declared: &BTreeMap<InstanceName, InstanceType>) -> Plan {
        let settlements = self.steps.iter().map(|(_, change)| change.clone()).collect();
        Plan { settlements, ..plan(declared, &self.state) }
    }
}

/// Holds what `manifest` says of existing instances against `state`. Reads nothing else.
pub fn settle(manifest: &Manifest, state: &State) -> Result<Settled, Diagnostics> {
    let said = &manifest.settlements;
    let mut work =
        Work { manifest, settled: Settled::nothing(state.clone()), problems: Diagnostics::new(), strays: BTreeSet::new() };
    if !said.moves.is_empty() {
        let is_stray = |record: &&Record| record.instance().is_some() && manifest.get(&record.name).is_none();
        work.strays.extend(state.records().values().filter(is_stray).map(|record| &record.name));
    }
    said.resolutions.iter().for_each(|resolution| work.resolve(resolution));
    said.moves.iter().for_each(|moved| work.rename(moved));
    said.imports.iter().for_each(|import| work.import(import));
    if work.problems.is_empty() { Ok(work.settled) } else { Err(work.problems) }
}

struct Work<'m> {
    manifest: &'m Manifest,
    settled: Settled,
    problems: Diagnostics,
    /// Names of instances that are not declared.
    strays: BTreeSet<&'m InstanceName>,
}

impl Work<'_> {
    fn record(&self, name: &InstanceName) -> Option<&Record> {
        self.settled.state.record(name)
    }

    /// Whose `id` is, of those that exist.
    fn owner(&self, id: &InstanceId) -> Option<&Record> {
        let owner = self.settled.state.known_ids().get(id)?;
        self.record(owner).filter(|record| !record.is_retired())
    }

    /// Whose `id` was, of those that are recorded as deleted.
    fn former_owner(&self, id: &InstanceId) -> Option<&Record> {
        self.settled.state.records().values().find(|record| has_had(record, id))
    }

    fn wrong(&mut self, place: &Place, summary: &str, help: &str) {
        self.problems.push(Diagnostic::error(summary).help(help).at(Span::at(place.position)).in_file(&place.file, 0));
    }

    fn spent(&mut self, place: &Place, why: String) {
        self.settled.spent.push((place.clone(), why));
    }

    /// Does it, in the copy.
    fn step(&mut self, settlement: Settlement, (name, kind): (&InstanceName, InstanceType), (action, reason): (Action, Reason)) {
        let event = settlement.event(Evidence::default());
        let state = &mut self.settled.state;
        let done: Result<(), Illegal> = state.apply(&Entry { serial: state.serial.next(), at: Timestamp::UNIX_EPOCH, event });
        match done {
            Ok(()) => {
                let change = Change { name: name.clone(), kind, action, reason, exists_as: None, renamed_from: None };
                self.settled.steps.push((settlement, change));
            }
            Err(illegal) => self.wrong(&settlement.place().clone(), &illegal.to_string(), "take the entry out"),
        }
    }

    fn resolve(&mut self, said: &Resolution) {
        let Resolution { name, attempt, created, place } = said;
        let Some(record) = self.record(name) else {
            return self.spent(place, format!("nothing is recorded under `{name}`"));
        };
        let (kind, open) = (record.kind, record.open_attempt().map(|open| open.id.clone()));
        match &record.phase {
            Phase::InDoubt(open, _) if open.id == *attempt => {}
            Phase::InDoubt(open, _) => {
                let summary = format!("the open attempt of `{name}` is {}, another one than {attempt}", open.id);
                return self.wrong(place, &summary, "look again: `chatapi doubts`; what was settled before can be taken out");
            }
            Phase::Intent(_) | Phase::Received(..) if open.as_ref() == Some(attempt) => {
                return self.spent(place, format!("attempt {attempt} of `{name}` is not in doubt: an apply concludes it"));
            }
            _ => return self.spent(place, format!("attempt {attempt} of `{name}` was settled before")),
        }
        if let Some((id, owner)) = created.as_ref().and_then(|id| Some((id, self.owner(id)?.name.clone()))) {
            let summary = format!("attempt {attempt} of `{name}` cannot have created {id}, which belongs to `{owner}`");
            return self.wrong(place, &summary, "look what the server lists: `chatapi doubts --refresh`");
        }
        if let Some((id, owner)) = created.as_ref().and_then(|id| Some((id, self.former_owner(id)?.name.clone()))) {
            let summary =
                format!("attempt {attempt} of `{name}` cannot have created {id}, which was `{owner}` and is recorded as deleted");
            return self.wrong(place, &summary, "look what the server lists: `chatapi doubts --refresh`");
        }
        let reason = Reason::Verdict { attempt: attempt.clone(), created: created.clone() };
        self.step(Settlement::Resolve(said.clone()), (name, kind), (Action::Settle, reason));
    }

    fn rename(&mut self, said: &Move) {
        let Move { from, to, place } = said;
        let there = self.record(to);
        let open = |name: &InstanceName| format!("`{name}` has an open attempt: whether it has an instance is not known");
        let first = "settle it first: `chatapi doubts`, or an entry of `resolutions`";
        if let Some(aside) = self.settled.state.half_replaced(from).map(|(old, _)| old.name.clone()) {
            let help = format!("what it had is `{aside}` now: move that, `{{from: {aside}, to: {to}}}`");
            return self.wrong(place, &format!("`{from}` is half replaced and has no instance"), &help);
        }
        if let Some(id) = self.record(from).and_then(Record::presumed_gone).filter(|_| there.is_none_or(|to| to.id().is_none())) {
            let summary = format!("`{from}` is recorded as gone, by lists alone: {id} may exist");
            let help = format!(
                "`chatapi apply --recreate {from}` asks the lists again, under its old name; if {id} is listed, `import` has it as `{to}`"
            );
            return self.wrong(place, &summary, &help);
        }
        let (kind, id) = match self.record(from).map(|record| (record.kind, record.phase.clone())) {
            None | Some((_, Phase::Absent { .. } | Phase::Intent(_) | Phase::Retired { .. })) => {
                let is_done = there.is_some_and(|record| record.id().is_some());
                let near = closest(from.as_str(), self.strays.iter().map(|stray| stray.as_str()));
                return match near.filter(|_| !is_done) {
                    _ if is_done => self.spent(place, format!("`{from}` is `{to}` already")),
                    None => self.spent(place, format!("no instance is recorded under `{from}`")),
                    // Created under its new name, it would be paid twice.
                    Some(near) => {
                        let help = format!("did you mean `{near}`, which is not declared? if not, take the entry out");
                        self.wrong(place, &format!("no instance is recorded under `{from}`"), &help);
                    }
                };
            }
            Some((_, Phase::InDoubt(..) | Phase::Received(..))) => return self.wrong(place, &open(from), first),
            Some((_, Phase::Released(_))) => {
                let help = format!("`chatapi release --undo {from}` manages it again; or take the entry out");
                return self.wrong(place, &format!("`{from}` was released and is not managed"), &help);
            }
            Some((_, Phase::Retiring(..))) => {
                let help = format!("`chatapi destroy {from}` finishes that; or take the entry out");
                return self.wrong(place, &format!("`{from}` is being deleted"), &help);
            }
            Some((kind, Phase::Created(instance))) => (kind, instance.id),
        };
        match there.map(|record| (&record.phase, record.status())) {
            None | Some((Phase::Absent { .. } | Phase::Retired { .. }, _)) => {}
            Some((Phase::Intent(_) | Phase::InDoubt(..) | Phase::Received(..), _)) => return self.wrong(place, &open(to), first),
            Some((_, status)) => {
                let summary = format!("`{from}` is recorded, and `{to}` too: that is {status}");
                let help = "a name has one instance: take the entry out, and declare both";
                return self.wrong(place, &summary, help);
            }
        }
        let reason = Reason::Renamed { from: from.clone(), id };
        self.step(Settlement::Move(said.clone()), (to, kind), (Action::Move, reason));
    }

    fn import(&mut self, said: &Import) {
        let Import { name, id, kind, place } = said;
        if self.record(name).is_some_and(|record| has_had(record, id)) {
            return self.spent(place, format!("`{name}` was {id}, which is recorded as deleted"));
        }
        let replaced = self.settled.state.replaced(name).filter(|old| old.id() == Some(id));
        if let Some(old) = replaced.map(|old| old.name.clone()) {
            return self.spent(place, format!("`{name}` was {id}, which was replaced and is `{old}`"));
        }
        if let Some(old) = self.former_owner(id).map(|old| old.name.clone()) {
            let help = format!("take the entry out; if the server lists {id} for good: `chatapi import {name} --id {id}`");
            return self.wrong(place, &format!("{id} was `{old}`, and is recorded as deleted"), &help);
        }
        match self.owner(id).map(|owner| (owner.name.clone(), owner.kind, owner.phase.clone())) {
            None => {}
            Some((owner, recorded, Phase::Created(_))) if owner == *name => {
                if recorded == *kind {
                    return self.spent(place, format!("`{name}` is {id} already"));
                }
                let summary = format!("`{name}` is imported as {kind}, and {id} is recorded as {recorded}");
                return self.wrong(place, &summary, "say what exists: a type cannot be changed");
            }
            Some((owner, _, Phase::Released(_))) => {
                let help = format!("`chatapi release --undo {owner}` manages it again");
                return self.wrong(place, &format!("{id} was released as `{owner}`: its record is kept, and its token"), &help);
            }
            Some((owner, ..)) if owner == *name => {
                let help = format!("`chatapi destroy {name}` finishes that; or take the entry out");
                return self.wrong(place, &format!("`{name}` is {id}, and is being deleted"), &help);
            }
            Some((owner, ..)) => {
                let help = if self.manifest.get(&owner).is_some() {
                    "take the entry out, or look at the server which id is meant".to_owned()
                } else {
                    format!("for another name write `moved: [{{from: {owner}, to: {name}}}]`")
                };
                return self.wrong(place, &format!("the id {id} belongs to `{owner}`"), &help);
            }
        }
        match self.record(name).map(|record| record.phase.clone()) {
            None | Some(Phase::Absent { .. } | Phase::Retired { .. }) => {}
            Some(Phase::InDoubt(open, _)) => {
                let summary = format!("`{name}` is in doubt: attempt {} may have created an instance", open.id);
                let help =
                    format!("if {id} is that one: `resolutions: [{{name: {name}, attempt: {}, created: \"{id}\"}}]`", open.id);
                return self.wrong(place, &summary, &help);
            }
            Some(Phase::Intent(open) | Phase::Received(open, _)) => {
                let summary = format!("`{name}` has an open attempt, {}", open.id);
                return self.wrong(place, &summary, "apply without this entry first: that concludes the attempt");
            }
            Some(Phase::Created(other) | Phase::Released(other) | Phase::Retiring(other, _)) => {
                let summary = format!("`{name}` is {} already, another one than {id}", other.id);
                return self.wrong(place, &summary, "give the imported one a name of its own");
            }
        }
        let reason = Reason::Foreign { id: id.clone() };
        self.step(Settlement::Import(said.clone()), (name, *kind), (Action::Import, reason));
    }
}

/// Whether the instance of this id was the record's, and is on record as deleted.
fn has_had(record: &Record, id: &InstanceId) -> bool {
    (record.is_retired() && record.id() == Some(id)) || record.former.iter().any(|former| former.id == *id)
}
