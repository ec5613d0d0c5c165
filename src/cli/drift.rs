//! `chatapi drift`, and what `plan --verify` shows of the same: the state, held against the server's list.

mod advice;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anstyle::Style;
use jiff::Timestamp;

pub(super) use advice::Advice;

use super::args::{DriftArgs, ExpiryArgs, PlanArgs, ServerArgs};
use super::console::{BAD, BOLD, Console, DOUBT};
use super::context::{Context, check_server, kind_of};
use super::error::CliError;
use super::exit::Exit;
use super::machine::{not_before, steady_now};
use super::planning::declared;
use super::table::{Column, painted};
use super::witness::{MANIFEST, Witness};
use super::{foreseen, gone, neighbours, signals, variables};
use crate::instance::{InstanceId, InstanceName};
use crate::listing::Listing;
use crate::manifest::{Manifest, ProviderKind};
use crate::plan::{
    Deviation, Drift, Elsewhere, Finding, TooYoung, Unbelievable, Watch, absent, existing, lost, revived, unrecorded, with_events,
};
use crate::provider::{ListError, Provider as _};
use crate::report::account::Notice;
use crate::report::{DriftData, DriftDocument, DriftSummary};
use crate::state::{Event, Record, State};
use crate::store;

/// Instances of another environment that are listed.
const LISTED: usize = 5;
/// The findings' columns.
const COLUMNS: [Column; 4] = [Column::whole("FINDING"), Column::cut("NAME", 16), Column::whole("ID"), Column::cut("DETAIL", 24)];

pub(super) fn run(context: &Context, args: &DriftArgs) -> Result<Exit, CliError> {
    let manifest = match args.files.as_slice() {
        [] => None,
        files => Some(context.manifest(files, &variables::given(context, &args.variables)?)?),
    };
    let witness = match &manifest {
        None => Witness::of_state(context, args.lock_file.lock_file.as_ref())?,
        Some(_) => Witness::of_manifests(context, &args.files, args.lock_file.lock_file.as_ref())?,
    };
    // Asked before the list: a run that ends meanwhile has had its part in it.
    let writer = store::writer(&context.state_dir);
    let state = store::read(&context.state_dir, witness.lock()).map_err(|error| witness.explain(context, error))?.state;
    let foreseen = foreseen::of(context, &context.state_dir, &state)?;
    let state = &foreseen.state;
    let provider = match &manifest {
        None => kind_of(state.binding.as_ref()),
        Some(manifest) => manifest.provider,
    };
    let seen = list(context, state, provider, &args.server).map_err(|error| match (&manifest, &state.binding) {
        (None, None) => error.hint(format!(
            "nothing was created yet, so that the state knows no server: name the manifest, `{} drift {MANIFEST}`",
            context.command()
        )),
        _ => error,
    })?;
    let now = steady_now();
    let drift = compare(state, &seen, (now, args.expiry), manifest.as_ref());
    let command = context.command();
    let drift = drift.map_err(|why| unbelievable(&command, &why))?;
    let advice = Advice::new(&command, manifest.as_ref());
    if context.is_json() {
        let data = DriftData::new(&drift, manifest.as_ref(), |finding| advice.among(&drift).of(finding));
        context.document(&DriftDocument::new(data, (&state.lineage, state.serial), now))?;
    } else {
        show(context, &drift, &advice);
    }
    foreseen::tell(context, &foreseen);
    if let Some(writer) = writer {
        let hint = format!("{writer} is at work: what it has just sent may be among the findings; ask again when it has ended");
        context.console.note(format_args!("  {BOLD}hint{BOLD:#}: {hint}"));
    }
    if seen.listing.odd_items > 0 {
        context.console.warn(format_args!("{} of the server's list cannot be read", items(seen.listing.odd_items)));
    }
    Ok(exit(&drift, args.detailed_exitcode))
}

fn items(count: usize) -> String {
    crate::text::counted(count, "item", "items")
}

const fn exit(drift: &Drift, is_detailed: bool) -> Exit {
    if is_detailed && !drift.findings.is_empty() { Exit::Changes } else { Exit::Done }
}

/// What the state is held against.
struct Seen {
    listing: Listing,
    /// What other environments of the same account have.
    elsewhere: BTreeMap<InstanceId, Elsewhere>,
}

/// What the server of this state lists, in one request.
fn list(context: &Context, state: &State, provider: ProviderKind, args: &ServerArgs) -> Result<Seen, CliError> {
    check_server(context, state.binding.as_ref(), provider)?;
    signals::runtime()?.block_on(async {
        let mut stop = signals::listen()?;
        let server = match &state.binding {
            Some(bound) => context.connect_bound(Some(bound), args).await?,
            None => context.connect(provider, args).await?,
        };
        context.check_binding(state.binding.as_ref(), &server, &state.lineage)?;
        tokio::select! {
            biased;
            signal = stop.wait() => Err(CliError::message(Exit::Signal(signal), format!("stopped by {}", signal.as_str()))),
            listed = server.provider.list() => {
                let listing = listed.map_err(|error| unlisted(&error))?;
                let elsewhere = neighbours::proven(context, &server).into_iter().map(|(id, owner)| (id, owner.at)).collect();
                Ok(Seen { listing, elsewhere })
            }
        }
    })
}

/// What the list says of the state.
fn compare(
    state: &State,
    seen: &Seen,
    (now, expiry): (Timestamp, ExpiryArgs),
    manifest: Option<&Manifest>,
) -> Result<Drift, Unbelievable> {
    let declared = manifest.map(declared);
    let watch = Watch { now, expiring_within: expiry.expiring_within, declared: declared.as_ref(), elsewhere: &seen.elsewhere };
    crate::plan::drift(state, &seen.listing, watch)
}

/// What `plan --verify` knows besides the plan.
pub(super) struct Verified {
    pub(super) drift: Drift,
    pub(super) listing: Listing,
    /// The state as it will be when what is gone is recorded so, as far as `--recreate` names it.
    pub(super) state: State,
}

/// Asks the server for a plan of `manifest` in `state`.
pub(super) fn verify(context: &Context, state: &State, manifest: &Manifest, args: &PlanArgs) -> Result<Verified, CliError> {
    let seen = list(context, state, manifest.provider, &args.server)?;
    let now = steady_now();
    let names: Vec<InstanceName> = args.answers.recreate.iter().filter(|name| manifest.get(name).is_some()).cloned().collect();
    let lost = losses(context, state, &seen.listing, (&names, args.server.settle_after))?;
    let (recorded, state) = (state, after(state, &lost)?);
    let shown = after(&foreseen::of(context, &context.state_dir, recorded)?.state, &lost)?;
    let drift = compare(&shown, &seen, (now, args.expiry), Some(manifest));
    let drift = drift.map_err(|why| unbelievable(&context.command(), &why))?;
    Ok(Verified { drift, listing: seen.listing, state })
}

/// The state as it will be when `lost` is on record.
pub(super) fn after(state: &State, lost: &[Event]) -> Result<State, CliError> {
    with_events(state, &unrecorded(state, lost), steady_now()).map_err(|error| CliError::new(Exit::Error, &error))
}

/// What is to be recorded of those of `names` that somebody else has deleted, before others are created in their place. Those that
/// exist are told of. One that is on record as gone already, and is listed, is refused: it exists after all.
pub(super) fn losses(
    context: &Context,
    state: &State,
    listing: &Listing,
    (names, settled): (&[InstanceName], Duration),
) -> Result<Vec<Event>, CliError> {
    let asked = revived(state, names).map_err(|error| CliError::new(Exit::Error, &error))?;
    let absent = absent(&asked, listing).map_err(|why| unbelievable(&context.command(), &why))?;
    for (name, instance) in existing(&asked, names).filter(|(_, instance)| !absent.contains(&instance.id)) {
        listed(context, state, (name, &instance.id))?;
    }
    lost(&asked, &absent, names, (steady_now(), settled)).map_err(|young| too_young(&young))
}

/// Says that `name` gets no new instance, for `id` is listed; or refuses that where it is on record as gone.
pub(super) fn listed(context: &Context, state: &State, (name, id): (&InstanceName, &InstanceId)) -> Result<(), CliError> {
    if state.record(name).and_then(Record::lost).is_none() {
        context.console.note(format_args!("{name} exists as {id} and is listed: `--recreate` does nothing for it"));
        return Ok(());
    }
    let command = context.command();
    Err(CliError::message(Exit::Guard, format!("`{name}` is recorded as gone, and {id} is listed: it exists after all"))
        .hint("nothing was sent")
        .hint(format!("to have it again, with its token where that is known: `{command} import {name} --id {id}`")))
}

fn too_young(young: &TooYoung) -> CliError {
    let at = not_before(young.at);
    CliError::new(Exit::Guard, young)
        .hint("nothing was sent")
        .hint(format!("its absence counts from {at} on; if this server's list never lags: `--settle-after 0s`"))
}

fn unlisted(error: &ListError) -> CliError {
    let failed =
        CliError::new(Exit::Error, error).context("what has become of the instances cannot be told without the server's list");
    match error {
        ListError::Unsupported(_) => failed.hint("this server never lists instances: `chatapi status` asks each of them"),
        ListError::Refused(_) => failed.hint("check the API key, the account and CHATAPI_URL"),
        ListError::Failed(_) => failed.hint("check CHATAPI_URL and the network, or wait; then ask again"),
    }
}

fn unbelievable(command: &str, why: &Unbelievable) -> CliError {
    let names: BTreeSet<&InstanceName> = match why {
        Unbelievable::ShowsNothingOld(names) => names.iter().collect(),
        Unbelievable::OddItems(..) => BTreeSet::new(),
    };
    let destroy = if names.is_empty() { format!("`{command} destroy NAME`") } else { gone::destroy(command, &names, "") };
    CliError::new(Exit::Error, why)
        .context("the server's list cannot be believed, and nothing is called gone for it")
        .hint("nothing was changed; a list may lag behind or break: ask again later")
        .hint("if it stays so, look at the account itself: is it the one of this key?")
        .hint(format!("what was deleted there for good is recorded as deleted by {destroy}"))
}

/// The findings as a table, what answers them, and the counts.
pub(super) fn show(context: &Context, drift: &Drift, advice: &Advice<'_>) {
    let console = &context.console;
    if !drift.findings.is_empty() {
        let rows: Vec<Vec<String>> = drift.findings.iter().map(row).collect();
        console.result(painted(&COLUMNS, &rows, Console::width(), &|row| (0, colour(drift.findings.get(row)))));
        console.result("\n");
    }
    console.line(format_args!("{BOLD}{}{BOLD:#}", DriftSummary::of(drift).sentence()));
    if drift.seen_before > 0 {
        let count = crate::text::counted(drift.seen_before, "other instance", "other instances");
        console.note(format_args!("the account has {count} that an apply has seen before, and that no name here has"));
    }
    tell_elsewhere(console, drift);
    for hint in advice.of_all(drift) {
        console.note(format_args!("  {BOLD}hint{BOLD:#}: {hint}"));
    }
}

/// Says which of the account's instances are other environments'.
fn tell_elsewhere(console: &Console, drift: &Drift) {
    let mut all: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (id, Elsewhere { environment, name }) in &drift.elsewhere {
        all.entry(environment).or_default().push(format!("{id} (`{name}`)"));
    }
    for (environment, theirs) in all {
        let more = if theirs.len() > LISTED { format!(" and {} more", theirs.len() - LISTED) } else { String::new() };
        let some = theirs.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
        console.note(format_args!("environment `{environment}` has {some}{more}"));
    }
}

/// What the reports tell of the findings.
pub(super) fn notices<'a>(drift: &'a Drift, advice: Advice<'a>) -> impl Iterator<Item = Notice> + 'a {
    let advice = advice.among(drift);
    // A delete in doubt has a notice of its own.
    let is_told = |finding: &&Finding| !matches!(finding.deviation, Deviation::Retiring { .. });
    drift.findings.iter().filter(is_told).map(move |finding| {
        let what = format!("{}: {}", finding.id, finding.deviation);
        let notice = match &finding.name {
            Some(name) => Notice::warning(&format!("{name} ({what})")).about(name),
            None => Notice::warning(&what),
        };
        advice.of(finding).iter().fold(notice, |notice, hint| notice.hint(hint))
    })
}

/// Of the word for a finding.
fn colour(finding: Option<&Finding>) -> Style {
    match finding.map(|finding| &finding.deviation) {
        Some(Deviation::Gone { .. } | Deviation::Stopped | Deviation::Expired { .. } | Deviation::WrongType { .. }) => BAD,
        _ => DOUBT,
    }
}

fn row(finding: &Finding) -> Vec<String> {
    let name = finding.name.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    let word = finding.deviation.as_str().replace('_', " ");
    vec![word, name, finding.id.to_string(), crate::text::escape(&finding.deviation.to_string()).into_owned()]
}
