//! Where the secret keys come from that open tokens, and what they open.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use super::args::IdentityArgs;
use super::context::read_secret;
use super::error::CliError;
use super::exit::Exit;
use super::process::child_command;
use crate::provider::certainty::{CreatedInstance, Verdict, judge};
use crate::seal::{Identity, OpenError, SECRET};
use crate::secret::Secret;
use crate::state::{Entry, Event, Instance, Lineage, TokenAt, about_answer, about_token};

/// The key itself, for a CI job that may read tokens.
const VARIABLE: &str = "CHATAPI_IDENTITY";

/// The keys that were named: a file's, else what a command prints, else the environment's; none if nothing was. What was typed
/// goes before what the environment says.
pub(super) fn identities(args: &IdentityArgs) -> Result<Vec<Identity>, CliError> {
    let set = |variable| env::var_os(variable).filter(|text| !text.is_empty());
    let is_typed = args.identity.is_some() || args.identity_command.is_some();
    let file = args.identity.clone().or_else(|| set("CHATAPI_IDENTITY_FILE").filter(|_| !is_typed).map(PathBuf::from));
    let file = file.filter(|path| !path.as_os_str().is_empty());
    let command = args.identity_command.clone().or_else(|| {
        let command = set("CHATAPI_IDENTITY_COMMAND").filter(|_| !is_typed);
        command.map(|command| command.to_string_lossy().into_owned())
    });
    let command = command.filter(|command| !command.is_empty());
    let is_key = |text: &str| text.to_ascii_uppercase().contains(SECRET);
    if file.as_ref().is_some_and(|path| is_key(&path.to_string_lossy())) || command.as_deref().is_some_and(is_key) {
        return Err(CliError::message(Exit::Error, "a secret key stands where a file or a command belongs; it is not shown")
            .hint("put the key into a file (0600) and name that, or into CHATAPI_IDENTITY; where others have seen it, make a new one"));
    }
    let (from, text) = match (file, command) {
        (Some(path), _) => ("the file that `--identity` names".to_owned(), read_file(&path)?),
        (None, Some(command)) => ("what `--identity-command` printed".to_owned(), run(&command, args.identity_timeout)?),
        (None, None) => match env::var(VARIABLE) {
            Ok(text) if !text.is_empty() => (VARIABLE.to_owned(), Secret::new(text)),
            Ok(_) | Err(env::VarError::NotPresent) => return Ok(Vec::new()),
            Err(env::VarError::NotUnicode(_)) => return Err(CliError::message(Exit::Error, format!("{VARIABLE} is not UTF-8"))),
        },
    };
    Identity::read_all(text.expose())
        .map_err(|error| CliError::new(Exit::Error, &error).context(format!("{from} is not usable as a secret key")))
}

fn read_file(path: &Path) -> Result<Secret, CliError> {
    // Its name is not shown: the key itself may stand there by mistake.
    let fail = |error: io::Error| CliError::new(Exit::Error, &error).context("cannot read the file that `--identity` names");
    let metadata = fs::metadata(path).map_err(fail)?;
    if !metadata.is_file() {
        return Err(fail(io::Error::other("it is not a file")));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        tracing::warn!("the file with the secret key can be read by others; `chmod 600` closes it");
    }
    read_secret(File::open(path).map_err(fail)?).map_err(fail)
}

/// What `command` prints, if it ends well within `limit`.
fn run(command: &str, limit: Duration) -> Result<Secret, CliError> {
    let fail = |error: &dyn std::error::Error| CliError::new(Exit::Error, error).context("`--identity-command` failed");
    let mut shell = child_command("/bin/sh");
    // In our own process group: a command that asks at the terminal may read from it.
    shell.arg("-c").arg(command).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = shell.spawn().map_err(|error| fail(&error))?;
    let give_up = Instant::now() + limit;
    let (tell, told) = channel();
    let out = child.stdout.take();
    // Whoever has given up waiting listens no more.
    std::thread::spawn(move || drop(tell.send(out.map(|out| read_secret(out.take(1 << 16))).transpose())));
    let printed = told.recv_timeout(limit);
    let status = loop {
        match child.try_wait().map_err(|error| fail(&error))? {
            Some(status) if printed.is_ok() => break status,
            None if printed.is_ok() && Instant::now() < give_up => std::thread::park_timeout(Duration::from_millis(2)),
            // What it has printed ends when all have ended that it started.
            _ => {
                // It may have ended just now.
                let _ = child.kill();
                let _ = child.wait();
                return Err(CliError::message(Exit::Error, format!("`--identity-command` did not end within {limit:?}"))
                    .hint("does it wait for somebody, or leave something running? `--identity-timeout 10m` gives it longer"));
            }
        }
    };
    if !status.success() {
        return Err(CliError::message(Exit::Error, format!("`--identity-command` failed: {status}"))
            .hint("run it by itself: it has to print the secret key and to end with 0"));
    }
    let printed = printed.unwrap_or(Ok(None)).map_err(|error| fail(&error))?;
    printed.ok_or_else(|| CliError::message(Exit::Error, "`--identity-command` printed nothing"))
}

/// A token out of the entry that holds it.
pub(super) fn token_in(entry: &Entry, at: &TokenAt, lineage: &Lineage, keys: &[Identity]) -> Result<Secret, TokenError> {
    opened(entry, at, lineage, keys).map(|(token, _)| token)
}

/// The token of `instance`, to be used at its address: where a sealed answer has brought both, it has brought this very address. The
/// state tells the address in the clear, and whoever can write to it could have the token sent to another.
pub(super) fn token_for(
    instance: &Instance,
    (entry, at): (&Entry, &TokenAt),
    lineage: &Lineage,
    keys: &[Identity],
) -> Result<Secret, TokenError> {
    let (token, answer) = opened(entry, at, lineage, keys)?;
    match answer {
        // An address that a list has told may be another by now, and gets a token by rules of its own.
        Some(answer) if !instance.is_address_listed => {
            let is_same = answer.id == instance.id && (instance.api_url.is_none() || answer.api_url == instance.api_url);
            if is_same { Ok(token) } else { Err(TokenError::Elsewhere) }
        }
        _ => Ok(token),
    }
}

/// A token, and the answer that has brought it.
fn opened(
    entry: &Entry,
    at: &TokenAt,
    lineage: &Lineage,
    keys: &[Identity],
) -> Result<(Secret, Option<CreatedInstance>), TokenError> {
    match &entry.event {
        Event::TokenSet { token, .. } | Event::Created { token: Some(token), .. } => {
            Ok((token.open(keys, &about_token(lineage, &at.name))?, None))
        }
        Event::Received { attempt, answer } => {
            let answer = answer.open(keys, &about_answer(lineage, &at.name, attempt))?;
            match judge(&answer) {
                Verdict::Created(created @ CreatedInstance { token: Some(_), .. }) => {
                    created.token.clone().map(|token| (token, Some(created))).ok_or(TokenError::Absent)
                }
                _ => Err(TokenError::Absent),
            }
        }
        _ => Err(TokenError::Absent),
    }
}

/// Why a token cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    /// It is sealed, and stays so.
    #[error("the token is sealed")]
    Sealed(#[from] OpenError),
    /// The answer that brought it told another id or address than the state does.
    #[error(
        "the answer that brought the token is about another address or id than the state has: somebody has changed the state"
    )]
    Elsewhere,
    /// The entry has none.
    #[error("the journal holds no token where it should")]
    Absent,
}

impl From<TokenError> for CliError {
    fn from(error: TokenError) -> Self {
        match &error {
            TokenError::Sealed(OpenError::NotForUs(_)) => Self::new(Exit::Error, &error)
                .hint("name the secret key: `--identity FILE`, `--identity-command COMMAND`, or CHATAPI_IDENTITY")
                .hint("if no such key is left, the token is lost: get another from the provider, `chatapi token set NAME --replace`"),
            TokenError::Sealed(OpenError::Newer) => Self::new(Exit::Error, &error).hint("use that version of chatapi"),
            TokenError::Elsewhere => Self::new(Exit::State, &error)
                .hint("nothing was sent; bring the newest intact copy of the state directory back")
                .hint("`chatapi token get NAME` prints the token by itself"),
            TokenError::Sealed(OpenError::Altered) | TokenError::Absent => {
                Self::new(Exit::State, &error).hint("`chatapi state verify` tells more; a backup of the state may be whole")
            }
        }
    }
}
