//! One run of `chatapi apply`, in the order of the command: lock file, lock, state, recovery, rules, plan, guards, lock file,
//! creates, deletes, lock file; or of `chatapi destroy`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::Defect;
use super::disk::SimMedium;
use super::server::SimProvider;
use super::store::SimStore;
use super::world::{Hit, Inner, World, up, wall};
use crate::apply::recorder::Recorder;
use crate::apply::{Applier, NoRescue, Options, Outcome, Parallelism, Progress, Report, RunInfo, Signal, StopSignal, Tries};
use crate::instance::{InstanceName, InstanceType};
use crate::plan::{Action, Settling, plan};
use crate::state::{Binding, Head, Lineage, Origin, State, Who};
use crate::store::{FileStore, Hold, Holder, LockFile, StateStore, StoreError, writer};

/// How a run ended.
#[derive(Debug)]
pub(super) enum Ended {
    Died,
    Locked,
    /// The state is missing, older or damaged: nothing was sent.
    Untrusted(StoreError),
    /// It could not begin, or not go on, for another reason.
    Failed(#[expect(dead_code, reason = "shown by `Debug` in a violation and in the trace")] String),
    Applied(Report),
}

/// The store's tasks of a phase, which outlive their processes by a moment.
pub(super) type Servings = Arc<Mutex<Vec<JoinHandle<Box<dyn StateStore>>>>>;

/// What a run is started with.
#[derive(Clone)]
pub(super) struct Start {
    pub(super) world: Arc<World>,
    pub(super) dir: Arc<Path>,
    pub(super) declared: BTreeMap<InstanceName, InstanceType>,
    pub(super) servings: Servings,
    /// It is `chatapi destroy`, and no apply.
    pub(super) destroys: bool,
}

/// Takes the state, if nobody has it. Time is simulated, so that no real time is spent on a glance at whoever has it.
pub(super) fn hold(dir: &Path) -> Result<Hold, StoreError> {
    if let Some(holder) = writer(dir) {
        return Err(StoreError::Locked { path: dir.to_owned(), holder: Box::new(holder) });
    }
    let holder = Holder { pid: 1, verb: "apply".into(), since: wall(), who: Who::default() };
    Hold::acquire(dir, &holder, Duration::ZERO, &mut |_| {})
}

/// Opens the state, or begins it where nothing says that there was one.
pub(super) fn open(world: &Arc<World>, process: usize, dir: &Path, lock: Option<&LockFile>) -> Result<SimStore, StoreError> {
    let medium = SimMedium::open(world, process, false);
    let store = match FileStore::open_on(dir, hold(dir)?, lock, medium) {
        Err(StoreError::Absent(_)) => {
            let lineage = Lineage::from_bytes(world.with(|inner| std::array::from_fn(|_| inner.dice.u8(..))));
            let medium = SimMedium::open(world, process, true).unwrap();
            FileStore::begin_on(dir, hold(dir)?, medium, lineage, wall())
        }
        opened => opened,
    };
    Ok(SimStore::new(store?, world, process))
}

/// Writes the lock file, whole or not at all. `false`: it could not be written.
pub(super) fn write_lock(world: &World, process: usize, lock: LockFile) -> bool {
    world.with(|inner| {
        let hit = inner.step(process, "lock file");
        let is_written = match hit {
            Hit::Dead => false,
            Hit::Dies => inner.dice.bool(),
            Hit::Goes => !inner.fails(),
        };
        if is_written {
            if !(inner.chance.lies && inner.dice.bool()) {
                inner.durable_lock_file = Some(lock.clone());
            }
            inner.lock_file = Some(lock);
        }
        is_written && hit == Hit::Goes
    })
}

pub(super) async fn position(applier: &Applier) -> Result<(State, Head), String> {
    applier.look(|store| (store.state().clone(), store.head())).await.map_err(|error| error.to_string())
}

impl Start {
    /// Runs until the end, or until the process dies.
    pub(super) async fn run(self, after: Duration) -> Ended {
        sleep(after).await;
        let (process, mut death) = self.world.start_process();
        if self.world.with(|inner| inner.power_is_cut) {
            return Ended::Died;
        }
        self.world.with(|inner| inner.ledger.tally.runs += 1);
        let (ask, stop) = StopSignal::new();
        let interrupt = async {
            let at = self.world.with(|inner| inner.chance.interrupts.then(|| inner.dice.u64(0..60_000)));
            sleep(Duration::from_millis(at.unwrap_or(u64::from(u32::MAX)))).await;
            ask.ask(Signal::Interrupt);
            sleep(self.world.moment(Duration::from_secs(20))).await;
            ask.ask(Signal::Interrupt);
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            biased;
            _ = death.wait_for(|dead| *dead) => Ended::Died,
            ended = self.steps(process, stop) => ended,
            () = interrupt => Ended::Died,
        };
        let is_dead = self.world.with(|inner| inner.is_dead(process));
        let ended = if is_dead { Ended::Died } else { ended };
        self.world.with(|inner| inner.note(|| format!("{process} ended: {ended:?}")));
        ended
    }

    async fn steps(&self, process: usize, stop: StopSignal) -> Ended {
        // As the command does: before it waits for the lock.
        let lock = self.world.with(|inner| inner.lock_file.clone());
        let store = match self.open(process, lock.as_ref()).await {
            Ok(store) => store,
            Err(StoreError::Locked { .. }) => return Ended::Locked,
            Err(error) if error.is_untrustworthy() => return Ended::Untrusted(error),
            Err(error) => return Ended::Failed(error.to_string()),
        };
        let world = Arc::clone(&self.world);
        let pause = move || {
            let moment = world.moment(Duration::from_millis(20));
            async move { if moment.is_zero() { tokio::task::yield_now().await } else { sleep(moment).await } }
        };
        let (recorder, serving) = Recorder::simulated(Box::new(store), wall, pause);
        self.servings.lock().unwrap_or_else(PoisonError::into_inner).push(tokio::spawn(serving));
        let provider = Arc::new(SimProvider { world: Arc::clone(&self.world), process });
        let applier = Applier::with(recorder, provider, self.observer(process), self.options(), stop.clone());
        let ended = if self.destroys {
            self.destroy(process, &applier, &stop).await
        } else {
            self.apply(process, &applier, (lock.as_ref(), &stop)).await
        };
        match ended {
            Ok(report) => Ended::Applied(report),
            Err(error) => Ended::Failed(error),
        }
    }

    /// Waits a while for the lock.
    async fn open(&self, process: usize, lock: Option<&LockFile>) -> Result<SimStore, StoreError> {
        let defect = self.world.with(|inner| inner.chance.defect);
        let lock = lock.filter(|_| defect != Some(Defect::RollbackIgnored));
        let dir = if defect == Some(Defect::NoLock) { self.dir.join(format!("{}", process % 2)) } else { self.dir.to_path_buf() };
        let mut patience = self.world.with(|inner| inner.dice.u64(0..8));
        loop {
            match open(&self.world, process, &dir, lock) {
                Err(StoreError::Locked { .. }) if patience > 0 => patience -= 1,
                Err(error) => return Err(error),
                Ok(store) => {
                    self.world.with(Inner::opened);
                    return Ok(store);
                }
            }
            sleep(Duration::from_secs(20 - patience)).await;
        }
    }

    async fn apply(
        &self,
        process: usize,
        applier: &Applier,
        (lock, stop): (Option<&LockFile>, &StopSignal),
    ) -> Result<Report, String> {
        let defect = self.world.with(|inner| inner.chance.defect);
        if defect != Some(Defect::RecoverySkipped) {
            applier.recover().await.map_err(|error| error.to_string())?;
        }
        // A list that cannot be had leaves the doubts as they are.
        if let Ok(by_list) =
            applier.proven(|| Some(std::collections::BTreeSet::new())).await.map_err(|error| error.to_string())?
        {
            applier.settle_doubts(by_list.proven).await.map_err(|error| error.to_string())?;
        }
        let (state, _) = position(applier).await?;
        let plan = plan(&self.declared, &state).answered(&self.new_names(), &[]);
        let leaving = self.leaving(&state);
        if !plan.guards(&crate::plan::Limits::default(), None).is_empty() {
            return Err("a guard".into());
        }
        let wanted: Vec<_> = plan.with(Action::Create).map(|change| (&change.name, change.kind)).collect();
        if !wanted.is_empty() || !leaving.is_empty() {
            applier.begin(plan.changes.len()).await.map_err(|error| error.to_string())?;
            let (state, head) = position(applier).await?;
            if !write_lock(&self.world, process, LockFile::of(&state, head, wanted.iter().copied())) {
                return Err("no lock file".into());
            }
        }
        let binding = Binding { origin: Origin("https://simulated".into()), key: None, environment: None };
        let mut report = applier.create(&plan, binding).await;
        self.delete(applier, &leaving, (&mut report, stop)).await;
        self.finish(process, applier, lock).await?;
        Ok(report)
    }

    /// The end of every command that wrote.
    pub(super) async fn finish(&self, process: usize, applier: &Applier, lock: Option<&LockFile>) -> Result<(), String> {
        let (state, head) = position(applier).await?;
        let now = LockFile::of(&state, head, []);
        if lock != Some(&now) && applier.sync().await.is_ok() {
            write_lock(&self.world, process, now);
        }
        // What closing does besides the index.
        let _ = applier.sync().await;
        Ok(())
    }

    fn observer(&self, process: usize) -> Arc<dyn crate::apply::Observer> {
        let world = Arc::clone(&self.world);
        Arc::new(move |progress: Progress| {
            world.with(|inner| {
                inner.note(|| format!("{process} tells {progress:?}"));
                if let Progress::Done { name, outcome: Outcome::Created { id, has_token: true }, .. }
                | Progress::Recovered { name, outcome: Outcome::Created { id, has_token: true } } = progress
                    && !inner.is_dead(process)
                {
                    inner.told(name, id);
                }
            });
        })
    }

    fn options(&self) -> Options {
        self.world.with(|inner| Options {
            parallelism: Parallelism::Fixed(inner.chance.parallel),
            rate: None,
            is_exclusive: inner.chance.is_exclusive,
            settling: match inner.chance.defect {
                Some(Defect::SettledTooEarly) => Settling { after: Duration::from_secs(1), between: Duration::from_secs(1) },
                _ => Settling::default(),
            },
            tries: Tries { most: 3, wait: Duration::from_millis(500) },
            drain: Duration::from_secs(9),
            run: RunInfo {
                verb: "apply",
                who: Who::default(),
                boot: Some(format!("boot-{}", inner.boot)),
                up,
                keeps_what_is_synced: inner.chance.keeps,
                plan: None,
            },
            rescue: Arc::new(NoRescue),
            clock: wall,
        })
    }
}
