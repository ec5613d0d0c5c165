//! `chatapi plan`.

mod text;

use std::collections::BTreeSet;
use std::path::Path;

pub(super) use text::{account, cost_sentence, show, with_cost};

use super::answers::Asked;
use super::args::PlanArgs;
use super::console::BOLD;
use super::context::{Context, check_server, typed};
use super::drift::{self, Advice, Verified};
use super::error::CliError;
use super::exit::Exit;
use super::guards::{guard_hints, told};
use super::planning::{self, planned, remark_spent};
use super::reports;
use super::witness::Witness;
use super::{foreseen, neighbours, remainders, saved, sealing, settled, token_set, unnamed, variables, witness};
use crate::apply::Report;
use crate::listing::Listing;
use crate::manifest::{Manifest, ProviderKind};
use crate::plan::{Action, Cost, Drift, Guard, Limits, Plan, PlanSummary, Settled};
use crate::report::account::Notice;
use crate::report::{self, DriftData, PlanDocument};
use crate::saved::{Consent, SavedPlan};
use crate::seal::Recipients;
use crate::state::{FORMAT, Hash, Lineage, Serial, State};
use crate::store::{self, Reading, Source, StoreError};

pub(super) fn run(context: &Context, args: &PlanArgs) -> Result<Exit, CliError> {
    let witness = Witness::of_manifests(context, &args.manifests.files, args.lock_file.lock_file.as_ref())?;
    let lock = witness.lock();
    let given = variables::given(context, &args.manifests.variables)?;
    // Two threads: the manifest and the state know nothing of each other, and each takes its time.
    let (manifest, reading) = std::thread::scope(|scope| {
        let reading = scope.spawn(|| store::read(&context.state_dir, lock));
        (context.manifest(&args.manifests.files, &given), reading.join())
    });
    let manifest = manifest?;
    let reading = reading.unwrap_or_else(|_| store::read(&context.state_dir, lock));
    let reading = match reading {
        Ok(reading) => {
            tracing::info!(serial = %reading.head.serial, from_index = reading.source == Source::Index, "read the state");
            Some(reading)
        }
        Err(StoreError::Absent(_)) => None,
        Err(error) => return Err(witness.explain_to(context, manifest.provider, error)),
    };
    let made = Made::of(context, args, manifest, reading)?;
    let exit = made.exit(args.detailed_exitcode);
    made.tell(context, args, &witness.path)?;
    Ok(exit)
}

/// A plan, what it was made of, and what would stop an apply of it.
struct Made {
    manifest: Manifest,
    reading: Option<Reading>,
    plan: Plan,
    hash: Hash,
    guards: Vec<Guard>,
    wanted: Recipients,
    /// The keys are others than the state has pinned.
    is_sealing_refused: bool,
    /// What would stop an apply of it, besides the guards.
    stops: Vec<CliError>,
    /// None: the server was not asked.
    drift: Option<Drift>,
    settled: Settled,
    /// What was said beside the manifest.
    consent: Consent,
}

impl Made {
    fn of(context: &Context, args: &PlanArgs, manifest: Manifest, reading: Option<Reading>) -> Result<Self, CliError> {
        let recorded = reading.as_ref().map(|reading| &reading.state);
        let (seen, after) = match verified(context, args, &manifest, recorded)? {
            Some(Verified { drift, listing, state }) => (Some((drift, listing)), Some(state)),
            None => (None, None),
        };
        let state = recorded.and(after.as_ref()).or(recorded);
        let consent = args.answers.consent(args.budget.max_creates);
        let settled = planning::settled(&manifest, state.unwrap_or(&nothing()), &consent.targets)?;
        if let Some(state) = recorded.filter(|state| !crate::apply::unread(state).is_empty()) {
            // An apply reads the recorded answers first, and what they say may speak against it.
            planning::settled(&manifest, &foreseen::of(context, &context.state_dir, state)?.state, &consent.targets)?;
        }
        let plan = planned(&manifest, &settled, &consent)?;
        planning::remark_unsuspected(context, &manifest, &settled, &consent);
        if let Some(state) = state {
            let leaving: BTreeSet<_> = plan.remainders().map(|(old, _)| old.clone()).collect();
            remark_spent(context, &plan, &consent, (state, &leaving));
            remainders::remark(context, &plan, &consent, state);
        }
        let hash = plan_hash(&plan, state, &manifest)?;
        let aim = state.and_then(|state| state.run.as_ref()?.aim);
        let is_nothing_declared = manifest.declarations().is_empty();
        let limits = Limits { aim, is_nothing_declared, ..args.budget.limits(context.is_ci) };
        let guards = plan.guards(&limits, manifest.prices.as_ref());
        let wanted = sealing::wanted(&manifest)?;
        let sealing = state.and_then(|state| sealing::check(&wanted, state, &context.command()).err());
        let lock_file = args.lock_file.lock_file.clone().unwrap_or_else(|| witness::beside_manifest(&args.manifests.files));
        let is_here = |state: &State| {
            check_server(context, state.binding.as_ref(), manifest.provider)?;
            context.check_environment(state.binding.as_ref(), &state.lineage)
        };
        let elsewhere = match state {
            Some(state) => is_here(state),
            None => unnamed::check(context, &lock_file, manifest.provider),
        };
        let taken = neighbours::check_settled(&settled, || neighbours::beside(context, state, manifest.provider));
        let mut stops: Vec<CliError> = elsewhere.err().into_iter().chain(taken.err()).collect();
        let is_sealing_refused = sealing.is_some();
        let (drift, unfit) = match seen {
            None => (None, Vec::new()),
            Some(seen) => weighed(context, &settled, state.unwrap_or(&nothing()), seen),
        };
        stops.extend(unfit);
        stops.extend(sealing);
        Ok(Self { manifest, reading, plan, hash, guards, wanted, is_sealing_refused, stops, drift, settled, consent })
    }

    fn exit(&self, is_detailed: bool) -> Exit {
        match self.plan.summary() {
            PlanSummary { in_doubt: 1.., .. } | PlanSummary { token_missing: 1.., .. } => Exit::InDoubt,
            summary if is_detailed && (report::has_changes(&summary) || self.has_drifted()) => Exit::Changes,
            _ => Exit::Done,
        }
    }

    fn has_drifted(&self) -> bool {
        self.drift.as_ref().is_some_and(|drift| !drift.findings.is_empty())
    }

    fn tell(self, context: &Context, args: &PlanArgs, lock_path: &Path) -> Result<(), CliError> {
        if context.is_text() {
            if args.checksum {
                context.console.line(self.hash);
            } else {
                show(&context.console, &self.plan, (self.cost().as_ref(), self.drift.as_ref()));
                let command = context.command();
                let advice = Advice::new(&command, Some(&self.manifest));
                self.drift.iter().for_each(|drift| drift::show(context, drift, &advice));
            }
            remark(context, &self);
        }
        settled::remark(context, &self.settled);
        self.account(context);
        for error in &self.stops {
            context.forewarn("an apply will stop", error);
        }
        if args.verify && self.drift.is_none() {
            context.console.note("nothing is recorded here: there is nothing to verify");
        }
        let document = context.wants_document().then(|| self.document(&context.command()));
        let saved = match &args.out {
            Some(path) => Some(self.save(context, args, (path, lock_path))?),
            None => None,
        };
        match (document, saved) {
            (Some(document), Some(saved)) => context.deliver(&document.saved_as(&saved)),
            (Some(document), None) => context.deliver(&document),
            (None, _) => Ok(()),
        }
    }

    /// What the reports tell.
    fn account(&self, context: &Context) {
        let (reports, command) = (&context.reports, context.command());
        if !reports.is_wanted() {
            return;
        }
        let state = self.reading.as_ref().map(|reading| &reading.state);
        reports.declare(&self.manifest);
        reports.about(state.map(|state| (&state.lineage, state.serial)), self.hash);
        context.planned(&self.plan);
        for guard in &self.guards {
            let hints = guard_hints(guard, &Asked { command: &command, with: "apply", said: &self.consent });
            context.note(hints.iter().fold(Notice::of_guard(guard), |notice, hint| notice.hint(hint)));
        }
        if let Some(state) = state {
            let nothing = Report::default();
            let doubts = reports::doubts(state, &nothing, &command);
            let settled = reports::tokens(state, &command).chain(reports::deletes(state, &command));
            doubts.chain(settled).for_each(|notice| context.note(notice));
        }
        if let Some(drift) = &self.drift {
            drift::notices(drift, Advice::new(&command, Some(&self.manifest))).for_each(|notice| context.note(notice));
        }
        account(context, &self.plan, (self.cost().as_ref(), self.drift.as_ref()));
    }

    fn cost(&self) -> Option<Cost> {
        self.manifest.prices.as_ref().map(|prices| self.plan.cost(prices))
    }

    fn document(&self, command: &str) -> PlanDocument {
        let state = self.reading.as_ref().map(|reading| &reading.state);
        let known = state.map(|state| (&state.lineage, state.serial));
        let document =
            PlanDocument::new((&self.plan, self.hash), known, &self.guards).declared_in(&self.manifest).costing(self.cost());
        let advice = Advice::new(command, Some(&self.manifest));
        let data = |drift| DriftData::new(drift, Some(&self.manifest), |finding| advice.among(drift).of(finding));
        let drift = self.drift.as_ref().map(data);
        document.sealing(state.map(|state| &state.recipients), &self.wanted, self.is_sealing_refused).verified(drift)
    }

    /// Saves it, if an apply of it would not be stopped.
    fn save(self, context: &Context, args: &PlanArgs, (path, lock_path): (&Path, &Path)) -> Result<SavedPlan, CliError> {
        let command = context.command();
        if let Some(error) = self.stops.into_iter().next() {
            return Err(error.hint("the plan was not saved"));
        }
        if let Some(guard) = self.guards.first() {
            let refused = CliError::message(Exit::Guard, "the plan was not saved: an apply of it would stop");
            let refused = refused.hint(report::guard_text(guard));
            let asked = Asked { command: &command, with: "plan", said: &self.consent };
            return Err(guard_hints(guard, &asked).into_iter().fold(refused, CliError::hint));
        }
        let Some(Reading { state, head, .. }) = self.reading else {
            let absent = CliError::message(Exit::State, "a saved plan is for one state, and there is none here");
            return Err(absent.hint(format!("`{command} init` begins one, if none is lost; then plan again")));
        };
        saved::check_place(context, path, lock_path, &args.manifests.files)?;
        let confirmed = match self.plan.with(Action::Delete).count() {
            0 => String::new(),
            count => format!("; where nobody can be asked, `--yes --max-deletes {count}` behind that"),
        };
        let saved = saved::write(path, args, (&self.manifest, lock_path), (&state, head), (self.plan, self.hash))?;
        let (path, until) = (typed(path), saved.expires.round(jiff::Unit::Second).unwrap_or(saved.expires));
        context.console.note(format_args!("saved as {path} ({}), good for one apply until {until}", saved.id));
        context.console.note(format_args!("next: `{command} show {path}`, `{command} apply {path}`{confirmed}"));
        Ok(saved)
    }
}

/// The plan's hash.
pub(super) fn plan_hash(plan: &Plan, state: Option<&State>, manifest: &Manifest) -> Result<Hash, CliError> {
    let hash = plan.checksum(saved::recorded_lineage(state), &manifest.footing());
    hash.map_err(|error| CliError::new(Exit::Error, &error))
}

/// What the server says of it, where that is asked. Where nothing is recorded, only what is to be taken in is worth a question.
fn verified(
    context: &Context,
    args: &PlanArgs,
    manifest: &Manifest,
    recorded: Option<&State>,
) -> Result<Option<Verified>, CliError> {
    let takes_in = !manifest.settlements.imports.is_empty() && manifest.provider == ProviderKind::Chatapi;
    match recorded {
        _ if !args.verify => Ok(None),
        Some(state) => drift::verify(context, state, manifest, args).map(Some),
        None if takes_in => drift::verify(context, &nothing(), manifest, args).map(Some),
        None => Ok(None),
    }
}

/// What the list says of the state and of what is to be taken in: that has a name once the plan is carried out; and what would stop
/// an apply of it.
fn weighed(
    context: &Context,
    settled: &Settled,
    state: &State,
    (mut drift, listing): (Drift, Listing),
) -> (Option<Drift>, Vec<CliError>) {
    let (fit, unfit) = settled::weighed(&context.command(), (settled, state), &listing);
    drift.findings.retain(|finding| finding.name.is_some() || !fit.contains(&finding.id));
    (Some(drift), unfit)
}

fn nothing() -> State {
    State::new(Lineage::from_bytes([0; 16]), Serial(0), FORMAT)
}

/// What the person should know besides.
fn remark(context: &Context, Made { manifest, reading, plan, guards, drift, stops, consent, .. }: &Made) {
    let console = &context.console;
    for (text, hints) in told(guards, &Asked { command: &context.command(), with: "apply", said: consent }) {
        console.warn(format_args!("an apply will stop: {text}"));
        for hint in hints {
            console.note(format_args!("  {BOLD}hint{BOLD:#}: {hint}"));
        }
    }
    let (summary, command) = (plan.summary(), context.command());
    if summary.in_doubt > 0 {
        let hint = match store::writer(&context.state_dir) {
            Some(writer) => format!("{writer} is at work: what it has sent may still be answered; plan again when it has ended"),
            None => format!("`{command} doubts` shows the evidence and the command that settles each"),
        };
        console.note(format_args!("  {BOLD}hint{BOLD:#}: {hint}"));
    }
    if summary.token_missing > 0 {
        console.note(format_args!("  {BOLD}hint{BOLD:#}: {}", token_set::missing(&command, summary.token_missing)));
    }
    match drift {
        None if summary.import > 0 => {
            let hint = "with `--verify` a plan asks the server whether it lists what is to be imported";
            console.note(format_args!("  {BOLD}hint{BOLD:#}: {hint}"));
        }
        Some(_) if summary.import > 0 && stops.is_empty() => {
            console.note("what is to be imported is listed by the server, with its type");
        }
        _ => {}
    }
    if reading.is_none() && context.is_ci && manifest.provider == ProviderKind::Chatapi {
        let command = context.command();
        console.warn(format_args!("there is no state here; in CI the first apply has to be told so: `{command} apply --init`"));
    }
}
