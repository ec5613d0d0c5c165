//! What stops a run before anything is sent, and what the operator may say to answer it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Change, Plan, Reason};
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::listing::Listing;
use crate::price::{Amount, Currency, Prices};
use crate::state::State;

/// So many new instances pass unasked, however few exist.
const GROWTH_MIN: usize = 10;
/// So many of a hundred existing ones pass unasked.
const GROWTH_PERCENT: usize = 30;

/// A reason to stop before anything is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guard {
    /// The declared type differs from the recorded one.
    TypeChange {
        /// The name.
        name: InstanceName,
        /// What exists.
        recorded: InstanceType,
        /// What is declared.
        declared: InstanceType,
        /// The id of what exists.
        id: Option<InstanceId>,
    },
    /// The name is of an instance that was released.
    Released {
        /// The name.
        name: InstanceName,
        /// The instance.
        id: InstanceId,
    },
    /// It was deleted while it was declared.
    Recreate {
        /// The name.
        name: InstanceName,
        /// The id that it had.
        id: InstanceId,
    },
    /// A replacement was begun and not finished, and this run was not told to go on with it.
    HalfReplaced {
        /// The name.
        name: InstanceName,
        /// What it had.
        id: InstanceId,
        /// What that is called.
        aside: InstanceName,
    },
    /// More creates than the operator allows one run.
    Budget {
        /// How many the plan asks for.
        wanted: usize,
        /// How many are allowed.
        most: usize,
    },
    /// Many more creates than exist, nobody looks, and nobody has said how many are meant.
    Growth {
        /// How many the plan asks for.
        wanted: usize,
        /// How many exist.
        existing: usize,
        /// How many pass unasked.
        most: usize,
    },
    /// More a month than the operator allows.
    Cost {
        /// What it would be, with what exists.
        total: Amount,
        /// What is allowed.
        most: Amount,
        /// Of both.
        currency: Currency,
    },
    /// The operator limits the cost, and of a type in the plan nobody has said what it costs.
    Unpriced {
        /// The type.
        kind: InstanceType,
    },
    /// A new name and one that has just left, of one type.
    ProbableRename {
        /// The one that left.
        from: InstanceName,
        /// The new one.
        to: InstanceName,
        /// Their type.
        kind: InstanceType,
        /// What is known of the one that left.
        left: Left,
    },
    /// It is to be deleted, or replaced, and may not be.
    Protected {
        /// The name.
        name: InstanceName,
        /// The instance.
        id: InstanceId,
        /// It is declared, and to be replaced; else it is to be pruned.
        is_declared: bool,
    },
    /// It is to be deleted, and the server lists another thing under its id than is on record.
    Mistaken {
        /// The name.
        name: InstanceName,
        /// The id.
        id: InstanceId,
        /// The recorded type.
        recorded: InstanceType,
        /// The listed one, in the server's words.
        listed: String,
    },
    /// More deletes than the operator allows one run.
    Deletes {
        /// What the plan deletes.
        names: BTreeSet<InstanceName>,
        /// How many are allowed.
        most: usize,
    },
    /// Nothing at all is declared, so that everything would be deleted, and nobody has said that this is meant.
    Everything {
        /// These.
        names: BTreeSet<InstanceName>,
    },
    /// Instances are to be deleted, and nobody has confirmed how many.
    Unconfirmed {
        /// What the plan deletes.
        names: BTreeSet<InstanceName>,
    },
    /// The account has instances that this state neither knows nor has seen before.
    Strangers {
        /// How many the operator expects.
        allowed: usize,
        /// All of them, sorted.
        ids: Vec<InstanceId>,
    },
}

/// What is known of a name that a new one may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// It has left the manifest, and has an instance.
    Exists,
    /// It has left the manifest, and whether it has an instance is in doubt.
    InDoubt,
    /// It has left the manifest, and only lists called its instance gone.
    PresumedGone,
    /// It is declared, and was taken in as this just now: a lost run may have created it for the new name.
    TakenIn {
        /// Its id.
        id: InstanceId,
        /// An earlier run has taken it in; else this one would.
        is_recorded: bool,
    },
}

/// What the operator has said about a run, beside the manifest.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Creates at the most; none: nothing was said.
    pub max_creates: Option<usize>,
    /// Costs a month at the most, of everything.
    pub max_monthly_cost: Option<Amount>,
    /// Nobody looks at what happens: many new ones at once are more often a mistake.
    pub is_unattended: bool,
    /// How many instances there were to be after the last run that created any: what it could not create is no growth.
    pub aim: Option<u64>,
    /// Deletes at the most; none: nothing was said.
    pub max_deletes: Option<usize>,
    /// No manifest declares anything.
    pub is_nothing_declared: bool,
}

impl Plan {
    /// What forbids the run, whatever else it would do: nothing is sent while this is not empty.
    pub fn guards(&self, limits: &Limits, prices: Option<&Prices>) -> Vec<Guard> {
        let conflicts = self.with(Action::Conflict).filter_map(|change| match &change.reason {
            Reason::OtherType { recorded, id } => {
                Some(Guard::TypeChange { name: change.name.clone(), recorded: *recorded, declared: change.kind, id: id.clone() })
            }
            Reason::Released { id } => Some(Guard::Released { name: change.name.clone(), id: id.clone() }),
            _ => None,
        });
        let asked_for = self.changes.iter().filter_map(|change| match &change.reason {
            Reason::Retired { id, was_declared: true, .. } if change.action == Action::Create => {
                Some(Guard::Recreate { name: change.name.clone(), id: id.clone() })
            }
            Reason::Replacing { id, aside, was_asked: false } if change.action == Action::Create => {
                Some(Guard::HalfReplaced { name: change.name.clone(), id: id.clone(), aside: aside.clone() })
            }
            _ => None,
        });
        let from: BTreeSet<_> = self.changes.iter().filter_map(|change| change.renamed_from.as_ref()).collect();
        let are_left = self.changes.iter().filter(|change| !from.is_empty() && from.contains(&change.name));
        let of: BTreeMap<_, _> = are_left.map(|change| (&change.name, change)).collect();
        let renames = self.changes.iter().filter_map(|change| {
            let from = change.renamed_from.clone()?;
            let is_recorded = self.settlements.iter().all(|step| step.name != from || step.action != Action::Import);
            let left = left(of.get(&from).copied(), is_recorded);
            Some(Guard::ProbableRename { from, to: change.name.clone(), kind: change.kind, left })
        });
        let costs = limits.max_monthly_cost.into_iter().flat_map(|most| self.too_expensive(most, prices));
        let leaving = self.protected().chain(self.too_many_deletes(limits));
        conflicts.chain(asked_for).chain(renames).chain(leaving).chain(self.too_many(limits)).chain(costs).collect()
    }

    /// What is to go and may not.
    fn protected(&self) -> impl Iterator<Item = Guard> {
        let goes = |change: &&Change| matches!(change.action, Action::Delete | Action::Create);
        self.changes.iter().filter(goes).filter_map(|change| match &change.reason {
            Reason::Pruned { id, is_protected: true } | Reason::Replaces { id, is_protected: true, .. } => {
                let is_declared = change.action == Action::Create;
                Some(Guard::Protected { name: change.name.clone(), id: id.clone(), is_declared })
            }
            _ => None,
        })
    }

    fn too_many_deletes(&self, limits: &Limits) -> Option<Guard> {
        let names: BTreeSet<_> = self.with(Action::Delete).map(|change| change.name.clone()).collect();
        match limits.max_deletes {
            _ if names.is_empty() => None,
            most if limits.is_nothing_declared && most != Some(names.len()) => Some(Guard::Everything { names }),
            Some(most) => (names.len() > most).then_some(Guard::Deletes { names, most }),
            None => None,
        }
    }

    fn too_many(&self, limits: &Limits) -> Option<Guard> {
        let wanted = self.with(Action::Create).count();
        let existing = self.existing();
        if let Some(most) = limits.max_creates {
            return (wanted > most).then_some(Guard::Budget { wanted, most });
        }
        let most = GROWTH_MIN.max(existing * GROWTH_PERCENT / 100);
        let was_meant = limits.aim.is_some_and(|aim| (existing + wanted) as u64 <= aim);
        let is_much = limits.is_unattended && existing > 0 && wanted > most && !was_meant;
        is_much.then_some(Guard::Growth { wanted, existing, most })
    }

    /// Nothing new costs nothing more, whatever is spent already.
    fn too_expensive(&self, most: Amount, prices: Option<&Prices>) -> Vec<Guard> {
        let kinds: BTreeSet<_> = self.with(Action::Create).map(|change| change.kind).collect();
        if kinds.is_empty() {
            return Vec::new();
        }
        let cost = prices.map(|prices| self.cost(prices));
        let unpriced = cost.as_ref().map_or(kinds, |cost| cost.unpriced.clone());
        let unpriced = unpriced.into_iter().map(|kind| Guard::Unpriced { kind });
        let over = cost.filter(|cost| cost.total > most);
        let over = over.map(|cost| Guard::Cost { total: cost.total, most, currency: cost.currency });
        unpriced.chain(over).collect()
    }
}

/// What the plan has of a name that a new one may be; none: it changes nothing of it.
fn left(change: Option<&Change>, is_recorded: bool) -> Left {
    let is_declared = |action| matches!(action, Action::NoOp | Action::Protect | Action::Unprotect | Action::Aside);
    match change.map(|change| (change.action, &change.reason)) {
        None => Left::PresumedGone,
        Some((_, Reason::InDoubt { .. })) => Left::InDoubt,
        Some((action, Reason::Exists { id } | Reason::TokenMissing { id })) if is_declared(action) => {
            Left::TakenIn { id: id.clone(), is_recorded }
        }
        Some(_) => Left::Exists,
    }
}

/// What doubts explain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubts {
    /// One instance of its type each, if nothing was listed since.
    Explain,
    /// Nothing.
    ExplainNothing,
}

/// The ids of instances that `state` says exist and `listing` does not show: with one of these it is not to be believed.
pub fn missing(state: &State, listing: &Listing) -> Vec<InstanceId> {
    let listed: BTreeSet<&InstanceId> = listing.instances.iter().map(|instance| &instance.id).collect();
    state.managed_ids().filter(|id| !listed.contains(id)).cloned().collect()
}

/// The listed instances that `state` neither knows nor has seen in its newest list before, less those that its `doubts` explain: a
/// doubt may have created one instance of its type. Sorted.
///
/// A state that comes back from before a run, or a second one for the same account, shows here: what that run created is listed
/// and unknown.
pub fn strangers(state: &State, listing: &Listing, doubts: Doubts) -> Vec<InstanceId> {
    let (newest, seen) = state.newest_fence().unzip();
    let is_strange = |id: &InstanceId| !state.known_ids().contains_key(id) && seen.is_none_or(|seen| !seen.contains(id));
    let mut explained: BTreeMap<InstanceType, usize> = BTreeMap::new();
    for (record, ..) in state.doubts().filter(|(_, attempt, _)| doubts == Doubts::Explain && attempt.fence == newest) {
        *explained.entry(record.kind).or_default() += 1;
    }
    let mut strange: BTreeMap<&InstanceId, Option<InstanceType>> = BTreeMap::new();
    strange.extend(listing.instances.iter().filter(|it| is_strange(&it.id)).map(|it| (&it.id, it.kind)));
    // A server may give a type another name than we asked for: such a one may be of any doubt, after those that fit.
    let fits = |kind: Option<InstanceType>, explained: &mut BTreeMap<InstanceType, usize>| match kind {
        Some(kind) => explained.get_mut(&kind).filter(|left| **left > 0).map(|left| *left -= 1).is_some(),
        None => false,
    };
    strange.retain(|_, kind| !fits(*kind, &mut explained));
    let mut left: usize = explained.values().sum();
    strange.retain(|_, kind| {
        kind.is_some() || left == 0 || {
            left -= 1;
            false
        }
    });
    strange.into_keys().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::ListedInstance;
    use crate::plan::{Change, Reason};
    use crate::price::Currency;
    use crate::state::{AttemptId, Entry, Event, FORMAT, Lineage, Serial};

    const WA: InstanceType = InstanceType::WhatsApp;
    const DEV: InstanceType = InstanceType::WhatsAppDev;

    fn id(number: u32) -> InstanceId {
        InstanceId::parse(&number.to_string()).unwrap()
    }

    fn plan(creates: usize, existing: usize) -> Plan {
        let change = |number: usize| Change {
            name: InstanceName::parse(&format!("n{number}")).unwrap(),
            kind: WA,
            action: if number < creates { Action::Create } else { Action::NoOp },
            reason: if number < creates { Reason::New } else { Reason::Exists { id: id(7) } },
            exists_as: None,
            renamed_from: None,
        };
        Plan { changes: (0..creates + existing).map(change).collect(), ..Plan::default() }
    }

    #[test]
    fn growth_stops_only_where_nobody_looks_and_nothing_was_said() {
        // Creates, existing, said, unattended; whether it stops.
        let rows = [
            (10, 1, None, true, false, "ten pass beside one"),
            (11, 1, None, true, true, "eleven do not"),
            (500, 0, None, true, false, "a first apply is meant as it is"),
            (30, 100, None, true, false, "30 of a hundred"),
            (31, 100, None, true, true, "one more"),
            (11, 1, None, false, false, "a person looks"),
            (11, 1, Some(11), true, false, "it was said"),
            (11, 1, Some(10), false, true, "more than was said, and a person looks"),
            (0, 1, Some(0), true, false, "nothing is never too much"),
        ];
        for (creates, existing, max_creates, is_unattended, stops, why) in rows {
            let limits = Limits { max_creates, is_unattended, ..Limits::default() };
            assert_eq!(!plan(creates, existing).guards(&limits, None).is_empty(), stops, "{why}");
        }
    }

    #[test]
    fn a_cost_limit_needs_prices_and_stops_only_what_adds() {
        let prices = |kinds: &[InstanceType]| Prices {
            currency: Currency::try_from("EUR".to_owned()).unwrap(),
            per_month: kinds.iter().map(|kind| (*kind, "10".parse().unwrap())).collect(),
        };
        let stops = |creates, existing, most: &str, prices: Option<Prices>| {
            let limits = Limits { max_monthly_cost: Some(most.parse().unwrap()), ..Limits::default() };
            plan(creates, existing).guards(&limits, prices.as_ref()).len()
        };
        assert_eq!(stops(2, 3, "50", Some(prices(&[WA]))), 0);
        assert_eq!(stops(2, 3, "49.99", Some(prices(&[WA]))), 1);
        assert_eq!(stops(0, 3, "1", Some(prices(&[WA]))), 0, "nothing new costs nothing more");
        assert_eq!(stops(1, 0, "50", Some(prices(&[DEV]))), 1, "of another type there is a price");
        assert_eq!(stops(1, 0, "50", None), 1);
        assert_eq!(stops(0, 1, "50", None), 0);
    }

    /// A state that listed `fence` and has doubts of these types since.
    fn state(fence: &[u32], doubts: &[InstanceType]) -> State {
        let mut state = State::new(Lineage::from_bytes([1; 16]), Serial(1), FORMAT);
        let mut add = |event| {
            let entry = Entry { serial: state.serial.next(), at: jiff::Timestamp::UNIX_EPOCH, event };
            state.apply(&entry).unwrap();
            entry.serial
        };
        let fence = (!fence.is_empty()).then(|| add(Event::Listed { ids: fence.iter().map(|number| id(*number)).collect() }));
        for (number, kind) in doubts.iter().enumerate() {
            let attempt = AttemptId::typed(&format!("a-{number}"));
            let name = InstanceName::parse(&format!("doubt{number}")).unwrap();
            add(Event::Intent { attempt: attempt.clone(), name, kind: *kind, fence });
            add(Event::Sent { attempt });
        }
        let attempt = AttemptId::typed("a-made");
        add(Event::Intent { attempt: attempt.clone(), name: InstanceName::parse("made").unwrap(), kind: WA, fence });
        add(Event::Sent { attempt: attempt.clone() });
        let answer = crate::state::Answer { status: 200, complete: true, retry_after: None, body: vec![] };
        add(Event::Received { attempt: attempt.clone(), answer: answer.into() });
        add(Event::Created { attempt, id: id(1), api_url: None, token_in: None, token: None });
        state
    }

    #[test]
    fn p1_strangers_are_what_was_neither_made_nor_seen_nor_can_be_a_doubts() {
        type Row<'a> = (&'a [u32], &'a [InstanceType], &'a [(u32, Option<InstanceType>)], &'a [u32], &'a str);
        let rows: &[Row<'_>] = &[
            (&[], &[], &[], &[], "an empty list"),
            (&[], &[], &[(1, Some(WA))], &[], "ours"),
            (&[], &[], &[(1, Some(WA)), (2, Some(WA)), (3, None)], &[2, 3], "never seen"),
            (&[2], &[], &[(1, Some(WA)), (2, Some(WA)), (3, None)], &[3], "seen before"),
            (&[2], &[WA], &[(2, Some(WA)), (3, Some(WA))], &[], "a doubt may have made one"),
            (&[2], &[WA], &[(3, Some(WA)), (4, Some(WA))], &[4], "and no more than one"),
            (&[2], &[DEV], &[(3, Some(WA))], &[3], "and none of another type"),
            (&[2], &[DEV, WA], &[(3, Some(WA)), (4, None), (5, None)], &[5], "a type that we do not know may be any"),
            (&[2], &[WA], &[(3, None), (4, Some(WA))], &[3], "but comes after those that fit"),
        ];
        for (fence, doubts, listed, expected, why) in rows {
            let instances =
                listed.iter().map(|(number, kind)| ListedInstance { kind: *kind, ..ListedInstance::bare(id(*number), WA) });
            let listing = Listing { instances: instances.collect(), odd_items: 0 };
            let expected: Vec<_> = expected.iter().map(|number| id(*number)).collect();
            assert_eq!(strangers(&state(fence, doubts), &listing, Doubts::Explain), expected, "{why}");
        }
    }
}
