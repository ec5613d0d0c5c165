//! One project on its way through its crashes: a prior state, runs that meet a failpoint, and a plain run that mends it.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use rustix::process::Signal;

use super::super::kill_loop::gateway::{Gateway, Manner};
use super::super::kill_loop::oracle::{self, Found, Truth};
use super::super::kill_loop::project::{Ended, Project, Run};

/// What is there before the run that crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Prior {
    Nothing,
    Created,
    InDoubt,
    /// A journal whose last line was cut short, and an index that is garbage.
    Torn,
    /// An answer that nobody has read.
    Received,
    /// An attempt that was not sent.
    Intent,
}

pub(crate) const PRIORS: [Prior; 6] =
    [Prior::Nothing, Prior::Created, Prior::InDoubt, Prior::Torn, Prior::Received, Prior::Intent];

/// How a run that met a failpoint ended.
#[derive(Debug)]
pub(crate) struct Met {
    pub(crate) ended: Ended,
    /// Whether the failpoint was reached.
    pub(crate) is_hit: bool,
    /// Complete creates that came to the server.
    pub(crate) requests: usize,
    /// What the server had created before.
    creates_before: usize,
}

/// A project and its server.
pub(crate) struct Scene {
    pub(crate) gateway: Gateway,
    pub(crate) project: Project,
    pub(crate) printed: Vec<(String, String)>,
    _data: tempfile::TempDir,
}

/// Where many small states are written quickly.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

impl Scene {
    /// In `dir`, with a server that follows `faults`.
    pub(crate) fn new(dir: &Path, faults: Vec<String>) -> Self {
        let data = scratch();
        let gateway = Gateway::start(&data.path().join("gateway"), Manner { faults, ..Manner::inside("0ms") });
        let project = Project::new(dir, Some(gateway.url()));
        Self { gateway, project, printed: Vec::new(), _data: data }
    }

    /// Creates that the server has done once `prior` is there.
    pub(crate) fn creates_in(prior: Prior) -> usize {
        match prior {
            Prior::Nothing | Prior::Intent => 0,
            Prior::Created | Prior::InDoubt | Prior::Torn | Prior::Received => 1,
        }
    }

    /// Brings `prior` about, with one name.
    pub(crate) fn begin(&mut self, prior: Prior) -> Result<(), String> {
        let point = match prior {
            Prior::Nothing => return Ok(()),
            Prior::Created | Prior::Torn => None,
            Prior::InDoubt => Some("answer-begun=kill"),
            Prior::Received => Some("journal-after-received=kill"),
            Prior::Intent => Some("journal-after-intent=kill"),
        };
        self.project.declare(1);
        let rule = point.unwrap_or_default();
        let met = self.meet(rule, "1")?;
        let is_as_wanted = if point.is_some() { met.is_hit } else { met.ended.code() == Some(0) };
        ensure(is_as_wanted, || format!("the prior run with `{rule}` ends with {:?}: {}", met.ended.status, met.ended.stderr))?;
        if prior == Prior::Torn {
            let mut journal = fs::File::options().append(true).open(self.project.path("state/journal.jsonl")).unwrap();
            journal.write_all(br#"{"serial":99,"at":"2026-01-01T00:0"#).unwrap();
            fs::write(self.project.path("state/index/db"), b"garbage").unwrap();
        }
        Ok(())
    }

    /// Runs an apply with the failpoint `rule`, and checks what must hold of it whatever happens.
    pub(crate) fn meet(&mut self, rule: &str, parallelism: &str) -> Result<Met, String> {
        let (seen, creates_before) = (self.gateway.seen().len(), self.gateway.creates().len());
        let mut command = self.project.command(&["apply", "--parallelism", parallelism]);
        command.env("CHATAPI_FAILPOINT", rule);
        let ended = Run::start(command).end();
        let met = self.note(ended, creates_before)?;
        Ok(Met { requests: self.gateway.seen().len() - seen, ..met })
    }

    /// Runs an apply that is sent `signal` when the server has seen its next create; the server does not answer it.
    pub(crate) fn strike(&mut self, signal: Signal, parallelism: &str) -> Result<Met, String> {
        let (seen, creates_before) = (self.gateway.seen().len(), self.gateway.creates().len());
        let mut run = Run::start(self.project.command(&["apply", "--parallelism", parallelism]));
        let is_hit = run.wait_until(|| self.gateway.seen().len() > seen);
        run.signal(signal);
        let met = self.note(run.end(), creates_before)?;
        Ok(Met { is_hit, ..met })
    }

    fn note(&mut self, ended: Ended, creates_before: usize) -> Result<Met, String> {
        self.printed.extend(ended.printed());
        self.conceals(&ended)?;
        let is_hit = ended.stderr.contains("failpoint: ");
        let met = Met { ended, is_hit, requests: 0, creates_before };
        self.fits(&met)?;
        Ok(met)
    }

    /// V5: no secret is printed.
    fn conceals(&self, ended: &Ended) -> Result<(), String> {
        let tokens = self.gateway.creates().into_iter().filter_map(|create| create.token);
        let secrets = tokens.map(|token| token.expose().to_owned()).chain(["key-of-the-tests".to_owned()]);
        let shown = secrets.filter(|secret| ended.stdout.contains(secret) || ended.stderr.contains(secret)).count();
        ensure(shown == 0, || format!("{shown} secrets are printed"))
    }

    /// V7 and V8: it ended as the contract says, or was ended.
    fn fits(&self, met: &Met) -> Result<(), String> {
        let Met { ended, creates_before, .. } = met;
        let told = || format!("a run ends with {:?}\n{}{}", ended.status, ended.stdout, ended.stderr);
        let created = self.gateway.creates().len() - creates_before;
        let is_panic = ended.stderr.contains("panicked at src/failpoint.rs");
        ensure(is_panic || !ended.stderr.contains("panicked at "), told)?;
        let cannot_know = is_panic || ended.stdout.contains("an answer came ");
        let is_told = is_panic || ["error: ", "hint: "].iter().all(|part| ended.stderr.contains(part));
        match (ended.status.signal(), ended.code()) {
            (Some(6 | 9), _) => Ok(()),
            (_, Some(101)) if is_panic => Ok(()),
            (_, Some(0)) => ensure(self.missing() == 0, || format!("not everything exists: {}", told())),
            (_, Some(1)) => ensure(created == 0 && is_told, || format!("{created} created: {}", told())),
            // Whoever loses the store, or its sync, cannot know that the answer was kept.
            (_, Some(3)) => ensure(cannot_know || oracle::trails(&self.project).values().any(oracle::Trail::is_ambiguous), told),
            (_, Some(4)) => ensure(is_told, told),
            _ => Err(told()),
        }
    }

    /// Names that no attempt has created.
    fn missing(&self) -> usize {
        let created = oracle::trails(&self.project).values().filter(|trail| trail.created.is_some()).count();
        self.project.names().len().saturating_sub(created)
    }

    /// A plan opens whatever is there, and changes nothing.
    pub(crate) fn look(&self) -> Result<(), String> {
        let before = self.project.snapshot();
        let plan = self.project.run(&["plan"]);
        ensure(matches!(plan.code(), Some(0 | 3)), || format!("a plan ends with {:?}: {}", plan.status, plan.stderr))?;
        ensure(before == self.project.snapshot(), || "a plan has written".to_owned())
    }

    /// A plain run; then server, journal, state and printed lines are held against each other.
    pub(crate) fn mend(&mut self) -> Result<Found, String> {
        let last = self.project.run(&["apply"]);
        self.printed.extend(last.printed());
        self.conceals(&last)?;
        self.gateway.stop();
        let truth = Truth { ledger: self.gateway.creates(), seen: self.gateway.seen(), printed: self.printed.clone() };
        oracle::check(&self.project, &truth, &last).map_err(|broken| format!("{broken}\n{}{}", last.stdout, last.stderr))
    }
}

pub(crate) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
