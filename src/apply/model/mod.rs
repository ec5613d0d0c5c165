//! The small model, searched to its end: two names, two runs one after the other, one stranger, a crash of the process or a power
//! cut at each step, lists that are stale, empty or refused, answers that are late, lost or unclear. What decides is real:
//! [`State::apply`], [`unsent_proof`], [`Candidates::from_listing`], [`propose`], [`plan`]. Modelled are the server, the network,
//! the disk and the order of a run's steps.
//!
//! Where rules settle doubts the ordinary run has one name, for seconds; `CHATAPI_MODEL_FULL` gives them both, for minutes.
//!
//! One assumption of the product is one here: a request arrives, and its instance is listed, within the settling time after its
//! `sent`.

mod check;
mod facts;
mod run;
mod world;

use std::collections::{BTreeMap, HashSet, VecDeque};

use world::{Key, World};

/// Mistakes that somebody could make, each in the place of the real thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defect {
    TimeoutTakenForRefusal,
    EmptyListBelieved,
    NoLock,
    SentAfterRequest,
    SentNotSynced,
    SettledAtOnce,
    RecoverySkipped,
    OpenedWithoutSync,
}

/// What holds in one search.
#[derive(Debug, Clone, Copy)]
struct Setting {
    names: u8,
    is_exclusive: bool,
    has_stranger: bool,
    /// The file system keeps what is synced, says the program.
    keeps: bool,
    /// Times that the settling time passes.
    ticks: u8,
    defect: Option<Defect>,
}

/// What a search saw.
#[derive(Debug, Default)]
struct Seen {
    states: usize,
    ends: usize,
    /// Ends with that many doubts.
    doubts: BTreeMap<usize, usize>,
    adopted: usize,
    absent: usize,
}

/// Goes through every state that can be reached; the first broken promise ends it.
fn search(setting: Setting) -> Result<Seen, String> {
    let mut seen = Seen::default();
    let first = World::new();
    let mut visited: HashSet<Key> = HashSet::from([first.key()]);
    let mut left = VecDeque::from([first]);
    while let Some(world) = left.pop_front() {
        seen.states += 1;
        let next = world.next(setting).map_err(|broken| format!("{broken}\nafter {world:?}"))?;
        if world.is_over() {
            let end = check::end(&world, setting).map_err(|broken| format!("{broken}\nat the end of {world:?}"))?;
            seen.ends += 1;
            *seen.doubts.entry(end.doubts).or_default() += 1;
            seen.adopted += end.adopted;
            seen.absent += end.absent;
        }
        left.extend(next.into_iter().filter(|world| visited.insert(world.key())));
    }
    Ok(seen)
}

const PLAIN: Setting = Setting { names: 2, is_exclusive: false, has_stranger: true, keeps: true, ticks: 1, defect: None };

#[test]
fn p1_p2_no_order_of_events_in_a_small_world_breaks_a_promise() {
    let start = std::time::Instant::now();
    let exclusive = Setting { is_exclusive: true, has_stranger: false, ..PLAIN };
    let swapped = Setting { is_exclusive: true, ..PLAIN };
    let forgetful = Setting { keeps: false, ..PLAIN };
    let one_name = Setting { names: 1, ..swapped };
    let is_full = std::env::var_os("CHATAPI_MODEL_FULL").is_some();
    let settings = if is_full { vec![PLAIN, forgetful, exclusive, swapped] } else { vec![PLAIN, forgetful, one_name] };
    for setting in settings {
        let seen = search(setting).unwrap_or_else(|broken| panic!("{setting:?}: {broken}"));
        println!("{setting:?}: {seen:?} in {:?}", start.elapsed());
        assert!(seen.states > 5_000 && seen.doubts.len() == usize::from(setting.names) + 1, "too little was seen");
        assert_eq!(seen.adopted > 0 && seen.absent > 0, setting.is_exclusive);
    }
}

#[test]
fn each_seeded_defect_breaks_a_promise_of_the_small_world() {
    let exclusive = Setting { is_exclusive: true, has_stranger: false, ..PLAIN };
    for (defect, setting, sign) in [
        (Defect::TimeoutTakenForRefusal, PLAIN, "V2"),
        (Defect::EmptyListBelieved, exclusive, "V"),
        (Defect::NoLock, PLAIN, "V"),
        (Defect::SentAfterRequest, PLAIN, "V4"),
        (Defect::SentNotSynced, PLAIN, "V4"),
        (Defect::SettledAtOnce, exclusive, "V"),
        (Defect::RecoverySkipped, PLAIN, "illegal"),
        (Defect::OpenedWithoutSync, PLAIN, "V3"),
    ] {
        let broken = search(Setting { defect: Some(defect), ..setting }).expect_err(&format!("{defect:?} goes unseen"));
        assert!(broken.starts_with(sign), "{defect:?} shows as {broken}");
    }
}
