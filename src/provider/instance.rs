//! A single instance, asked at its own address with its own token.
//!
//! Whether that address may have the token is decided before. It goes there and nowhere else: by https, or by plain http to this very machine; no redirect is followed, nothing
//! is asked twice, and what comes back is bounded. No message holds the token, nor an address that carries it.

use std::fmt;
use std::sync::OnceLock;

use reqwest::Client;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::certainty::quote_without;
use super::http::{client, describe, read_answer};
use super::{BaseUrl, BaseUrlError, Limits, SetupError};
use crate::instance::ApiUrl;
use crate::secret::{Redactor, Secret};
use crate::state::Answer;

/// Bytes of an answer that are read: it may hold a picture.
const ANSWER_MAX: usize = 1_024 * 1_024;
/// What an instance says when its phone is linked.
const LINKED: &str = "authenticated";

/// What an instance says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceStatus {
    /// In its own words: `got qr code`, `authenticated`, `loading`, `init`, `not_paid`.
    pub word: String,
    /// What links a phone to it, while one is wanted. Whoever has it can link theirs.
    pub qr: Option<Secret>,
}

impl InstanceStatus {
    /// Whether its phone is linked.
    pub fn is_linked(&self) -> bool {
        self.word.eq_ignore_ascii_case(LINKED)
    }
}

/// Why an instance has not said anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatusError {
    /// Its address is not one that a token may be sent to.
    #[error("its address takes no token: {0}")]
    Address(&'static str),
    /// The server does not know the token.
    #[error("the token is not the one of this instance: {0}")]
    Token(String),
    /// It says no.
    #[error("it refuses: {0}")]
    Refused(String),
    /// No usable answer.
    #[error("no answer: {0}")]
    Failed(String),
}

impl StatusError {
    /// Its word in documents.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Address(_) => "bad_address",
            Self::Token(_) => "wrong_token",
            Self::Refused(_) => "refused",
            Self::Failed(_) => "unreachable",
        }
    }

    /// Whether another try can help.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

/// Asks instances.
pub struct Instances {
    limits: Limits,
    far: OnceLock<Result<Client, String>>,
    here: OnceLock<Result<Client, String>>,
}

impl fmt::Debug for Instances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instances").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Instances {
    /// Sends nothing yet.
    pub const fn new(limits: Limits) -> Self {
        Self { limits, far: OnceLock::new(), here: OnceLock::new() }
    }

    /// Asks the instance at `api_url`.
    pub async fn status(&self, api_url: &ApiUrl, token: &Secret) -> Result<InstanceStatus, StatusError> {
        let base = BaseUrl::parse(api_url.as_str()).map_err(|error| StatusError::Address(why(error)))?;
        let mut address = base.function("status");
        address.query_pairs_mut().append_pair("token", token.expose());
        let redactor = Redactor::of(token);
        let failed = |words: &str| StatusError::Failed(quote_without(&redactor, words));
        let client = self.client(base.is_plain()).map_err(|words| failed(&words))?;
        let deadline = Instant::now() + self.limits.connect + self.limits.answer;
        match timeout_at(deadline, client.get(address).send()).await {
            Err(_) => Err(failed("none came in time")),
            Ok(Err(error)) => Err(failed(&describe(&error))),
            Ok(Ok(response)) => read_status(&read_answer(response, ANSWER_MAX, deadline).await, &redactor),
        }
    }

    fn client(&self, is_plain: bool) -> Result<&Client, String> {
        let slot = if is_plain { &self.here } else { &self.far };
        let made = slot.get_or_init(|| client(self.limits, is_plain).map_err(|error: SetupError| error.to_string()));
        made.as_ref().map_err(Clone::clone)
    }
}

/// In words that fit an instance.
const fn why(error: BaseUrlError) -> &'static str {
    match error {
        BaseUrlError::PlainText => "plain http would show it to the network",
        BaseUrlError::Credentials => "it holds a user name or password",
        BaseUrlError::Query => "it does not end with its path",
        BaseUrlError::Syntax | BaseUrlError::Scheme => "it is no https address",
    }
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    error: Option<Value>,
    #[serde(default, rename = "accountStatus")]
    word: Option<String>,
    #[serde(default, rename = "qrCode")]
    qr: Option<String>,
}

/// What an answer to `status` says; nothing of it but the code holds `secret`. Pure.
pub fn read_status(answer: &Answer, secret: &Redactor) -> Result<InstanceStatus, StatusError> {
    let status = answer.status;
    let body = serde_json::from_slice::<Body>(&answer.body).ok().filter(|_| answer.complete);
    let words = match body.as_ref().and_then(|body| body.error.as_ref()) {
        None | Some(Value::Null | Value::Bool(false)) => None,
        Some(Value::String(words)) if words.is_empty() => None,
        Some(Value::String(words)) => Some(words.clone()),
        Some(other) => Some(other.to_string()),
    };
    let words = words.map(|words| quote_without(secret, &words));
    match (status, words, body) {
        (401 | 403, words, _) => Err(StatusError::Token(words.unwrap_or_else(|| format!("status {status}")))),
        (_, Some(words), _) => Err(StatusError::Refused(words)),
        (200, None, Some(Body { word: Some(word), qr, .. })) if !word.trim().is_empty() => {
            let qr = qr.filter(|qr| !qr.is_empty()).map(Secret::new);
            Ok(InstanceStatus { word: quote_without(secret, word.trim()), qr })
        }
        _ if !answer.complete => Err(StatusError::Failed(format!("it (status {status}) broke off or is too long"))),
        _ => Err(StatusError::Failed(format!("it (status {status}) cannot be read"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Result<InstanceStatus, StatusError> {
        let answer = Answer { status, complete: true, retry_after: None, body: body.as_bytes().to_vec() };
        read_status(&answer, &Redactor::of(&Secret::new("tokentokentoken1".to_owned())))
    }

    #[test]
    fn an_answer_is_a_word_with_or_without_a_code_or_says_why_not() {
        let word = |found: Result<InstanceStatus, StatusError>| match found {
            Ok(InstanceStatus { word, qr }) => format!("{word}{}", if qr.is_some() { " +qr" } else { "" }),
            Err(error) => error.as_str().to_owned(),
        };
        for (status, body, expected) in [
            (200, r#"{"accountStatus":"authenticated"}"#, "authenticated"),
            (200, r#"{"accountStatus":"got qr code","qrCode":"2@x","more":[]}"#, "got qr code +qr"),
            (200, r#"{"accountStatus":"init","qrCode":"","error":null}"#, "init"),
            (200, r#"{"accountStatus":"\u001b[31m","error":""}"#, "\\u{1b}[31m"),
            (401, r#"{"error":"wrong token"}"#, "wrong_token"),
            (403, "<html>", "wrong_token"),
            (200, r#"{"error":"no such instance"}"#, "refused"),
            (200, r#"{"accountStatus":"authenticated","error":{"code":1}}"#, "refused"),
            (200, r#"{"accountStatus":" "}"#, "unreachable"),
            (200, r#"{"accountStatus":7}"#, "unreachable"),
            (200, "", "unreachable"),
            (302, r#"{"accountStatus":"authenticated"}"#, "unreachable"),
            (503, "<html>", "unreachable"),
        ] {
            assert_eq!(word(read(status, body)), expected, "{status} {body}");
        }
    }

    #[test]
    fn p11_what_a_server_repeats_of_the_token_is_taken_out() {
        let error = read(200, r#"{"error":"GET /status?token=tokentokentoken1"}"#).unwrap_err();
        assert_eq!(error.to_string(), "it refuses: GET /status?token=[redacted]");
        assert_eq!(read(200, r#"{"accountStatus":"tokentokentoken1"}"#).unwrap().word, "[redacted]");
    }

    #[test]
    fn a_cut_answer_is_none() {
        let body = br#"{"accountStatus":"authenticated"}"#.to_vec();
        let answer = Answer { status: 200, complete: false, retry_after: None, body };
        assert!(matches!(read_status(&answer, &Redactor::none()), Err(StatusError::Failed(_))));
    }
}
