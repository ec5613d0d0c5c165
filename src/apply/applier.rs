//! The run as a whole: a queue of names, a number of workers, and one place that decides to stop.

use std::collections::BTreeSet;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::keep::Keeper;
use super::recorder::{RecordError, Recorder};
use super::shared::{Job, Shared};
use super::{Halt, Observer, Options, Outcome, Progress, Report, Signal, StopSignal};
use crate::failpoint;
use crate::instance::{InstanceId, InstanceName};
use crate::listing::Listing;
use crate::plan::{Action, Doubts, Plan, strangers};
use crate::provider::{ListError, Provider};
use crate::seal::Recipients;
use crate::state::{Binding, Event, Phase, Serial};
use crate::store::{StateStore, StoreError};

/// Ids that one entry of the journal can hold, whatever their length.
const FENCE_MAX: usize = 50_000;
/// How long the list after a run may take.
const LOOK_BACK: Duration = Duration::from_secs(10);
/// Names that one entry notes.
const NOTED_MAX: usize = 10_000;

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
        Self::with(Recorder::new(store, options.clock), provider, observer, options, stop)
    }

    /// [`Applier::new`] over a store that is served already.
    pub(super) fn with(
        recorder: Recorder,
        provider: Arc<dyn Provider>,
        observer: Arc<dyn Observer>,
        options: Options,
        stop: StopSignal,
    ) -> Self {
        let shared = Shared::new(recorder.pen(), provider, observer, options, stop);
        Self { shared: Arc::new(shared), recorder }
    }

    /// Looks at the store between two entries.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut dyn StateStore) -> T + Send + 'static,
    ) -> Result<T, RecordError> {
        self.shared.pen.look(look).await
    }

    /// Says in the journal, durably, that this run goes on to create, so that there are `aim` instances then. A saved plan is spent
    /// with this. What names the state's position elsewhere afterwards cannot be met by a copy of the state from before the run.
    pub async fn begin(&self, aim: usize) -> Result<(), RecordError> {
        self.shared.begin_creating(aim).await?;
        self.sync().await
    }

    /// Records what may be deleted, and what may not.
    pub async fn protect(&self, protected: Vec<InstanceName>, unprotected: Vec<InstanceName>) -> Result<(), RecordError> {
        self.shared.begin().await?;
        let marks = protected.chunks(NOTED_MAX).map(|names| (names.to_vec(), Vec::new()));
        for (protected, unprotected) in marks.chain(unprotected.chunks(NOTED_MAX).map(|names| (Vec::new(), names.to_vec()))) {
            self.shared.pen.record(Event::Protection { protected, unprotected }).await?;
        }
        Ok(())
    }

    /// Calls what `name` has `to`, durably, so that `name` can have a new instance.
    pub async fn set_aside(&self, name: &InstanceName, to: &InstanceName) -> Result<(), RecordError> {
        self.shared.begin().await?;
        self.shared.pen.record(Event::Replacing { name: name.clone(), to: to.clone() }).await.map(|_| ())
    }

    /// Gives an instance that was set aside its name back.
    pub async fn move_back(&self, from: &InstanceName, to: &InstanceName) -> Result<(), RecordError> {
        self.shared.pen.record(Event::Moved { from: from.clone(), to: to.clone() }).await.map(|_| ())
    }

    /// Pins whom secrets are sealed to; it is durable before anything is sealed.
    pub async fn pin(&self, to: Recipients) -> Result<(), RecordError> {
        self.shared.begin().await?;
        self.shared.pen.note(Event::Recipients { to }).await.map(|_| ())
    }

    /// Lists once more after a run that leaves doubts: what they made is seen from then on, and hides nothing that appears
    /// later.
    pub async fn look_back(&self) -> Result<(), RecordError> {
        match tokio::time::timeout(LOOK_BACK, self.list()).await {
            Ok(Some(Ok(listing))) if listing.instances.len() <= FENCE_MAX => {
                let state = self.look(|store| store.state().clone()).await?;
                // More than doubts can have made is somebody else's, or another run's: the next run has to meet it.
                if !strangers(&state, &listing, Doubts::Explain).is_empty() {
                    return Ok(());
                }
                let ids = listing.instances.into_iter().map(|instance| instance.id).collect();
                self.shared.pen.record(Event::Listed { ids }).await.map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// Makes everything recorded so far durable.
    pub async fn sync(&self) -> Result<(), RecordError> {
        self.look(|store| store.sync()).await?.map_err(|error| RecordError::Store(error.into()))
    }

    /// Lists what the account has, for a look at it before anything is created; the list is the fence of the creates then. None:
    /// the run was asked to stop.
    pub async fn survey(&self) -> Option<Result<Listing, ListError>> {
        let listed = self.list().await?;
        if let Ok(listing) = &listed {
            self.shared.saw(listing.instances.iter().map(|instance| &instance.id));
            self.shared.keep_survey(listing.clone());
        }
        Some(listed)
    }

    /// Everything that any list of this run has shown.
    pub fn seen(&self) -> BTreeSet<InstanceId> {
        self.shared.all_seen()
    }

    /// Whether any list of this run has shown it.
    pub fn has_seen(&self, id: &InstanceId) -> bool {
        self.shared.has_seen(id)
    }

    /// Waits for as long as has to be between two lists that agree. False: the run was asked to stop.
    pub async fn wait_between_lists(&self) -> bool {
        failpoint::pass("between-lists");
        let mut stop = self.shared.stop.clone();
        tokio::select! {
            biased;
            _ = stop.wait() => false,
            () = tokio::time::sleep(self.shared.options.settling.between) => true,
        }
    }

    /// The account is to be listed again for the fence.
    pub fn forget_survey(&self) {
        self.shared.take_survey();
    }

    /// None: the run was asked to stop.
    pub(super) async fn list(&self) -> Option<Result<Listing, ListError>> {
        let mut stop = self.shared.stop.clone();
        tokio::select! {
            biased;
            _ = stop.wait() => None,
            listed = self.shared.provider.list() => Some(listed),
        }
    }

    /// Creates what `plan` wants created. Every such name is in the report, whatever happens.
    pub async fn create(&self, plan: &Plan, binding: Binding) -> Report {
        let wanted: Vec<_> = plan.with(Action::Create).map(|change| (change.name.clone(), change.kind)).collect();
        match self.prepare(plan, binding, !wanted.is_empty()).await {
            Err(error) => self.shared.halt(Halt::Store(error.into_store_error())),
            Ok((fence, keeper)) => {
                let job = |(name, kind): &(InstanceName, _)| Job {
                    name: name.clone(),
                    kind: *kind,
                    fence,
                    keeper: Arc::clone(&keeper),
                };
                let jobs = wanted.iter().map(job);
                self.shared.enqueue(jobs);
                self.work().await;
            }
        }
        let mut report = self.shared.take_report();
        for (name, _) in wanted {
            if let Entry::Vacant(missing) = report.outcomes.entry(name) {
                let outcome = self.look_up(missing.key()).await;
                missing.insert(outcome);
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
    async fn prepare(&self, plan: &Plan, binding: Binding, creates: bool) -> Result<(Option<Serial>, Arc<Keeper>), RecordError> {
        self.note_orphans(plan).await?;
        let keeper = self.look(|store| {
            let state = store.state();
            Keeper { lineage: state.lineage.clone(), recipients: state.recipients.clone() }
        });
        let keeper = Arc::new(keeper.await?);
        if !creates || self.shared.stop.asked().is_some() {
            return Ok((None, keeper));
        }
        self.shared.begin().await?;
        Ok((self.fence(binding).await?, keeper))
    }

    /// Binds the state and lists what is there already.
    async fn fence(&self, binding: Binding) -> Result<Option<Serial>, RecordError> {
        self.bind(binding).await?;
        let listed = match self.shared.take_survey() {
            Some(listing) => Some(Ok(listing)),
            None => self.list().await,
        };
        let Some(listed) = listed else { return Ok(None) };
        let reached = failpoint::at("listed").map_err(|error| ListError::Failed(error.to_string()));
        match reached.and(listed) {
            Ok(listing) if listing.instances.len() > FENCE_MAX => {
                let reason = format!("more than {FENCE_MAX} instances are listed, too many to keep");
                self.shared.observer.tell(Progress::NoFence { reason });
                Ok(None)
            }
            Ok(listing) => {
                tracing::debug!(instances = listing.instances.len(), "listed what is there already");
                let ids = listing.instances.into_iter().map(|instance| instance.id).collect();
                self.shared.pen.note(Event::Listed { ids }).await.map(Some)
            }
            Err(error) => {
                self.shared.observer.tell(Progress::NoFence { reason: error.to_string() });
                Ok(None)
            }
        }
    }

    /// Says what server and account the state belongs to.
    pub(super) async fn bind(&self, binding: Binding) -> Result<(), RecordError> {
        let bound = self.look(|store| store.state().binding.clone()).await?;
        if !bound.is_some_and(|bound| bound.knows(&binding)) {
            self.shared.pen.note(Event::Bound(binding)).await?;
        }
        Ok(())
    }

    /// Says whose environment the state is, where it is bound and does not say so yet.
    pub async fn name_environment(&self, binding: Binding) -> Result<(), RecordError> {
        let bound = self.look(|store| store.state().binding.clone()).await?;
        if binding.environment.is_none() || bound.is_none_or(|bound| bound.environment.is_some()) {
            return Ok(());
        }
        self.shared.begin().await?;
        self.bind(binding).await?;
        self.sync().await
    }

    async fn note_orphans(&self, plan: &Plan) -> Result<(), RecordError> {
        let gone: Vec<_> = plan.with(Action::Orphan).chain(plan.with(Action::Delete)).map(|change| change.name.clone()).collect();
        let stays = [Action::NoOp, Action::Protect, Action::Unprotect];
        let here: Vec<_> = stays.into_iter().flat_map(|action| plan.with(action)).map(|change| change.name.clone()).collect();
        // What is left aside was not held against what has been taken in.
        let is_whole = plan.with(Action::Aside).next().is_none();
        let changed = self.look(move |store| {
            let records = store.state().records();
            let noted = |name: &InstanceName| records.get(name).is_some_and(|record| record.orphan_noted);
            let orphaned: Vec<_> = gone.into_iter().filter(|name| !noted(name)).collect();
            let is_foreign = |name: &InstanceName| records.get(name).is_some_and(|record| record.is_foreign);
            let returned: Vec<_> = here.into_iter().filter(|name| noted(name) || is_whole && is_foreign(name)).collect();
            (orphaned, returned)
        });
        let (orphaned, returned) = changed.await?;
        if !orphaned.is_empty() || !returned.is_empty() {
            self.shared.begin().await?;
        }
        for names in orphaned.chunks(NOTED_MAX) {
            self.shared.pen.note(Event::Noted { orphaned: names.to_vec(), returned: Vec::new() }).await?;
        }
        for names in returned.chunks(NOTED_MAX) {
            self.shared.pen.note(Event::Noted { orphaned: Vec::new(), returned: names.to_vec() }).await?;
        }
        Ok(())
    }

    /// Works until the queue is empty, the run is halted, or those in flight have had their time after an interrupt.
    async fn work(&self) {
        let mut workers = JoinSet::new();
        workers.spawn(Arc::clone(&self.shared).work_off());
        let mut stop = self.shared.stop.clone();
        let mut again = self.shared.stop.clone();
        tokio::select! {
            biased;
            signal = stop.wait() => self.stopping(signal),
            () = all_done(&mut workers) => return,
        }
        tokio::select! {
            biased;
            () = all_done(&mut workers) => {}
            () = tokio::time::sleep(self.shared.options.drain) => {}
            () = again.hurry() => {}
        }
        // What is still in flight stays in doubt: that is on record since before it was sent.
        workers.shutdown().await;
    }

    fn stopping(&self, signal: Signal) {
        self.shared.halt(Halt::Interrupted(signal));
        let in_flight = self.shared.slots.taken();
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
