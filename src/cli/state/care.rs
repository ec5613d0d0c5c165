//! `chatapi state verify` and `compact`.

use jiff::Timestamp;

use crate::cli::again::addressed;
use crate::cli::args::{LockArgs, WitnessArg};
use crate::cli::console::{BAD, DOUBT, GOOD};
use crate::cli::context::{Context, typed};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::witness::Witness;
use crate::report::VerifyDocument;
use crate::store::{self, Rotated, Severity, StateStore};

pub(super) fn verify(context: &Context, args: &WitnessArg) -> Result<Exit, CliError> {
    let witness = Witness::of_state(context, args.lock_file.as_ref());
    let mut findings = store::verify(&context.state_dir, witness.as_ref().map(Witness::lock));
    for finding in &mut findings {
        finding.message = addressed(&finding.message, &context.console.command).into_owned();
    }
    let worst = findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Good);
    if context.is_json() {
        context.document(&VerifyDocument::new(&findings))?;
    } else {
        for finding in &findings {
            let (style, mark) = match finding.severity {
                Severity::Good => (GOOD, '='),
                Severity::Warning => (DOUBT, '!'),
                Severity::Error => (BAD, 'x'),
            };
            let message = crate::text::escape(&finding.message);
            context.console.line(format_args!("{style}{mark}{style:#} {:9}  {message}", finding.part));
        }
    }
    if let Ok(witness) = &witness
        && witness.lock().is_none()
    {
        let path = witness.path.display();
        context.console.note(format_args!("{path} would be the lock file; if it is elsewhere, name it: `--lock-file PATH`"));
    }
    if worst < Severity::Error {
        return Ok(Exit::Done);
    }
    let witness = match witness {
        Ok(witness) => Some(witness),
        Err(error) if findings.iter().all(|finding| finding.severity < Severity::Error || finding.part == "lock file") => {
            return Err(error.into());
        }
        Err(_) => None,
    };
    Err(broken(context, witness.as_ref()))
}

/// The ways out, as far as what they begin from is there.
fn broken(context: &Context, witness: Option<&Witness>) -> CliError {
    let error = CliError::message(Exit::State, "the state is not as it was written: nothing is created from it")
        .hint("bring the newest intact copy of the state directory back, or name it: `--state PATH`");
    let path = witness.filter(|witness| witness.lock().is_some()).map(|witness| typed(witness.source()));
    let rebuild = match (store::has_state(&context.state_dir), path) {
        (true, Some(path)) => format!("`chatapi state rebuild --from journal --lock-file {path}`"),
        (true, None) => "`chatapi state rebuild --from journal`, with `--lock-file PATH` if there is one".to_owned(),
        (false, Some(path)) => format!("`chatapi state rebuild --from-lock {path}` knows the ids again, without tokens"),
        (false, None) => "`chatapi state rebuild --from server`, if there ever was one".to_owned(),
    };
    error.hint(format!("if there is none: {rebuild}"))
}

pub(super) fn compact(context: &Context, lock: &LockArgs) -> Result<Exit, CliError> {
    let witness = Witness::of_state(context, None)?;
    let mut store = witness.open(context, "state compact", lock.lock_timeout)?;
    store.append(context.run_info("state compact").event(), Timestamp::now())?;
    let Rotated { before, after } = store.rotate(Timestamp::now(), None, &mut |_, entry| Ok(entry))?;
    let past = store.checkpoint().and_then(|checkpoint| checkpoint.history.clone());
    store.sync()?;
    let closed = witness.close(store);
    context.done(format!("Compacted: {before} bytes before, {after} after."))?;
    let exit = closed.tell(context)?;
    if let Some(past) = past {
        context.console.note(format_args!("what happened until now is in history/{}, without secrets", past.file));
    }
    Ok(exit)
}
