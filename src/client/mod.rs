//! The operations of the protocol for programs: [`Client`] for asynchronous code, [`blocking::Client`] for the rest.
//!
//! A create is sent at most once, whatever happens, and its error says which of three things is true: it was not sent, it was
//! refused, or nobody knows ([`CreateError`]). This client records nothing: whoever calls it keeps the token, which no later
//! call can bring back. [`crate::apply`] is the caller that does.

pub mod blocking;

use std::fmt;
use std::time::Duration;

pub use crate::listing::{ListedInstance, Listing};
pub use crate::provider::{ApiKeyError, BaseUrlError, DeleteError, ListError, SetupError};

use crate::instance::{ApiUrl, InstanceId, InstanceType};
use crate::provider::certainty::Verdict;
use crate::provider::{ApiKey, BaseUrl, CreateRequest, Exchange, HttpProvider, Limits, Provider};
use crate::secret::Secret;

/// What to create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreateInstanceRequest {
    /// The type of the instance.
    pub kind: InstanceType,
}

impl From<InstanceType> for CreateInstanceRequest {
    fn from(kind: InstanceType) -> Self {
        Self { kind }
    }
}

/// The server's word for what it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationStatus {
    /// A new instance exists.
    Created,
}

impl fmt::Display for OperationStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created => f.pad("created"),
        }
    }
}

/// The parameters of a new instance.
#[derive(Debug, Clone)]
pub struct InstanceParameters {
    /// Its unique id.
    pub id: InstanceId,
    /// Where it is reached; none if the answer had no usable address.
    pub api_url: Option<ApiUrl>,
    /// The secret that grants access to it, shown this one time; none if the answer had none.
    pub token: Option<Secret>,
}

/// The result of a create.
#[derive(Debug, Clone)]
#[must_use = "the token is shown this one time"]
pub struct CreateInstanceResult {
    /// What the server did.
    pub status: OperationStatus,
    /// The new instance.
    pub instance_parameters: InstanceParameters,
}

impl fmt::Display for CreateInstanceResult {
    /// One member a line; the token is redacted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InstanceParameters { id, api_url, token } = &self.instance_parameters;
        let api_url = api_url.as_ref().map_or("(none)", ApiUrl::as_str);
        let token = token.as_ref().map_or("(none)", |_| crate::secret::REDACTED);
        write!(f, "status:  {}\nid:      {id}\napi_url: {api_url}\ntoken:   {token}", self.status)
    }
}

/// Why a create gave no instance. The three are never to be confused: only the first two may be tried again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// Proven: the server never got the request.
    #[error("the request was not sent: {0}")]
    NotSent(String),
    /// Proven: the server created nothing.
    #[error("the server refused: {0}")]
    Refused(String),
    /// The request may have arrived. A paid instance may exist; its token is lost.
    #[error("in doubt whether an instance was created: {0}")]
    InDoubt(String),
}

/// A client could not be set up. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address.
    #[error(transparent)]
    BaseUrl(#[from] BaseUrlError),
    /// The key.
    #[error(transparent)]
    ApiKey(#[from] ApiKeyError),
    /// The transport.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

/// How a client is set up.
#[derive(Debug, Clone)]
pub struct ClientBuilder {
    base_url: String,
    api_key: Secret,
    limits: Limits,
}

impl ClientBuilder {
    /// How long DNS, TCP and TLS may take together; 10 s if not said.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.limits.connect = limit;
        self
    }

    /// How long an answer may take from the request to its last byte; 60 s if not said.
    #[must_use]
    pub fn answer_timeout(mut self, limit: Duration) -> Self {
        self.limits.answer = limit;
        self
    }

    /// An asynchronous client.
    pub fn build(self) -> Result<Client, ClientError> {
        let base = BaseUrl::parse(&self.base_url)?;
        let key = ApiKey::new(&self.api_key)?;
        Ok(Client { provider: HttpProvider::new(base, key, self.limits)? })
    }

    /// A client for code that is not asynchronous.
    pub fn build_blocking(self) -> Result<blocking::Client, blocking::BlockingClientError> {
        blocking::Client::new(self)
    }
}

/// A server and an account.
#[derive(Debug)]
pub struct Client {
    provider: HttpProvider,
}

impl Client {
    /// The server's base address (https, or http to this machine) and the account's API key.
    pub fn builder(base_url: impl Into<String>, api_key: Secret) -> ClientBuilder {
        ClientBuilder { base_url: base_url.into(), api_key, limits: Limits::default() }
    }

    /// Creates an instance. Sent at most once.
    ///
    /// Dropping the future after its first poll leaves it unknown whether an instance was created.
    pub async fn create_instance(&self, request: impl Into<CreateInstanceRequest>) -> Result<CreateInstanceResult, CreateError> {
        let request = CreateRequest { kind: request.into().kind, attempt: None };
        let ready = self.provider.connect(request).await.map_err(|unsent| CreateError::NotSent(unsent.reason))?;
        let answer = match ready.send().await {
            Exchange::Unsent(unsent) => return Err(CreateError::NotSent(unsent.reason)),
            Exchange::Cut { reason } => return Err(CreateError::InDoubt(reason)),
            Exchange::Answered(answer) => answer,
        };
        match self.provider.judge(&answer) {
            Verdict::Created(instance) => Ok(CreateInstanceResult {
                status: OperationStatus::Created,
                instance_parameters: InstanceParameters { id: instance.id, api_url: instance.api_url, token: instance.token },
            }),
            Verdict::Refused { reason, .. } | Verdict::Later { reason, .. } => Err(CreateError::Refused(reason)),
            Verdict::Doubt { reason } => Err(CreateError::InDoubt(reason)),
        }
    }

    /// Lists the account's instances, without tokens.
    pub async fn list_instances(&self) -> Result<Listing, ListError> {
        self.provider.list().await
    }

    /// Deletes an instance.
    pub async fn delete_instance(&self, id: &InstanceId) -> Result<(), DeleteError> {
        self.provider.delete(id).await
    }
}
