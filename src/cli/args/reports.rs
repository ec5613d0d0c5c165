//! The words of `plan`, `apply` and `validate` about reports beside what is printed.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

/// What a CI system is told, and how.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Reports")]
pub(in crate::cli) struct ForgeArgs {
    /// Whether the CI system is told in its own way: annotations beside lines, and of plan and apply step outputs and a summary.
    #[arg(long, value_enum, value_name = "WHEN", env = "CHATAPI_CI_REPORTS", hide_env_values = true, default_value = "auto")]
    pub(in crate::cli) ci_reports: CiReports,
    /// Print what happens as it happens, one JSON object a line, in the place of text.
    #[arg(long, env = "CHATAPI_EVENTS", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(in crate::cli) events: bool,
}

/// Files beside what is printed.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Reports")]
pub(in crate::cli) struct ReportArgs {
    #[command(flatten)]
    pub(in crate::cli) forge: ForgeArgs,
    /// Write the JSON document here too; like each of these files whole or not at all, and also when the run fails.
    #[arg(long, value_name = "FILE", env = "CHATAPI_JSON_INTO", hide_env_values = true)]
    pub(in crate::cli) json_into: Option<PathBuf>,
    /// Write Markdown for a comment here, at most 60,000 characters.
    #[arg(long, value_name = "FILE", env = "CHATAPI_MARKDOWN_INTO", hide_env_values = true)]
    pub(in crate::cli) markdown_into: Option<PathBuf>,
    /// Write `JUnit` XML here: a test case for each name.
    #[arg(long, value_name = "FILE", env = "CHATAPI_JUNIT_INTO", hide_env_values = true)]
    pub(in crate::cli) junit_into: Option<PathBuf>,
    /// Write GitLab's report here (`artifacts:reports:terraform`): how many are created.
    #[arg(long, value_name = "FILE", env = "CHATAPI_GITLAB_INTO", hide_env_values = true)]
    pub(in crate::cli) gitlab_into: Option<PathBuf>,
    /// Write counts for the next steps here, as a dotenv report.
    #[arg(long, value_name = "FILE", env = "CHATAPI_DOTENV_INTO", hide_env_values = true)]
    pub(in crate::cli) dotenv_into: Option<PathBuf>,
    /// How this plan or apply is called in Markdown, where one comment is kept for each of several.
    #[arg(long, value_name = "TEXT", env = "CHATAPI_TITLE", hide_env_values = true)]
    pub(in crate::cli) title: Option<String>,
}

/// Whether a CI system is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum CiReports {
    /// Where one is found.
    Auto,
    /// Nowhere.
    Never,
}
