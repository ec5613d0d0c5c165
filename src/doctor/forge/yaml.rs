//! YAML of other programs as plain values: anchors, merges and tags are theirs to use, and their mistakes are not ours to report.

use serde_json::Value;

/// Longest text that is read, in bytes.
pub const FILE_MAX: usize = 1 << 20;

/// The documents of `text`; nothing if it is no YAML, or too long. The engine's own limits stop what expands without end.
pub(super) fn documents(text: &str) -> Option<Vec<Value>> {
    if text.len() > FILE_MAX {
        return None;
    }
    let options = serde_yaml::options! {
        duplicate_keys: serde_yaml::DuplicateKeyPolicy::LastWins,
    };
    serde_yaml::from_multiple_with_options(text, options).ok()
}

/// The value below `keys`.
pub(super) fn at<'v>(value: &'v Value, keys: &[&str]) -> Option<&'v Value> {
    keys.iter().try_fold(value, |value, key| value.get(key))
}

/// The text below `keys`.
pub(super) fn text<'v>(value: &'v Value, keys: &[&str]) -> Option<&'v str> {
    at(value, keys)?.as_str()
}

/// All texts in `value`, of lists in lists too.
pub(super) fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

/// Whether it is true, be it said as a text.
pub(super) fn is_true(value: &Value) -> bool {
    value.as_bool() == Some(true) || value.as_str() == Some("true")
}

/// A text, number or truth as it would be written.
pub(super) fn shown(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}
