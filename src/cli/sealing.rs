//! Whom tokens are sealed to: what the manifest and the environment say, held against what the state has pinned.

use std::env;
use std::path::Path;

use super::console::BOLD;
use super::context::{Context, typed};
use super::error::CliError;
use super::exit::Exit;
use super::witness::Witness;
use super::{init, variables};
use crate::manifest::{Manifest, ProviderKind};
use crate::seal::{About, KeyError, Recipient, Recipients, Sealed};
use crate::state::{Phase, Record, State};

const VARIABLE: &str = "CHATAPI_SEAL_TO";
/// Where a key goes if nobody says.
const KEY_FILE: &str = "~/.config/chatapi/key.txt";

/// The public keys that are wanted: those of the environment, else those of the manifest.
pub(super) fn wanted(manifest: &Manifest) -> Result<Recipients, CliError> {
    Ok(from_environment()?.or_else(|| manifest.seal_to.clone()).unwrap_or_default())
}

fn from_environment() -> Result<Option<Recipients>, CliError> {
    match env::var(VARIABLE) {
        Ok(text) if !text.trim().is_empty() => Ok(Some(parse(&text)?)),
        Err(env::VarError::NotUnicode(_)) => Err(CliError::message(Exit::Error, format!("{VARIABLE} is not UTF-8"))),
        Ok(_) | Err(env::VarError::NotPresent) => Ok(None),
    }
}

fn parse(text: &str) -> Result<Recipients, CliError> {
    let words = text.split([',', ' ', '\t', '\n', '\r']).filter(|word| !word.is_empty());
    let keys = words.map(str::parse).collect::<Result<Vec<Recipient>, _>>();
    let keys = keys.and_then(|keys| if keys.is_empty() { Err(KeyError::NotPublic) } else { Recipients::new(keys) });
    keys.map_err(|error| {
        CliError::new(Exit::Error, &error)
            .context(format!("{VARIABLE} is not usable"))
            .hint("it holds public keys, separated by commas, as `chatapi key show` prints them")
    })
}

/// What an apply has to do about them before anything is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pinning {
    /// They are what the state has.
    Kept,
    /// Nothing is pinned, and nothing was created that may have a token: they are pinned now.
    Pin(Recipients),
}

/// Holds what is wanted against what the state has pinned. A change is refused: a pull request that adds somebody's key would
/// let him read every later token.
pub(super) fn check(wanted: &Recipients, state: &State, command: &str) -> Result<Pinning, CliError> {
    if *wanted == state.recipients {
        return Ok(Pinning::Kept);
    }
    let is_untouched = |record: &Record| matches!(record.phase, Phase::Absent { .. });
    if state.recipients.is_empty() && state.records().values().all(is_untouched) {
        return Ok(Pinning::Pin(wanted.clone()));
    }
    let identity = if state.recipients.is_empty() { "" } else { " --identity FILE" };
    let message = format!("the keys to seal to have changed: the state has {}, wanted are {wanted}", state.recipients);
    if wanted.is_empty() {
        return Err(CliError::message(Exit::Guard, message)
            .hint("nothing was sent: tokens would be kept in the clear")
            .hint("bring `seal_to:` back into the manifest, or set CHATAPI_SEAL_TO as before"));
    }
    Err(CliError::message(Exit::Guard, message)
        .hint("nothing was sent: whoever has the secret half of a new key would read every later token")
        .hint(format!("if the change is meant: `{command} state rekey{identity} MANIFEST…`, once, where the secret key is")))
}

/// Whom a token is sealed to that a person brings, where nothing is pinned: those that the environment names, or the manifest that is of
/// this state for certain. They are to be pinned then, as the first apply would. None: nothing is to be pinned.
pub(super) fn for_token(context: &Context, state: &State, witness: &Witness) -> Result<Option<Recipients>, CliError> {
    let pin = for_adoption(context, state, witness)?;
    if pin.is_none() && state.recipients.is_empty() {
        in_the_clear(context, state, witness.manifest_of(&state.lineage).as_deref())?;
    }
    Ok(pin)
}

/// The same for an instance whose token comes later: the next apply would not pin keys to a state that has an instance.
pub(super) fn for_adoption(context: &Context, state: &State, witness: &Witness) -> Result<Option<Recipients>, CliError> {
    if !state.recipients.is_empty() {
        return Ok(None);
    }
    let manifest = witness.manifest_of(&state.lineage);
    let (wanted, by) = match (from_environment()?, &manifest) {
        (Some(wanted), _) => (wanted, VARIABLE.to_owned()),
        (None, Some(manifest)) => (wanted_by(context, manifest)?, typed(manifest)),
        (None, None) => (Recipients::default(), String::new()),
    };
    if wanted.is_empty() {
        return Ok(None);
    }
    if state.records().values().any(|record| record.entries().next().is_some()) {
        let message = format!("tokens stand in this state in the clear, and {by} asks to seal them to {wanted}");
        return Err(CliError::message(Exit::Guard, message)
            .hint("nothing was written: this token would be sealed, and the others would not")
            .hint("`chatapi state rekey MANIFEST…` seals them all, and those that come"));
    }
    context.console.note(format_args!("tokens of this state are sealed to {wanted} from now on, as {by} asks"));
    Ok(Some(wanted))
}

/// Says or refuses that a token which a person brings is kept in the clear.
fn in_the_clear(context: &Context, state: &State, manifest: Option<&Path>) -> Result<(), CliError> {
    let is_required = env::var("CHATAPI_REQUIRE_SEAL").is_ok_and(|text| {
        let no = ["", "0", "n", "no", "f", "false", "off"];
        !no.contains(&text.to_ascii_lowercase().as_str())
    });
    if is_required {
        return Err(no_key().hint("nothing was written").hint(key_hint()));
    }
    if !state.binding.as_ref().is_some_and(|bound| bound.origin.is_emulator()) {
        let dir = context.state_dir.display();
        let named = manifest.map_or_else(|| "a manifest beside its lock file".to_owned(), typed);
        context.console.warn(format_args!(
            "the token is kept in the clear in {dir}: neither the state nor {VARIABLE} nor {named} names a key to seal to"
        ));
        if manifest.is_none() {
            context.console.note(format_args!(
                "  {BOLD}hint{BOLD:#}: if its manifest asks to seal: `{} state rekey MANIFEST…`",
                context.command()
            ));
        }
    }
    Ok(())
}

/// What to type for a key to seal to: one that is in its place already is not made again.
pub(super) fn key_hint() -> String {
    let end = "goes into `seal_to:` of the manifest";
    let path = init::key_file();
    let file = path.as_deref().map_or_else(|| KEY_FILE.to_owned(), at_home);
    if path.is_some_and(|path| path.exists()) {
        format!("`chatapi key show --identity {file}` prints the public half of your key, which {end}")
    } else {
        format!("`chatapi key generate --output {file}` makes a key; its public half {end}")
    }
}

/// As a shell would have it, short if it can be.
fn at_home(path: &Path) -> String {
    let home = env::var_os("HOME").filter(|home| Path::new(home).is_absolute());
    let below = home.and_then(|home| path.strip_prefix(home).ok().map(typed)).filter(|below| !below.starts_with('\''));
    below.map_or_else(|| typed(path), |below| format!("~/{below}"))
}

fn no_key() -> CliError {
    CliError::message(Exit::Error, "there is no public key to seal tokens to, and CHATAPI_REQUIRE_SEAL is set")
}

/// The keys that the manifest at `path` names.
fn wanted_by(context: &Context, path: &Path) -> Result<Recipients, CliError> {
    let manifest = context.manifest(&[path.to_owned()], &variables::surrounding(context)?).map_err(|error| {
        error.hint(format!("it may name keys to seal the token to: mend it, or set {VARIABLE}; nothing was written"))
    })?;
    Ok(manifest.seal_to.unwrap_or_default())
}

/// Says or refuses that tokens are kept in the clear; and tries each key once, before anything costs money. It is said until a first
/// token is kept: a warning of every run is read by nobody, and `doctor` has it.
pub(super) fn prepare(
    context: &Context,
    (manifest, state): (&Manifest, &State),
    recipients: &Recipients,
    is_required: bool,
) -> Result<(), CliError> {
    if !recipients.is_empty() {
        let about = About { what: "trial", lineage: "", name: "", attempt: "" };
        Sealed::seal(b"trial", recipients, &about)
            .map_err(|error| CliError::new(Exit::Error, &error).context("nothing can be sealed here").hint("nothing was sent"))?;
        return Ok(());
    }
    if is_required {
        return Err(no_key().hint("nothing was sent").hint(key_hint()));
    }
    let has_token = state.records().values().any(|record| record.token().is_some());
    if manifest.provider == ProviderKind::Chatapi && !has_token {
        context.console.warn(format_args!("tokens are kept unsealed in {} (0600): {}", context.state_dir.display(), key_hint()));
    }
    Ok(())
}
