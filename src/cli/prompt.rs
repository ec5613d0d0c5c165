//! Questions at a terminal. Nobody is asked in CI, in a pipe, or where it was said not to.

use std::io::{self, BufRead as _, IsTerminal, Read as _};
use std::sync::Arc;

use super::console::{BOLD, Console, DIM};
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use crate::apply::StopSignal;
use crate::text::escape;

/// Longest answer, in bytes.
const ANSWER_MAX: u64 = 4_096;
/// How often a question is asked before it is taken for unanswered.
const TRIES: usize = 3;

/// Whether somebody is there to answer.
pub(super) fn is_answered(context: &Context) -> bool {
    !context.is_ci && !context.is_json() && io::stdin().is_terminal() && Console::is_watched()
}

/// What somebody is asked.
pub(super) struct Question {
    pub(super) text: String,
    /// What an empty answer means.
    pub(super) default: &'static str,
    /// The answers that there are, for whoever types another one.
    pub(super) expected: String,
}

/// Asks until `understand` takes the answer. Without one, the caller knows how not to be asked.
pub(super) fn ask<T>(console: &Console, question: &Question, understand: impl Fn(&str) -> Option<T>) -> Result<T, CliError> {
    let Question { text, default, expected } = question;
    for _ in 0..TRIES {
        console.question(format_args!("{BOLD}{text}{BOLD:#} {DIM}[{default}]{DIM:#} "));
        let Some(answer) = line()? else {
            // The question stands on a line of its own.
            console.question("\n");
            break;
        };
        let answer = answer.trim();
        if let Some(understood) = understand(if answer.is_empty() { default } else { answer }) {
            return Ok(understood);
        }
        console.question(format_args!("`{}` is no answer to that: {expected} is expected\n", escape(answer)));
    }
    Err(CliError::message(Exit::Error, "the question was not answered"))
}

/// What `ask` is answered, unless a signal comes before: none then.
pub(super) async fn unless_stopped<T: Send + 'static>(
    context: &Arc<Context>,
    mut stop: StopSignal,
    ask: impl FnOnce(&Console) -> Result<T, CliError> + Send + 'static,
) -> Option<Result<T, CliError>> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let asking = Arc::clone(context);
    std::thread::spawn(move || {
        // Nobody waits for it after a signal.
        let _ = tell.send(ask(&asking.console));
    });
    tokio::select! {
        biased;
        _ = stop.wait() => {
            // The question stands on a line of its own.
            context.console.question("\n");
            None
        }
        answer = told => answer.ok(),
    }
}

/// One line; none at the end of the input.
fn line() -> Result<Option<String>, CliError> {
    let mut line = String::new();
    let read = io::stdin().lock().take(ANSWER_MAX).read_line(&mut line);
    let length = read.map_err(|error| CliError::new(Exit::Error, &error).context("cannot read the answer"))?;
    Ok((length > 0).then_some(line))
}
