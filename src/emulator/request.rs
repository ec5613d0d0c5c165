//! A request as the emulated gateway understands it: which function, which parameters, whatever the encoding.
//!
//! Reading is liberal (`docs/protocol.md`): JSON, form and query, doubled slashes, a content type on an empty body.
//! Nothing here decides what a request does, and nothing here knows a socket.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::answer::Complaint;

/// What the gateway distinguishes among HTTP methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
    /// Any other: no function answers to it.
    Other,
}

/// The three functions of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// `newInstance`.
    Create,
    /// `listInstances`.
    List,
    /// `deleteInstance`.
    Delete,
}

/// One complete request.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiRequest {
    /// The method.
    pub method: Method,
    /// The path as sent, without the query.
    pub path: String,
    /// The query as sent, without its `?`; empty where there is none.
    pub query: String,
    /// The `Content-Type`, parameters and all.
    pub content_type: Option<String>,
    /// The whole body.
    pub body: Vec<u8>,
    /// The `X-Request-Id`: the client's attempt id, kept in the ledger.
    pub request_id: Option<String>,
}

/// Shows the path only: key and token travel in the query and the body.
impl fmt::Debug for ApiRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiRequest").field("method", &self.method).field("path", &self.path).finish_non_exhaustive()
    }
}

/// Where a path leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route<'a> {
    Account(Operation),
    Instance { id: u64, method: &'a str },
}

impl ApiRequest {
    /// The function of the account that this request calls, if it calls one.
    pub fn operation(&self) -> Option<Operation> {
        match self.route() {
            Some(Route::Account(operation)) => Some(operation),
            _ => None,
        }
    }

    pub(super) fn route(&self) -> Option<Route<'_>> {
        if self.method == Method::Other {
            return None;
        }
        let mut segments = self.path.split('/').filter(|segment| !segment.is_empty());
        match (segments.next()?, segments.next(), segments.next()) {
            ("newInstance", None, None) => Some(Route::Account(Operation::Create)),
            ("listInstances", None, None) => Some(Route::Account(Operation::List)),
            ("deleteInstance", None, None) => Some(Route::Account(Operation::Delete)),
            (instance, Some(method), None) => {
                let id = instance.strip_prefix("instance")?.parse().ok()?;
                Some(Route::Instance { id, method })
            }
            _ => None,
        }
    }

    /// The parameters of query and body together; the body wins where both name one.
    pub(super) fn parameters(&self) -> Result<Parameters, Complaint> {
        let mut values = BTreeMap::new();
        read_form(&self.query, &mut values);
        if self.body.trim_ascii().is_empty() {
            return Ok(Parameters(values));
        }
        if self.has_json_body() {
            let object: BTreeMap<String, Value> = serde_json::from_slice(&self.body).map_err(|_| Complaint::Body)?;
            values.extend(object);
        } else {
            read_form(&String::from_utf8_lossy(&self.body), &mut values);
        }
        Ok(Parameters(values))
    }

    /// By its content type; without a telling one, by its first byte.
    fn has_json_body(&self) -> bool {
        let essence = self.content_type.as_deref().and_then(|text| text.split(';').next()).unwrap_or("").trim();
        if essence.eq_ignore_ascii_case("application/json") {
            return true;
        }
        let is_form = essence.eq_ignore_ascii_case("application/x-www-form-urlencoded");
        !is_form && self.body.trim_ascii_start().starts_with(b"{")
    }
}

/// Named values, texts from forms and any JSON from JSON.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Parameters(pub(super) BTreeMap<String, Value>);

impl Parameters {
    /// The value of `name` as text, if it is a non-empty text or a number.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        match self.0.get(name)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

fn read_form(text: &str, into: &mut BTreeMap<String, Value>) {
    for pair in text.trim().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        into.insert(percent_decoded(name), Value::String(percent_decoded(value)));
    }
}

/// `+` is a space, `%41` is `A`; a `%` that starts no pair of hexadecimal digits stands for itself.
fn percent_decoded(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'+', _) => decoded.push(b' '),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    decoded.push(high * 16 + low);
                    rest = after;
                }
                _ => decoded.push(b'%'),
            },
            (other, _) => decoded.push(*other),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str, query: &str, content_type: Option<&str>, body: &str) -> ApiRequest {
        ApiRequest {
            method: Method::Post,
            path: path.to_owned(),
            query: query.to_owned(),
            content_type: content_type.map(str::to_owned),
            body: body.as_bytes().to_vec(),
            request_id: None,
        }
    }

    #[test]
    fn paths_are_read_with_any_number_of_slashes() {
        for path in ["/newInstance", "//newInstance", "/newInstance/", "newInstance"] {
            assert_eq!(request(path, "", None, "").operation(), Some(Operation::Create), "{path}");
        }
        let request = request("//instance100001//status", "", None, "");
        assert_eq!(request.route(), Some(Route::Instance { id: 100_001, method: "status" }));
    }

    #[test]
    fn unknown_paths_and_methods_lead_nowhere() {
        for path in ["/", "/newinstance", "/newInstance/2", "/instance/status", "/instanceX/status", "/instance1", "/a/b/c"] {
            assert_eq!(request(path, "", None, "").route(), None, "{path}");
        }
        let odd = ApiRequest { method: Method::Other, ..request("/newInstance", "", None, "") };
        assert_eq!(odd.route(), None);
    }

    #[test]
    fn every_encoding_gives_the_same_parameters() {
        let json = Some("application/json; charset=utf-8");
        let form = Some("application/x-www-form-urlencoded");
        for request in [
            request("/newInstance", "uid=k%2B1&type=a+b", None, ""),
            request("/newInstance", "uid=k%2B1&type=a+b", json, " \r\n"),
            request("/newInstance", "uid=other", json, r#"{"uid":"k+1","type":"a b"}"#),
            request("/newInstance", "", None, r#" {"uid":"k+1","type":"a b"}"#),
            request("/newInstance", "", form, "uid=k%2b1&type=a%20b"),
            request("/newInstance", "", None, "uid=k%2b1&type=a%20b\r\n"),
        ] {
            let parameters = request.parameters().ok().unwrap();
            assert_eq!((parameters.text("uid"), parameters.text("type")), (Some("k+1".to_owned()), Some("a b".to_owned())));
        }
    }

    #[test]
    fn a_number_is_a_text_and_a_stray_percent_is_kept() {
        let parameters = request("/", "a=50%&b=%zz", None, r#"{"instanceId":7}"#).parameters().ok().unwrap();
        assert_eq!(parameters.text("instanceId").as_deref(), Some("7"));
        assert_eq!(parameters.text("a").as_deref(), Some("50%"));
        assert_eq!(parameters.text("b").as_deref(), Some("%zz"));
        assert_eq!(parameters.text("c"), None);
    }

    #[test]
    fn json_that_is_no_object_is_refused() {
        for body in ["[]", "{", "1"] {
            let result = request("/", "", Some("application/json"), body).parameters();
            assert_eq!(result.err(), Some(Complaint::Body), "{body}");
        }
    }

    #[test]
    fn p11_debug_shows_neither_query_nor_body() {
        let shown = format!("{:?}", request("/newInstance", "uid=SECRET", None, "SECRET"));
        assert!(!shown.contains("SECRET"), "{shown}");
    }
}
