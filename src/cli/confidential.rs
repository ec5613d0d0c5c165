//! What this run knows to be secret before it reads a manifest or `chatapi.yaml`: the API key, and the files that keys stand in.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::context::{Context, read_secret};
use super::error::CliError;
use super::exit::Exit;
use crate::manifest::Confidential;
use crate::secret::Secret;
use crate::store;

/// A longer file is no template.
const LOOKED_AT: u64 = 1 << 20;

/// The key, and the files of keys, as the environment and the command line name them. What cannot be read is told by who needs it.
pub(super) fn known() -> Confidential {
    let set = |name| env::var_os(name).filter(|text: &OsString| !text.is_empty());
    let key_file = set("CHATAPI_API_KEY_FILE").map(PathBuf::from);
    let in_environment = env::var("CHATAPI_API_KEY").ok().map(Secret::new);
    let in_file = key_file.as_deref().and_then(held);
    let identity = set("CHATAPI_IDENTITY_FILE").map(PathBuf::from);
    let files = key_file.into_iter().chain(identity).chain(typed_identity());
    let found = files.filter_map(|path| fs::metadata(path).ok());
    let all = found.fold(Confidential::default().and_states(store::is_of_state), |all, file| all.and_file(&file));
    in_environment.into_iter().chain(in_file).fold(all, |all, key| all.and_key(&Secret::new(key.expose().trim().to_owned())))
}

/// Refuses a template that is a secret itself, by a link or by mistake: all of it would be printed.
pub(super) fn check(context: &Context, path: &Path) -> Result<(), CliError> {
    let Some(metadata) = fs::metadata(path).ok().filter(|found| found.is_file() && found.len() <= LOOKED_AT) else {
        return Ok(());
    };
    let bytes = Zeroizing::new(fs::read(path).unwrap_or_default());
    context.confidential.refusal(path, &metadata, &bytes).map_or(Ok(()), |(why, help)| {
        Err(CliError::message(Exit::Error, why).context(format!("{} is no template", path.display())).hint(help))
    })
}

/// What `--identity` names, on whatever verb.
fn typed_identity() -> Option<PathBuf> {
    let mut arguments = env::args_os();
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--identity") => return arguments.next().map(PathBuf::from),
            Some(text) if text.starts_with("--identity=") => return text.split_once('=').map(|(_, path)| path.into()),
            _ => {}
        }
    }
    None
}

/// What a file holds. A pipe is not read: it would be empty for who needs it.
fn held(path: &Path) -> Option<Secret> {
    let is_file = fs::metadata(path).is_ok_and(|found| found.is_file());
    is_file.then(|| read_secret(File::open(path).ok()?).ok()).flatten()
}
