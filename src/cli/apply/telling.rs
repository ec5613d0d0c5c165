//! What an apply says of itself when it is over: results, reports, and what needs a person.

use std::sync::atomic::Ordering;

use super::ending::{exit, sentence};
use super::{Ended, Finished, Left, Run};
use crate::apply::{Departure, Halt, Outcome, Report};
use crate::cli::answers::{self, Asked};
use crate::cli::console::BOLD;
use crate::cli::deletes::line;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::guards::{guard_hints, told};
use crate::cli::plan::{cost_sentence, with_cost};
use crate::cli::planning::{declared, remark_spent};
use crate::cli::progress::Display;
use crate::cli::remainders;
use crate::cli::reports::{self, Told};
use crate::failpoint;
use crate::plan::{Cost, Guard};
use crate::report::account::{Case, Counts, Notice};
use crate::report::events::{Line, Summary};
use crate::report::{self, ApplyDocument, ApplySummary};
use crate::state::State;

/// How many could have gone, were replaced before, and stay as orphans.
fn stayed(result: &Finished, report: &Report) -> usize {
    let remainders = result.task.plan.remainders();
    remainders.filter(|(name, _)| !report.departures.contains_key(*name)).count()
}

impl Run<'_> {
    pub(super) fn tell(
        &self,
        result: &Finished,
        display: &Display,
        Left { owed, is_lock_unwritten }: Left,
    ) -> Result<Exit, CliError> {
        let recovered = display.recovered();
        let (report, guards) = match &result.ended {
            Ended::Guarded(guards) => (&Report::default(), guards.as_slice()),
            Ended::Applied(report) => (report, &[][..]),
        };
        let summary = ApplySummary::of(report, &recovered, result.task.plan.summary(), &result.state);
        let summary = summary.protecting(result.marks.0, result.marks.1).settling(&result.settled);
        let summary = summary.with_orphans(stayed(result, report));
        self.context.has_created.store(summary.created + summary.recovered > 0, Ordering::Relaxed);
        let exit = match exit(report, guards, &summary) {
            Exit::Done if owed > 0 || is_lock_unwritten => Exit::Partly,
            exit => self.undelivered(result).filter(|_| exit == Exit::Done).unwrap_or(exit),
        };
        let cost = self.cost(result);
        if self.context.wants_document() {
            let document = ApplyDocument::new(report, &recovered, summary, (&result.state.lineage, result.head));
            let document = document.having_settled(&result.settled);
            let document = document.carrying_out(result.task.hash, cost.clone(), self.saved.map(|saved| &saved.id));
            let document = document.owing(self.delivery.as_ref().map(|_| owed));
            self.context.deliver(&document.stopped_by(guards).exiting(exit.code()))?;
        }
        let sentence = if guards.is_empty() { sentence(&summary) } else { "Stopped: nothing was sent.".to_owned() };
        if self.context.is_text() {
            report.departures.iter().for_each(|(name, departure)| line(self.context, name, departure));
            self.context.console.line(format_args!("{BOLD}{sentence}{BOLD:#}"));
            cost.as_ref().map(cost_sentence).into_iter().for_each(|line| self.context.console.line(line));
        }
        self.context.emit(|| Some(Line::summary("apply", &sentence, Summary::Apply(summary))));
        self.context.reports.declare(self.manifest);
        self.context.reports.about(Some((&result.state.lineage, result.head.serial)), result.task.hash);
        self.context.reports.tell(|| {
            let created = summary.created + summary.recovered;
            let (in_doubt, refused) = (summary.in_doubt, summary.refused);
            let counts =
                Counts { is_changed: created + summary.deleted > 0, create: created, delete: summary.deleted, in_doubt, refused };
            Told {
                headline: with_cost(sentence, cost.as_ref()),
                counts,
                cases: Case::of_apply(self.manifest, report, &recovered, &result.state),
            }
        });
        if !guards.is_empty() {
            // What stops it may be answered by what is spent already.
            let state = &result.task.settled.state;
            let leaving = result.task.remainders.keys().cloned().collect();
            remark_spent(self.context, &result.task.plan, self.consent, (state, &leaving));
        }
        remainders::remark(self.context, &result.task.plan, self.consent, &result.state);
        self.explain(report, guards, &result.state);
        for name in &result.task.unreviewed {
            let told = format!("`{name}` can be created now, and is not in the saved plan: plan again");
            self.context.remark(Notice::warning(&told).about(name));
        }
        failpoint::pass("told");
        Ok(exit)
    }

    /// How a run ends that was told to write outputs, and to stop before it had promised any.
    fn undelivered(&self, result: &Finished) -> Option<Exit> {
        let signal = result.stopped.filter(|_| self.delivery.is_some())?;
        let message = format!("stopped by {} before any output was promised: none was written", signal.as_str());
        let hint = format!("apply again{} to go on", answers::again(self.consent));
        self.context.complain(&CliError::message(Exit::Signal(signal), message).hint(hint));
        Some(Exit::Signal(signal))
    }

    /// What the run has added a month, and what all that exists costs; of a run that was stopped: what it would have.
    fn cost(&self, result: &Finished) -> Option<Cost> {
        let prices = self.manifest.prices.as_ref()?;
        let before = result.task.plan.cost(prices);
        if matches!(result.ended, Ended::Guarded(_)) {
            return Some(before);
        }
        let now = crate::plan::plan(&declared(self.manifest), &result.state).cost(prices);
        Some(Cost { added: now.existing().less(before.existing()), total: now.existing(), ..now })
    }

    /// What goes on with a run that was stopped: its plan is spent from its first entry on.
    pub(super) fn again(&self) -> String {
        let said = answers::again(self.consent);
        match self.saved {
            Some(_) => format!("plan again{said} (this plan is spent), or apply the manifest{said}"),
            None => format!("apply again{said}"),
        }
    }

    /// What needs a person, and what to type.
    fn explain(&self, report: &Report, guards: &[Guard], state: &State) {
        let command = self.context.command();
        let with = if self.saved.is_some() { "plan again" } else { "apply" };
        let is_among = guards.iter().any(|guard| matches!(guard, Guard::Strangers { .. })) && state.doubts().next().is_some();
        let first =
            is_among.then(|| format!("what is in doubt may be among them: settle that first, `{command} doubts --refresh`"));
        let asked = Asked { command: &command, with, said: self.consent };
        for (text, hints) in told(guards, &asked) {
            let error = first.iter().cloned().chain(hints).fold(CliError::message(Exit::Guard, text), CliError::hint);
            self.context.console.error(&error);
        }
        for guard in guards {
            let hints = first.iter().cloned().chain(guard_hints(guard, &asked));
            self.context.note(hints.fold(Notice::of_guard(guard), |notice, hint| notice.hint(&hint)));
        }
        if let Some(halt) = &report.halt {
            let again = self.again();
            let hint = match halt {
                Halt::Refused(_) => format!("check the API key, the account's balance and CHATAPI_URL; then {again}"),
                Halt::Unreachable(_) => {
                    format!("nothing was sent for these names; check CHATAPI_URL and the network, then {again}")
                }
                Halt::RateLimited(_) => format!("{again} later; what was done is recorded"),
                Halt::Store(error) if error.is_full() => {
                    format!("make room on the disk, then {again}; nothing new was begun after the failed write")
                }
                Halt::Store(_) => format!("nothing new was begun after the failed write; mend the disk, then {again}"),
                Halt::Interrupted(_) if is_untouched(report) => format!("nothing was sent; {again} to begin"),
                Halt::Interrupted(_) => format!("{again} to go on; what was done is recorded"),
            };
            let error = match halt {
                Halt::Store(error) => CliError::new(Exit::Error, &**error).context("the state cannot be written"),
                _ => CliError::message(Exit::Error, report::halt_text(halt).1),
            };
            self.context.complain(&error.hint(hint));
        }
        let command = self.context.command();
        let settled = reports::tokens(state, &command).chain(reports::deletes(state, &command));
        let needing = reports::doubts(state, report, &command).chain(settled);
        needing.for_each(|notice| self.context.remark(notice));
    }
}

/// Whether nothing was sent for any name.
fn is_untouched(report: &Report) -> bool {
    report.outcomes.values().all(|outcome| matches!(outcome, Outcome::NotTried))
        && report.departures.values().all(|departure| matches!(departure, Departure::NotTried))
}
