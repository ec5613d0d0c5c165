//! Variables as lines: for `eval`, dotenv files, `docker run --env-file` and `$GITHUB_ENV`.

use super::variables::{Value, Variable};
use super::{RenderError, Rendered};

/// Docker reads no longer line (64 KiB, its line feed included).
const DOCKER_LINE_MAX: usize = 65_535;

/// How a variable is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grammar<'a> {
    /// `NAME='value'`, where python-dotenv and node's dotenv read the same.
    Dotenv,
    /// `export NAME='value'`, for `eval` in bash, dash and every other POSIX shell.
    Shell,
    /// `NAME=value`, nothing quoted, nothing escaped.
    DockerEnv,
    /// Blocks for `$GITHUB_ENV`.
    GithubEnv {
        /// The line that ends each block: drawn at random, and in no value.
        delimiter: &'a str,
    },
}

impl Grammar<'_> {
    /// The word for it on the command line.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Dotenv => "dotenv",
            Self::Shell => "shell",
            Self::DockerEnv => "docker-env",
            Self::GithubEnv { .. } => "github-env",
        }
    }

    /// The runner takes nothing for a comment.
    const fn has_comments(self) -> bool {
        !matches!(self, Self::GithubEnv { .. })
    }

    /// Appends the lines of one variable.
    fn write(self, text: &mut Rendered, name: &str, value: &str) -> Result<(), &'static str> {
        if value.contains('\0') {
            return Err("it holds a NUL character, and no variable can");
        }
        match self {
            Self::Dotenv => dotenv(text, name, value),
            Self::Shell => {
                shell(text, name, value);
                Ok(())
            }
            Self::DockerEnv => docker(text, name, value),
            Self::GithubEnv { delimiter } => github(text, name, value, delimiter),
        }
    }
}

/// All of `variables`, or the first that cannot be written.
pub(super) fn render(variables: &[Variable<'_>], grammar: Grammar<'_>) -> Result<Rendered, RenderError> {
    let mut text = Rendered::default();
    for Variable { name, value } in variables {
        let before = text.len();
        let refuse = |why| RenderError::Value { format: grammar.as_str(), variable: name.clone(), why };
        match value {
            Value::Known(value) => grammar.write(&mut text, name, value).map_err(refuse)?,
            Value::Absent(why) if grammar.has_comments() => text.push_all(&["# ", name, ": ", why, "\n"]),
            Value::Absent(_) => {}
        }
        if !text.is_tame_from(before) {
            return Err(refuse("it holds a control character, a hidden one, or what a CI system would take for a command"));
        }
    }
    Ok(text)
}

/// In single quotes everything is itself; a quote is written outside of them.
fn shell(text: &mut Rendered, name: &str, value: &str) {
    text.push_all(&["export ", name, "="]);
    quote(text, value);
    text.push("\n");
}

/// Appends `value` as one word of a POSIX shell.
pub(super) fn quote(text: &mut Rendered, value: &str) {
    text.push("'");
    for (number, part) in value.split('\'').enumerate() {
        if number > 0 {
            text.push("'\\''");
        }
        text.push(part);
    }
    text.push("'");
}

/// The two readers agree on less than either of them reads: on which backslashes are escapes, what a `#` begins, where spaces
/// end. Each of the three forms here is used only for values that it holds without any escape.
fn dotenv(text: &mut Rendered, name: &str, value: &str) -> Result<(), &'static str> {
    if value.contains("${") {
        return Err("it holds `${`, which python-dotenv replaces whatever the quotes");
    }
    if value.contains('\r') {
        return Err("it holds a carriage return, which readers turn into a line feed");
    }
    // Python takes `\\` and `\'` for escapes there, node only `\'`.
    let fits_single = !value.contains('\'') && !value.contains("\\\\") && !value.ends_with('\\');
    let fits_double = !value.contains(['"', '\\']);
    let fits_bare = value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') && !value.starts_with(['"', '\'', '`']);
    if fits_single {
        text.push_all(&[name, "='", value, "'\n"]);
    } else if fits_double {
        text.push_all(&[name, "=\"", value, "\"\n"]);
    } else if fits_bare {
        text.push_all(&[name, "=", value, "\n"]);
    } else {
        return Err("its quotes, backslashes or `#` are read differently by python-dotenv and node's dotenv");
    }
    Ok(())
}

fn docker(text: &mut Rendered, name: &str, value: &str) -> Result<(), &'static str> {
    if value.contains(['\n', '\r']) {
        return Err("it has a line break, and docker reads one line for each variable");
    }
    if name.len() + 1 + value.len() > DOCKER_LINE_MAX {
        return Err("it is longer than a line that docker reads");
    }
    text.push_all(&[name, "=", value, "\n"]);
    Ok(())
}

fn github(text: &mut Rendered, name: &str, value: &str, delimiter: &str) -> Result<(), &'static str> {
    if value.contains(delimiter) {
        return Err("it holds the line that would end it, drawn at random: run it again");
    }
    if value.contains('\r') {
        return Err("it holds a carriage return, which a runner may take for a part of a line break");
    }
    text.push_all(&[name, "<<", delimiter, "\n", value, "\n", delimiter, "\n"]);
    Ok(())
}
