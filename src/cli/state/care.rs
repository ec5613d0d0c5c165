//! `chatapi state verify` and `compact`.

use jiff::Timestamp;

use crate::cli::args::{LockArgs, LockFileArg};
use crate::cli::console::{BAD, DOUBT, GOOD};
use crate::cli::context::{Context, typed};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::report::VerifyDocument;
use crate::store::{self, LockFile, Rotated, Severity, StateStore};

pub(super) fn verify(context: &Context, args: &LockFileArg) -> Result<Exit, CliError> {
    let lock = LockFile::read(&Context::lock_file(&[], args.lock_file.as_ref()));
    let findings = store::verify(&context.state_dir, lock.as_ref().map(Option::as_ref));
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
    if worst < Severity::Error {
        return Ok(Exit::Done);
    }
    let command = context.command();
    if let Err(error) = lock
        && findings.iter().all(|finding| finding.severity < Severity::Error || finding.part == "lock file")
    {
        return Err(error.into());
    }
    let lock_path = typed(&Context::lock_file(&[], args.lock_file.as_ref()));
    Err(CliError::message(Exit::State, "the state is not as it was written: nothing is created from it")
        .hint("bring the newest intact copy of the state directory back")
        .hint(format!("if there is none: `{command} state rebuild --from journal --lock-file {lock_path}`, or `--from lock`")))
}

pub(super) fn compact(context: &Context, lock: &LockArgs) -> Result<Exit, CliError> {
    let mut store = context.open("state compact", lock.lock_timeout, None)?;
    store.append(context.run_info("state compact").event(), Timestamp::now())?;
    let Rotated { before, after } = store.rotate(Timestamp::now(), None, &mut |_, entry| Ok(entry))?;
    let past = store.checkpoint().and_then(|checkpoint| checkpoint.history.clone());
    Box::new(store).close()?;
    context.done(format!("Compacted: {before} bytes before, {after} after."))?;
    if let Some(past) = past {
        context.console.note(format_args!("what happened until now is in history/{}, without secrets", past.file));
    }
    Ok(Exit::Done)
}
