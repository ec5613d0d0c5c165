//! The words of `chatapi key …` and `chatapi token …`, and how a secret key is named.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::doubts::api_url;
use super::{LockArgs, WitnessArg, duration, name};
use crate::instance::{ApiUrl, InstanceName};

/// Where the secret key comes from. Besides these: `CHATAPI_IDENTITY` holds the key itself.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct IdentityArgs {
    /// A file with the secret key that opens tokens (0600) [env: `CHATAPI_IDENTITY_FILE`].
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) identity: Option<PathBuf>,
    /// A command that prints it, run by `sh`: `pass show chatapi`, `vault kv get …` [env: `CHATAPI_IDENTITY_COMMAND`].
    #[arg(long, value_name = "COMMAND", conflicts_with = "identity")]
    pub(in crate::cli) identity_command: Option<String>,
    /// How long that command may take: it may have to ask a person.
    #[arg(long, value_name = "DURATION", value_parser = duration, env = "CHATAPI_IDENTITY_TIMEOUT", hide_env_values = true, default_value = "2m")]
    pub(in crate::cli) identity_timeout: Duration,
}

/// `key …`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum KeyVerb {
    /// Make a key pair: the secret half goes to a file that must not exist yet, the public one to standard output.
    #[command(
        after_help = "Example:\n  chatapi key generate --output ~/.config/chatapi/key.txt\n\nKeep the file where tokens may be read, and a copy of it elsewhere: without it they cannot be. Put the public\nhalf into `seal_to:` of the manifest; CI needs nothing else."
    )]
    Generate {
        /// The file for the secret key.
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Print the public half of a secret key.
    #[command(after_help = "Example:\n  chatapi key show --identity key.txt")]
    Show(IdentityArgs),
}

/// `token …`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TokenVerb {
    /// Print an instance's token.
    #[command(
        after_help = "Examples:\n  chatapi token get support-eu | consumer\n  chatapi token get support-eu --identity key.txt\n  chatapi token get support-eu --identity-command 'pass show chatapi'"
    )]
    Get {
        /// The name.
        #[arg(value_parser = name)]
        name: InstanceName,
        #[command(flatten)]
        identity: IdentityArgs,
        #[command(flatten)]
        lock_file: WitnessArg,
    },
    /// Print the answer to a create as it was recorded, byte for byte: it may hold a token that could not be read.
    #[command(after_help = "Example:\n  chatapi token answer support-eu | less")]
    Answer {
        /// The name.
        #[arg(value_parser = name)]
        name: InstanceName,
        #[command(flatten)]
        identity: IdentityArgs,
        #[command(flatten)]
        lock_file: WitnessArg,
    },
    /// Set an instance's token from standard input, or those of many from a file.
    #[command(
        after_help = "Examples:\n  chatapi token set support-eu < token.txt\n  chatapi token set --from tokens.csv\n  vault-export | chatapi token set --from -\n\nA file of many has `name,token` in each line (CSV), or is JSON: `{\"NAME\": \"TOKEN\"}`, or a list of\n`{\"name\": …, \"token\": …}`, or what `chatapi output --reveal --format json` gives. A third\ncolumn, or member, is the instance's address: `api_url`.\nAll of them are set, or none; what is kept already stays as it is, and a token that the answer\nto a create has brought gives way to no file, even with `--replace`: it is shown once. Whether a\nsealed token is the same is told by its secret key."
    )]
    Set(TokenSetArgs),
}

/// `token set`.
#[derive(Debug, Args)]
pub(in crate::cli) struct TokenSetArgs {
    /// The name.
    #[arg(value_parser = name, required_unless_present = "from")]
    pub(in crate::cli) name: Option<InstanceName>,
    /// A file with names and tokens that nobody else can read (0600); `-`: standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "name")]
    pub(in crate::cli) from: Option<PathBuf>,
    /// Put it in the place of the one that is kept.
    #[arg(long)]
    pub(in crate::cli) replace: bool,
    /// Where the instance is, if neither its create nor the account's list has told that.
    #[arg(long, value_name = "URL", value_parser = api_url, conflicts_with = "from")]
    pub(in crate::cli) api_url: Option<ApiUrl>,
    #[command(flatten)]
    pub(in crate::cli) identity: IdentityArgs,
    #[command(flatten)]
    pub(in crate::cli) lock_file: WitnessArg,
    #[command(flatten)]
    pub(in crate::cli) lock: LockArgs,
}
