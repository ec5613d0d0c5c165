//! F11: sealed texts and keys.

use std::sync::LazyLock;

use chatapi::seal::{About, Identity, Recipient, Sealed};
use serde_json::Value;

use super::journal::IDENTITY;

/// Two sealed texts with what they are about and what is in them, made once by the program.
const KEPT: &str = include_str!("../../fixtures/sealed-1.json");

/// A kept text.
struct Kept {
    sealed: Value,
    about: [String; 4],
    text: String,
}

static ALL: LazyLock<Vec<Kept>> = LazyLock::new(|| {
    let kept: Vec<Value> = serde_json::from_str(KEPT).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    kept.iter()
        .map(|kept| Kept {
            sealed: kept["sealed"].clone(),
            about: ["what", "lineage", "name", "attempt"].map(|word| text(&kept[word])),
            text: text(&kept["text"]),
        })
        .collect()
});

fn about(words: &[String; 4]) -> About<'_> {
    let [what, lineage, name, attempt] = words;
    About { what, lineage, name, attempt }
}

/// Bytes as a sealed text: what opens is one of the two, every byte of it, and under its own words. Bytes as words, each at its own
/// line: only the right ones open. Bytes as a key: one that is accepted is written as it was read.
pub(super) fn f11_sealed(data: &[u8]) {
    if let Ok(sealed) = serde_json::from_slice::<Sealed>(data) {
        let value = serde_json::to_value(&sealed).unwrap();
        assert_eq!(serde_json::from_value::<Sealed>(value.clone()).unwrap(), sealed);
        for kept in ALL.iter() {
            if let Ok(text) = sealed.open(&IDENTITY, &about(&kept.about)) {
                assert_eq!(*text, kept.text.as_bytes(), "another text opens: {value}");
                assert_eq!(value["text"], kept.sealed["text"], "an altered text opens");
                let wraps = value["to"].as_array().unwrap();
                assert!(kept.sealed["to"].as_array().unwrap().iter().any(|wrap| wraps.contains(wrap)), "an altered key opens");
            }
        }
    }
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(4, '\n').map(str::to_owned);
    let words: [String; 4] = std::array::from_fn(|_| lines.next().unwrap_or_default());
    for kept in ALL.iter() {
        let sealed: Sealed = serde_json::from_value(kept.sealed.clone()).unwrap();
        let opened = sealed.open(&IDENTITY, &about(&words));
        assert_eq!(opened.is_ok(), words == kept.about, "opens under {words:?}");
    }
    if let Ok(key) = text.parse::<Recipient>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(keys) = Identity::read_all(&text) {
        assert!(keys.iter().all(|key| text.contains(key.to_secret().expose())));
    }
}
