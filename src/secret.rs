//! Text that must never be printed: the API key and the instance tokens.
//!
//! A [`Secret`] has no `Display`; its `Debug` says `[redacted]`; it is wiped from memory when dropped. Whoever needs the
//! text says so with [`Secret::expose`], which is easy to search for.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Deserializer, Serializer};
use zeroize::Zeroizing;

/// What stands in the place of a secret wherever something is shown.
pub const REDACTED: &str = "[redacted]";

/// A secret text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes over `text`; the caller's copy is moved, not cloned.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself. Never pass it to anything that prints, logs or builds an error.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// Shorter secrets are too much like words to be searched for; keys have 28 characters, and shorter ones are refused.
pub(crate) const SEARCHED_FROM: usize = 9;

/// Takes a secret out of foreign text: a server's words may repeat the request that it got.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    forms: Vec<Secret>,
}

impl Redactor {
    /// Knows nothing, changes nothing.
    pub const fn none() -> Self {
        Self { forms: Vec::new() }
    }

    /// Knows `secret` as it is, and as it stands in JSON, in an address and in base64.
    pub fn of(secret: &Secret) -> Self {
        let text = secret.expose();
        if text.len() < SEARCHED_FROM {
            return Self::none();
        }
        let json = serde_json::to_string(text).unwrap_or_default();
        let mut forms = vec![
            text.to_owned(),
            json.trim_matches('"').to_owned(),
            percent_encoded(text, false),
            percent_encoded(text, true),
            STANDARD_NO_PAD.encode(text),
        ];
        // The longest first, so that no part of one is left over; one form once.
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        Self { forms: forms.into_iter().filter(|form| form.len() >= SEARCHED_FROM).map(Secret::new).collect() }
    }

    /// Whether `text` holds it.
    pub fn finds(&self, text: &str) -> bool {
        self.forms.iter().any(|form| text.contains(form.expose()))
    }

    /// `text` with [`REDACTED`] in its place.
    pub fn clean<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut clean = Cow::Borrowed(text);
        for form in self.forms.iter().filter(|form| text.contains(form.expose())) {
            clean = Cow::Owned(clean.replace(form.expose(), REDACTED));
        }
        clean
    }
}

impl Redactor {
    /// The same for bytes that need not be text; none: it is not in there.
    pub fn clean_bytes(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut rest = bytes;
        let mut clean = Vec::new();
        while let Some((before, after)) = self.cut_at_first(rest) {
            clean.extend_from_slice(before);
            clean.extend_from_slice(REDACTED.as_bytes());
            rest = after;
        }
        if clean.is_empty() {
            return None;
        }
        clean.extend_from_slice(rest);
        Some(clean)
    }

    /// What stands before its first occurrence, and what behind.
    fn cut_at_first<'a>(&self, bytes: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        (0..bytes.len()).find_map(|at| {
            let (before, rest) = bytes.split_at_checked(at)?;
            let after = self.forms.iter().find_map(|form| rest.strip_prefix(form.expose().as_bytes()))?;
            Some((before, after))
        })
    }
}

/// As in the query of an address; hexadecimal digits in upper case, or all in lower case.
fn percent_encoded(text: &str, is_lower: bool) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => encoded.push(char::from(byte)),
            // Writing into a string cannot fail.
            _ if is_lower => drop(write!(encoded, "%{byte:02x}")),
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

/// `#[serde(with = "secret::kept")]`: a secret in a file of its own owner, 0600. There is no `Serialize` on [`Secret`] itself, so
/// that deriving it on a report fails to compile.
pub(crate) mod kept {
    use super::{Deserialize, Deserializer, Secret, Serializer};

    #[expect(clippy::ref_option, reason = "the signature that serde's `with` calls")]
    pub(crate) fn serialize<S: Serializer>(secret: &Option<Secret>, to: S) -> Result<S::Ok, S::Error> {
        match secret {
            Some(secret) => to.serialize_some(secret.expose()),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(Secret::new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p11_a_servers_words_lose_the_key_in_every_form_in_which_they_may_repeat_it() {
        let redactor = Redactor::of(&Secret::new(r#"Key"0/1+2\3=4"#.to_owned()));
        for (said, clean) in [
            (r#"no Key"0/1+2\3=4!"#, "no [redacted]!"),
            (r#"{"uid":"Key\"0/1+2\\3=4"}"#, r#"{"uid":"[redacted]"}"#),
            ("?uid=Key%220%2F1%2B2%5C3%3D4&x", "?uid=[redacted]&x"),
            ("?uid=Key%220%2f1%2b2%5c3%3d4&x", "?uid=[redacted]&x"),
            ("S2V5IjAvMSsyXDM9NA==", "[redacted]=="),
            ("nothing of it", "nothing of it"),
        ] {
            assert_eq!(redactor.clean(said), clean);
            assert_eq!(redactor.finds(said), said != clean, "{said}");
        }
        assert_eq!(redactor.clean_bytes(b"\xffKey%220%2F1%2B2%5C3%3D4\xff").unwrap(), b"\xff[redacted]\xff");
        assert_eq!(redactor.clean_bytes(b"nothing"), None);
        let odd = Redactor::of(&Secret::new("redacted]".to_owned()));
        assert_eq!(odd.clean_bytes(b"redacted]redacted]").unwrap(), b"[redacted][redacted]");
        assert_eq!(Redactor::of(&Secret::new("short".to_owned())).clean("in short"), "in short");
        assert!(!format!("{redactor:?}").contains("Key"));
    }

    #[test]
    fn p11_debug_of_a_secret_shows_nothing_of_it() {
        let secret = Secret::new("abcdefgh".to_owned());
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "[redacted] Some([redacted])");
        assert_eq!(secret.expose(), "abcdefgh");
    }
}
