//! The program as it has to be called again: a command that is told is typed as it is printed, and has to mean this state.

use std::borrow::Cow;
use std::env;
use std::path::Path;

use super::args::Global;
use super::context::typed;
use super::environment::Chosen;

/// How a command begins in what is told.
const QUOTED: &str = "`chatapi ";
/// How it begins for an environment.
const OF_ENVIRONMENT: &str = "chatapi --env ";
/// Verbs that have nothing to do with a state.
const WITHOUT_STATE: [&str; 8] = ["key", "completions", "schema", "man", "version", "emulator", "validate", "help"];

/// The program with what it has to be told to find the same state.
pub(super) fn command(global: &Global, chosen: Option<&Chosen>) -> String {
    match (chosen, &global.state) {
        (Some(chosen), _) => format!("chatapi {}", chosen.words()),
        (None, Some(dir)) => at(dir),
        (None, None) => "chatapi".to_owned(),
    }
}

/// The program with what it has to be told to find the state in `dir`.
fn at(dir: &Path) -> String {
    // The environment may name another one.
    let is_usual = env::var_os("CHATAPI_STATE").is_none_or(|named| named.is_empty() || named == "state");
    match dir.to_str() {
        Some("state") if is_usual => "chatapi".to_owned(),
        _ => format!("chatapi --state {}", typed(dir)),
    }
}

/// `text`, in which every quoted command for a state begins with `command`, if it does not name a state by itself.
pub(super) fn addressed<'a>(text: &'a str, command: &str) -> Cow<'a, str> {
    if command == "chatapi" || !text.contains(QUOTED) {
        return Cow::Borrowed(text);
    }
    let mut parts = text.split(QUOTED);
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let word = part.split([' ', '`']).next().unwrap_or_default();
        // An environment has values for a manifest's variables.
        let is_elsewhere = WITHOUT_STATE.contains(&word) && !(word == "validate" && command.starts_with(OF_ENVIRONMENT));
        if word.starts_with('-') || is_elsewhere {
            whole.push_str(QUOTED);
        } else {
            whole.extend(["`", command, " "]);
        }
        whole.push_str(part);
    }
    Cow::Owned(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_for_a_state_name_it_and_others_do_not() {
        let there = "chatapi --state kept/state";
        let told = "`chatapi doubts` shows it, `chatapi key show` does not";
        assert_eq!(addressed(told, there), "`chatapi --state kept/state doubts` shows it, `chatapi key show` does not");
        for same in ["`chatapi --state DIR doctor`", "chatapi doubts", "`chatapi validate`", "`chatapi`", ""] {
            assert_eq!(addressed(same, there), same);
        }
        assert_eq!(addressed(told, "chatapi"), told);
        assert_eq!(
            addressed("`chatapi validate`, `chatapi man`", "chatapi --env prod"),
            "`chatapi --env prod validate`, `chatapi man`"
        );
    }
}
