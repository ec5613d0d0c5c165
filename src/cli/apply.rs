//! `chatapi apply`.

mod absent;
mod begin;
mod ending;
mod evidence;
mod leaving;
mod lost;
mod strangers;
mod subject;
mod telling;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::args::ApplyArgs;
use super::context::{Context, Server, settling, typed};
use super::delivery::{self, Delivery, World};
use super::error::CliError;
use super::exit::Exit;
use super::kept::Kept;
use super::machine::steady_now;
use super::plan::plan_hash;
use super::planning::{check_recreated, planned};
use super::progress::{DRAIN, Display, TRIES};
use super::sealing::{self, Pinning};
use super::state::Elsewhere;
use super::witness::Witness;
use super::{saved, signals, stream};
use crate::apply::{
    Applier, ByList, Departure, Halt, Options, Outcome, Proven, RecordError, Report, RunInfo, Signal, StopSignal,
};
use crate::failpoint;
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::manifest::{Manifest, ProviderKind};
use crate::plan::{self, Action, Change, Guard, Limits, Plan, Settled};
use crate::provider::Provider;
use crate::saved::{Consent, SavedPlan};
use crate::seal::Recipients;
use crate::state::{Event, Hash, Head, State};
use crate::store::{self, FileStore, LockFile, LockFileError, StateStore};
use ending::after;
use evidence::Steps;
use leaving::Marks;
use lost::Prepared;
use subject::Subject;

pub(super) fn run(context: &Arc<Context>, args: &ApplyArgs) -> Result<Exit, CliError> {
    let subject = Subject::read(context, args)?;
    let Subject { manifest, witness, saved, .. } = &subject;
    check_recreated(manifest, &subject.consent)?;
    // From here on nobody who does not read holds up the run, nor the state.
    stream::hurry(context.is_ci);
    signals::runtime()?.block_on(async {
        let stop = signals::listen()?;
        // A server's settings are checked before the state is touched; the embedded emulator lives in the state's directory.
        let server = match manifest.provider {
            ProviderKind::Chatapi => Some(context.connect(ProviderKind::Chatapi, &args.server).await?),
            ProviderKind::Emulator => None,
        };
        let begun = begin::open(context, args, &subject, stop.clone()).await;
        let store = begun.map_err(|error| witness.explain_to(context, manifest.provider, error))?;
        let server = match server {
            Some(server) => server,
            None => context.connect(ProviderKind::Emulator, &args.server).await?,
        };
        context.check_binding(store.state().binding.as_ref(), &server, &store.state().lineage)?;
        if let Some(plan) = saved {
            let checked = plan.check_server(server.provider.origin());
            checked.map_err(|stale| saved::stale(context, plan, &stale))?;
        }
        let (store, pin) = seal(context, args, manifest, store)?;
        let limits = Limits { aim: store.state().run.as_ref().and_then(|run| run.aim), ..subject.limits(args, context.is_ci) };
        let to = pin.as_ref().unwrap_or(&store.state().recipients);
        let others = [witness.path.clone()].into_iter().chain(args.identity.identity.clone());
        let kept = Kept::of(context, &args.manifests.files, others);
        let world = World { state: store.state(), manifest, sealed_to: to };
        let delivery = Delivery::prepare(context, &kept, args, &world)?;
        delivery::remind(context, &args.write_outputs, to);
        let consent = &subject.consent;
        let run = Run { context, args, manifest, witness, saved: saved.as_ref(), limits, consent, pin, delivery, server, stop };
        run.go(store).await
    })
}

/// Settles whom tokens are sealed to, before anything else happens; and the keys that are to be pinned if the run goes on.
fn seal(
    context: &Context,
    args: &ApplyArgs,
    manifest: &Manifest,
    mut store: FileStore,
) -> Result<(FileStore, Option<Recipients>), CliError> {
    let wanted = sealing::wanted(manifest)?;
    let pinning = sealing::check(&wanted, store.state(), &context.command())?;
    sealing::prepare(context, (manifest, store.state()), &wanted, args.require_seal)?;
    store.tidy(Timestamp::now());
    let pin = match pinning {
        Pinning::Pin(to) => Some(to),
        Pinning::Kept => None,
    };
    Ok((store, pin))
}

/// One run, with everything that it needs.
struct Run<'a> {
    context: &'a Arc<Context>,
    args: &'a ApplyArgs,
    manifest: &'a Manifest,
    witness: &'a Witness,
    saved: Option<&'a SavedPlan>,
    limits: Limits,
    /// What answers the guards that are about one name.
    consent: &'a Consent,
    /// Keys to be pinned when nothing stops the run any more.
    pin: Option<Recipients>,
    delivery: Option<Delivery>,
    server: Server,
    stop: StopSignal,
}

/// How far a run got.
enum Ended {
    /// Stopped before anything was sent.
    Guarded(Vec<Guard>),
    /// Carried out.
    Applied(Report),
}

/// What a run was to do.
struct Task {
    plan: Plan,
    hash: Hash,
    /// What could be created now and was not reviewed.
    unreviewed: BTreeSet<InstanceName>,
    /// What was replaced before and may go, each with the name that has another one since.
    remainders: BTreeMap<InstanceName, InstanceName>,
    /// What is to be deleted, and the server does not list.
    unlisted: BTreeSet<InstanceId>,
    /// What is settled before.
    settled: Settled,
}

/// What is recorded before anything is created.
struct Before {
    /// What is gone.
    lost: Vec<Event>,
    /// Doubts that a list settles.
    proven: Vec<Proven>,
    /// What the manifest settles.
    steps: Steps,
}

/// A run's end, and the state then.
struct Finished {
    ended: Ended,
    /// By this before the run was on record: it promised nothing, and nothing was sent.
    stopped: Option<Signal>,
    task: Task,
    /// What was settled before anything was created.
    settled: Vec<Change>,
    marks: Marks,
    state: State,
    head: Head,
}

/// What a run did not come to after its creates.
#[derive(Debug, Clone, Copy, Default)]
struct Left {
    /// Outputs that are still owed.
    owed: usize,
    /// The lock file does not say what there is now.
    is_lock_unwritten: bool,
}

impl Run<'_> {
    async fn go(&self, store: FileStore) -> Result<Exit, CliError> {
        let display = Arc::new(Display::new(Arc::clone(self.context)));
        let provider = Arc::clone(&self.server.provider);
        let observer = Arc::clone(&display);
        let applier = Applier::new(Box::new(store), provider, observer, self.options(), self.stop.clone());
        let result = self.steps(&applier, &display).await;
        display.settle();
        let mut left = Left::default();
        if let Ok(result) = &result {
            left.is_lock_unwritten = !self.write_lock(&applier, result).await;
            left.owed = self.deliver(result);
        }
        if let Err(error) = applier.close().await {
            // Everything that counts was synced before; what follows tells what is on record.
            self.context
                .forewarn("what was done is on record, and the state was not closed as it should be", &CliError::from(&error));
        }
        failpoint::pass("closed");
        display.end();
        self.tell(&result?, &display, left)
    }

    /// Delivers what is promised, of everything that exists by now; gives how many outputs are still owed.
    fn deliver(&self, result: &Finished) -> usize {
        match (&self.delivery, &result.ended, result.stopped) {
            (Some(delivery), Ended::Applied(_), None) => delivery.deliver(self.context, &result.state),
            _ => 0,
        }
    }

    /// Writes the lock file while the state is still held, so that no later run's is overwritten; and only of a position that is
    /// durable, for a lock file that knows more than its state stops every run. False: it should say more than it does.
    async fn write_lock(&self, applier: &Applier, result: &Finished) -> bool {
        let now = LockFile::of(&result.state, result.head, []);
        if self.witness.is_current(&now) || applier.sync().await.is_err() {
            return true;
        }
        match now.write(&self.witness.path) {
            Ok(()) => {
                self.witness.tell_of_other(self.context);
                true
            }
            Err(error) => {
                let told = CliError::unwritten(&error).hint("what was created is recorded; the next apply writes the lock file");
                self.context.complain(&told);
                false
            }
        }
    }

    fn options(&self) -> Options {
        Options {
            parallelism: self.args.pace.parallelism,
            rate: self.args.pace.rate,
            is_exclusive: self.manifest.exclusive,
            settling: settling(&self.args.server),
            tries: TRIES,
            drain: DRAIN,
            run: RunInfo { plan: self.saved.map(|saved| saved.id.clone()), ..self.context.run_info("apply") },
            rescue: Arc::new(Elsewhere { context: Arc::clone(self.context), dir: self.rescue_dir() }),
            clock: steady_now,
        }
    }

    /// Where rescued answers go, and whether the operator said so.
    fn rescue_dir(&self) -> (PathBuf, bool) {
        match &self.args.rescue_dir {
            Some(dir) => (dir.clone(), true),
            None => (self.witness.path.parent().map_or_else(PathBuf::new, Path::to_owned), false),
        }
    }

    async fn steps(&self, applier: &Applier, display: &Display) -> Result<Finished, CliError> {
        applier.recover().await.map_err(unrecorded)?;
        let (recorded, head) = look(applier).await?;
        // Nothing is settled before the guards have passed and the plan is the reviewed one.
        let (state, ByList { proven, absent, .. }) = self.foreseen(applier, recorded.clone()).await?;
        let Prepared { task, mut guards, steps, lost } =
            self.prepared(applier, &state, &absent).await.map_err(|error| self.unsettled(error, &proven))?;
        self.context.planned(&task.plan);
        let wanted: Vec<_> = task.plan.with(Action::Create).map(|change| (&change.name, change.kind)).collect();
        if guards.is_empty() {
            guards.extend(self.confirm(&task, &task.settled.state).await?);
        }
        if !guards.is_empty() {
            let settled = Vec::new();
            return Ok(Finished {
                ended: Ended::Guarded(guards),
                stopped: None,
                task,
                settled,
                marks: (0, 0),
                state: recorded,
                head,
            });
        }
        failpoint::at("guards-passed").map_err(|error| CliError::new(Exit::Error, &error).hint("nothing was sent"))?;
        let stopped = self.stop.asked();
        let mut settled = Vec::new();
        if stopped.is_none() {
            settled.extend(steps.iter().map(|(_, change)| change.clone()));
            let before = Before { lost: plan::unrecorded(&state, &lost), proven, steps };
            self.commit(applier, &task, (&wanted, before)).await?;
        }
        display.begin(wanted.len());
        let mut report = applier.create(&task.plan, self.server.binding(&state.lineage)).await;
        let is_doubtful = report.outcomes.values().any(|outcome| matches!(outcome, Outcome::InDoubt { .. }));
        if is_doubtful
            && report.halt.is_none()
            && let Err(error) = applier.look_back().await
        {
            report.halt = Some(Halt::Store(error.into_store_error()));
        }
        display.clear();
        report.departures.extend(task.deletes().into_iter().map(|name| (name, Departure::NotTried)));
        let marks = if stopped.is_some() {
            // Nothing is on record: what was to be replaced, or protected, is still what it was.
            report.outcomes.extend(task.plan.replacements().map(|(name, _)| (name.clone(), Outcome::NotTried)));
            (0, 0)
        } else {
            self.leave(applier, &task, &mut report).await
        };
        report.outcomes.extend(task.unreviewed.iter().map(|name| (name.clone(), Outcome::NotTried)));
        let (state, head) = look(applier).await.map_err(|error| after(&report, error, &self.again()))?;
        Ok(Finished { ended: Ended::Applied(report), stopped, task, settled, marks, state, head })
    }

    /// From here on the run is on record: its keys, its outputs, its plan, which is spent now, the names that it creates, and what is
    /// settled before.
    async fn commit(
        &self,
        applier: &Applier,
        task: &Task,
        (wanted, Before { lost, proven, steps }): (&[(&InstanceName, InstanceType)], Before),
    ) -> Result<(), CliError> {
        let is_writing =
            !lost.is_empty() || !wanted.is_empty() || !proven.is_empty() || !steps.is_empty() || !task.deletes().is_empty();
        let unwritten = |error: &LockFileError| CliError::unwritten(error).hint("nothing was sent");
        if is_writing {
            let probed = store::probe(&self.witness.path);
            let fail = |source| LockFileError::Io { action: "write", path: self.witness.path.clone(), source };
            probed.map_err(|source| unwritten(&fail(source)))?;
        }
        applier.lose(lost).await.map_err(unrecorded)?;
        if let Some(to) = &self.pin {
            // The trail says who pinned them.
            applier.pin(to.clone()).await.map_err(unrecorded)?;
        }
        if let Some(delivery) = &self.delivery {
            delivery.owe(self.context)?;
        }
        let binding = self.server.binding(&task.settled.state.lineage);
        applier.name_environment(binding).await.map_err(unrecorded)?;
        applier.settle_doubts(proven).await.map_err(unrecorded)?;
        if task.plan.acts() {
            applier.begin(task.plan.aim()).await.map_err(unrecorded)?;
            let binding = self.server.binding(&task.settled.state.lineage);
            applier.settle_declared(steps, binding).await.map_err(unrecorded)?;
            self.set_aside(applier, task).await?;
        }
        if is_writing {
            // From here on a lost state is missed: the lock file names what may come to exist. So is a copy from before this run,
            // for the position that it names has this run's first entry in it; and what it names outlives a power cut.
            let (state, head) = look(applier).await?;
            let written = LockFile::of(&state, head, wanted.iter().copied()).write(&self.witness.path);
            if let Err(error) = written {
                self.give_back(applier, task, |_| true).await.map_err(unrecorded)?;
                return Err(unwritten(&error));
            }
        }
        Ok(())
    }

    /// What is to be done in `state`: what was reviewed, and nothing else.
    fn task(&self, state: &State) -> Result<Task, CliError> {
        let settled = self.settled(state)?;
        let plan = planned(self.manifest, &settled, self.consent)?;
        let (plan, unreviewed) = match self.saved {
            Some(saved) => {
                let (plan, mut unreviewed) = saved.restrict(plan);
                // What is not declared and not reviewed just stays.
                unreviewed.retain(|name| self.manifest.get(name).is_some());
                (plan, unreviewed)
            }
            None => (plan, BTreeSet::new()),
        };
        let hash = plan_hash(&plan, Some(state), self.manifest)?;
        match self.args.checksum {
            Some(reviewed) if reviewed != hash => Err(self.not_reviewed(reviewed, hash)),
            _ => {
                let remainders = plan.remainders().map(|(old, by)| (old.clone(), by.clone())).collect();
                let plan = if self.is_asked_about_remainders() { plan } else { plan.keeping_remainders() };
                Ok(Task { plan, hash, unreviewed, remainders, unlisted: BTreeSet::new(), settled })
            }
        }
    }

    /// A doubt that a list settles makes another plan of it than `plan` shows, which asks for no list.
    fn unsettled(&self, error: CliError, proven: &[Proven]) -> CliError {
        let Some(doubt) = proven.first().filter(|_| error.exit == Exit::Stale) else { return error };
        error.hint(format!(
            "`{}` is in doubt here, and the account's list would settle it first: `{} doubts --refresh` shows what to type; then plan again",
            doubt.name,
            self.context.command()
        ))
    }

    fn not_reviewed(&self, reviewed: Hash, found: Hash) -> CliError {
        let message = format!("the plan is not the reviewed one: its hash is {found}, and {reviewed} was reviewed");
        let files = self.args.manifests.files.iter().map(|file| typed(file)).collect::<Vec<_>>().join(" ");
        CliError::message(Exit::Stale, message)
            .hint("nothing was sent")
            .hint(format!("look at `chatapi plan {files}`, then take its hash (`--checksum`)"))
    }
}

async fn look(applier: &Applier) -> Result<(State, Head), CliError> {
    applier.look(|store| (store.state().clone(), store.head())).await.map_err(unrecorded)
}

fn unrecorded(error: RecordError) -> CliError {
    CliError::from(&*error.into_store_error())
}
