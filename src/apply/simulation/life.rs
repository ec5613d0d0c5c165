//! One seed: some runs with troubles between and in them; then a healthy run, an operator who knows the truth, and a last run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use super::Defect;
use super::chance::Chance;
use super::disk::Content;
use super::process::{Ended, Start, open, write_lock};
use super::tally::Tally;
use super::world::{End, Inner, World, wall};
use crate::apply::RunInfo;
use crate::instance::{InstanceName, InstanceType};
use crate::state::{AttemptId, Binding, Event, Grounds, Origin, Verdict, Who};
use crate::store::{FileStore, LockFile, StateStore, StoreError};

/// What became of a seed.
pub(super) struct Lived {
    pub(super) violations: Vec<String>,
    pub(super) tally: Tally,
    pub(super) sum: u64,
    pub(super) trace: String,
}

/// Lives through one seed.
pub(super) fn live(seed: u64, defect: Option<Defect>, dir: &Path, is_traced: bool) -> Lived {
    let mut dice = fastrand::Rng::with_seed(seed);
    // The product draws its jitter from the thread's generator.
    fastrand::seed(seed);
    let chance = Chance::draw(&mut dice, defect);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let life = Life { world: World::new(chance, dice, is_traced), dir: dir.into(), copy: None };
        life.live().await
    })
}

struct Life {
    world: Arc<World>,
    dir: Arc<Path>,
    /// A copy of state and lock file, made between two phases.
    copy: Option<(Option<Content>, Option<LockFile>)>,
}

fn name(index: usize) -> InstanceName {
    InstanceName::parse(&format!("n{index}")).unwrap()
}

/// The first `names` of a seed; the last one is of another type.
pub(super) fn declared(names: usize) -> BTreeMap<InstanceName, InstanceType> {
    (0..names).map(|index| (name(index), if index == 2 { InstanceType::WhatsAppDev } else { InstanceType::WhatsApp })).collect()
}

impl Life {
    async fn live(mut self) -> Lived {
        let phases = self.world.with(|inner| inner.chance.phases);
        for phase in 0..phases {
            self.between(phase).await;
            self.phase(phase + 1 == phases).await;
        }
        self.end().await;
        self.world.with(|inner| Lived {
            violations: std::mem::take(&mut inner.ledger.violations),
            tally: Tally { excused: inner.ledger.excused.len() as u64, ..inner.ledger.tally },
            sum: inner.sum,
            trace: inner.take_trace(),
        })
    }

    /// What happens while nobody runs.
    async fn between(&mut self, phase: usize) {
        let (wait, operates) = self.world.with(|inner| {
            if inner.chance.has_strangers && inner.dice.bool() {
                inner.stranger();
            }
            if inner.chance.clock_jumps && inner.dice.bool() {
                inner.jump();
            }
            inner.doom();
            if inner.chance.power_cuts && inner.happens(15) {
                inner.cut_power();
            }
            if inner.chance.rollbacks && phase > 0 && inner.dice.bool() {
                match &self.copy {
                    None => self.copy = Some((inner.disk.written.clone(), inner.lock_file.clone())),
                    Some((content, lock)) if inner.aside.is_none() => inner.roll_back(content.clone(), lock.clone()),
                    Some(_) => {}
                }
            }
            (inner.dice.u64(0..2_400), inner.chance.operators && inner.dice.bool() && inner.lost.is_empty())
        });
        sleep(Duration::from_secs(wait)).await;
        if operates {
            self.operate(true);
        }
        self.world.with(|inner| {
            let end = match (inner.chance.kills, inner.chance.power_cuts) {
                (false, false) => return,
                (true, true) => inner.dice.choice([End::Kill, End::PowerCut]).unwrap(),
                (true, false) => End::Kill,
                (false, true) => End::PowerCut,
            };
            inner.fuse = inner.happens(70).then(|| (inner.dice.u32(0..70), end));
            let is_short = inner.chance.disk > 0 && inner.happens(30);
            inner.disk.room = is_short.then(|| inner.dice.usize(0..12_000));
        });
    }

    /// One run, or two at once; and whoever has to look after a state that cannot be trusted.
    async fn phase(&self, declares_all: bool) -> Vec<Ended> {
        let (declared, second, strange, destroys) = self.world.with(|inner| {
            let names = if declares_all { inner.chance.names } else { inner.dice.usize(1..=inner.chance.names) };
            let known = inner.ledger.attempts.values().map(|tried| tried.name.clone()).collect::<std::collections::BTreeSet<_>>();
            let second = inner.chance.is_concurrent.then(|| Duration::from_millis(inner.dice.u64(0..90_000)));
            let strange = (inner.chance.has_strangers && inner.dice.bool()).then(|| inner.dice.u64(0..60_000));
            let mut declared = declared(names.max(known.len()));
            declared.retain(|name, _| !inner.doomed.contains(name));
            let destroys = [0, 1].map(|_| !inner.doomed.is_empty() && inner.chance.destroys && inner.happens(30));
            (declared, second, strange, destroys)
        });
        let servings = Arc::new(Mutex::new(Vec::new()));
        let start = Start {
            world: Arc::clone(&self.world),
            dir: Arc::clone(&self.dir),
            declared,
            servings: Arc::clone(&servings),
            destroys: destroys[0],
        };
        let other = async {
            match second {
                Some(after) => Some(Start { destroys: destroys[1], ..start.clone() }.run(after).await),
                None => None,
            }
        };
        let stranger = async {
            if let Some(at) = strange {
                sleep(Duration::from_millis(at)).await;
                self.world.with(Inner::stranger);
            }
        };
        let (first, other, ()) = tokio::join!(start.clone().run(Duration::ZERO), other, stranger);
        let servings = std::mem::take(&mut *servings.lock().unwrap_or_else(PoisonError::into_inner));
        for serving in servings {
            drop(serving.await);
        }
        self.world.with(Inner::after_phase);
        let ended: Vec<Ended> = [Some(first), other].into_iter().flatten().collect();
        let locked_out = ended.iter().filter(|ended| matches!(ended, Ended::Locked)).count();
        self.world.with(|inner| inner.ledger.tally.locked_out += locked_out as u64);
        if let Some(Ended::Untrusted(error)) = ended.iter().find(|ended| matches!(ended, Ended::Untrusted(_))) {
            self.look_after(error);
        }
        ended
    }

    /// An operator whose state is not trusted any more.
    fn look_after(&self, error: &StoreError) {
        let is_brought_back = self.world.with(|inner| {
            inner.ledger.tally.failed_closed += 1;
            if inner.aside.is_none() && !inner.has_lied && !inner.chance.reorders {
                inner.violation(format!("V6: the state does not open: {error}"));
            }
            inner.bring_back()
        });
        if !is_brought_back {
            self.rebuild();
        }
    }

    /// `chatapi state rebuild`.
    fn rebuild(&self) {
        let Some(lock) = self.world.with(Inner::begin_anew) else { return };
        let (process, _) = self.world.start_process();
        let Ok(mut store) = open(&self.world, process, &self.dir, None) else { return };
        let mut events = vec![operator_run(), Event::Bound(binding())];
        events.extend(lock.instances.iter().map(|(name, instance)| Event::Adopted {
            name: name.clone(),
            kind: instance.kind,
            id: instance.id.clone(),
            api_url: None,
            source: "a lock file".into(),
            is_foreign: false,
        }));
        events.extend(lock.in_doubt.iter().map(|(name, doubt)| Event::AdoptedDoubt {
            attempt: doubt.attempt.clone().unwrap_or_else(|| AttemptId::typed(&format!("a-lost-{name}"))),
            name: name.clone(),
            kind: doubt.kind,
        }));
        for event in events {
            store.append(event, wall()).unwrap();
        }
        store.sync().unwrap();
        let lock = LockFile::of(store.state(), store.head(), []);
        assert!(write_lock(&self.world, process, lock));
        Box::new(store).close().unwrap();
    }

    /// Operators who know the truth: `chatapi resolve`, for one doubt or for all.
    fn operate(&self, only_one: bool) {
        let fuse = self.world.with(|inner| {
            inner.disk.room = None;
            inner.fuse.take()
        });
        let healthy = self.world.with(|inner| std::mem::take(&mut inner.chance.disk));
        let (process, _) = self.world.start_process();
        if let Ok(mut store) = open(&self.world, process, &self.dir, None) {
            let doubts: Vec<_> = store.state().doubts().map(|(record, open, _)| (record.clone(), open.id.clone())).collect();
            let count = if only_one { 1 } else { doubts.len() };
            for (record, attempt) in doubts.into_iter().take(count) {
                let truth = self.world.with(|inner| inner.truth(store.state(), &record.name, &attempt, record.kind));
                if let Some(id) = &truth {
                    // What a rule said of it before may have been lost.
                    self.world.with(|inner| inner.ledger.adopted.insert(id.clone(), record.name.clone()));
                }
                let verdict = truth.map_or(Verdict::NotCreated, |id| Verdict::Created { id, api_url: None });
                let grounds = Grounds { by: "operator".into(), reason: Some("looked".into()), candidates: None };
                let resolved = Event::Resolved { attempt, verdict, grounds };
                if let Err(error) = store.append(operator_run(), wall()).and_then(|_| store.append(resolved, wall())) {
                    self.world.with(|inner| inner.violation(format!("the doubt of {} cannot be left: {error:?}", record.name)));
                }
            }
            let _ = Box::new(store).close();
        }
        self.world.with(|inner| (inner.fuse, inner.chance.disk) = (fuse, healthy));
    }

    /// Everything is well again.
    async fn end(&self) {
        self.world.with(|inner| {
            inner.doom();
            inner.chance.heal();
            (inner.fuse, inner.disk.room) = (None, None);
        });
        sleep(Duration::from_hours(24)).await;
        let mut ended = self.phase(true).await;
        // A disk that lied may have kept no copy that is new enough: then one is brought back first, and the state begun anew next.
        for _ in 0..2 {
            if matches!(ended[..], [Ended::Untrusted(_)]) {
                ended = self.phase(true).await;
            }
        }
        let may_doubt = self.look(|world, store| {
            world.with(|inner| {
                inner.check_run(&ended, store.state(), true);
                inner.check_doubts(store.state());
                inner.check_orphans(store.state());
            });
            store.state().doubts().next().is_some()
        });
        if may_doubt == Some(true) {
            self.operate(false);
            ended = self.phase(true).await;
        }
        self.look(|world, store| {
            world.with(|inner| inner.check_run(&ended, store.state(), false));
            world.check_tokens(store);
        });
    }

    /// Looks at the state as it is.
    fn look<T>(&self, look: impl FnOnce(&World, &mut FileStore) -> T) -> Option<T> {
        let (process, _) = self.world.start_process();
        match open(&self.world, process, &self.dir, None) {
            Ok(mut store) => Some(look(&self.world, store.inner())),
            Err(error) => {
                self.world.with(|inner| inner.violation(format!("V6: the state does not open at the end: {error}")));
                None
            }
        }
    }
}

fn binding() -> Binding {
    Binding { origin: Origin("https://simulated".into()), key: None, environment: None }
}

fn operator_run() -> Event {
    RunInfo { verb: "resolve", who: Who::default(), boot: None, up: || None, keeps_what_is_synced: true, plan: None }.event()
}
