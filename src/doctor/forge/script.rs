//! What a shell script runs: commands as words. No shell: substitutions are not made, and what only a shell can know is unknown.

use super::paths::joined;

/// One command of a script.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command {
    /// Its words, from the program on.
    pub words: Vec<String>,
    /// Whether it takes the shell's place; in a pipe nothing does.
    pub is_exec: bool,
    /// Whether nothing comes after it.
    pub is_last: bool,
    /// Whether the script goes on if it fails.
    pub is_guarded: bool,
    /// Where it runs, from where the script begins, by the `cd` before it.
    pub directory: Option<String>,
    /// What the script has made of `CHATAPI_STATE` by then.
    pub state: Option<String>,
    /// Variables that are set before it, as `NAME=value`.
    pub settings: Vec<String>,
}

/// Words before a command that leave it what it is.
const BEFORE: [&str; 13] = ["if", "then", "else", "elif", "do", "while", "until", "!", "{", "time", "command", "sudo", "env"];
/// Programs that run the one that they are given, and pass interrupts on.
const AROUND: [&str; 8] = ["timeout", "nohup", "nice", "ionice", "setsid", "stdbuf", "tini", "dumb-init"];
/// Words that end what another one began.
const AFTER: [&str; 4] = ["fi", "done", "esac", "}"];

impl Command {
    fn of(Piece { words, is_piped, is_before_or }: Piece) -> Self {
        let is_assignment = |word: &str| word.split_once('=').is_some_and(|(name, _)| is_variable(name));
        let is_before = |word: &String| BEFORE.contains(&word.as_str()) || word == "exec" || is_assignment(word);
        let start = words.iter().position(|word| !is_before(word)).unwrap_or(words.len());
        let has = |others: &[&str]| words.iter().take(start).any(|word| others.contains(&word.as_str()));
        Self {
            is_exec: has(&["exec"]) && !is_piped,
            is_last: false,
            is_guarded: is_before_or || has(&["if", "elif", "while", "until", "!"]),
            directory: None,
            state: words.iter().take(start).find_map(|word| word.strip_prefix("CHATAPI_STATE=")).map(str::to_owned),
            settings: words.iter().take(start).filter(|word| is_assignment(word)).cloned().collect(),
            words: without_what_is_around(words.into_iter().skip(start).collect()),
        }
    }

    /// What it says of the commands after it: where they run, the state, and whether a failure ends the script.
    fn settles(&self, script: &mut Shell) {
        let target = self.words.get(1).filter(|word| self.is("cd") && !word.starts_with('-'));
        if let Some(target) = target {
            script.directory = Some(joined(script.directory.as_deref(), target));
        }
        let is_setting = self.is("export") || self.words.is_empty();
        let exported = self.words.iter().find_map(|word| word.strip_prefix("CHATAPI_STATE=")).or(self.state.as_deref());
        if is_setting && let Some(state) = exported {
            script.state = Some(state.to_owned());
        }
        if self.is("set") && self.words.get(1).is_some_and(|word| word == "+e") {
            script.is_guarded = true;
        }
    }

    /// Whether it is `chatapi apply`.
    pub fn is_apply(&self) -> bool {
        self.is("chatapi") && self.words.iter().skip(1).any(|word| word == "apply")
    }

    /// Whether it may run `chatapi apply` in a way that is not read: in a container, by another shell.
    pub fn may_apply(&self) -> bool {
        const QUIET: [&str; 12] =
            ["chatapi", "echo", "printf", "cat", "grep", "test", "[", "git", "cargo", "curl", "chmod", "export"];
        let has = |wanted: &str| {
            self.words.iter().any(|word| word.split([' ', '\n', ';', '&', '/', ':', '@']).any(|part| part == wanted))
        };
        has("chatapi") && has("apply") && !QUIET.iter().any(|program| self.is(program))
    }

    /// Whether it runs `program`, from whatever directory.
    pub fn is(&self, program: &str) -> bool {
        self.words.first().is_some_and(|word| word.rsplit('/').next() == Some(program))
    }

    /// The value of a flag, as `--flag value` or `--flag=value`.
    pub fn value_of(&self, flag: &str) -> Option<&str> {
        let mut words = self.words.iter();
        let found = words.find_map(|word| match word.strip_prefix(flag)? {
            "" => Some(None),
            rest => rest.strip_prefix('=').map(Some),
        })?;
        found.or_else(|| words.next().map(String::as_str))
    }

    /// The manifests that it names: what stands behind its verb and is neither a flag nor the directory that one names. None: it is
    /// no command that reads manifests.
    pub fn manifests(&self) -> Option<Vec<&str>> {
        const OF_DIRECTORIES: [&str; 2] = ["--state", "--rescue-dir"];
        let is_verb = |word: &String| ["validate", "plan", "apply"].contains(&word.as_str());
        let verb = self.words.iter().position(is_verb).filter(|_| self.is("chatapi"))?;
        let behind = self.words.iter().zip(self.words.iter().skip(1)).skip(verb);
        let named = behind.filter(|(before, word)| !word.starts_with('-') && !OF_DIRECTORIES.contains(&before.as_str()));
        Some(named.map(|(_, word)| word.as_str()).collect())
    }

    /// The files that an apply writes credentials to.
    pub fn outputs(&self) -> impl Iterator<Item = &str> {
        const FLAG: &str = "--write-outputs";
        let pairs = self.words.iter().zip(self.words.iter().skip(1));
        let apart = pairs.filter(|(flag, _)| *flag == FLAG).map(|(_, value)| value.as_str());
        let joined = self.words.iter().filter_map(|word| word.strip_prefix(FLAG)?.strip_prefix('='));
        let values = apart.chain(joined).filter(|_| self.is_apply());
        values.filter_map(|value| value.split_once('=').map(|(_, file)| file))
    }

    /// Whether one of the words is `word`, or a flag of that name with a value.
    pub fn has(&self, word: &str) -> bool {
        self.words.iter().any(|given| given == word || given.strip_prefix(word).is_some_and(|rest| rest.starts_with('=')))
    }
}

/// `chatapi apply` of `timeout 5m chatapi apply`.
fn without_what_is_around(words: Vec<String>) -> Vec<String> {
    let name = |word: &String| word.rsplit('/').next().unwrap_or_default().to_owned();
    let is_around = words.first().is_some_and(|word| AROUND.contains(&name(word).as_str()));
    let inner = words.iter().position(|word| name(word) == "chatapi").filter(|_| is_around);
    words.into_iter().skip(inner.unwrap_or_default()).collect()
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What commands of a script leave to those after them.
#[derive(Debug, Default)]
struct Shell {
    directory: Option<String>,
    state: Option<String>,
    is_guarded: bool,
}

/// The commands of `script`.
pub(super) fn commands(script: &str) -> Vec<Command> {
    let mut splitter = Splitter::default();
    let script = without_blanks_in_expressions(script);
    let mut characters = script.chars().peekable();
    while let Some(character) = characters.next() {
        match (splitter.quote, character) {
            (_, '\\') if splitter.quote != Some('\'') => match characters.next() {
                Some('\n') | None => {}
                Some(escaped) => splitter.word.get_or_insert_default().push(escaped),
            },
            (Some(quote), _) if quote == character => splitter.quote = None,
            (None, '"' | '\'') => {
                splitter.quote = Some(character);
                splitter.word.get_or_insert_default();
            }
            (None, '#') if splitter.word.is_none() => while characters.next_if(|next| *next != '\n').is_some() {},
            (None, '|') if characters.peek() != Some(&'|') => splitter.end_command(true),
            (None, '|') => {
                characters.next();
                splitter.end_command(false);
                if let Some(piece) = splitter.commands.last_mut() {
                    piece.is_before_or = true;
                }
            }
            (None, '\n' | ';' | '&' | '(' | ')') => splitter.end_command(false),
            (None, _) if character.is_whitespace() => splitter.end_word(),
            _ => splitter.word.get_or_insert_default().push(character),
        }
    }
    splitter.end_command(false);
    let mut commands = placed(splitter.commands);
    let ends = |command: &Command| command.words.first().is_some_and(|word| AFTER.contains(&word.as_str()));
    if let Some(last) = commands.iter_mut().rfind(|command| !ends(command)) {
        last.is_last = true;
    }
    commands
}

/// The commands, each with what those before it have settled.
fn placed(pieces: Vec<Piece>) -> Vec<Command> {
    let (mut shell, mut commands) = (Shell::default(), Vec::new());
    for piece in pieces {
        let mut command = Command::of(piece);
        command.settles(&mut shell);
        command.directory.clone_from(&shell.directory);
        command.state = command.state.or_else(|| shell.state.clone());
        command.is_guarded |= shell.is_guarded;
        if !command.words.is_empty() || !command.settings.is_empty() {
            commands.push(command);
        }
    }
    commands
}

#[derive(Default)]
struct Splitter {
    quote: Option<char>,
    word: Option<String>,
    words: Vec<String>,
    commands: Vec<Piece>,
    is_behind_pipe: bool,
}

/// The words of a command, and whether a pipe is before or behind it.
struct Piece {
    words: Vec<String>,
    is_piped: bool,
    is_before_or: bool,
}

impl Splitter {
    fn end_word(&mut self) {
        self.words.extend(self.word.take());
    }

    fn end_command(&mut self, is_before_pipe: bool) {
        self.end_word();
        if !self.words.is_empty() {
            let is_piped = is_before_pipe || self.is_behind_pipe;
            self.commands.push(Piece { words: std::mem::take(&mut self.words), is_piped, is_before_or: false });
            self.is_behind_pipe = is_before_pipe;
        }
    }
}

/// `${{ a.b }}` as one word.
pub(super) fn without_blanks_in_expressions(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${{") {
        let (inside, after) = behind.split_once("}}").unwrap_or((behind, ""));
        out.push_str(before);
        out.push_str("${{");
        out.extend(inside.chars().filter(|character| !character.is_whitespace()));
        out.push_str("}}");
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether there is an apply, by `exec`, and as the last one.
    fn apply(script: &str) -> Option<(bool, bool)> {
        let commands = commands(script);
        commands.iter().find(|command| command.is_apply()).map(|command| (command.is_exec, command.is_last))
    }

    #[test]
    fn an_apply_is_found_however_it_is_written() {
        for (script, expected) in [
            ("chatapi apply instances.yaml", Some((false, true))),
            ("exec chatapi apply", Some((true, true))),
            ("set -e\nCHATAPI_STATE=x exec ./chatapi --state y apply\n", Some((true, true))),
            ("chatapi apply && echo done", Some((false, false))),
            ("chatapi apply | tee log", Some((false, false))),
            ("exec chatapi apply | tee log", Some((false, false))),
            ("generate | exec chatapi apply -", Some((false, true))),
            ("true || exec chatapi apply", Some((true, true))),
            ("if ! chatapi apply; then\n  exit 1\nfi", Some((false, false))),
            ("if true; then\n  exec chatapi apply\nfi\n", Some((true, true))),
            ("chatapi \\\n  apply", Some((false, true))),
            ("exec timeout 5m ./chatapi apply", Some((true, true))),
            ("# chatapi apply\nchatapi plan", None),
            ("echo 'chatapi apply'", None),
            ("echo \"chatapi apply\" # chatapi apply", None),
            ("chatapi plan apply.yaml", None),
            ("", None),
            ("'", None),
            ("\\", None),
        ] {
            assert_eq!(apply(script), expected, "{script}");
        }
    }

    #[test]
    fn what_came_before_an_apply_is_known_to_it() {
        for (script, expected) in [
            ("cd infra\ncd ./eu && chatapi apply", (Some("infra/eu"), None, false)),
            ("export CHATAPI_STATE=x; chatapi apply", (None, Some("x"), false)),
            ("CHATAPI_STATE=y chatapi apply || code=$?", (None, Some("y"), true)),
            ("CHATAPI_STATE=z\nset +e\nchatapi apply", (None, Some("z"), true)),
            ("if chatapi apply; then true; fi", (None, None, true)),
            ("CHATAPI_STATE=y true; chatapi apply && true", (None, None, false)),
        ] {
            let commands = commands(script);
            let apply = commands.iter().find(|command| command.is_apply()).unwrap();
            assert_eq!((apply.directory.as_deref(), apply.state.as_deref(), apply.is_guarded), expected, "{script}");
        }
    }

    #[test]
    fn what_may_be_an_apply_is_not_passed_over() {
        for (script, expected) in [
            ("bash -c 'chatapi apply'", true),
            ("docker run --rm example/chatapi:0.1.0 apply", true),
            ("ssh host ./chatapi apply", true),
            ("echo chatapi apply", false),
            ("chatapi plan apply", false),
            ("make apply", false),
            ("kubectl apply -f chatapi.yaml", false),
        ] {
            assert_eq!(commands(script).iter().any(Command::may_apply), expected, "{script}");
        }
    }

    #[test]
    fn flags_are_read_in_both_ways() {
        let commands = commands("chatapi --state ${{ runner.temp }}/s apply --lock-file=x");
        assert_eq!(commands[0].value_of("--state"), Some("${{runner.temp}}/s"));
        assert_eq!(commands[0].value_of("--lock-file"), Some("x"));
        assert_eq!(commands[0].value_of("--init"), None);
        assert!(commands[0].has("--lock-file") && !commands[0].has("--lock"));
    }
}
