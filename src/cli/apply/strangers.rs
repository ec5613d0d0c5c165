//! Instances of the account that the state does not know: a run whose state was lost may have created them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Run;
use crate::apply::Applier;
use crate::cli::args::Allowance;
use crate::cli::console::{BOLD, Console};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::prompt::{self, Question};
use crate::cli::{gone, neighbours};
use crate::instance::{InstanceId, InstanceName};
use crate::listing::Listing;
use crate::plan::{Doubts, Guard, missing, strangers};
use crate::provider::ListError;
use crate::report;
use crate::state::{Phase, Record, State};

/// Names that a message lists.
const SHOWN: usize = 5;
/// How often a list is asked for, and the wait before the second time; each further one waits twice as long.
const TRIES: (u32, Duration) = (3, Duration::from_millis(500));

/// How strictly unknown instances are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Strictness {
    /// They stop the run: nobody is there who could be asked.
    Stop,
    /// A person is asked.
    Ask,
    /// They are told.
    Warn,
}

impl Run<'_> {
    /// Lists the account, and gives what stops the run there. The list is the fence of the creates. What is `leaving` need not be in it.
    pub(super) async fn look_for_strangers(
        &self,
        applier: &Applier,
        (state, leaving): (&State, &BTreeSet<InstanceName>),
    ) -> Result<Option<Guard>, CliError> {
        let most = match self.args.allow_unknown {
            Some(Allowance::All) => return Ok(None),
            Some(Allowance::Most(most)) => most,
            None => 0,
        };
        let strictness = self.strictness(state);
        // A saved plan may come back with a state from before it was applied: then a doubt explains nothing.
        let doubts = if self.saved.is_some() { Doubts::ExplainNothing } else { Doubts::Explain };
        let theirs = neighbours::proven(self.context, &self.server);
        let mut accepted = most;
        loop {
            let Some(listing) = self.listed(applier, (state, leaving), strictness).await? else { return Ok(None) };
            let mut ids = strangers(state, &listing, doubts);
            ids.retain(|id| !theirs.contains_key(id));
            let count = ids.len();
            if count <= accepted {
                return Ok(None);
            }
            let guard = Guard::Strangers { ids, allowed: most };
            match strictness {
                Strictness::Stop => return Ok(Some(guard)),
                Strictness::Warn => {
                    let command = self.context.command();
                    self.context.console.warn(report::guard_text(&guard));
                    self.context.console.note(format_args!(
                        "  {BOLD}hint{BOLD:#}: if some are yours, stop, and take them in first: `{command} import --discover` proposes entries"
                    ));
                    return Ok(None);
                }
                // An answer takes its time: what has appeared meanwhile is asked about too.
                Strictness::Ask if self.is_answered_yes(&guard).await => accepted = count,
                Strictness::Ask => return Ok(self.stop.asked().is_none().then_some(guard)),
            }
        }
    }

    fn strictness(&self, state: &State) -> Strictness {
        match () {
            () if self.is_strict() => Strictness::Stop,
            () if prompt::is_answered(self.context) && !self.args.auto_approve => Strictness::Ask,
            // What was called absent may be what appears now.
            () if state.records().values().all(is_refused) => Strictness::Warn,
            () => Strictness::Stop,
        }
    }

    /// In CI, and with a plan that may have been applied already, nothing is taken for granted.
    fn is_strict(&self) -> bool {
        self.context.is_ci || self.saved.is_some()
    }

    /// A list that can be believed; none: there is none, and that is no reason to stop.
    async fn listed(
        &self,
        applier: &Applier,
        (state, leaving): (&State, &BTreeSet<InstanceName>),
        strictness: Strictness,
    ) -> Result<Option<Listing>, CliError> {
        let stays = |id: &InstanceId| state.known_ids().get(id).is_none_or(|name| !leaving.contains(name));
        match self.list(applier, strictness).await {
            Some(Err(ListError::Unsupported(_))) if !self.is_strict() => Ok(None),
            Some(Err(error)) if strictness == Strictness::Stop => Err(unlisted(&error)),
            None | Some(Err(_)) => Ok(None),
            Some(Ok(listing)) => match missing(state, &listing).into_iter().filter(stays).collect::<Vec<_>>() {
                gone if gone.is_empty() => Ok(Some(listing)),
                gone if strictness == Strictness::Stop => Err(self.incredible(state, &gone)),
                gone => {
                    let names = named(state, &gone);
                    self.context.console.warn(format_args!("the server does not list {names}, recorded as existing"));
                    Ok(Some(listing))
                }
            },
        }
    }

    /// A list that lacks what exists may lack anything. What answers that names all that is gone, also what this run was to recreate.
    fn incredible(&self, state: &State, lacking: &[InstanceId]) -> CliError {
        let message =
            format!("the server does not list {}, recorded as existing: its list cannot be believed", named(state, lacking));
        let is_lost = |name: &&InstanceName| state.record(name).is_some_and(|record| record.lost().is_some());
        let asked = self.consent.recreate.iter().filter(is_lost);
        let gone: BTreeSet<_> = lacking.iter().filter_map(|id| state.known_ids().get(id)).chain(asked).collect();
        let command = self.context.command();
        let error = CliError::message(Exit::Error, message)
            .hint("nothing was sent; a list may lag behind: apply again later")
            .hint(format!("`{command} drift` tells more; what follows is for what was deleted for good on the server"));
        let answers = gone::answers(&command, &gone, |name| self.manifest.get(name).is_none());
        let error = answers.into_iter().fold(error, CliError::hint);
        error.hint("`--allow-unknown all` goes on without looking; nothing tells then whether a run was lost")
    }

    /// Asks for the list, again if it fails and the run goes nowhere without it. None: a signal came.
    pub(super) async fn list(&self, applier: &Applier, strictness: Strictness) -> Option<Result<Listing, ListError>> {
        let (most, mut wait) = TRIES;
        let mut stop = self.stop.clone();
        for _ in 1..most {
            match applier.survey().await? {
                Err(ListError::Failed(reason)) if strictness == Strictness::Stop => {
                    tracing::info!(reason, "the list failed; it is asked for again");
                    tokio::select! {
                        biased;
                        _ = stop.wait() => return None,
                        () = tokio::time::sleep(wait) => wait *= 2,
                    }
                }
                listed => return Some(listed),
            }
        }
        applier.survey().await
    }

    /// Asks whether to go on; a signal is no yes.
    async fn is_answered_yes(&self, guard: &Guard) -> bool {
        self.context.console.warn(report::guard_text(guard));
        let question = match guard {
            Guard::Strangers { ids, .. } if ids.len() == 1 => "Is it somebody else's, and shall it go on?",
            _ => "Are they somebody else's, and shall it go on?",
        };
        let question = Question { text: question.to_owned(), default: "no", expected: "yes or no".to_owned() };
        let ask = move |console: &Console| prompt::ask(console, &question, yes_or_no);
        matches!(prompt::unless_stopped(self.context, self.stop.clone(), ask).await, Some(Ok(true)))
    }
}

/// Whether nothing exists under the name for certain.
fn is_refused(record: &Record) -> bool {
    matches!(record.phase, Phase::Absent { .. }) && !record.is_called_absent()
}

fn yes_or_no(answer: &str) -> Option<bool> {
    match answer.to_ascii_lowercase().as_str() {
        "y" | "yes" => Some(true),
        "n" | "no" => Some(false),
        _ => None,
    }
}

/// Without a list nobody knows what the account has.
pub(super) fn unlisted(error: &ListError) -> CliError {
    let refused = CliError::new(Exit::Error, error)
        .context("nobody can say whether the account has instances that this state does not know")
        .hint("nothing was sent");
    match error {
        ListError::Unsupported(_) => {
            refused.hint("if this server never lists instances: `--allow-unknown all`; nothing tells then whether a run was lost")
        }
        ListError::Refused(_) => refused.hint("check the API key, the account and CHATAPI_URL; then apply again"),
        ListError::Failed(_) => refused.hint("check CHATAPI_URL and the network, or wait; then apply again"),
    }
}

fn named(state: &State, ids: &[InstanceId]) -> String {
    let name = |id: &InstanceId| match state.known_ids().get(id) {
        Some(name) => format!("{id} (`{name}`)"),
        None => id.to_string(),
    };
    let more = if ids.len() > SHOWN { format!(" and {} more", ids.len() - SHOWN) } else { String::new() };
    ids.iter().take(SHOWN).map(name).collect::<Vec<_>>().join(", ") + &more
}
