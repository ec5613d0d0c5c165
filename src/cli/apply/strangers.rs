//! Instances of the account that the state does not know: a run whose state was lost may have created them.

use super::Run;
use crate::apply::Applier;
use crate::cli::args::Allowance;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::prompt;
use crate::plan::{Guard, strangers};
use crate::report;
use crate::state::State;

/// Ids that a message names.
const SHOWN: usize = 5;

/// How strictly unknown instances are taken.
enum Strictness {
    /// They stop the run: nobody is there who could be asked.
    Stop,
    /// A person is asked.
    Ask,
    /// They are told.
    Warn,
}

impl Run<'_> {
    /// Lists the account, and gives what stops the run there. The list is the fence of the creates.
    pub(super) async fn look_for_strangers(&self, applier: &Applier, state: &State) -> Result<Option<Guard>, CliError> {
        if self.args.allow_unknown == Some(Allowance::All) {
            return Ok(None);
        }
        let strictness = self.strictness(state);
        let listing = match applier.survey().await {
            Some(Ok(listing)) => listing,
            Some(Err(error)) if self.must_list() => {
                let refused = CliError::new(Exit::Error, &error)
                    .context("nobody can say whether the account has instances that this state does not know");
                return Err(refused.hint("nothing was sent; apply again later").hint(
                    "if the server never lists instances: `--allow-unknown all`, and mind that nothing tells then whether a run was lost",
                ));
            }
            _ => return Ok(None),
        };
        let ids = strangers(state, &listing);
        let count = ids.len() + listing.odd_items;
        let allowed = match self.args.allow_unknown {
            Some(Allowance::Most(most)) => most,
            _ => 0,
        };
        if count <= allowed {
            return Ok(None);
        }
        let guard = Guard::Strangers { count, allowed, some: ids.into_iter().take(SHOWN).collect() };
        Ok(match strictness {
            Strictness::Stop => Some(guard),
            Strictness::Warn => {
                self.context.console.warn(report::guard_text(&guard));
                None
            }
            Strictness::Ask => self.ask(applier, guard).await,
        })
    }

    /// Whether a run goes nowhere without a list: nobody looks, or a plan may come back that was applied already.
    fn must_list(&self) -> bool {
        self.context.is_ci || self.saved.is_some()
    }

    fn strictness(&self, state: &State) -> Strictness {
        let is_first = state.known_ids().is_empty();
        match () {
            () if self.must_list() => Strictness::Stop,
            () if is_first => Strictness::Warn,
            () if prompt::is_answered(self.context) && !self.args.auto_approve => Strictness::Ask,
            () => Strictness::Stop,
        }
    }

    /// Asks whether to go on. What the server lists is asked for again afterwards: an answer may take its time.
    async fn ask(&self, applier: &Applier, guard: Guard) -> Option<Guard> {
        self.context.console.warn(report::guard_text(&guard));
        let (tell, told) = tokio::sync::oneshot::channel();
        let context = std::sync::Arc::clone(self.context);
        std::thread::spawn(move || {
            // Nobody waits for it after a signal.
            let _ = tell.send(prompt::ask(&context.console, "Are they somebody else's, and shall it go on?", "no", yes_or_no));
        });
        let mut stop = self.stop.clone();
        let goes_on = tokio::select! {
            biased;
            // The question stands on a line of its own; the run ends by the signal.
            _ = stop.wait() => {
                self.context.console.note("");
                true
            }
            answer = told => answer.is_ok_and(|answer| answer.unwrap_or(false)),
        };
        applier.forget_survey();
        (!goes_on).then_some(guard)
    }
}

fn yes_or_no(answer: &str) -> Option<bool> {
    match answer.to_ascii_lowercase().as_str() {
        "y" | "yes" => Some(true),
        "n" | "no" => Some(false),
        _ => None,
    }
}
