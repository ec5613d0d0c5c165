//! What outlives a crash: the server, and what the test knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{Cell, Defect, Mode, Step, When};
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::listing::{ListedInstance, Listing};
use crate::provider::{Advice, CreateRequest, DeleteError, Exchange, ListError, Pending, Provider, Ready, Unsent};
use crate::state::{Answer, AttemptId, Origin};

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What outlives a crash: the server, and what the test knows.
#[derive(Default)]
pub(super) struct World {
    pub(super) cell: Mutex<Option<Cell>>,
    pub(super) defect: Option<Defect>,
    pub(super) occurrences: Mutex<u32>,
    /// The crash has happened, or the one failure was given.
    pub(super) spent: AtomicBool,
    pub(super) dead: watch::Sender<bool>,
    /// What the server created: attempt, id, token.
    pub(super) creates: Mutex<Vec<(AttemptId, InstanceId, String)>>,
    pub(super) names: Mutex<BTreeMap<AttemptId, InstanceName>>,
    /// Steps of attempts that would survive a power cut.
    pub(super) durable: Mutex<BTreeSet<(AttemptId, Step)>>,
    pub(super) reported: Mutex<BTreeMap<InstanceName, InstanceId>>,
    pub(super) violations: Mutex<Vec<String>>,
}

#[derive(PartialEq, Eq)]
pub(super) enum Hit {
    Go,
    Die,
    Fail,
}

impl World {
    /// The next crash.
    pub(super) fn aim(&self, cell: Option<Cell>) {
        *lock(&self.cell) = cell;
        *lock(&self.occurrences) = 0;
        self.spent.store(false, Ordering::SeqCst);
    }

    pub(super) fn is_dead(&self) -> bool {
        *self.dead.borrow()
    }

    pub(super) fn die(&self) {
        self.dead.send_replace(true);
    }

    pub(super) fn at(&self, step: Step, when: When) -> Hit {
        let Some(cell) = lock(&self.cell).filter(|cell| cell.step == step && cell.when == when) else { return Hit::Go };
        if self.spent.load(Ordering::SeqCst) {
            return Hit::Go;
        }
        let mut occurrences = lock(&self.occurrences);
        *occurrences += 1;
        if *occurrences < cell.nth {
            return Hit::Go;
        }
        self.spent.store(true, Ordering::SeqCst);
        match cell.mode {
            Mode::Fail => Hit::Fail,
            Mode::Kill | Mode::PowerCut => {
                self.die();
                Hit::Die
            }
        }
    }

    pub(super) fn demand(&self, is_so: bool, what: impl FnOnce() -> String) {
        if !is_so {
            lock(&self.violations).push(what());
        }
    }
}

/// The server: creates at once, and checks that it was right to be asked.
pub(super) struct Oracle(pub(super) Arc<World>);

impl Oracle {
    fn demand_durable(&self, attempt: &AttemptId, step: Step) {
        let is_durable = lock(&self.0.durable).contains(&(attempt.clone(), step));
        self.0.demand(is_durable, || format!("P2: {attempt} went on before its {step:?} was durable"));
    }
}

impl Provider for Oracle {
    fn origin(&self) -> &Origin {
        static ORIGIN: std::sync::LazyLock<Origin> = std::sync::LazyLock::new(|| Origin("oracle".into()));
        &ORIGIN
    }

    fn connect(&self, request: CreateRequest) -> Pending<'_, Result<Box<dyn Ready>, Unsent>> {
        Box::pin(async move {
            let attempt = request.attempt.unwrap();
            self.demand_durable(&attempt, Step::Intent);
            for when in [When::Before, When::Written, When::Done] {
                match self.0.at(Step::Connect, when) {
                    Hit::Go => {}
                    Hit::Die => std::future::pending().await,
                    Hit::Fail => return Err(Unsent { reason: "refused".into(), advice: Advice::TryAgain }),
                }
            }
            Ok(Box::new(OracleCall { oracle: Oracle(Arc::clone(&self.0)), attempt }) as Box<dyn Ready>)
        })
    }

    fn delete(&self, _: &InstanceId) -> Pending<'_, Result<(), DeleteError>> {
        Box::pin(std::future::ready(Err(DeleteError::NotSent("nothing is deleted here".to_owned()))))
    }

    fn list(&self) -> Pending<'_, Result<Listing, ListError>> {
        let item = |id: &InstanceId| ListedInstance::bare(id.clone(), InstanceType::WhatsApp);
        let instances = lock(&self.0.creates).iter().map(|(_, id, _)| item(id)).collect();
        Box::pin(async { Ok(Listing { instances, odd_items: 0 }) })
    }
}

pub(super) struct OracleCall {
    oracle: Oracle,
    attempt: AttemptId,
}

impl Ready for OracleCall {
    fn send(self: Box<Self>) -> Pending<'static, Exchange> {
        Box::pin(async move {
            let world = Arc::clone(&self.oracle.0);
            if world.is_dead() {
                std::future::pending::<()>().await;
            }
            if world.defect != Some(Defect::SentAfterCall) {
                self.oracle.demand_durable(&self.attempt, Step::Sent);
            }
            match world.at(Step::Call, When::Before) {
                Hit::Go => {}
                Hit::Die => std::future::pending().await,
                Hit::Fail => return Exchange::Unsent(Unsent { reason: "reset".into(), advice: Advice::TryAgain }),
            }
            let answer = world.create(&self.attempt);
            match world.at(Step::Call, When::Written) {
                Hit::Go => {}
                Hit::Die => std::future::pending().await,
                Hit::Fail if world.defect == Some(Defect::DoubtTakenForRefusal) => {
                    let body = br#"{"error":"timeout"}"#.to_vec();
                    return Exchange::Answered(Answer { status: 400, complete: true, retry_after: None, body });
                }
                Hit::Fail => return Exchange::Cut { reason: "reset".into() },
            }
            if world.at(Step::Call, When::Done) == Hit::Die {
                std::future::pending::<()>().await;
            }
            Exchange::Answered(answer)
        })
    }
}

impl World {
    pub(super) fn create(&self, attempt: &AttemptId) -> Answer {
        let mut creates = lock(&self.creates);
        let (id, token) = (format!("{}", 100 + creates.len()), format!("token{}", creates.len()));
        creates.push((attempt.clone(), InstanceId::parse(&id).unwrap(), token.clone()));
        let body = format!(
            r#"{{"result":{{"status":"created","instance":{{"id":"{id}","apiUrl":"https://h/{id}/","token":"{token}"}}}}}}"#
        );
        Answer { status: 200, complete: true, retry_after: None, body: body.into_bytes() }
    }
}
