//! The words of `import`.

use std::path::PathBuf;

use clap::Args;

use super::{LockArgs, ServerArgs, VariableArgs, WitnessArg, id, name};
use crate::instance::{InstanceId, InstanceName, InstanceType};

/// `import`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ImportArgs {
    /// The name that the instance gets.
    #[arg(id = "new_name", value_name = "NAME", value_parser = name, required_unless_present = "discover", conflicts_with = "discover")]
    pub(in crate::cli) name: Option<InstanceName>,
    /// The server's id of it.
    #[arg(long, value_name = "ID", value_parser = id, required_unless_present = "discover", conflicts_with = "discover")]
    pub(in crate::cli) id: Option<InstanceId>,
    /// The type that it has to have; if not said, the one that the server lists.
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "discover")]
    pub(in crate::cli) kind: Option<InstanceType>,
    /// Read its token from standard input.
    #[arg(long, conflicts_with = "discover")]
    pub(in crate::cli) token_stdin: bool,
    /// Take in nothing; print what the account holds and the state does not know, as entries for a manifest. FILE, or
    /// `instances.yaml` if it is there: the manifest whose names are taken.
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "a flag that may have a value")]
    pub(in crate::cli) discover: Option<Option<PathBuf>>,
    /// Of the manifest that is looked at.
    #[command(flatten)]
    pub(in crate::cli) variables: VariableArgs,
    #[command(flatten)]
    pub(in crate::cli) lock_file: WitnessArg,
    #[command(flatten)]
    pub(in crate::cli) lock: LockArgs,
    #[command(flatten)]
    pub(in crate::cli) server: ServerArgs,
}
