//! The words of the commands for people: `init`, `doctor`, `schema`, `completions`, `man`.

use std::path::PathBuf;

use clap::builder::{BoolishValueParser, PossibleValuesParser};
use clap::{ArgAction, Args, ValueEnum};

use super::{LockArgs, LockFileArg, Manifests};
use crate::report::schema::SCHEMAS;

/// `init`.
#[derive(Debug, Args)]
pub(in crate::cli) struct InitArgs {
    /// The manifest to write if it is missing.
    #[arg(value_name = "FILE", default_value = "instances.yaml")]
    pub(in crate::cli) file: PathBuf,
    /// Ask nothing: the emulator, and no key. So it is anyway in CI and where no terminal is.
    #[arg(short = 'y', long, visible_alias = "yes", alias = "non-interactive")]
    pub(in crate::cli) no_input: bool,
    /// `--input=false` is the same as `--no-input`.
    #[arg(
        long,
        hide = true,
        env = "CHATAPI_INPUT",
        hide_env_values = true,
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true",
        value_parser = BoolishValueParser::new()
    )]
    pub(in crate::cli) input: bool,
    /// Write no schema beside the manifest, and no line in it that names one.
    #[arg(long)]
    pub(in crate::cli) no_schema: bool,
    #[command(flatten)]
    pub(in crate::cli) lock_file: LockFileArg,
    #[command(flatten)]
    pub(in crate::cli) lock: LockArgs,
}

/// `doctor`.
#[derive(Debug, Args)]
pub(in crate::cli) struct DoctorArgs {
    #[command(flatten)]
    pub(in crate::cli) manifests: Manifests,
    #[command(flatten)]
    pub(in crate::cli) lock_file: LockFileArg,
}

/// `schema`.
#[derive(Debug, Args)]
pub(in crate::cli) struct SchemaArgs {
    /// The manifest, or a document that is printed as JSON.
    #[arg(value_name = "WHAT", default_value = MANIFEST, value_parser = PossibleValuesParser::new(schemas()))]
    pub(in crate::cli) of: String,
    /// Write it to this file, in the place of the one that is there.
    #[arg(short, long, value_name = "FILE", alias = "output")]
    pub(in crate::cli) out: Option<PathBuf>,
}

/// What people write; all else that has a schema is printed.
const MANIFEST: &str = "manifest";

fn schemas() -> impl Iterator<Item = &'static str> {
    std::iter::once(MANIFEST).chain(SCHEMAS.iter().map(|(name, _)| *name))
}

/// `completions`.
#[derive(Debug, Args)]
pub(in crate::cli) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    pub(in crate::cli) shell: Shell,
}

/// A shell that completes what is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Shell {
    /// GNU bash.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
    /// `PowerShell`.
    #[value(name = "powershell", alias = "pwsh")]
    Power,
}

/// `man`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ManArgs {
    /// Write every page into this directory, one for each command.
    #[arg(long, value_name = "DIR", alias = "output")]
    pub(in crate::cli) out: Option<PathBuf>,
}
