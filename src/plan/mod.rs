//! The plan: what is to be done for each name, and why; and what must stop it before it begins. Pure.
//!
//! A plan is complete: applying it leaves nothing to decide. A [`Reason`] explains and never decides.

mod adoption;
mod cost;
mod drift;
mod guard;
mod lost;
mod planner;
mod recovery;
#[cfg(test)]
mod recovery_tests;
mod replacing;
mod scope;
mod settle;
#[cfg(test)]
mod settle_tests;
mod settling;

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use adoption::{Admission, Unfit, doubt_of};
pub use cost::Cost;
pub use drift::{CalledGone, Deviation, Drift, Elsewhere, Finding, Unbelievable, Watch, absent, drift};
pub use guard::{Doubts, Guard, Left, Limits, missing, strangers};
pub use lost::{TooYoung, existing, lost, revived, unrecorded, with_events};
pub use planner::plan;
pub use recovery::{Candidate, Candidates, Proposal, propose, unsent_proof};
pub use replacing::{Irreplaceable, Replace};
pub use scope::is_usable;
pub use settle::{Evidence, Settled, Settlement, settle};
pub use settling::{Moment, Settling};

use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::state::{AttemptId, Hash, Lineage};

/// What will be done for one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Create it.
    Create,
    /// Nothing.
    NoOp,
    /// Nothing, because it is unknown whether it exists.
    Hold,
    /// Read the recorded answer; no request.
    Finish,
    /// Nothing, because what exists is of another type or was released. Stops the run.
    Conflict,
    /// Nothing: it exists and is not declared any more.
    Orphan,
    /// Take in what exists.
    Import,
    /// Give what exists another name.
    Move,
    /// Close a doubt.
    Settle,
    /// Delete it on the server.
    Delete,
    /// Write down that it may not be deleted.
    Protect,
    /// Write down that it may be deleted again.
    Unprotect,
    /// Nothing: it is not among the names that were selected.
    Aside,
}

impl Action {
    /// The word in machine-readable output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::NoOp => "no-op",
            Self::Hold => "hold",
            Self::Finish => "finish",
            Self::Conflict => "conflict",
            Self::Orphan => "orphan",
            Self::Import => "import",
            Self::Move => "move",
            Self::Settle => "settle",
            Self::Delete => "delete",
            Self::Protect => "protect",
            Self::Unprotect => "unprotect",
            Self::Aside => "aside",
        }
    }
}

/// Why an action is what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reason {
    /// Nothing is recorded under the name.
    New,
    /// It was tried before, and nothing came of it.
    TriedBefore {
        /// How often.
        attempts: u32,
        /// Why the last attempt was closed.
        closed: String,
    },
    /// An attempt was begun and not sent; it is closed when the apply begins.
    Begun {
        /// The attempt.
        attempt: AttemptId,
    },
    /// It exists, and its token is kept.
    Exists {
        /// Its id.
        id: InstanceId,
    },
    /// It exists, and its token is missing.
    TokenMissing {
        /// Its id.
        id: InstanceId,
    },
    /// It is unknown whether an attempt created it.
    InDoubt {
        /// The attempt.
        attempt: AttemptId,
        /// Since when.
        since: Timestamp,
        /// What was seen.
        seen: String,
    },
    /// An answer is recorded and not read yet.
    Received {
        /// The attempt.
        attempt: AttemptId,
    },
    /// What exists, or may exist, has another type, which cannot be changed.
    OtherType {
        /// The recorded type.
        recorded: InstanceType,
        /// Its id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<InstanceId>,
    },
    /// It was released, and is declared again.
    Released {
        /// Its id.
        id: InstanceId,
    },
    /// It is being deleted, and that is not concluded.
    Retiring {
        /// Its id.
        id: InstanceId,
        /// Since when.
        since: Timestamp,
    },
    /// It was deleted.
    Retired {
        /// The id that it had.
        id: InstanceId,
        /// When.
        since: Timestamp,
        /// It was declared all the time, so that it is not said that another is wanted.
        was_declared: bool,
    },
    /// It exists, and is to have another one in its place, as was said.
    Replaces {
        /// Its id.
        id: InstanceId,
        /// What it is called from then on.
        aside: InstanceName,
        /// It may not be deleted.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_protected: bool,
    },
    /// A run before has given what it had another name, and has not created the new one.
    Replacing {
        /// The id of what it had.
        id: InstanceId,
        /// What that is called.
        aside: InstanceName,
        /// It was said that the new one is still wanted.
        was_asked: bool,
    },
    /// It was replaced before, and nobody has given it a place of its own: it is to be deleted, as was said.
    Replaced {
        /// Its id.
        id: InstanceId,
        /// The name that has another instance since.
        by: InstanceName,
    },
    /// It is no longer declared, and what is not is to be deleted, as was said.
    Pruned {
        /// Its id.
        id: InstanceId,
        /// It may not be deleted.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_protected: bool,
    },
    /// It is no longer declared.
    NotDeclared {
        /// Its id, where it is known.
        id: Option<InstanceId>,
    },
    /// It exists and was not created from here.
    Foreign {
        /// Its id.
        id: InstanceId,
    },
    /// It has another name in the state.
    Renamed {
        /// That name.
        from: InstanceName,
        /// Its id.
        id: InstanceId,
    },
    /// The manifest says what became of an attempt.
    Verdict {
        /// The attempt.
        attempt: AttemptId,
        /// What it created; none: nothing.
        created: Option<InstanceId>,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("not created yet"),
            Self::TriedBefore { attempts: 0, closed } => f.write_str(closed),
            Self::TriedBefore { attempts, closed } => {
                let times = if *attempts == 1 { "once".to_owned() } else { format!("{attempts} times") };
                write!(f, "tried {times}: {closed}")
            }
            Self::Begun { attempt } => write!(f, "attempt {attempt} was begun, and is settled first"),
            Self::Exists { id } => write!(f, "exists as {id}"),
            Self::TokenMissing { id } => write!(f, "exists as {id}, token missing"),
            Self::InDoubt { attempt, since, seen } => {
                write!(f, "attempt {attempt} in doubt since {}: {seen}", to_the_second(*since))
            }
            Self::Received { attempt } => write!(f, "the answer to attempt {attempt} is recorded"),
            Self::OtherType { recorded, .. } => write!(f, "recorded as {recorded}, and a type cannot be changed"),
            Self::Released { id } => write!(f, "released; exists as {id}, and is not managed"),
            Self::Retiring { id, since } => {
                write!(f, "being deleted as {id} since {}, and not known to be gone", to_the_second(*since))
            }
            Self::Retired { id, since, .. } => write!(f, "deleted as {id} at {}", to_the_second(*since)),
            Self::Replaces { id, aside, .. } => write!(f, "replaces {id}, which is {aside} then"),
            Self::Replacing { id, aside, .. } => write!(f, "replaces {id}, which is {aside} already: begun and not finished"),
            Self::Replaced { id, by } => write!(f, "replaced by what is {by} now; exists as {id}"),
            Self::Pruned { id, .. } => write!(f, "no longer declared; exists as {id}"),
            Self::NotDeclared { id: Some(id) } => write!(f, "no longer declared; still exists as {id}, untouched"),
            Self::NotDeclared { id: None } => f.write_str("no longer declared; may exist, untouched"),
            Self::Foreign { id } => write!(f, "taken in as {id}"),
            Self::Renamed { from, id } => write!(f, "called {from} until now; exists as {id}"),
            Self::Verdict { attempt, created: Some(id) } => write!(f, "attempt {attempt} created {id}"),
            Self::Verdict { attempt, created: None } => write!(f, "attempt {attempt} created nothing"),
        }
    }
}

fn to_the_second(time: Timestamp) -> Timestamp {
    time.round(jiff::Unit::Second).unwrap_or(time)
}

/// What is planned for one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The name.
    pub name: InstanceName,
    /// The declared type; of what is not declared, the recorded one.
    #[serde(rename = "type")]
    pub kind: InstanceType,
    /// What will be done.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// The type of what exists or may exist, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exists_as: Option<InstanceType>,
    /// A create only: an instance of this type that has just left the manifest, so that this may be a rename.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<InstanceName>,
}

/// The plan: every declared name in order, then what is recorded and not declared, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What is settled first, in the order in which that is done; the changes are planned as if it had been.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settlements: Vec<Change>,
    /// The changes.
    pub changes: Vec<Change>,
}

/// How many changes there are of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlanSummary {
    /// To be created.
    pub create: usize,
    /// As they should be.
    pub unchanged: usize,
    /// In doubt, declared or not.
    pub in_doubt: usize,
    /// Recorded answers to be read.
    pub finish: usize,
    /// Existing without a token, declared or not.
    pub token_missing: usize,
    /// Of another type than declared, or released.
    pub conflict: usize,
    /// Recorded and not declared.
    pub orphaned: usize,
    /// To be deleted.
    pub delete: usize,
    /// To be protected from deletion.
    pub protect: usize,
    /// To be protected no longer.
    pub unprotect: usize,
    /// Not among the names that were selected.
    pub aside: usize,
    /// Of those to be created: probable renames.
    pub probable_rename: usize,
    /// To be taken in.
    pub import: usize,
    /// To get another name.
    pub moves: usize,
    /// Doubts to be closed.
    pub settle: usize,
}

impl Plan {
    /// The same as the operator has answered it: some names are `new`, although one like them has left, and some are to have
    /// `another` instance, although theirs was deleted while it was declared.
    #[must_use]
    pub fn answered(mut self, new: &[InstanceName], another: &[InstanceName]) -> Self {
        for change in &mut self.changes {
            if new.contains(&change.name) {
                change.renamed_from = None;
            }
            if let Reason::Retired { was_declared, .. } = &mut change.reason {
                *was_declared &= !another.contains(&change.name);
            }
        }
        self
    }

    /// What is told of it: what is settled, then the changes but those that only say that it was settled.
    pub fn rows(&self) -> impl Iterator<Item = &Change> {
        let settled: BTreeMap<_, _> = self.settlements.iter().map(|change| (&change.name, change.action)).collect();
        let is_news = move |change: &&Change| match (settled.get(&change.name), change.action) {
            // That its token is missing is no news of a name that has moved.
            (Some(Action::Move), Action::NoOp) => matches!(change.reason, Reason::TokenMissing { .. }),
            (Some(_), Action::NoOp) => false,
            _ => true,
        };
        self.settlements.iter().chain(self.changes.iter().filter(is_news))
    }

    /// The changes with `action`.
    pub fn with(&self, action: Action) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(move |change| change.action == action)
    }

    /// Whether an apply of it would do anything at all.
    pub fn acts(&self) -> bool {
        !self.settlements.is_empty() || self.changes.iter().any(scope::acts)
    }

    /// What was reviewed, in one number: what would be settled, created, deleted and protected, for the state of `lineage`; none: for one
    /// that records nothing; and what else the manifest says that changes what a run does ([`Manifest::footing`]). Two plans with the
    /// same one do the same.
    ///
    /// [`Manifest::footing`]: crate::manifest::Manifest::footing
    pub fn checksum(&self, lineage: Option<&Lineage>, footing: &str) -> Result<Hash, serde_json::Error> {
        let creates: Vec<_> = self.with(Action::Create).map(|change| (&change.name, change.kind)).collect();
        let replaced: Vec<_> = self.replacements().collect();
        let deletes: Vec<_> = self.with(Action::Delete).map(|change| (&change.name, &change.reason)).collect();
        let named = |action| self.with(action).map(|change| &change.name).collect::<Vec<_>>();
        let marks = (named(Action::Protect), named(Action::Unprotect));
        let bytes = if !(marks.0.is_empty() && marks.1.is_empty()) {
            serde_json::to_vec(&("chatapi plan 3", lineage, footing, creates, replaced, deletes, &self.settlements, marks))
        } else if deletes.is_empty() && replaced.is_empty() && self.settlements.is_empty() {
            serde_json::to_vec(&("chatapi plan 1", lineage, footing, creates))
        } else {
            serde_json::to_vec(&("chatapi plan 2", lineage, footing, creates, replaced, deletes, &self.settlements))
        };
        bytes.map(|bytes| Hash::of(&bytes))
    }

    /// Counts the changes.
    pub fn summary(&self) -> PlanSummary {
        let mut summary = PlanSummary::default();
        for change in self.rows() {
            let count = match change.action {
                Action::Create => &mut summary.create,
                Action::NoOp => &mut summary.unchanged,
                Action::Hold => &mut summary.in_doubt,
                Action::Finish => &mut summary.finish,
                Action::Conflict => &mut summary.conflict,
                Action::Orphan => &mut summary.orphaned,
                Action::Import => &mut summary.import,
                Action::Move => &mut summary.moves,
                Action::Settle => &mut summary.settle,
                Action::Delete => &mut summary.delete,
                Action::Protect => &mut summary.protect,
                Action::Unprotect => &mut summary.unprotect,
                Action::Aside => &mut summary.aside,
            };
            *count += 1;
            match &change.reason {
                Reason::TokenMissing { .. } => summary.token_missing += 1,
                Reason::InDoubt { .. } | Reason::Retiring { .. } if matches!(change.action, Action::Orphan | Action::Aside) => {
                    summary.in_doubt += 1;
                }
                _ => {}
            }
            summary.probable_rename += usize::from(change.renamed_from.is_some());
        }
        summary
    }
}
