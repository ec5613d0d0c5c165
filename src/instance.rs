//! The words of one instance: the name that we give, the type that we ask for, the id and address that the server gives.
//!
//! Each is a type that can only hold a checked value. This module knows no file, no network and no clock.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use smol_str::SmolStr;

/// Longest accepted [`InstanceName`], in bytes.
pub const NAME_MAX: usize = 63;

/// Names that some system reserves for devices, whatever their extension; a name may become a file name.
const RESERVED: &[&str] = &[
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "lpt1", "lpt2", "lpt3",
    "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// Our name of an instance: `[A-Za-z0-9][A-Za-z0-9._-]{0,62}`, no trailing `.`, no device name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceName(SmolStr);

/// Why a text is no [`InstanceName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("a name cannot be empty")]
    Empty,
    /// More than [`NAME_MAX`] bytes.
    #[error("a name has at most {NAME_MAX} characters, this one has {0}")]
    TooLong(usize),
    /// The first character is not a letter or a digit.
    #[error("a name starts with a letter or a digit, not with `{}`", .0.escape_default())]
    Start(char),
    /// A character outside the grammar.
    #[error("a name holds letters, digits, `.`, `_` and `-`, not `{}`", .0.escape_default())]
    Character(char),
    /// The last character is a dot.
    #[error("a name cannot end with `.`")]
    TrailingDot,
    /// A device name such as `NUL`.
    #[error("the name is reserved for a device on some systems")]
    Reserved,
}

impl InstanceName {
    /// Checks `text` against the grammar.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let first = text.chars().next().ok_or(NameError::Empty)?;
        if !first.is_ascii_alphanumeric() {
            return Err(NameError::Start(first));
        }
        if let Some(odd) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
            return Err(NameError::Character(odd));
        }
        if text.len() > NAME_MAX {
            return Err(NameError::TooLong(text.len()));
        }
        if text.ends_with('.') {
            return Err(NameError::TrailingDot);
        }
        let stem = text.split('.').next().unwrap_or(text);
        // Asked of every name that is read, and there may be a million.
        if matches!(stem.len(), 3 | 4) && RESERVED.iter().any(|reserved| stem.eq_ignore_ascii_case(reserved)) {
            return Err(NameError::Reserved);
        }
        Ok(Self(SmolStr::new(text)))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What its instance is called beside one that has taken its place: the name, cut where it has to be, and the id.
    pub(crate) fn aside(&self, id: &InstanceId) -> String {
        let room = NAME_MAX.saturating_sub(id.as_str().len() + 1);
        let stem: String = self.0.chars().take(room).collect();
        format!("{stem}.{id}")
    }

    /// What the instance of this id is called where its own name is gone.
    pub(crate) fn lost(id: &InstanceId) -> Option<Self> {
        Self::parse(&format!("lost.{id}")).ok()
    }

    /// What two names share when they would meet in one file or variable name: letters in lower case, `.` and `_` as `-`.
    pub fn twin_key(&self) -> String {
        self.0.chars().map(|c| if matches!(c, '.' | '_') { '-' } else { c.to_ascii_lowercase() }).collect()
    }
}

/// The kinds of instance that can be declared (`docs/protocol.md`: `whatsapp` by all clients, `whatsapp_dev` by one).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceType {
    /// A production instance.
    #[serde(rename = "whatsapp")]
    WhatsApp,
    /// A development instance.
    #[serde(rename = "whatsapp_dev")]
    WhatsAppDev,
}

/// The text is no [`InstanceType`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an instance type")]
pub struct TypeError;

impl InstanceType {
    /// Every type, in the order of their text.
    pub const ALL: [Self; 2] = [Self::WhatsApp, Self::WhatsAppDev];

    /// What a manifest may say: our own texts, and the spellings of the C# client.
    pub const SPELLINGS: [(&str, Self); 4] = [
        ("whatsapp", Self::WhatsApp),
        ("whatsapp_dev", Self::WhatsAppDev),
        ("WhatsApp", Self::WhatsApp),
        ("WhatsAppDev", Self::WhatsAppDev),
    ];

    /// The text on the wire and in every output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WhatsApp => "whatsapp",
            Self::WhatsAppDev => "whatsapp_dev",
        }
    }

    /// Reads a server's spelling: letter case is not significant there (`docs/protocol.md`: unknown whether it ever was).
    pub fn from_wire(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(text))
    }
}

impl FromStr for InstanceType {
    type Err = TypeError;

    /// Accepts [`InstanceType::SPELLINGS`].
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::SPELLINGS.into_iter().find(|(spelling, _)| *spelling == text).map(|(_, kind)| kind).ok_or(TypeError)
    }
}

/// Longest accepted [`InstanceId`], in bytes.
pub const ID_MAX: usize = 64;

/// The server's id: 1 to 64 of `[A-Za-z0-9_-]`; decimal digits in every answer seen (`docs/protocol.md`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(SmolStr);

/// The text is no [`InstanceId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id has 1 to {ID_MAX} letters, digits, `_` or `-`")]
pub struct IdError;

impl InstanceId {
    /// Checks `text`.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let fits = (1..=ID_MAX).contains(&text.len());
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        if fits && plain { Ok(Self(SmolStr::new(text))) } else { Err(IdError) }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Longest accepted [`ApiUrl`], in bytes.
pub const API_URL_MAX: usize = 2048;

/// The address of one instance, in the server's own text. It is data: nothing here ever connects to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiUrl(SmolStr);

/// The text is no [`ApiUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an instance address is a printable http or https URL without credentials in it")]
pub struct ApiUrlError;

impl ApiUrl {
    /// Checks that `text` is a printable `http(s)` URL with a host and without user info.
    pub fn parse(text: &str) -> Result<Self, ApiUrlError> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or(ApiUrlError)?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        // To a browser a backslash is a slash: what stands before an `@` would be a user.
        let printable = text.len() <= API_URL_MAX && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
        if printable && !authority.is_empty() && !authority.contains('@') {
            Ok(Self(SmolStr::new(text)))
        } else {
            Err(ApiUrlError)
        }
    }

    /// The address as the server wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address of `method`, joined with exactly one slash.
    pub fn join(&self, method: &str) -> String {
        format!("{}/{}", self.0.trim_end_matches('/'), method.trim_start_matches('/'))
    }
}

/// `Display`, `String` conversions in both directions: the same four impls for each checked text.
macro_rules! checked_text {
    ($($type:ident => $error:ident),+) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl From<$type> for String {
            fn from(checked: $type) -> Self {
                checked.0.into()
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Text;
                impl de::Visitor<'_> for Text {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a text")
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        <$type>::parse(text).map_err(E::custom)
                    }
                }
                from.deserialize_str(Text)
            }
        }
        impl TryFrom<String> for $type {
            type Error = $error;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text)
            }
        }
        impl FromStr for $type {
            type Err = $error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }
    )+};
}
checked_text!(InstanceName => NameError, InstanceId => IdError, ApiUrl => ApiUrlError);

impl fmt::Display for InstanceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_grammar() {
        for good in ["a", "support-eu", "A.b_c-9", "0", &"x".repeat(63)] {
            assert!(InstanceName::parse(good).is_ok(), "{good}");
        }
        for (bad, error) in [
            ("", NameError::Empty),
            ("-a", NameError::Start('-')),
            (".", NameError::Start('.')),
            ("a/b", NameError::Character('/')),
            ("a\nb", NameError::Character('\n')),
            ("é", NameError::Start('é')),
            ("aé", NameError::Character('é')),
            ("a.", NameError::TrailingDot),
            ("NUL.txt", NameError::Reserved),
            (&"x".repeat(64), NameError::TooLong(64)),
        ] {
            assert_eq!(InstanceName::parse(bad), Err(error), "{bad}");
        }
    }

    #[test]
    fn twins_meet_in_one_key() {
        let key = |text| InstanceName::parse(text).unwrap().twin_key();
        assert_eq!(key("Shop.eu_1"), key("shop-EU-1"));
        assert_ne!(key("shop1"), key("shop-1"));
    }

    #[test]
    fn types_accept_both_spellings() {
        for (text, expected) in [
            ("whatsapp", InstanceType::WhatsApp),
            ("WhatsApp", InstanceType::WhatsApp),
            ("whatsapp_dev", InstanceType::WhatsAppDev),
            ("WhatsAppDev", InstanceType::WhatsAppDev),
        ] {
            assert_eq!(text.parse(), Ok(expected));
        }
        assert_eq!("WHATSAPP".parse::<InstanceType>(), Err(TypeError));
        assert_eq!(InstanceType::from_wire("WHATSAPP"), Some(InstanceType::WhatsApp));
    }

    #[test]
    fn ids_and_addresses_refuse_what_could_do_harm() {
        assert!(InstanceId::parse("123456").is_ok());
        for bad in ["", "1/2", "1\n", "a b", &"9".repeat(65)] {
            assert!(InstanceId::parse(bad).is_err(), "{bad}");
        }
        for bad in ["file:///etc/passwd", "javascript:alert(1)", "https://u:p@host/", "https://", "https://h/\u{1b}[0m", "//h/"] {
            assert!(ApiUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_joined_with_one_slash() {
        for text in ["https://eu1.example/instance1", "https://eu1.example/instance1/"] {
            assert_eq!(ApiUrl::parse(text).unwrap().join("status"), "https://eu1.example/instance1/status");
        }
    }
}
