//! `chatapi output`: credentials of what was created, for the next step of a pipeline.
//!
//! Everything that can be refused is refused before the first byte is written. What is merely not there (a create in doubt, a
//! token that is missing) keeps nothing else back, and is told by exit code 3.

mod shape;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::Path;

use super::args::{OutputArgs, OutputFormat};
use super::console::Console;
use super::context::Context;
use super::delivery;
use super::error::CliError;
use super::exit::Exit;
use super::identity::{TokenError, identities, token_for};
use super::kept::Kept;
use super::planning::chosen;
use super::state::meant;
use super::{confidential, token_set, witness};
use crate::instance::InstanceName;
use crate::report::credentials::{Credential, Prefix, Rendered, Shape, Token, masks, render};
use crate::seal::{Identity, OpenError};
use crate::state::{Phase, Record, State};
use crate::store::{self, StoreError};
use crate::text::counted;
use shape::{delimiter, plain, refused, secret_place, shaped};

pub(super) fn run(context: &Context, args: &OutputArgs) -> Result<Exit, CliError> {
    if args.retry {
        return delivery::retry(context, args);
    }
    let format = args.format();
    check_fit(args, format)?;
    let state = witness::read(context, &args.lock_file)?.state;
    let names = if args.selection.target.is_empty() {
        args.names.clone()
    } else {
        chosen(context, &args.names, &args.selection, &state)?.into_iter().collect()
    };
    let asked = ask(&state, &names)?;
    let keys = if args.reveal { Some(identities(&args.identity)?) } else { None };
    let credentials = credentials(context, &state, &asked.existing, keys.as_deref())?;
    args.template.as_deref().map_or(Ok(()), |path| confidential::check(context, path))?;
    let rendered = shaped(args, format, &credentials)?;
    let out = args.out.as_deref().filter(|path| path.as_os_str() != "-");
    let others = [&args.identity.identity, &args.lock_file.lock_file, &args.template].into_iter().flatten().cloned();
    let kept = Kept::of(context, &[], others);
    if let Some((path, why)) = out.and_then(|path| Some((path, kept.refusal(path)?))) {
        let message = format!("nothing is written to {}: {why}", path.display());
        return Err(CliError::message(Exit::Error, message).hint("name another file: `--out FILE`"));
    }
    if args.mask {
        mask(context, &credentials)?;
    }
    if args.reveal && out.is_none() && context.is_ci && !Console::is_filed() {
        context.console.warn("tokens go to standard output, and a CI system keeps that in its log: `--out FILE`, or `> FILE`");
    }
    match out {
        None => context.console.bytes(rendered.expose().as_bytes()),
        Some(path) => {
            write(path, &rendered)?;
            context.console.note(format_args!(
                "wrote {} to {}",
                counted(credentials.len(), "instance", "instances"),
                path.display()
            ));
        }
    }
    if !args.reveal && credentials.iter().any(|credential| matches!(credential.token, Token::Hidden)) {
        context.console.note("tokens are left out; `--reveal` adds them");
    }
    Ok(tell(context, &asked, &credentials))
}

/// Tells GitHub's runner to hide the tokens; none goes further unless it could be told.
fn mask(context: &Context, credentials: &[Credential]) -> Result<(), CliError> {
    context.console.masks(masks(credentials).expose()).map_err(|error| {
        CliError::new(Exit::Error, &error)
            .context("the tokens cannot be masked: standard error does not take the lines that GitHub's runner reads")
            .hint("nothing was written; leave standard error to the runner, without `2>`")
    })
}

/// Every instance that exists, tokens too, in `format` with its usual names; and how many there are.
pub(super) fn everything(
    context: &Context,
    state: &State,
    keys: &[Identity],
    format: OutputFormat,
) -> Result<(Rendered, usize), CliError> {
    let existing: Vec<&Record> = state.records().values().filter(|record| record.instance().is_some()).collect();
    let credentials = credentials(context, state, &existing, Some(keys))?;
    let delimiter = delimiter();
    let shape = match plain(format, Prefix::default(), &delimiter) {
        Some(shape) => shape,
        None => Shape::KubernetesSecret(secret_place(None, None)?, Prefix::default()),
    };
    Ok((render(&credentials, &shape).map_err(|error| refused(&error, true))?, credentials.len()))
}

/// The credentials of `names`, or of everything, with their tokens; and the names whose create is not concluded.
pub(super) fn revealed(
    context: &Context,
    state: &State,
    names: &[InstanceName],
    keys: &[Identity],
) -> Result<(Vec<Credential>, Vec<InstanceName>), CliError> {
    let asked = ask(state, names)?;
    let open = asked.open.iter().map(|record| record.name.clone()).collect();
    Ok((credentials(context, state, &asked.existing, Some(keys))?, open))
}

/// Refuses a flag that the format would ignore.
fn check_fit(args: &OutputArgs, format: OutputFormat) -> Result<(), CliError> {
    let is_secret = format == OutputFormat::K8sSecret;
    let is_template = format == OutputFormat::Template;
    let misfits = [
        ("--prefix", args.prefix.is_some() && !format.has_variables()),
        ("--k8s-name", args.k8s_name.is_some() && !is_secret),
        ("--k8s-namespace", args.k8s_namespace.is_some() && !is_secret),
        ("--template", args.template.is_some() && !is_template),
        ("--template-text", args.template_text.is_some() && !is_template),
    ];
    if let Some((flag, _)) = misfits.into_iter().find(|(_, is_misfit)| *is_misfit) {
        return Err(CliError::message(Exit::Error, format!("`{flag}` means nothing to this `--format`")));
    }
    if args.mask && env::var_os("GITHUB_ACTIONS").is_none_or(|value| value != "true") {
        return Err(CliError::message(Exit::Error, "`--mask` prints the tokens for GitHub's runner to read, and none runs this")
            .hint("leave it out: it works in GitHub Actions only (GITHUB_ACTIONS=true)"));
    }
    Ok(())
}

/// What was asked for, by where it stands.
struct Asked<'a> {
    existing: Vec<&'a Record>,
    /// A create may have happened, and what it made is not known yet.
    open: Vec<&'a Record>,
}

/// Every name is looked at before anything is said.
fn ask<'a>(state: &'a State, names: &[InstanceName]) -> Result<Asked<'a>, CliError> {
    let names: BTreeSet<&InstanceName> = names.iter().collect();
    let records: Vec<&Record> = if names.is_empty() {
        state.records().values().collect()
    } else {
        let known = |name: &&&InstanceName| state.record(name).is_some_and(|record| refusal(record).is_none());
        if let Some(bad) = names.iter().find(|name| !known(name)) {
            let others: Vec<String> = names.iter().filter(|name| !known(name)).map(|name| state_of(state, name)).collect();
            let error = CliError::message(Exit::Error, others.join("; "));
            let hint = state.record(bad).and_then(refusal).unwrap_or("`chatapi state list` shows every name");
            let error = if state.record(bad).is_none() { meant(error, bad, state.records().keys()) } else { error };
            return Err(error.hint(hint.replace("NAME", bad.as_str())));
        }
        names.iter().filter_map(|name| state.record(name)).collect()
    };
    let (existing, rest): (Vec<_>, Vec<_>) = records.into_iter().partition(|record| record.instance().is_some());
    Ok(Asked { existing, open: rest.into_iter().filter(|record| refusal(record).is_none()).collect() })
}

/// What to type for a name that has no instance and no open attempt.
fn refusal(record: &Record) -> Option<&'static str> {
    match record.phase {
        Phase::Absent { .. } => Some("`chatapi apply FILE` creates what is declared"),
        Phase::Retired { .. } => Some("`chatapi plan FILE` tells whether an apply creates another one"),
        Phase::Retiring(..) => Some("`chatapi destroy NAME` finishes its delete"),
        Phase::Released(_) => Some("`chatapi release --undo NAME` manages it again"),
        Phase::Intent(_) | Phase::InDoubt(..) | Phase::Received(..) | Phase::Created(_) => None,
    }
}

fn state_of(state: &State, name: &InstanceName) -> String {
    match state.record(name).map(|record| &record.phase) {
        None => format!("nothing is recorded under `{name}`"),
        Some(Phase::Released(_)) => format!("`{name}` was released and is not managed"),
        Some(Phase::Retiring(..)) => format!("`{name}` is being deleted"),
        Some(Phase::Retired { .. }) => format!("`{name}` was deleted"),
        Some(_) => format!("`{name}` was not created"),
    }
}

/// Their tokens too where `keys` are given, an empty list as well: then all that are kept, or an error.
fn credentials(
    context: &Context,
    state: &State,
    existing: &[&Record],
    keys: Option<&[Identity]>,
) -> Result<Vec<Credential>, CliError> {
    let referred = existing.iter().filter_map(|record| Some(record.token()?.entry)).collect();
    let entries = keys.map_or(Ok(BTreeMap::new()), |_| store::read_entries(&context.state_dir, &referred))?;
    let mut credentials = Vec::with_capacity(existing.len());
    let mut closed: Vec<(&InstanceName, TokenError)> = Vec::new();
    for record in existing {
        let Some(instance) = record.instance() else { continue };
        let token = match (&instance.token, keys) {
            (None, _) => Token::Missing,
            (Some(_), None) => Token::Hidden,
            (Some(at), Some(keys)) => {
                let entry = entries.get(&at.entry).ok_or(StoreError::NoEntry(at.entry))?;
                match token_for(instance, (entry, at), &state.lineage, keys) {
                    Ok(token) => Token::Revealed(token),
                    Err(error @ TokenError::Sealed(OpenError::NotForUs(_))) => {
                        closed.push((&record.name, error));
                        continue;
                    }
                    Err(error) => return Err(CliError::from(error).context(format!("`{}`", record.name))),
                }
            }
        };
        let (name, id, api_url) = (record.name.clone(), instance.id.clone(), instance.api_url.clone());
        credentials.push(Credential { name, kind: record.kind, id, api_url, token });
    }
    let names = listed(closed.iter().map(|(name, _)| *name));
    match closed.pop() {
        Some((_, error)) => {
            Err(CliError::from(error).context(format!("cannot open the token of {names}; nothing was written or sent")))
        }
        None => Ok(credentials),
    }
}

/// The whole file or the old one, readable by this user only.
pub(super) fn write(path: &Path, rendered: &Rendered) -> Result<(), CliError> {
    store::replace(path, rendered.expose().as_bytes(), 0o600).map_err(|error| {
        CliError::new(Exit::Error, &error)
            .context(format!("cannot write {}", path.display()))
            .hint("it needs a directory that is there, writable and not full; what stood there before is as it was")
    })
}

/// Says what no output can hold, of everything that is recorded; the exit code that goes with it.
pub(super) fn lacks(context: &Context, state: &State) -> Result<Exit, CliError> {
    let asked = ask(state, &[])?;
    let credentials = credentials(context, state, &asked.existing, None)?;
    Ok(tell(context, &asked, &credentials))
}

/// What was asked for and is not in there.
fn tell(context: &Context, asked: &Asked<'_>, credentials: &[Credential]) -> Exit {
    let command = context.command();
    if asked.existing.is_empty() && asked.open.is_empty() {
        context.console.warn(format_args!(
            "no instance is recorded in {}, so there is nothing in the output\n  hint: `{command} apply FILE` creates what is declared; another state is named with `--state PATH`",
            context.state_dir.display()
        ));
    }
    let without: Vec<_> = credentials.iter().filter(|credential| matches!(credential.token, Token::Missing)).collect();
    if !without.is_empty() {
        let names = listed(without.iter().map(|credential| &credential.name));
        context
            .console
            .warn(format_args!("the token is missing: {names}\n  hint: {}", token_set::missing(&command, without.len())));
    }
    let (doubtful, begun): (Vec<&Record>, Vec<&Record>) =
        asked.open.iter().partition(|record| matches!(record.phase, Phase::InDoubt(..)));
    if !doubtful.is_empty() {
        let names = listed(doubtful.iter().map(|record| &record.name));
        context.console.warn(format_args!("in doubt, and left out: {names}\n  hint: `{command} doubts` shows how to settle it"));
    }
    if !begun.is_empty() {
        let names = listed(begun.iter().map(|record| &record.name));
        context
            .console
            .warn(format_args!("begun and not finished, and left out: {names}\n  hint: `{command} apply FILE` goes on"));
    }
    if without.is_empty() && asked.open.is_empty() { Exit::Done } else { Exit::InDoubt }
}

/// The first names, and how many more.
fn listed<'a>(names: impl Iterator<Item = &'a InstanceName>) -> String {
    const SHOWN: usize = 20;
    let names: Vec<&str> = names.map(InstanceName::as_str).collect();
    let more = names.len().saturating_sub(SHOWN);
    let shown = names.get(..SHOWN).unwrap_or(&names).join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}
