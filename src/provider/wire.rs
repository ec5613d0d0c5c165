//! The protocol's bytes: strict in what is written, tolerant in what is read. Pure.
//!
//! Request encodings and fields are as read by public clients of the protocol; errors, the JSON type of ids and status codes
//! are assumptions, since the hosted service is gone and nothing can be checked against it.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::instance::{ApiUrl, InstanceId, InstanceType};
use crate::secret::Secret;

/// The function that creates.
pub const NEW_INSTANCE: &str = "newInstance";
/// The function that lists.
pub const LIST_INSTANCES: &str = "listInstances";
/// The function that deletes.
pub const DELETE_INSTANCE: &str = "deleteInstance";

/// Longest token that is kept, in bytes; those seen have 16.
const TOKEN_MAX: usize = 4_096;
/// Longest part of an answer, in bytes, that is taken apart value by value: a value needs many times the room of its text.
pub(super) const PART_MAX: usize = 64 * 1_024;

/// The body of a create: `{"uid":…,"type":…}`.
pub(super) fn create_body(key: &Secret, kind: InstanceType) -> Zeroizing<Vec<u8>> {
    #[derive(Serialize)]
    struct Body<'a> {
        uid: &'a str,
        #[serde(rename = "type")]
        kind: &'a str,
    }
    body(&Body { uid: key.expose(), kind: kind.as_str() })
}

/// The body of a delete: `{"uid":…,"instanceId":"…"}`.
pub(super) fn delete_body(key: &Secret, id: &InstanceId) -> Zeroizing<Vec<u8>> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        uid: &'a str,
        instance_id: &'a str,
    }
    body(&Body { uid: key.expose(), instance_id: id.as_str() })
}

fn body(content: &impl Serialize) -> Zeroizing<Vec<u8>> {
    // Two strings always become JSON.
    Zeroizing::new(serde_json::to_vec(content).unwrap_or_default())
}

/// The outermost object of every answer. A doubled member makes it unreadable, so that two readers cannot differ about it.
pub(super) struct Envelope<'a> {
    error: Option<String>,
    result: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawEnvelope<'a> {
    #[serde(default, borrow)]
    error: Option<&'a RawValue>,
    #[serde(default, borrow, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    /// Belongs into the result; beside it, it still says that there may be one.
    #[serde(default, borrow)]
    instance: Option<&'a RawValue>,
}

/// A member that is there, be it null: `Option` alone would take it for absent.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

impl<'a> Envelope<'a> {
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        let RawEnvelope { error, result, instance } = object(std::str::from_utf8(body).ok()?)?;
        let error = match error.map(RawValue::get) {
            None | Some("false" | "0") => None,
            Some(json) if json.starts_with('"') => Some(serde_json::from_str(json).ok()?),
            Some(json) if json.len() <= PART_MAX => match serde_json::from_str::<Value>(json).ok()? {
                Value::Object(members) if members.is_empty() => None,
                Value::Array(items) if items.is_empty() => None,
                words @ Value::Object(_) => Some(words.to_string()),
                // Neither words nor nothing: whoever wrote it, it is not this protocol.
                _ => return None,
            },
            Some(_) => return None,
        };
        let is_there = |json: &&RawValue| json.get() != "null";
        Some(Self { error, result: result.filter(is_there).or(instance).or(result) })
    }

    /// The result's JSON; null counts as none.
    pub(super) fn result(&self) -> Option<&'a str> {
        self.result_json().filter(|json| *json != "null")
    }

    /// The result's JSON, null included.
    pub(super) fn result_json(&self) -> Option<&'a str> {
        self.result.map(RawValue::get)
    }

    /// The result as a value, null included.
    pub(super) fn result_value(&self) -> Option<Value> {
        serde_json::from_str(self.result_json()?).ok()
    }

    /// The server's words if it says that it failed; `null`, `""`, `false`, `0`, `{}` and `[]` are no error.
    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref().filter(|words| !words.trim().is_empty())
    }
}

/// The `result` of a create.
#[derive(Deserialize)]
pub(super) struct CreateResult<'a> {
    #[serde(default)]
    pub(super) status: Option<String>,
    #[serde(default, borrow)]
    instance: Option<&'a RawValue>,
}

impl<'a> CreateResult<'a> {
    pub(super) fn read(json: &'a str) -> Option<Self> {
        object(json)
    }

    pub(super) fn instance(&self) -> Option<CreatedFields> {
        object(self.instance?.get())
    }
}

/// Reads a JSON object. An array would fit a struct too, member by member, and is no answer of this protocol.
fn object<'a, T: Deserialize<'a>>(json: &'a str) -> Option<T> {
    json.trim_start().starts_with('{').then(|| serde_json::from_str(json).ok())?
}

/// The `instance` in the result of a create.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreatedFields {
    #[serde(default)]
    id: Option<Value>,
    #[serde(default)]
    api_url: Option<Value>,
    #[serde(default)]
    token: Option<Value>,
}

impl CreatedFields {
    pub(super) fn id(&self) -> Option<InstanceId> {
        id(self.id.as_ref()?)
    }

    pub(super) fn api_url(&self) -> Option<ApiUrl> {
        ApiUrl::parse(self.api_url.as_ref()?.as_str()?).ok()
    }

    /// The token; `Err` where there is one in a form that cannot be kept as text.
    pub(super) fn token(&self) -> Result<Option<Secret>, ()> {
        match self.token.as_ref() {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) if text.len() <= TOKEN_MAX && text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Ok(Some(Secret::new(text.clone())))
            }
            Some(Value::Number(number)) if number.is_u64() => Ok(Some(Secret::new(number.to_string()))),
            Some(_) => Err(()),
        }
    }
}

/// An id: a string, or an integer kept as its decimal digits.
pub(super) fn id(value: &Value) -> Option<InstanceId> {
    match value {
        Value::String(text) => InstanceId::parse(text).ok(),
        Value::Number(number) => number.as_u64().and_then(|number| InstanceId::parse(&number.to_string()).ok()),
        _ => None,
    }
}

/// Whether a delete's answer says that the instance is gone: `"deleted"`, or an object with that status.
pub(super) fn is_deleted(result: Option<&Value>) -> bool {
    let word = result.and_then(|result| result.as_str().or_else(|| result.get("status")?.as_str()));
    word.is_some_and(|word| word.eq_ignore_ascii_case("deleted"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_request_bodies_are_byte_for_byte_these() {
        let key = Secret::new("Abc123".to_owned());
        let create = create_body(&key, InstanceType::WhatsAppDev);
        assert_eq!(std::str::from_utf8(&create).unwrap(), r#"{"uid":"Abc123","type":"whatsapp_dev"}"#);
        let delete = delete_body(&key, &InstanceId::parse("123456").unwrap());
        assert_eq!(std::str::from_utf8(&delete).unwrap(), r#"{"uid":"Abc123","instanceId":"123456"}"#);
    }

    #[test]
    fn ids_are_strings_or_integers() {
        for (value, expected) in [
            (json!("123456"), Some("123456")),
            (json!(123_456), Some("123456")),
            (json!(""), None),
            (json!(null), None),
            (json!(1.5), None),
            (json!(-1), None),
            (json!(1e30), None),
            (json!("1/2"), None),
            (json!("1\n2"), None),
            (json!([1]), None),
        ] {
            assert_eq!(id(&value).as_ref().map(InstanceId::as_str), expected, "{value}");
        }
    }

    #[test]
    fn a_delete_is_confirmed_by_a_word_or_a_status() {
        for (value, expected) in
            [(json!("deleted"), true), (json!({"status": "Deleted"}), true), (json!("error"), false), (json!(true), false)]
        {
            assert_eq!(is_deleted(Some(&value)), expected, "{value}");
        }
        assert!(!is_deleted(None));
    }

    #[test]
    fn an_empty_error_is_none() {
        for (body, expected) in [
            (r#"{"error":null}"#, None),
            (r#"{"error":"  "}"#, None),
            (r#"{"error":"no"}"#, Some("no")),
            (r#"{"error":{"code":1}}"#, Some(r#"{"code":1}"#)),
            (r"{}", None),
        ] {
            assert_eq!(Envelope::read(body.as_bytes()).unwrap().error(), expected, "{body}");
        }
        for unreadable in ["", "[]", "null", "<html>", r#"{"error":1,"error":2}"#, "{\"error\":\"\\ud800\"}"] {
            assert!(Envelope::read(unreadable.as_bytes()).is_none(), "{unreadable}");
        }
    }
}
