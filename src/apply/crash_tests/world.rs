//! What outlives a crash: the server, and what the test knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{Crash, Defect, Mode, Step, Trouble, When};
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::listing::{ListedInstance, Listing};
use crate::provider::{Advice, CreateRequest, DeleteError, Exchange, ListError, Pending, Provider, Ready, Unsent};
use crate::state::{Answer, AttemptId, Origin, Phase, State};

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What outlives a crash: the server, and what the test knows.
#[derive(Default)]
pub(super) struct World {
    pub(super) crash: Mutex<Option<Crash>>,
    pub(super) trouble: Mutex<Trouble>,
    pub(super) defect: Option<Defect>,
    pub(super) occurrences: Mutex<u32>,
    /// The crash has happened, or the one failure was given.
    pub(super) spent: AtomicBool,
    /// Crashes, failures and troubles so far.
    pub(super) happened: AtomicU32,
    pub(super) dead: watch::Sender<bool>,
    /// What the server created: attempt, id, token.
    pub(super) creates: Mutex<Vec<(AttemptId, InstanceId, String)>>,
    pub(super) names: Mutex<BTreeMap<AttemptId, InstanceName>>,
    /// What it has no longer.
    pub(super) gone: Mutex<BTreeSet<InstanceId>>,
    /// What may be deleted.
    pub(super) doomed: Mutex<BTreeSet<InstanceId>>,
    /// The attempt of each delete.
    pub(super) retiring: Mutex<BTreeMap<InstanceId, AttemptId>>,
    /// Steps that would survive a power cut, each with its attempt, id or name.
    pub(super) durable: Mutex<BTreeSet<(String, Step)>>,
    /// Steps that have to be durable before anything is created.
    pub(super) first: Mutex<Vec<(String, Step)>>,
    /// What was replaced has a successor under its old name, on record, before it is deleted.
    pub(super) is_replacing: AtomicBool,
    pub(super) reported: Mutex<BTreeSet<InstanceId>>,
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
    pub(super) fn aim(&self, crash: Option<Crash>) {
        *lock(&self.crash) = crash;
        *lock(&self.occurrences) = 0;
        self.spent.store(false, Ordering::SeqCst);
    }

    pub(super) fn is_dead(&self) -> bool {
        *self.dead.borrow()
    }

    pub(super) fn die(&self) {
        self.dead.send_replace(true);
    }

    pub(super) fn happened(&self) -> u32 {
        self.happened.load(Ordering::SeqCst)
    }

    pub(super) fn at(&self, step: Step, when: When) -> Hit {
        let Some(crash) = lock(&self.crash).filter(|crash| crash.step == step && crash.when == when) else { return Hit::Go };
        if self.spent.load(Ordering::SeqCst) {
            return Hit::Go;
        }
        let mut occurrences = lock(&self.occurrences);
        *occurrences += 1;
        if *occurrences < crash.nth {
            return Hit::Go;
        }
        self.spent.store(true, Ordering::SeqCst);
        self.happened.fetch_add(1, Ordering::SeqCst);
        match crash.mode {
            Mode::Fail => Hit::Fail,
            Mode::Kill | Mode::PowerCut => {
                self.die();
                Hit::Die
            }
        }
    }

    /// Whether `trouble` comes now. It comes once.
    fn meets(&self, trouble: Trouble) -> bool {
        let is_now = *lock(&self.trouble) == trouble;
        if is_now {
            *lock(&self.trouble) = Trouble::Nothing;
            self.happened.fetch_add(1, Ordering::SeqCst);
        }
        is_now
    }

    pub(super) fn demand(&self, is_so: bool, what: impl FnOnce() -> String) {
        if !is_so {
            lock(&self.violations).push(what());
        }
    }

    /// A run begins with `state`.
    pub(super) fn found(&self, state: &State) {
        let mut durable = lock(&self.durable);
        for record in state.records().values() {
            match &record.phase {
                Phase::Created(instance) => {
                    durable.insert((instance.id.to_string(), Step::Created));
                }
                Phase::Retiring(instance, open) => {
                    lock(&self.retiring).insert(instance.id.clone(), open.attempt.clone());
                    durable.insert((open.attempt.to_string(), Step::Retiring));
                    durable.extend(open.sent.map(|_| (open.attempt.to_string(), Step::RetireSent)));
                }
                _ => {}
            }
        }
    }

    /// What the server created for `name`, the oldest first.
    pub(super) fn made(&self, name: &InstanceName) -> Vec<InstanceId> {
        let names = lock(&self.names);
        lock(&self.creates).iter().filter(|(attempt, ..)| names[attempt] == *name).map(|(_, id, _)| id.clone()).collect()
    }

    pub(super) fn token(&self, id: &InstanceId) -> Option<String> {
        lock(&self.creates).iter().find(|(_, created, _)| created == id).map(|(.., token)| token.clone())
    }

    /// Whether the server has it.
    pub(super) fn has(&self, id: &InstanceId) -> bool {
        self.token(id).is_some() && !lock(&self.gone).contains(id)
    }

    pub(super) fn create(&self, attempt: &AttemptId) -> Answer {
        let mut creates = lock(&self.creates);
        let (id, token) = (format!("{}", 100 + creates.len()), format!("token{}", creates.len()));
        creates.push((attempt.clone(), InstanceId::parse(&id).unwrap(), token.clone()));
        let body = format!(
            r#"{{"result":{{"status":"created","instance":{{"id":"{id}","apiUrl":"https://h/{id}/","token":"{token}"}}}}}}"#
        );
        Answer { status: 200, complete: true, retry_after: None, body: body.into_bytes() }
    }

    /// Deletes `id` on the server, which says no where there is none.
    pub(super) fn delete(&self, id: &InstanceId) -> Result<(), DeleteError> {
        self.demand(lock(&self.doomed).contains(id), || format!("P9: {id} was deleted, and nobody had named it"));
        if lock(&self.gone).insert(id.clone()) { Ok(()) } else { Err(DeleteError::Refused("there is none".to_owned())) }
    }

    fn is_durable(&self, whose: &str, step: Step) -> bool {
        lock(&self.durable).contains(&(whose.to_owned(), step))
    }

    /// What has to be so before a create goes on.
    fn demand_settled(&self) {
        for (whose, step) in lock(&self.first).iter() {
            self.demand(self.is_durable(whose, *step), || {
                format!("P4: something is created before {step:?} of {whose} is durable")
            });
        }
    }

    /// What has to be so before a delete of `id` leaves.
    fn demand_ready(&self, id: &InstanceId) {
        let attempt = lock(&self.retiring).get(id).map(ToString::to_string).unwrap_or_default();
        self.demand(self.is_durable(&attempt, Step::Retiring), || {
            format!("P2: a delete of {id} left before its intent was durable")
        });
        let is_sent = self.is_durable(&attempt, Step::RetireSent);
        self.demand(is_sent, || format!("P2: a delete of {id} left before that was durable"));
        if self.is_replacing.load(Ordering::SeqCst) {
            let new = self.successor(id).filter(|new| new != id);
            let is_there = new.is_some_and(|new| self.is_durable(new.as_str(), Step::Created));
            self.demand(is_there, || format!("P9: a delete of {id} left before what replaces it was on record"));
        }
    }

    /// The newest of the name that `id` was created for: what a server would delete that goes by names.
    fn successor(&self, id: &InstanceId) -> Option<InstanceId> {
        let attempt = lock(&self.creates).iter().find(|(_, created, _)| created == id).map(|(attempt, ..)| attempt.clone())?;
        let name = lock(&self.names).get(&attempt).cloned()?;
        self.made(&name).pop()
    }
}

/// The server: creates and deletes at once, and checks that it was right to be asked.
pub(super) struct Oracle(pub(super) Arc<World>);

impl Oracle {
    fn demand_durable(&self, attempt: &AttemptId, step: Step) {
        let is_durable = self.0.is_durable(attempt.as_str(), step);
        self.0.demand(is_durable, || format!("P2: {attempt} went on before its {step:?} was durable"));
    }

    async fn deleted(&self, id: InstanceId) -> Result<(), DeleteError> {
        let world = &self.0;
        if world.is_dead() {
            std::future::pending::<()>().await;
        }
        world.demand_ready(&id);
        match world.at(Step::Delete, When::Before) {
            Hit::Go => {}
            Hit::Die => std::future::pending().await,
            Hit::Fail => return Err(DeleteError::NotSent("refused".to_owned())),
        }
        if world.meets(Trouble::DeleteRefused) {
            return Err(DeleteError::Refused("not you".to_owned()));
        }
        let unknown = match world.defect {
            Some(Defect::UnknownTakenForDeleted) => Ok(()),
            _ => Err(DeleteError::InDoubt("reset".to_owned())),
        };
        let is_unlisted = *lock(&world.trouble) == Trouble::DeleteUnlisted;
        if is_unlisted || world.meets(Trouble::DeleteLost) {
            return unknown;
        }
        let named = if world.defect == Some(Defect::DeletedByName) { world.successor(&id) } else { None };
        let answer = world.delete(named.as_ref().unwrap_or(&id));
        match world.at(Step::Delete, When::Written) {
            Hit::Go => {}
            Hit::Die => std::future::pending().await,
            Hit::Fail => return unknown,
        }
        if world.at(Step::Delete, When::Done) == Hit::Die {
            std::future::pending::<()>().await;
        }
        answer
    }

    async fn listed(&self) -> Result<Listing, ListError> {
        let world = &self.0;
        let failed = || Err(ListError::Failed("reset".to_owned()));
        match world.at(Step::List, When::Before) {
            Hit::Go => {}
            Hit::Die => std::future::pending().await,
            Hit::Fail => return failed(),
        }
        // The first list is that of the fence, where something is created.
        if !lock(&world.retiring).is_empty() && world.meets(Trouble::DeleteUnlisted) {
            return failed();
        }
        let item = |id: &InstanceId| ListedInstance::bare(id.clone(), InstanceType::WhatsApp);
        let gone = lock(&world.gone).clone();
        let there = lock(&world.creates).iter().filter(|(_, id, _)| !gone.contains(id)).map(|(_, id, _)| item(id)).collect();
        if world.at(Step::List, When::Done) == Hit::Die {
            std::future::pending::<()>().await;
        }
        Ok(Listing { instances: there, odd_items: 0 })
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
            self.0.demand_settled();
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

    fn delete(&self, id: &InstanceId) -> Pending<'_, Result<(), DeleteError>> {
        Box::pin(self.deleted(id.clone()))
    }

    fn list(&self) -> Pending<'_, Result<Listing, ListError>> {
        Box::pin(self.listed())
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
            let refused = |status| Answer { status, complete: true, retry_after: None, body: br#"{"error":"no"}"#.to_vec() };
            if world.meets(Trouble::CreateRefused) {
                return Exchange::Answered(refused(200));
            }
            let answer = world.create(&self.attempt);
            match world.at(Step::Call, When::Written) {
                Hit::Go => {}
                Hit::Die => std::future::pending().await,
                Hit::Fail if world.defect == Some(Defect::DoubtTakenForRefusal) => return Exchange::Answered(refused(400)),
                Hit::Fail => return Exchange::Cut { reason: "reset".into() },
            }
            if world.at(Step::Call, When::Done) == Hit::Die {
                std::future::pending::<()>().await;
            }
            Exchange::Answered(answer)
        })
    }
}
