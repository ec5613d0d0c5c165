//! `chatapi key …`: the keys that tokens are sealed to and opened with.

use std::fs::DirBuilder;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::Duration;

use super::args::IdentityArgs;
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::identity::identities;
use crate::report::KeyDocument;
use crate::seal::{Identity, KeyError, Recipient};
use crate::store;

pub(super) fn generate(context: &Context, output: &Path) -> Result<Exit, CliError> {
    let public = make(output)?;
    tell(context, &[public])?;
    context.console.note(format_args!("the secret half is in {}: keep it, and a copy elsewhere", output.display()));
    context.console.note("next: put the public half into `seal_to:` of the manifest");
    Ok(Exit::Done)
}

/// A new pair: the secret half goes to `output`, where nothing may stand yet. A directory that is missing is made (0700).
pub(super) fn make(output: &Path) -> Result<Recipient, CliError> {
    let identity = Identity::generate().map_err(|error| CliError::new(Exit::Error, &error))?;
    let public = identity.recipient().map_err(|error| CliError::new(Exit::Error, &error))?;
    let text = zeroize::Zeroizing::new(format!(
        "# opens what is sealed to {public}\n# keep a copy of it elsewhere: without it the tokens cannot be read\n{}\n",
        identity.to_secret().expose()
    ));
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
    let has_place = parent.map_or(Ok(()), |parent| DirBuilder::new().recursive(true).mode(0o700).create(parent));
    let written = has_place.and_then(|()| store::make_new(output, 0o600)).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| {
        let shown = CliError::new(Exit::Error, &error).context(format!("cannot write {}", output.display()));
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            return shown.hint("a key is never overwritten: name another file");
        }
        shown
    })?;
    Ok(public)
}

/// The public half of the first key in a file.
pub(super) fn read(path: &Path) -> Result<Recipient, CliError> {
    let args = IdentityArgs { identity: Some(path.to_owned()), identity_command: None, identity_timeout: Duration::ZERO };
    let keys = identities(&args)?;
    let first = keys.first().ok_or_else(|| CliError::message(Exit::Error, "there is no key in the file"))?;
    first.recipient().map_err(|error| CliError::new(Exit::Error, &error))
}

pub(super) fn show(context: &Context, args: &IdentityArgs) -> Result<Exit, CliError> {
    let keys = identities(args)?;
    if keys.is_empty() {
        return Err(CliError::message(Exit::Error, "no secret key was named")
            .hint("`--identity FILE`, `--identity-command COMMAND`, or CHATAPI_IDENTITY"));
    }
    let public = keys.iter().map(Identity::recipient).collect::<Result<Vec<_>, KeyError>>();
    tell(context, &public.map_err(|error| CliError::new(Exit::Error, &error))?)?;
    Ok(Exit::Done)
}

fn tell(context: &Context, keys: &[Recipient]) -> Result<(), CliError> {
    if context.is_json() {
        return context.document(&KeyDocument::new(keys));
    }
    for key in keys {
        context.console.line(key);
        context.console.note(format_args!("messages and `state show` call it {}", key.id()));
    }
    Ok(())
}
