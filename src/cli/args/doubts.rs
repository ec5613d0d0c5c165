//! The words of the commands that are about doubts.

use clap::Args;

use super::{LockArgs, ServerArgs, WitnessArg, id, name, reason};
use crate::instance::{ApiUrl, InstanceId, InstanceName};

/// `doubts`.
#[derive(Debug, Args)]
pub(in crate::cli) struct DoubtsArgs {
    /// Ask the server which new instances it lists; needs the key.
    #[arg(long)]
    pub(in crate::cli) refresh: bool,
    #[command(flatten)]
    pub(in crate::cli) lock_file: WitnessArg,
    #[command(flatten)]
    pub(in crate::cli) server: ServerArgs,
}

/// `resolve`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag as it was typed")]
#[command(group = clap::ArgGroup::new("verdict").required(true).args(["created", "not_created"]))]
pub(in crate::cli) struct ResolveArgs {
    /// The name in doubt.
    #[arg(value_parser = name)]
    pub(in crate::cli) name: InstanceName,
    /// The attempt, as `chatapi doubts` shows it: another one is not meant.
    #[arg(long, value_name = "ATTEMPT")]
    pub(in crate::cli) attempt: String,
    /// It was created, with this id.
    #[arg(long, value_name = "ID", value_parser = id)]
    pub(in crate::cli) created: Option<InstanceId>,
    /// Its address.
    #[arg(long, value_name = "URL", value_parser = api_url, requires = "created", conflicts_with = "not_created")]
    pub(in crate::cli) api_url: Option<ApiUrl>,
    /// Read its token from standard input.
    #[arg(long, requires = "created", conflicts_with = "not_created")]
    pub(in crate::cli) token_stdin: bool,
    /// It was not created: the next apply tries again.
    #[arg(long)]
    pub(in crate::cli) not_created: bool,
    /// Why you are sure, for the record.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(in crate::cli) reason: Option<String>,
    /// Do not ask the server's list first.
    #[arg(long)]
    pub(in crate::cli) offline: bool,
    /// Resolve against what the server's list says.
    #[arg(long, conflicts_with = "offline")]
    pub(in crate::cli) despite_list: bool,
    #[command(flatten)]
    pub(in crate::cli) lock_file: WitnessArg,
    #[command(flatten)]
    pub(in crate::cli) lock: LockArgs,
    #[command(flatten)]
    pub(in crate::cli) server: ServerArgs,
}

pub(super) fn api_url(text: &str) -> Result<ApiUrl, crate::instance::ApiUrlError> {
    ApiUrl::parse(text)
}
