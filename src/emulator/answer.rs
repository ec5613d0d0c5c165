//! The bodies that the emulated gateway writes, byte for byte as `docs/protocol.md` says.
//!
//! No `error` field ever stands beside a result. The texts of the errors are the emulator's own: none is known from the
//! hosted service (grade U).

use std::fmt;

use serde::Serialize;

/// What the account functions answer, before it becomes HTTP.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiResponse {
    /// The HTTP status.
    pub status: u16,
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// The `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Shows status and length only: the body of a create carries a token.
impl fmt::Debug for ApiResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiResponse").field("status", &self.status).field("length", &self.body.len()).finish_non_exhaustive()
    }
}

const JSON: &str = "application/json; charset=utf-8";

impl ApiResponse {
    /// `body` as JSON with status 200.
    pub(super) fn success<T: Serialize>(body: &T) -> Self {
        Self::json(200, body)
    }

    /// `{"error":"<text>"}`.
    pub(super) fn error(status: u16, text: &str) -> Self {
        Self::json(status, &ErrorBody { error: text })
    }

    /// What a platform in front of the gateway says: a page, no JSON.
    pub(super) fn page(status: u16) -> Self {
        let body = format!("<html><body><h1>{status}</h1></body></html>\n").into_bytes();
        Self { status, content_type: "text/html", retry_after: None, body }
    }

    fn json<T: Serialize>(status: u16, body: &T) -> Self {
        // Only texts, integers and maps with text keys come here: none of them can fail to serialise.
        let body = serde_json::to_vec(body).unwrap_or_default();
        Self { status, content_type: JSON, retry_after: None, body }
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
}

/// `{"result":…}`.
#[derive(Serialize)]
pub(super) struct ResultBody<T> {
    pub(super) result: T,
}

/// The result of `newInstance`. Anything but `created` with all three fields is an armed fault.
#[derive(Serialize)]
pub(super) struct CreateResult<'a> {
    pub(super) status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instance: Option<NewInstance<'a>>,
}

#[derive(Serialize)]
pub(super) struct NewInstance<'a> {
    pub(super) id: String,
    #[serde(rename = "apiUrl")]
    pub(super) api_url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<&'a str>,
}

/// One item of `listInstances`: no token, no creation time.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListItem<'a> {
    pub(super) id: String,
    pub(super) name: &'a str,
    #[serde(rename = "type")]
    pub(super) kind: &'a str,
    pub(super) api_url: &'a str,
    pub(super) stopped: bool,
    pub(super) paid_till: i64,
    pub(super) payments_count: u32,
}

/// The answer of the instance's own `status`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccountStatus<'a> {
    pub(super) account_status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) qr_code: Option<&'a str>,
}

/// Which HTTP status the errors of the account functions carry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ErrorStatus {
    /// 200, as at least some did (`docs/protocol.md`, grade I).
    #[default]
    Ok,
    /// The 4xx that fits.
    Fitting,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Complaint {
    #[error("the body is not a JSON object")]
    Body,
    #[error("parameter uid is missing")]
    NoKey,
    #[error("parameter type is missing")]
    NoType,
    #[error("type is unknown, known are whatsapp and whatsapp_dev")]
    UnknownType,
    #[error("parameter instanceId is missing")]
    NoId,
    #[error("no such instance on this account")]
    UnknownInstance,
    #[error("parameter webhookUrl is missing")]
    NoWebhook,
    #[error("too many settings")]
    TooManySettings,
    #[error("wrong token")]
    WrongToken,
    #[error("no such function")]
    UnknownFunction,
}

impl Complaint {
    /// A wrong token is 401 and an unknown function 404, whatever `style` says.
    pub(super) fn response(&self, style: ErrorStatus) -> ApiResponse {
        let fitting = match self {
            Self::Body | Self::NoType | Self::UnknownType | Self::NoId | Self::NoWebhook | Self::TooManySettings => 400,
            Self::NoKey | Self::WrongToken => 401,
            Self::UnknownInstance | Self::UnknownFunction => 404,
        };
        let is_fixed = matches!(self, Self::WrongToken | Self::UnknownFunction);
        let status = if is_fixed || style == ErrorStatus::Fitting { fitting } else { 200 };
        ApiResponse::error(status, &self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_200_unless_told_otherwise() {
        let plain = Complaint::NoKey.response(ErrorStatus::Ok);
        assert_eq!((plain.status, plain.body.as_slice()), (200, br#"{"error":"parameter uid is missing"}"#.as_slice()));
        assert_eq!(Complaint::NoKey.response(ErrorStatus::Fitting).status, 401);
        assert_eq!(Complaint::WrongToken.response(ErrorStatus::Ok).status, 401);
        assert_eq!(Complaint::UnknownFunction.response(ErrorStatus::Ok).status, 404);
    }

    #[test]
    fn p11_debug_shows_no_body() {
        let shown = format!("{:?}", ApiResponse::error(200, "SECRET"));
        assert!(!shown.contains("SECRET"), "{shown}");
    }
}
