//! Text that must never be printed: the API key and the instance tokens.
//!
//! A [`Secret`] has no `Display`; its `Debug` says `[redacted]`; it is wiped from memory when dropped. Whoever needs the
//! text says so with [`Secret::expose`], which is easy to search for.

use std::fmt;

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

/// `#[serde(with = "secret::kept")]`: a secret written into the journal, whose file is 0600. There is no `Serialize` on
/// [`Secret`] itself, so that deriving it on a report fails to compile.
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
    fn p11_debug_of_a_secret_shows_nothing_of_it() {
        let secret = Secret::new("abcdefgh".to_owned());
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "[redacted] Some([redacted])");
        assert_eq!(secret.expose(), "abcdefgh");
    }
}
