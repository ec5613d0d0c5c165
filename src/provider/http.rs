//! The transport of the account. With `body`, `url` and `instance` it alone names the HTTP client.
//!
//! Every request has a connection of its own over HTTP/1.1; no redirect is followed, nothing is sent twice by the library, no
//! cookie, no compression. An https server may be behind a proxy, which sees a CONNECT and nothing else; plain http goes to
//! this machine and through no proxy. The addresses of requests carry the key in the listing: no error of the library is ever
//! shown as it is.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use tokio::time::{Instant, timeout_at};

use super::body::{Gate, Handle, HeldBody};
use super::certainty::{LATER, Verdict, judge_without, quote, quote_without};
use super::wire::{self, Envelope};
use super::{Advice, BaseUrl, CreateRequest, Exchange, ListError, Pending, Provider, Ready, Unsent};
use crate::failpoint;
use crate::instance::InstanceId;
use crate::listing::Listing;
use crate::secret::{Redactor, SEARCHED_FROM, Secret};
use crate::state::{Answer, KeyFingerprint, Lineage, Origin};
use crate::text::hex;

/// Bytes of an answer to a create or delete that are read; a longer one is cut.
const ANSWER_MAX: usize = 1_024 * 1_024;
/// Bytes of a listing that are read; a longer one is no listing.
const LISTING_MAX: usize = 32 * 1_024 * 1_024;

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until a connection stands: DNS, TCP and TLS.
    pub connect: Duration,
    /// From the request's body to the end of the answer.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), answer: Duration::from_mins(1) }
    }
}

/// The account's key, in a form that fits into a request.
#[derive(Debug, Clone)]
pub struct ApiKey(Secret);

/// Why a text is no key. Never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    /// Nothing in it.
    #[error("the API key is empty")]
    Empty,
    /// Spaces, line feeds or characters outside ASCII inside.
    #[error("the API key holds a space, a line feed or another character that no key has")]
    Character,
    /// Too short to be told from an ordinary word, so that it could not be kept out of what a server says.
    #[error("the API key has fewer than {SEARCHED_FROM} characters: too short to be kept out of messages; real ones have 28")]
    Short,
    /// Far too long.
    #[error("the API key is longer than 512 characters")]
    Long,
}

impl ApiKey {
    /// Checks `secret`; surrounding white space, such as a file's last line feed, is dropped.
    pub fn new(secret: &Secret) -> Result<Self, ApiKeyError> {
        let text = secret.expose().trim();
        match text {
            "" => Err(ApiKeyError::Empty),
            _ if text.len() < SEARCHED_FROM => Err(ApiKeyError::Short),
            _ if text.len() > 512 => Err(ApiKeyError::Long),
            _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => Err(ApiKeyError::Character),
            _ => Ok(Self(Secret::new(text.to_owned()))),
        }
    }

    /// Tells this key from others in a state of `lineage` on the server at `origin`, and gives nothing away. Whoever has not got the key
    /// can make none for another server.
    pub fn fingerprint(&self, lineage: &Lineage, origin: &Origin) -> KeyFingerprint {
        let length = (origin.0.len() as u64).to_be_bytes();
        let tag = self.tag(lineage, &[b"origin and key", &length, origin.0.as_bytes()]);
        KeyFingerprint(format!("{}{tag}", KeyFingerprint::OF_ORIGIN))
    }

    /// What stands in states that were bound before the fingerprint was of a server too: it proves the key, and no address.
    pub fn early_fingerprint(&self, lineage: &Lineage) -> KeyFingerprint {
        KeyFingerprint(self.tag(lineage, &[]))
    }

    /// An HMAC, cut to 16 bytes.
    fn tag(&self, lineage: &Lineage, before: &[&[u8]]) -> String {
        let salt = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, lineage.as_str().as_bytes());
        let mut tag = ring::hmac::Context::with_key(&salt);
        for part in before.iter().chain([&self.0.expose().as_bytes()]) {
            tag.update(part);
        }
        hex(tag.sign().as_ref().get(..16).unwrap_or_default())
    }
}

/// The transport could not be set up; nothing was sent.
#[derive(Debug, thiserror::Error)]
#[error("the HTTPS client cannot be set up: {0}")]
pub struct SetupError(String);

/// A server of the protocol over HTTP.
pub struct HttpProvider {
    client: Client,
    base: BaseUrl,
    origin: Origin,
    key: ApiKey,
    redactor: Redactor,
    limits: Limits,
}

impl fmt::Debug for HttpProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpProvider({})", self.origin)
    }
}

impl HttpProvider {
    /// Sets up the transport. Reads the system's certificates for https, nothing for http.
    pub fn new(base: BaseUrl, key: ApiKey, limits: Limits) -> Result<Self, SetupError> {
        let client = client(limits, base.is_plain())?;
        let origin = base.origin();
        let redactor = Redactor::of(&key.0);
        Ok(Self { client, base, origin, key, redactor, limits })
    }

    /// The same server under another origin: the embedded emulator's port changes, its state does not.
    pub fn with_origin(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    /// Deletes the instance `id`. Any outcome but `Ok` means that it may still exist.
    pub async fn delete(&self, id: &InstanceId) -> Result<(), DeleteError> {
        let content = wire::delete_body(&self.key.0, id).to_vec();
        let request = self.client.post(self.base.function(wire::DELETE_INSTANCE)).header(CONTENT_TYPE, "application/json");
        let deadline = Instant::now() + self.limits.connect + self.limits.answer;
        let answer = match timeout_at(deadline, request.body(content).send()).await {
            Err(_) => return Err(DeleteError::InDoubt("there was no answer in time".to_owned())),
            Ok(Err(error)) if is_unsent(&error) => return Err(DeleteError::NotSent(describe(&error))),
            Ok(Err(error)) => return Err(DeleteError::InDoubt(describe(&error))),
            Ok(Ok(response)) => read_answer(response, ANSWER_MAX, deadline).await,
        };
        let envelope = Envelope::read(&answer.body).filter(|_| answer.complete);
        let has_result = envelope.as_ref().is_some_and(|envelope| envelope.result().is_some());
        match envelope {
            _ if answer.complete && LATER.contains(&answer.status) && !has_result => {
                Err(DeleteError::Later { after: answer.retry_after, reason: format!("status {}", answer.status) })
            }
            Some(envelope) if wire::is_deleted(envelope.result_value().as_ref()) => Ok(()),
            Some(envelope) if answer.status < 500 => match envelope.error() {
                Some(error) => Err(DeleteError::Refused(quote_without(&self.redactor, error))),
                None => Err(DeleteError::InDoubt(format!("the answer (status {}) does not say `deleted`", answer.status))),
            },
            _ => Err(DeleteError::InDoubt(format!("the answer (status {}) cannot be read", answer.status))),
        }
    }

    async fn open(&self, request: CreateRequest) -> Result<Box<dyn Ready>, Unsent> {
        failpoint::at("connecting").map_err(|error| never_left(&error))?;
        let (body, Handle { gate, mut reached, permit }) = HeldBody::new(wire::create_body(&self.key.0, request.kind));
        let mut call = self.client.post(self.base.function(wire::NEW_INSTANCE)).header(CONTENT_TYPE, "application/json");
        if let Some(attempt) = &request.attempt {
            call = call.header("x-request-id", attempt.as_str());
        }
        let call = call.body(reqwest::Body::wrap(body));
        let mut response: Pending<'static, _> = Box::pin(call.send());
        let deadline = Instant::now() + self.limits.connect + Duration::from_secs(1);
        tokio::select! {
            biased;
            Ok(()) = &mut reached => {
                failpoint::at("connected").map_err(|error| never_left(&error))?;
                let (limit, redactor) = (self.limits.answer, self.redactor.clone());
                Ok(Box::new(ReadyRequest { response, gate, permit, limit, redactor }))
            }
            early = &mut response => Err(never_asked(early, &gate)),
            () = tokio::time::sleep_until(deadline) => {
                gate.close();
                Err(Unsent { reason: "the connection did not stand in time".to_owned(), advice: Advice::TryAgain })
            }
        }
    }

    async fn fetch(&self) -> Result<Listing, ListError> {
        let mut address = self.base.function(wire::LIST_INSTANCES);
        address.query_pairs_mut().append_pair("uid", self.key.0.expose());
        let deadline = Instant::now() + self.limits.connect + self.limits.answer;
        let response = match timeout_at(deadline, self.client.get(address).send()).await {
            Err(_) => return Err(ListError::Failed("there was no answer in time".to_owned())),
            Ok(Err(error)) => return Err(ListError::Failed(describe(&error))),
            Ok(Ok(response)) => response,
        };
        read_listing(&read_answer(response, LISTING_MAX, deadline).await, &self.redactor)
    }
}

/// A client for https alone, or for plain http to this machine alone.
pub(super) fn client(limits: Limits, is_plain: bool) -> Result<Client, SetupError> {
    // A second call finds the first one's provider in place, which is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .http1_only()
        .pool_max_idle_per_host(0)
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(limits.connect)
        .https_only(!is_plain)
        .user_agent(concat!("chatapi/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers());
    let builder = if is_plain {
        let here = [std::net::SocketAddr::from(([127, 0, 0, 1], 0))];
        builder.no_proxy().tls_certs_only(std::iter::empty()).resolve_to_addrs("localhost", &here)
    } else {
        builder
    };
    builder.build().map_err(|error| SetupError(describe(&error)))
}

/// Why a delete did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeleteError {
    /// The request did not leave this machine.
    #[error("the request was not sent: {0}")]
    NotSent(String),
    /// The server says no.
    #[error("the server refuses: {0}")]
    Refused(String),
    /// The server has done nothing, and asks to come again.
    #[error("the server asks to wait: {reason}")]
    Later {
        /// Seconds, where the server said.
        after: Option<u64>,
        /// The status, for people.
        reason: String,
    },
    /// Nobody knows: list, and delete again if it is still there.
    #[error("in doubt: {0}")]
    InDoubt(String),
}

/// What an answer to a listing shows; nothing of it holds `secret`. Pure.
pub fn read_listing(answer: &Answer, secret: &Redactor) -> Result<Listing, ListError> {
    let status = answer.status;
    if matches!(status, 404 | 405 | 501) {
        return Err(ListError::Unsupported(status));
    }
    if !answer.complete {
        return Err(ListError::Failed(format!("the answer (status {status}) broke off or is too long")));
    }
    let unreadable = || ListError::Failed(format!("the answer (status {status}) cannot be read"));
    let envelope = Envelope::read(&answer.body).ok_or_else(unreadable)?;
    if let Some(error) = envelope.error() {
        return Err(ListError::Refused(format!("{} (status {status})", quote_without(secret, error))));
    }
    if status != 200 {
        return Err(unreadable());
    }
    let mut listing = envelope.result_json().and_then(Listing::read).ok_or_else(unreadable)?;
    listing.conceal(secret);
    Ok(listing)
}

impl Provider for HttpProvider {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn connect(&self, request: CreateRequest) -> Pending<'_, Result<Box<dyn Ready>, Unsent>> {
        Box::pin(self.open(request))
    }

    fn judge(&self, answer: &Answer) -> Verdict {
        judge_without(&self.redactor, answer)
    }

    fn delete(&self, id: &InstanceId) -> Pending<'_, Result<(), DeleteError>> {
        let id = id.clone();
        Box::pin(async move { Self::delete(self, &id).await })
    }

    fn list(&self) -> Pending<'_, Result<Listing, ListError>> {
        Box::pin(self.fetch())
    }
}

/// A create whose connection has asked for the body.
struct ReadyRequest {
    response: Pending<'static, Result<Response, reqwest::Error>>,
    gate: Arc<Gate>,
    permit: tokio::sync::oneshot::Sender<()>,
    limit: Duration,
    redactor: Redactor,
}

impl Ready for ReadyRequest {
    fn send(self: Box<Self>) -> Pending<'static, Exchange> {
        Box::pin(async move {
            let Self { response, gate, permit, limit, redactor } = *self;
            let deadline = Instant::now() + limit;
            if permit.send(()).is_err() {
                gate.close();
            }
            match timeout_at(deadline, response).await {
                Ok(Ok(response)) => {
                    if let Err(error) = failpoint::at("answer-begun") {
                        return cut(&gate, &error.to_string());
                    }
                    let answer = read_answer(response, ANSWER_MAX, deadline).await;
                    if let Err(error) = failpoint::at("answer-read") {
                        return cut(&gate, &error.to_string());
                    }
                    Exchange::Answered(without_echo(&redactor, answer))
                }
                Ok(Err(error)) => cut(&gate, &describe(&error)),
                Err(_) => cut(&gate, &format!("there was no answer within {limit:?}")),
            }
        })
    }
}

/// The request ended without an answer after it was let go: unsent only if the body was never taken.
fn cut(gate: &Gate, reason: &str) -> Exchange {
    if gate.close() {
        return Exchange::Unsent(Unsent { reason: reason.to_owned(), advice: Advice::TryAgain });
    }
    Exchange::Cut { reason: reason.to_owned() }
}

/// Trouble before the body was asked for.
fn never_left(error: &io::Error) -> Unsent {
    Unsent { reason: error.to_string(), advice: Advice::TryAgain }
}

/// The request ended before its body was asked for: a server that answers a head without body has not read the key.
fn never_asked(early: Result<Response, reqwest::Error>, gate: &Gate) -> Unsent {
    gate.close();
    match early {
        Ok(response) => Unsent {
            reason: format!("the server answered (status {}) before the request was sent", response.status().as_u16()),
            advice: Advice::TryAgain,
        },
        Err(error) => Unsent { reason: describe(&error), advice: advice(&error) },
    }
}

/// Reads what there is of an answer; [`Answer::complete`] says whether that is all. Never fails: a part may hold the token.
pub(super) async fn read_answer(mut response: Response, max: usize, deadline: Instant) -> Answer {
    let encoded = response.headers().get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity");
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let mut answer = Answer { status: response.status().as_u16(), complete: false, retry_after, body: Vec::new() };
    loop {
        match timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                let room = max - answer.body.len();
                answer.body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
                if chunk.len() > room {
                    return answer;
                }
            }
            Ok(Ok(None)) => {
                answer.complete = !encoded;
                return answer;
            }
            Ok(Err(_)) | Err(_) => return answer,
        }
    }
}

/// An answer that repeats the key is passed on without it: it is going to be recorded, and the key stands nowhere on the disk.
/// One that may hold a token stays as it came, every byte of it.
fn without_echo(redactor: &Redactor, mut answer: Answer) -> Answer {
    let may_hold_token = answer.body.to_ascii_lowercase().windows(5).any(|window| window == b"token");
    if !may_hold_token && let Some(clean) = redactor.clean_bytes(&answer.body) {
        answer.body = clean;
    }
    answer
}

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers
}

/// Whether the library itself says that no connection came about.
fn is_unsent(error: &reqwest::Error) -> bool {
    error.is_connect() || error.is_builder()
}

/// A certificate that does not verify will not verify the next time either.
fn advice(error: &reqwest::Error) -> Advice {
    let certificate =
        |tls: &rustls::Error| matches!(tls, rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented);
    if error.is_builder() || tls_error(error).is_some_and(certificate) { Advice::Stop } else { Advice::TryAgain }
}

fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut link = error.source();
    while let Some(cause) = link {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        // An I/O error that wraps another error leaves that one out when it is asked for its source.
        link = match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => cause.source(),
        };
    }
    None
}

/// The innermost cause in words. The outer ones repeat the address, which may carry the key.
pub(super) fn describe(error: &reqwest::Error) -> String {
    let mut innermost: Option<&(dyn std::error::Error + 'static)> = error.source();
    while let Some(next) = innermost.and_then(std::error::Error::source) {
        innermost = Some(next);
    }
    let words = match innermost {
        Some(cause) => cause.to_string(),
        None if error.is_timeout() => "it took too long".to_owned(),
        None => "the request failed".to_owned(),
    };
    let stage = if error.is_connect() { "cannot connect: " } else { "" };
    format!("{stage}{}", quote(&words))
}
