//! `chatapi init`: a state, a first manifest and its schema; on a terminal by at most two questions.

use std::env;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::args::InitArgs;
use super::context::{Context, draw_lineage, typed};
use super::error::CliError;
use super::exit::Exit;
use super::prompt::{self, Question};
use super::witness::Witness;
use super::{key, schema};
use crate::manifest::{self, ProviderKind};
use crate::report::{InitDocument, InitFile, InitState};
use crate::seal::Recipient;
use crate::store::{self, FileStore, LockFile, StateStore, StoreError, make_beside};

/// What the first manifest says.
#[derive(Debug, Default)]
struct Choice {
    /// The emulator where nobody was asked and nothing names a server: nothing costs money yet.
    is_real: bool,
    /// The public half of the key that tokens are sealed to.
    seal_to: Option<Recipient>,
}

pub(super) fn run(context: &Context, args: &InitArgs) -> Result<Exit, CliError> {
    let witness = Witness::of_manifests(context, std::slice::from_ref(&args.file), args.lock_file.lock_file.as_ref())?;
    if !store::has_state(&context.state_dir) {
        // Before anything is asked or written: a state that is begun beside this lock file would look like a lost one's heir.
        not_lost(context, &witness)?;
    }
    let is_asked = args.input && !args.no_input && !args.file.exists() && prompt::is_answered(context);
    let choice = if is_asked { asked(context)? } else { Choice { is_real: names_server(), seal_to: None } };
    let begun = begin(context, args, witness.lock());
    let state = begun.map_err(|error| witness.explain(context, error))?;
    let (is_new, schema) = match write_new(&args.file, first(&choice, !args.no_schema).as_bytes()) {
        Ok(()) => (true, if args.no_schema { None } else { Some(write_schema(&args.file)?) }),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (false, None),
        Err(error) => return Err(unwritten(&error, &args.file)),
    };
    tell(context, &InitDocument::new(state, InitFile::new(&args.file, is_new), schema))?;
    if choice.is_real && !names_server() {
        context.console.note("before the first apply: export CHATAPI_URL=https://…/ and CHATAPI_API_KEY_FILE=/path/to/key");
    }
    context.console.note(format_args!("next: {} plan {}", context.command(), typed(&args.file)));
    Ok(Exit::Done)
}

/// Whether the environment names a server.
fn names_server() -> bool {
    env::var_os("CHATAPI_URL").is_some_and(|url| !url.is_empty())
}

/// Begins the state, or finds it.
fn begin(context: &Context, args: &InitArgs, lock: Option<&LockFile>) -> Result<InitState, CliError> {
    let hold = context.hold("init", args.lock.lock_timeout)?;
    let store = FileStore::open_or_begin(&context.state_dir, hold, lock, draw_lineage()?, Timestamp::now())?;
    let (lineage, names) = (store.state().lineage.clone(), store.state().records().len());
    Box::new(store).close()?;
    Ok(InitState::new(&context.state_dir, lineage, names))
}

/// What there is now, a line for each thing.
fn tell(context: &Context, document: &InitDocument) -> Result<(), CliError> {
    if context.is_json() {
        return context.document(document);
    }
    document.lines().into_iter().for_each(|line| context.console.line(line));
    Ok(())
}

/// Refuses to begin a state where a lock file tells of one that is gone.
fn not_lost(context: &Context, witness: &Witness) -> Result<(), CliError> {
    match store::read(&context.state_dir, witness.lock()) {
        Err(error @ StoreError::Behind(_)) => Err(witness.explain(context, error)),
        _ => Ok(()),
    }
}

/// The two questions. Nothing is written before both are answered, but for the key.
fn asked(context: &Context) -> Result<Choice, CliError> {
    let console = &context.console;
    let usual = if names_server() { "server" } else { "emulator" };
    let text = "Where: on the emulator (free, on this machine) or on a real server?".to_owned();
    let where_to = Question { text, default: usual, expected: "emulator or server".to_owned() };
    let is_real = prompt::ask(console, &where_to, |answer| {
        let word = answer.to_ascii_lowercase();
        let is_start_of = |whole: &str| !word.is_empty() && whole.starts_with(&word);
        if is_start_of("emulator") { Some(false) } else { (is_start_of("server") || is_start_of("real")).then_some(true) }
    })
    .map_err(unanswered)?;
    let Some(default) = key_file() else { return Ok(Choice { is_real, seal_to: None }) };
    let text = format!(
        "Seal tokens, so that only a key opens them? {} {}: y, n, or another path",
        if default.exists() { "The one in" } else { "A new one in" },
        typed(&default)
    );
    let default_word = if is_real { "y" } else { "n" };
    let question = Question { text, default: default_word, expected: "y, n or a path".to_owned() };
    let path = prompt::ask(console, &question, |answer| match answer {
        "y" | "Y" | "yes" => Some(Some(default.clone())),
        "n" | "N" | "no" => Some(None),
        path if path.contains(['/', '.']) => Some(Some(expanded(path))),
        _ => None,
    })
    .map_err(unanswered)?;
    let seal_to = path.map(|path| recipient(context, &path)).transpose()?;
    Ok(Choice { is_real, seal_to })
}

fn unanswered(error: CliError) -> CliError {
    error.hint("nothing was written").hint("`chatapi init --no-input` asks nothing")
}

/// Where the secret key is kept that opens tokens: below the user's settings.
pub(super) fn key_file() -> Option<PathBuf> {
    let set = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let settings = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
    Some(settings.join("chatapi/key.txt"))
}

/// `~/…` as a shell would have it.
fn expanded(path: &str) -> PathBuf {
    let home = env::var_os("HOME").map(PathBuf::from);
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

/// The public half of the key at `path`, which is made if it is not there and never written over.
fn recipient(context: &Context, path: &Path) -> Result<Recipient, CliError> {
    if path.exists() {
        return key::read(path);
    }
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| unwritten(&error, path))?;
    }
    let public = key::make(path)?;
    context.console.note(format_args!("the secret half is in {}: keep it, and a copy elsewhere", path.display()));
    Ok(public)
}

/// A first manifest.
fn first(choice: &Choice, has_schema: bool) -> String {
    let schema = if has_schema { format!("# yaml-language-server: $schema=./{}\n", schema::FILE) } else { String::new() };
    let provider = if choice.is_real {
        format!(
            "  kind: {}         # a real server, named by CHATAPI_URL: each instance costs money; `emulator` costs nothing\n",
            ProviderKind::Chatapi
        )
    } else {
        format!("  kind: {}        # costs nothing; `chatapi` is a real server, named by CHATAPI_URL\n", ProviderKind::Emulator)
    };
    let seal_to = choice.seal_to.map_or_else(String::new, |key| {
        format!("seal_to:                # tokens are sealed: only the secret half of this key opens them\n  - {key}\n")
    });
    // Nothing that costs money is declared for somebody.
    let instances = if choice.is_real {
        "instances: []           # as `- {name: support-eu, type: whatsapp}`; `chatapi import --discover` writes those that exist\n"
    } else {
        "instances:\n  - name: support-eu    # yours: letters, digits, `.`, `_`, `-`\n    type: whatsapp      # whatsapp or whatsapp_dev\n  \
         - name: sandbox\n    type: whatsapp_dev\n"
    };
    format!(
        "{schema}# What should exist. `chatapi plan` shows what is missing, `chatapi apply` creates it.\nversion: {}\nprovider:\n{provider}{seal_to}\
         {instances}",
        manifest::VERSION
    )
}

/// The schema beside the manifest; one that is there stays.
fn write_schema(manifest: &Path) -> Result<InitFile, CliError> {
    let path = manifest.with_file_name(schema::FILE);
    match write_new(&path, schema::text(&manifest::schema())?.as_bytes()) {
        Ok(()) => Ok(InitFile::new(&path, true)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(InitFile::new(&path, false)),
        Err(error) => Err(unwritten(&error, &path)),
    }
}

fn unwritten(error: &io::Error, path: &Path) -> CliError {
    CliError::new(Exit::Error, error).context(format!("cannot write {}", path.display()))
}

/// Writes a file where there is none, whole or not at all. Anyone may read it: it is meant to be committed.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if path.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let (file, temporary) = make_beside(path, 0o644)?;
    let written = write_whole(file, bytes).and_then(|()| match fs::hard_link(&temporary, path) {
        // Not every file system has links; a link is preferred because it replaces nothing.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !path.exists() => fs::rename(&temporary, path),
        linked => linked,
    });
    // Renamed away, it is gone already; and a leftover does no harm.
    let _ = fs::remove_file(&temporary);
    written
}

fn write_whole(mut new: File, bytes: &[u8]) -> io::Result<()> {
    new.set_permissions(Permissions::from_mode(0o644))?;
    new.write_all(bytes)?;
    new.sync_all()
}
