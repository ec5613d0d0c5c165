//! An apply while it runs: a line for each name, and on a terminal a bar below them.

use std::collections::BTreeMap;
use std::io::{Stderr, stderr};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::console::{BAD, Console, DIM, DOUBT, GOOD, Loudness};
use super::context::Context;
use super::echo::Unechoed;
use crate::apply::{Observer, Outcome, Progress, Tries};
use crate::instance::InstanceName;
use crate::report::account::Notice;
use crate::report::events::Line;
use crate::report::settled_word;

/// How long requests in flight may take after an interrupt: CI systems kill 10 s after they ask.
pub(super) const DRAIN: Duration = Duration::from_secs(9);
/// Tries of a request that provably did not leave.
pub(super) const TRIES: Tries = Tries { most: 3, wait: Duration::from_millis(500) };
/// What has been told is waited for so long before the state is given back.
const SETTLED: Duration = Duration::from_millis(500);

/// Tells a person, in a thread of its own: a reader that takes nothing holds up no request and no signal. Keeps what was recovered
/// for the report.
pub(super) struct Display {
    screen: Arc<Screen>,
    recovered: Mutex<BTreeMap<InstanceName, Outcome>>,
    /// None: all has been told that there is.
    to: Mutex<Option<Sender<Progress>>>,
    /// Ends with the thread.
    told: Mutex<Receiver<()>>,
}

impl Display {
    pub(super) fn new(context: Arc<Context>) -> Self {
        let screen = Arc::new(Screen { context, bar: Mutex::default() });
        let (to, from) = channel::<Progress>();
        let (end, told) = channel::<()>();
        let teller = Arc::clone(&screen);
        std::thread::spawn(move || {
            for progress in from {
                teller.tell(progress);
            }
            drop(end);
        });
        Self { screen, recovered: Mutex::default(), to: Mutex::new(Some(to)), told: Mutex::new(told) }
    }

    /// Draws a bar for `total` creates, where a person watches.
    pub(super) fn begin(&self, total: usize) {
        self.screen.begin(total);
    }

    /// Takes the bar away: the creates are over, and a question may follow.
    pub(super) fn clear(&self) {
        self.screen.end();
    }

    /// Nothing more is to be told. What was goes out first where somebody reads it; what comes next need not wait for others.
    pub(super) fn settle(&self) {
        *self.to.lock().unwrap_or_else(PoisonError::into_inner) = None;
        // Nothing is ever sent: the other side goes.
        let _ = self.told.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(SETTLED);
    }

    /// Waits until all is told, or nobody reads it, and takes the bar away.
    pub(super) fn end(&self) {
        *self.to.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let _ = self.told.lock().unwrap_or_else(PoisonError::into_inner).recv();
        self.screen.end();
    }

    /// What earlier runs had left open.
    pub(super) fn recovered(&self) -> BTreeMap<InstanceName, Outcome> {
        self.recovered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Observer for Display {
    fn tell(&self, progress: Progress) {
        match &progress {
            Progress::Recovered { name, outcome } => {
                self.recovered.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), outcome.clone());
            }
            Progress::Done { name, took, .. } => self.screen.context.reports.time(name, *took),
            _ => {}
        }
        if let Some(to) = &*self.to.lock().unwrap_or_else(PoisonError::into_inner) {
            // The thread ends after this.
            let _ = to.send(progress);
        }
    }
}

/// What is drawn.
struct Screen {
    context: Arc<Context>,
    bar: Mutex<Option<(ProgressBar, Unechoed<Stderr>)>>,
}

impl Screen {
    fn begin(&self, total: usize) {
        let is_wanted = Console::is_watched()
            && !self.context.is_ci
            && self.context.is_text()
            && self.context.console.loudness > Loudness::Quiet
            && total > 0;
        if !is_wanted {
            return;
        }
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{spinner} {bar:30} {pos}/{len} done, {elapsed} so far {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(120));
        self.context.console.set_bar(Some(bar.clone()));
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = Some((bar, Unechoed::on(stderr())));
    }

    fn end(&self) {
        if let Some((bar, _)) = self.bar.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
        self.context.console.set_bar(None);
    }

    fn advance(&self) {
        if let Some((bar, _)) = &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
            bar.inc(1);
        }
    }

    fn outcome(&self, name: &InstanceName, outcome: &Outcome, took: Option<Duration>) {
        if !self.context.is_text() {
            return;
        }
        let took = took.map(|took| format!(" {DIM}({}){DIM:#}", in_words(took))).unwrap_or_default();
        let console = &self.context.console;
        match outcome {
            Outcome::Created { id, has_token: true } => {
                console.line(format_args!("  {GOOD}+{GOOD:#} {name} created as {id}{took}"));
            }
            Outcome::Created { id, has_token: false } => {
                console.line(format_args!("  {DOUBT}!{DOUBT:#} {name} exists as {id}, token missing{took}"));
            }
            Outcome::Refused { reason } => console.line(format_args!("  {BAD}x{BAD:#} {name} refused: {reason}{took}")),
            Outcome::NotSent { reason } => console.line(format_args!("  {BAD}x{BAD:#} {name} not sent: {reason}{took}")),
            Outcome::NotCreated { reason } => {
                console.line(format_args!("  {DIM}={DIM:#} {name} was not created after all: {reason}{took}"));
            }
            Outcome::InDoubt { attempt, reason } => {
                console.line(format_args!("  {DOUBT}?{DOUBT:#} {name} in doubt (attempt {attempt}): {reason}{took}"));
            }
            Outcome::Unfinished => {
                console.line(format_args!("  {DOUBT}~{DOUBT:#} {name} answered; the next apply finishes it{took}"));
            }
            Outcome::NotTried => {}
        }
    }
}

/// A duration as a person says it.
pub(super) fn in_words(duration: Duration) -> String {
    match duration.as_millis() {
        millis @ 0..=999 => format!("{millis} ms"),
        _ => format!("{:.1} s", duration.as_secs_f64()),
    }
}

impl Screen {
    fn tell(&self, progress: Progress) {
        self.context.emit(|| Line::progress(&progress));
        let console = &self.context.console;
        match progress {
            Progress::Recovered { name, outcome } => {
                // That nothing was sent is no news to anybody but the next line.
                if !matches!(outcome, Outcome::NotSent { .. }) {
                    self.outcome(&name, &outcome, None);
                }
            }
            Progress::NoFence { reason } => {
                console.warn(format_args!("no list from before the creates ({reason}): a doubt could not be settled by one"));
            }
            Progress::Settled { change } if self.context.is_text() => {
                let (name, what) = (&change.name, settled_word(&change));
                console.line(format_args!("  {GOOD}>{GOOD:#} {name} {what}: {DIM}{}{DIM:#}", change.reason));
            }
            Progress::Settled { .. } => {}
            Progress::Deleting { name } => tracing::info!(%name, "deleting"),
            Progress::Departed { name, .. } => tracing::info!(%name, "concluded its delete"),
            Progress::Started { name } => tracing::info!(%name, "creating"),
            Progress::Retrying { name, reason, wait } => {
                console.note(format_args!("{name} was not sent ({reason}); next try in {}", in_words(wait)));
            }
            Progress::Waiting { reason, wait } => {
                console.note(format_args!("the server asks to wait ({reason}): going on in {}", in_words(wait)));
            }
            Progress::Rescued { name, place } => {
                let command = self.context.command();
                let notice = Notice::warning(&format!("the answer of {name} could not be recorded; it is kept in {place}"));
                self.context.remark(
                    notice.about(&name).hint(&format!(
                        "mend the disk, then `{command} state rescue FILE` (a log: `… | {command} state rescue -`)"
                    )),
                );
            }
            Progress::Done { name, outcome, took } => {
                self.advance();
                self.outcome(&name, &outcome, Some(took));
            }
            Progress::Stopping { signal, in_flight, drain } => {
                let (drain, get) = (in_words(drain), if in_flight == 1 { "gets" } else { "get" });
                let rest = match in_flight {
                    0 => String::new(),
                    _ => format!("; {in_flight} in flight {get} up to {drain} (again to stop at once)"),
                };
                console.note(format_args!("{}: nothing new is sent{rest}", signal.as_str()));
            }
        }
    }
}
