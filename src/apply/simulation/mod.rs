//! A deterministic simulation of whole lives of a state: the real planner, applier, recorder, journal and resolver on a disk that
//! loses, tears and lies, against a server that commits late and lists incompletely, in runs that are killed, interrupted,
//! repeated, doubled, and met with older copies of the state. `docs/simulation.md` says what is real, what is simulated and what is
//! asserted.
//!
//! ```text
//! CHATAPI_SIM_SEEDS=1000000 cargo test --release --lib simulation::p1 -- --nocapture      # a long run
//! CHATAPI_SIM_SEED=4711 cargo test --lib simulation::p1 -- --nocapture                    # one seed, with its trace
//! ```

mod chance;
mod deletes;
mod disk;
mod leaving;
mod ledger;
mod life;
mod mishaps;
mod process;
mod server;
mod store;
mod tally;
mod world;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use life::live;
use tally::Tally;

/// Seeds of the ordinary run.
const SEEDS: u64 = 6_000;
/// Seeds in which each defect has to show itself; the ordinary run stops at the first.
const DEFECT_SEEDS: u64 = 6_000;
/// Seeds between two looks.
const STRIDE: u64 = 50;

/// Mistakes that somebody could make, each in the place of the real thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defect {
    SentNotSynced,
    SentAfterRequest,
    TimeoutIsRefusal,
    FailureIsRefusal,
    EmptyListIsEvidence,
    SettledTooEarly,
    RollbackIgnored,
    ParsedBeforeReceived,
    RecoverySkipped,
    NoLock,
    RetireSentNotSynced,
    UnknownIsDeleted,
    DeclaredIsDeleted,
    EmptyListShowsGone,
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

/// What many seeds came to.
#[derive(Debug, Default)]
struct Survey {
    tally: Tally,
    /// Seeds that broke a promise, in order, with the first one broken.
    broken: Vec<(u64, String)>,
}

/// Lives through `seeds`, on as many threads as there are processors.
fn survey(seeds: std::ops::Range<u64>, defect: Option<Defect>) -> Survey {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let next = AtomicU64::new(seeds.start);
    let survey = Mutex::new(Survey::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let dir = scratch();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    let mut lived = live(seed, defect, dir.path(), false);
                    let mut survey = survey.lock().unwrap();
                    survey.tally += lived.tally;
                    if !lived.violations.is_empty() {
                        survey.broken.push((seed, lived.violations.swap_remove(0)));
                    }
                }
            });
        }
    });
    let mut survey = survey.into_inner().unwrap();
    survey.broken.sort();
    survey
}

/// The directory of the lock, which is a real one.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

#[test]
fn p1_p2_p3_p5_p6_p16_many_lives() {
    if let Some(seed) = number("CHATAPI_SIM_SEED") {
        let lived = live(seed, None, scratch().path(), true);
        println!("{}", lived.trace);
        assert!(lived.violations.is_empty(), "{:?}", lived.violations);
        return;
    }
    let from = number("CHATAPI_SIM_FROM").unwrap_or(0);
    let seeds = number("CHATAPI_SIM_SEEDS").unwrap_or(SEEDS);
    let start = Instant::now();
    let Survey { tally, broken } = survey(from..from + seeds, None);
    let rate = u128::from(seeds) * 1_000 / start.elapsed().as_millis().max(1);
    println!("{seeds} seeds from {from}, {rate}/s: {} broken, {tally:?}", broken.len());
    for (seed, why) in broken.iter().take(12) {
        println!("CHATAPI_SIM_SEED={seed} cargo test --lib simulation::p1 -- --nocapture   # {why}");
    }
    assert!(broken.is_empty(), "{} of {seeds} seeds", broken.len());
    // A simulation in which nothing happens proves nothing.
    for (what, count, one_in) in [
        ("kills", tally.kills, 8),
        ("power cuts", tally.power_cuts, 8),
        ("doubts", tally.doubts, 20),
        ("settled by a rule", tally.settled_by_rule, 100),
        ("locked out", tally.locked_out, 100),
        ("failed closed", tally.failed_closed, 200),
        ("rebuilt", tally.rebuilt, 500),
        ("deletes", tally.deletes, 10),
        ("deleted by a list", tally.deleted_by_list, 50),
    ] {
        assert!(count >= seeds / one_in, "only {count} of {seeds} seeds: {what}");
    }
}

#[test]
fn a_seed_is_lived_through_the_same_way_twice() {
    for seed in 0..100 {
        let dir = scratch();
        let [first, second] = [0, 1].map(|_| live(seed, None, dir.path(), false));
        assert_eq!((first.sum, first.tally), (second.sum, second.tally), "seed {seed}");
    }
}

#[test]
fn each_seeded_defect_breaks_a_promise() {
    let all = number("CHATAPI_SIM_DEFECT_SEEDS");
    for (defect, sign) in [
        (Defect::SentNotSynced, "V4"),
        (Defect::SentAfterRequest, "V4"),
        (Defect::TimeoutIsRefusal, "V1"),
        (Defect::FailureIsRefusal, "V1"),
        (Defect::EmptyListIsEvidence, "P16"),
        (Defect::SettledTooEarly, "P16"),
        (Defect::RollbackIgnored, "P5"),
        (Defect::ParsedBeforeReceived, "P3"),
        (Defect::RecoverySkipped, "V6"),
        (Defect::NoLock, "P6"),
        (Defect::RetireSentNotSynced, "V4"),
        (Defect::UnknownIsDeleted, "V7"),
        (Defect::DeclaredIsDeleted, "P9"),
        (Defect::EmptyListShowsGone, "V7"),
    ] {
        let (mut seeds, mut broken, mut signs) = (0, 0, 0);
        while seeds < all.unwrap_or(DEFECT_SEEDS) && (all.is_some() || signs == 0) {
            let found = survey(seeds..seeds + STRIDE, Some(defect)).broken;
            signs += found.iter().filter(|(_, why)| why.contains(sign)).count();
            broken += found.len();
            seeds += STRIDE;
        }
        println!("{defect:?}: {broken} of {seeds} seeds, {signs} of them by {sign}");
        assert!(signs > 0, "{defect:?} goes unseen");
    }
}
