//! `chatapi completions`: the shell's script by clap, and with it the names that the state records, where a command takes one.

use std::fmt::Write as _;

use clap::{Command, CommandFactory as _};
use clap_complete::generate;

use super::args::{Cli, CompletionsArgs, Shell};
use super::context::Context;
use super::exit::Exit;

/// What positional arguments are called that name an instance which exists.
const NAMES: [&str; 3] = ["name", "names", "from"];

/// In bash, around clap's function: behind a command that takes a name, where no flag is completed.
const BASH: &str = r#"
_chatapi_recorded() {
    local index=1 words="" cur="${COMP_WORDS[COMP_CWORD]}" state=()
    _chatapi "$@"
    while [[ $index -lt $COMP_CWORD ]]; do
        case "${COMP_WORDS[index]}" in
            --state) index=$((index + 1)); state=(--state "${COMP_WORDS[index]}") ;;
            --undo|--reveal|--replace|--quiet|-q) ;;
            -*) words=""; break ;;
            *) words="$words ${COMP_WORDS[index]}" ;;
        esac
        index=$((index + 1))
    done
    case "$cur" in -*) return 0 ;; esac
    case "$words " in
        PATTERNS)
            COMPREPLY=( $(compgen -W "$(chatapi "${state[@]}" state list --names 2>/dev/null)" -- "$cur") ) ;;
    esac
}
"#;

/// In zsh: what stands in the place of its default completion.
const ZSH: &str = r#"
(( $+functions[_chatapi_recorded] )) ||
_chatapi_recorded() {
    local -a names
    names=(${(f)"$(chatapi state list --names 2>/dev/null)"})
    compadd -a names
}
"#;

pub(super) fn run(context: &Context, args: &CompletionsArgs) -> Exit {
    let (shell, with_names): (_, fn(&str, &[String]) -> String) = match args.shell {
        Shell::Bash => (clap_complete::Shell::Bash, in_bash),
        Shell::Zsh => (clap_complete::Shell::Zsh, in_zsh),
        Shell::Fish => (clap_complete::Shell::Fish, in_fish),
        Shell::Power => (clap_complete::Shell::PowerShell, |script, _| script.to_owned()),
    };
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "chatapi", &mut script);
    // Every byte of it is ours, and a shell reads it: nothing in it may be written otherwise.
    let script = with_names(&String::from_utf8_lossy(&script), &takers(&Cli::command(), ""));
    context.console.verbatim(script.trim_end());
    Exit::Done
}

/// The commands below `command` that take the name of an instance: `state show`.
fn takers(command: &Command, above: &str) -> Vec<String> {
    let takes = |part: &Command| part.get_positionals().any(|argument| NAMES.contains(&argument.get_id().as_str()));
    let mut found = Vec::new();
    for part in command.get_subcommands() {
        let called = format!("{above}{}", part.get_name());
        found.extend(takers(part, &format!("{called} ")));
        found.extend(takes(part).then_some(called));
    }
    found
}

fn in_bash(script: &str, takers: &[String]) -> String {
    let patterns: Vec<String> = takers.iter().map(|taker| format!("\" {taker} \"*")).collect();
    let around = BASH.replace("PATTERNS", &patterns.join("|"));
    let (functions, registered) = script.split_once("\nif [[ \"${BASH_VERSINFO").unwrap_or((script, ""));
    format!("{functions}{around}\nif [[ \"${{BASH_VERSINFO{}", registered.replace("-F _chatapi ", "-F _chatapi_recorded "))
}

fn in_zsh(script: &str, _: &[String]) -> String {
    let is_taken =
        |line: &str| NAMES.iter().any(|name| line.trim_start_matches(['\'', ':', '*']).starts_with(&format!("{name} -- ")));
    let mut text = String::with_capacity(script.len() + ZSH.len());
    for line in script.lines() {
        text += &if is_taken(line) { line.replace(":_default'", ":_chatapi_recorded'") } else { line.to_owned() };
        text.push('\n');
        if line.starts_with("autoload ") {
            text += ZSH;
        }
    }
    text
}

fn in_fish(script: &str, takers: &[String]) -> String {
    let mut text = script.to_owned();
    for taker in takers {
        let condition = match taker.split_once(' ') {
            Some((group, verb)) => format!("__fish_chatapi_using_subcommand {group}; and __fish_seen_subcommand_from {verb}"),
            None => format!("__fish_chatapi_using_subcommand {taker}"),
        };
        // Writing into a string cannot fail.
        let _ = writeln!(text, "complete -c chatapi -n \"{condition}\" -f -a \"(chatapi state list --names 2>/dev/null)\"");
    }
    text
}
