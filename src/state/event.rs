//! What can happen to a state, as the journal keeps it. Appending one of these is the only way in which a state changes.
//!
//! The field and variant names are a stored format (version [`FORMAT`]): they are written by one version and read by every
//! later one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AttemptId, Binding, Lineage, Serial};
use crate::instance::{ApiUrl, InstanceId, InstanceName, InstanceType};
use crate::secret::{Secret, kept};

/// The version of the stored format. A journal with a higher one is refused and left as it is.
pub const FORMAT: u32 = 1;

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
        answer: Answer,
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
        /// Its token, where the answer had one.
        #[serde(with = "kept", skip_serializing_if = "Option::is_none", default)]
        token: Option<Secret>,
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
        #[serde(with = "kept", default)]
        token: Option<Secret>,
    },
    /// An instance that this state did not create, taken over as it is. Its token is missing.
    Adopted {
        /// Its name from now on.
        name: InstanceName,
        /// Its type.
        kind: InstanceType,
        /// The server's id.
        id: InstanceId,
        /// Where the id is known from, for people.
        source: String,
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

impl Event {
    /// Its word in the journal.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Genesis { .. } => "genesis",
            Self::Bound(_) => "bound",
            Self::Run { .. } => "run",
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

/// A raw answer: its status and its bytes, unread.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The HTTP status code.
    pub status: u16,
    /// Whether the whole body arrived. A part is kept too: it may hold the token.
    pub complete: bool,
    /// Seconds from `Retry-After`, where it was a number.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_after: Option<u64>,
    /// The body, at most 1 MiB. May hold the token: `Debug` shows its length only.
    #[serde(with = "raw")]
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer({}, {} bytes, complete: {})", self.status, self.body.len(), self.complete)
    }
}

/// Bytes as base64 text.
mod raw {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        STANDARD.decode(text.as_bytes()).map_err(|_| de::Error::custom("not base64"))
    }
}
