//! The words of `chatapi state …`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{IdentityArgs, LockArgs, LockFileArg, Manifests, ServerArgs, WitnessArg, adoption, name, reason};
use crate::instance::{InstanceId, InstanceName};

/// `state …`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum StateVerb {
    /// List every recorded name.
    #[command(
        after_help = "Examples:\n  chatapi state list\n  chatapi state list --format json | jq -r '.[] | select(.status == \"created\") | .id'"
    )]
    List {
        /// Print the names only, each on a line, also with `--format json`.
        #[arg(long)]
        names: bool,
        #[command(flatten)]
        lock_file: WitnessArg,
    },
    /// Show one name, or the state itself.
    #[command(after_help = "Examples:\n  chatapi state show\n  chatapi state show support-eu")]
    Show {
        /// The name; none: the state itself.
        #[arg(value_parser = name)]
        name: Option<InstanceName>,
        #[command(flatten)]
        lock_file: WitnessArg,
    },
    /// Give an instance another name of ours. Nothing changes on the server.
    #[command(after_help = "Example:\n  chatapi state mv support support-eu")]
    Mv {
        /// The name it has.
        #[arg(value_parser = name)]
        from: InstanceName,
        /// The name it gets.
        #[arg(value_parser = name)]
        to: InstanceName,
        #[command(flatten)]
        lock_file: WitnessArg,
        #[command(flatten)]
        lock: LockArgs,
    },
    /// Begin a state anew from what is left, after the old one is lost or damaged. What was sent and is not closed stays held.
    #[command(
        after_help = "Examples:\n  chatapi state rebuild --from journal                   what is readable of a damaged journal\n  chatapi state rebuild --from lock                      ids from chatapi.lock; tokens are missing\n  chatapi state rebuild --from server --adopt eu=100001  ids that the server lists, each with its name"
    )]
    Rebuild(Box<RebuildArgs>),
    /// Forget the record of a name that has nothing to lose: nothing exists under it, or it was released or deleted.
    #[command(
        after_help = "Example:\n  chatapi state rm support-old\n\nWhat is managed is not forgotten: `chatapi release NAME` keeps it on the server, `chatapi destroy NAME` deletes it."
    )]
    Rm {
        /// The name.
        #[arg(value_parser = name)]
        name: InstanceName,
        #[command(flatten)]
        lock_file: WitnessArg,
        #[command(flatten)]
        lock: LockArgs,
    },
    /// The same account has another key or another address, or the environment another name: use that from now on.
    #[command(
        after_help = "Examples:\n  CHATAPI_API_KEY_FILE=/run/secrets/new-key chatapi state rebind\n  chatapi --env live state rebind\n\nThe second one is for an environment that has another name from now on. The server is asked first: it has to list, for that key, every instance that this state records."
    )]
    Rebind {
        /// Rebind although the server does not list all of them; nothing may be in doubt then.
        #[arg(long, requires = "reason")]
        despite_list: bool,
        /// Why you are sure, for the record.
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: Option<String>,
        #[command(flatten)]
        lock: LockArgs,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Check all of it: the journal's chain, its index, the lock file, owners and modes.
    #[command(after_help = "Examples:\n  chatapi state verify\n  chatapi state verify --format json | jq .findings")]
    Verify(WitnessArg),
    /// Show what happened, and who did it.
    #[command(
        after_help = "Examples:\n  chatapi state history\n  chatapi state history support-eu\n  chatapi state history --format json | jq '.entries[] | select(.event == \"created\")'"
    )]
    History {
        /// The name; none: all of it.
        #[arg(value_parser = name)]
        name: Option<InstanceName>,
    },
    /// Write the journal anew without what is no longer needed; the rest of it stays as history, without secrets.
    #[command(after_help = "Example:\n  chatapi state compact")]
    Compact(LockArgs),
    /// Print the whole state as one JSON document, to keep or to import elsewhere. Sealed tokens stay sealed.
    #[command(
        after_help = "Examples:\n  chatapi state export > state.json\n  chatapi state export --reveal --identity key.txt > tokens.json    with tokens in the clear; cannot be imported"
    )]
    Export {
        /// Tokens in the clear, for another program; such a document cannot be imported.
        #[arg(long)]
        reveal: bool,
        /// Export a state although tokens stand in it in the clear: whoever reads the document has them.
        #[arg(long, conflicts_with = "reveal")]
        unsealed: bool,
        #[command(flatten)]
        identity: IdentityArgs,
        #[command(flatten)]
        lock_file: WitnessArg,
    },
    /// Begin a state from an export, where there is none.
    #[command(after_help = "Example:\n  chatapi --state state import state.json")]
    Import {
        /// The export, or `-` for standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        lock_file: LockFileArg,
        #[command(flatten)]
        lock: LockArgs,
    },
    /// Bring back an answer that the journal could not take: from a rescue file, or from a log that has its line.
    #[command(
        after_help = "Examples:\n  chatapi state rescue chatapi-rescue-a-k3jx7q2mfa.json\n  grep chatapi-rescue: job.log | chatapi state rescue -"
    )]
    Rescue {
        /// The file, or `-` for standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        identity: IdentityArgs,
        #[command(flatten)]
        lock_file: WitnessArg,
        #[command(flatten)]
        lock: LockArgs,
    },
    /// Seal the tokens to other keys: those of `seal_to` in the manifests, or of `CHATAPI_SEAL_TO`.
    #[command(
        after_help = "Examples:\n  chatapi state rekey --identity old.txt instances.yaml\n  chatapi state rekey --only-new instances.yaml    the old tokens stay as they are: their key is lost"
    )]
    Rekey {
        #[command(flatten)]
        manifests: Manifests,
        /// Leave the tokens that are kept as they are; seal only later ones to the new keys.
        #[arg(long)]
        only_new: bool,
        /// Keep every token in the clear from now on, those that are sealed too.
        #[arg(long, conflicts_with = "only_new")]
        unseal: bool,
        #[command(flatten)]
        identity: IdentityArgs,
        #[command(flatten)]
        lock: LockArgs,
    },
}

/// `state rebuild`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("source").required(true).args(["from", "from_lock"]))]
pub(in crate::cli) struct RebuildArgs {
    /// What to begin from.
    #[arg(long, value_enum, value_name = "SOURCE")]
    pub(in crate::cli) from: Option<RebuildSource>,
    /// The same as `--from lock --lock-file PATH`. Where `--lock-file` names another one besides, or an environment has its own, that is
    /// the one to be written.
    #[arg(long, value_name = "PATH")]
    pub(in crate::cli) from_lock: Option<PathBuf>,
    /// With `--from server`: a name and the id that the server lists for it. May be repeated.
    #[arg(long, value_name = "NAME=ID", value_parser = adoption, conflicts_with = "from_lock")]
    pub(in crate::cli) adopt: Vec<(InstanceName, InstanceId)>,
    #[command(flatten)]
    pub(in crate::cli) lock_file: LockFileArg,
    #[command(flatten)]
    pub(in crate::cli) lock: LockArgs,
    #[command(flatten)]
    pub(in crate::cli) server: ServerArgs,
}

/// What a state is rebuilt from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum RebuildSource {
    /// What is readable of the journal.
    Journal,
    /// The lock file: ids are known again, tokens are missing.
    Lock,
    /// What the server lists.
    Server,
}
