//! `chatapi version`.

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use crate::report::{FORMAT_VERSION, VersionDocument};
use crate::state::FORMAT;

pub(super) fn run(context: &Context) -> Result<Exit, CliError> {
    let version = VersionDocument {
        version: env!("CARGO_PKG_VERSION"),
        state_format: FORMAT,
        format_version: FORMAT_VERSION,
        platform: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
    };
    if context.is_json() {
        context.document(&version)?;
    } else {
        let VersionDocument { version, state_format, platform, .. } = version;
        context.console.line(format_args!("chatapi {version} (state format {state_format}, {platform})"));
    }
    Ok(Exit::Done)
}
