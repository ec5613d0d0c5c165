//! What the journal keeps of secrets: tokens and raw answers, sealed to the state's recipients, or in the clear where it has none.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use super::{AttemptId, Lineage};
use crate::instance::{ApiUrl, InstanceId, InstanceName};
use crate::seal::{About, Identity, OpenError, Recipients, SealError, Sealed};
use crate::secret::Secret;

/// A raw answer: its status and its bytes, unread.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status code.
    pub status: u16,
    /// Whether the whole body arrived. A part is kept too: it may hold the token.
    pub complete: bool,
    /// Seconds from `Retry-After`, where it was a number.
    pub retry_after: Option<u64>,
    /// The body, at most 1 MiB. May hold the token: `Debug` shows its length only.
    pub body: Vec<u8>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({}, {} bytes, complete: {})", self.status, self.body.len(), self.complete)
    }
}

/// An answer as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptAnswer {
    /// The HTTP status code.
    pub status: u16,
    /// Whether the whole body arrived.
    pub complete: bool,
    /// Seconds from `Retry-After`, where it was a number.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_after: Option<u64>,
    /// The body.
    pub body: KeptBody,
    /// What it proves, without its token, where the body is sealed: whoever finishes this attempt may be unable to open it.
    /// None: reading it failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub outline: Option<Outline>,
}

/// An answer's body.
#[derive(Clone, PartialEq, Eq)]
pub enum KeptBody {
    /// As it came.
    Clear(Zeroizing<Vec<u8>>),
    /// Sealed as `answer`, under its attempt and name.
    Sealed(Sealed),
}

/// A token on its own.
#[derive(Clone, PartialEq, Eq)]
pub enum KeptSecret {
    /// As it is.
    Clear(Secret),
    /// Sealed as `token`, under its name.
    Sealed(Sealed),
}

/// What an answer proves, without any secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outline {
    /// The instance exists.
    Created {
        /// The server's id.
        id: InstanceId,
        /// Its address, where the answer had a usable one.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        api_url: Option<ApiUrl>,
        /// Whether the answer has its token.
        has_token: bool,
    },
    /// Nothing was created.
    Refused {
        /// Why, in the server's words, escaped.
        reason: String,
        /// Whether every other create would be refused too.
        for_all: bool,
    },
    /// Nothing was created, and the server asks to come again.
    Later {
        /// Seconds, where the server said.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        after: Option<u64>,
        /// The status, for people.
        reason: String,
    },
    /// Nothing is proven.
    Doubt {
        /// What is odd about it.
        reason: String,
    },
}

impl Outline {
    /// The same of an answer whose token is gone.
    #[must_use]
    pub fn without_token(self) -> Self {
        match self {
            Self::Created { id, api_url, .. } => Self::Created { id, api_url, has_token: false },
            other => other,
        }
    }
}

impl Outline {
    /// The same without anything that the server said but its status and an id.
    #[must_use]
    pub fn without_words(self, status: u16) -> Self {
        let said = format!("status {status}");
        match self {
            Self::Refused { for_all, .. } => Self::Refused { reason: said, for_all },
            Self::Later { after, .. } => Self::Later { after, reason: said },
            Self::Doubt { .. } => Self::Doubt { reason: format!("{said} proves nothing") },
            created @ Self::Created { .. } => created,
        }
    }
}

impl From<Answer> for KeptAnswer {
    /// In the clear.
    fn from(answer: Answer) -> Self {
        let Answer { status, complete, retry_after, body } = answer;
        Self { status, complete, retry_after, body: KeptBody::Clear(Zeroizing::new(body)), outline: None }
    }
}

impl KeptAnswer {
    /// `answer` for the journal. `outline` is kept only beside a sealed body.
    pub fn keep(
        answer: &Answer,
        outline: Option<Outline>,
        recipients: &Recipients,
        about: &About<'_>,
    ) -> Result<Self, SealError> {
        let (body, outline) = if recipients.is_empty() {
            (KeptBody::Clear(Zeroizing::new(answer.body.clone())), None)
        } else {
            (KeptBody::Sealed(Sealed::seal(&answer.body, recipients, about)?), outline)
        };
        Ok(Self { status: answer.status, complete: answer.complete, retry_after: answer.retry_after, body, outline })
    }

    /// The answer as it came.
    pub fn open(&self, identities: &[Identity], about: &About<'_>) -> Result<Answer, OpenError> {
        let body = match &self.body {
            KeptBody::Clear(body) => body.to_vec(),
            KeptBody::Sealed(sealed) => sealed.open(identities, about)?.to_vec(),
        };
        Ok(self.with_body(body))
    }

    /// The answer as it came, if nobody sealed it.
    pub fn clear(&self) -> Option<Answer> {
        match &self.body {
            KeptBody::Clear(_) if self.outline.is_some() => None,
            KeptBody::Clear(body) => Some(self.with_body(body.to_vec())),
            KeptBody::Sealed(_) => None,
        }
    }

    fn with_body(&self, body: Vec<u8>) -> Answer {
        Answer { status: self.status, complete: self.complete, retry_after: self.retry_after, body }
    }
}

impl KeptSecret {
    /// `secret` for the journal.
    pub fn keep(secret: Secret, recipients: &Recipients, about: &About<'_>) -> Result<Self, SealError> {
        if recipients.is_empty() {
            return Ok(Self::Clear(secret));
        }
        Ok(Self::Sealed(Sealed::seal(secret.expose().as_bytes(), recipients, about)?))
    }

    /// The secret itself.
    pub fn open(&self, identities: &[Identity], about: &About<'_>) -> Result<Secret, OpenError> {
        match self {
            Self::Clear(secret) => Ok(secret.clone()),
            Self::Sealed(sealed) => {
                let bytes = sealed.open(identities, about)?;
                String::from_utf8(bytes.to_vec()).map(Secret::new).map_err(|_| OpenError::Altered)
            }
        }
    }
}

/// The words under which the answer to `attempt` is sealed.
pub fn about_answer<'a>(lineage: &'a Lineage, name: &'a InstanceName, attempt: &'a AttemptId) -> About<'a> {
    About { what: "answer", lineage: lineage.as_str(), name: name.as_str(), attempt: attempt.as_str() }
}

/// The words under which a token that an operator set is sealed.
pub fn about_token<'a>(lineage: &'a Lineage, name: &'a InstanceName) -> About<'a> {
    About { what: "token", lineage: lineage.as_str(), name: name.as_str(), attempt: "" }
}

/// In the clear a text, sealed an object.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form<'a> {
    Clear(std::borrow::Cow<'a, str>),
    Sealed(std::borrow::Cow<'a, Sealed>),
}

impl Serialize for KeptBody {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Clear(body) => to.serialize_str(&Zeroizing::new(STANDARD.encode(&**body))),
            Self::Sealed(sealed) => sealed.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for KeptBody {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Form::deserialize(from)? {
            Form::Clear(text) => {
                let body = STANDARD.decode(text.as_bytes()).map_err(|_| de::Error::custom("not base64"))?;
                Ok(Self::Clear(Zeroizing::new(body)))
            }
            Form::Sealed(sealed) => Ok(Self::Sealed(sealed.into_owned())),
        }
    }
}

impl fmt::Debug for KeptBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clear(body) => write!(f, "{} bytes", body.len()),
            Self::Sealed(_) => f.write_str("sealed"),
        }
    }
}

impl Serialize for KeptSecret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Clear(secret) => to.serialize_str(secret.expose()),
            Self::Sealed(sealed) => sealed.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for KeptSecret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(match Form::deserialize(from)? {
            Form::Clear(text) => Self::Clear(Secret::new(text.into_owned())),
            Form::Sealed(sealed) => Self::Sealed(sealed.into_owned()),
        })
    }
}

impl fmt::Debug for KeptSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clear(_) => crate::secret::REDACTED,
            Self::Sealed(_) => "sealed",
        })
    }
}
