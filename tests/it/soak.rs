//! One state for very many applies, one in three of them killed: nothing is lost, and neither the time to open it nor its size
//! runs away.
//!
//! The ordinary set has 30 applies (at most 20 s); `CHATAPI_SOAK=10000` is the long campaign.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::kill_loop::gateway::{Gateway, Manner};
use super::kill_loop::number;
use super::kill_loop::oracle::{self, Truth};
use super::kill_loop::project::{Project, Run, pause};

/// Applies for each new name.
const APPLIES_PER_NAME: u64 = 10;

fn size(path: &Path) -> u64 {
    let below =
        |entry: fs::DirEntry| if entry.path().is_dir() { size(&entry.path()) } else { entry.metadata().map_or(0, |m| m.len()) };
    fs::read_dir(path).map_or(0, |entries| entries.flatten().map(below).sum())
}

/// The quickest of five: what a busy machine adds is not the program's.
fn plan_time(project: &Project) -> Duration {
    let time = || {
        let begun = Instant::now();
        assert!(matches!(project.run(&["plan"]).code(), Some(0 | 3)));
        begun.elapsed()
    };
    (0..5).map(|_| time()).min().unwrap()
}

#[test]
fn p1_p3_p13_many_applies_with_kills_on_one_state() {
    let (applies, seed) = (number("CHATAPI_SOAK", 30), number("CHATAPI_KILL_SEED", 1));
    let mut dice = Rng::with_seed(seed);
    let place = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(&place.path().join("gateway"), Manner::inside("0..3ms"));
    let home = place.path().join("home");
    fs::create_dir(&home).unwrap();
    let mut project = Project::new(&home, Some(gateway.url()));
    let (mut printed, mut kills) = (Vec::new(), 0);
    let begun = Instant::now();
    for apply in 0..applies {
        if apply % APPLIES_PER_NAME == 0 {
            project.declare(1);
        }
        let mut run = Run::start(project.command(&["apply"]));
        if dice.u8(0..3) == 0 {
            pause(Duration::from_micros(dice.u64(0..40_000)));
            kills += u64::from(!run.is_over());
            run.kill();
        }
        let ended = run.end();
        assert!(matches!(ended.code(), None | Some(0 | 3)), "apply {apply} of CHATAPI_KILL_SEED={seed}: {}", ended.stderr);
        printed.extend(ended.printed());
    }
    let took = begun.elapsed();
    let last = project.run(&["apply"]);
    printed.extend(last.printed());
    let kept = || ["state/journal.jsonl", "chatapi.lock"].map(|file| fs::read(home.join(file)).unwrap());
    let before = kept();
    let noop = project.run(&["apply"]);
    assert!(before == kept(), "an apply with nothing to do has written: {}", noop.stdout);
    gateway.stop();
    let truth = Truth { ledger: gateway.creates(), seen: gateway.seen(), printed };
    let found = oracle::check(&project, &truth, &last).unwrap_or_else(|broken| panic!("{broken}\n{}", last.stderr));
    let names = u64::try_from(project.names().len()).unwrap();
    let (journal, index) = (size(&home.join("state")) - size(&home.join("state/index")), size(&home.join("state/index")));
    let plan = plan_time(&project);
    println!(
        "{applies} applies in {took:?}, {kills} killed, {names} names, {} in doubt; journal {journal} bytes, {} an apply; index \
         {index} bytes; a plan takes {plan:?}; duplicates 0, lost 0",
        found.doubts_created + found.doubts_empty,
        journal / applies.max(1)
    );
    // A create has seven entries; a killed run that begins has one more and may leave a fence.
    assert!(journal <= 64 * 1_024 + names * 8_192 + kills * (1_024 + names * 16), "the journal has {journal} bytes");
    assert!(index <= 4 * 1_024 * 1_024 + names * 16_384, "the index has {index} bytes");
    assert!(plan <= Duration::from_secs(2), "a plan takes {plan:?}");
}
