//! P1, P5 when the files are not what was written: changed bits, cut and zeroed parts, older and foreign copies, missing pieces.
//!
//! What may come of it: the damage is told (nothing is created), or the state is the intact one. Only where no other copy
//! bears witness may it be an earlier state of the same history, as the journal's intact part has it.
//!
//! The ordinary set draws 3,000 cases in memory (at most 40 s) and 60 for the real program. `CHATAPI_DAMAGES=200000` takes every
//! case; `CHATAPI_KILL_SEED` draws others.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::mpsc::channel;
use std::sync::{Arc, Once};
use std::time::Instant;

use chatapi::state::State;
use chatapi::store::{LockFile, StateStore, is_index_guarded, read};
use fastrand::Rng;

use super::kill_loop::gateway::{Gateway, Manner};
use super::kill_loop::number;
use super::kill_loop::project::Project;

mod cases;
pub(crate) mod intact;

use crate::stage::BOUND;
use cases::{Copies, Damage};
use intact::{Files, Intact, LOCK};

/// What came of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Came {
    /// It is told.
    Closed,
    /// The state is the intact one.
    Whole,
    /// No witness was left, and the state is an earlier one.
    Earlier,
}

fn put(files: &Files, place: &Path) {
    for (path, bytes) in files {
        let path = place.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// The files of a case.
fn files(intact: &Intact, copies: Copies, damage: &Damage) -> Files {
    let mut files = intact.files.clone();
    damage.strike(&mut files, intact);
    files.retain(|path, _| match copies {
        Copies::All => true,
        Copies::NoLockFile => path != LOCK,
        Copies::NoIndex => !path.starts_with("state/index/"),
        Copies::Neither => path != LOCK && !path.starts_with("state/index/"),
    });
    files
}

/// The serial that an undamaged copy proves; an earlier state must not come of it.
fn proven(intact: &Intact, copies: Copies, damage: &Damage) -> u64 {
    let end = intact.whole().serial.0;
    let has_lock = matches!(copies, Copies::All | Copies::NoIndex) && !damage.hits_lock_file();
    let has_index = matches!(copies, Copies::All | Copies::NoLockFile) && !damage.hits_index();
    if !damage.hits_journal() || has_lock || has_index { end } else { 0 }
}

fn judge(intact: &Intact, state: &State, proven: u64, damage: &Damage) -> Result<Came, String> {
    let whole = intact.whole();
    if state == whole {
        return Ok(Came::Whole);
    }
    let is_foreign = matches!(damage, Damage::Replace(_, cases::From::Foreign));
    let earlier = intact.at.get(usize::try_from(state.serial.0).unwrap());
    // A state that is begun anew has a lineage of its own and nothing in it.
    let is_earlier = earlier.is_some_and(|earlier| earlier == state) || state.records().is_empty() || is_foreign;
    if proven == 0 && is_earlier {
        return Ok(Came::Earlier);
    }
    let more: Vec<_> = intact::creates(state).difference(&intact::creates(whole)).cloned().collect();
    Err(format!("it is at serial {} where {proven} is proven, and would create {more:?} besides", state.serial))
}

/// What a plan and an apply make of it.
fn case(intact: &Intact, copies: Copies, damage: &Damage) -> Result<[Came; 2], String> {
    let place = tempfile::tempdir_in(intact::shelf()).unwrap();
    put(&files(intact, copies, damage), place.path());
    let dir = place.path().join("state");
    let Ok(lock) = LockFile::read(&place.path().join(LOCK)) else { return Ok([Came::Closed; 2]) };
    let proven = proven(intact, copies, damage);
    let planned = match read(&dir, lock.as_ref()) {
        Ok(reading) => judge(intact, &reading.state, proven, damage).map_err(|broken| format!("plan: {broken}"))?,
        Err(_) => Came::Closed,
    };
    let applied = match intact::open(&dir, lock.as_ref(), 3) {
        Ok(store) => judge(intact, store.state(), proven, damage).map_err(|broken| format!("apply: {broken}"))?,
        Err(_) => Came::Closed,
    };
    Ok([planned, applied])
}

/// A panic inside the index is caught; what it prints is not wanted here.
fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !is_index_guarded() {
                shown(panic);
            }
        }));
    });
}

type Counts = BTreeMap<(&'static str, Came), usize>;

fn work_off(intact: &Arc<Intact>, cases: &[(Copies, Damage)], first: usize, seed: u64) -> Counts {
    let mut counts = Counts::new();
    for (copies, damage) in cases.iter().skip(first).step_by(2) {
        let what = format!("{copies:?}, {damage:?}, CHATAPI_KILL_SEED={seed}");
        let (tell, told) = channel();
        let (shared, struck, copies) = (Arc::clone(intact), damage.clone(), *copies);
        std::thread::spawn(move || tell.send(case(&shared, copies, &struck)));
        let came = told.recv_timeout(BOUND).unwrap_or_else(|error| panic!("{what}: {error}"));
        let [planned, applied] = came.unwrap_or_else(|broken| panic!("{what}: {broken}"));
        *counts.entry(("plan", planned)).or_default() += 1;
        *counts.entry(("apply", applied)).or_default() += 1;
    }
    counts
}

#[test]
fn p1_p5_no_damage_makes_a_state_that_creates_more() {
    hush();
    let seed = number("CHATAPI_KILL_SEED", 1);
    let mut dice = Rng::with_seed(seed);
    let intact = Arc::new(Intact::new());
    let mut cases = cases::all(&intact, &mut dice);
    let all = cases.len();
    dice.shuffle(&mut cases);
    cases.truncate(usize::try_from(number("CHATAPI_DAMAGES", 3_000)).unwrap());
    let begun = Instant::now();
    let (mut counts, other) = std::thread::scope(|scope| {
        let other = scope.spawn(|| work_off(&intact, &cases, 1, seed));
        (work_off(&intact, &cases, 0, seed), other.join().unwrap())
    });
    for (what, count) in other {
        *counts.entry(what).or_default() += count;
    }
    println!(
        "{} cases of {all} in {:?}: {counts:?}; creates that the intact state would not make: 0",
        cases.len(),
        begun.elapsed()
    );
    for came in [("apply", Came::Closed), ("apply", Came::Whole), ("apply", Came::Earlier), ("plan", Came::Whole)] {
        assert!(counts.contains_key(&came), "{came:?} never came");
    }
}

/// A judge that finds nothing wrong would pass everything.
#[test]
fn the_judge_of_damages_sees_a_state_that_forgot() {
    let intact = Intact::new();
    let damage = Damage::Cut { file: cases::JOURNAL.to_owned(), length: 0 };
    let proven = proven(&intact, Copies::All, &damage);
    assert_eq!(proven, intact.whole().serial.0);
    let broken = judge(&intact, &intact.at[2], proven, &damage).unwrap_err();
    assert!(broken.contains("made-a") && broken.contains("doubt-b"), "{broken}");
    assert_eq!(judge(&intact, &intact.at[2], 0, &damage), Ok(Came::Earlier));
    assert!(intact.older_end < intact.whole().serial);
}

/// The real program on damaged files: exit code 8, or as if nothing were; and no request in either case.
#[test]
fn p1_p5_the_program_creates_nothing_from_damaged_files() {
    let place = tempfile::tempdir().unwrap();
    let manner = Manner { faults: vec!["create:nth=2=drop-after".to_owned()], ..Manner::inside("0ms") };
    let gateway = Gateway::start(&place.path().join("gateway"), manner);
    let home = place.path().join("home");
    fs::create_dir(&home).unwrap();
    let mut project = Project::new(&home, Some(gateway.url()));
    project.declare(4);
    assert_eq!(project.run(&["apply", "--parallelism", "1"]).code(), Some(3));
    let mut files = Files::new();
    for name in ["state/journal.jsonl", "state/index/db", "state/index/conf", LOCK] {
        files.insert(name.to_owned(), fs::read(home.join(name)).unwrap());
    }
    let (seed, mut codes) = (number("CHATAPI_KILL_SEED", 1), BTreeMap::new());
    let mut dice = Rng::with_seed(seed);
    for round in 0..number("CHATAPI_DAMAGES", 60).min(2_000) {
        let (name, bytes) = files.iter().nth(dice.usize(0..files.len())).unwrap();
        put(&files, &home);
        let mut damaged = bytes.clone();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        match dice.u8(0..4) {
            0 => damaged.truncate(dice.usize(0..used)),
            1 => damaged[dice.usize(0..used)..].fill(0),
            _ => damaged[dice.usize(0..used)] ^= 1 << dice.u8(0..8),
        }
        fs::write(home.join(name), damaged).unwrap();
        let came = gateway.seen().len();
        let ended = project.run(&["apply"]);
        let what =
            format!("{name}, round {round} of CHATAPI_KILL_SEED={seed}: {:?}\n{}{}", ended.status, ended.stdout, ended.stderr);
        assert_eq!(gateway.seen().len(), came, "{what}");
        assert!(matches!(ended.code(), Some(3 | 8)) && !ended.stderr.contains("panicked at"), "{what}");
        *codes.entry(ended.code().unwrap()).or_insert(0) += 1;
    }
    println!("exit codes {codes:?}, requests 0");
    assert!(codes.len() == 2, "{codes:?}");
}
