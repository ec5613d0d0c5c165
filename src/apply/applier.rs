//! The run as a whole: a queue of names, a number of workers, and one place that decides to stop.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::attempt::Job;
use super::pace::Pace;
use super::recorder::{Pen, RecordError, Recorder};
use super::{Halt, Observer, Options, Outcome, Progress, Report, Signal, StopSignal};
use crate::instance::InstanceName;
use crate::plan::{Action, Plan};
use crate::provider::Provider;
use crate::state::{AttemptId, Binding, Event, Phase, Serial};
use crate::store::{StateStore, StoreError};

/// What all tasks of a run share.
pub(super) struct Shared {
    pub(super) pen: Pen,
    pub(super) provider: Arc<dyn Provider>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) options: Options,
    pub(super) stop: StopSignal,
    pub(super) pace: Pace,
    queue: Mutex<VecDeque<Job>>,
    report: Mutex<Report>,
    in_flight: AtomicUsize,
    begun: OnceCell<()>,
}

/// One run over one state. Recover first, then create.
pub struct Applier {
    pub(super) shared: Arc<Shared>,
    recorder: Recorder,
}

impl std::fmt::Debug for Applier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Applier").finish_non_exhaustive()
    }
}

impl Applier {
    /// Takes over `store` until [`Applier::close`].
    pub fn new(
        store: Box<dyn StateStore>,
        provider: Arc<dyn Provider>,
        observer: Arc<dyn Observer>,
        options: Options,
        stop: StopSignal,
    ) -> Self {
        let recorder = Recorder::new(store, options.clock);
        let shared = Shared {
            pen: recorder.pen(),
            provider,
            observer,
            options,
            stop,
            pace: Pace::default(),
            queue: Mutex::default(),
            report: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            begun: OnceCell::new(),
        };
        Self { shared: Arc::new(shared), recorder }
    }

    /// Looks at the store between two entries.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut dyn StateStore) -> T + Send + 'static,
    ) -> Result<T, RecordError> {
        self.shared.pen.look(look).await
    }

    /// Creates what `plan` wants created. Every such name is in the report, whatever happens.
    pub async fn create(&self, plan: &Plan, binding: Binding) -> Report {
        let wanted: Vec<_> = plan.with(Action::Create).map(|change| (change.name.clone(), change.kind)).collect();
        match self.prepare(plan, binding, !wanted.is_empty()).await {
            Err(error) => self.shared.halt(Halt::Store(error.into_store_error())),
            Ok(fence) => {
                let jobs = wanted.iter().map(|(name, kind)| Job { name: name.clone(), kind: *kind, fence });
                self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner).extend(jobs);
                self.work().await;
            }
        }
        let mut report = std::mem::take(&mut *self.shared.report.lock().unwrap_or_else(PoisonError::into_inner));
        for (name, _) in wanted {
            if !report.outcomes.contains_key(&name) {
                let outcome = self.look_up(&name).await;
                report.outcomes.insert(name, outcome);
            }
        }
        report
    }

    /// Gives the state back to the disk.
    pub async fn close(self) -> Result<(), StoreError> {
        let Self { shared, recorder } = self;
        drop(shared);
        let closed = tokio::task::spawn_blocking(move || recorder.into_store().map(StateStore::close));
        match closed.await {
            Ok(Ok(closed)) => closed,
            Ok(Err(_)) | Err(_) => Err(StoreError::Broken),
        }
    }

    /// Writes what precedes the first intent: the binding, who left and came back, and the fence.
    async fn prepare(&self, plan: &Plan, binding: Binding, creates: bool) -> Result<Option<Serial>, RecordError> {
        self.note_orphans(plan).await?;
        if !creates || self.shared.stop.asked().is_some() {
            return Ok(None);
        }
        self.shared.begin().await?;
        let bound = self.look(|store| store.state().binding.clone()).await?;
        if bound.is_none() {
            self.shared.pen.note(Event::Bound(binding)).await?;
        }
        match self.shared.provider.list().await {
            Ok(listing) => {
                let ids = listing.instances.into_iter().map(|instance| instance.id).collect();
                self.shared.pen.note(Event::Listed { ids }).await.map(Some)
            }
            Err(error) => {
                self.shared.observer.tell(Progress::NoFence { reason: error.to_string() });
                Ok(None)
            }
        }
    }

    async fn note_orphans(&self, plan: &Plan) -> Result<(), RecordError> {
        let gone: Vec<_> = plan.with(Action::Orphan).map(|change| change.name.clone()).collect();
        let here: Vec<_> = plan.with(Action::NoOp).map(|change| change.name.clone()).collect();
        let changed = self.look(move |store| {
            let records = store.state().records();
            let noted = |name: &InstanceName| records.get(name).is_some_and(|record| record.orphan_noted);
            let orphaned: Vec<_> = gone.into_iter().filter(|name| !noted(name)).collect();
            let returned: Vec<_> = here.into_iter().filter(noted).collect();
            (orphaned, returned)
        });
        let (orphaned, returned) = changed.await?;
        if !orphaned.is_empty() || !returned.is_empty() {
            self.shared.begin().await?;
            self.shared.pen.note(Event::Noted { orphaned, returned }).await?;
        }
        Ok(())
    }

    /// Works until the queue is empty, the run is halted, or those in flight have had their time after an interrupt.
    async fn work(&self) {
        let mut workers = JoinSet::new();
        for _ in 0..self.shared.options.parallelism.max(1) {
            let shared = Arc::clone(&self.shared);
            workers.spawn(async move { shared.work_off().await });
        }
        let mut stop = self.shared.stop.clone();
        let mut again = self.shared.stop.clone();
        tokio::select! {
            // The signal first: workers that end because of it must not hide it.
            biased;
            signal = stop.wait(1) => self.stopping(signal),
            () = all_done(&mut workers) => return,
        }
        tokio::select! {
            () = all_done(&mut workers) => {}
            () = tokio::time::sleep(self.shared.options.drain) => {}
            _ = again.wait(2) => {}
        }
        // What is still in flight stays in doubt: that is on record since before it was sent.
        workers.shutdown().await;
    }

    fn stopping(&self, signal: Signal) {
        self.shared.halt(Halt::Interrupted(signal));
        let in_flight = self.shared.in_flight.load(Ordering::Relaxed);
        self.shared.observer.tell(Progress::Stopping { signal, in_flight, drain: self.shared.options.drain });
    }

    /// What the state says of a name whose worker was stopped, or that had no turn.
    async fn look_up(&self, name: &InstanceName) -> Outcome {
        let name = name.clone();
        let phase = self.look(move |store| store.state().record(&name).map(|record| record.phase.clone())).await;
        match phase {
            Ok(Some(Phase::InDoubt(attempt, doubt))) => Outcome::InDoubt { attempt: attempt.id, reason: doubt.reason },
            Ok(Some(Phase::Received(..))) => Outcome::Unfinished,
            Ok(Some(Phase::Created(instance))) => Outcome::Created { id: instance.id, has_token: instance.token.is_some() },
            _ => Outcome::NotTried,
        }
    }
}

async fn all_done(workers: &mut JoinSet<()>) {
    while workers.join_next().await.is_some() {}
}

impl Shared {
    /// Says in the journal that a run has begun, once, before its first entry.
    pub(super) async fn begin(&self) -> Result<(), RecordError> {
        let record = || async { self.pen.note(self.options.run.event()).await.map(|_| ()) };
        self.begun.get_or_try_init(record).await.map(|()| ())
    }

    pub(super) fn halt(&self, halt: Halt) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        // The first reason is the cause; but a state that cannot be written outweighs all others.
        if report.halt.is_none() || matches!(halt, Halt::Store(_)) {
            report.halt = Some(halt);
        }
    }

    pub(super) fn halted(&self) -> bool {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).halt.is_some()
    }

    async fn work_off(&self) {
        while let Some(job) = self.next() {
            self.observer.tell(Progress::Started { name: job.name.clone() });
            self.in_flight.fetch_add(1, Ordering::Relaxed);
            let start = Instant::now();
            let outcome = self.create(&job).await;
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            self.observer.tell(Progress::Done { name: job.name.clone(), outcome: outcome.clone(), took: start.elapsed() });
            self.report.lock().unwrap_or_else(PoisonError::into_inner).outcomes.insert(job.name, outcome);
        }
    }

    fn next(&self) -> Option<Job> {
        if self.halted() || self.stop.asked().is_some() {
            return None;
        }
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// A new attempt id.
pub(super) fn draw_attempt() -> Result<AttemptId, ring::error::Unspecified> {
    let random = ring::rand::generate::<[u8; 8]>(&ring::rand::SystemRandom::new())?;
    Ok(AttemptId::from_bytes(random.expose()))
}
