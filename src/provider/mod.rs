//! The port to a server: [`Provider`], and what it can say of a request.
//!
//! Three outcomes of a create, never two: not sent, refused, in doubt; and created. How far a request got is the transport's
//! knowledge ([`Exchange`]); what an answer proves is [`certainty`]'s, which is pure and is asked only after the answer was
//! recorded. Nothing here knows of files, states or plans.

mod body;
pub mod certainty;
mod http;
mod instance;
mod listing;
mod url;
pub mod wire;

use std::future::Future;
use std::pin::Pin;

pub use http::{ApiKey, ApiKeyError, DeleteError, HttpProvider, Limits, SetupError, read_listing};
pub use instance::{InstanceStatus, Instances, StatusError, read_status};
pub use url::{BaseUrl, BaseUrlError};

use crate::instance::{InstanceId, InstanceType};
use crate::listing::Listing;
use crate::state::{Answer, AttemptId, Origin};

/// A boxed future, so that a [`Provider`] can stand behind `dyn`.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What to create. There is no name in it: the protocol has no field for one.
#[derive(Debug, Clone)]
pub struct CreateRequest {
    /// The type.
    pub kind: InstanceType,
    /// Sent as `X-Request-Id`, for the server's log only.
    pub attempt: Option<AttemptId>,
}

/// A server that can create instances.
pub trait Provider: Send + Sync {
    /// Whom the state is bound to.
    fn origin(&self) -> &Origin;

    /// Opens a connection for one create and stops before the request can be complete on the other side.
    fn connect(&self, request: CreateRequest) -> Pending<'_, Result<Box<dyn Ready>, Unsent>>;

    /// What an answer proves, in words that do not hold the key even if the server repeats it.
    fn judge(&self, answer: &Answer) -> certainty::Verdict {
        certainty::judge(answer)
    }

    /// Deletes the instance `id`. An error says how far the request got; the same delete may be sent again.
    fn delete(&self, id: &InstanceId) -> Pending<'_, Result<(), DeleteError>>;

    /// Lists the account's instances.
    fn list(&self) -> Pending<'_, Result<Listing, ListError>>;
}

/// A create whose connection stands and whose body has not been handed over. Dropping it sends nothing.
#[must_use = "nothing is created before `send`"]
pub trait Ready: Send {
    /// Sends the request. From here on the server may act.
    fn send(self: Box<Self>) -> Pending<'static, Exchange>;
}

/// How far a sent request got.
#[derive(Debug)]
pub enum Exchange {
    /// Proven: no complete request has left this process.
    Unsent(Unsent),
    /// An answer, whole or in part.
    Answered(Answer),
    /// The request may have arrived, and there is no answer.
    Cut {
        /// What was seen.
        reason: String,
    },
}

/// Proven: the server never got the complete request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsent {
    /// What happened, without any address that carries a secret.
    pub reason: String,
    /// Whether another try can help.
    pub advice: Advice,
}

impl Unsent {
    /// Given up by ourselves before it was let go.
    pub fn stopped() -> Self {
        Self { reason: "the run stopped before it was sent".to_owned(), advice: Advice::TryAgain }
    }
}

/// Whether another try of an unsent request can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// It may pass.
    TryAgain,
    /// It will not pass by itself: a certificate that does not verify, for example.
    Stop,
}

/// Why there is no listing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// The server has no such function.
    #[error("the server does not list instances (status {0})")]
    Unsupported(u16),
    /// The server says no.
    #[error("the server refuses to list instances: {0}")]
    Refused(String),
    /// No usable answer.
    #[error("the instances cannot be listed: {0}")]
    Failed(String),
}
