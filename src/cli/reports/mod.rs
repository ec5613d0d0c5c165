//! Reports beside what is printed: gathered while a command runs, and delivered at its end, however it ends.
//!
//! Where they go is looked at before anything else happens: a file that cannot be written stops a run that has sent nothing. One
//! that fails later is told, and makes a good exit code a bad one and a bad one no better.

mod files;
mod forge;
mod notices;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

pub(super) use files::whole;
use files::{Kind, Target};
use forge::Surroundings;
pub(super) use notices::{deletes, doubts, tokens};

use super::args::{ForgeArgs, Format, ReportArgs};
use super::context::Context;
use super::error::{CliError, Content};
use super::exit::Exit;
use super::kept::Kept;
use crate::diagnostic::Severity;
use crate::instance::InstanceName;
use crate::manifest::Manifest;
use crate::plan::Plan;
use crate::report::account::{Account, Case, Counts, Notice};
use crate::report::events::Line;
use crate::report::github::{dotenv, pairs};
use crate::report::gitlab::gitlab;
use crate::report::junit::junit;
use crate::report::markdown::{Budget, markdown};
use crate::state::{Hash, Lineage, Serial};
use crate::text::{Printed, disarm};

/// What is gathered, and where it goes.
#[derive(Debug, Default)]
pub(super) struct Reports {
    wanted: OnceLock<Wanted>,
    account: Mutex<Account>,
    document: Mutex<Option<String>>,
}

/// Where reports go.
#[derive(Debug)]
struct Wanted {
    files: Vec<Target>,
    surroundings: Surroundings,
    is_markdown_printed: bool,
    is_streaming: bool,
    /// When the command began.
    since: Instant,
}

/// What a run came to, where it came so far.
pub(super) struct Told {
    pub(super) headline: String,
    pub(super) counts: Counts,
    pub(super) cases: Vec<Case>,
}

impl Reports {
    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody reads what is gathered.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.get().is_some_and(|wanted| {
            wanted.is_markdown_printed
                || wanted.is_streaming
                || !wanted.files.is_empty()
                || wanted.surroundings.is_anybody_there()
        })
    }

    /// Whether the JSON document goes into a file.
    fn is_document_wanted(&self) -> bool {
        self.wanted.get().is_some_and(|wanted| wanted.files.iter().any(|target| target.kind == Kind::Json))
    }

    /// Keeps where each name is declared.
    pub(super) fn declare(&self, manifest: &Manifest) {
        if self.is_wanted() {
            let place = |declaration: &crate::manifest::Declaration| (declaration.name.clone(), declaration.place.clone());
            self.account().places = manifest.declarations().iter().map(place).collect();
        }
    }

    /// Keeps which state it is about, if there is one, and the plan's hash.
    pub(super) fn about(&self, state: Option<(&Lineage, Serial)>, plan_hash: Hash) {
        let mut account = self.account();
        account.plan_hash = Some(plan_hash.to_string());
        if let Some((lineage, serial)) = state {
            (account.lineage, account.serial) = (Some(lineage.clone()), Some(serial));
        }
    }

    /// Keeps what the run came to; it is made only where somebody reads it.
    pub(super) fn tell(&self, told: impl FnOnce() -> Told) {
        if self.is_wanted() {
            let Told { headline, counts, cases } = told();
            let mut account = self.account();
            (account.headline, account.counts, account.cases) = (Some(headline), Some(counts), cases);
        }
    }

    /// Keeps how long it took to create `name`.
    pub(super) fn time(&self, name: &InstanceName, took: Duration) {
        if self.is_wanted() {
            self.account().times.insert(name.clone(), took);
        }
    }

    /// Whether events are printed, and no text.
    pub(super) fn is_streaming(&self) -> bool {
        self.wanted.get().is_some_and(|wanted| wanted.is_streaming)
    }
}

/// An error without places, for the reports.
fn notice(error: &CliError) -> Notice {
    notice_as(Notice::error, error)
}

/// An error that stops nothing.
pub(super) fn warning(error: &CliError) -> Notice {
    notice_as(Notice::warning, error)
}

fn notice_as(make: impl Fn(&str) -> Notice, error: &CliError) -> Notice {
    let mut chain = match &error.content {
        Content::Chain(chain) => chain.iter(),
        Content::Problems(_) => [].iter(),
    };
    let first = make(chain.next().map_or("", String::as_str));
    let caused = chain.fold(first, |notice, cause| notice.because(cause));
    error.hints.iter().fold(caused, |notice, hint| notice.hint(hint))
}

/// Sees where reports go, before anything else happens. None of them may replace what the run reads.
pub(super) fn begin(
    context: &Context,
    verb: &'static str,
    args: &ReportArgs,
    (read, others): (&[PathBuf], Vec<PathBuf>),
) -> Result<(), CliError> {
    let kept = Kept::of(context, read, others);
    let named = [
        (Kind::Json, &args.json_into),
        (Kind::Markdown, &args.markdown_into),
        (Kind::Junit, &args.junit_into),
        (Kind::Gitlab, &args.gitlab_into),
        (Kind::Dotenv, &args.dotenv_into),
    ];
    let named = named.into_iter().filter_map(|(kind, path)| Some((kind, path.clone()?))).collect();
    let (files, wrong) = files::open(named, &kept);
    {
        let mut account = context.reports.account();
        account.verb = verb;
        account.title.clone_from(&args.title);
        account.files = read.iter().map(|path| path.display().to_string()).collect();
    }
    let mut surroundings = Surroundings::of(&args.forge, true);
    let wrong = wrong.or(surroundings.probe(&context.console));
    let is_markdown_printed = context.format == Format::Markdown;
    let wanted = Wanted { files, surroundings, is_markdown_printed, is_streaming: args.forge.events, since: Instant::now() };
    // What is wrong with one of them is told by all others.
    start(context, verb, wanted).and(wrong.map_or(Ok(()), Err))
}

/// For a command that has annotations and events, and nothing else.
pub(super) fn begin_annotations(context: &Context, verb: &'static str, args: &ForgeArgs) -> Result<(), CliError> {
    context.reports.account().verb = verb;
    let surroundings = Surroundings::of(args, false);
    let is_streaming = args.events;
    let wanted = Wanted { files: Vec::new(), surroundings, is_markdown_printed: false, is_streaming, since: Instant::now() };
    start(context, verb, wanted)
}

fn start(context: &Context, verb: &'static str, wanted: Wanted) -> Result<(), CliError> {
    let is_both = wanted.is_streaming && context.format != Format::Text;
    let is_streaming = wanted.is_streaming && !is_both;
    // A command begins once.
    let _ = context.reports.wanted.set(Wanted { is_streaming, ..wanted });
    context.emit(|| Some(Line::version(verb)));
    if is_both {
        let error = CliError::message(Exit::Error, "events and a document cannot both go to standard output");
        return Err(error.hint("leave `--format` out, or let the document go elsewhere: `--json-into FILE`"));
    }
    Ok(())
}

/// What is printed at the very end: Markdown, if that is the format, or the last event.
pub(super) fn print(context: &Context, exit: Exit) {
    context.emit(|| Some(Line::end(exit.code())));
    let mut account = context.reports.account();
    account.exit_code = exit.code();
    if context.reports.wanted.get().is_some_and(|wanted| wanted.is_markdown_printed) {
        context.console.result(markdown(&account, Budget::COMMENT));
    }
}

/// Delivers the reports; gives the exit code that goes with what became of them.
pub(super) fn deliver(context: &Context, exit: Exit) -> Exit {
    let Some(wanted) = context.reports.wanted.get() else { return exit };
    let mut account = context.reports.account();
    (account.exit_code, account.took) = (exit.code(), wanted.since.elapsed());
    let mut errors = Vec::new();
    for target in &wanted.files {
        errors.extend(target.write(&context.reports.content(target.kind, &account)).err());
    }
    let spoilt = |errors: &[CliError]| match exit {
        Exit::Done | Exit::Changes if errors.is_empty() => exit,
        Exit::Done | Exit::Changes if context.has_created.load(Ordering::Relaxed) => Exit::Partly,
        Exit::Done | Exit::Changes => Exit::Error,
        worse => worse,
    };
    // What the next step of a job is told is how this one ends.
    account.exit_code = spoilt(&errors).code();
    errors.extend(wanted.surroundings.tell(&context.console, &account).err());
    for error in &errors {
        context.console.error(error);
    }
    spoilt(&errors)
}

impl Reports {
    fn content(&self, kind: Kind, account: &Account) -> String {
        match kind {
            Kind::Json => {
                let document = self.document.lock().unwrap_or_else(PoisonError::into_inner).clone();
                document.unwrap_or_else(|| failure(account)) + "\n"
            }
            Kind::Markdown => markdown(account, Budget::COMMENT),
            Kind::Junit => junit(account),
            Kind::Gitlab => gitlab(account),
            Kind::Dotenv => dotenv(&pairs(account)),
        }
    }
}

/// The document of a run that came to no document of its own.
fn failure(account: &Account) -> String {
    let document = crate::report::FailureDocument::new(account);
    // It has nothing that JSON lacks.
    let text = serde_json::to_string_pretty(&document).unwrap_or_default();
    disarm(&text, Printed::Json).into_owned()
}

impl Context {
    /// Whether somebody wants the JSON document.
    pub(super) fn wants_document(&self) -> bool {
        self.is_json() || self.reports.is_document_wanted()
    }

    /// Prints a document, or keeps it for the reports, or both.
    pub(super) fn deliver(&self, document: &impl Serialize) -> Result<(), CliError> {
        if self.reports.is_document_wanted() {
            let text = serde_json::to_string_pretty(document).map_err(|error| CliError::new(Exit::Error, &error))?;
            let text = disarm(&text, Printed::Json).into_owned();
            *self.reports.document.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
        }
        if self.is_json() { self.document(document) } else { Ok(()) }
    }

    /// Prints an event, where events are printed.
    pub(super) fn emit(&self, line: impl FnOnce() -> Option<Line>) {
        if !self.reports.is_streaming() {
            return;
        }
        // A line has nothing that JSON lacks.
        if let Some(Ok(text)) = line().map(|line| serde_json::to_string(&line.at(Timestamp::now()))) {
            self.console.result(format_args!("{}\n", disarm(&text, Printed::Json)));
        }
    }

    /// Keeps what needs a person.
    pub(super) fn note(&self, mut notice: Notice) {
        notice.hints = notice.hints.iter().filter_map(|hint| self.console.hint(hint)).collect();
        self.emit(|| Some(Line::notice(&notice)));
        if self.reports.is_wanted() {
            self.reports.account().notices.push(notice);
        }
    }

    /// Keeps an error.
    pub(super) fn note_error(&self, error: &CliError) {
        match &error.content {
            Content::Problems(problems) if self.reports.is_wanted() => {
                let data = problems.to_data();
                for problem in &data {
                    self.emit(|| Some(Line::problem(problem.clone())));
                }
                let mut account = self.reports.account();
                account.problem_count += problems.len();
                account.problems.extend(data);
            }
            Content::Problems(_) => {}
            Content::Chain(_) => self.note(notice(error)),
        }
    }

    /// Tells what is planned, where events are printed.
    pub(super) fn planned(&self, plan: &Plan) {
        if self.reports.is_streaming() {
            plan.rows().for_each(|change| self.emit(|| Line::planned(change)));
        }
    }

    /// Tells an error, now and in the reports.
    pub(super) fn complain(&self, error: &CliError) {
        self.console.error(error);
        self.note_error(error);
    }

    /// Tells of an error that stops nothing here, as one that another command would end with; now and in the reports: as one warning.
    pub(super) fn forewarn(&self, what: &str, error: &CliError) {
        self.console.forewarn(what, error);
        match &error.content {
            Content::Chain(_) => self.note(notice_as(|first| Notice::warning(&format!("{what}: {first}")), error)),
            Content::Problems(_) => self.note_error(error),
        }
    }

    /// Tells what somebody should look at, now and in the reports.
    pub(super) fn remark(&self, notice: Notice) {
        debug_assert!(notice.severity == Severity::Warning, "BUG: an error is told as one");
        self.console.notice(&notice);
        self.note(notice);
    }
}
