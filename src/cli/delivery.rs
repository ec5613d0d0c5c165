//! Outputs that an apply promises (`--write-outputs`): looked at before anything is sent, owed from then on, and delivered while the
//! state is held. What could not be delivered stays owed, makes the run no success, and is delivered by `output --retry`.

use std::path::{Path, PathBuf, absolute};

use clap::ValueEnum as _;
use jiff::Timestamp;

use super::args::{ApplyArgs, IdentityArgs, OutputArgs, OutputFormat, OutputTarget};
use super::context::{Context, typed};
use super::error::CliError;
use super::exit::Exit;
use super::identity::identities;
use super::kept::Kept;
use super::output;
use super::{reports, witness};
use crate::failpoint;
use crate::instance::InstanceName;
use crate::manifest::Manifest;
use crate::report::account::Notice;
use crate::report::credentials::{Prefix, check_names};
use crate::seal::{Identity, Recipients};
use crate::state::{Hash, Phase, State};
use crate::store::{self, Delivered, Receipts, StateStore};
use crate::text::counted;

/// What there is when an apply begins, and what it is to make of it.
pub(super) struct World<'a> {
    pub(super) state: &'a State,
    pub(super) manifest: &'a Manifest,
    /// To whom the run seals tokens.
    pub(super) sealed_to: &'a Recipients,
}

impl World<'_> {
    /// Whether all that would exist after a success fits `format`, as far as it is known.
    fn check(&self, context: &Context, format: OutputFormat, keys: &[Identity]) -> Result<(), CliError> {
        if format.has_variables() {
            check_names(self.names(), &Prefix::default()).map_err(|error| {
                CliError::new(Exit::Error, &error)
                    .hint("give one another name: in the manifest if it is new, by `chatapi state mv` if it exists")
                    .hint("or write `json` or `yaml`, which hold both")
            })?;
        }
        let is_there = self.state.records().values().any(|record| record.instance().is_some());
        // What is there has values already, and they may be none for this format.
        if is_there { output::everything(context, self.state, keys, format).map(drop) } else { Ok(()) }
    }

    /// The names of what exists, or may come to: those in doubt too.
    fn names(&self) -> impl Iterator<Item = &InstanceName> {
        let records = self.state.records().values();
        let known = records.filter(|record| record.instance().is_some() || record.open_attempt().is_some());
        let declared = self.manifest.declarations().iter().map(|declaration| &declaration.name);
        let is_new =
            |name: &&InstanceName| self.state.record(name).is_none_or(|record| matches!(record.phase, Phase::Absent { .. }));
        known.map(|record| &record.name).chain(declared.filter(is_new))
    }
}

/// Outputs that can be written as far as anybody can know before.
pub(super) struct Delivery {
    targets: Vec<OutputTarget>,
    keys: Vec<Identity>,
}

impl Delivery {
    /// Sees that every output that `args` name could be written if all went well: its file, what is to be in it, and a key for tokens
    /// sealed so. None: no outputs are wanted.
    pub(super) fn prepare(context: &Context, kept: &Kept, args: &ApplyArgs, world: &World<'_>) -> Result<Option<Self>, CliError> {
        if args.write_outputs.is_empty() {
            return Ok(None);
        }
        Receipts::read(&context.state_dir).map_err(|error| CliError::from(error).hint("nothing was sent"))?;
        let keys = keys(&args.identity, world.sealed_to)?;
        let targets = args.write_outputs.iter().map(|target| checked(kept, target)).collect::<Result<Vec<_>, _>>()?;
        let is_twice = |at: usize, target: &OutputTarget| {
            targets.iter().take(at).any(|other| reports::whole(&other.path) == reports::whole(&target.path))
        };
        if let Some((_, twice)) = targets.iter().enumerate().find(|(at, target)| is_twice(*at, target)) {
            let message = format!("two outputs go to {}", typed(&twice.path));
            return Err(CliError::message(Exit::Error, message).hint("nothing was sent; give each a file of its own"));
        }
        targets.iter().try_for_each(|target| {
            let refused = |error: CliError| error.context(format!("the output {} cannot be written", shown(&target.path)));
            world.check(context, target.format, &keys).map_err(|error| refused(error).hint("nothing was sent"))
        })?;
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
        tell(context, deliver_all(context, &self.targets, &self.keys, state))
    }
}

/// What delivers owed outputs: sealed tokens have to be opened for that.
fn retry_command(sealed_to: &Recipients) -> String {
    let is_key_needed = !sealed_to.is_empty() && std::env::var_os("CHATAPI_IDENTITY_FILE").is_none();
    format!("chatapi output --retry{}", if is_key_needed { " --identity FILE" } else { "" })
}

/// Tells of outputs that an earlier apply owes and that this one, told to write `targets`, does not write.
pub(super) fn remind(context: &Context, targets: &[OutputTarget], sealed_to: &Recipients) {
    let receipts = match Receipts::read(&context.state_dir) {
        Ok(receipts) => receipts,
        // Where outputs are wanted it is an error, and told as one.
        Err(_) if !targets.is_empty() => return,
        Err(error) => return context.remark(reports::warning(&CliError::from(error))),
    };
    let is_ours = |path: &Path| targets.iter().any(|target| reports::whole(&target.path) == reports::whole(path));
    let owed: Vec<String> = receipts.owed().filter(|(path, _)| !is_ours(path)).map(|(path, _)| shown(path)).collect();
    if !owed.is_empty() {
        let told = format!("an earlier apply still owes outputs: {}", owed.join(", "));
        context.remark(Notice::warning(&told).hint(&format!("`{}` writes them", retry_command(sealed_to))));
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
    let (good, bad): (Vec<_>, Vec<_>) = owed.partition(Result::is_ok);
    let count = good.len() + bad.len();
    if count == 0 {
        Box::new(store).close()?;
        context.done("No output is owed.".to_owned())?;
        return Ok(Exit::Done);
    }
    let keys = keys(&args.identity, &store.state().recipients)?;
    let good: Vec<OutputTarget> = good.into_iter().flatten().collect();
    let delivered = deliver_all(context, &good, &keys, store.state());
    let state = store.state().clone();
    Box::new(store).close()?;
    // One that cannot be written keeps no other back.
    bad.iter().filter_map(|checked| checked.as_ref().err()).for_each(|error| context.complain(error));
    let left = bad.len() + tell(context, delivered);
    context.done(format!("Delivered: {} of {}.", count - left, counted(count, "output", "outputs")))?;
    let lacks = output::lacks(context, &state)?;
    Ok(match left {
        0 => lacks,
        _ if good.is_empty() => Exit::Error,
        _ => Exit::Partly,
    })
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
    let path = place(&target.path).map_err(|error| fail(&error))?;
    if let Some(why) = kept.refusal(&path) {
        return Err(fail(&std::io::Error::other(why)));
    }
    store::probe(&path).map_err(|error| fail(&error))?;
    Ok(OutputTarget { format: target.format, path })
}

/// `path` from the root and without detours, so that one file has one name in the list; a link at its end is the file itself.
fn place(path: &Path) -> std::io::Result<PathBuf> {
    let path = absolute(path)?;
    match (path.parent(), path.file_name()) {
        (Some(dir), Some(name)) => Ok(dir.canonicalize()?.join(name)),
        _ => Ok(path),
    }
}

/// Delivers each of them, whatever becomes of another; gives what is to be told of each. Nothing is printed here.
fn deliver_all(context: &Context, targets: &[OutputTarget], keys: &[Identity], state: &State) -> Vec<Result<String, CliError>> {
    let again = || {
        format!("it stays owed; `{}` writes it, and so does an apply with `--write-outputs`", retry_command(&state.recipients))
    };
    let delivered = targets.iter().map(|target| deliver(context, target, keys, state));
    delivered.map(|delivered| delivered.map_err(|error| error.hint(again()))).collect()
}

/// Tells what became of each; gives how many are still owed.
fn tell(context: &Context, delivered: Vec<Result<String, CliError>>) -> usize {
    let mut owed = 0;
    for delivered in delivered {
        match delivered {
            Ok(told) => context.console.note(told),
            Err(error) => {
                owed += 1;
                context.complain(&error);
            }
        }
    }
    owed
}

fn deliver(context: &Context, target: &OutputTarget, keys: &[Identity], state: &State) -> Result<String, CliError> {
    let (rendered, count) = output::everything(context, state, keys, target.format)?;
    let reached = failpoint::at("output-before").map_err(|error| CliError::new(Exit::Error, &error));
    reached.and_then(|()| output::write(&target.path, &rendered))?;
    let mut receipts = Receipts::read(&context.state_dir)?;
    let sum = Hash::of(rendered.expose().as_bytes());
    receipts.delivered(&target.path, Delivered { at: Timestamp::now(), serial: state.serial, sum });
    failpoint::pass("output-written");
    receipts.write(&context.state_dir)?;
    Ok(format!("wrote {} to {} ({})", counted(count, "instance", "instances"), shown(&target.path), word(target.format)))
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
