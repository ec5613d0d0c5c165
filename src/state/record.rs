//! What is known of one name, and where it stands.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AttemptId, Run, Serial, table};
use crate::instance::{ApiUrl, InstanceId, InstanceName, InstanceType};

/// What is known of one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a mark of its own in the stored format")]
pub struct Record {
    /// Our name.
    pub name: InstanceName,
    /// The type that it was tried or created with.
    pub kind: InstanceType,
    /// Where it stands.
    pub phase: Phase,
    /// How many attempts there were, open and closed.
    pub attempts: u32,
    /// An apply has shown it as no longer declared: no candidate for a rename any more.
    pub orphan_noted: bool,
    /// It was taken in under a name that was none before, and no apply has met it as declared since: what is to be created beside it
    /// may be it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_foreign: bool,
    /// What it had was deleted, and has another name of ours since.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub taken: Option<Box<Former>>,
    /// The manifest says that it must not be deleted; taking its declaration out does not change that.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_protected: bool,
    /// Its name has got a new instance, or is to have one. That name's record has its id.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_replaced: bool,
    /// It was replaced, and has been given a name of its own since: it is no remainder.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_kept: bool,
    /// What the name had before it got a new instance on purpose. It counts only while that one's record says so too, for a
    /// server may give an id again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub replaces: Option<InstanceId>,
    /// What the name had before, and was recorded as deleted.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub former: Vec<Former>,
}

/// An instance that was recorded as deleted, and whose name has had another since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// The server's id.
    pub id: InstanceId,
    /// When its end was recorded.
    pub since: Timestamp,
    /// As it was on record, where only lists of the account said that it is gone: should it be taken in again, it is what it was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lost: Option<Box<Instance>>,
    /// It must not be deleted, should it exist after all.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_protected: bool,
}

/// Where a name stands. The table in `transition.rs` says what leads from one to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// No attempt is open: every one is closed as unsent, refused or not created.
    Absent {
        /// Why the last one was closed.
        closed: String,
    },
    /// About to try; nothing sent.
    Intent(Attempt),
    /// Sent, and no answer that proves anything. No further attempt may start.
    InDoubt(Attempt, Doubt),
    /// The raw answer is kept and not yet read.
    Received(Attempt, Serial),
    /// It exists.
    Created(Instance),
    /// It existed when it was released, and is managed no longer.
    Released(Instance),
    /// It is being deleted: whether it still exists is not known once the delete was sent.
    Retiring(Instance, Box<Retirement>),
    /// It was deleted. The name may be created anew.
    Retired {
        /// The id that it had.
        id: InstanceId,
        /// When that was recorded.
        since: Timestamp,
        /// As it was on record, where only lists of the account said that it is gone: it may exist after all.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        lost: Option<Box<Instance>>,
    },
}

/// An open attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its id.
    pub id: AttemptId,
    /// The listing from just before it.
    pub fence: Option<Serial>,
    /// When the intent was written.
    pub since: Timestamp,
    /// The run that it belongs to.
    pub run: Option<Arc<Run>>,
}

/// A delete that is not concluded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retirement {
    /// Its attempt.
    pub attempt: AttemptId,
    /// When it was begun.
    pub since: Timestamp,
    /// When the request may have left; none: it has not.
    pub sent: Option<Timestamp>,
}

/// What is known of a doubt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// When the request may have left.
    pub since: Timestamp,
    /// What was seen; before anything was: that no answer was recorded.
    pub reason: String,
    /// The entry with an answer that could not be read as proof.
    pub answer: Option<Serial>,
}

/// An instance that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// The server's id.
    pub id: InstanceId,
    /// Its address, where known.
    pub api_url: Option<ApiUrl>,
    /// The address is from a list: no answer to a create of ours has told it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_address_listed: bool,
    /// Where its token is; none: the token is missing.
    pub token: Option<TokenAt>,
    /// When it was recorded.
    pub since: Timestamp,
}

/// Where a token is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenAt {
    /// The journal entry that holds it.
    pub entry: Serial,
    /// The instance's name at that time: it is sealed under it.
    pub name: InstanceName,
}

impl Record {
    /// With nothing more to say.
    pub(super) const fn new(name: InstanceName, kind: InstanceType, phase: Phase) -> Self {
        Self {
            name,
            kind,
            phase,
            attempts: 0,
            orphan_noted: false,
            is_foreign: false,
            taken: None,
            is_protected: false,
            is_replaced: false,
            is_kept: false,
            replaces: None,
            former: Vec::new(),
        }
    }

    /// Whether it can be forgotten: nothing exists under the name that this state manages, and nothing is open.
    pub const fn has_nothing_to_lose(&self) -> bool {
        matches!(self.phase, Phase::Absent { .. } | Phase::Released(_) | Phase::Retired { .. })
    }

    /// Whether it stands under no name of its own: a rebuild has found it without one, and of its type nothing is known.
    pub fn is_nameless(&self) -> bool {
        self.id().and_then(InstanceName::lost).is_some_and(|lost| lost == self.name)
    }

    /// Whether it was deleted.
    pub const fn is_retired(&self) -> bool {
        matches!(self.phase, Phase::Retired { .. })
    }

    /// Whether its last attempt was sent, and called not created because a list did not show what it created.
    pub fn is_called_absent(&self) -> bool {
        matches!(&self.phase, Phase::Absent { closed } if closed == table::NOT_LISTED)
    }

    /// The attempt that is not closed, if there is one.
    pub fn open_attempt(&self) -> Option<&Attempt> {
        match &self.phase {
            Phase::Intent(attempt) | Phase::InDoubt(attempt, _) | Phase::Received(attempt, _) => Some(attempt),
            Phase::Absent { .. } | Phase::Created(_) | Phase::Released(_) | Phase::Retiring(..) | Phase::Retired { .. } => None,
        }
    }

    /// The delete that is not concluded, if there is one.
    pub fn retirement(&self) -> Option<&Retirement> {
        match &self.phase {
            Phase::Retiring(_, retirement) => Some(retirement),
            _ => None,
        }
    }

    /// The id of the open attempt, be it a create or a delete.
    pub fn open_id(&self) -> Option<&AttemptId> {
        self.open_attempt().map(|attempt| &attempt.id).or_else(|| self.retirement().map(|retirement| &retirement.attempt))
    }

    /// The id that belongs to the name, of an instance that is managed or was.
    pub fn id(&self) -> Option<&InstanceId> {
        match &self.phase {
            Phase::Created(instance) | Phase::Released(instance) | Phase::Retiring(instance, _) => Some(&instance.id),
            Phase::Retired { id, .. } => Some(id),
            _ => None,
        }
    }

    /// The instance that only lists called gone.
    pub fn lost(&self) -> Option<&Instance> {
        match &self.phase {
            Phase::Retired { lost, .. } => lost.as_deref(),
            _ => None,
        }
    }

    /// The instance of this id, if only lists called it gone, whatever was tried under the name since.
    pub fn lost_as(&self, id: &InstanceId) -> Option<&Instance> {
        let former = self.former.iter().filter_map(|former| former.lost.as_deref());
        self.lost().into_iter().chain(former).find(|lost| lost.id == *id)
    }

    /// The id of what only lists called gone, where nothing was created in its place yet.
    pub fn presumed_gone(&self) -> Option<&InstanceId> {
        match &self.phase {
            Phase::Retired { lost, .. } => lost.as_ref().map(|lost| &lost.id),
            Phase::Absent { .. } | Phase::Intent(_) => self.former.last().and_then(|former| Some(&former.lost.as_ref()?.id)),
            _ => None,
        }
    }

    /// Of a name that has nothing now and is no half of a replacement: the id of what it had, where another one is asked about for
    /// that, and whether that was protected.
    pub(crate) fn asked_about(&self) -> Option<(&InstanceId, bool)> {
        let is_vacant = matches!(self.phase, Phase::Absent { .. }) && self.replaces.is_none() && !self.orphan_noted;
        let lost = || self.former.last().filter(|former| former.lost.is_some());
        // What another name has by now is protected there.
        let taken = self.taken.as_ref().map(|former| (&former.id, false));
        taken.or_else(|| lost().map(|former| (&former.id, former.is_protected))).filter(|_| is_vacant)
    }

    /// Where the token in this entry is sealed, if it is one of the record's.
    pub fn token_at(&self, entry: Serial) -> Option<&TokenAt> {
        let former = self.former.iter().filter_map(|former| former.lost.as_ref()?.token.as_ref());
        self.token().into_iter().chain(former).find(|token| token.entry == entry)
    }

    /// Where its token is, of an instance that is managed or was.
    pub fn token(&self) -> Option<&TokenAt> {
        match &self.phase {
            Phase::Retired { lost, .. } => lost.as_ref()?.token.as_ref(),
            Phase::Created(instance) | Phase::Released(instance) | Phase::Retiring(instance, _) => instance.token.as_ref(),
            _ => None,
        }
    }

    /// The journal entries that it refers to: a token, an answer, and tokens of what was called gone.
    pub fn entries(&self) -> impl Iterator<Item = Serial> {
        let former = self.former.iter().filter_map(|former| Some(former.lost.as_ref()?.token.as_ref()?.entry));
        self.entry().into_iter().chain(former)
    }

    /// The journal entry with its token, or with the answer to its open attempt.
    pub fn entry(&self) -> Option<Serial> {
        match &self.phase {
            Phase::Created(_) | Phase::Released(_) | Phase::Retiring(..) | Phase::Retired { .. } => {
                self.token().map(|token| token.entry)
            }
            Phase::Received(_, answer) => Some(*answer),
            Phase::InDoubt(_, doubt) => doubt.answer,
            Phase::Absent { .. } | Phase::Intent(_) => None,
        }
    }

    /// The instance, if it exists and is managed.
    pub fn instance(&self) -> Option<&Instance> {
        match &self.phase {
            Phase::Created(instance) => Some(instance),
            _ => None,
        }
    }

    /// The word for its phase in every output.
    pub fn status(&self) -> &'static str {
        match &self.phase {
            Phase::Absent { .. } => "absent",
            Phase::Intent(_) => "intent",
            Phase::InDoubt(..) => "in_doubt",
            Phase::Received(..) => "received",
            Phase::Created(Instance { token: None, .. }) => "token_missing",
            Phase::Created(_) => "created",
            Phase::Released(_) => "released",
            Phase::Retiring(..) => "retiring",
            Phase::Retired { .. } => "retired",
        }
    }
}

impl Instance {
    /// As a list shows it: without a token.
    pub(crate) fn listed(id: &InstanceId, api_url: Option<&ApiUrl>, since: Timestamp) -> Self {
        Self { id: id.clone(), api_url: api_url.cloned(), is_address_listed: api_url.is_some(), token: None, since }
    }
}
