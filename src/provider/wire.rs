//! The protocol's bytes: strict in what is written, tolerant in what is read. Pure.
//!
//! Request encodings and fields are as read by public clients of the protocol; errors, the JSON type of ids and status codes
//! are assumptions, since the hosted service is gone and nothing can be checked against it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::instance::{ApiUrl, InstanceId, InstanceType};
use crate::secret::{Redactor, Secret};

/// The function that creates.
pub const NEW_INSTANCE: &str = "newInstance";
/// The function that lists.
pub const LIST_INSTANCES: &str = "listInstances";
/// The function that deletes.
pub const DELETE_INSTANCE: &str = "deleteInstance";

/// Longest token that is kept, in bytes; those seen have 16.
const TOKEN_MAX: usize = 4_096;
/// From here on a `paidTill` counts milliseconds.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

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
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(default)]
    error: Option<Value>,
    #[serde(default, borrow)]
    result: Option<&'a RawValue>,
}

impl<'a> Envelope<'a> {
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        object(std::str::from_utf8(body).ok()?)
    }

    /// The result's JSON; null counts as none.
    pub(super) fn result(&self) -> Option<&'a str> {
        self.result.map(RawValue::get).filter(|json| *json != "null")
    }

    /// The result as a value, null included.
    pub(super) fn result_value(&self) -> Option<Value> {
        serde_json::from_str(self.result?.get()).ok()
    }

    /// The server's words if it says that it failed; `null` and `""` are no error.
    pub(super) fn error(&self) -> Option<String> {
        match self.error.as_ref()? {
            Value::Null => None,
            Value::String(text) if text.trim().is_empty() => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }
}

/// The `result` of a create.
#[derive(Debug, Deserialize)]
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
#[derive(Debug, Deserialize)]
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
fn id(value: &Value) -> Option<InstanceId> {
    match value {
        Value::String(text) => InstanceId::parse(text).ok(),
        Value::Number(number) => number.as_u64().and_then(|number| InstanceId::parse(&number.to_string()).ok()),
        _ => None,
    }
}

/// An account's instances as the server lists them. No listing shows a token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// The instances that could be read, by id.
    pub instances: Vec<ListedInstance>,
    /// Items whose id could not be read, or stood twice: with one of these, absence from the list proves nothing.
    pub odd_items: usize,
}

/// One instance in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedInstance {
    /// The server's id.
    pub id: InstanceId,
    /// The server's label, often empty.
    pub name: String,
    /// The type in the server's words.
    pub type_text: String,
    /// The type, where we know it.
    pub kind: Option<InstanceType>,
    /// Its address.
    pub api_url: Option<ApiUrl>,
    /// Whether it is stopped; none: unknown.
    pub stopped: Option<bool>,
    /// Until when it is paid; none: unknown.
    pub paid_till: Option<Timestamp>,
    /// How often it was paid.
    pub payments_count: Option<u64>,
}

impl Listing {
    /// Reads the `result` of a listing: an array, an object keyed by id, or null for none.
    pub(super) fn read(result: Option<&Value>) -> Option<Self> {
        let mut listing = Self::default();
        match result? {
            Value::Null => tracing::warn!("the server lists instances as null; taken for none"),
            Value::Array(items) => items.iter().for_each(|item| listing.add(item, None)),
            Value::Object(items) => items.iter().for_each(|(key, item)| listing.add(item, Some(key))),
            _ => return None,
        }
        listing.instances.sort_by(|a, b| a.id.cmp(&b.id));
        let distinct = listing.instances.len();
        listing.instances.dedup_by(|a, b| a.id == b.id);
        listing.odd_items += distinct - listing.instances.len();
        Some(listing)
    }

    /// Takes a secret out of what a server may have put it into. An id that holds it is none.
    pub(super) fn conceal(&mut self, secret: &Redactor) {
        let listed = self.instances.len();
        self.instances.retain(|instance| !secret.finds(instance.id.as_str()));
        self.odd_items += listed - self.instances.len();
        for instance in &mut self.instances {
            instance.name = secret.clean(&instance.name).into_owned();
            instance.type_text = secret.clean(&instance.type_text).into_owned();
            instance.api_url = instance.api_url.take().filter(|api_url| !secret.finds(api_url.as_str()));
        }
    }

    fn add(&mut self, item: &Value, key: Option<&str>) {
        let own = item.get("id").and_then(id);
        match own.or_else(|| key.and_then(|key| InstanceId::parse(key).ok())) {
            Some(id) if item.is_object() => self.instances.push(ListedInstance::read(id, item)),
            _ => self.odd_items += 1,
        }
    }
}

impl ListedInstance {
    fn read(id: InstanceId, item: &Value) -> Self {
        let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let type_text = text("type");
        Self {
            id,
            name: text("name"),
            kind: InstanceType::from_wire(&type_text),
            type_text,
            api_url: ApiUrl::parse(&text("apiUrl")).ok(),
            stopped: item.get("stopped").and_then(flag),
            paid_till: item.get("paidTill").and_then(moment),
            payments_count: item.get("paymentsCount").and_then(Value::as_u64),
        }
    }
}

fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => number.as_u64().and_then(|number| (number <= 1).then_some(number == 1)),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// Milliseconds or seconds since 1970, told apart by their size; 0 is unknown.
fn moment(value: &Value) -> Option<Timestamp> {
    let number = match value {
        Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }?;
    match number {
        ..=0 => None,
        MILLISECONDS_FROM.. => Timestamp::from_millisecond(number).ok(),
        _ => Timestamp::from_second(number).ok(),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53, checked in the condition")]
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0).then_some(number as i64)
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
    fn paid_till_is_milliseconds_seconds_or_unknown() {
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        for (value, expected) in [
            (json!(1_700_000_000_000_i64), Some(at)),
            (json!(1_700_000_000), Some(at)),
            (json!(1_700_000_000_000.0), Some(at)),
            (json!("1700000000000"), Some(at)),
            (json!(0), None),
            (json!(-5), None),
            (json!(null), None),
            (json!(1.5), None),
            (json!("soon"), None),
            (json!(9.9e307), None),
            (json!(i64::MAX), None),
        ] {
            assert_eq!(moment(&value), expected, "{value}");
        }
    }

    #[test]
    fn stopped_has_many_spellings_and_absent_is_unknown() {
        for (value, expected) in [
            (json!(true), Some(true)),
            (json!(0), Some(false)),
            (json!("TRUE"), Some(true)),
            (json!("false"), Some(false)),
            (json!(2), None),
            (json!("yes"), None),
            (json!(null), None),
        ] {
            assert_eq!(flag(&value), expected, "{value}");
        }
    }

    fn ids(listing: &Listing) -> Vec<&str> {
        listing.instances.iter().map(|instance| instance.id.as_str()).collect()
    }

    #[test]
    fn a_listing_is_an_array_or_keyed_by_id_and_an_odd_item_never_fails_it() {
        let listing = Listing::read(Some(&json!([
            {"id": "2", "name": "", "type": "whatsapp", "apiUrl": "https://h/instance2/", "stopped": false, "paidTill": 0, "paymentsCount": 1, "new": 1},
            {"id": 1, "type": "Telegram"},
            {"name": "no id"}, 7, {"id": "2"},
        ])))
        .unwrap();
        assert_eq!((ids(&listing), listing.odd_items), (vec!["1", "2"], 3));
        assert_eq!((listing.instances[0].kind, listing.instances[0].type_text.as_str()), (None, "Telegram"));
        assert_eq!((listing.instances[1].stopped, listing.instances[1].paid_till), (Some(false), None));
        let keyed = Listing::read(Some(&json!({"5": {"type": "whatsapp"}, "x/y": {}, "6": {"id": "7"}}))).unwrap();
        assert_eq!((ids(&keyed), keyed.odd_items), (vec!["5", "7"], 1));
        assert_eq!(Listing::read(Some(&Value::Null)), Some(Listing::default()));
        assert_eq!(Listing::read(Some(&json!("none"))), None);
        assert_eq!(Listing::read(None), None);
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
            assert_eq!(Envelope::read(body.as_bytes()).unwrap().error().as_deref(), expected, "{body}");
        }
        for unreadable in ["", "[]", "null", "<html>", r#"{"error":1,"error":2}"#, "{\"error\":\"\\ud800\"}"] {
            assert!(Envelope::read(unreadable.as_bytes()).is_none(), "{unreadable}");
        }
    }
}
