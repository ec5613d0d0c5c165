//! What was typed: the command line's words, types and help. It decides nothing.

mod doubts;
mod emulator;
mod global;
mod import;
mod life;
mod output;
mod people;
mod reports;
mod run;
mod secrets;
mod state;
mod variables;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

pub(super) use doubts::{DoubtsArgs, ResolveArgs};
pub(super) use emulator::EmulatorArgs;
pub(super) use global::{Color, Format, Global, LogFormat};
pub(super) use import::ImportArgs;
pub(super) use life::{DestroyArgs, ReleaseArgs, SelectionArgs};
pub(super) use output::{OutputArgs, OutputFormat, OutputTarget};
pub(super) use people::{CompletionsArgs, DoctorArgs, InitArgs, ManArgs, SchemaArgs, Shell};
pub(super) use reports::{CiReports, ForgeArgs, ReportArgs};
pub(super) use run::{Allowance, ApplyArgs, PaceArgs, PlanArgs, ShowArgs};
pub(super) use secrets::{IdentityArgs, KeyVerb, TokenSetArgs, TokenVerb};
pub(super) use state::{RebuildArgs, RebuildSource, StateVerb};
pub(super) use variables::VariableArgs;
pub(super) use watch::{DriftArgs, ExpiryArgs, PARALLELISM, QrArgs, ReachArgs, StatusArgs};

use crate::instance::{InstanceId, InstanceName};

/// Declare chat-gateway instances in YAML; plan, then create only the missing ones: never twice, never losing a token.
#[derive(Debug, Parser)]
#[command(
    name = "chatapi",
    version,
    max_term_width = 110,
    after_help = "\
Try it (costs nothing, the emulator plays the server):
  chatapi init
  chatapi apply instances.yaml

Against a real server:
  export CHATAPI_URL=https://gateway.example/
  export CHATAPI_API_KEY_FILE=/run/secrets/chatapi
  chatapi plan instances.yaml
  chatapi apply instances.yaml

Exit codes:
  0 done                        4 partly done
  1 error, nothing created      5 locked by another run
  2 changes (plan, drift)       6 stopped by a guard
  3 in doubt, token missing     7 saved plan stale or spent
                                8 state missing, damaged or older
  129, 130, 143 stopped by a signal"
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Show what an apply would do. Changes nothing; needs no key and no network but for `--verify`.
    #[command(
        after_help = "Examples:\n  chatapi plan instances.yaml\n  chatapi plan --detailed-exitcode instances.yaml   exits 2 if there are changes\n  chatapi plan --out plan.json instances.yaml        to be reviewed, then `chatapi apply plan.json`\n  chatapi plan --format json team/ | jq .summary\n  chatapi plan --prune instances.yaml                with the deletes of what is no longer declared\n  chatapi plan --target label=team=retail --target owner=ops\n  chatapi plan --verify instances.yaml                asks the server as well: what is gone, stopped, unpaid?\n\nMarks: + to create, - to delete, ~ to finish from a recorded answer, * protection changes,\n> settled first (taken in, renamed, a doubt closed), ? in doubt,\n! in conflict or without token, o no longer declared (it stays as it is), = unchanged, . left aside (`--verbose` shows these two)."
    )]
    Plan(Box<PlanArgs>),
    /// Show a saved plan.
    #[command(after_help = "Examples:\n  chatapi show plan.json\n  chatapi show --format json plan.json | jq .saved")]
    Show(Box<ShowArgs>),
    /// Create what is missing, and only that, unless `--prune` or `--replace` says more; or carry out a saved plan.
    #[command(
        after_help = "Examples:\n  chatapi apply instances.yaml\n  chatapi apply plan.json                            a plan that `chatapi plan --out` has saved\n  chatapi apply --checksum HASH instances.yaml       only if the plan is the reviewed one\n  chatapi apply --lock-timeout 10m instances.yaml    wait for another apply\n  chatapi apply --prune --yes --max-deletes 2        delete what is no longer declared, at most 2\n  chatapi apply --replace support-eu                 a new one in its place\n  chatapi apply --parallelism 10 --format json team/\n\nThe server's address and key come from CHATAPI_URL and CHATAPI_API_KEY_FILE or CHATAPI_API_KEY, never from the command line.\nIn CI use `exec chatapi apply …`, so that an interrupt reaches it and not a shell."
    )]
    Apply(Box<ApplyArgs>),
    /// Check manifests, and say all that is wrong with them.
    #[command(
        after_help = "Examples:\n  chatapi validate instances.yaml\n  chatapi validate --format json team/ other.yaml\n  generate | chatapi validate -"
    )]
    Validate(ValidateArgs),
    /// Delete instances on the server, after their number was confirmed.
    #[command(
        after_help = "Examples:\n  chatapi destroy support-old\n  chatapi destroy --yes --max-deletes 2 support-old sandbox    where nobody can be asked\n  chatapi destroy --target label=team=retail\n\nWhat is still declared is not created again by itself: the next plan asks for `--recreate NAME`.\nDeleting twice does no harm; to keep an instance and manage it no longer: `chatapi release`."
    )]
    Destroy(Box<DestroyArgs>),
    /// Ask the server what has become of the instances: gone, stopped, unpaid, of another type, or nobody's. Changes nothing.
    #[command(
        after_help = "Examples:\n  chatapi drift\n  chatapi drift instances.yaml                          with the types that are declared\n  chatapi drift --expiring-within 30d --detailed-exitcode    exits 2 if anything is found\n  chatapi drift --format json | jq '.findings[] | select(.finding == \"gone\")'\n\nOne request, to the account's list. What is gone is a question: nothing is created or deleted for it by itself.\nA list that shows nothing of what was there before is not believed, and is an error."
    )]
    Drift(Box<DriftArgs>),
    /// Ask each instance whether its phone is linked.
    #[command(
        after_help = "Examples:\n  chatapi status\n  chatapi status support-eu support-us --identity key.txt\n  chatapi status --watch --interval 10s\n  chatapi status --format json | jq -r '.instances[] | select(.is_authenticated | not) | .name'\n\nEach is asked at its own address with its own token, which goes nowhere else. Needs no API key.\nExit 3: not all of them are `authenticated`."
    )]
    Status(Box<StatusArgs>),
    /// Show the code that links a phone to an instance, and wait until one is linked.
    #[command(
        after_help = "Examples:\n  chatapi qr support-eu\n  chatapi qr support-eu --png code.png                   where no terminal is; readable by this user only\n  chatapi qr support-eu --svg code.svg --no-wait\n  chatapi qr support-eu --wait-for 30m --identity key.txt\n\nWhoever has the code can link their phone: it is a credential, and is printed to a terminal only, unless `--print` says so.\nA new code takes its place when the server gives one. Exit 3: no phone was linked."
    )]
    Qr(Box<QrArgs>),
    /// Take in an instance that exists and was not created from here; or show what there is to take in.
    #[command(
        after_help = "Examples:\n  chatapi import --discover                               what the account holds and the state does not know\n  chatapi import --discover > adopted.yaml                as entries for a manifest: `import:`, reviewed, then applied\n  chatapi import old-desk --id 100234                     at once, without a manifest\n  chatapi import old-desk --id 100234 --token-stdin < token.txt\n\nThe server has to list the id, and no doubt may have created it. Nothing is created and nothing is changed there.\n`chatapi state import FILE` is another thing: it brings back a state that was exported."
    )]
    Import(Box<ImportArgs>),
    /// Stop managing instances. They stay on the server, and are still paid for there.
    #[command(
        after_help = "Examples:\n  chatapi release support-old\n  chatapi release --undo support-old    manage it again\n\nTake it out of the manifest too: what was released and is declared stops the plan. To delete it: `chatapi destroy`."
    )]
    Release(ReleaseArgs),
    /// Look at the state, or mend it.
    #[command(subcommand)]
    State(StateVerb),
    /// List the creates and deletes of which nobody knows whether they happened, and the command that settles each.
    #[command(
        after_help = "Examples:\n  chatapi doubts\n  chatapi doubts --refresh      ask the server which new instances it lists"
    )]
    Doubts(DoubtsArgs),
    /// Settle a doubt: say that an attempt created an instance, or that it did not.
    #[command(
        after_help = "Examples:\n  chatapi resolve support-eu --attempt a-k3jx7q2mfa --created 123456 --reason 'seen in the console'\n  chatapi resolve support-eu --attempt a-k3jx7q2mfa --not-created --reason 'the provider says so'\n\nWith `--created` the token is still missing: `chatapi token set NAME`, or `--token-stdin` at once."
    )]
    Resolve(ResolveArgs),
    /// Read or set an instance's token.
    #[command(subcommand)]
    Token(TokenVerb),
    /// Print ids, addresses and tokens for the next step: as JSON, variables, a Secret, or by a template.
    #[command(after_help = output::EXAMPLES)]
    Output(Box<OutputArgs>),
    /// Make or show the keys that tokens are sealed to and opened with.
    #[command(subcommand)]
    Key(KeyVerb),
    /// Begin: an empty state, and a first manifest if there is none.
    #[command(
        after_help = "Examples:\n  chatapi init                                       asks at most two things, on a terminal\n  chatapi init --yes team/instances.yaml             asks nothing\n  chatapi --state /srv/chatapi/state init\n\nEditors with a YAML language server complete and check the manifest by the schema beside it;\n`chatapi schema --out chatapi.schema.json` renews that. Commit both. The state directory holds\ntokens, and keeps itself out of commits."
    )]
    Init(InitArgs),
    /// Examine the set-up: the state's place, tokens, permissions, git, and the pipelines that run `chatapi apply`.
    #[command(
        after_help = "Examples:\n  chatapi doctor\n  chatapi doctor team/ --format json | jq '.checks[] | select(.status == \"error\")'\n  chatapi --state /srv/chatapi/state doctor\n\nIt changes nothing, and needs neither key nor network. It reads the manifests, the state, the\nenvironment, .github/workflows/*.yml and .gitlab-ci.yml, and asks git where it is installed.\nExit code 1: there is an error."
    )]
    Doctor(DoctorArgs),
    /// Play the server, on this machine, with faults on demand.
    #[command(
        after_help = "Examples:\n  chatapi emulator --listen 127.0.0.1:8080 --data ./emulator\n  chatapi emulator --latency 20ms..80ms --fault create:nth=2=drop-after --fault list=lag:2s\n\nWHEN: nth=N, every=N, first=N, p=0.1. FAULT: drop-before, drop-after, reset-before, reset-after,\nstall, stall-before, delay:DURATION, refuse[:TEXT], status-before:CODE, status-after:CODE,\ntoo-many[:SECONDS], garbage, truncate:BYTES, truncate-reset:BYTES, lag:DURATION, no-token, exists, empty-list.\n\nIt prints its address on the first line. Use it with CHATAPI_URL=http://127.0.0.1:8080/ and any CHATAPI_API_KEY of 9 characters or more."
    )]
    Emulator(Box<EmulatorArgs>),
    /// Print a JSON Schema, by which editors complete and check what you write.
    #[command(
        after_help = "Examples:\n  chatapi schema\n  chatapi schema --out chatapi.schema.json\n\nAn editor with a YAML language server finds it by the manifest's first line:\n  # yaml-language-server: $schema=./chatapi.schema.json"
    )]
    Schema(SchemaArgs),
    /// Print what a shell needs to complete commands and flags.
    #[command(
        after_help = "Examples:\n  bash        chatapi completions bash > ~/.local/share/bash-completion/completions/chatapi\n  zsh         chatapi completions zsh > ~/.zfunc/_chatapi\n              with `fpath+=~/.zfunc; autoload -Uz compinit; compinit` in ~/.zshrc\n  fish        chatapi completions fish > ~/.config/fish/completions/chatapi.fish\n  PowerShell  chatapi completions powershell >> $PROFILE\n\nTo try it in this bash only: source <(chatapi completions bash)"
    )]
    Completions(CompletionsArgs),
    /// Print the manual page, or write one for each command.
    #[command(
        after_help = "Examples:\n  chatapi man | man -l -\n  chatapi man --out ~/.local/share/man/man1      then: man chatapi-apply"
    )]
    Man(ManArgs),
    /// Print the version.
    #[command(after_help = "Examples:\n  chatapi version\n  chatapi version --json | jq -r .version")]
    Version,
}

/// Manifests to read.
#[derive(Debug, Args)]
pub(super) struct Manifests {
    /// Manifests: files, directories (their *.yaml and *.yml), or `-` for standard input.
    #[arg(value_name = "FILE", default_value = "instances.yaml")]
    pub(super) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) variables: VariableArgs,
}

/// `validate`.
#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    #[command(flatten)]
    pub(super) manifests: Manifests,
    #[command(flatten)]
    pub(super) forge: ForgeArgs,
}

/// Where the lock file is.
#[derive(Debug, Args)]
pub(super) struct LockFileArg {
    /// The lock file; if not said, `chatapi.lock` beside the first manifest, or beside the state directory if it is there. Commit it:
    /// it tells a lost state from a first run.
    #[arg(long, value_name = "PATH", env = "CHATAPI_LOCK_FILE", hide_env_values = true)]
    pub(super) lock_file: Option<PathBuf>,
}

/// Where the lock file is of a state that is named without a manifest.
#[derive(Debug, Args)]
pub(super) struct WitnessArg {
    /// The lock file that the state is held against; if not said, `chatapi.lock` beside the state directory, or here.
    #[arg(long, value_name = "PATH", env = "CHATAPI_LOCK_FILE", hide_env_values = true)]
    pub(super) lock_file: Option<PathBuf>,
}

/// How long a request may take.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct TimeoutArgs {
    /// How long a connection may take to stand.
    #[arg(long, value_name = "DURATION", value_parser = duration, env = "CHATAPI_CONNECT_TIMEOUT", hide_env_values = true, default_value = "10s")]
    pub(super) connect_timeout: Duration,
    /// How long an answer may take.
    #[arg(long, value_name = "DURATION", value_parser = duration, env = "CHATAPI_TIMEOUT", hide_env_values = true, default_value = "60s")]
    pub(super) timeout: Duration,
}

/// How to reach a server.
#[derive(Debug, Args)]
pub(super) struct ServerArgs {
    #[command(flatten)]
    pub(super) timeouts: TimeoutArgs,
    /// How old a doubt must be until its absence from the server's list counts.
    #[arg(long, value_name = "DURATION", value_parser = duration, env = "CHATAPI_SETTLE_AFTER", hide_env_values = true, default_value = "15m")]
    pub(super) settle_after: Duration,
}

/// Who may wait for the state's lock.
#[derive(Debug, Args)]
pub(super) struct LockArgs {
    /// How long to wait for another writer of the state.
    #[arg(long, value_name = "DURATION", value_parser = duration, env = "CHATAPI_LOCK_TIMEOUT", hide_env_values = true, default_value = "0s")]
    pub(super) lock_timeout: Duration,
}

/// `30s`, `10m`, `1h 30m`; at most a day.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a duration such as `500ms`, `30s` or `10m`, at most a day".to_owned();
    read_duration(text).filter(|duration| *duration <= Duration::from_hours(24)).ok_or_else(wrong)
}

fn read_duration(text: &str) -> Option<Duration> {
    let span: jiff::SignedDuration = text.trim().parse().ok()?;
    Duration::try_from(span).ok()
}

fn adoption(text: &str) -> Result<(InstanceName, InstanceId), String> {
    let (typed, listed) = text.split_once('=').ok_or("write NAME=ID")?;
    if typed == "NAME" {
        return Err("NAME stands for a name of yours: write that".to_owned());
    }
    Ok((name(typed).map_err(|error| error.to_string())?, id(listed)?))
}

fn name(text: &str) -> Result<InstanceName, crate::instance::NameError> {
    InstanceName::parse(text)
}

/// A server's ids are taken as they come, as in a manifest; what is typed may be the placeholder of our own hints.
fn id(text: &str) -> Result<InstanceId, String> {
    if text == "ID" {
        return Err("ID stands for an id of the server: write the one that it lists".to_owned());
    }
    InstanceId::parse(text).map_err(|error| error.to_string())
}

fn reason(text: &str) -> Result<String, &'static str> {
    if matches!(text.trim(), "" | "TEXT") { Err("write why, in your own words") } else { Ok(text.to_owned()) }
}
