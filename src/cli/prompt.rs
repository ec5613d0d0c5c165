//! Questions at a terminal. Nobody is asked in CI, in a pipe, or where it was said not to.

use std::io::{self, BufRead as _, IsTerminal, Read as _};
use std::sync::Arc;

use super::console::{BOLD, Console, DIM};
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use crate::apply::StopSignal;

/// Longest answer, in bytes.
const ANSWER_MAX: u64 = 4_096;
/// How often a question is asked before it is taken for unanswered.
const TRIES: usize = 3;

/// Whether somebody is there to answer.
pub(super) fn is_answered(context: &Context) -> bool {
    !context.is_ci && !context.is_json() && io::stdin().is_terminal() && Console::is_watched()
}

/// Asks until `understand` takes the answer; an empty one is the `default`. Without one, the caller knows how not to be asked.
pub(super) fn ask<T>(
    console: &Console,
    question: &str,
    default: &str,
    understand: impl Fn(&str) -> Option<T>,
) -> Result<T, CliError> {
    for _ in 0..TRIES {
        console.question(format_args!("{BOLD}{question}{BOLD:#} {DIM}[{default}]{DIM:#} "));
        let Some(answer) = line()? else {
            // The question stands on a line of its own.
            console.question("\n");
            break;
        };
        let answer = answer.trim();
        if let Some(understood) = understand(if answer.is_empty() { default } else { answer }) {
            return Ok(understood);
        }
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
