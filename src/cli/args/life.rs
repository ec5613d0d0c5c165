//! The words of the commands for what comes after the first day of an instance.

use std::path::PathBuf;

use clap::Args;

use super::{LockArgs, PaceArgs, ServerArgs, VariableArgs, WitnessArg, name};
use crate::instance::InstanceName;
use crate::manifest::Target;

/// How many instances a run may delete.
#[derive(Debug, Args)]
pub(in crate::cli) struct DeletesArgs {
    /// Ask nothing. Goes with `--max-deletes`.
    #[arg(long, short = 'y', visible_alias = "auto-approve")]
    pub(in crate::cli) yes: bool,
    /// Stop, before anything is sent, if this run would delete more.
    #[arg(long, value_name = "N", env = "CHATAPI_MAX_DELETES", hide_env_values = true)]
    pub(in crate::cli) max_deletes: Option<usize>,
}

/// What is meant beside the names that are typed.
#[derive(Debug, Args)]
pub(in crate::cli) struct SelectionArgs {
    /// What is selected is meant too: a name, `label=KEY=VALUE` or `owner=WHO`; may be repeated. Labels and owners are read in the
    /// manifest.
    #[arg(long, value_name = "TARGET")]
    pub(in crate::cli) target: Vec<Target>,
    /// The manifest that has the labels and owners; may be repeated.
    #[arg(long, value_name = "FILE", default_value = "instances.yaml")]
    pub(in crate::cli) manifest: Vec<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) variables: VariableArgs,
}

/// `destroy`.
#[derive(Debug, Args)]
pub(in crate::cli) struct DestroyArgs {
    /// The names whose instances are to be deleted.
    #[arg(value_name = "NAME", value_parser = name, required_unless_present = "target")]
    pub(in crate::cli) names: Vec<InstanceName>,
    #[command(flatten)]
    pub(in crate::cli) selection: SelectionArgs,
    #[command(flatten)]
    pub(in crate::cli) deletes: DeletesArgs,
    /// Believe a refusal where the server lists nothing at all: the last instance of the account was deleted elsewhere.
    #[arg(long)]
    pub(in crate::cli) despite_list: bool,
    /// Delete them although the manifest has protected them.
    #[arg(long)]
    pub(in crate::cli) unprotect: bool,
    #[command(flatten)]
    pub(in crate::cli) pace: PaceArgs,
    #[command(flatten)]
    pub(in crate::cli) lock_file: WitnessArg,
    #[command(flatten)]
    pub(in crate::cli) lock: LockArgs,
    #[command(flatten)]
    pub(in crate::cli) server: ServerArgs,
}

/// `release`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ReleaseArgs {
    /// The names that are managed no longer.
    #[arg(value_name = "NAME", value_parser = name, required = true)]
    pub(in crate::cli) names: Vec<InstanceName>,
    /// Manage them again.
    #[arg(long)]
    pub(in crate::cli) undo: bool,
    #[command(flatten)]
    pub(in crate::cli) lock_file: WitnessArg,
    #[command(flatten)]
    pub(in crate::cli) lock: LockArgs,
}
