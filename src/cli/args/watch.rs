//! The words of the commands that look at what exists.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::{LockFileArg, ServerArgs, VariableArgs, read_duration};

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
