//! A command line that cannot be read: clap's words, and what was meant where it comes from the habits of another tool.

use std::process::ExitCode;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory as _};

use super::args::Cli;
use super::exit::Exit;
use crate::text::escape;

/// Words of other tools, and what there is in their place.
type Foreign = &'static [(&'static [&'static str], &'static str)];

/// Commands.
const VERBS: Foreign = &[
    (&["list", "ls", "ps"], "'chatapi state list' lists what exists, 'chatapi plan' what is missing"),
    (&["adopt", "discover"], "'chatapi import --discover' shows what can be taken in, 'chatapi import NAME --id ID' takes it in"),
    (
        &["delete", "down", "remove"],
        "'chatapi destroy NAME' deletes an instance on the server; 'chatapi release NAME' stops managing it, and it is still paid for",
    ),
    (
        &["refresh", "sync"],
        "not available: the state is what was recorded; 'chatapi drift' holds it against the server's list, and changes nothing",
    ),
    (&["create", "up", "deploy"], "'chatapi apply' creates what is missing"),
    (&["diff", "preview"], "'chatapi plan' shows what an apply would do"),
    (&["check", "lint"], "'chatapi validate' checks manifests, 'chatapi doctor' the set-up"),
    (&["login", "auth"], "not needed: the key is read from CHATAPI_API_KEY_FILE or CHATAPI_API_KEY"),
    (&["unlock", "force-unlock"], "not needed: the system frees a lock when its holder ends"),
    (&["workspace"], "'--env NAME' chooses an environment of chatapi.yaml, '--state DIR' names another state"),
];

/// Commands below `state`.
const STATE_VERBS: Foreign = &[
    (&["ls"], "'chatapi state list'"),
    (
        &["delete", "remove", "forget"],
        "'chatapi state rm NAME' forgets a record; 'chatapi release NAME' stops managing an instance",
    ),
    (&["move", "rename"], "'chatapi state mv FROM TO'"),
    (&["pull"], "'chatapi state export'"),
    (&["push"], "'chatapi state import FILE'"),
];

/// Flags that no command has.
const FLAGS: Foreign = &[
    (&["destroy"], "'chatapi destroy NAME' deletes instances"),
    (
        &["refresh", "refresh-only"],
        "not available: 'chatapi drift', or 'chatapi plan --verify', asks the server what has become of it",
    ),
    (&["workspace"], "'--env NAME' chooses an environment of chatapi.yaml"),
    (&["chdir"], "not available: 'cd DIR' goes before it"),
    (&["lock"], "not available: a writer always takes the lock; '--lock-timeout DURATION' waits for it"),
    (&["input"], "not needed: nothing is asked in a pipe or in CI, and '--yes' asks nothing elsewhere"),
    (&["force"], "not available: each guard names the flag that answers it"),
    (&["dry-run"], "'chatapi plan' shows what an apply would do"),
];

/// Help and version go to standard output; all else is an error, with the code that an error has here.
pub(super) fn refuse(mut error: clap::Error) -> ExitCode {
    let typed: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    advise(&mut error, &typed);
    name_variable(&mut error, &typed);
    let mut error = unsaid(error, &typed);
    for (kind, value) in escaped(&error) {
        error.insert(kind, value);
    }
    // Nobody is left to tell.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(Exit::Error.code()),
    }
}

/// Puts our tip in the place of clap's, where there is one.
fn advise(error: &mut clap::Error, typed: &[String]) {
    let mut root = Cli::command();
    root.build();
    let path = path(&root, typed);
    let found = match (error.kind(), error.get(ContextKind::InvalidArg), error.get(ContextKind::InvalidSubcommand)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(refused)), _) => {
            flag_as_typed(refused, typed).and_then(|name| Some((flag_tip(&root, &path, refused, &name)?, Some(name))))
        }
        (ErrorKind::InvalidSubcommand, _, Some(ContextValue::String(verb))) => {
            verb_tip(&root, &path, verb).map(|tip| (tip, None))
        }
        _ => None,
    };
    let Some((tip, flag)) = found else { return };
    for kind in [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedCommand] {
        error.remove(kind);
    }
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
    if let (Some(name), Some(ContextValue::String(refused))) = (flag, error.get(ContextKind::InvalidArg)) {
        let dashes = if refused.starts_with("--") { "--" } else { "-" };
        error.insert(ContextKind::InvalidArg, ContextValue::String(format!("{dashes}{name}")));
    }
}

/// Puts the variable that a refused value comes from in the place of its flag, which nobody has typed.
fn name_variable(error: &mut clap::Error, typed: &[String]) {
    let mut root = Cli::command();
    root.build();
    let path = path(&root, typed);
    let Some(ContextValue::String(refused)) = error.get(ContextKind::InvalidArg) else { return };
    let Some(arg) = arguments(&path).find(|arg| arg.to_string() == *refused) else { return };
    let (Some(variable), Some(flag)) = (arg.get_env().and_then(|name| name.to_str()), arg.get_long()) else { return };
    let is_typed = |word: &String| word.strip_prefix("--").is_some_and(|word| word.split('=').next() == Some(flag));
    let Some(value) = std::env::var_os(variable).filter(|_| !typed.iter().any(is_typed)) else { return };
    let is_empty = if value.is_empty() { ", and is empty" } else { "" };
    let tip = format!("it stands for '--{flag}'{is_empty}: give it another value, or unset it");
    error.insert(ContextKind::InvalidArg, ContextValue::String(variable.to_owned()));
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
}

fn arguments<'c>(path: &[&'c Command]) -> impl Iterator<Item = &'c Arg> {
    path.iter().flat_map(|command| command.get_arguments()).collect::<Vec<_>>().into_iter()
}

/// Where a token may have been typed by mistake: no word of the command line is said again.
fn unsaid(error: clap::Error, typed: &[String]) -> clap::Error {
    let mut root = Cli::command();
    root.build();
    let path = path(&root, typed);
    if !path.iter().any(|command| matches!(command.get_name(), "token" | "resolve")) {
        return error;
    }
    let is_its = |known: &Arg, arg: &str| known.to_string() == arg || known.get_env().is_some_and(|name| name == arg);
    let declared = |arg: &str| arguments(&path).any(|known| is_its(known, arg));
    let of = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(arg)) if declared(arg) => format!(" for '{arg}'"),
        _ => String::new(),
    };
    let what = match error.kind() {
        ErrorKind::UnknownArgument => "unexpected argument",
        ErrorKind::InvalidSubcommand => "unrecognized subcommand",
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => "invalid value",
        ErrorKind::TooManyValues | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues | ErrorKind::NoEquals => {
            "unexpected value"
        }
        ErrorKind::InvalidUtf8 => "invalid UTF-8",
        _ => return error,
    };
    let why = reason(&error).map(|why| format!(": {why}")).unwrap_or_default();
    let message = format!("{what}{of}{why}; it is not repeated, for it may be a token");
    let mut tips = vec!["the token itself is read from standard input: 'chatapi token set NAME < FILE'".to_owned()];
    // One of ours repeats nothing that was typed.
    if let Some(ContextValue::StyledStrs(given)) = error.get(ContextKind::Suggested)
        && is_ours(given)
    {
        tips.splice(0..0, given.iter().map(ToString::to_string));
    }
    let tips = tips.join("\n  tip: ");
    let mut asked = path.last().map_or_else(Cli::command, |command| (*command).clone());
    asked.error(error.kind(), [&message, "\n\n  tip: ", &tips].concat())
}

/// Why a value was refused, if that says no part of it again.
fn reason(error: &clap::Error) -> Option<String> {
    const PART: usize = 4;
    let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue) else { return None };
    let why = std::error::Error::source(error)?.to_string();
    let parts: Vec<char> = value.chars().collect();
    let mut parts = parts.windows(PART.min(parts.len().max(1)));
    (!parts.any(|part| why.contains(&part.iter().collect::<String>()))).then_some(why)
}

/// Whether they come from the tables here, and not from what was typed.
fn is_ours(tips: &[StyledStr]) -> bool {
    let all = || VERBS.iter().chain(STATE_VERBS).chain(FLAGS).map(|(_, tip)| *tip);
    tips.iter().all(|tip| all().any(|ours| tip.to_string() == ours))
}

/// The commands that were typed, from the program down.
fn path<'c>(root: &'c Command, typed: &[String]) -> Vec<&'c Command> {
    typed.iter().fold(vec![root], |mut path, word| {
        path.extend(path.last().and_then(|command| command.find_subcommand(word)));
        path
    })
}

/// The whole name of the flag of which clap refused a letter or all: `out` of `-out=x`. Never its value, which may be a secret.
fn flag_as_typed(refused: &str, typed: &[String]) -> Option<String> {
    let name = |word: &str| word.split('=').next().unwrap_or_default().replace('_', "-");
    let name = if let Some(long) = refused.strip_prefix("--") {
        name(long)
    } else {
        let letter = refused.strip_prefix('-')?;
        let mut words = typed.iter().take_while(|word| *word != "--").filter_map(|word| word.strip_prefix('-')).map(name);
        words.find(|name| !name.starts_with('-') && name.len() > 1 && name.contains(letter))?
    };
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-').then_some(name)
}

fn flag_tip(root: &Command, path: &[&Command], refused: &str, name: &str) -> Option<String> {
    let is_long = refused.starts_with("--");
    match path.last().and_then(|command| flag(command, name)) {
        Some(arg) => Some(format!("a long flag has two dashes: {}", shown(arg, name))),
        None if is_long => foreign(FLAGS, name),
        None => {
            let owners: Vec<String> = owners(root, "", name);
            match (owners.as_slice(), foreign(FLAGS, name)) {
                ([], foreign) => foreign,
                (_, Some(foreign)) => Some(foreign),
                (owners, None) => Some(format!("'--{name}' belongs to '{}'", owners.join("' and '"))),
            }
        }
    }
}

fn flag<'c>(command: &'c Command, name: &str) -> Option<&'c Arg> {
    let is_called =
        |arg: &&Arg| arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&name));
    command.get_arguments().find(is_called)
}

/// A flag with the word for its value, or with its letter.
fn shown(arg: &Arg, name: &str) -> String {
    let value = arg.get_value_names().filter(|_| arg.get_action().takes_values()).and_then(<[_]>::first);
    match (value, arg.get_short()) {
        (Some(value), _) => format!("'--{name} <{value}>'"),
        (None, Some(letter)) => format!("'--{name}' or '-{letter}'"),
        (None, None) => format!("'--{name}'"),
    }
}

/// The commands that have a flag of this name, the first ones.
fn owners(command: &Command, above: &str, name: &str) -> Vec<String> {
    const SHOWN: usize = 3;
    let called = format!("{above}{}", command.get_name());
    if flag(command, name).is_some() {
        return vec![called];
    }
    let above = format!("{called} ");
    let parts = command.get_subcommands().filter(|part| part.get_name() != "help");
    parts.flat_map(|part| owners(part, &above, name)).take(SHOWN).collect()
}

fn verb_tip(root: &Command, path: &[&Command], verb: &str) -> Option<String> {
    let parent = path.last().map_or("chatapi", |command| command.get_name());
    let known = match parent {
        "chatapi" => foreign(VERBS, verb),
        "state" => foreign(STATE_VERBS, verb),
        _ => None,
    };
    let below = || {
        let mut groups = root.get_subcommands().filter(|group| group.get_name() != "help" && group.get_name() != parent);
        let group = groups.find(|group| group.find_subcommand(verb).is_some_and(|part| part.get_name() != "help"))?;
        Some(format!("'chatapi {} {verb}'", group.get_name()))
    };
    let top = || root.find_subcommand(verb).filter(|_| path.len() > 1).map(|_| format!("'chatapi {verb}'"));
    known.or_else(top).or_else(below)
}

fn foreign(words: Foreign, word: &str) -> Option<String> {
    words.iter().find(|(known, _)| known.contains(&word)).map(|(_, tip)| (*tip).to_owned())
}

/// What was typed and is going to be quoted, where it cannot be shown as it is: a file name may come with a pull request.
fn escaped(error: &clap::Error) -> Vec<(ContextKind, ContextValue)> {
    let safe = |text: &str| escape(text).into_owned();
    let typed = error.context().filter_map(|(kind, value)| match value {
        ContextValue::String(text) if safe(text) != *text => Some((kind, ContextValue::String(safe(text)))),
        ContextValue::Strings(texts) if texts.iter().any(|text| safe(text) != *text) => {
            Some((kind, ContextValue::Strings(texts.iter().map(|text| safe(text)).collect())))
        }
        _ => None,
    });
    typed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tip(line: &str) -> Option<String> {
        let typed: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let words = std::iter::once("chatapi").chain(line.split(' '));
        let mut error = <Cli as clap::Parser>::try_parse_from(words).unwrap_err();
        advise(&mut error, &typed);
        match error.get(ContextKind::Suggested) {
            Some(ContextValue::StyledStrs(tips)) => tips.first().map(ToString::to_string),
            _ => None,
        }
    }

    #[test]
    fn a_flag_with_one_dash_is_told_with_two() {
        for (line, told) in [
            ("plan -out=x", "a long flag has two dashes: '--out <FILE>'"),
            ("plan -json", "a long flag has two dashes: '--json'"),
            ("apply -auto-approve", "a long flag has two dashes: '--auto-approve' or '-y'"),
            ("apply -lock-timeout=5m x.yaml", "a long flag has two dashes: '--lock-timeout <DURATION>'"),
            ("state list -no_color", "a long flag has two dashes: '--no-color'"),
            ("-version", "a long flag has two dashes: '--version' or '-V'"),
            ("plan -version", "'--version' belongs to 'chatapi'"),
            ("plan -auto-approve", "'--auto-approve' belongs to 'chatapi apply' and 'chatapi destroy'"),
            ("plan -target=x", "a long flag has two dashes: '--target <TARGET>'"),
        ] {
            assert_eq!(tip(line).as_deref(), Some(told), "{line}");
        }
        assert_eq!(tip("plan -token=Canary0").filter(|tip| tip.contains("Canary0")), None);
    }

    #[test]
    fn what_is_not_there_is_told_with_what_there_is() {
        for (line, told) in [
            ("ls", "'chatapi state list' lists what exists"),
            ("list", "'chatapi state list' lists what exists"),
            ("workspace", "'--env NAME' chooses an environment"),
            ("adopt", "'chatapi import --discover' shows what can be taken in"),
            ("delete", "'chatapi destroy NAME' deletes an instance"),
            ("refresh", "not available: the state is what was recorded"),
            ("history", "'chatapi state history'"),
            ("state ls", "'chatapi state list'"),
            ("state plan", "'chatapi plan'"),
            ("token list", "'chatapi state list'"),
        ] {
            assert!(tip(line).is_some_and(|tip| tip.starts_with(told)), "{line}: {:?}", tip(line));
        }
    }

    #[test]
    fn no_command_is_called_foreign() {
        let mut root = Cli::command();
        root.build();
        let state = root.find_subcommand("state").unwrap();
        for (command, words) in [(&root, VERBS), (state, STATE_VERBS)] {
            for word in words.iter().flat_map(|(words, _)| *words) {
                assert!(command.find_subcommand(word).is_none(), "{word}");
            }
        }
    }
}
