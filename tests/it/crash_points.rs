//! P1, P3, P8, P14: the real program dies, fails or panics at each named point of a create and of a recovery, from each prior
//! state, alone and with others in flight; then once more during the recovery. After a plain run every promise holds.
//!
//! The ordinary set takes every so-many-th cell, spread so that each point, action, prior state and shape occurs; about 30 s.
//! All of them, with the program as it is shipped but for its failpoints:
//!
//! ```text
//! cargo build --release --features failpoints
//! CHATAPI_CRASH_EVERY=1 CHATAPI_KILL_BINARY=$PWD/target/release/chatapi \
//!     cargo test --all-features --test it crash_points -- --nocapture
//! ```
//!
//! A failure names its cell; `CHATAPI_CRASH_CELL=N` runs that one alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use chatapi::failpoint::{RECOVERY, TIMELINE};
use rustix::process::Signal;

use super::kill_loop::number;

pub(crate) mod scene;

use scene::{PRIORS, Prior, Scene, ensure, scratch};

/// Cells run side by side.
const SIDE_BY_SIDE: usize = 2;
/// The steps that are seen at the server only: it has read the request, and it has acted.
const OUTSIDE: [&str; 2] = ["the server has read", "the server has acted"];
const ACTIONS: [&str; 4] = ["kill", "abort", "error", "panic"];
/// Names, parallelism.
const SHAPES: [(usize, &str); 3] = [(1, "1"), (3, "1"), (4, "4")];
/// In the points that every name passes.
const PER_NAME: [&str; 9] = ["intent", "-sent", "received", "created", "reserved", "connect", "body", "answer", "judged"];
/// Where the run after a crash is crashed in its turn.
const SECOND: [&str; 14] = [
    "lock-taken",
    "half-cleared",
    "torn-cut",
    "tail-renewed",
    "state-opened",
    "recover-left",
    "journal-written-run",
    "journal-written-unsent",
    "journal-written-created",
    "recover-settled",
    "replace-written",
    "journal-after-run",
    "index-flushed",
    "closed",
];

/// A crash, and perhaps another one in the run after it.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    pub(crate) number: usize,
    pub(crate) point: &'static str,
    pub(crate) action: &'static str,
    then: Option<(&'static str, &'static str)>,
    pub(crate) prior: Prior,
    pub(crate) shape: (usize, &'static str),
    pub(crate) nth: usize,
}

impl Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { point, action, nth, prior, shape: (names, parallelism), .. } = self;
        write!(f, "{point}={action}@{nth}, prior {prior:?}, {names} names, parallelism {parallelism}")?;
        self.then.map_or(Ok(()), |(point, action)| write!(f, ", then {point}={action}"))
    }
}

/// Whether a run from `prior` passes `point` at all.
fn can_reach(point: &str, prior: Prior) -> bool {
    match point {
        _ if point.contains("genesis") => prior == Prior::Nothing,
        "torn-found" | "torn-cut" | "index-removed" => prior == Prior::Torn,
        "tail-renewed" => !matches!(prior, Prior::Nothing | Prior::Created),
        "recover-left" | "recover-settled" => matches!(prior, Prior::Received | Prior::Intent),
        "journal-written-unsent" | "journal-after-unsent" => prior == Prior::Intent,
        _ => true,
    }
}

/// Campaign A: points × actions × priors × shapes.
pub(crate) fn first_crashes() -> Vec<Cell> {
    let points = TIMELINE.iter().map(|(name, _)| *name).chain(RECOVERY.iter().copied()).chain(OUTSIDE);
    let mut cells = Vec::new();
    for point in points {
        for action in ACTIONS {
            for prior in PRIORS.into_iter().filter(|prior| can_reach(point, *prior)) {
                for shape in SHAPES {
                    // From outside a program can be ended, and nothing else.
                    if OUTSIDE.contains(&point) && matches!(action, "error" | "panic") {
                        continue;
                    }
                    // What each name passes is met at one of them in turn.
                    let nth = if PER_NAME.iter().any(|part| point.contains(part)) { 1 + cells.len() % shape.0 } else { 1 };
                    cells.push(Cell { number: cells.len(), point, action, then: None, prior, shape, nth });
                }
            }
        }
    }
    cells
}

/// Campaign B: points × where the recovery is × how it ends.
fn second_crashes() -> Vec<Cell> {
    let mut cells = Vec::new();
    let points = TIMELINE.iter().map(|(name, _)| *name).chain(OUTSIDE).chain(["torn"]);
    for point in points {
        for second in SECOND {
            for action in ["kill", "error"] {
                let number = cells.len();
                let shape = SHAPES[number % SHAPES.len()];
                let prior = if point == "torn" { Prior::Torn } else { Prior::Nothing };
                let point = if point == "torn" { "state-opened" } else { point };
                cells.push(Cell { number, point, action: "kill", then: Some((second, action)), prior, shape, nth: 1 });
            }
        }
    }
    cells
}

/// What a campaign did.
#[derive(Debug, Default)]
struct Figures {
    cells: usize,
    /// Whose first and whose second crash happened.
    hits: [usize; 2],
    runs: usize,
    creates: usize,
    doubts: usize,
    occurred: BTreeSet<String>,
    codes: BTreeMap<String, usize>,
}

impl Cell {
    fn live(&self, figures: &Mutex<Figures>) -> Result<(), String> {
        let dir = scratch();
        let fault = ["stall-before", "stall"].get(OUTSIDE.iter().position(|point| *point == self.point).unwrap_or(2));
        let nth = 1 + Scene::creates_in(self.prior);
        let mut scene = Scene::new(dir.path(), fault.map(|fault| format!("create:nth={nth}={fault}")).into_iter().collect());
        scene.begin(self.prior)?;
        scene.project.declare(self.shape.0);
        let signal = if self.action == "kill" { Signal::KILL } else { Signal::ABORT };
        let first = match fault {
            Some(_) => scene.strike(signal, self.shape.1)?,
            None => scene.meet(&format!("{}={}@{}", self.point, self.action, self.nth), self.shape.1)?,
        };
        if self.action == "error" && self.point.starts_with("journal-") && self.shape.1 == "1" {
            ensure(first.requests <= self.nth, || {
                format!("{} requests, and the write at the {}. failed", first.requests, self.nth)
            })?;
        }
        if self.number.is_multiple_of(4) && scene.project.path("state/journal.jsonl").exists() {
            scene.look()?;
        }
        let second = match self.then {
            Some((point, action)) => Some(scene.meet(&format!("{point}={action}"), self.shape.1)?),
            None => None,
        };
        let found = scene.mend()?;
        let expected = self.shape.0 + usize::from(self.prior != Prior::Nothing);
        ensure(found.creates + found.doubts_empty == expected, || format!("{found:?} of {expected}"))?;
        let mut figures = figures.lock().unwrap();
        figures.cells += 1;
        figures.hits[0] += usize::from(first.is_hit);
        figures.hits[1] += usize::from(second.as_ref().is_some_and(|second| second.is_hit));
        figures.runs += 2 + usize::from(second.is_some()) + usize::from(self.prior != Prior::Nothing);
        figures.creates += found.creates;
        figures.doubts += found.doubts_created + found.doubts_empty;
        if first.is_hit {
            let marks = [self.point.to_owned(), self.action.to_owned(), format!("{:?}", self.prior), format!("{:?}", self.shape)];
            figures.occurred.extend(marks);
            let end = format!("{}: {}", self.action, first.ended.status);
            *figures.codes.entry(end).or_default() += 1;
        }
        Ok(())
    }
}

/// For each point that every so-many-th of `cells` leaves out, one of its cells, another one for each.
fn one_each(cells: &[Cell], every: usize) -> impl Iterator<Item = &Cell> {
    let met: BTreeSet<&str> = cells.iter().step_by(every).map(|cell| cell.point).collect();
    let mut left: BTreeMap<&str, Vec<&Cell>> = BTreeMap::new();
    for cell in cells.iter().filter(|cell| !met.contains(cell.point)) {
        left.entry(cell.point).or_default().push(cell);
    }
    left.into_values().enumerate().map(|(index, of_point)| of_point[index * 5 % of_point.len()])
}

/// Lives through every so-many-th of `cells`, several side by side.
fn campaign(what: &str, cells: &[Cell], every: u64) -> Figures {
    let every = usize::try_from(number("CHATAPI_CRASH_EVERY", every)).unwrap().max(1);
    let only = std::env::var("CHATAPI_CRASH_CELL").ok().map(|text| text.parse::<usize>().unwrap());
    let chosen: Vec<&Cell> = match only {
        Some(only) => cells.iter().filter(|cell| cell.number == only).collect(),
        None => cells.iter().step_by(every).chain(one_each(cells, every)).collect(),
    };
    let (figures, failures) = (Mutex::default(), Mutex::new(Vec::new()));
    let next = AtomicUsize::new(0);
    let start = std::time::Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some(cell) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // A run that does not end is a broken promise of this cell, and no end of the campaign.
                    let lived = catch_unwind(AssertUnwindSafe(|| cell.live(&figures)));
                    if let Err(why) = lived.unwrap_or_else(|_| Err("it does not end, or the test is wrong: see above".to_owned()))
                    {
                        let number = cell.number;
                        failures.lock().unwrap().push(format!("{cell}\n  replay: CHATAPI_CRASH_CELL={number}\n{why}"));
                    }
                }
            });
        }
    });
    let (figures, failures): (Figures, Vec<String>) = (figures.into_inner().unwrap(), failures.into_inner().unwrap());
    let Figures { hits, runs, creates, doubts, codes, .. } = &figures;
    println!(
        "{what}: {} of {} cells in {:.0?}: {hits:?} crashes, {runs} runs, {creates} creates, {doubts} in doubt; {codes:?}; broken {}",
        chosen.len(),
        cells.len(),
        start.elapsed(),
        failures.len()
    );
    let few: Vec<&String> = failures.iter().take(6).collect();
    assert!(failures.is_empty(), "{} cells: {few:#?}", failures.len());
    figures
}

#[test]
fn p1_p3_p8_p14_a_crash_at_each_point_loses_and_doubles_nothing() {
    let cells = first_crashes();
    let figures = campaign("campaign A", &cells, 17);
    if std::env::var_os("CHATAPI_CRASH_CELL").is_some() {
        return;
    }
    let marks = cells.iter().flat_map(|cell| {
        [cell.point.to_owned(), cell.action.to_owned(), format!("{:?}", cell.prior), format!("{:?}", cell.shape)]
    });
    let missing: BTreeSet<String> = marks.filter(|mark| !figures.occurred.contains(mark)).collect();
    assert!(missing.is_empty(), "never met: {missing:?}");
}

#[test]
fn p6_a_panic_where_the_lock_is_taken_ends_the_run() {
    let dir = scratch();
    let mut scene = Scene::new(dir.path(), Vec::new());
    scene.project.declare(1);
    let met = scene.meet("lock-taken=panic", "1").unwrap();
    assert_eq!((met.is_hit, met.ended.code()), (true, Some(1)), "{}", met.ended.stderr);
    scene.mend().unwrap();
}

#[test]
fn p8_a_panic_after_a_create_is_no_exit_that_says_nothing_was_created() {
    for (point, code) in [("journal-before-sent=panic@2", 4), ("journal-before-received=panic@2", 3)] {
        let dir = scratch();
        let mut scene = Scene::new(dir.path(), Vec::new());
        scene.project.declare(3);
        let met = scene.meet(point, "1").unwrap();
        assert_eq!(met.ended.code(), Some(code), "{point}: {}{}", met.ended.stdout, met.ended.stderr);
        assert!(met.ended.stderr.contains("hint: "), "{}", met.ended.stderr);
        scene.mend().unwrap();
    }
}

#[test]
fn p8_an_answer_that_cannot_be_made_durable_is_in_doubt_for_the_exit_code_too() {
    let dir = scratch();
    let mut scene = Scene::new(dir.path(), Vec::new());
    scene.project.declare(1);
    let met = scene.meet("journal-after-received=error", "1").unwrap();
    assert_eq!(met.ended.code(), Some(3), "{}{}", met.ended.stdout, met.ended.stderr);
    assert!(met.ended.stdout.contains("1 in doubt."), "{}", met.ended.stdout);
    scene.mend().unwrap();
}

#[test]
fn p1_p3_p8_a_second_crash_in_the_recovery_loses_and_doubles_nothing() {
    let figures = campaign("campaign B", &second_crashes(), 19);
    assert!(figures.hits[1] * 3 > figures.cells, "{figures:?}");
}
