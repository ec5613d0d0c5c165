//! `chatapi man`: manual pages from the words of the command line, with what those do not say: exit codes, environment, files.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

use super::args::Cli;
use super::args::ManArgs;
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use crate::store;
use crate::text::counted;

const EXIT_CODES: [(&str, &str); 12] = [
    ("0", "Done, or nothing to do, or a plan was made."),
    ("1", "An error; nothing was created by this run. Wrong usage too."),
    ("2", "Only with --detailed-exitcode: there are changes, or drift has found something."),
    ("3", "At least one create is in doubt, or an instance lacks its token. Of status and qr: not all phones are linked."),
    ("4", "Partly done: some were created and some not, none in doubt."),
    ("5", "Another process has the state."),
    ("6", "A guard stopped the run before anything was sent."),
    ("7", "A saved plan is stale, spent, expired, or for another state."),
    ("8", "The state is missing, damaged, or older than the lock file says."),
    ("129", "Stopped by SIGHUP, with everything in flight accounted for."),
    ("130", "The same by SIGINT."),
    ("143", "The same by SIGTERM."),
];

const ENVIRONMENT: [(&str, &str); 11] = [
    ("CHATAPI_URL", "The server's address. Plain http is accepted for this machine only."),
    ("CHATAPI_ENV", "Which environment of chatapi.yaml is meant; the same as --env."),
    ("CHATAPI_API_KEY_FILE", "A file (0600) with the API key."),
    ("CHATAPI_API_KEY", "The API key itself, where no file is named."),
    ("CHATAPI_SEAL_TO", "Public keys that tokens are sealed to, separated by commas; goes before the manifest's seal_to."),
    ("CHATAPI_IDENTITY_FILE", "A file with the secret key that opens tokens; the same as --identity."),
    ("CHATAPI_IDENTITY_COMMAND", "A command that prints it; the same as --identity-command."),
    ("CHATAPI_IDENTITY", "That key itself."),
    ("CHATAPI_LOG", "Which log lines are printed, for example debug."),
    ("CI", "Set in a pipeline: nothing is asked, and an empty state without a lock file is not taken for a first run."),
    ("NO_COLOR, CLICOLOR_FORCE, FORCE_COLOR", "Whether colour is used where --color does not say."),
];

const FILES: [(&str, &str); 7] = [
    ("instances.yaml", "The manifest that is read where none is named. Commit it."),
    ("chatapi.yaml", "Beside the manifest: the environments, each with a state of its own. Commit it."),
    ("chatapi.lock", "Beside the manifest: tells a lost state from a first run. Commit it."),
    ("chatapi.schema.json", "Beside the manifest: by it editors complete and check the manifest. Commit it."),
    ("state/journal.jsonl", "The truth; tokens are in it, and only in it. Back it up, and do not commit it."),
    ("state/index/", "What plan and the queries read. Holds no secret, and is rebuilt."),
    ("~/.config/chatapi/key.txt", "Where init puts the secret key that opens tokens. Keep a copy elsewhere."),
];

pub(super) fn run(context: &Context, args: &ManArgs) -> Result<Exit, CliError> {
    let command = tree();
    let Some(directory) = &args.out else {
        context.console.verbatim(page(&command).map_err(|error| CliError::new(Exit::Error, &error))?.trim_end());
        return Ok(Exit::Done);
    };
    let written = make(directory).and_then(|()| write(&command, directory));
    let count = written.map_err(|error| {
        CliError::new(Exit::Error, &error).context(format!("cannot write the manual pages to {}", directory.display()))
    })?;
    context.done(format!("{} in {}.", counted(count, "page", "pages"), directory.display()))?;
    Ok(Exit::Done)
}

/// The commands as their pages call them: `chatapi-state-list`.
fn tree() -> Command {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    command
}

/// The directory, readable for all where it is new.
fn make(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(directory)?;
    fs::set_permissions(directory, Permissions::from_mode(0o755))
}

/// Writes the page of `command` and those of its parts; how many.
fn write(command: &Command, directory: &Path) -> io::Result<usize> {
    let path = directory.join(format!("{}.1", name_of(command)));
    store::replace(&path, page(command)?.as_bytes(), 0o644)?;
    let parts = command.get_subcommands().filter(|part| !part.is_hide_set());
    parts.map(|part| write(part, directory)).try_fold(1, |sum, count| Ok(sum + count?))
}

fn name_of(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(command: &Command) -> io::Result<String> {
    let version = format!("chatapi {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(version).manual("chatapi manual");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    synopsis(command).to_writer(&mut text)?;
    man.render_description_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    man.render_options_section(&mut text)?;
    rest(command).to_writer(&mut text)?;
    let text = String::from_utf8(text).map_err(io::Error::other)?;
    Ok(once(&text))
}

/// How the command is called, in the words of its help; the crate's own synopsis names every flag, without values.
fn synopsis(command: &Command) -> Roff {
    let usage = command.clone().render_usage().to_string();
    let called = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let words = usage.trim_start_matches("Usage:").trim();
    let mut line = vec![bold(called)];
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut rest = words.strip_prefix(called).unwrap_or(words);
    while let Some(first) = rest.chars().next() {
        let is_word = is_of_word(first);
        let end = rest.find(|c| is_of_word(c) != is_word).unwrap_or(rest.len());
        let (piece, behind) = rest.split_at(end);
        line.push(match piece {
            _ if !is_word => roman(piece),
            flag if flag.starts_with('-') => bold(flag),
            value => italic(value),
        });
        rest = behind;
    }
    let mut roff = Roff::default();
    roff.control("SH", ["SYNOPSIS"]);
    roff.text(line);
    roff
}

/// Each part begins with the same two definitions; a page needs them once. And a formatter of old reads ASCII only.
fn once(text: &str) -> String {
    let mut is_defined = false;
    let is_definition = |line: &str| line.starts_with(".ie \\n(.g ") || line.starts_with(".el .ds Aq");
    let mut page = String::with_capacity(text.len());
    for line in text.lines() {
        if !(is_definition(line) && is_defined) {
            for character in line.chars() {
                if character.is_ascii() {
                    page.push(character);
                } else {
                    // Writing into a string cannot fail.
                    let _ = write!(page, "\\[u{:04X}]", u32::from(character));
                }
            }
            page.push('\n');
        }
        is_defined |= line.starts_with(".el .ds Aq");
    }
    page
}

/// What the words of the command line do not say.
fn rest(command: &Command) -> Roff {
    let mut roff = Roff::default();
    if let Some(examples) = command.get_after_help() {
        roff.control("SH", ["EXAMPLES"]);
        roff.control("nf", []);
        examples.to_string().lines().filter(|line| !line.starts_with("Example")).for_each(|line| {
            roff.text([roman(line)]);
        });
        roff.control("fi", []);
    }
    section(&mut roff, "EXIT STATUS", &EXIT_CODES);
    section(&mut roff, "ENVIRONMENT", &ENVIRONMENT);
    command.get_arguments().filter(|flag| !flag.is_hide_set()).for_each(|flag| {
        if let (Some(name), Some(long)) = (flag.get_env(), flag.get_long()) {
            entry(&mut roff, &name.to_string_lossy(), &format!("The same as --{long}."));
        }
    });
    section(&mut roff, "FILES", &FILES);
    if command.get_name() != "chatapi" {
        roff.control("SH", ["SEE ALSO"]);
        roff.text([bold("chatapi"), roman("(1)")]);
    }
    roff
}

fn section(roff: &mut Roff, title: &str, rows: &[(&str, &str)]) {
    roff.control("SH", [title]);
    for (word, meaning) in rows {
        entry(roff, word, meaning);
    }
}

fn entry(roff: &mut Roff, word: &str, meaning: &str) {
    roff.control("TP", []);
    roff.text([bold(word)]);
    roff.text([roman(meaning)]);
}
