//! The words of `plan`, `show` and `apply`, and what limits a run.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::{
    ExpiryArgs, IdentityArgs, LockArgs, LockFileArg, Manifests, OutputTarget, ReportArgs, ServerArgs, name, read_duration,
};
use crate::apply::{Parallelism, Rate};
use crate::instance::InstanceName;
use crate::manifest::Target;
use crate::plan::{Limits, Replace};
use crate::price::Amount;
use crate::saved::Consent;
use crate::state::Hash;

/// How fast one request follows the other.
#[derive(Debug, Args)]
pub(in crate::cli) struct PaceArgs {
    /// Requests in flight at the most; with `auto` as many as the server answers as fast as one, at most 256: found by the time that
    /// answers take, and half as many where it says "later".
    #[arg(long, value_name = "N", env = "CHATAPI_PARALLELISM", hide_env_values = true, default_value_t = Parallelism::Fixed(4))]
    pub(in crate::cli) parallelism: Parallelism,
    /// Requests that begin in a second, minute or hour at the most: `10/s`, `600/m`, `1000/h`.
    #[arg(long, value_name = "N/s", env = "CHATAPI_RATE", hide_env_values = true)]
    pub(in crate::cli) rate: Option<Rate>,
}

/// How much one run may cost.
#[derive(Debug, Args)]
#[expect(clippy::struct_field_names, reason = "each is a flag as it was typed")]
pub(in crate::cli) struct BudgetArgs {
    /// Stop before anything is sent if more instances than these would be created. If not said: in CI, more than 10 and more than
    /// 30 of a hundred existing ones stop; elsewhere there is no limit.
    #[arg(long, value_name = "N", env = "CHATAPI_MAX_CREATES", hide_env_values = true)]
    pub(in crate::cli) max_creates: Option<usize>,
    /// Stop before anything is sent if everything together would cost more a month, by the manifest's `prices`.
    #[arg(long, value_name = "AMOUNT", env = "CHATAPI_MAX_MONTHLY_COST", hide_env_values = true)]
    pub(in crate::cli) max_monthly_cost: Option<Amount>,
    /// Stop, before anything is sent, if more instances than these would be deleted.
    #[arg(long, value_name = "N", env = "CHATAPI_MAX_DELETES", hide_env_values = true)]
    pub(in crate::cli) max_deletes: Option<usize>,
}

impl BudgetArgs {
    /// With what else was said.
    pub(in crate::cli) fn limits(&self, is_unattended: bool) -> Limits {
        let Self { max_creates, max_monthly_cost, max_deletes } = *self;
        Limits { max_creates, max_monthly_cost, is_unattended, max_deletes, ..Limits::default() }
    }
}

/// How many instances an account may have that the state does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Allowance {
    /// So many at the most.
    Most(usize),
    /// Any number, also where the account cannot be listed.
    All,
}

impl std::str::FromStr for Allowance {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            _ => text.parse().map(Self::Most).map_err(|_| "write a number, or `all`"),
        }
    }
}

/// What answers the guards that are about one name.
#[derive(Debug, Args)]
pub(in crate::cli) struct AnswerArgs {
    /// The name is new, although another of its type has left: no rename.
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(in crate::cli) not_a_rename: Vec<InstanceName>,
    /// The name gets a new instance, although its own was deleted while it was declared, by us or by somebody else: then a list of the
    /// account has to show that it is gone. A new one costs money again.
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(in crate::cli) recreate: Vec<InstanceName>,
    /// The name gets a new instance in the place of the one that it has, which is called `NAME.ID` then. Once the new one exists, it
    /// is asked whether the old one is to be deleted. With `NAME=ID` that one is replaced and no other, once, however often this runs.
    #[arg(long, value_name = "NAME[=ID]")]
    pub(in crate::cli) replace: Vec<Replace>,
    /// Delete what is recorded, managed and no longer declared, when all creates are done.
    #[arg(long)]
    pub(in crate::cli) prune: bool,
    /// Change only what is selected: a name, `label=KEY=VALUE` or `owner=WHO`; may be repeated, and any of them will do.
    #[arg(long, value_name = "TARGET")]
    pub(in crate::cli) target: Vec<Target>,
}

impl AnswerArgs {
    /// As a saved plan keeps it.
    pub(in crate::cli) fn consent(&self, max_creates: Option<usize>) -> Consent {
        Consent {
            not_a_rename: self.not_a_rename.clone(),
            recreate: self.recreate.clone(),
            replace: self.replace.clone(),
            prune: self.prune,
            targets: self.target.clone(),
            max_creates,
        }
    }

    /// The first flag that was given.
    pub(in crate::cli) fn given(&self) -> Option<&'static str> {
        let flags = [
            ("--not-a-rename", !self.not_a_rename.is_empty()),
            ("--recreate", !self.recreate.is_empty()),
            ("--replace", !self.replace.is_empty()),
            ("--prune", self.prune),
            ("--target", !self.target.is_empty()),
        ];
        flags.into_iter().find(|(_, is_given)| *is_given).map(|(flag, _)| flag)
    }
}

/// `plan`.
#[derive(Debug, Args)]
pub(in crate::cli) struct PlanArgs {
    #[command(flatten)]
    pub(in crate::cli) manifests: Manifests,
    #[command(flatten)]
    pub(in crate::cli) lock_file: LockFileArg,
    #[command(flatten)]
    pub(in crate::cli) budget: BudgetArgs,
    #[command(flatten)]
    pub(in crate::cli) answers: AnswerArgs,
    /// Save the plan for `chatapi apply FILE`, which then does this and nothing else, once. Needs a state (`chatapi init`).
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) out: Option<PathBuf>,
    /// How long a saved plan is good, at most 30 days.
    #[arg(long, value_name = "DURATION", value_parser = validity, env = "CHATAPI_PLAN_VALID_FOR", hide_env_values = true, default_value = "24h")]
    pub(in crate::cli) valid_for: Duration,
    /// Print nothing but the plan's hash, for `chatapi apply --checksum HASH`.
    #[arg(long)]
    pub(in crate::cli) checksum: bool,
    /// Ask the server what it lists, too, and tell what is gone, stopped, unpaid or unknown; needs the key.
    #[arg(long, env = "CHATAPI_VERIFY", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(in crate::cli) verify: bool,
    #[command(flatten)]
    pub(in crate::cli) expiry: ExpiryArgs,
    #[command(flatten)]
    pub(in crate::cli) server: ServerArgs,
    /// Exit 2 if there are changes, or if `--verify` finds anything.
    #[arg(long, env = "CHATAPI_DETAILED_EXITCODE", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(in crate::cli) detailed_exitcode: bool,
    #[command(flatten)]
    pub(in crate::cli) reports: ReportArgs,
}

/// `show`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArgs {
    /// The saved plan.
    #[arg(value_name = "FILE")]
    pub(in crate::cli) file: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) reports: ReportArgs,
}

/// `apply`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ApplyArgs {
    #[command(flatten)]
    pub(in crate::cli) manifests: Manifests,
    #[command(flatten)]
    pub(in crate::cli) lock_file: LockFileArg,
    #[command(flatten)]
    pub(in crate::cli) lock: LockArgs,
    #[command(flatten)]
    pub(in crate::cli) server: ServerArgs,
    #[command(flatten)]
    pub(in crate::cli) budget: BudgetArgs,
    #[command(flatten)]
    pub(in crate::cli) pace: PaceArgs,
    /// Begin a state where there is none; needed once in CI, where a missing state is more often a lost one.
    #[arg(long, env = "CHATAPI_INIT", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(in crate::cli) init: bool,
    /// Refuse to create anything while there is no public key to seal tokens to.
    #[arg(long, env = "CHATAPI_REQUIRE_SEAL", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(in crate::cli) require_seal: bool,
    /// Where an answer goes that the state's disk does not take; beside the lock file if not said. Better another disk.
    #[arg(long, value_name = "DIR", env = "CHATAPI_RESCUE_DIR", hide_env_values = true)]
    pub(in crate::cli) rescue_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) answers: AnswerArgs,
    /// Apply only if the plan has this hash: what `chatapi plan --checksum` printed, and somebody reviewed.
    #[arg(long, value_name = "HASH", value_parser = hash, env = "CHATAPI_CHECKSUM", hide_env_values = true)]
    pub(in crate::cli) checksum: Option<Hash>,
    /// How many instances the account may have that this state neither knows nor has seen before: a number, or `all`. If not said:
    /// none in CI and with a saved plan; elsewhere a terminal asks.
    #[arg(long, value_name = "N", env = "CHATAPI_ALLOW_UNKNOWN", hide_env_values = true)]
    pub(in crate::cli) allow_unknown: Option<Allowance>,
    /// Write the credentials of all instances, tokens too, when the creates are done; as `dotenv=.env`, may be repeated. The run is a
    /// success only when they are written; `chatapi output --retry` writes what is owed.
    #[arg(long, value_name = "FORMAT=FILE")]
    pub(in crate::cli) write_outputs: Vec<OutputTarget>,
    #[command(flatten)]
    pub(in crate::cli) identity: IdentityArgs,
    /// Ask nothing. Questions are asked only on a terminal: about instances that this state does not know, which with this stop the
    /// run, or are a warning where the state records nothing yet; and how many are to be deleted, which goes with `--max-deletes`.
    #[arg(long, visible_alias = "yes", short = 'y')]
    pub(in crate::cli) auto_approve: bool,
    #[command(flatten)]
    pub(in crate::cli) reports: ReportArgs,
}

/// `24h`, `72h`; at most 30 days.
fn validity(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a duration such as `24h`, at most 720h".to_owned();
    read_duration(text).filter(|duration| *duration <= crate::saved::VALIDITY_MAX).ok_or_else(wrong)
}

fn hash(text: &str) -> Result<Hash, &'static str> {
    Hash::try_from(text.to_ascii_lowercase())
}
