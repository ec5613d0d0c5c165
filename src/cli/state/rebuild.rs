//! `chatapi state rebuild`: a state from what is left of it.

mod server;

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::cli::args::{RebuildArgs, RebuildSource};
use crate::cli::console::BOLD;
use crate::cli::context::{Context, draw_lineage, typed};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::neighbours::{self, Neighbours};
use crate::cli::reserved::real;
use crate::cli::token_set;
use crate::cli::witness::{self, Witness};
use crate::instance::{ApiUrl, InstanceId, InstanceName};
use crate::provider::certainty::judge;
use crate::state::{AttemptId, Binding, Event, KeptAnswer, Origin, Outline, Phase, Record, State};
use crate::store::{self, FileStore, LockFile, Salvage, StateStore, StoreError};
use crate::text::counted;

/// What a rebuild reads besides, and where the lock file of what it makes goes.
struct Known {
    lock: Option<LockFile>,
    /// Where that stands, or would.
    source: PathBuf,
    path: PathBuf,
}

impl Known {
    fn find(context: &Context, args: &RebuildArgs) -> Result<Self, CliError> {
        let named = args.lock_file.lock_file.clone();
        if let Some(source) = args.from_lock.clone() {
            check_source(context, &source)?;
            // That of the environment, or that which was named: later runs look at it, so it has to know what there is now.
            let path = witness::told(context, named.as_ref())?.unwrap_or_else(|| source.clone());
            return Ok(Self { lock: LockFile::read(&source)?, path, source });
        }
        let witness = Witness::of_restored(context, named.as_ref())?;
        Ok(Self { lock: witness.lock().cloned(), source: witness.source().to_owned(), path: witness.path })
    }
}

/// Refuses the lock file of another environment: what it names is managed there.
fn check_source(context: &Context, source: &Path) -> Result<(), CliError> {
    let Some(chosen) = &context.environment else { return Ok(()) };
    let is_its = |environment: &str| chosen.lock_file_of(environment).is_some_and(|lock| real(&lock) == real(source));
    let Some((environment, _, command)) = chosen.neighbours().find(|(environment, ..)| is_its(environment)) else {
        return Ok(());
    };
    let message = format!("{} is the lock file of environment `{environment}`", typed(source));
    Err(CliError::message(Exit::Guard, message)
        .hint("nothing was changed: who deletes here what it names would delete it there")
        .hint(format!("if the state of that environment is lost: `{command} state rebuild --from lock`")))
}

/// Refuses what another environment has. What was released here may be theirs.
fn check_free(theirs: &Neighbours, known: &LockFile) -> Result<(), CliError> {
    known.instances.values().try_for_each(|instance| neighbours::check_free(theirs, &instance.id))
}

pub(super) fn run(context: &Context, args: &RebuildArgs) -> Result<Exit, CliError> {
    let known = Known::find(context, args)?;
    match args.from {
        Some(RebuildSource::Journal) => from_journal(context, args, &known),
        Some(RebuildSource::Server) => server::rebuild(context, args, &known),
        Some(RebuildSource::Lock) | None => from_lock(context, args, &known),
    }
}

fn from_journal(context: &Context, args: &RebuildArgs, Known { lock, path: lock_path, .. }: &Known) -> Result<Exit, CliError> {
    if !store::has_state(&context.state_dir) {
        return Err(no_journal(context, lock_path, lock.as_ref()));
    }
    let hold = context.hold("state rebuild", args.lock.lock_timeout)?;
    let salvaged =
        store::salvage(&context.state_dir, lock.as_ref(), Timestamp::now(), &outline).map_err(|error| match error {
            StoreError::Absent(_) => CliError::message(Exit::State, "not even the beginning of the journal can be read")
                .hint("with the lock file of this state (`--lock-file PATH`) the rest of it can be")
                .hint(format!("without: move {} aside, then `chatapi state rebuild --from server`", typed(&context.state_dir))),
            error => error.into(),
        })?;
    let Salvage { lost, from_elsewhere, .. } = salvaged;
    let (renamed, is_all_protected) = (salvaged.renamed.clone(), salvaged.is_all_protected);
    let journal = context.state_dir.join("journal.jsonl");
    let aside = aside(&journal, "damaged");
    copy(&journal, &aside).map_err(|error| CliError::new(Exit::Error, &error).context("cannot keep the damaged journal"))?;
    let mut rebuilt = salvaged.restore(&context.state_dir, hold, Timestamp::now())?;
    rebuilt.append(context.run_info("state rebuild").event(), Timestamp::now())?;
    rebuilt.sync()?;
    let to = rebuilt.state().recipients.to_string();
    let (records, doubts) = (rebuilt.state().records().len(), rebuilt.state().doubts().count());
    let without = without_token(rebuilt.state());
    let mut old = None;
    if lock.is_some() {
        old = keep_old(lock_path)?;
        LockFile::of(rebuilt.state(), rebuilt.head(), []).write(lock_path).map_err(|error| CliError::unwritten(&error))?;
    }
    Box::new(rebuilt).close()?;
    context.done(format!(
        "Rebuilt: {}, {doubts} of them in doubt; {} gone, {} known elsewhere.",
        counted(records, "name", "names"),
        counted(lost, "entry is", "entries are"),
        counted(from_elsewhere, "name was", "names were"),
    ))?;
    let console = &context.console;
    console.note(format_args!("the journal as it was is kept as {}", aside.display()));
    tell_of_old(context, old.as_deref());
    if lock.is_none() {
        let path = typed(lock_path);
        console.warn(format_args!(
            "there is no {path}: what only the lock file knows may be created again; if it is elsewhere, name it"
        ));
        console.note(format_args!("  {BOLD}hint{BOLD:#}: `{} state rebuild --from journal --lock-file PATH`", context.command()));
    }
    console.note(format_args!("tokens are sealed to: {to}"));
    if is_all_protected {
        console
            .warn("nothing is left that says what was protected: everything is protected, until an apply sets what is declared");
    }
    for name in &renamed {
        console.warn(format_args!("`{name}` exists, and the entry with its name is gone: it would be created again under that"));
        console.note(format_args!("  {BOLD}hint{BOLD:#}: `{} state mv {name} NAME`, before you apply", context.command()));
    }
    if lost > 0 {
        console.warn("what stood in the entries that are gone is not known: compare the server's list before you apply");
    }
    let command = context.command();
    if without > 0 {
        let all = counted(without, "instance is", "instances are");
        console.note(format_args!("{all} without token: {}", token_set::missing(&command, without)));
    }
    console.note(format_args!("next: `{command} doubts --refresh`"));
    Ok(Exit::Done)
}

/// How many instances have no token.
fn without_token(state: &State) -> usize {
    state.records().values().filter(|record| record.instance().is_some() && record.token().is_none()).count()
}

/// There is nothing to be read: no directory is made for it.
fn no_journal(context: &Context, lock_path: &Path, lock: Option<&LockFile>) -> CliError {
    let dir = context.state_dir.display();
    let absent = CliError::message(Exit::State, format!("there is no journal in {dir}"))
        .hint("bring the newest state directory back (a backup, a CI artifact), or name it with `--state PATH`");
    match lock {
        Some(_) => absent.hint(format!(
            "if it is lost for good: `chatapi state rebuild --from-lock {}` knows the ids again, without tokens",
            typed(lock_path)
        )),
        None => absent.hint("if it is lost for good, and its lock file too: `chatapi state rebuild --from server`"),
    }
}

fn outline(answer: &KeptAnswer) -> Option<Outline> {
    answer.clear().map_or_else(|| answer.outline.clone(), |answer| Some(judge(&answer).outline()))
}

/// A private copy. No second name for the same file: should this run end here, that would not be safe to use any more.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut copy = store::make_new(to, 0o600)?;
    std::io::copy(&mut std::fs::File::open(from)?, &mut copy)?;
    copy.sync_all()
}

/// A free name beside `path`.
fn aside(path: &Path, word: &str) -> PathBuf {
    let stamp = Timestamp::now().strftime("%Y%m%dT%H%M%S%fZ").to_string();
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{word}-{stamp}"));
    PathBuf::from(name)
}

/// A state without a record, to be filled; this run is not on record yet.
fn empty(context: &Context, args: &RebuildArgs, known: Option<(&LockFile, &Path)>) -> Result<FileStore, CliError> {
    let hold = context.hold("state rebuild", args.lock.lock_timeout)?;
    match FileStore::open_or_begin(&context.state_dir, hold, None, draw_lineage()?, Timestamp::now()) {
        Ok(store) if store.state().records().is_empty() || is_cut_off(store.state(), known) => Ok(store),
        Ok(store) => Err(in_the_way(context, &store, known)),
        Err(error @ StoreError::Locked { .. }) => Err(error.into()),
        Err(error) => Err(CliError::from(error)
            .hint("what is left of the old state is in the way: `--from journal` reads it, or move it aside")),
    }
}

/// Whether `state` is what a rebuild from that lock file had come to when it was cut off: nothing but what the lock file names, under
/// a lineage of its own, without a token.
fn is_cut_off(state: &State, known: Option<(&LockFile, &Path)>) -> bool {
    let Some((lock, _)) = known.filter(|(lock, _)| lock.lineage != state.lineage) else { return false };
    let is_doubt = |name: &InstanceName, attempt: &AttemptId| {
        let doubt = lock.in_doubt.get(name);
        doubt.is_some_and(|doubt| doubt.attempt.as_ref().is_none_or(|its| its == attempt))
    };
    let is_its = |record: &Record| match &record.phase {
        Phase::Intent(_) | Phase::Received(..) => false,
        // One of this state alone: no lock file needs to know it, and nothing else does.
        Phase::InDoubt(attempt, _) => is_doubt(&record.name, &attempt.id),
        _ => record.token().is_none() && record.id().is_none_or(|id| lock.named().any(|(_, instance)| instance.id == *id)),
    };
    state.records().values().all(is_its)
}

fn from_lock(context: &Context, args: &RebuildArgs, Known { lock, source, path }: &Known) -> Result<Exit, CliError> {
    let Some(known) = lock else {
        return Err(CliError::message(Exit::Error, format!("there is no lock file at {}", source.display()))
            .hint("`--from-lock PATH` names one"));
    };
    check_free(&neighbours::at(context, known.origin.as_ref()), known)?;
    let mut store = empty(context, args, Some((known, source)))?;
    if let Some(binding) = &store.state().binding {
        check_bound(context, known, &binding.origin)?;
    }
    store.append(context.run_info("state rebuild").event(), Timestamp::now())?;
    if let Some(origin) = known.origin.clone().filter(|_| store.state().binding.is_none()) {
        store.append(Event::Bound(Binding { origin, key: None, environment: None }), Timestamp::now())?;
    }
    add_known(&mut store, known, &|_| None)?;
    finish(context, store, path, unsaid(known))
}

/// An id of one server is another instance on another.
fn check_bound(context: &Context, known: &LockFile, origin: &Origin) -> Result<(), CliError> {
    let Some(theirs) = known.origin.as_ref().filter(|theirs| *theirs != origin) else { return Ok(()) };
    let dir = context.state_dir.display();
    let message = format!("the instances of the lock file are on {theirs}, and the state in {dir} belongs to {origin}");
    Err(CliError::message(Exit::Error, message)
        .hint("nothing was written; to begin anew in spite of it, move that directory aside first"))
}

/// Why everything of that lock file is protected.
fn unsaid(known: &LockFile) -> Option<&'static str> {
    let is_unsaid = !known.knows_protection();
    is_unsaid
        .then_some("the lock file is of an earlier version, and does not say what was protected: everything is protected now")
}

/// What a lock file knows and `store` does not: ids, doubts, and the keys to seal to. `address`: where something lists it.
fn add_known(store: &mut FileStore, known: &LockFile, address: &dyn Fn(&InstanceId) -> Option<ApiUrl>) -> Result<(), CliError> {
    if store.state().recipients != known.seal_to {
        store.append(Event::Recipients { to: known.seal_to.clone() }, Timestamp::now())?;
    }
    for mut event in known.lessons(store.state(), Timestamp::now()) {
        if let Event::Adopted { id, api_url, .. } = &mut event {
            *api_url = address(id);
        }
        store.append(event, Timestamp::now())?;
    }
    Ok(())
}

/// `protected`: why more is protected than anything says.
fn finish(context: &Context, mut store: FileStore, lock_path: &Path, protected: Option<&str>) -> Result<Exit, CliError> {
    store.sync()?;
    let instances = without_token(store.state());
    let is_released = |record: &&Record| matches!(record.phase, Phase::Released(_));
    let released = store.state().records().values().filter(is_released).count();
    let doubts = store.state().doubts().count();
    let is_unsealed = store.state().recipients.is_empty();
    let lacks_address = |record: &&Record| record.instance().is_some_and(|instance| instance.api_url.is_none());
    let without_address = store.state().records().values().filter(lacks_address).count();
    let old = keep_old(lock_path)?;
    LockFile::of(store.state(), store.head(), []).write(lock_path).map_err(|error| CliError::unwritten(&error))?;
    Box::new(store).close()?;
    let released = if released > 0 { format!(", {released} released") } else { String::new() };
    context
        .done(format!("Rebuilt: {} without token, {doubts} in doubt{released}.", counted(instances, "instance", "instances")))?;
    let (console, command) = (&context.console, context.command());
    tell_of_old(context, old.as_deref());
    if is_unsealed && instances > 0 {
        console.note(format_args!(
            "this state names no key to seal to; if the manifest has `seal_to`, first: `{command} state rekey --only-new MANIFEST`"
        ));
    }
    if let Some(protected) = protected.filter(|_| instances > 0) {
        console.warn(protected);
        console.note("an apply sets what is declared to what its declaration says; what is not declared stays protected");
    }
    if instances > 0 {
        console.note(format_args!("next: {}", token_set::missing(&command, instances)));
    }
    if without_address > 0 {
        console.note(
            "where the address of an instance is missing, it comes with its token: `--api-url`, or a third column of the file",
        );
    }
    if doubts > 0 {
        console.note(format_args!("next: `{command} doubts` for what is in doubt"));
    }
    Ok(Exit::Done)
}

/// Where the lock file of the lost state is kept: should that state turn up again, it goes with it.
fn keep_old(lock: &Path) -> Result<Option<PathBuf>, CliError> {
    if !lock.exists() {
        return Ok(None);
    }
    let mut old = lock.as_os_str().to_owned();
    old.push(".before-rebuild");
    let old = PathBuf::from(old);
    // A rebuild that was cut short has kept it already.
    if std::fs::read(&old).ok().is_some_and(|kept| std::fs::read(lock).ok() == Some(kept)) {
        return Ok(Some(old));
    }
    let old = if old.exists() { aside(&old, "again") } else { old };
    copy(lock, &old).map_err(|error| CliError::new(Exit::Error, &error).context("cannot keep a copy of the lock file"))?;
    Ok(Some(old))
}

/// What is said of the lock file's copy.
fn tell_of_old(context: &Context, old: Option<&Path>) {
    let Some(old) = old else { return };
    let old = old.display();
    let console = &context.console;
    console.note(format_args!("the lock file belongs to this state from now on: commit it; the old one is {old}"));
    console.note("that copy has no secret in it; should the lost state turn up again it goes with it, else delete it");
}

/// There is a state that records something; an older one has tokens that no lock file has.
fn in_the_way(context: &Context, store: &FileStore, known: Option<(&LockFile, &Path)>) -> CliError {
    let (dir, state) = (context.state_dir.display(), store.state());
    let older = known.filter(|(known, _)| known.lineage == state.lineage && known.serial > store.head().serial);
    let Some((known, lock_path)) = older else {
        return CliError::message(Exit::Error, format!("the state in {dir} records instances; it is not lost"))
            .hint("to begin anew in spite of it, move that directory aside first");
    };
    let tokens = state.records().values().filter(|record| record.token().is_some()).count();
    let newer = known.known().filter(|(_, instance)| !state.known_ids().contains_key(&instance.id)).count();
    let rebuild = format!("chatapi state rebuild --from journal --lock-file {}", typed(lock_path));
    CliError::message(Exit::Error, format!("the state in {dir} is not lost, only older than the lock file: it has {tokens} tokens"))
        .hint("nothing was written: from the lock file alone every token would be lost")
        .hint(format!("look for a newer copy first; if there is none, this keeps them, and has {newer} newer instances without token: `{rebuild}`"))
        .hint("to begin anew in spite of it, move that directory aside first: its tokens go with it")
}
