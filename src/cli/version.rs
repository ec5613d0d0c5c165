//! `chatapi version`.

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use crate::report::{FORMAT_VERSION, VersionDocument};
use crate::state::FORMAT;

/// Said by whoever builds a release, in the environment of the compiler: asking git here would make two builds of one source differ.
const COMMIT: Option<&str> = option_env!("CHATAPI_BUILD_COMMIT");

pub(super) fn run(context: &Context) -> Result<Exit, CliError> {
    let version = VersionDocument {
        version: env!("CARGO_PKG_VERSION"),
        state_format: FORMAT,
        format_version: FORMAT_VERSION,
        platform: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        manifest_version: crate::manifest::VERSION,
        commit: COMMIT.filter(|commit| is_commit(commit)),
        features: features(),
    };
    if context.is_json() {
        context.document(&version)?;
        return Ok(Exit::Done);
    }
    let VersionDocument { version, state_format, platform, commit, .. } = version;
    let commit = commit.map_or_else(String::new, |commit| format!(", commit {commit}"));
    context.console.line(format_args!("chatapi {version} (state format {state_format}, {platform}{commit})"));
    Ok(Exit::Done)
}

/// What the tests' build has and a release has not.
fn features() -> Vec<&'static str> {
    if cfg!(feature = "failpoints") { vec!["failpoints"] } else { Vec::new() }
}

fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_hexadecimal_and_nothing_else() {
        for (text, is_good) in [("89bbf28", true), ("5654789a", true), ("", false), ("main", false), ("89bbf2", false)] {
            assert_eq!(is_commit(text), is_good, "{text}");
        }
    }
}
