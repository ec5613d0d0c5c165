//! The state that an apply begins with: taken, opened, and the right one.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::subject::Subject;
use crate::apply::StopSignal;
use crate::cli::args::ApplyArgs;
use crate::cli::context::{Context, draw_lineage};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::{saved, unnamed};
use crate::manifest::ProviderKind;
use crate::saved::{SavedPlan, Stale};
use crate::store::{self, FileStore, Hold, LockFile, StateStore, StoreError};

/// Opens the state, or begins it where that is no mistake.
pub(super) async fn open(
    context: &Arc<Context>,
    args: &ApplyArgs,
    subject: &Subject,
    stop: StopSignal,
) -> Result<FileStore, CliError> {
    let lock = subject.witness.lock();
    if let Some(saved) = &subject.saved {
        return open_for(context, args, saved, lock, stop).await;
    }
    if !args.init {
        unnamed::check(context, &subject.witness.path, subject.manifest.provider)?;
    }
    let may_begin = args.init || !context.is_ci || subject.manifest.provider == ProviderKind::Emulator;
    if !may_begin && !context.state_dir.exists() && !lock.is_some_and(LockFile::records_anything) {
        return Err(absent_in_ci(context));
    }
    if !context.state_dir.exists() && lock.is_some_and(LockFile::records_anything) {
        // An empty directory would be in the way of a copy that is brought back.
        store::read(&context.state_dir, lock)?;
    }
    let hold = hold(context, args.lock.lock_timeout, stop).await?;
    if may_begin {
        return Ok(FileStore::open_or_begin(&context.state_dir, hold, lock, draw_lineage()?, Timestamp::now())?);
    }
    match FileStore::open(&context.state_dir, hold, lock) {
        Err(StoreError::Absent(_)) => Err(absent_in_ci(context)),
        // A state without a record may be one that a cache brings back from before the first apply, every time.
        Ok(store) if store.state().records().is_empty() && !lock.is_some_and(LockFile::records_anything) => {
            Err(absent_in_ci(context))
        }
        opened => Ok(opened?),
    }
}

/// Opens the state that a saved plan is for. It is never begun here: the plan was made against one.
async fn open_for(
    context: &Arc<Context>,
    args: &ApplyArgs,
    plan: &SavedPlan,
    lock: Option<&LockFile>,
    stop: StopSignal,
) -> Result<FileStore, CliError> {
    let stale = |why: Stale| saved::stale(context, plan, &why);
    if !store::has_state(&context.state_dir) {
        return Err(saved::gone(context, plan));
    }
    plan.check_time(Timestamp::now()).map_err(stale)?;
    let hold = hold(context, args.lock.lock_timeout, stop).await?;
    let store = FileStore::open(&context.state_dir, hold, lock).map_err(|error| match error {
        StoreError::Absent(_) => saved::gone(context, plan),
        error => error.into(),
    })?;
    plan.check_state(store.state(), store.head()).map_err(stale)?;
    saved::check_manifest(context, plan).map_err(stale)?;
    Ok(store)
}

/// Takes the state's lock; a signal ends the wait for it.
async fn hold(context: &Arc<Context>, timeout: Duration, mut stop: StopSignal) -> Result<Hold, CliError> {
    let (tell, held) = tokio::sync::oneshot::channel();
    let waiting = Arc::clone(context);
    // A thread of its own and none of the runtime's, which would be waited for at the end. Nobody is told after a signal: the
    // lock is then let go at once.
    std::thread::spawn(move || drop(tell.send(waiting.hold("apply", timeout))));
    tokio::select! {
        biased;
        // Whoever waits ends without an answer only by a panic: nothing would ever come.
        held = held => held.unwrap_or_else(|_| {
            Err(CliError::message(Exit::Error, "BUG: waiting for the state's lock broke off").hint("nothing was sent"))
        }),
        signal = stop.wait() => {
            let message = format!("stopped by {} while waiting for the state's lock", signal.as_str());
            Err(CliError::message(Exit::Signal(signal), message).hint("nothing was sent"))
        }
    }
}

fn absent_in_ci(context: &Context) -> CliError {
    CliError::message(Exit::State, format!("there is no state in {}, or an empty one", context.state_dir.display()))
        .hint("nothing was sent: in CI a missing state is more often a lost one than a first run")
        .hint("if this is the first run: `chatapi apply --init …`, once; and keep the state directory from run to run")
}
