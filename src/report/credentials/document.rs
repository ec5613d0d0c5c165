//! The credentials as documents: JSON, YAML, and a Secret of Kubernetes. Each holds every value.
//!
//! YAML is written in one style: every foreign text in double quotes, pure ASCII, so that no reader of any version of YAML takes a
//! token for a number, a date or a truth, and none sees a quote that ends it too early.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use zeroize::Zeroizing;

use super::variables::{Value, Variable};
use super::{Credential, RenderError, Rendered};
use crate::instance::ApiUrl;
use crate::report::FORMAT_VERSION;

/// The largest Secret that Kubernetes takes: its values together.
const SECRET_MAX: usize = 1_024 * 1_024;

#[derive(Serialize)]
struct Document<'a> {
    format_version: &'static str,
    instances: BTreeMap<&'a str, Data<'a>>,
}

#[derive(Serialize)]
struct Data<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    api_url: Option<&'a str>,
    /// One is kept, be it shown or not.
    has_token: bool,
    /// Null unless it was asked for.
    token: Option<&'a str>,
}

impl<'a> Data<'a> {
    fn new(credential: &'a Credential) -> Self {
        Self {
            name: credential.name.as_str(),
            kind: credential.kind.as_str(),
            id: credential.id.as_str(),
            api_url: credential.api_url.as_ref().map(ApiUrl::as_str),
            has_token: credential.token.is_kept(),
            token: credential.token.text(),
        }
    }
}

pub(super) fn json(credentials: &[Credential]) -> Rendered {
    let instances = credentials.iter().map(|credential| (credential.name.as_str(), Data::new(credential))).collect();
    let mut text = Rendered::default();
    // Texts and truths always become JSON, and the writer takes every text.
    let _ = serde_json::to_writer_pretty(&mut text, &Document { format_version: FORMAT_VERSION, instances });
    text.push("\n");
    text.disarmed()
}

pub(super) fn yaml(credentials: &[Credential]) -> Rendered {
    let mut text = Rendered::default();
    text.push_all(&["format_version: \"", FORMAT_VERSION, "\"\n"]);
    text.push(if credentials.is_empty() { "instances: {}\n" } else { "instances:\n" });
    for data in credentials.iter().map(Data::new) {
        text.push("  ");
        quote(&mut text, data.name);
        text.push(":\n");
        let texts = [
            ("name", Some(data.name)),
            ("type", Some(data.kind)),
            ("id", Some(data.id)),
            ("api_url", data.api_url),
            ("token", data.token),
        ];
        for (key, value) in texts {
            if key == "token" {
                text.push_all(&["    has_token: ", if data.has_token { "true" } else { "false" }, "\n"]);
            }
            text.push_all(&["    ", key, ": "]);
            match value {
                Some(value) => quote(&mut text, value),
                None => text.push("null"),
            }
            text.push("\n");
        }
    }
    text.disarmed()
}

/// Appends `value` in double quotes, in ASCII.
fn quote(text: &mut Rendered, value: &str) {
    text.push("\"");
    let mut escape = String::new();
    for character in value.chars() {
        match character {
            '"' => text.push("\\\""),
            '\\' => text.push("\\\\"),
            ' '..='~' => text.push(character.encode_utf8(&mut [0; 4])),
            other => {
                escape.clear();
                let code = u32::from(other);
                // Writing into a string cannot fail.
                let _ = if code > 0xFFFF { write!(escape, "\\U{code:08x}") } else { write!(escape, "\\u{code:04x}") };
                text.push(&escape);
            }
        }
    }
    text.push("\"");
}

/// Where a Secret stands in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretPlace {
    name: String,
    namespace: Option<String>,
}

/// The text cannot name a Secret or a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretPlaceError {
    /// No DNS subdomain.
    #[error("a Secret's name has 1 to 253 of `a-z0-9.-`, each part between dots begins and ends with a letter or digit")]
    Name,
    /// No DNS label.
    #[error("a namespace's name has 1 to 63 of `a-z0-9-`, and begins and ends with a letter or digit")]
    Namespace,
}

impl SecretPlace {
    /// Checks both names.
    pub fn new(name: &str, namespace: Option<&str>) -> Result<Self, SecretPlaceError> {
        if name.len() > 253 || !name.split('.').all(is_label) {
            return Err(SecretPlaceError::Name);
        }
        if !namespace.is_none_or(|namespace| namespace.len() <= 63 && is_label(namespace)) {
            return Err(SecretPlaceError::Namespace);
        }
        Ok(Self { name: name.to_owned(), namespace: namespace.map(str::to_owned) })
    }
}

fn is_label(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = [text.bytes().next(), text.bytes().next_back()];
    ends.into_iter().all(|end| end.is_some_and(is_plain)) && text.bytes().all(|byte| is_plain(byte) || byte == b'-')
}

/// Under `data`, in base64: `stringData` would be easier to read, and `kubectl apply` does not take away what has left it.
pub(super) fn kubernetes(variables: &[Variable<'_>], place: &SecretPlace) -> Result<Rendered, RenderError> {
    let mut text = Rendered::default();
    text.push_all(&["apiVersion: v1\nkind: Secret\nmetadata:\n  name: \"", &place.name, "\"\n"]);
    if let Some(namespace) = &place.namespace {
        text.push_all(&["  namespace: \"", namespace, "\"\n"]);
    }
    text.push(if variables.is_empty() { "type: Opaque\ndata: {}\n" } else { "type: Opaque\ndata:\n" });
    let mut size = 0;
    for Variable { name, value } in variables {
        match value {
            Value::Known(value) => {
                size += value.len();
                text.push_all(&["  ", name, ": \"", &Zeroizing::new(STANDARD.encode(value)), "\"\n"]);
            }
            Value::Absent(why) => text.push_all(&["  # ", name, ": ", why, "\n"]),
        }
    }
    if size > SECRET_MAX { Err(RenderError::TooBig(size)) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_named_as_the_cluster_takes_them() {
        for good in ["a", "chatapi", "a.b-c.9", &"x".repeat(253)] {
            assert!(SecretPlace::new(good, Some("team-1")).is_ok(), "{good}");
        }
        for bad in ["", "A", "a_b", "-a", "a-", "a..b", ".a", "a\n", "a\": 1", &"x".repeat(254)] {
            assert_eq!(SecretPlace::new(bad, None), Err(SecretPlaceError::Name), "{bad}");
        }
        for bad in ["", "a.b", "T", &"x".repeat(64)] {
            assert_eq!(SecretPlace::new("a", Some(bad)), Err(SecretPlaceError::Namespace), "{bad}");
        }
    }
}
