//! Outputs that an apply promises (`--write-outputs`): looked at before anything is sent, owed from then on, and delivered while the
//! state is held. What could not be delivered stays owed, makes the run no success, and is delivered by `output --retry`.

use std::path::{Path, PathBuf, absolute};

use clap::ValueEnum as _;
use jiff::Timestamp;

use super::args::{IdentityArgs, OutputArgs, OutputFormat, OutputTarget};
use super::context::{Context, typed};
use super::error::CliError;
use super::exit::Exit;
use super::identity::identities;
use super::kept::Kept;
use super::output;
use super::{reports, witness};
use crate::failpoint;
use crate::seal::{Identity, Recipients};
use crate::state::{Hash, State};
use crate::store::{Delivered, Receipts, StateStore};
use crate::text::counted;

/// Outputs that can be written as far as anybody can know before.
pub(super) struct Delivery {
    targets: Vec<OutputTarget>,
    keys: Vec<Identity>,
}

impl Delivery {
    /// Sees that each of `targets` could be written, and that tokens sealed so could be read. None: no outputs are wanted.
    pub(super) fn prepare(
        kept: &Kept,
        targets: &[OutputTarget],
        identity: &IdentityArgs,
        sealed_to: &Recipients,
    ) -> Result<Option<Self>, CliError> {
        if targets.is_empty() {
            return Ok(None);
        }
        let keys = keys(identity, sealed_to)?;
        let targets = targets.iter().map(|target| checked(kept, target)).collect::<Result<Vec<_>, _>>()?;
        let is_twice = |at: usize, target: &OutputTarget| {
            targets.iter().take(at).any(|other| reports::whole(&other.path) == reports::whole(&target.path))
        };
        if let Some((_, twice)) = targets.iter().enumerate().find(|(at, target)| is_twice(*at, target)) {
            let message = format!("two outputs go to {}", typed(&twice.path));
            return Err(CliError::message(Exit::Error, message).hint("nothing was sent; give each a file of its own"));
        }
        Ok(Some(Self { targets, keys }))
    }

    /// Says durably that they are owed.
    pub(super) fn owe(&self, context: &Context) -> Result<(), CliError> {
        let mut receipts = Receipts::read(&context.state_dir)?;
        for target in &self.targets {
            receipts.owe(target.path.clone(), &word(target.format));
        }
        receipts.write(&context.state_dir)?;
        failpoint::pass("outputs-owed");
        Ok(())
    }

    /// Delivers all of them, whatever becomes of one; gives how many are still owed.
    pub(super) fn deliver(&self, context: &Context, state: &State) -> usize {
        deliver_all(context, &self.targets, &self.keys, state)
    }
}

/// `output --retry`: delivers what is owed.
pub(super) fn retry(context: &Context, args: &OutputArgs) -> Result<Exit, CliError> {
    let (store, _) = witness::open(context, "output", args.lock.lock_timeout, &args.lock_file)?;
    let receipts = Receipts::read(&context.state_dir)?;
    let others = [&args.identity.identity, &args.lock_file.lock_file];
    let kept = Kept::of(context, &[], others.into_iter().flatten().cloned());
    let owed = receipts.owed().map(|(path, receipt)| {
        let format = OutputFormat::from_str(&receipt.format, false).map_err(|_| {
            CliError::message(Exit::Error, format!("{} is owed in a format that this version does not know", typed(path)))
        })?;
        // The list is no secret and has no seal: what it names is looked at as if it had been typed.
        checked(&kept, &OutputTarget { format, path: path.clone() })
    });
    let owed = owed.collect::<Result<Vec<_>, CliError>>()?;
    if owed.is_empty() {
        context.done("No output is owed.".to_owned())?;
        return Ok(Exit::Done);
    }
    let keys = keys(&args.identity, &store.state().recipients)?;
    let left = deliver_all(context, &owed, &keys, store.state());
    Box::new(store).close()?;
    context.done(format!("Delivered: {} of {}.", owed.len() - left, counted(owed.len(), "output", "outputs")))?;
    Ok(if left == 0 { Exit::Done } else { Exit::Partly })
}

/// The keys that open tokens sealed so.
fn keys(identity: &IdentityArgs, sealed_to: &Recipients) -> Result<Vec<Identity>, CliError> {
    let keys = identities(identity)?;
    let opens = |key: &Identity| key.recipient().is_ok_and(|mine| sealed_to.iter().any(|one| one == mine));
    if !sealed_to.is_empty() && !keys.iter().any(opens) {
        let message = "tokens are sealed, and no key at hand opens them: the outputs could not be written";
        return Err(CliError::message(Exit::Error, message).hint("nothing was sent").hint(
            "name the key (`--identity FILE`, CHATAPI_IDENTITY), or write the outputs where it is: `chatapi output --reveal`",
        ));
    }
    Ok(keys)
}

fn checked(kept: &Kept, target: &OutputTarget) -> Result<OutputTarget, CliError> {
    let fail = |error: &std::io::Error| {
        let attempted = format!("the output {} cannot be written", typed(&target.path));
        CliError::new(Exit::Error, error)
            .context(attempted)
            .hint("nothing was sent; it needs a directory that is there, writable and not full")
    };
    let path = absolute(&target.path).map_err(|error| fail(&error))?;
    if let Some(why) = kept.refusal(&path) {
        return Err(fail(&std::io::Error::other(why)));
    }
    if path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir()) {
        return Err(fail(&std::io::Error::other("what stands there is not a file")));
    }
    reports::probe(&path).map_err(|error| fail(&error))?;
    Ok(OutputTarget { format: target.format, path })
}

fn deliver_all(context: &Context, targets: &[OutputTarget], keys: &[Identity], state: &State) -> usize {
    let mut owed = 0;
    for target in targets {
        let delivered = deliver(context, target, keys, state);
        let Err(error) = delivered else { continue };
        owed += 1;
        let again = format!("it stays owed; `{} output --retry` writes it, and so does the next apply", context.command());
        context.complain(&error.hint(again));
    }
    owed
}

fn deliver(context: &Context, target: &OutputTarget, keys: &[Identity], state: &State) -> Result<(), CliError> {
    let (rendered, count) = output::everything(context, state, keys, target.format)?;
    let reached = failpoint::at("output-before").map_err(|error| CliError::new(Exit::Error, &error));
    reached.and_then(|()| output::write(&target.path, &rendered))?;
    let mut receipts = Receipts::read(&context.state_dir)?;
    let sum = Hash::of(rendered.expose().as_bytes());
    receipts.delivered(&target.path, Delivered { at: Timestamp::now(), serial: state.serial, sum });
    failpoint::pass("output-written");
    receipts.write(&context.state_dir)?;
    context.console.note(format_args!(
        "wrote {} to {} ({})",
        counted(count, "instance", "instances"),
        shown(&target.path),
        word(target.format)
    ));
    Ok(())
}

/// As it was typed, where that is below this directory.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let below = here.and_then(|here| path.strip_prefix(here).ok().map(PathBuf::from));
    typed(below.as_deref().unwrap_or(path))
}

/// A format's word.
fn word(format: OutputFormat) -> String {
    format.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
