//! The answer to a listing: tolerant item by item, and bounded in memory whatever the server sends. Pure.

use std::fmt;

use jiff::Timestamp;
use serde::Deserializer as _;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::wire::{PART_MAX, id};
use crate::instance::{ApiUrl, InstanceId, InstanceType};
use crate::listing::{ListedInstance, Listing};
use crate::secret::Redactor;

/// From here on a `paidTill` counts milliseconds.
const MILLISECONDS_FROM: i64 = 100_000_000_000;
/// Most instances of one listing; with all their members so many fill the 32 MiB that are read of it.
const INSTANCES_MAX: usize = 250_000;

impl Listing {
    /// Reads the `result` of a listing: an array, an object keyed by id, or null for none. Item by item: only what is kept of
    /// an item stays in memory.
    pub(super) fn read(json: &str) -> Option<Self> {
        let mut reader = serde_json::Deserializer::from_str(json);
        let mut listing = reader.deserialize_any(Items).ok()?;
        reader.end().ok()?;
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

    fn add<E: de::Error>(&mut self, item: &RawValue, key: Option<&str>) -> Result<(), E> {
        let json = item.get();
        let item = (json.len() <= PART_MAX).then(|| serde_json::from_str::<Value>(json).ok()).flatten().unwrap_or_default();
        let own = item.get("id").and_then(id);
        match own.or_else(|| key.and_then(|key| InstanceId::parse(key).ok())) {
            Some(id) if item.is_object() => self.instances.push(ListedInstance::read(id, &item)),
            _ => self.odd_items += 1,
        }
        if self.instances.len() > INSTANCES_MAX { Err(E::custom("too many instances")) } else { Ok(()) }
    }
}

/// Reads the items of a listing.
struct Items;

impl<'de> Visitor<'de> for Items {
    type Value = Listing;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("instances")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Listing, E> {
        tracing::warn!("the server lists instances as null; taken for none");
        Ok(Listing::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Listing, A::Error> {
        let mut listing = Listing::default();
        while let Some(item) = items.next_element()? {
            listing.add(item, None)?;
        }
        Ok(listing)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Listing, A::Error> {
        let mut listing = Listing::default();
        while let Some((key, item)) = items.next_entry::<String, _>()? {
            listing.add(item, Some(&key))?;
        }
        Ok(listing)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(result: &Value) -> Option<Listing> {
        Listing::read(&result.to_string())
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
        let listing = read(&json!([
            {"id": "2", "name": "", "type": "whatsapp", "apiUrl": "https://h/instance2/", "stopped": false, "paidTill": 0, "paymentsCount": 1, "new": 1},
            {"id": 1, "type": "Telegram"},
            {"name": "no id"}, 7, {"id": "2"},
        ]))
        .unwrap();
        assert_eq!((ids(&listing), listing.odd_items), (vec!["1", "2"], 3));
        assert_eq!((listing.instances[0].kind, listing.instances[0].type_text.as_str()), (None, "Telegram"));
        assert_eq!((listing.instances[1].stopped, listing.instances[1].paid_till), (Some(false), None));
        let keyed = read(&json!({"5": {"type": "whatsapp"}, "x/y": {}, "6": {"id": "7"}})).unwrap();
        assert_eq!((ids(&keyed), keyed.odd_items), (vec!["5", "7"], 1));
        assert_eq!(read(&Value::Null), Some(Listing::default()));
        assert_eq!(read(&json!("none")), None);
    }

    #[test]
    fn p13_huge_items_are_odd_and_too_many_are_none() {
        let numbers = "1,".repeat(PART_MAX);
        let listing = Listing::read(&format!(r#"[{{"id":"1"}},{{"id":[{numbers}1]}},[{numbers}1],{{"id":1e999}}]"#)).unwrap();
        assert_eq!((ids(&listing), listing.odd_items), (vec!["1"], 3));
        let many =
            |count: usize| format!(r"[{}0]", (0..count).fold(String::new(), |all, id| all + &format!(r#"{{"id":{id}}},"#)));
        assert_eq!(Listing::read(&many(INSTANCES_MAX)).unwrap().instances.len(), INSTANCES_MAX);
        assert_eq!(Listing::read(&many(INSTANCES_MAX + 1)), None);
    }

    #[test]
    fn p5_a_doubled_key_is_an_odd_item() {
        let listing = Listing::read(r#"{"5":{},"5":{}}"#).unwrap();
        assert_eq!((ids(&listing), listing.odd_items), (vec!["5"], 1));
    }
}
