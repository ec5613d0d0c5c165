//! The words of `chatapi output`.

use std::path::PathBuf;

use clap::builder::{EnumValueParser, TypedValueParser};
use clap::{Args, ValueEnum};

use super::{Format, IdentityArgs, LockArgs, SelectionArgs, WitnessArg, name};
use crate::instance::InstanceName;
use crate::report::credentials::Prefix;

/// What `--help` shows below.
pub(super) const EXAMPLES: &str = "\
Examples:
  chatapi output                         ids and addresses of all instances, as JSON
  chatapi output --json | jq -r '.instances[\"support-eu\"].id'
  eval \"$(chatapi output support-eu --reveal --format shell)\"
  chatapi output --reveal --format dotenv --out .env
  chatapi output --target label=team=retail --reveal --format dotenv
  chatapi output --reveal --format github-env --mask >> \"$GITHUB_ENV\"
  chatapi output --reveal --format k8s-secret | kubectl apply -f -

Tokens are left out without `--reveal`. Exit 3: something that was asked for is in doubt or has
no token; the rest is written. A value that a format cannot hold exactly is an error, and nothing
is written.";

/// `output`.
#[derive(Debug, Args)]
pub(in crate::cli) struct OutputArgs {
    /// The names; none: every instance that exists.
    #[arg(value_name = "NAME", value_parser = name)]
    pub(in crate::cli) names: Vec<InstanceName>,
    #[command(flatten)]
    pub(in crate::cli) selection: SelectionArgs,
    /// For whom it is written.
    // Of the same id as the global one, which clap then leaves out here.
    #[arg(long, value_name = "FORMAT", value_parser = EnumValueParser::<OutputFormat>::new().map(Format::Output), default_value = "json")]
    pub(in crate::cli) format: Format,
    /// Print the tokens, too; those that are sealed need the secret key.
    #[arg(long)]
    pub(in crate::cli) reveal: bool,
    /// Write to this file (0600) in the place of standard output, whole or not at all.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) out: Option<PathBuf>,
    /// What every variable begins with [default: CHATAPI_].
    #[arg(long, value_name = "PREFIX")]
    pub(in crate::cli) prefix: Option<Prefix>,
    /// Tell GitHub's runner first, on standard error, to hide each token in its logs.
    #[arg(long, requires = "reveal")]
    pub(in crate::cli) mask: bool,
    /// The Secret's name [default: chatapi].
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) k8s_name: Option<String>,
    /// The Secret's namespace; none: that of whoever applies it.
    #[arg(long, value_name = "NAMESPACE")]
    pub(in crate::cli) k8s_namespace: Option<String>,
    /// A file with a template; says `--format template` too.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) template: Option<PathBuf>,
    /// The template itself.
    #[arg(long, value_name = "TEXT", conflicts_with = "template")]
    pub(in crate::cli) template_text: Option<String>,
    /// Write the outputs that an apply has promised (`--write-outputs`) and could not deliver.
    #[arg(long, conflicts_with_all = ["names", "reveal", "out", "prefix", "mask", "k8s_name", "k8s_namespace", "template", "template_text", "target"])]
    pub(in crate::cli) retry: bool,
    #[command(flatten)]
    pub(in crate::cli) identity: IdentityArgs,
    #[command(flatten)]
    pub(in crate::cli) lock_file: WitnessArg,
    #[command(flatten)]
    pub(in crate::cli) lock: LockArgs,
}

/// An output that an apply writes: `FORMAT=FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct OutputTarget {
    pub(in crate::cli) format: OutputFormat,
    pub(in crate::cli) path: PathBuf,
}

impl std::str::FromStr for OutputTarget {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (format, path) = text.split_once('=').ok_or("write FORMAT=FILE, as `dotenv=.env`")?;
        let known = OutputFormat::from_str(format, false).ok().filter(|format| *format != OutputFormat::Template);
        let format = known.ok_or("known are json, yaml, dotenv, shell, github-env, k8s-secret and docker-env")?;
        match path {
            "" => Err("a file is missing behind `=`"),
            "-" => Err("it goes into a file; `chatapi output --reveal` prints"),
            path => Ok(Self { format, path: path.into() }),
        }
    }
}

/// For whom credentials are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum OutputFormat {
    /// For programs.
    Json,
    /// The same, as YAML.
    Yaml,
    /// `NAME='value'`, read alike by python-dotenv and node's dotenv.
    Dotenv,
    /// `export NAME='value'`, for `eval` in a POSIX shell.
    Shell,
    /// Blocks to append to `$GITHUB_ENV`.
    GithubEnv,
    /// A Secret for `kubectl apply`.
    K8sSecret,
    /// `NAME=value`, for `docker run --env-file`.
    DockerEnv,
    /// What `--template` says.
    Template,
}

impl OutputFormat {
    /// Whether it has variables, whose names have a prefix.
    pub(in crate::cli) const fn has_variables(self) -> bool {
        !matches!(self, Self::Json | Self::Yaml | Self::Template)
    }
}

impl OutputArgs {
    /// What was typed, or what follows from it; what the environment says for all commands is JSON or text, and both mean JSON here.
    pub(in crate::cli) fn format(&self) -> OutputFormat {
        match self.format {
            Format::Output(OutputFormat::Json) if self.template.is_some() || self.template_text.is_some() => {
                OutputFormat::Template
            }
            Format::Output(format) => format,
            Format::Text | Format::Json | Format::Markdown => OutputFormat::Json,
        }
    }
}
