//! What a run has to tell, whatever shape it is told in: how it ended, what became of each name, and what needs a person.
//!
//! The renderers beside this module ([`markdown`](super::markdown), [`junit`](super::junit), …) make texts from an [`Account`].
//! They read no file, no clock and no environment; and no secret has a place here.

use std::collections::BTreeMap;
use std::time::Duration;

use super::GuardData;
use crate::apply::{Departure, Outcome, Report};
use crate::diagnostic::{DiagnosticData, Place, Severity};
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::manifest::{Declaration, Manifest};
use crate::plan::{Action, Change, Guard, Plan, Reason};
use crate::state::{Lineage, Record, Serial, State};
use crate::text::escape;

/// What a run has to tell.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// The command.
    pub verb: &'static str,
    /// How the operator calls what was planned or applied, where several are told apart.
    pub title: Option<String>,
    /// The manifests, as they were typed.
    pub files: Vec<String>,
    /// The state's lineage; none: there is no state yet, or the run did not come so far.
    pub lineage: Option<Lineage>,
    /// The state's position.
    pub serial: Option<Serial>,
    /// The hash of the plan, where there is one.
    pub plan_hash: Option<String>,
    /// The counts as a sentence; none: the run did not come so far.
    pub headline: Option<String>,
    /// The counts as numbers; none: the run did not come so far.
    pub counts: Option<Counts>,
    /// What became of each name, in the order of names.
    pub cases: Vec<Case>,
    /// What needs a person, in the order in which it was met.
    pub notices: Vec<Notice>,
    /// Problems of the manifests.
    pub problems: Vec<DiagnosticData>,
    /// How many there are, those not kept included.
    pub problem_count: usize,
    /// Where names are declared, as far as it is of interest.
    pub places: BTreeMap<InstanceName, Place>,
    /// How long it took to create, of those that this run has tried.
    pub times: BTreeMap<InstanceName, Duration>,
    /// How long the run took.
    pub took: Duration,
    /// The exit code.
    pub exit_code: u8,
}

/// The numbers that a later step decides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// A plan: whether it asks for anything. An apply: whether anything came to be.
    pub is_changed: bool,
    /// A plan: to be created. An apply: created.
    pub create: usize,
    /// A plan: to be deleted. An apply: deleted.
    pub delete: usize,
    /// In doubt, declared or not.
    pub in_doubt: usize,
    /// Refused by the server.
    pub refused: usize,
}

/// How good it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It was refused, or cannot be.
    Failed,
    /// Nobody knows, or its token is missing.
    Doubtful,
    /// It was not tried.
    Skipped,
    /// It is to be taken in, renamed or settled, or was.
    Settled,
    /// It is planned, or came to be.
    Changed,
    /// It is to be deleted, or was.
    Removed,
    /// It exists and is declared no more.
    Left,
    /// It is as it should be.
    Good,
}

/// One name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The name.
    pub name: InstanceName,
    /// Its type.
    pub kind: InstanceType,
    /// How good it is.
    pub standing: Standing,
    /// What is planned or became of it, in a word or two.
    pub word: &'static str,
    /// Why, or its id.
    pub detail: String,
}

impl Case {
    /// The mark that stands before it in a list.
    pub const fn mark(&self) -> char {
        match self.standing {
            Standing::Failed => 'x',
            Standing::Doubtful => '?',
            Standing::Skipped => '~',
            Standing::Settled => '>',
            Standing::Changed => '+',
            Standing::Removed => '-',
            Standing::Left => 'o',
            Standing::Good => '=',
        }
    }

    /// Every name of a plan.
    pub fn of_plan(plan: &Plan) -> Vec<Self> {
        plan.rows().map(Self::planned).collect()
    }

    pub(super) fn planned(change: &Change) -> Self {
        let (standing, word) = match (change.action, &change.reason) {
            (Action::Import, _) => (Standing::Settled, "import"),
            (Action::Move, _) => (Standing::Settled, "move"),
            (Action::Settle, _) => (Standing::Settled, "settle"),
            (Action::Aside, _) => (Standing::Good, "left aside"),
            (_, Reason::TokenMissing { .. }) => (Standing::Doubtful, "token missing"),
            (_, Reason::InDoubt { .. }) => (Standing::Doubtful, "in doubt"),
            (Action::Create, _) if change.renamed_from.is_some() => (Standing::Failed, "probable rename"),
            (Action::Create, _) => (Standing::Changed, "create"),
            (Action::Finish, _) => (Standing::Changed, "finish"),
            (Action::Hold, _) => (Standing::Doubtful, "hold"),
            (Action::Conflict, _) => (Standing::Failed, "conflict"),
            (Action::Delete, Reason::Pruned { is_protected: true, .. }) => (Standing::Failed, "protected"),
            (Action::Delete, _) => (Standing::Removed, "delete"),
            (Action::Protect, _) => (Standing::Changed, "protect"),
            (Action::Unprotect, _) => (Standing::Changed, "unprotect"),
            (Action::Orphan, _) => (Standing::Left, "orphaned"),
            (Action::NoOp, _) => (Standing::Good, "unchanged"),
        };
        let renamed = change.renamed_from.as_ref().map(|from| format!(" (renamed from {from}?)")).unwrap_or_default();
        let detail = format!("{}{renamed}", change.reason);
        Self { name: change.name.clone(), kind: change.kind, standing, word, detail }
    }

    /// Every declared name after an apply, and what exists and is declared no more.
    pub fn of_apply(
        manifest: &Manifest,
        report: &Report,
        recovered: &BTreeMap<InstanceName, Outcome>,
        state: &State,
    ) -> Vec<Self> {
        let declared = manifest.declarations().iter().map(|declaration| {
            let name = &declaration.name;
            // What was recovered and did not come to be stands in the state as it was before.
            let earlier = recovered.get(name).filter(|outcome| matches!(outcome, Outcome::Created { .. }));
            match report.outcomes.get(name).or(earlier) {
                Some(outcome) => Self::ended(declaration, outcome),
                None => Self::standing(declaration, state.records().get(name)),
            }
        });
        let left = state.records().values().filter(|record| manifest.get(&record.name).is_none());
        let left = left.filter_map(|record| match report.departures.get(&record.name) {
            Some(departure) => Some(Self::departed(record, departure)),
            None => Self::left(record),
        });
        let mut cases: Vec<Self> = declared.chain(left).collect();
        cases.sort_by(|one, other| one.name.cmp(&other.name));
        cases
    }

    fn ended(declaration: &Declaration, outcome: &Outcome) -> Self {
        let exists = |id: &InstanceId| format!("exists as {id}");
        let (standing, word, detail) = match outcome {
            Outcome::Created { id, has_token: true } => (Standing::Changed, "created", exists(id)),
            Outcome::Created { id, has_token: false } => (Standing::Doubtful, "token missing", exists(id)),
            Outcome::Refused { reason } => (Standing::Failed, "refused", reason.clone()),
            Outcome::NotSent { reason } => (Standing::Failed, "not sent", reason.clone()),
            Outcome::NotCreated { reason } => (Standing::Skipped, "not created", reason.clone()),
            Outcome::InDoubt { attempt, reason } => (Standing::Doubtful, "in doubt", format!("attempt {attempt}: {reason}")),
            Outcome::Unfinished => {
                (Standing::Skipped, "not finished", "answered; the next apply finishes it without a request".to_owned())
            }
            Outcome::NotTried => (Standing::Skipped, "not tried", "the run stopped before its turn".to_owned()),
        };
        Self { name: declaration.name.clone(), kind: declaration.kind, standing, word, detail }
    }

    fn standing(declaration: &Declaration, record: Option<&Record>) -> Self {
        let untried = (Standing::Skipped, "not tried", "not created yet".to_owned());
        let (standing, word, detail) = match record {
            None => untried,
            Some(record) if record.kind != declaration.kind && record.status() != "absent" => {
                (Standing::Failed, "conflict", format!("recorded as {}, and a type cannot be changed", record.kind))
            }
            Some(record) => match (record.status(), record.id()) {
                ("created", Some(id)) => (Standing::Good, "unchanged", format!("exists as {id}")),
                ("token_missing", Some(id)) => (Standing::Doubtful, "token missing", format!("exists as {id}, token missing")),
                ("released", Some(id)) => (Standing::Failed, "conflict", format!("released; exists as {id}, and is not managed")),
                ("retiring", Some(id)) => (Standing::Doubtful, "in doubt", format!("being deleted as {id}")),
                ("in_doubt" | "received", _) => {
                    let attempt = record.open_attempt().map(|attempt| format!("attempt {}", attempt.id)).unwrap_or_default();
                    (Standing::Doubtful, "in doubt", attempt)
                }
                _ => untried,
            },
        };
        Self { name: declaration.name.clone(), kind: declaration.kind, standing, word, detail }
    }

    fn departed(record: &Record, departure: &Departure) -> Self {
        let (standing, word, detail) = match departure {
            Departure::Deleted { id, grounds } => (Standing::Removed, "deleted", format!("{id}: {grounds}")),
            Departure::Kept { reason } => (Standing::Failed, "still exists", reason.clone()),
            Departure::InDoubt { reason } => (Standing::Doubtful, "in doubt", reason.clone()),
            Departure::NotTried => (Standing::Skipped, "not tried", "the run stopped before its turn".to_owned()),
        };
        Self { name: record.name.clone(), kind: record.kind, standing, word, detail }
    }

    fn left(record: &Record) -> Option<Self> {
        let (standing, word, detail) = match (record.status(), record.id()) {
            ("created", Some(id)) => (Standing::Left, "orphaned", format!("no longer declared; still exists as {id}, untouched")),
            ("token_missing", Some(id)) => {
                (Standing::Doubtful, "token missing", format!("no longer declared; still exists as {id}"))
            }
            ("in_doubt", _) => (Standing::Doubtful, "in doubt", "no longer declared; may exist".to_owned()),
            ("retiring", Some(id)) => (Standing::Doubtful, "in doubt", format!("being deleted as {id}")),
            _ => return None,
        };
        Some(Self { name: record.name.clone(), kind: record.kind, standing, word, detail })
    }
}

/// What needs a person: what is wrong, and what to type. All texts are escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// How bad it is.
    pub severity: Severity,
    /// The guard's word, where a guard says it.
    pub guard: Option<&'static str>,
    /// The name that it is about.
    pub name: Option<InstanceName>,
    /// What is wrong.
    pub message: String,
    /// Why, the nearest cause first.
    pub causes: Vec<String>,
    /// What to do or type, a line each; one that begins with two spaces goes on from the one before.
    pub hints: Vec<String>,
}

impl Notice {
    /// Something that stopped a run, or would stop it.
    pub fn error(message: &str) -> Self {
        Self::new(Severity::Error, message)
    }

    /// Something that somebody should look at.
    pub fn warning(message: &str) -> Self {
        Self::new(Severity::Warning, message)
    }

    fn new(severity: Severity, message: &str) -> Self {
        let message = escape(message).into_owned();
        Self { severity, guard: None, name: None, message, causes: Vec::new(), hints: Vec::new() }
    }

    /// What a guard says.
    pub fn of_guard(guard: &Guard) -> Self {
        let GuardData { guard, name, message, .. } = GuardData::from(guard);
        Self { guard: Some(guard), name, ..Self::error(&message) }
    }

    /// About `name`.
    #[must_use]
    pub fn about(mut self, name: &InstanceName) -> Self {
        self.name = Some(name.clone());
        self
    }

    /// With a cause behind those before.
    #[must_use]
    pub fn because(mut self, cause: &str) -> Self {
        self.causes.push(escape(cause).into_owned());
        self
    }

    /// With a line that says what to do or type.
    #[must_use]
    pub fn hint(mut self, hint: &str) -> Self {
        self.hints.push(escape(hint).into_owned());
        self
    }

    /// What is wrong and why, in one line.
    pub fn sentence(&self) -> String {
        self.causes.iter().fold(self.message.clone(), |text, cause| format!("{text}: {cause}"))
    }
}

impl Account {
    /// The cases with `standing`.
    pub fn with(&self, standing: Standing) -> impl Iterator<Item = &Case> {
        self.cases.iter().filter(move |case| case.standing == standing)
    }

    /// The notices with `severity`.
    pub fn noticed(&self, severity: Severity) -> impl Iterator<Item = &Notice> {
        self.notices.iter().filter(move |notice| notice.severity == severity)
    }

    /// What tells this account from those of other manifests and states, and is the same from run to run.
    pub fn key(&self) -> String {
        match (&self.title, &self.lineage) {
            (Some(title), _) => title.clone(),
            (None, Some(lineage)) => lineage.to_string(),
            (None, None) => self.files.join(" "),
        }
    }
}
