//! What there is to see: files, modes, the environment, the clock. Nothing is changed, and no secret is read.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf, absolute};

use jiff::Timestamp;

use super::{git, pipelines};
use crate::cli::args::{DoctorArgs, VariableArgs};
use crate::cli::context::{Context, typed};
use crate::cli::error::{CliError, Content};
use crate::cli::witness::{MANIFEST, Witness, beside_manifest};
use crate::cli::{init, schema, sealing, variables};
use crate::doctor::{
    Exposed, Facts, HOSTED_WORK, LockFacts, ManifestFacts, Pipeline, Place, StateFacts, Storage, Target, Tracking,
};
use crate::manifest::{self, ProviderKind};
use crate::provider::BaseUrl;
use crate::state::{Phase, Record, State};
use crate::store::{self, LockFile, Reading, Receipts, Severity, StoreError, referred};
use crate::text::counted;

/// What `statfs` says of file systems that are kept in memory, and of the layers of containers.
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58F6];
const LAYERS: [i64; 1] = [0x794C_7630];

/// Most files with credentials that git is asked about.
const OUTPUTS_MAX: usize = 50;

/// Looks at everything.
pub(super) fn gather(context: &Context, args: &DoctorArgs) -> Facts {
    let (seen, files, manifest_by) = repository(&args.manifests.files);
    let Seen { root, found, home } = seen;
    let beside = beside_manifest(&files);
    // The error of one that cannot be read does not say where one belongs.
    let witness = Witness::of_manifests(context, &files, args.lock_file.lock_file.as_ref());
    let lock_path = witness.as_ref().map_or_else(
        |_| args.lock_file.lock_file.clone().unwrap_or_else(|| beside.clone()),
        |witness| witness.source().to_owned(),
    );
    let state_dir = absolute(&context.state_dir).unwrap_or_else(|_| context.state_dir.clone());
    let lock_path = absolute(&lock_path).unwrap_or(lock_path);
    let lock = witness.map(|witness| witness.lock().cloned());
    let reading = store::read(&context.state_dir, lock.as_ref().ok().and_then(Option::as_ref));
    Facts {
        command: context.command(),
        environment: context.environment.as_ref().map(|chosen| (chosen.name().to_owned(), chosen.file())),
        key_hint: sealing::key_hint(),
        manifest: manifest(context, &files, &args.manifests.variables),
        manifest_by,
        is_schema_current: is_schema_current(&home.join(schema::FILE)),
        state: state(context, reading, lock.as_ref().ok().and_then(Option::as_ref)),
        lock: lock_facts(lock, &lock_path, &context.state_dir),
        git: git::look(&home, &state_dir.join("journal.jsonl"), &lock_path),
        place: place(context, &state_dir, root.as_deref()),
        outputs: outputs(context, &home, root.as_deref(), &found.pipelines),
        exposed: exposed(context),
        is_sealed_by_environment: is_set("CHATAPI_SEAL_TO"),
        url: variable("CHATAPI_URL").map(|url| BaseUrl::parse(&url).map(|_| Target::of(&url)).map_err(|error| error.to_string())),
        is_ci: context.is_ci,
        now: Timestamp::now(),
        pipelines: found.pipelines,
        unread: found.unread,
        unread_more: found.more,
    }
}

/// The repository around the manifests.
struct Seen {
    root: Option<PathBuf>,
    found: pipelines::Found,
    /// Where the manifest is, wherever the state and the lock file are kept.
    home: PathBuf,
}

/// The repository; and the manifests, those of its pipelines where none is in the usual place. Then where that is said, too.
fn repository(files: &[PathBuf]) -> (Seen, Vec<PathBuf>, Option<String>) {
    let home = |files: &[PathBuf]| {
        let beside = beside_manifest(files);
        absolute(&beside).unwrap_or(beside).parent().unwrap_or(Path::new("/")).to_owned()
    };
    let root = pipelines::root(&home(files));
    let found = root.as_deref().map(pipelines::read).unwrap_or_default();
    let is_usual = matches!(files, [file] if file.as_os_str() == MANIFEST && !file.exists());
    let theirs = root.as_deref().filter(|_| is_usual).and_then(|root| pipelines::manifests(root, &found.pipelines));
    let Some((theirs, file)) = theirs else {
        return (Seen { root, found, home: home(files) }, files.to_owned(), None);
    };
    let here = env::current_dir().unwrap_or_default();
    let near = |path: &PathBuf| path.strip_prefix(&here).unwrap_or(path).to_owned();
    let theirs: Vec<PathBuf> = theirs.iter().map(near).collect();
    let shown: Vec<String> = theirs.iter().map(|path| typed(path)).collect();
    let by = format!("{}, by {file}", shown.join(" "));
    (Seen { root, found, home: home(&theirs) }, theirs, Some(by))
}

fn variable(name: &str) -> Option<String> {
    env::var_os(name).filter(|value| !value.is_empty()).map(|value| value.to_string_lossy().into_owned())
}

fn is_set(name: &str) -> bool {
    variable(name).is_some()
}

/// Standard input is not read: it would be gone for the apply.
fn manifest(context: &Context, files: &[PathBuf], args: &VariableArgs) -> ManifestFacts {
    let is_there = |path: &PathBuf| path.as_os_str() != "-" && path.exists();
    if !files.iter().any(is_there) {
        return ManifestFacts::Missing;
    }
    let Ok(given) = variables::given(context, args) else { return ManifestFacts::Bad(1) };
    match manifest::Manifest::read(files, manifest::Stdin::Terminal, &given) {
        Ok(manifest) => ManifestFacts::Good {
            instances: manifest.declarations().len(),
            is_paid: manifest.provider == ProviderKind::Chatapi,
            is_sealed: manifest.seal_to.is_some(),
        },
        Err(problems) => ManifestFacts::Bad(problems.len()),
    }
}

fn is_schema_current(path: &Path) -> Option<bool> {
    let kept = fs::metadata(path)
        .ok()
        .filter(|metadata| metadata.is_file() && metadata.len() < 1 << 20)
        .and_then(|_| fs::read(path).ok())?;
    Some(schema::text(&manifest::schema()).is_ok_and(|text| text.as_bytes() == kept))
}

fn lock_facts(lock: Result<Option<LockFile>, store::LockFileError>, path: &Path, state_dir: &Path) -> LockFacts {
    match lock {
        Ok(None) => LockFacts::Absent,
        Ok(Some(lock)) => {
            let alone = store::read(state_dir, None).ok();
            let here = env::current_dir().ok().and_then(|here| path.strip_prefix(here).ok());
            LockFacts::Good {
                shown: typed(here.unwrap_or(path)),
                is_of_state: alone.map(|reading| reading.state.lineage == lock.lineage),
            }
        }
        Err(error) => LockFacts::Bad(words(&CliError::from(error))),
    }
}

fn state(context: &Context, reading: Result<Reading, StoreError>, lock: Option<&LockFile>) -> StateFacts {
    match reading {
        Ok(Reading { state, .. }) => damage(context, lock).unwrap_or_else(|| StateFacts::Good {
            records: state.records().len(),
            is_paid: state.binding.as_ref().map(|binding| !binding.origin.is_emulator()),
            unsealed: unsealed(&context.state_dir, &state),
            is_sealed: !state.recipients.is_empty(),
            newest: newest(&state),
        }),
        Err(StoreError::Absent(_)) => StateFacts::Absent,
        Err(error) => {
            let error = CliError::from(error);
            // The first line says that nothing was sent, which a doctor never does.
            let hint = error.hints.iter().find(|hint| !hint.starts_with("nothing was sent")).cloned();
            StateFacts::Broken { message: words(&error), hint }
        }
    }
}

/// What the index does not know: that its journal is not whole.
fn damage(context: &Context, lock: Option<&LockFile>) -> Option<StateFacts> {
    let mut findings = store::verify(&context.state_dir, Ok(lock)).into_iter();
    let found = findings.find(|finding| finding.severity == Severity::Error)?;
    Some(StateFacts::Broken { message: format!("{}: {}", found.part, found.message), hint: None })
}

/// An error and its causes in one line.
fn words(error: &CliError) -> String {
    match &error.content {
        Content::Chain(chain) => chain.join(": "),
        Content::Problems(problems) => counted(problems.len(), "problem", "problems"),
    }
}

/// How many entries of the state hold a secret that nobody needs a key for.
fn unsealed(dir: &Path, state: &State) -> usize {
    let entries = store::read_entries(dir, &referred(state)).unwrap_or_default();
    entries.values().filter(|entry| entry.event.holds_secret_in_clear()).count()
}

/// The newest moment that the state has from its own records.
fn newest(state: &State) -> Option<Timestamp> {
    let of = |record: &Record| match &record.phase {
        Phase::Created(instance) | Phase::Released(instance) => Some(instance.since),
        _ => record.open_attempt().map(|attempt| attempt.since),
    };
    let begun = state.run.as_ref().and_then(|run| run.begun).map(|begun| begun.at);
    state.records().values().filter_map(of).chain(begun).max()
}

fn place(context: &Context, absolute: &Path, root: Option<&Path>) -> Place {
    let real = real(absolute);
    let inside = root.and_then(|root| real.strip_prefix(fs::canonicalize(root).ok()?).ok().map(Path::to_owned));
    Place {
        shown: typed(&context.state_dir),
        storage: storage(&real),
        in_repository: inside.map(|path| path.to_string_lossy().into_owned()),
        unsafe_locks: store::check_file_system(&context.state_dir).err().map(|error| error.to_string()),
        thrown_away: thrown_away(),
        absolute: real,
    }
}

/// The path without links, as far as it is there.
fn real(path: &Path) -> PathBuf {
    let there = path.ancestors().find_map(|ancestor| Some((ancestor, fs::canonicalize(ancestor).ok()?)));
    there.map_or_else(
        || path.to_owned(),
        |(ancestor, real)| match path.strip_prefix(ancestor) {
            Ok(rest) if rest.as_os_str().is_empty() => real,
            Ok(rest) => real.join(rest),
            Err(_) => path.to_owned(),
        },
    )
}

/// Directories that somebody empties.
fn thrown_away() -> Vec<(PathBuf, &'static str)> {
    let system = [
        ("/tmp", "it is emptied by the system"),
        ("/private/tmp", "it is emptied by the system"),
        ("/dev/shm", "it is memory"),
        ("/run", "it is memory"),
    ];
    let mut places: Vec<_> = system.into_iter().map(|(path, why)| (PathBuf::from(path), why)).collect();
    let of_job = ["RUNNER_TEMP", "AGENT_TEMPDIRECTORY"].into_iter().filter_map(variable);
    places.extend(of_job.map(|path| (PathBuf::from(path), "the runner empties it after each job")));
    let is_hosted = variable("RUNNER_ENVIRONMENT").as_deref() == Some("github-hosted");
    let work = variable("GITHUB_WORKSPACE").filter(|_| is_hosted);
    places.extend(work.map(|path| (PathBuf::from(path), HOSTED_WORK)));
    places.extend(variable("TMPDIR").map(|path| (PathBuf::from(path), "TMPDIR says that it is for what may go")));
    places
}

#[cfg(target_os = "linux")]
fn storage(path: &Path) -> Storage {
    let number = path.ancestors().find_map(|ancestor| rustix::fs::statfs(ancestor).ok()).map(|disk| disk.f_type & 0xFFFF_FFFF);
    match number {
        Some(number) if IN_MEMORY.contains(&number) => Storage::Memory,
        Some(number) if LAYERS.contains(&number) => Storage::Container,
        _ => Storage::Disk,
    }
}

#[cfg(not(target_os = "linux"))]
fn storage(_: &Path) -> Storage {
    Storage::Disk
}

/// Files that credentials are written to, by an apply here or by one of a pipeline, and what git says of them.
fn outputs(context: &Context, home: &Path, root: Option<&Path>, pipelines: &[Pipeline]) -> Vec<(String, Tracking)> {
    let kept = Receipts::read(&context.state_dir).unwrap_or_default().outputs.into_keys();
    let of_pipelines = pipelines.iter().flat_map(Pipeline::outputs).filter_map(|file| Some(root?.join(file)));
    let files: BTreeSet<PathBuf> = kept.chain(of_pipelines).collect();
    let here = env::current_dir().unwrap_or_default();
    let looked_at = git::look_at(home, files.into_iter().take(OUTPUTS_MAX));
    looked_at.into_iter().map(|(path, tracking)| (typed(path.strip_prefix(&here).unwrap_or(&path)), tracking)).collect()
}

/// Files with secrets that others can read. The names that the environment gives are not shown: a key may stand there by mistake.
fn exposed(context: &Context) -> Vec<Exposed> {
    let named = |name: &str| {
        variable(name).map(|path| (PathBuf::from(path), format!("the file that {name} names"), format!("chmod 600 \"${name}\"")))
    };
    let ours = |path: PathBuf, how: &str| {
        let shown = typed(&path);
        (path, shown.clone(), format!("chmod {how} {shown}"))
    };
    let key = init::key_file().map(|path| ours(path, "600"));
    let directory = Some(ours(context.state_dir.clone(), "700")).filter(|_| store::has_state(&context.state_dir));
    let journal = Some(ours(context.state_dir.join("journal.jsonl"), "600"));
    let files = [named("CHATAPI_API_KEY_FILE"), named("CHATAPI_IDENTITY_FILE"), key, directory, journal].into_iter().flatten();
    let open = files.filter_map(|(path, what, remedy)| {
        let mode = fs::metadata(&path).ok()?.permissions().mode() & 0o7777;
        (mode & 0o077 != 0).then_some(Exposed { what, mode, remedy })
    });
    open.collect()
}
