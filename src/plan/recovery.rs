//! What can be concluded about attempts that a run left open: from the machine, and from the server's list. Pure.

use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

use super::settling::{Moment, Settling, absence};
use crate::instance::{ApiUrl, InstanceId, InstanceName, InstanceType};
use crate::listing::Listing;
use crate::state::{Attempt, AttemptId, Doubt, Record, Serial, State};

/// Why the intent of `attempt` without a `sent` record proves that nothing was sent; none: it does not prove it.
///
/// The record is written and synced before the request is let go. It can only be missing if it was never written, unless the
/// machine has lost its page cache since (another `boot`) and the file system does not keep what was synced
/// (`keeps_what_is_synced`).
pub fn unsent_proof(attempt: &Attempt, boot: Option<&str>, keeps_what_is_synced: bool) -> Option<&'static str> {
    let then = attempt.run.as_ref().and_then(|run| run.boot.as_deref());
    match (then, boot) {
        (Some(then), Some(now)) if then == now => Some("the run ended before it was sent"),
        _ if keeps_what_is_synced => Some("the run ended before it was sent, on a file system that keeps what is synced"),
        _ => None,
    }
}

/// An instance that the server lists, that was not there before an attempt, and that the state does not know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// Its id.
    pub id: InstanceId,
    /// Its address.
    pub api_url: Option<ApiUrl>,
}

/// What a list says about the open doubts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidates {
    /// Whether the list can be believed: every item readable, and showing every instance that is known to exist.
    pub is_credible: bool,
    /// The listed ids that were there before an attempt or belong to a name: a list without any proves no absence.
    pub old: BTreeSet<InstanceId>,
    /// Ids that may be ours, by type.
    pub of: BTreeMap<InstanceType, Vec<Candidate>>,
    /// New ids of a type that we do not know: they prove nothing, and speak against every absence.
    pub strange: Vec<InstanceId>,
}

impl Candidates {
    /// Ids listed now, less those that belong to a name, less those that every fence of an open doubt has.
    pub fn from_listing(state: &State, listing: &Listing) -> Self {
        let known = state.known_ids();
        let listed: BTreeSet<&InstanceId> = listing.instances.iter().map(|instance| &instance.id).collect();
        let serials: BTreeSet<_> = state.doubts().filter_map(|(_, attempt, _)| attempt.fence).collect();
        let fences: Vec<_> = serials.iter().filter_map(|serial| state.fences().get(serial)).collect();
        let mut candidates = Self {
            is_credible: listing.odd_items == 0 && state.managed_ids().all(|id| listed.contains(id)),
            old: BTreeSet::new(),
            of: BTreeMap::new(),
            strange: Vec::new(),
        };
        // What a name had before is no news, and was created by no attempt that is open.
        let former: BTreeSet<&InstanceId> = state.former().map(|(former, _)| &former.id).collect();
        for instance in listing.instances.iter().filter(|instance| !former.contains(&instance.id)) {
            let is_known = known.contains_key(&instance.id);
            if is_known || fences.iter().any(|fence| fence.contains(&instance.id)) {
                candidates.old.insert(instance.id.clone());
            }
            if is_known || !fences.iter().any(|fence| !fence.contains(&instance.id)) {
                continue;
            }
            let candidate = Candidate { id: instance.id.clone(), api_url: instance.api_url.clone() };
            match instance.kind {
                Some(kind) => candidates.of.entry(kind).or_default().push(candidate),
                None => candidates.strange.push(candidate.id),
            }
        }
        candidates
    }

    /// The candidates of `kind`.
    pub fn of_kind(&self, kind: InstanceType) -> &[Candidate] {
        self.of.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// Those of `kind` that are new since `attempt`.
    pub fn new_to(&self, state: &State, attempt: &Attempt, kind: InstanceType) -> Vec<&Candidate> {
        self.of_kind(kind).iter().filter(|candidate| state.is_new_to(attempt, &candidate.id)).collect()
    }

    /// Every new id, all types, sorted.
    pub fn ids(&self) -> Vec<InstanceId> {
        let known = self.of.values().flatten().map(|candidate| &candidate.id);
        let ids: BTreeSet<_> = known.chain(&self.strange).cloned().collect();
        ids.into_iter().collect()
    }
}

/// What the evidence proposes for one doubt. Carried out by itself only where the operator declared the account exclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proposal {
    /// It exists as this.
    Exists(Candidate),
    /// It was not created.
    NotCreated,
    /// It may not have been created; that counts from this moment on.
    NotYetSettled {
        /// When.
        at: Timestamp,
    },
    /// The list does not tell.
    Unknown {
        /// Why not.
        why: &'static str,
    },
}

/// What `candidates` propose for every doubt. `is_agreeing`: an earlier list, at least [`Settling::between`] ago, had the same
/// candidates.
pub fn propose(
    state: &State,
    candidates: &Candidates,
    is_agreeing: bool,
    now: Moment<'_>,
    settling: Settling,
) -> BTreeMap<InstanceName, (AttemptId, Proposal)> {
    let mut doubts: Vec<OpenDoubt<'_>> = state.doubts().collect();
    // An id may be new to an older attempt and known to a later one, never the other way round: who has less choice is
    // served first, and among equals the older attempt.
    doubts.sort_by_key(|(record, attempt, doubt)| (std::cmp::Reverse(attempt.fence), doubt.since, &record.name));
    let mut left = candidates.clone();
    let matched: Vec<_> = doubts.into_iter().map(|doubt| (doubt, take(state, &mut left, doubt))).collect();
    let gone = gone(state, candidates);
    let is_haunted = |attempt: &Attempt| is_haunted(state, attempt, &gone);
    let taken = matched.iter().filter(|((_, attempt, _), _)| is_haunted(attempt));
    let taken: Vec<InstanceId> = taken.filter_map(|(_, found)| Some(found.as_ref()?.id.clone())).collect();
    let left = unexplained(state, left.ids().into_iter().chain(taken).collect(), &matched);
    let proposal = |((record, attempt, doubt), found): (OpenDoubt<'_>, Option<Candidate>)| {
        let obstacle = obstacle(state, candidates, (attempt, is_haunted(attempt)), is_crowded(state, attempt, &left));
        let proposal = match (obstacle, found) {
            (Some(why), _) => Proposal::Unknown { why },
            (None, Some(candidate)) => Proposal::Exists(candidate),
            (None, None) if candidates.old.is_empty() => {
                Proposal::Unknown { why: "a list that shows nothing old proves nothing" }
            }
            (None, None) => absence((attempt, doubt), is_agreeing, now, settling),
        };
        (record.name.clone(), (attempt.id.clone(), proposal))
    };
    matched.into_iter().map(proposal).collect()
}

/// What earlier lists have shown, each with its list, and this one does not.
fn gone<'s>(state: &'s State, candidates: &Candidates) -> Vec<(Serial, &'s InstanceId)> {
    let new: BTreeSet<InstanceId> = candidates.ids().into_iter().collect();
    let mut gone = state.seen();
    gone.retain(|(_, id)| !candidates.old.contains(*id) && !new.contains(*id));
    gone
}

/// Whether a list since `attempt` has shown what may be its instance, and is `gone`.
fn is_haunted(state: &State, attempt: &Attempt, gone: &[(Serial, &InstanceId)]) -> bool {
    let is_since = |list: Serial| attempt.fence.is_some_and(|before| list > before);
    gone.iter().any(|(list, id)| is_since(*list) && state.is_new_to(attempt, id))
}

type OpenDoubt<'a> = (&'a Record, &'a Attempt, &'a Doubt);

/// The ids that no doubt takes for certain: `left`, and what a doubt has taken that could as well be another one of them, whose
/// own instance may be anybody's then.
fn unexplained(state: &State, mut left: Vec<InstanceId>, matched: &[(OpenDoubt<'_>, Option<Candidate>)]) -> Vec<InstanceId> {
    loop {
        let taken = matched.iter().filter_map(|((_, attempt, _), found)| Some((attempt, &found.as_ref()?.id)));
        let uncertain = taken.filter(|(attempt, id)| !left.contains(id) && is_crowded(state, attempt, &left));
        let more: Vec<InstanceId> = uncertain.map(|(_, id)| id.clone()).collect();
        if more.is_empty() {
            return left;
        }
        left.extend(more);
    }
}

/// Whether one of `left` may be the instance of `attempt`.
fn is_crowded(state: &State, attempt: &Attempt, left: &[InstanceId]) -> bool {
    left.iter().any(|id| state.is_new_to(attempt, id))
}

/// Takes the first candidate of the doubt's type that is new to it.
fn take(state: &State, left: &mut Candidates, (record, attempt, _): OpenDoubt<'_>) -> Option<Candidate> {
    let of_kind = left.of.get_mut(&record.kind)?;
    let at = of_kind.iter().position(|candidate| state.is_new_to(attempt, &candidate.id))?;
    Some(of_kind.remove(at))
}

/// Why the list tells nothing about an attempt. `is_haunted`: a list since has shown what may be it, and this one does not.
fn obstacle(
    state: &State,
    candidates: &Candidates,
    (attempt, is_haunted): (&Attempt, bool),
    is_crowded: bool,
) -> Option<&'static str> {
    if !candidates.is_credible {
        return Some("the list cannot be believed: it is incomplete, or does not show what exists");
    }
    if state.fence_of(attempt).is_none() {
        return Some("nothing was listed before the attempt, so any listed instance may be older");
    }
    if is_haunted {
        return Some("a list since the attempt has shown an instance that may be it, and is not listed now");
    }
    // Whatever its type: a server may call it otherwise than we asked for.
    is_crowded.then_some("more new instances than doubts: somebody else creates on this account, or types have other names here")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::listing::ListedInstance;
    use crate::state::{Entry, Event, Lineage, Run, Serial, Who};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn id(text: &str) -> InstanceId {
        InstanceId::parse(text).unwrap()
    }

    /// A state that listed `fence`, knows `known`, and has doubts under the names of `doubts`, at one second each.
    fn state(fence: Option<&[&str]>, known: &[&str], doubts: &[&str]) -> State {
        let mut state = State::new(Lineage::from_bytes([1; 16]), Serial(1), crate::state::FORMAT);
        let mut second = 0;
        let mut add = |event| {
            second += 1;
            let entry = Entry { serial: state.serial.next(), at: at(second), event };
            state.apply(&entry).unwrap();
            state.serial
        };
        for known in known {
            let name = InstanceName::parse(&format!("known-{known}")).unwrap();
            add(Event::Adopted {
                name,
                kind: InstanceType::WhatsApp,
                id: id(known),
                api_url: None,
                source: "test".into(),
                is_foreign: false,
            });
        }
        let fence = fence.map(|ids| add(Event::Listed { ids: ids.iter().map(|text| id(text)).collect() }));
        for doubt in doubts {
            let attempt = AttemptId::typed(&format!("a-{doubt}"));
            let name = InstanceName::parse(doubt).unwrap();
            add(Event::Intent { attempt: attempt.clone(), name, kind: InstanceType::WhatsApp, fence });
            add(Event::Sent { attempt });
        }
        state
    }

    fn listing(ids: &[&str]) -> Listing {
        let item = |text: &&str| ListedInstance::bare(id(text), InstanceType::WhatsApp);
        Listing { instances: ids.iter().map(item).collect(), odd_items: 0 }
    }

    fn proposals(state: &State, listing: &Listing, agreeing: bool, now: i64) -> Vec<String> {
        let candidates = Candidates::from_listing(state, listing);
        let settling = Settling { after: Duration::from_secs(100), between: Duration::from_secs(5) };
        let now = Moment { wall: at(now), boot: None, up: None };
        let proposals = propose(state, &candidates, agreeing, now, settling);
        let show = |(name, (_, proposal)): (&InstanceName, &(AttemptId, Proposal))| match proposal {
            Proposal::Exists(candidate) => format!("{name}={}", candidate.id),
            Proposal::NotCreated => format!("{name}=absent"),
            Proposal::NotYetSettled { .. } => format!("{name}=wait"),
            Proposal::Unknown { .. } => format!("{name}=?"),
        };
        proposals.iter().map(show).collect()
    }

    /// Fence, doubts, listed ids, whether a second list agrees, the second of asking, proposals, why.
    type Row = (
        Option<&'static [&'static str]>,
        &'static [&'static str],
        &'static [&'static str],
        bool,
        i64,
        &'static [&'static str],
        &'static str,
    );

    #[test]
    fn p16_the_resolver_table() {
        let known: &[&str] = &["1"];
        let rows: &[Row] = &[
            (Some(&["1"]), &["x"], &["1", "2"], false, 10, &["x=2"], "one new, one doubt"),
            (Some(&["1"]), &["x"], &["1"], true, 10, &["x=wait"], "absent, too soon"),
            (Some(&["1"]), &["x"], &["1"], false, 1_000, &["x=wait"], "absent, one list only"),
            (Some(&["1"]), &["x"], &["1"], true, 1_000, &["x=absent"], "absent, settled, two lists"),
            (Some(&["1"]), &["x"], &[], true, 1_000, &["x=?"], "an empty list is no evidence"),
            (Some(&["1"]), &["x"], &["2"], true, 1_000, &["x=?"], "the list lacks what exists"),
            (Some(&["1"]), &["x"], &["1", "2", "3"], true, 1_000, &["x=?"], "more new ones than doubts"),
            (Some(&["1", "2"]), &["x"], &["1", "2"], true, 1_000, &["x=absent"], "2 was there before"),
            (
                Some(&["1"]),
                &["x", "y"],
                &["1", "2", "3"],
                false,
                10,
                &["x=2", "y=3"],
                "two new, two doubts: the order is arbitrary",
            ),
            (Some(&["1"]), &["x", "y"], &["1", "2"], false, 10, &["x=2", "y=wait"], "one new, two doubts: the older takes it"),
            (None, &["x"], &["1", "2"], true, 1_000, &["x=?"], "without a fence nothing is new"),
        ];
        for (fence, doubts, listed, agreeing, now, expected, why) in rows {
            assert_eq!(proposals(&state(*fence, known, doubts), &listing(listed), *agreeing, *now), *expected, "{why}");
        }
    }

    #[test]
    fn p16_an_account_without_anything_known_gives_no_evidence_of_absence() {
        let state = state(Some(&[]), &[], &["x"]);
        assert_eq!(proposals(&state, &listing(&[]), true, 1_000), ["x=?"]);
        assert_eq!(proposals(&state, &listing(&["2"]), true, 1_000), ["x=2"], "but what is there is there");
    }

    #[test]
    fn p1_a_later_fence_does_not_hide_the_instance_of_an_older_doubt() {
        // x in doubt made 2; the next run's fence shows 2 already, and its y is in doubt as well.
        let mut state = state(Some(&["1"]), &["1"], &["x"]);
        let mut add = |event| {
            let entry = Entry { serial: state.serial.next(), at: at(50), event };
            state.apply(&entry).unwrap();
            state.serial
        };
        let fence = Some(add(Event::Listed { ids: vec![id("1"), id("2")] }));
        let attempt = AttemptId::typed("a-y");
        let name = InstanceName::parse("y").unwrap();
        add(Event::Intent { attempt: attempt.clone(), name, kind: InstanceType::WhatsApp, fence });
        add(Event::Sent { attempt });
        assert_eq!(proposals(&state, &listing(&["1", "2"]), true, 1_000), ["x=2", "y=absent"]);
        assert_eq!(proposals(&state, &listing(&["1", "2", "3"]), true, 1_000), ["x=2", "y=3"]);
        assert_eq!(proposals(&state, &listing(&["1", "3"]), true, 1_000), ["x=?", "y=3"], "2 was listed since, and may be x");
    }

    #[test]
    fn p16_candidates_are_told_by_type_and_all_together() {
        let state = state(Some(&["1"]), &["1"], &["x"]);
        let mut shown = listing(&["1", "4", "3", "2"]);
        shown.instances[1].kind = None;
        shown.instances[2].kind = Some(InstanceType::WhatsAppDev);
        let candidates = Candidates::from_listing(&state, &shown);
        let of = |kind| candidates.of_kind(kind).iter().map(|candidate| candidate.id.clone()).collect::<Vec<_>>();
        assert_eq!((of(InstanceType::WhatsApp), of(InstanceType::WhatsAppDev)), (vec![id("2")], vec![id("3")]));
        assert_eq!(candidates.ids(), [id("2"), id("3"), id("4")]);
    }

    #[test]
    fn p1_a_new_instance_of_another_or_unknown_type_speaks_against_an_absence() {
        let state = state(Some(&["1"]), &["1"], &["x"]);
        for kind in [None, Some(InstanceType::WhatsAppDev)] {
            let mut other = listing(&["1", "2"]);
            other.instances[1].kind = kind;
            assert_eq!(proposals(&state, &other, true, 1_000), ["x=?"], "{kind:?}");
        }
    }

    #[test]
    fn p1_a_list_that_shows_nothing_old_proves_no_absence() {
        let state = state(Some(&["1"]), &[], &["x"]);
        assert_eq!(proposals(&state, &listing(&[]), true, 1_000), ["x=?"]);
        assert_eq!(proposals(&state, &listing(&["1"]), true, 1_000), ["x=absent"]);
    }

    #[test]
    fn p16_two_candidates_for_one_attempt_are_ambiguous_whatever_others_are_in_doubt() {
        let mut state = state(Some(&["1"]), &["1"], &["x"]);
        let mut add = |event| {
            let entry = Entry { serial: state.serial.next(), at: at(50), event };
            state.apply(&entry).unwrap();
            state.serial
        };
        let fence = Some(add(Event::Listed { ids: ["1", "2", "3"].map(id).to_vec() }));
        let attempt = AttemptId::typed("a-y");
        let name = InstanceName::parse("y").unwrap();
        add(Event::Intent { attempt: attempt.clone(), name, kind: InstanceType::WhatsApp, fence });
        add(Event::Sent { attempt });
        assert_eq!(proposals(&state, &listing(&["1", "2", "3"]), true, 1_000), ["x=?", "y=absent"]);
    }

    #[test]
    fn p1_what_an_ambiguous_doubt_might_take_speaks_against_the_absence_of_another_type() {
        let mut state = state(Some(&["1"]), &["1"], &["x"]);
        let mut add = |event| {
            let entry = Entry { serial: state.serial.next(), at: at(50), event };
            state.apply(&entry).unwrap();
            state.serial
        };
        let fence = Some(add(Event::Listed { ids: ["1", "2"].map(id).to_vec() }));
        let attempt = AttemptId::typed("a-y");
        let name = InstanceName::parse("y").unwrap();
        add(Event::Intent { attempt: attempt.clone(), name, kind: InstanceType::WhatsAppDev, fence });
        add(Event::Sent { attempt });
        // 2 and 3 may both be x; so 3 may be y, under another name for its type.
        let mut listed = listing(&["1", "3", "2"]);
        assert_eq!(proposals(&state, &listed, true, 1_000), ["x=?", "y=?"]);
        listed.instances.pop();
        assert_eq!(proposals(&state, &listed, true, 1_000), ["x=?", "y=?"], "2 was listed since, and may be x");
        let nothing = listing(&["1", "2"]);
        assert_eq!(proposals(&state, &nothing, true, 1_000), ["x=2", "y=absent"]);
    }

    #[test]
    fn p16_an_odd_item_makes_a_list_unbelievable() {
        let state = state(Some(&["1"]), &["1"], &["x"]);
        let odd = Listing { odd_items: 1, ..listing(&["1"]) };
        assert_eq!(proposals(&state, &odd, true, 1_000), ["x=?"]);
    }

    #[test]
    fn an_intent_is_proven_unsent_by_the_boot_or_by_the_file_system() {
        let run = |boot: Option<&str>| Some(Run { who: Who::default(), boot: boot.map(str::to_owned), begun: None, aim: None });
        let attempt = |boot| Attempt { id: AttemptId::typed("a"), fence: None, since: at(0), run: run(boot).map(Into::into) };
        for (then, now, keeps, proven, why) in [
            (Some("b1"), Some("b1"), false, true, "the page cache survived"),
            (Some("b1"), Some("b2"), false, false, "the machine restarted"),
            (Some("b1"), Some("b2"), true, true, "what is synced is kept"),
            (None, Some("b1"), false, false, "nothing is known"),
            (None, None, false, false, "two unknowns are not equal"),
        ] {
            assert_eq!(unsent_proof(&attempt(then), now, keeps).is_some(), proven, "{why}");
        }
    }
}
