//! The resolver by brute force: small worlds drawn at random, in each of which the truth is known; every proposal is held against
//! all that could be so.
//!
//! `CHATAPI_RESOLVER_CASES` chooses how many (the ordinary run: 20,000).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::recovery::*;
use super::settling::{Moment, Settling};
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::listing::{ListedInstance, Listing};
use crate::state::{AttemptId, Entry, Event, Lineage, Phase, Serial, State};

const SETTLING: Settling = Settling { after: Duration::from_secs(100), between: Duration::from_secs(5) };

/// A doubt as the oracle knows it.
#[derive(Debug, Clone)]
struct Doubted {
    kind: InstanceType,
    /// What was listed before it; none: no list.
    fence: Option<BTreeSet<InstanceId>>,
    since: i64,
    /// What was listed after it began.
    later: BTreeSet<InstanceId>,
}

/// A drawn world.
#[derive(Debug)]
struct Drawn {
    state: State,
    doubts: BTreeMap<InstanceName, Doubted>,
    listing: Listing,
    is_agreeing: bool,
    now: i64,
}

fn id(index: u32) -> InstanceId {
    InstanceId::parse(&format!("{index}")).unwrap()
}

fn name(index: usize) -> InstanceName {
    InstanceName::parse(&format!("n{index}")).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Up to five names, one after another known or in doubt, with a new list between two of them now and then.
fn draw(dice: &mut fastrand::Rng) -> Drawn {
    let mut state = State::new(Lineage::from_bytes([1; 16]), Serial(1), crate::state::FORMAT);
    let mut second = 0;
    let mut add = |dice: &mut fastrand::Rng, state: &mut State, event| {
        second += dice.i64(0..40);
        let entry = Entry { serial: state.serial.next(), at: at(second), event };
        state.apply(&entry).unwrap();
        (entry.serial, second)
    };
    let mut exists: BTreeSet<InstanceId> = (0..dice.u32(0..3)).map(id).collect();
    let mut next = 10;
    let mut doubts = BTreeMap::new();
    let mut fence = None;
    for index in 0..dice.usize(1..=5) {
        if dice.u8(0..3) == 0 {
            let listed: Vec<InstanceId> = exists.iter().filter(|_| dice.u8(0..8) > 0).cloned().collect();
            let (serial, _) = add(dice, &mut state, Event::Listed { ids: listed.clone() });
            for doubt in doubts.values_mut() {
                let doubt: &mut Doubted = doubt;
                doubt.later.extend(listed.iter().cloned());
            }
            fence = Some((serial, listed.into_iter().collect::<BTreeSet<_>>()));
        }
        let kind = dice.choice(InstanceType::ALL).unwrap();
        next += 1;
        if dice.bool() {
            exists.insert(id(next));
        }
        if dice.u8(0..4) == 0 {
            add(
                dice,
                &mut state,
                Event::Adopted { name: name(index), kind, id: id(next), api_url: None, source: "test".into(), is_foreign: false },
            );
            continue;
        }
        let attempt = AttemptId::typed(&format!("a-{index}"));
        let intent =
            Event::Intent { attempt: attempt.clone(), name: name(index), kind, fence: fence.as_ref().map(|(serial, _)| *serial) };
        add(dice, &mut state, intent);
        let (_, since) = add(dice, &mut state, Event::Sent { attempt });
        doubts.insert(
            name(index),
            Doubted { kind, fence: fence.as_ref().map(|(_, ids)| ids.clone()), since, later: BTreeSet::new() },
        );
    }
    for stranger in 0..dice.u32(0..3) {
        exists.insert(id(100 + stranger));
    }
    exists.retain(|_| dice.u8(0..10) > 0);
    let instances = exists.into_iter().map(|id| {
        let mut item = ListedInstance::bare(id, dice.choice(InstanceType::ALL).unwrap());
        if dice.u8(0..20) == 0 {
            item.kind = None;
        }
        item
    });
    let instances = instances.collect();
    let listing = Listing { instances, odd_items: usize::from(dice.u8(0..20) == 0) };
    Drawn { state, doubts, listing, is_agreeing: dice.bool(), now: dice.i64(0..400) }
}

/// Whether `id` can be the instance of a doubt, for all that is known.
fn can_be(drawn: &Drawn, doubt: &Doubted, item: &ListedInstance) -> bool {
    item.kind == Some(doubt.kind)
        && !drawn.state.known_ids().contains_key(&item.id)
        && doubt.fence.as_ref().is_some_and(|fence| !fence.contains(&item.id))
}

/// The most doubts that can have an instance of their own each: all pairings are tried.
fn most_paired(drawn: &Drawn, doubts: &[&Doubted], used: &mut Vec<usize>) -> usize {
    let Some((first, rest)) = doubts.split_first() else { return 0 };
    let mut most = most_paired(drawn, rest, used);
    for (index, item) in drawn.listing.instances.iter().enumerate() {
        if !used.contains(&index) && can_be(drawn, first, item) {
            used.push(index);
            most = most.max(1 + most_paired(drawn, rest, used));
            used.pop();
        }
    }
    most
}

fn check(drawn: &Drawn) -> [u32; 2] {
    let candidates = Candidates::from_listing(&drawn.state, &drawn.listing);
    let proposals =
        propose(&drawn.state, &candidates, drawn.is_agreeing, Moment { wall: at(drawn.now), boot: None, up: None }, SETTLING);
    assert_eq!(proposals.keys().collect::<Vec<_>>(), drawn.doubts.keys().collect::<Vec<_>>());
    let known = drawn.state.known_ids();
    let listed: BTreeSet<_> = drawn.listing.instances.iter().map(|item| &item.id).collect();
    let is_credible = drawn.listing.odd_items == 0 && known.keys().all(|id| listed.contains(id));
    let fences: Vec<_> = drawn.doubts.values().filter_map(|doubt| doubt.fence.as_ref()).collect();
    let shows_old = listed.iter().any(|id| known.contains_key(*id) || fences.iter().any(|fence| fence.contains(*id)));
    let mut adopted = BTreeSet::new();
    let mut counts = [0, 0];
    for (name, (_, proposal)) in &proposals {
        let doubt = &drawn.doubts[name];
        assert!(matches!(drawn.state.records()[name].phase, Phase::InDoubt(..)));
        // Whatever could be ours and nobody takes speaks against every conclusion.
        let found = proposals.values().filter_map(|(_, proposal)| match proposal {
            Proposal::Exists(found) => Some(&found.id),
            _ => None,
        });
        let taken: BTreeSet<_> = found.collect();
        let is_new = |item: &&ListedInstance| {
            !known.contains_key(&item.id) && doubt.fence.as_ref().is_some_and(|fence| !fence.contains(&item.id))
        };
        let left = drawn.listing.instances.iter().filter(is_new).filter(|item| !taken.contains(&item.id)).count();
        match proposal {
            Proposal::Exists(found) => {
                counts[0] += 1;
                let item = drawn.listing.instances.iter().find(|item| item.id == found.id).unwrap();
                assert!(is_credible, "{name} adopts from a list that cannot be believed");
                assert!(can_be(drawn, doubt, item), "{name} adopts {}, which is another's", found.id);
                assert!(adopted.insert(found.id.clone()), "{} is adopted twice", found.id);
                assert_eq!(left, 0, "{name} adopts one of several");
            }
            Proposal::NotCreated => {
                counts[1] += 1;
                assert!(is_credible && shows_old, "{name} is absent by a list that proves nothing");
                assert!(drawn.is_agreeing && drawn.now >= doubt.since + 100, "{name} is absent too early");
                assert!(doubt.fence.is_some(), "{name} is absent without a fence");
                assert_eq!(left, 0, "{name} is absent although something new is listed");
                let was_seen = |id: &&InstanceId| {
                    !known.contains_key(*id)
                        && !listed.contains(*id)
                        && !doubt.fence.as_ref().is_some_and(|fence| fence.contains(*id))
                };
                assert_eq!(doubt.later.iter().find(was_seen), None, "{name} is absent although a list since has shown one");
            }
            Proposal::NotYetSettled { at: settles } => {
                assert!(is_credible && left == 0);
                assert!(*settles > at(drawn.now) || !drawn.is_agreeing, "{name} waits for nothing");
            }
            Proposal::Unknown { .. } => {}
        }
    }
    // No pairing explains more instances than the proposed one: else a name would be called absent that has one.
    if is_credible && proposals.values().all(|(_, proposal)| !matches!(proposal, Proposal::Unknown { .. })) {
        let doubts: Vec<&Doubted> = drawn.doubts.values().collect();
        assert_eq!(adopted.len(), most_paired(drawn, &doubts, &mut Vec::new()), "a better pairing exists");
    }
    counts
}

#[test]
fn p1_p16_no_small_world_makes_the_resolver_conclude_too_much() {
    let cases = std::env::var("CHATAPI_RESOLVER_CASES").map_or(20_000, |text| text.parse::<u64>().unwrap());
    let mut concluded = [0, 0];
    for case in 0..cases {
        let drawn = draw(&mut fastrand::Rng::with_seed(case));
        let checked = std::panic::catch_unwind(|| check(&drawn));
        let Ok([adopted, absent]) = checked else { panic!("case {case}: {drawn:#?}") };
        concluded[0] += adopted;
        concluded[1] += absent;
    }
    println!("{cases} worlds: {} adopted, {} absent", concluded[0], concluded[1]);
    assert!(concluded.iter().all(|count| u64::from(*count) > cases / 100), "{concluded:?}: too little is concluded");
}
