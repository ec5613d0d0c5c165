//! `chatapi state export` and `import`.

use std::io::{self, Read};
use std::path::Path;

use jiff::Timestamp;

use crate::cli::args::{IdentityArgs, LockArgs, LockFileArg, WitnessArg};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::identity::{TokenError, identities, token_in};
use crate::cli::witness::{self, Witness};
use crate::report::RevealedDocument;
use crate::seal::OpenError;
use crate::state::{Doubt, Phase, Record};
use crate::store::{self, Behind, Export, ExportError, FileStore, LockFile, Snapshot, StateStore, StoreError};
use crate::text::counted;

/// Longest export that is read.
const EXPORT_MAX: u64 = 256 << 20;

/// The whole state; with tokens in the clear only where that is said to be meant.
pub(super) fn export(context: &Context, may_be_unsealed: bool, lock_file: &WitnessArg) -> Result<Exit, CliError> {
    let reading = witness::look(context, lock_file)?;
    let kept = store::read_entries(&context.state_dir, &store::referred(&reading.state))?;
    if !may_be_unsealed && kept.values().any(|entry| entry.event.holds_secret_in_clear()) {
        return Err(CliError::message(Exit::Error, "tokens stand in this state in the clear, and would in its export")
            .hint("if that is meant: `--unsealed`; keep the document as you would keep the tokens (`umask 077`)")
            .hint("`chatapi state rekey` seals them to a public key first"));
    }
    let snapshot = Snapshot::of(&reading.state, reading.head, &kept, None);
    let export = Export::new(snapshot).map_err(|error| CliError::new(Exit::Error, &error))?;
    context.document(&export)?;
    Ok(Exit::Done)
}

pub(super) fn reveal(context: &Context, args: &IdentityArgs, lock_file: &WitnessArg) -> Result<Exit, CliError> {
    let reading = witness::read(context, lock_file)?;
    let kept = store::read_entries(&context.state_dir, &store::referred(&reading.state))?;
    let keys = identities(args)?;
    let mut document = RevealedDocument::new(&reading.state, reading.head);
    let (mut opened, mut closed) = (0_usize, Vec::new());
    for record in reading.state.records().values() {
        let Some((at, entry)) = record.token().and_then(|at| Some((at, kept.get(&at.entry)?))) else {
            document.push(&reading.state, record, None, Vec::new());
            continue;
        };
        match token_in(entry, at, &reading.state.lineage, &keys) {
            Ok(token) => {
                opened += 1;
                document.push(&reading.state, record, Some(&token), Vec::new());
            }
            Err(error @ TokenError::Sealed(OpenError::NotForUs(_))) => {
                let to = entry.event.sealed().map(|sealed| sealed.keys().cloned().collect());
                document.push(&reading.state, record, None, to.unwrap_or_default());
                closed.push((&record.name, error));
            }
            Err(error) => return Err(CliError::from(error).context(format!("`{}`", record.name))),
        }
    }
    let names: Vec<&str> = closed.iter().map(|(name, _)| name.as_str()).collect();
    match closed.pop() {
        Some((name, error)) if opened == 0 => return Err(CliError::from(error).context(format!("`{name}`"))),
        _ => context.document(&document)?,
    }
    if names.is_empty() {
        return Ok(Exit::Done);
    }
    Err(CliError::message(Exit::Partly, format!("none of the given secret keys opens the tokens of {}", names.join(", ")))
        .hint("the document has everything else; `sealed_to` in it names the keys that do"))
}

pub(super) fn import(context: &Context, file: &Path, lock_file: &LockFileArg, lock: &LockArgs) -> Result<Exit, CliError> {
    let mut snapshot = read(file)?;
    let witness = Witness::of_restored(context, lock_file.lock_file.as_ref())?;
    let hold = context.hold("state import", lock.lock_timeout)?;
    if store::has_state(&context.state_dir) {
        let dir = context.state_dir.display();
        return Err(CliError::message(Exit::Error, format!("there is a state in {dir} already; an import never replaces one"))
            .hint("name another directory with `--state`, or move that one aside"));
    }
    if let Some(known) = witness.lock() {
        check(&snapshot, known).map_err(|error| witness.explain(context, error))?;
    }
    // What was being created when it was exported may have been sent since. Said in what is written at once, for a process may die.
    for restored in &mut snapshot.records {
        if let Phase::Intent(attempt) = &restored.record.phase {
            let reason = "it was begun when the state was exported".to_owned();
            let doubt = Doubt { since: Timestamp::now(), reason, answer: None };
            restored.record.phase = Phase::InDoubt(attempt.clone(), doubt);
        }
    }
    let mut imported = FileStore::restore(&context.state_dir, hold, witness.lock(), snapshot, Timestamp::now())?;
    imported.append(context.run_info("state import").event(), Timestamp::now())?;
    imported.sync()?;
    let records: Vec<&Record> = imported.state().records().values().collect();
    let message = format!("Imported {} at serial {}.", counted(records.len(), "name", "names"), imported.head().serial);
    LockFile::of(imported.state(), imported.head(), []).write(&witness.path).map_err(|error| CliError::unwritten(&error))?;
    Box::new(imported).close()?;
    context.done(message)?;
    witness.tell_of_other(context);
    context.console.note("two copies of one state are two writers: use this one only, from now on");
    Ok(Exit::Done)
}

/// An export must not be older than the lock file: what came later would be created again.
fn check(snapshot: &Snapshot, known: &LockFile) -> Result<(), StoreError> {
    if !known.records_anything() {
        return Ok(());
    }
    let (after, lineage) = (snapshot.after(), &snapshot.checkpoint.lineage);
    let witness = "the lock file";
    let behind = if *lineage != known.lineage {
        Behind::Other { witness, found: lineage.clone(), expected: known.lineage.clone() }
    } else if after.serial < known.serial {
        Behind::Older { witness, end: after.serial, seen: known.serial }
    } else if after.serial == known.serial && after.hash != known.head {
        Behind::Apart { witness, at: known.serial }
    } else {
        return Ok(());
    };
    Err(behind.into())
}

fn read(path: &Path) -> Result<Snapshot, CliError> {
    let fail = |error: io::Error| CliError::new(Exit::Error, &error).context(format!("cannot read {}", path.display()));
    let mut text = Vec::new();
    if path.as_os_str() == "-" {
        io::stdin().take(EXPORT_MAX).read_to_end(&mut text).map_err(fail)?;
    } else {
        super::regular(path).and_then(|file| file.take(EXPORT_MAX).read_to_end(&mut text)).map_err(fail)?;
    }
    Export::read(&text).map_err(|error| {
        let exit = if matches!(error, ExportError::Changed) { Exit::State } else { Exit::Error };
        CliError::new(exit, &error)
            .context(format!("{} cannot be imported", path.display()))
            .hint("`chatapi state export` writes what can be; `--reveal` does not")
    })
}
