//! The words of the commands that look at what exists.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::{IdentityArgs, LockFileArg, ServerArgs, TimeoutArgs, VariableArgs, WitnessArg, duration, name, read_duration};
use crate::apply::Parallelism;
use crate::instance::InstanceName;
use crate::provider::BaseUrl;
use crate::state::Origin;

/// Instances that are asked at once, where nothing is said.
pub(in crate::cli) const PARALLELISM: usize = 8;

/// When a paid time counts as nearly over.
#[derive(Debug, Clone, Copy, Args)]
pub(in crate::cli) struct ExpiryArgs {
    /// Tell of instances whose paid time is over within this.
    #[arg(long, value_name = "DURATION", value_parser = days, env = "CHATAPI_EXPIRING_WITHIN", hide_env_values = true, default_value = "7d")]
    pub(in crate::cli) expiring_within: Duration,
}

/// `drift`.
#[derive(Debug, Args)]
pub(in crate::cli) struct DriftArgs {
    /// Manifests, for the types, labels and owners that are declared; none: the state alone is compared.
    #[arg(value_name = "FILE")]
    pub(in crate::cli) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) variables: VariableArgs,
    #[command(flatten)]
    pub(in crate::cli) expiry: ExpiryArgs,
    /// Exit 2 if anything is found.
    #[arg(long, env = "CHATAPI_DETAILED_EXITCODE", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(in crate::cli) detailed_exitcode: bool,
    #[command(flatten)]
    pub(in crate::cli) lock_file: LockFileArg,
    #[command(flatten)]
    pub(in crate::cli) server: ServerArgs,
}

/// How to reach single instances.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ReachArgs {
    #[command(flatten)]
    pub(in crate::cli) timeouts: TimeoutArgs,
    /// How long to wait before asking again.
    #[arg(long, value_name = "DURATION", value_parser = interval, default_value = "3s")]
    pub(in crate::cli) interval: Duration,
    /// Send tokens to this host too, where no answer to a create has told an address on it: `HOST`, `HOST:PORT` or an address;
    /// may be repeated.
    #[arg(long, value_name = "HOST", value_parser = host)]
    pub(in crate::cli) trust_host: Vec<Origin>,
}

/// `status`.
#[derive(Debug, Args)]
pub(in crate::cli) struct StatusArgs {
    /// The names; none: every instance that exists.
    #[arg(value_name = "NAME", value_parser = name)]
    pub(in crate::cli) names: Vec<InstanceName>,
    /// Ask again and again, until a signal ends it: a table that is drawn anew, or, where no terminal is, a line for each change.
    #[arg(long)]
    pub(in crate::cli) watch: bool,
    /// Requests in flight at the most; `auto` is the same as not saying it.
    #[arg(long, value_name = "N", env = "CHATAPI_PARALLELISM", hide_env_values = true, default_value_t = Parallelism::Fixed(PARALLELISM))]
    pub(in crate::cli) parallelism: Parallelism,
    #[command(flatten)]
    pub(in crate::cli) reach: ReachArgs,
    #[command(flatten)]
    pub(in crate::cli) identity: IdentityArgs,
    #[command(flatten)]
    pub(in crate::cli) lock_file: WitnessArg,
}

/// `qr`.
#[derive(Debug, Args)]
pub(in crate::cli) struct QrArgs {
    /// The name.
    #[arg(value_name = "NAME", value_parser = name)]
    pub(in crate::cli) name: InstanceName,
    /// Write the code there as PNG (0600), whole or not at all; it is not printed then.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) png: Option<PathBuf>,
    /// Write the code there as SVG (0600), whole or not at all; it is not printed then.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) svg: Option<PathBuf>,
    /// Print it although standard output is no terminal, or beside the files.
    #[arg(long)]
    pub(in crate::cli) print: bool,
    /// Do not wait until a phone is linked.
    #[arg(long)]
    pub(in crate::cli) no_wait: bool,
    /// How long to wait for that.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5m", conflicts_with = "no_wait")]
    pub(in crate::cli) wait_for: Duration,
    #[command(flatten)]
    pub(in crate::cli) reach: ReachArgs,
    #[command(flatten)]
    pub(in crate::cli) identity: IdentityArgs,
    #[command(flatten)]
    pub(in crate::cli) lock_file: WitnessArg,
}

/// By https, if nothing else is said.
fn host(text: &str) -> Result<Origin, String> {
    let address = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    BaseUrl::parse(&address).map(|base| base.origin()).map_err(|_| "expected a host such as `eu1.gateway.example`".to_owned())
}

/// From a tenth of a second to a day.
fn interval(text: &str) -> Result<Duration, String> {
    duration(text)
        .ok()
        .filter(|interval| *interval >= Duration::from_millis(100))
        .ok_or_else(|| "expected a duration from `100ms` to a day".to_owned())
}

/// `7d`, `36h`; at most ten years.
fn days(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a duration such as `7d` or `36h`, at most 3650d".to_owned();
    let text = text.trim();
    let found = match text.strip_suffix('d').map(str::parse::<u64>) {
        Some(Ok(days)) => days.checked_mul(24).map(|hours| Duration::from_secs(hours.saturating_mul(60 * 60))),
        _ => read_duration(text),
    };
    found.filter(|duration| *duration <= Duration::from_hours(3_650 * 24)).ok_or_else(wrong)
}
