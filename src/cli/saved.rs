//! Saved plans as files: `plan --out` writes one, `apply FILE` and `show FILE` read it.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;

use super::args::PlanArgs;
use super::context::{Context, LOCK_FILE, draw_bytes, typed};
use super::error::CliError;
use super::exit::Exit;
use super::kept::Kept;
use super::machine::who;
use super::reports;
use super::witness::{Witness, beside_state};
use crate::manifest::{Given, Manifest, ProviderKind};
use crate::plan::Plan;
use crate::provider::BaseUrl;
use crate::saved::{Made, SIZE_MAX, SavedManifest, SavedPlan, Stale};
use crate::state::{Event, Hash, Head, Lineage, Origin, PlanId, State, Who};
use crate::store;

/// Bytes that tell a saved plan from a manifest.
const BEGINNING: u64 = 256;

/// Whether `path` is named as a manifest is, which comes with a pull request: it is never taken for a plan.
fn is_manifests_name(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    path.as_os_str() == "-" || extension == "yaml" || extension == "yml"
}

/// Whether there is a saved plan at `path`, good or bad, under a name that a plan may have.
pub(super) fn is_one(path: &Path) -> bool {
    !is_manifests_name(path) && holds_one(path)
}

fn holds_one(path: &Path) -> bool {
    let mut beginning = Vec::new();
    // A pipe can be read only once, and is never a saved plan.
    let is_file = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    let read = is_file && File::open(path).and_then(|file| file.take(BEGINNING).read_to_end(&mut beginning)).is_ok();
    read && SavedPlan::is_one(&beginning)
}

/// Reads the saved plan at `path`.
pub(super) fn read(path: &Path) -> Result<SavedPlan, CliError> {
    let fail = |error: &dyn std::error::Error| {
        CliError::new(Exit::Stale, error)
            .context(format!("cannot use the saved plan {}", path.display()))
            .hint("nothing was sent; `chatapi plan --out FILE` makes one")
    };
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(SIZE_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| fail(&error))?;
    SavedPlan::parse(&bytes).map_err(|error| fail(&error))
}

/// Refuses a saved plan where a manifest is wanted.
pub(super) fn refuse_where_manifests_are_meant(files: &[PathBuf]) -> Result<(), CliError> {
    match files.iter().find(|path| path.as_os_str() != "-" && holds_one(path)) {
        None => Ok(()),
        Some(path) => {
            let shown = typed(path);
            let refused = CliError::message(Exit::Error, format!("{shown} is a saved plan, and a manifest is meant here"));
            Err(if is_manifests_name(path) {
                refused.hint("a plan's file has another name than a manifest's, as `plan.json`")
            } else {
                refused.hint(format!("`chatapi show {shown}` shows it, `chatapi apply {shown}` carries it out"))
            })
        }
    }
}

/// Saves `plan`, which was made of `manifest` against `state` at `head`, where [`check_place`] allows it.
pub(super) fn write(
    path: &Path,
    args: &PlanArgs,
    (manifest, lock_path): (&Manifest, &Path),
    (state, head): (&State, Head),
    (plan, hash): (Plan, Hash),
) -> Result<SavedPlan, CliError> {
    let (id, at) = (PlanId::from_bytes(draw_bytes()?), Timestamp::now());
    let made = Made { at, by: who(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let text = |path: &Path| path.to_str().map(str::to_owned).ok_or_else(|| unnamed(path));
    let files = args.manifests.files.iter().map(|file| text(file)).collect::<Result<_, _>>()?;
    let declared = SavedManifest::of(manifest, files, text(lock_path)?);
    let consent = args.answers.consent(args.budget.max_creates);
    let expires = at.checked_add(args.valid_for).unwrap_or(at);
    let bound_to = (state.lineage.clone(), head, origin(manifest, state)?);
    let saved = SavedPlan::new((id, made, expires), bound_to, declared, (consent, plan, hash));
    let failed = |error: &dyn std::error::Error| {
        CliError::new(Exit::Error, error).context(format!("cannot write the plan to {}", path.display()))
    };
    let bytes = saved.encode().map_err(|error| failed(&error))?;
    store::replace(path, &bytes, 0o600).map_err(|error| failed(&error))?;
    Ok(saved)
}

/// Whether a plan may be written to `path`.
pub(super) fn check_place(context: &Context, path: &Path, lock_path: &Path, manifests: &[PathBuf]) -> Result<(), CliError> {
    let kept = Kept::of(context, manifests, [lock_path.to_owned()]);
    let why = match () {
        () if is_manifests_name(path) => "that is a manifest's name",
        () if path.exists() && !holds_one(path) => "it exists and is no saved plan: it is not overwritten",
        () => match kept.purpose(path) {
            Some(why) => why,
            None => return Ok(()),
        },
    };
    let message = format!("the plan cannot go to {}: {why}", typed(path));
    Err(CliError::message(Exit::Error, message).hint("`--out` names the file that the plan is written to, as `--out plan.json`"))
}

fn unnamed(path: &Path) -> CliError {
    let message = format!("{} is not UTF-8, and a saved plan names its files", path.display());
    CliError::message(Exit::Error, message).hint("give the manifest another name")
}

/// The server that a plan is for: the state's, else the one that the environment names.
fn origin(manifest: &Manifest, state: &State) -> Result<Origin, CliError> {
    if let Some(bound) = &state.binding {
        return Ok(bound.origin.clone());
    }
    if manifest.provider == ProviderKind::Emulator {
        return Ok(Origin(Origin::EMULATOR.to_owned()));
    }
    let url = std::env::var("CHATAPI_URL").map_err(|_| {
        CliError::message(Exit::Error, "a saved plan is for one server, and this state has none yet")
            .hint("export CHATAPI_URL=https://gateway.example/; no key is needed for a plan")
    })?;
    let base = BaseUrl::parse(&url).map_err(|error| CliError::new(Exit::Error, &error).context("CHATAPI_URL is not usable"))?;
    Ok(base.origin())
}

/// The plan must not be applied: why, and what to do.
pub(super) fn stale(context: &Context, plan: &SavedPlan, why: &Stale) -> CliError {
    let spent = spending(context, plan, why);
    let refused = match &spent {
        Some((at, by)) => CliError::message(Exit::Stale, format!("the plan {} is spent: it was applied at {at}{by}", plan.id)),
        None => CliError::new(Exit::Stale, why),
    };
    let refused = refused.hint("nothing was sent");
    let files = plan.manifest.files.iter().map(|file| typed(Path::new(file))).collect::<Vec<_>>().join(" ");
    let again = format!("`chatapi plan --out FILE {files}` makes a new one; look at it, then apply it");
    match why {
        Stale::OtherState { .. } => {
            refused.hint("bring that state back, or name it: `--state PATH`").hint(format!("else {again}"))
        }
        Stale::OtherServer { .. } => refused.hint("set CHATAPI_URL as it was when the plan was made"),
        Stale::Future(_) => refused.hint("set the clock of this machine, or of the one that made the plan"),
        _ => refused.hint(again),
    }
}

/// What an apply of a plan would say to it, as far as the state that is at hand tells.
pub(super) enum Standing {
    /// It fits the state, and the manifest where that is here.
    Good {
        /// Whether it is.
        has_manifest: bool,
    },
    /// It would be refused.
    Refused(Box<CliError>),
    /// Its state is not here.
    Unknown,
}

/// How `plan` stands now. Never fails: what cannot be read tells nothing.
pub(super) fn standing(context: &Context, plan: &SavedPlan) -> Standing {
    let refused = |why: Stale| Standing::Refused(Box::new(stale(context, plan, &why)));
    if let Err(why) = plan.check_time(Timestamp::now()) {
        return refused(why);
    }
    let Ok(reading) = store::read(&context.state_dir, None) else { return Standing::Unknown };
    if reading.state.lineage != plan.lineage {
        return Standing::Unknown;
    }
    let held = witness(context, plan, None).and_then(|witness| {
        let read = store::read(&context.state_dir, witness.lock());
        read.map(drop).map_err(|error| witness.explain_to(context, plan.manifest.manifest().provider, error))
    });
    if let Err(error) = held {
        return Standing::Refused(Box::new(error));
    }
    match plan.check_state(&reading.state, reading.head).and_then(|()| check_manifest(context, plan)) {
        Ok(()) => Standing::Good { has_manifest: files_here(plan).is_some() },
        Err(Stale::OtherState { .. }) => Standing::Unknown,
        Err(why) => refused(why),
    }
}

/// The plan's state is not there at all.
pub(super) fn gone(context: &Context, plan: &SavedPlan) -> CliError {
    let message =
        format!("the plan is for the state of lineage {}, and there is none in {}", plan.lineage, context.state_dir.display());
    CliError::message(Exit::Stale, message)
        .hint("nothing was sent: the state may be lost, and this plan applied already")
        .hint("bring the newest state directory back (a backup, a CI artifact), or name it with `--state PATH`")
}

/// The run that carried the plan out, if it is the state's own history that made the plan stale.
fn spending(context: &Context, plan: &SavedPlan, why: &Stale) -> Option<(Timestamp, String)> {
    if matches!(why, Stale::OtherState { .. } | Stale::OtherServer { .. } | Stale::Future(_)) {
        return None;
    }
    let past = store::history(&context.state_dir).ok()?;
    past.entries.iter().find_map(|entry| match &entry.event {
        Event::Run { plan: Some(id), who, .. } if *id == plan.id => {
            Some((entry.at.round(jiff::Unit::Second).unwrap_or(entry.at), by(who)))
        }
        _ => None,
    })
}

fn by(who: &Who) -> String {
    match who.job.as_ref().or(who.user.as_ref()) {
        Some(who) => format!(" by {who}"),
        None => String::new(),
    }
}

/// Holds the manifest, as far as its files are here, against what the plan was made from. A runner may have the plan alone.
pub(super) fn check_manifest(context: &Context, plan: &SavedPlan) -> Result<(), Stale> {
    let Some(files) = files_here(plan) else { return Ok(()) };
    if let Some(absent) = files.iter().find(|file| !file.exists()) {
        return Err(Stale::NoManifest(typed(absent)));
    }
    let given = Given { confidential: context.confidential.clone(), ..Given::exactly(&plan.manifest.variables) };
    let manifest = context.manifest(&files, &given).map_err(|_| Stale::BadManifest)?;
    plan.check_manifest(&manifest)
}

/// The manifest's files, if there is anything here that could have changed.
fn files_here(plan: &SavedPlan) -> Option<Vec<PathBuf>> {
    let files: Vec<PathBuf> = plan.manifest.files.iter().map(PathBuf::from).collect();
    // Standard input is gone; and where none of the files is here, nobody says that they have changed.
    let is_gone = files.iter().any(|file| file.as_os_str() == "-") || !files.iter().any(|file| file.exists());
    (!is_gone).then_some(files)
}

/// The lock file: as typed, else as the plan has it, if that is below this directory or beside the state, else what is found.
pub(super) fn witness(context: &Context, plan: &SavedPlan, typed_path: Option<&PathBuf>) -> Result<Witness, CliError> {
    let path = PathBuf::from(&plan.manifest.lock_file);
    let is_below = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let is_usual = path.file_name().is_some_and(|name| name == LOCK_FILE);
    let is_beside_state = reports::whole(&path) == reports::whole(&beside_state(&context.state_dir));
    // Whoever chose an environment said where its lock file is.
    let is_said = typed_path.is_some() || context.environment.is_some();
    if is_said || (is_below && (is_usual || path.exists())) || is_beside_state {
        return Ok(Witness::of_plan(context, path, typed_path)?);
    }
    // A file from elsewhere does not say where this machine writes.
    let message =
        format!("the plan names a lock file outside this directory, or of a name that is not usual: {}", path.display());
    Err(CliError::message(Exit::Error, message).hint(format!("if it is the right one: `--lock-file {}`", typed(&path))))
}

/// The lineage that counts in a plan's hash: that of a state which records something.
pub(super) fn recorded_lineage(state: Option<&State>) -> Option<&Lineage> {
    state.filter(|state| !state.records().is_empty()).map(|state| &state.lineage)
}
