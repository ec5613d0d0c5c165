//! The crash matrix: every step of one create × {dies before it, after its bytes are written, after its effect; or it fails}
//! × {kill, power cut, error} × {nothing known, created, in doubt, answered} × {1, 3 at once}, with the real journal, store and
//! applier. After a plain re-run no name has two instances, no reported token is gone, and each name is where the table of
//! crash points puts it. Then the same with seeded defects, each of which must make the matrix fail.

mod mortal;
mod power;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::instance::InstanceType;
use crate::plan::{Action, plan};
use crate::provider::certainty::Verdict;
use crate::state::{Binding, Lineage, Origin, Phase, Serial};
use crate::store::fault::{DiskControl, FaultMedium, Tear};
use crate::store::{FileStore, Hold, Holder, Medium, StateStore, StoreError};
use mortal::MortalStore;
use world::{Oracle, World, lock};

/// The steps of one create.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Step {
    Run,
    Bound,
    Listed,
    Intent,
    Connect,
    Sent,
    Call,
    Received,
    Created,
}

const STEPS: [Step; 9] =
    [Step::Run, Step::Bound, Step::Listed, Step::Intent, Step::Connect, Step::Sent, Step::Call, Step::Received, Step::Created];

/// Where in a step. For a call: not delivered; delivered and acted on, without an answer; answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Before,
    Written,
    Done,
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The process is gone; what it wrote is in the page cache.
    Kill,
    /// The machine is gone with all that was not synced.
    PowerCut,
    /// The step returns an error, once.
    Fail,
}

/// What is known of the first name beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prior {
    Nothing,
    Created,
    InDoubt,
    Received,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    step: Step,
    when: When,
    mode: Mode,
    prior: Prior,
    parallel: usize,
    /// At which occurrence of the step.
    nth: u32,
}

/// Mistakes that somebody could make, each in the place of the real thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defect {
    SentAfterCall,
    DoubtTakenForRefusal,
    RecoverySkipped,
    ParsedBeforeReceived,
    IntentNotSynced,
    NothingSynced,
}

fn name(index: usize) -> InstanceName {
    InstanceName::parse(&format!("n{index}")).unwrap()
}

fn options(parallelism: usize, boot: &str) -> Options {
    Options {
        parallelism,
        is_exclusive: false,
        settling: Settling::default(),
        tries: Tries { most: 3, wait: Duration::from_millis(1) },
        drain: Duration::from_secs(9),
        run: RunInfo {
            verb: "apply",
            who: Who::default(),
            boot: Some(boot.into()),
            up: || None,
            keeps_what_is_synced: true,
            plan: None,
        },
        rescue: Arc::new(NoRescue),
        clock: || Timestamp::UNIX_EPOCH,
    }
}

/// The token in the answer that the entry `serial` has.
fn kept_token(dir: &Path, serial: Serial) -> Option<String> {
    let entry = crate::store::read_entries(dir, &BTreeSet::from([serial])).unwrap().remove(&serial)?;
    let Event::Received { answer, .. } = entry.event else { return None };
    match crate::provider::certainty::judge(&answer.clear()?) {
        Verdict::Created(instance) => Some(instance.token?.expose().to_owned()),
        _ => None,
    }
}

fn hold(dir: &Path) -> Hold {
    let holder = Holder { pid: 1, verb: "test".into(), since: Timestamp::UNIX_EPOCH, who: Who::default() };
    Hold::acquire(dir, &holder, Duration::from_secs(60), &mut |_| {}).unwrap()
}

/// Opens the state, or begins it with what is known beforehand.
fn open(dir: &Path, world: &Arc<World>, disk: &DiskControl, prior: Prior) -> Result<MortalStore, StoreError> {
    let path = dir.join("journal.jsonl");
    let medium = |make| {
        let medium = FaultMedium::open(&path, make, disk.clone()).unwrap();
        medium.map(|medium| Box::new(medium) as Box<dyn Medium>)
    };
    let inner = match FileStore::open_on(dir, hold(dir), None, medium(false)) {
        Ok(store) => store,
        Err(StoreError::Absent(_)) => {
            let lineage = Lineage::from_bytes([1; 16]);
            let mut store = FileStore::begin_on(dir, hold(dir), medium(true).unwrap(), lineage, Timestamp::UNIX_EPOCH).unwrap();
            begin_with(&mut store, world, prior);
            store
        }
        Err(error) => return Err(error),
    };
    let world = Arc::clone(world);
    Ok(MortalStore { inner: Box::new(inner), world, disk: disk.clone(), unsynced: vec![], last: None, held: vec![] })
}

fn begin_with(store: &mut dyn StateStore, world: &World, prior: Prior) {
    let attempt = AttemptId::typed("a-prior");
    let (created, has_answer) = match prior {
        Prior::Nothing => return,
        Prior::InDoubt => (false, false),
        Prior::Received => (false, true),
        Prior::Created => (true, true),
    };
    lock(&world.names).insert(attempt.clone(), name(0));
    let answer = world.create(&attempt);
    let (_, id, _) = lock(&world.creates).last().unwrap().clone();
    let intent = Event::Intent { attempt: attempt.clone(), name: name(0), kind: InstanceType::WhatsApp, fence: None };
    let mut events = vec![intent, Event::Sent { attempt: attempt.clone() }];
    if has_answer {
        events.push(Event::Received { attempt: attempt.clone(), answer: answer.into() });
    }
    if created {
        events.push(Event::Created { attempt, id, api_url: None, token_in: Some(Serial(4)), token: None });
    }
    for event in events {
        store.append(event, Timestamp::UNIX_EPOCH).unwrap();
    }
    store.sync().unwrap();
}

/// One run of the applier, as the command does it; ends with the process if that dies.
fn run(store: MortalStore, world: &Arc<World>, names: usize, parallel: usize, boot: &str, recovers: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let told = Arc::clone(world);
    let observer = Arc::new(move |progress: Progress| {
        if let Progress::Done { name, outcome: Outcome::Created { id, .. }, .. }
        | Progress::Recovered { name, outcome: Outcome::Created { id, .. } } = progress
        {
            lock(&told.reported).insert(name, id);
        }
    });
    let declared = (0..names).map(|index| (name(index), InstanceType::WhatsApp)).collect();
    let (_handle, stop) = StopSignal::new();
    let oracle = Arc::new(Oracle(Arc::clone(world)));
    let mut death = world.dead.subscribe();
    let work = async {
        let applier = Applier::new(Box::new(store), oracle, observer, options(parallel, boot), stop);
        let work = async {
            if recovers && applier.recover().await.is_err() {
                return;
            }
            let Ok(state) = applier.look(|store| store.state().clone()).await else { return };
            let binding = Binding { origin: Origin("oracle".into()), key: None };
            applier.create(&plan(&declared, &state), binding).await;
        };
        tokio::select! {
            biased;
            _ = death.wait_for(|dead| *dead) => {}
            () = work => {}
        }
        // A dead process closes nothing: its store refuses.
        let _ = applier.close().await;
    };
    runtime.block_on(work);
}

/// What must be true at the end.
fn check(world: &World, dir: &Path, cell: &Cell, names: usize) -> Result<(), String> {
    let doubts = promises(world, dir, names)?;
    check_doubts(cell, world.spent.load(Ordering::SeqCst), doubts)
}

/// No name was created twice.
fn one_each(world: &World) -> Result<(), String> {
    let mut per_name: BTreeMap<InstanceName, u32> = BTreeMap::new();
    for (attempt, ..) in lock(&world.creates).iter() {
        *per_name.entry(lock(&world.names)[attempt].clone()).or_default() += 1;
    }
    match per_name.iter().find(|(_, count)| **count > 1) {
        Some((name, count)) => Err(format!("P1: {name} was created {count} times")),
        None => Ok(()),
    }
}

/// What was promised, and which of the names are in doubt.
fn promises(world: &World, dir: &Path, names: usize) -> Result<BTreeSet<usize>, String> {
    one_each(world)?;
    let reading = crate::store::read(dir, None).map_err(|error| format!("does not open: {error}"))?;
    let creates = lock(&world.creates);
    for (reported, id) in lock(&world.reported).iter() {
        let instance = reading.state.record(reported).and_then(|record| record.instance());
        let token = instance.and_then(|instance| kept_token(dir, instance.token.as_ref()?.entry));
        let expected = creates.iter().find(|(_, created, _)| created == id).map(|(.., token)| token.as_str());
        if token.is_none() || token.as_deref() != expected {
            return Err(format!("P3: {reported} was reported as {id}, and its token is gone"));
        }
    }
    let mut doubts = BTreeSet::new();
    for index in 0..names {
        match reading.state.record(&name(index)).map(|record| &record.phase) {
            Some(Phase::Created(instance)) if instance.token.is_some() => {}
            Some(Phase::InDoubt(..)) => {
                doubts.insert(index);
            }
            other => return Err(format!("{} ends as {other:?}", name(index))),
        }
    }
    lock(&world.violations).first().map_or(Ok(doubts), |violation| Err(violation.clone()))
}

/// The table of crash points: which crash may leave how many doubts besides the prior one.
fn check_doubts(cell: &Cell, has_happened: bool, mut doubts: BTreeSet<usize>) -> Result<(), String> {
    if cell.prior == Prior::InDoubt && !doubts.remove(&0) {
        return Err("P7: the prior doubt is gone without evidence".into());
    }
    let survives = |when| when == When::Done || (when == When::Written && cell.mode != Mode::PowerCut);
    let mine = match (cell.step, cell.mode) {
        (Step::Sent, Mode::Fail) => cell.when == When::Done,
        (Step::Sent, _) => survives(cell.when),
        (Step::Call, Mode::Fail) => cell.when == When::Written,
        (Step::Call, _) => true,
        (Step::Received, Mode::Fail) => cell.when == When::Before,
        (Step::Received, _) => !survives(cell.when),
        _ => false,
    };
    // Others in flight at that moment may have been between their sent and received as well.
    let (least, most) = match (mine && has_happened, cell.parallel) {
        (true, 1) => (1, 1),
        (true, parallel) => (1, parallel),
        (false, 1) => (0, 0),
        (false, parallel) => (0, parallel - 1),
    };
    if (least..=most).contains(&doubts.len()) { Ok(()) } else { Err(format!("{} doubts: {doubts:?}", doubts.len())) }
}

/// Where many small states are written quickly; what is synced is the fault medium's knowledge, not the disk's.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// One cell: a run that meets its crash, and plain re-runs until one lives to its end.
fn live(cell: Cell, defect: Option<Defect>) -> Result<(), String> {
    let dir = scratch();
    let disk = DiskControl::default();
    let names = 1 + cell.parallel;
    let world = Arc::new(World { defect, ..World::default() });
    world.aim(Some(cell));
    let store = open(dir.path(), &world, &disk, cell.prior).unwrap();
    run(store, &world, names, cell.parallel, "boot-0", true);
    for boot in ["boot-1", "boot-2"] {
        if world.is_dead() && cell.mode == Mode::PowerCut {
            disk.cut_power(&dir.path().join("journal.jsonl"), Tear::Clean).unwrap();
        }
        world.dead.send_replace(false);
        disk.with(|disk| (disk.fails_sync, disk.lies) = (false, false));
        let store = open(dir.path(), &world, &disk, cell.prior).map_err(|error| format!("does not open again: {error}"))?;
        let boot = if cell.mode == Mode::PowerCut { boot } else { "boot-0" };
        run(store, &world, names, cell.parallel, boot, defect != Some(Defect::RecoverySkipped));
        if !world.is_dead() {
            return check(&world, dir.path(), &cell, names);
        }
    }
    Err("it died a second time".into())
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for step in STEPS {
        for when in [When::Before, When::Written, When::Done] {
            for mode in [Mode::Kill, Mode::PowerCut, Mode::Fail] {
                for prior in [Prior::Nothing, Prior::Created, Prior::InDoubt, Prior::Received] {
                    for (parallel, nth) in [(1, 1), (1, 2), (3, 1), (3, 2)] {
                        cells.push(Cell { step, when, mode, prior, parallel, nth });
                    }
                }
            }
        }
    }
    cells
}

/// Runs `cells` on as many threads as there are processors; what went wrong, with its cell.
fn survey(cells: &[Cell], defect: Option<Defect>) -> Vec<(Cell, String)> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for part in 0..threads {
            let failures = &failures;
            scope.spawn(move || {
                for cell in cells.iter().skip(part).step_by(threads) {
                    if let Err(why) = live(*cell, defect) {
                        lock(failures).push((*cell, why));
                    }
                }
            });
        }
    });
    failures.into_inner().unwrap()
}

#[test]
fn p1_p2_p3_the_crash_matrix() {
    let cells = cells();
    assert!(cells.len() > 1_000);
    let failures = survey(&cells, None);
    assert!(failures.is_empty(), "{} of {} cells: {:?}", failures.len(), cells.len(), &failures[..failures.len().min(8)]);
}

#[test]
fn each_seeded_defect_makes_the_matrix_fail() {
    let is_plain = |cell: &Cell| (cell.parallel, cell.nth) == (1, 1) && matches!(cell.prior, Prior::Nothing | Prior::Received);
    let cells: Vec<Cell> = cells().into_iter().filter(is_plain).collect();
    for (defect, sign) in [
        (Defect::SentAfterCall, "P1"),
        (Defect::DoubtTakenForRefusal, "P1"),
        (Defect::RecoverySkipped, "ends as"),
        (Defect::ParsedBeforeReceived, "doubts"),
        (Defect::IntentNotSynced, "P2"),
        (Defect::NothingSynced, "P1"),
    ] {
        let failures = survey(&cells, Some(defect));
        assert!(failures.iter().any(|(_, why)| why.contains(sign)), "{defect:?} goes unseen; {} other failures", failures.len());
    }
}

#[test]
fn the_plan_of_a_held_name_says_so() {
    let cell = Cell { step: Step::Call, when: When::Written, mode: Mode::Kill, prior: Prior::Nothing, parallel: 1, nth: 1 };
    let dir = scratch();
    let world = Arc::new(World::default());
    world.aim(Some(cell));
    let store = open(dir.path(), &world, &DiskControl::default(), Prior::Nothing).unwrap();
    run(store, &world, 1, 1, "boot-1", true);
    let reading = crate::store::read(dir.path(), None).unwrap();
    let plan = plan(&BTreeMap::from([(name(0), InstanceType::WhatsApp)]), &reading.state);
    assert_eq!(plan.changes[0].action, Action::Hold);
}
