//! `chatapi apply`.

mod begin;
mod evidence;
mod lost;
mod strangers;
mod subject;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;

use super::args::ApplyArgs;
use super::console::BOLD;
use super::context::{Context, Server, settling, steady_now, typed};
use super::delivery::{self, Delivery, World};
use super::error::CliError;
use super::exit::Exit;
use super::kept::Kept;
use super::plan::{cost_sentence, declared, guard_hints, plan_hash, with_cost};
use super::progress::{DRAIN, Display, TRIES};
use super::reports::{self, Told};
use super::sealing::{self, Pinning};
use super::state::Elsewhere;
use super::witness::Witness;
use super::{drift, saved, signals, stream};
use crate::apply::{Applier, Halt, Options, Outcome, RecordError, Report, RunInfo, Signal, StopSignal};
use crate::failpoint;
use crate::instance::{InstanceName, InstanceType};
use crate::manifest::{Manifest, ProviderKind};
use crate::plan::{Action, Change, Cost, Guard, Limits, Plan, Settled};
use crate::provider::Provider;
use crate::report::account::{Case, Counts, Notice};
use crate::report::events::{Line, Summary};
use crate::report::{self, ApplyDocument, ApplySummary};
use crate::saved::{Consent, SavedPlan};
use crate::seal::Recipients;
use crate::state::{Hash, Head, State};
use crate::store::{self, FileStore, LockFile, LockFileError, StateStore};
use evidence::Steps;
use subject::Subject;

pub(super) fn run(context: &Arc<Context>, args: &ApplyArgs) -> Result<Exit, CliError> {
    let subject = Subject::read(context, args)?;
    let Subject { manifest, witness, saved, .. } = &subject;
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
    sealing::prepare(context, manifest, &wanted, args.require_seal)?;
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
    /// What is settled before.
    settled: Settled,
}

/// A run's end, and the state then.
struct Finished {
    ended: Ended,
    /// By this before the run was on record: it promised nothing, and nothing was sent.
    stopped: Option<Signal>,
    task: Task,
    /// What was settled before anything was created.
    settled: Vec<Change>,
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
            parallelism: usize::from(self.args.parallelism),
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
        if let Err(error) = applier.settle_doubts().await.map_err(unrecorded)? {
            self.context.console.warn(format_args!("doubts cannot be settled now: {error}"));
        }
        let (state, head) = look(applier).await?;
        let lost = self.lost(applier, &state).await?;
        let foreseen = drift::after(&state, &lost)?;
        let task = self.task(&foreseen)?;
        self.context.planned(&task.plan);
        let wanted: Vec<_> = task.plan.with(Action::Create).map(|change| (&change.name, change.kind)).collect();
        let mut guards = task.plan.guards(&self.limits, self.manifest.prices.as_ref());
        let mut steps = Vec::new();
        if guards.is_empty() {
            // None: a signal came, and nothing is settled.
            steps = self.evidence(applier, (&foreseen, &task.settled)).await?.unwrap_or_default();
        }
        if guards.is_empty() && !wanted.is_empty() {
            guards.extend(self.look_for_strangers(applier, &task.settled.state).await?);
        }
        if !guards.is_empty() {
            return Ok(Finished { ended: Ended::Guarded(guards), stopped: None, task, settled: Vec::new(), state, head });
        }
        failpoint::at("guards-passed").map_err(|error| CliError::new(Exit::Error, &error).hint("nothing was sent"))?;
        let stopped = self.stop.asked();
        let mut settled = Vec::new();
        if stopped.is_none() {
            settled.extend(steps.iter().map(|(_, change)| change.clone()));
            applier.lose(lost).await.map_err(unrecorded)?;
            self.commit(applier, &task, (&wanted, steps)).await?;
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
        report.outcomes.extend(task.unreviewed.iter().map(|name| (name.clone(), Outcome::NotTried)));
        let (state, head) = look(applier).await.map_err(|error| after(&report, error, self.again()))?;
        Ok(Finished { ended: Ended::Applied(report), stopped, task, settled, state, head })
    }

    /// From here on the run is on record: its keys, its outputs, its plan, which is spent now, the names that it creates, and what is
    /// settled before.
    async fn commit(
        &self,
        applier: &Applier,
        task: &Task,
        (wanted, steps): (&[(&InstanceName, InstanceType)], Steps),
    ) -> Result<(), CliError> {
        let is_writing = !wanted.is_empty() || !steps.is_empty();
        let unwritten = |error: &LockFileError| CliError::unwritten(error).hint("nothing was sent");
        if is_writing {
            let probed = store::probe(&self.witness.path);
            let fail = |source| LockFileError::Io { action: "write", path: self.witness.path.clone(), source };
            probed.map_err(|source| unwritten(&fail(source)))?;
        }
        if let Some(to) = &self.pin {
            // The trail says who pinned them.
            applier.pin(to.clone()).await.map_err(unrecorded)?;
        }
        if let Some(delivery) = &self.delivery {
            delivery.owe(self.context)?;
        }
        if is_writing {
            // From here on a lost state is missed: the lock file names what may come to exist. So is a copy from before this run,
            // for the position that it names has this run's first entry in it; and what it names outlives a power cut.
            applier.begin(task.plan.changes.len()).await.map_err(unrecorded)?;
            let (state, head) = look(applier).await?;
            LockFile::of(&state, head, wanted.iter().copied()).write(&self.witness.path).map_err(|error| unwritten(&error))?;
            applier.settle_declared(steps, self.server.binding(&state.lineage)).await.map_err(unrecorded)?;
        }
        Ok(())
    }

    /// What is to be done in `state`: what was reviewed, and nothing else.
    fn task(&self, state: &State) -> Result<Task, CliError> {
        let settled = self.settled(state)?;
        let plan = settled.plan(&declared(self.manifest)).answered(&self.consent.not_a_rename, &self.consent.recreate);
        let (plan, unreviewed) = match self.saved {
            Some(saved) => saved.restrict(plan),
            None => (plan, BTreeSet::new()),
        };
        let hash = plan_hash(&plan, Some(state), self.manifest.provider)?;
        match self.args.checksum {
            Some(reviewed) if reviewed != hash => Err(self.not_reviewed(reviewed, hash)),
            _ => Ok(Task { plan, hash, unreviewed, settled }),
        }
    }

    fn not_reviewed(&self, reviewed: Hash, found: Hash) -> CliError {
        let message = format!("the plan is not the reviewed one: its hash is {found}, and {reviewed} was reviewed");
        let files = self.args.manifests.files.iter().map(|file| typed(file)).collect::<Vec<_>>().join(" ");
        CliError::message(Exit::Stale, message)
            .hint("nothing was sent")
            .hint(format!("look at `chatapi plan {files}`, then take its hash (`--checksum`)"))
    }

    fn tell(&self, result: &Finished, display: &Display, Left { owed, is_lock_unwritten }: Left) -> Result<Exit, CliError> {
        let recovered = display.recovered();
        let (report, guards) = match &result.ended {
            Ended::Guarded(guards) => (&Report::default(), guards.as_slice()),
            Ended::Applied(report) => (report, &[][..]),
        };
        let summary = ApplySummary::of(report, &recovered, result.task.plan.summary(), &result.state).settling(&result.settled);
        self.context.has_created.store(summary.created + summary.recovered > 0, Ordering::Relaxed);
        let exit = match exit(report, guards, &summary) {
            Exit::Done if owed > 0 || is_lock_unwritten => Exit::Partly,
            exit => self.undelivered(result).filter(|_| exit == Exit::Done).unwrap_or(exit),
        };
        let cost = self.cost(result);
        if self.context.wants_document() {
            let document = ApplyDocument::new(report, &recovered, summary, (&result.state.lineage, result.head));
            let document = document.having_settled(&result.settled);
            let document = document.carrying_out(result.task.hash, cost.clone(), self.saved.map(|saved| &saved.id));
            let document = document.owing(self.delivery.as_ref().map(|_| owed));
            self.context.deliver(&document.stopped_by(guards).exiting(exit.code()))?;
        }
        let sentence = if guards.is_empty() { sentence(&summary) } else { "Stopped: nothing was sent.".to_owned() };
        if self.context.is_text() {
            self.context.console.line(format_args!("{BOLD}{sentence}{BOLD:#}"));
            cost.as_ref().map(cost_sentence).into_iter().for_each(|line| self.context.console.line(line));
        }
        self.context.emit(|| Some(Line::summary("apply", &sentence, Summary::Apply(summary))));
        self.context.reports.declare(self.manifest);
        self.context.reports.about(Some((&result.state.lineage, result.head.serial)), result.task.hash);
        self.context.reports.tell(|| {
            let created = summary.created + summary.recovered;
            let (in_doubt, refused) = (summary.in_doubt, summary.refused);
            let counts = Counts { is_changed: created > 0, create: created, in_doubt, refused };
            Told {
                headline: with_cost(sentence, cost.as_ref()),
                counts,
                cases: Case::of_apply(self.manifest, report, &recovered, &result.state),
            }
        });
        self.explain(report, guards, &result.state);
        for name in &result.task.unreviewed {
            let told = format!("`{name}` can be created now, and is not in the saved plan: plan again");
            self.context.remark(Notice::warning(&told).about(name));
        }
        failpoint::pass("told");
        Ok(exit)
    }

    /// How a run ends that was told to write outputs, and to stop before it had promised any.
    fn undelivered(&self, result: &Finished) -> Option<Exit> {
        let signal = result.stopped.filter(|_| self.delivery.is_some())?;
        let message = format!("stopped by {} before any output was promised: none was written", signal.as_str());
        self.context.complain(&CliError::message(Exit::Signal(signal), message).hint("apply again to go on"));
        Some(Exit::Signal(signal))
    }

    /// What the run has added a month, and what all that exists costs; of a run that was stopped: what it would have.
    fn cost(&self, result: &Finished) -> Option<Cost> {
        let prices = self.manifest.prices.as_ref()?;
        let before = result.task.plan.cost(prices);
        if matches!(result.ended, Ended::Guarded(_)) {
            return Some(before);
        }
        let now = crate::plan::plan(&declared(self.manifest), &result.state).cost(prices);
        Some(Cost { added: now.existing().less(before.existing()), total: now.existing(), ..now })
    }

    /// What goes on with a run that was stopped: its plan is spent from its first entry on.
    fn again(&self) -> &'static str {
        if self.saved.is_some() { "plan again (this plan is spent), or apply the manifest" } else { "apply again" }
    }

    /// What needs a person, and what to type.
    fn explain(&self, report: &Report, guards: &[Guard], state: &State) {
        for guard in guards {
            let command = self.context.command();
            let mut error = CliError::message(Exit::Guard, report::guard_text(guard));
            if matches!(guard, Guard::Strangers { .. }) && state.doubts().next().is_some() {
                error =
                    error.hint(format!("what is in doubt may be among them: settle that first, `{command} doubts --refresh`"));
            }
            let with = if self.saved.is_some() { "plan again" } else { "apply" };
            let told = guard_hints(guard, &command, with).into_iter().fold(error, CliError::hint);
            self.context.complain_as(&told, Notice::of_guard(guard));
        }
        if let Some(halt) = &report.halt {
            let again = self.again();
            let hint = match halt {
                Halt::Refused(_) => format!("check the API key, the account's balance and CHATAPI_URL; then {again}"),
                Halt::Unreachable(_) => {
                    format!("nothing was sent for these names; check CHATAPI_URL and the network, then {again}")
                }
                Halt::RateLimited(_) => format!("{again} later; what was created is recorded"),
                Halt::Store(error) if error.is_full() => {
                    format!("make room on the disk, then {again}; nothing new was begun after the failed write")
                }
                Halt::Store(_) => format!("nothing new was begun after the failed write; mend the disk, then {again}"),
                Halt::Interrupted(_) => format!("{again} to go on; what was created is recorded"),
            };
            let error = match halt {
                Halt::Store(error) => CliError::new(Exit::Error, &**error).context("the state cannot be written"),
                _ => CliError::message(Exit::Error, report::halt_text(halt).1),
            };
            self.context.complain(&error.hint(hint));
        }
        let command = self.context.command();
        let settled = reports::tokens(state, &command).chain(reports::deletes(state, &command));
        let needing = reports::doubts(state, report, &command).chain(settled);
        needing.for_each(|notice| self.context.remark(notice));
    }
}

async fn look(applier: &Applier) -> Result<(State, Head), CliError> {
    applier.look(|store| (store.state().clone(), store.head())).await.map_err(unrecorded)
}

fn unrecorded(error: RecordError) -> CliError {
    CliError::from(&*error.into_store_error())
}

/// An error after creates: it does not say that there were none.
fn after(report: &Report, mut error: CliError, again: &str) -> CliError {
    let has = |is_so: fn(&Outcome) -> bool| report.outcomes.values().any(is_so);
    error.exit = match error.exit {
        _ if has(|outcome| matches!(outcome, Outcome::InDoubt { .. })) => Exit::InDoubt,
        _ if has(|outcome| matches!(outcome, Outcome::Created { .. } | Outcome::Unfinished)) => Exit::Partly,
        exit => exit,
    };
    error.hint(format!("what was created before is recorded; {again} to go on"))
}

fn exit(report: &Report, guards: &[Guard], summary: &ApplySummary) -> Exit {
    let created = summary.created + summary.recovered;
    let failed = summary.refused + summary.not_sent + summary.not_tried + summary.unfinished;
    match &report.halt {
        _ if summary.in_doubt + summary.token_missing > 0 => Exit::InDoubt,
        _ if !guards.is_empty() => Exit::Guard,
        Some(Halt::Interrupted(signal)) => Exit::Signal(*signal),
        halt if failed > 0 || halt.is_some() => {
            if created + summary.unfinished > 0 {
                Exit::Partly
            } else {
                Exit::Error
            }
        }
        _ => Exit::Done,
    }
}

/// The counts as one sentence: `Apply: 3 created, 2 unchanged.`
fn sentence(summary: &ApplySummary) -> String {
    let ApplySummary { created, recovered, unchanged, refused, not_sent, not_tried, .. } = *summary;
    let ApplySummary { unfinished, in_doubt, token_missing, orphaned, imported, moved, settled, .. } = *summary;
    let before = imported + moved + settled;
    if created + recovered + refused + not_sent + unfinished + not_tried + in_doubt + token_missing + before == 0 && orphaned == 0
    {
        return report::nothing_to_do(unchanged);
    }
    let first = format!("Apply: {created} created, {unchanged} unchanged");
    let counts = [
        (imported, "imported"),
        (moved, "moved"),
        (settled, "settled"),
        (recovered, "recovered"),
        (refused, "refused"),
        (not_sent, "not sent"),
        (unfinished, "answered and not finished"),
        (not_tried, "not tried"),
        (in_doubt, "in doubt"),
        (token_missing, "without token"),
        (orphaned, "orphaned"),
    ];
    report::tally(first, &counts)
}
