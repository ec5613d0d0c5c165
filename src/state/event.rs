//! What can happen to a state, as the journal keeps it. Appending one of these is the only way in which a state changes.
//!
//! The field and variant names are a stored format (version [`FORMAT`]): they are written by one version and read by every
//! later one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{AttemptId, Binding, Checkpoint, KeptAnswer, KeptBody, KeptSecret, Lineage, PlanId, Record, Serial};
use crate::instance::{ApiUrl, InstanceId, InstanceName, InstanceType};
use crate::seal::{Recipients, Sealed};
use crate::secret::Secret;

/// The version of the stored format. A journal with a higher one is refused and left as it is.
///
/// 2: sealed texts ([`Event::Recipients`]), checkpoints and released names; [`Event::Created`] names the entry that has the token.
/// 3: deletes ([`Event::Retiring`] and what follows it, [`Event::Gone`]), and protected names.
pub const FORMAT: u32 = 3;

/// One line of the journal, without its hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number.
    pub serial: Serial,
    /// When it was written, by the writer's clock. Shown to people; no decision rests on it but the settling time.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// Who ran a command that changed the state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Who {
    /// The user's name, where the environment tells.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<String>,
    /// The machine's name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host: Option<String>,
    /// The CI job's address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub job: Option<String>,
    /// The commit that CI checked out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub commit: Option<String>,
}

/// An entry's content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The first entry of every journal.
    Genesis {
        /// [`FORMAT`] of the version that began it.
        format: u32,
        /// Drawn once.
        lineage: Lineage,
    },
    /// The state belongs to this server and account from here on.
    Bound(Binding),
    /// An operator says that the same account has another key, or another address, from here on.
    Rebound {
        /// What the state belongs to now.
        to: Binding,
        /// What shows that it is the same account.
        grounds: String,
    },
    /// A command that changes the state has begun; what follows is its doing.
    Run {
        /// The command: `apply`, `resolve`, …
        verb: String,
        /// The program's version.
        version: String,
        /// Who runs it.
        who: Who,
        /// Changes with each start of the machine: tells whether the page cache has survived since.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        boot: Option<String>,
        /// Milliseconds since that start: tells how long ago this was, whatever people do to the clock.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        up: Option<u64>,
        /// The saved plan that it carries out, which is spent with this entry.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        plan: Option<PlanId>,
        /// How many instances there are to be when it has created all that it wants to.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        aim: Option<u64>,
    },
    /// From here on the format is this one: what follows may be unknown to earlier versions.
    Format {
        /// [`FORMAT`] of the version that goes on.
        format: u32,
    },
    /// Secrets are sealed to these keys from here on; none: they are kept in the clear.
    Recipients {
        /// The keys.
        to: Recipients,
    },
    /// The first entry of a journal that goes on from an earlier one. The [`Event::Restored`] ones that follow belong to it.
    Checkpoint(Checkpoint),
    /// A record and what it refers to, as the earlier journal had it.
    Restored {
        /// The record.
        record: Record,
        /// The entries with its token and its answer.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        kept: Vec<Entry>,
    },
    /// A listing that open attempts refer to, as the earlier journal had it.
    RestoredFence {
        /// Its entry there.
        serial: Serial,
        /// The ids, sorted.
        ids: Vec<InstanceId>,
    },
    /// The server listed these ids, completely: the fence of the attempts that name this entry.
    Listed {
        /// The ids, sorted.
        ids: Vec<InstanceId>,
    },
    /// About to try. Nothing has been sent.
    Intent {
        /// The attempt.
        attempt: AttemptId,
        /// Its name.
        name: InstanceName,
        /// The type to ask for.
        kind: InstanceType,
        /// The [`Event::Listed`] entry that shows what existed before.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        fence: Option<Serial>,
    },
    /// Proven: the server never got the complete request. Closes the attempt.
    Unsent {
        /// The attempt.
        attempt: AttemptId,
        /// What proves it.
        reason: String,
    },
    /// From here on the server may have acted.
    Sent {
        /// The attempt.
        attempt: AttemptId,
    },
    /// The raw answer, kept before anything reads it. It may hold the token.
    Received {
        /// The attempt.
        attempt: AttemptId,
        /// The answer.
        answer: KeptAnswer,
    },
    /// The answer says that the instance exists.
    Created {
        /// The attempt.
        attempt: AttemptId,
        /// The server's id.
        id: InstanceId,
        /// Its address, where the answer had one.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        api_url: Option<ApiUrl>,
        /// The entry with the answer that holds its token, where it has one.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        token_in: Option<Serial>,
        /// The token itself, as format 1 kept it.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        token: Option<KeptSecret>,
    },
    /// The answer says that nothing was created. Closes the attempt.
    Refused {
        /// The attempt.
        attempt: AttemptId,
        /// The server's words, escaped and cut.
        reason: String,
    },
    /// Why a sent attempt is in doubt.
    Doubted {
        /// The attempt.
        attempt: AttemptId,
        /// What was seen.
        reason: String,
    },
    /// An operator, or a rule with evidence from the server, closes a doubt.
    Resolved {
        /// The attempt.
        attempt: AttemptId,
        /// What is held to be true from now on.
        verdict: Verdict,
        /// On what grounds.
        grounds: Grounds,
    },
    /// A token that the answer or the listing did not bring.
    TokenSet {
        /// The instance's name.
        name: InstanceName,
        /// The token.
        token: KeptSecret,
        /// Where the instance is, by an operator, where nobody else has told it. A program that does not know this knows no address.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        api_url: Option<ApiUrl>,
    },
    /// An instance that this state did not create, taken over as it is. Its token is missing.
    Adopted {
        /// Its name from now on.
        name: InstanceName,
        /// Its type.
        kind: InstanceType,
        /// The server's id.
        id: InstanceId,
        /// Its address, where the listing told.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        api_url: Option<ApiUrl>,
        /// Where the id is known from, for people.
        source: String,
        /// The server's list showed it, and somebody has given it its name just now: what is to be created may be it.
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        is_foreign: bool,
    },
    /// A name for an instance whose create was in doubt when its state was lost; it stays held.
    AdoptedDoubt {
        /// The attempt as the lock file names it.
        attempt: AttemptId,
        /// Its name.
        name: InstanceName,
        /// Its type.
        kind: InstanceType,
    },
    /// The instance has another name of ours from now on.
    Moved {
        /// The old name.
        from: InstanceName,
        /// The new name, unused until now.
        to: InstanceName,
    },
    /// The instance is managed no longer. It stays on the server; its id stays known.
    Released {
        /// Its name.
        name: InstanceName,
    },
    /// A released instance is managed again.
    Reclaimed {
        /// Its name.
        name: InstanceName,
    },
    /// About to delete it. Nothing has been sent.
    Retiring {
        /// The attempt.
        attempt: AttemptId,
        /// Its name.
        name: InstanceName,
        /// The id that is to be deleted, and nothing else.
        id: InstanceId,
        /// The operator says so although it is protected. Should it be kept, it is protected as before.
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        unprotected: bool,
    },
    /// From here on the server may have deleted it.
    RetireSent {
        /// The attempt.
        attempt: AttemptId,
    },
    /// It exists no longer. Closes the attempt.
    Retired {
        /// The attempt.
        attempt: AttemptId,
        /// What shows it.
        grounds: String,
    },
    /// It still exists. Closes the attempt.
    Kept {
        /// The attempt.
        attempt: AttemptId,
        /// Why.
        reason: String,
    },
    /// Somebody else has deleted it: a list that can be believed does not show it, and an operator wants another in its place.
    Gone {
        /// Its name.
        name: InstanceName,
        /// The id that it had.
        id: InstanceId,
        /// What shows it.
        grounds: String,
    },
    /// The name is to have a new instance: the one that it has is called otherwise from now on, until it is deleted.
    Replacing {
        /// The name that gets a new one.
        name: InstanceName,
        /// The name of the one that it has, unused until now.
        to: InstanceName,
    },
    /// Nothing is recorded under the name any more. There was nothing to lose.
    Forgotten {
        /// The name.
        name: InstanceName,
    },
    /// Whether it may be deleted, as the manifest says now.
    Protection {
        /// May not be deleted.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        protected: Vec<InstanceName>,
        /// May be deleted again.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        unprotected: Vec<InstanceName>,
    },
    /// An apply has shown these names as no longer declared, and those as declared again.
    Noted {
        /// No longer declared.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        orphaned: Vec<InstanceName>,
        /// Declared again.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        returned: Vec<InstanceName>,
    },
}

impl Entry {
    /// The same with every secret left out, sealed ones too: what is kept for the record.
    #[must_use]
    pub fn without_secrets(mut self) -> Self {
        match &mut self.event {
            Event::Received { answer, .. } => answer.body = KeptBody::Clear(Zeroizing::new(Vec::new())),
            Event::Created { token, .. } => *token = None,
            Event::TokenSet { token, .. } => *token = KeptSecret::Clear(Secret::new(String::new())),
            Event::Restored { kept, .. } => kept.clear(),
            _ => {}
        }
        self
    }
}

impl Event {
    /// For tests: an instance is taken in as it is, of the ordinary type.
    #[cfg(test)]
    pub(crate) fn adopted(name: &str, id: &str) -> Self {
        Self::Adopted {
            name: InstanceName::parse(name).expect("a name"),
            kind: InstanceType::WhatsApp,
            id: InstanceId::parse(id).expect("an id"),
            api_url: None,
            source: "a test".to_owned(),
            is_foreign: false,
        }
    }

    /// The instance that it is about, where it names one; most name their attempt instead.
    pub fn name(&self) -> Option<&InstanceName> {
        match self {
            Self::Intent { name, .. }
            | Self::TokenSet { name, .. }
            | Self::Adopted { name, .. }
            | Self::AdoptedDoubt { name, .. }
            | Self::Retiring { name, .. }
            | Self::Gone { name, .. }
            | Self::Replacing { name, .. }
            | Self::Forgotten { name }
            | Self::Released { name }
            | Self::Reclaimed { name }
            | Self::Moved { from: name, .. } => Some(name),
            Self::Restored { record, .. } => Some(&record.name),
            _ => None,
        }
    }

    /// The attempt that it is about.
    pub fn attempt(&self) -> Option<&AttemptId> {
        match self {
            Self::Intent { attempt, .. }
            | Self::Unsent { attempt, .. }
            | Self::Sent { attempt }
            | Self::Received { attempt, .. }
            | Self::Created { attempt, .. }
            | Self::Refused { attempt, .. }
            | Self::Doubted { attempt, .. }
            | Self::Resolved { attempt, .. }
            | Self::Retiring { attempt, .. }
            | Self::RetireSent { attempt }
            | Self::Retired { attempt, .. }
            | Self::Kept { attempt, .. }
            | Self::AdoptedDoubt { attempt, .. } => Some(attempt),
            _ => None,
        }
    }

    /// Whether a request may follow it that would not without it.
    pub const fn begins(&self) -> bool {
        matches!(self, Self::Intent { .. } | Self::Sent { .. } | Self::Retiring { .. } | Self::RetireSent { .. })
    }

    /// Whether it holds a token, or an answer that may hold one, which nobody sealed.
    pub fn holds_secret_in_clear(&self) -> bool {
        match self {
            Self::Received { answer, .. } => matches!(answer.body, KeptBody::Clear(_)),
            Self::Created { token, .. } => matches!(token, Some(KeptSecret::Clear(_))),
            Self::TokenSet { token, .. } => matches!(token, KeptSecret::Clear(_)),
            _ => false,
        }
    }

    /// The sealed text in it: a token, or an answer.
    pub fn sealed(&self) -> Option<&Sealed> {
        match self {
            Self::Received { answer, .. } => match &answer.body {
                KeptBody::Sealed(sealed) => Some(sealed),
                KeptBody::Clear(_) => None,
            },
            Self::Created { token: Some(KeptSecret::Sealed(sealed)), .. }
            | Self::TokenSet { token: KeptSecret::Sealed(sealed), .. } => Some(sealed),
            _ => None,
        }
    }

    /// The format that holds from this entry on, where it says one.
    pub const fn format(&self) -> Option<u32> {
        match self {
            Self::Genesis { format, .. } | Self::Format { format } => Some(*format),
            Self::Checkpoint(checkpoint) => Some(checkpoint.format),
            _ => None,
        }
    }

    /// Its word in the journal.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Genesis { .. } => "genesis",
            Self::Bound(_) => "bound",
            Self::Rebound { .. } => "rebound",
            Self::Run { .. } => "run",
            Self::Format { .. } => "format",
            Self::Recipients { .. } => "recipients",
            Self::Checkpoint(_) => "checkpoint",
            Self::Restored { .. } => "restored",
            Self::RestoredFence { .. } => "restored_fence",
            Self::Listed { .. } => "listed",
            Self::Intent { .. } => "intent",
            Self::Unsent { .. } => "unsent",
            Self::Sent { .. } => "sent",
            Self::Received { .. } => "received",
            Self::Created { .. } => "created",
            Self::Refused { .. } => "refused",
            Self::Doubted { .. } => "doubted",
            Self::Resolved { .. } => "resolved",
            Self::TokenSet { .. } => "token_set",
            Self::Adopted { .. } => "adopted",
            Self::AdoptedDoubt { .. } => "adopted_doubt",
            Self::Moved { .. } => "moved",
            Self::Released { .. } => "released",
            Self::Reclaimed { .. } => "reclaimed",
            Self::Retiring { .. } => "retiring",
            Self::RetireSent { .. } => "retire_sent",
            Self::Retired { .. } => "retired",
            Self::Kept { .. } => "kept",
            Self::Gone { .. } => "gone",
            Self::Replacing { .. } => "replacing",
            Self::Forgotten { .. } => "forgotten",
            Self::Protection { .. } => "protection",
            Self::Noted { .. } => "noted",
        }
    }
}

/// The verdict on a doubt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It exists. The token is missing until it is set.
    Created {
        /// The server's id.
        id: InstanceId,
        /// Its address, where the listing told.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        api_url: Option<ApiUrl>,
    },
    /// It was never created: the name may be tried again.
    NotCreated,
}

/// The evidence behind a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grounds {
    /// `operator`, or the rule that decided.
    pub by: String,
    /// The operator's words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The ids that the server listed at that moment and that the state did not know; none: no list was had.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub candidates: Option<Vec<InstanceId>>,
}
