//! The crash matrix: every step of what a run does × {dies before it, after its bytes are written, after its effect; or it fails}
//! × {kill, power cut, error} × what is known beforehand × {1, 3 at once}, with the real journal, store and applier. After plain
//! re-runs no name has two instances, no token that was reported is gone, the server has lost nothing that was not named, and each
//! name is where it belongs. Then the same with seeded defects, each of which must make its matrix fail.
//!
//! One matrix each for creates, deletes, settlements and replacements; and power cuts in a model of the disk.

mod creating;
mod leaving;
mod mortal;
mod power;
mod prior;
mod replacing;
mod settling;
mod trial;
mod verdict;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::instance::InstanceType;
use crate::plan::Plan;
use crate::state::{Binding, Lineage, Origin, Phase, Record, Serial, State};
use crate::store::fault::{DiskControl, FaultMedium, Tear};
use crate::store::{FileStore, Hold, Holder, Medium, StateStore, StoreError};
use mortal::MortalStore;
use prior::{begin_delete, make, make_for_others, note};
use trial::*;
use verdict::{bounded, has_no_more_doubts, has_whole, is_doubted, promises};
use world::{Oracle, World, lock};

/// One cell of a matrix: how a state begins, what each run does, and what has to be so at the end.
trait Case: Copy + Debug + Sync {
    fn trial(&self) -> Trial;

    /// Puts on record and on the server what is known beforehand.
    fn begin(&self, store: &mut dyn StateStore, world: &World);

    /// What a run does, as the command does it. It ends early where that would.
    async fn work(&self, applier: &Applier, world: &World) -> Result<(), RecordError>;
    fn check(&self, world: &World, dir: &Path) -> Result<(), String>;
}

fn named(text: &str) -> InstanceName {
    InstanceName::parse(text).unwrap()
}

fn name(index: usize) -> InstanceName {
    named(&format!("n{index}"))
}

fn binding() -> Binding {
    Binding { origin: Origin("oracle".into()), key: None, environment: None }
}

fn options(parallelism: usize, boot: &str) -> Options {
    Options {
        parallelism: Parallelism::Fixed(parallelism),
        rate: None,
        is_exclusive: false,
        // Time stands still here: an absence from the list counts at once.
        settling: Settling { after: Duration::ZERO, between: Duration::ZERO },
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

fn hold(dir: &Path) -> Hold {
    let holder = Holder { pid: 1, verb: "test".into(), since: Timestamp::UNIX_EPOCH, who: Who::default() };
    Hold::acquire(dir, &holder, Duration::from_secs(60), &mut |_| {}).unwrap()
}

/// Opens the state, or begins it with what is known beforehand.
fn open(dir: &Path, world: &Arc<World>, disk: &DiskControl, case: &impl Case) -> Result<MortalStore, StoreError> {
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
            case.begin(&mut store, world);
            store.sync().unwrap();
            store
        }
        Err(error) => return Err(error),
    };
    // Whatever a run reads at its beginning is durable before it builds on it: `power` shows that.
    world.found(inner.state());
    let world = Arc::clone(world);
    Ok(MortalStore { inner: Box::new(inner), world, disk: disk.clone(), unsynced: vec![], last: None, held: vec![] })
}

/// One run of the applier, as the command does it; ends with the process if that dies. An error: what the state did not take.
fn run(case: &impl Case, store: MortalStore, world: &Arc<World>, boot: &str) -> Result<(), RecordError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let told = Arc::clone(world);
    let observer = Arc::new(move |progress: Progress| {
        if let Progress::Done { outcome: Outcome::Created { id, .. }, .. }
        | Progress::Recovered { outcome: Outcome::Created { id, .. }, .. } = progress
        {
            lock(&told.reported).insert(id);
        }
    });
    let (_handle, stop) = StopSignal::new();
    let oracle = Arc::new(Oracle(Arc::clone(world)));
    let mut death = world.dead.subscribe();
    let work = async {
        let applier = Applier::new(Box::new(store), oracle, observer, options(case.trial().parallel, boot), stop);
        let done = tokio::select! {
            biased;
            _ = death.wait_for(|dead| *dead) => Ok(()),
            done = case.work(&applier, world) => done,
        };
        // A dead process closes nothing: its store refuses.
        let _ = applier.close().await;
        done
    };
    runtime.block_on(work)
}

/// Creates what `plan` wants, and says why the run stops there, if it does.
async fn create(applier: &Applier, plan: &Plan) -> Result<Report, RecordError> {
    let report = applier.create(plan, binding()).await;
    match &report.halt {
        Some(Halt::Store(error)) => Err(RecordError::Store(Arc::clone(error))),
        _ => Ok(report),
    }
}

/// Deletes the instances of `names`; what is told of it is held against the server.
async fn retire(
    applier: &Applier,
    world: &World,
    names: &BTreeSet<InstanceName>,
    is_unprotecting: bool,
) -> Result<(), RecordError> {
    let terms = Terms { is_refusal_enough: false, is_unprotecting };
    let departures = applier.retire(names, terms).await;
    for (name, departure) in departures.outcomes {
        if let Departure::Deleted { id, .. } = departure {
            world.demand(!world.has(&id), || format!("P9: {name} is called deleted, and {id} exists"));
        }
    }
    match departures.halt {
        Some(Halt::Store(error)) => Err(RecordError::Store(error)),
        _ => Ok(()),
    }
}

/// Where many small states are written quickly; what is synced is the fault medium's knowledge, not the disk's.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// One cell: a run that meets its crash, and plain re-runs until nothing happens in one. Whether the crash was met at all.
fn live<C: Case>(case: &C, defect: Option<Defect>) -> Result<bool, String> {
    let dir = scratch();
    let disk = DiskControl::default();
    let Trial { crash, trouble, .. } = case.trial();
    let world = Arc::new(World { defect, trouble: Mutex::new(trouble), ..World::default() });
    let is_cut = crash.mode == Mode::PowerCut;
    world.aim(Some(crash));
    for (round, boot) in ["boot-0", "boot-1", "boot-2", "boot-3"].into_iter().enumerate() {
        let store = open(dir.path(), &world, &disk, case).map_err(|error| format!("does not open again: {error}"))?;
        let before = world.happened();
        let done = run(case, store, &world, if is_cut { boot } else { "boot-0" });
        let is_disturbed = before != world.happened();
        world.demand(done.is_ok() || is_disturbed, || format!("a run that nothing disturbs ends with {done:?}"));
        if world.is_dead() && is_cut {
            disk.cut_power(&dir.path().join("journal.jsonl"), Tear::Clean).unwrap();
        }
        if round > 0 && !is_disturbed {
            return case.check(&world, dir.path()).map(|()| world.spent.load(Ordering::SeqCst));
        }
        world.dead.send_replace(false);
        disk.with(|disk| (disk.fails_sync, disk.lies) = (false, false));
    }
    Err("something happens in every run".into())
}

/// What came of a matrix.
struct Survey<C> {
    failures: Vec<(C, String)>,
    /// The cells whose crash was met.
    met: Vec<C>,
}

/// Does `act` with each of `items`, on as many threads as there are processors.
fn for_each<T: Sync>(items: &[T], act: impl Fn(&T) + Sync) {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for part in 0..threads {
            let act = &act;
            scope.spawn(move || items.iter().skip(part).step_by(threads).for_each(act));
        }
    });
}

/// Lives through `cells`.
fn survey<C: Case + Send>(cells: &[C], defect: Option<Defect>) -> Survey<C> {
    let survey = Mutex::new(Survey { failures: Vec::new(), met: Vec::new() });
    for_each(cells, |cell| match live(cell, defect) {
        Ok(true) => lock(&survey).met.push(*cell),
        Ok(false) => {}
        Err(why) => lock(&survey).failures.push((*cell, why)),
    });
    survey.into_inner().unwrap()
}

/// Every promise is kept in each of `cells`, and each place of a crash was met in one of them.
fn assert_kept<C: Case + Send>(what: &str, cells: &[C]) {
    let Survey { failures, met } = survey(cells, None);
    println!("{what}: {} cells, {} crashes met, broken promises {}", cells.len(), met.len(), failures.len());
    assert!(failures.is_empty(), "{} of {} cells: {:?}", failures.len(), cells.len(), &failures[..failures.len().min(8)]);
    let place = |cell: &C| format!("{:?}", Crash { nth: 1, ..cell.trial().crash });
    let met: BTreeSet<String> = met.iter().map(place).collect();
    let missed: BTreeSet<String> = cells.iter().map(place).collect();
    let missed: Vec<_> = missed.difference(&met).collect();
    assert!(missed.is_empty(), "{what}: never met: {missed:?}");
}

/// Each defect makes some of `cells` fail, with its sign.
fn assert_seen<C: Case + Send>(cells: &[C], defects: &[(Defect, &str)]) {
    for (defect, sign) in defects {
        let failures = survey(cells, Some(*defect)).failures;
        let seen = failures.iter().filter(|(_, why)| why.contains(sign)).count();
        println!("{defect:?}: seen in {seen} of {} cells", cells.len());
        assert!(seen > 0, "{defect:?} goes unseen; {} other failures: {:?}", failures.len(), failures.first());
    }
}
