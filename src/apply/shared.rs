//! What the tasks of one run share: the queue, the report, and the one place that decides to stop.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::keep::Keeper;
use super::pace::Pace;
use super::recorder::{Pen, RecordError, Recording};
use super::slots::{Slot, Slots};
use super::{Halt, Observer, Options, Progress, Report, StopSignal};
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::listing::Listing;
use crate::provider::Provider;
use crate::state::{AttemptId, Serial};

/// Names whose intents are written before a request of theirs may go. Each has room for its answer reserved.
const AHEAD_MAX: usize = 16;

/// A name to create.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) name: InstanceName,
    pub(super) kind: InstanceType,
    pub(super) fence: Option<Serial>,
    pub(super) keeper: Arc<Keeper>,
}

/// A name whose intent is on its way into the journal.
#[derive(Debug)]
pub(super) struct Intended {
    pub(super) attempt: AttemptId,
    pub(super) intent: Recording,
}

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
    pub(super) slots: Slots,
    begun: OnceCell<()>,
    survey: Mutex<Option<Listing>>,
    seen: Mutex<BTreeSet<InstanceId>>,
}

impl Shared {
    pub(super) fn new(
        pen: Pen,
        provider: Arc<dyn Provider>,
        observer: Arc<dyn Observer>,
        options: Options,
        stop: StopSignal,
    ) -> Self {
        Self {
            pen,
            provider,
            observer,
            slots: Slots::new(options.parallelism, options.rate),
            options,
            stop,
            pace: Pace::default(),
            queue: Mutex::default(),
            report: Mutex::default(),
            begun: OnceCell::new(),
            survey: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    /// Keeps what the server listed, until the fence is made of it.
    pub(super) fn keep_survey(&self, listing: Listing) {
        *self.survey.lock().unwrap_or_else(PoisonError::into_inner) = Some(listing);
    }

    /// These were listed while the run went on.
    pub(super) fn saw<'i>(&self, ids: impl IntoIterator<Item = &'i InstanceId>) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).extend(ids.into_iter().cloned());
    }

    /// What lists of the run showed.
    pub(super) fn all_seen(&self) -> BTreeSet<InstanceId> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether any list of the run showed it.
    pub(super) fn has_seen(&self, id: &InstanceId) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// What was kept; it is kept no longer.
    pub(super) fn take_survey(&self) -> Option<Listing> {
        self.survey.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Puts names into the queue.
    pub(super) fn enqueue(&self, jobs: impl Iterator<Item = Job>) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).extend(jobs);
    }

    /// What was reported so far; it is reported from the beginning again afterwards.
    pub(super) fn take_report(&self) -> Report {
        std::mem::take(&mut *self.report.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says in the journal that a run has begun, once, before its first entry.
    pub(super) async fn begin(&self) -> Result<(), RecordError> {
        let record = || async { self.pen.note(self.options.run.event()).await.map(|_| ()) };
        self.begun.get_or_try_init(record).await?;
        Ok(())
    }

    /// Says that it goes on to create, so that there are `aim` instances then.
    pub(super) async fn begin_creating(&self, aim: usize) -> Result<(), RecordError> {
        self.pen.note(self.options.run.creating(aim)).await?;
        // It may have begun before, to finish what others left.
        let _ = self.begun.set(());
        Ok(())
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

    /// Works off the queue in its order: a name goes as soon as there is a slot for it, with its intent written before. Where there
    /// is one slot, nothing of a name is written before the one before it is done.
    pub(super) async fn work_off(self: Arc<Self>) {
        let mut stop = self.stop.clone();
        let mut ahead = VecDeque::new();
        let mut running = JoinSet::new();
        while !self.is_over() {
            let most = if self.slots.is_single() { 0 } else { self.slots.limit().min(AHEAD_MAX) };
            while ahead.len() < most
                && let Some(begun) = self.begin_next()
            {
                ahead.push_back(begun);
            }
            let Some(slot) = self.slots.enter(&mut stop).await else { break };
            let Some((job, intended)) = ahead.pop_front().or_else(|| self.begin_next()) else { break };
            running.spawn(Arc::clone(&self).work_on(job, intended, slot));
            while running.try_join_next().is_some() {}
        }
        for (_, intended) in ahead {
            // Where that cannot be written, the next run finds an intent of which nothing was sent.
            let _ = self.withdrawn(intended).await;
        }
        while running.join_next().await.is_some() {}
    }

    async fn work_on(self: Arc<Self>, job: Job, intended: Intended, slot: Slot) {
        self.observer.tell(Progress::Started { name: job.name.clone() });
        let start = Instant::now();
        let mut slot = Some(slot);
        let outcome = self.create(&job, intended, &mut slot).await;
        self.observer.tell(Progress::Done { name: job.name.clone(), outcome: outcome.clone(), took: start.elapsed() });
        self.report.lock().unwrap_or_else(PoisonError::into_inner).outcomes.insert(job.name, outcome);
        drop(slot);
    }

    /// Has the intent of the next name written. None: there is none, or none may be begun.
    fn begin_next(&self) -> Option<(Job, Intended)> {
        let job = self.next()?;
        match self.intend(&job) {
            Ok(intended) => Some((job, intended)),
            Err(halt) => {
                self.halt(halt);
                None
            }
        }
    }

    fn next(&self) -> Option<Job> {
        if self.halted() || self.stop.asked().is_some() {
            return None;
        }
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}
