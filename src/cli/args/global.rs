//! The words that every command has.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

use super::OutputFormat;

/// Flags that every command has.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag as it was typed")]
#[command(next_help_heading = "Global options")]
pub(in crate::cli) struct Global {
    /// The state directory; if not said, that of the environment, or `state`.
    #[arg(long, global = true, value_name = "DIR", env = "CHATAPI_STATE", hide_env_values = true)]
    pub(in crate::cli) state: Option<PathBuf>,
    /// The environment of `chatapi.yaml` that is meant: its state, lock file, gateway and values of variables.
    #[arg(long, global = true, value_name = "NAME", env = "CHATAPI_ENV", hide_env_values = true)]
    pub(in crate::cli) env: Option<String>,
    /// The file that declares the environments; if not said, `chatapi.yaml` beside the first manifest, or here.
    #[arg(long, global = true, value_name = "FILE", env = "CHATAPI_ENVIRONMENTS", hide_env_values = true)]
    pub(in crate::cli) environments: Option<PathBuf>,
    /// Use a state directory on a network or user-space file system, where its lock may not keep other machines out.
    #[arg(long, global = true, env = "CHATAPI_UNSAFE_FS", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(in crate::cli) unsafe_fs: bool,
    /// How results are printed.
    #[arg(long, global = true, value_enum, env = "CHATAPI_FORMAT", hide_env_values = true, default_value = "text")]
    pub(in crate::cli) format: Format,
    /// The same as `--format json`.
    #[arg(long, global = true, hide = true)]
    pub(in crate::cli) json: bool,
    /// When to use colour; `auto` obeys `NO_COLOR` and `CLICOLOR_FORCE`.
    #[arg(
        long,
        global = true,
        value_enum,
        env = "CHATAPI_COLOR",
        hide_env_values = true,
        default_value = "auto",
        value_name = "WHEN"
    )]
    pub(in crate::cli) color: Color,
    /// The same as `--color never`.
    #[arg(long, global = true, hide = true)]
    pub(in crate::cli) no_color: bool,
    /// Say more; twice: log at debug level, three times: at trace level.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(in crate::cli) verbose: u8,
    /// Say nothing beside results, warnings and errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(in crate::cli) quiet: bool,
    /// How log lines are printed; which ones is said by `CHATAPI_LOG`, for example `debug`.
    #[arg(long, global = true, value_enum, env = "CHATAPI_LOG_FORMAT", hide_env_values = true, default_value = "text")]
    pub(in crate::cli) log_format: LogFormat,
}

/// How log lines are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum LogFormat {
    /// For people; may change.
    Text,
    /// For programs.
    Json,
}

/// Who results are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// For people; may change.
    Text,
    /// For programs; a contract.
    Json,
    /// One that `output` alone has: its `--format` stands in the place of the global one, and so has the same type.
    #[value(skip)]
    Output(OutputFormat),
    /// Of plan, show and apply: for a comment or a job's summary.
    Markdown,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}
