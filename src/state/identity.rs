//! Who a state is: lineage, serial, hash, and what it is bound to; and the ids of attempts.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::hex;

/// The number of a journal entry, from 1; it only grows. The serial of a state is that of its last entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Serial(pub u64);

impl Serial {
    /// The one after this. No journal gets as far as the last one, but bytes may claim it: nothing comes after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Drawn once when a state is begun and never changed: two states with different lineages have nothing to do with each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Lineage(String);

impl TryFrom<String> for Lineage {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
        if fits { Ok(Self(text)) } else { Err("a lineage has 1 to 64 letters or digits") }
    }
}

impl Lineage {
    /// From 16 random bytes; the caller draws them.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(hex(&bytes))
    }

    /// The lineage as text: 32 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// SHA-256 over the previous entry's hash and this entry's bytes: equal hashes mean equal journals up to there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What stands before the first entry.
    pub const ZERO: Self = Self([0; 32]);

    /// SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = Self::ZERO;
        hash.0.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
        hash
    }

    /// Reads 64 lower-case hexadecimal digits.
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; 32];
        let mut pairs = text.chunks_exact(2);
        for (byte, pair) in bytes.iter_mut().zip(pairs.by_ref()) {
            *byte = nibble(*pair.first()?)? << 4 | nibble(*pair.get(1)?)?;
        }
        (text.len() == 64).then_some(Self(bytes))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hex(&hash.0)
    }
}

impl TryFrom<String> for Hash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::from_hex(text.as_bytes()).ok_or("a hash has 64 hexadecimal digits")
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// The position of a journal: its last entry's serial and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The last entry's number.
    pub serial: Serial,
    /// The last entry's hash.
    pub hash: Hash,
}

impl Head {
    /// Before the first entry.
    pub const START: Self = Self { serial: Serial(0), hash: Hash::ZERO };
}

/// Scheme, host and port of the server that a state belongs to, as `https://host:port`; or `emulator` for the embedded one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Origin(pub String);

impl Origin {
    /// The embedded emulator, whose port differs from run to run.
    pub const EMULATOR: &'static str = "emulator";

    /// Whether this is the embedded emulator.
    pub fn is_emulator(&self) -> bool {
        self.0 == Self::EMULATOR
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A keyed hash of the API key and the server's origin, salted with the lineage: tells two keys apart and gives neither away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyFingerprint(pub String);

impl KeyFingerprint {
    /// What it begins with, if it is of an origin too.
    pub const OF_ORIGIN: &'static str = "2:";

    /// Whether it is of the key alone: whoever can write to the state can put another server beside it.
    pub fn is_early(&self) -> bool {
        !self.0.starts_with(Self::OF_ORIGIN)
    }
}

/// What a state belongs to. Another origin or key is refused before a byte is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The server.
    pub origin: Origin,
    /// The account; none on the embedded emulator.
    pub key: Option<KeyFingerprint>,
    /// The environment whose state it is; none: no run has said one yet.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub environment: Option<String>,
}

impl Binding {
    /// Whether a state bound like this may be bound as `other`: the same server, and the same account where one is known. A
    /// state that was rebuilt knows its server only. Whether an early fingerprint is of the same key is known to who has that.
    pub fn admits(&self, other: &Self) -> bool {
        let is_early = |key: &Option<KeyFingerprint>| key.as_ref().is_some_and(KeyFingerprint::is_early);
        let is_renewed = is_early(&self.key) && other.key.is_some() && !is_early(&other.key);
        self.origin == other.origin && (self.key.is_none() || self.key == other.key || is_renewed)
    }

    /// The environment that this is of, where `other` is of another one.
    pub fn of_another_environment(&self, other: &Self) -> Option<&str> {
        let (mine, theirs) = (self.environment.as_deref()?, other.environment.as_deref()?);
        (mine != theirs).then_some(mine)
    }

    /// Whether nothing of `other` is new.
    pub fn knows(&self, other: &Self) -> bool {
        self.origin == other.origin
            && self.key == other.key
            && (other.environment.is_none() || self.environment == other.environment)
    }
}

/// One try to create one name. Also sent as `X-Request-Id`, so that a server's log can be asked about it.
///
/// Read from a file it has at most 128 letters, digits, `.`, `_` or `-`: it stands in commands that people are told to type, and
/// a lock file may come with a pull request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct AttemptId(String);

impl TryFrom<String> for AttemptId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        let fits = (1..=128).contains(&text.len()) && is_plain && !text.starts_with('-');
        if fits { Ok(Self(text)) } else { Err("an attempt has 1 to 128 letters, digits, `.`, `_` or `-`") }
    }
}

impl AttemptId {
    /// From 8 random bytes; the caller draws them. Easy to read out: `a-` and ten of `[a-z2-7]`.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(spelt("a-", bytes))
    }

    /// What an operator typed; compared with the recorded ones, never used to make a new one.
    pub fn typed(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A saved plan. The run that carries it out names it in the journal, so that it is carried out once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct PlanId(String);

impl TryFrom<String> for PlanId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let letters = text.strip_prefix("p-").unwrap_or_default();
        let fits = letters.len() == 10 && letters.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b));
        if fits { Ok(Self(text)) } else { Err("a plan's id is `p-` and ten letters or digits") }
    }
}

impl PlanId {
    /// From 8 random bytes; the caller draws them. `p-` and ten of `[a-z2-7]`.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(spelt("p-", bytes))
    }
}

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// `prefix` and ten of `[a-z2-7]`.
fn spelt(prefix: &str, bytes: [u8; 8]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bits = u64::from_be_bytes(bytes);
    let letters = (0..10).filter_map(|at| ALPHABET.get(usize::try_from(bits >> (at * 5) & 31).ok()?).copied());
    letters.fold(prefix.to_owned(), |text, letter| text + char::from(letter).to_string().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_survive_their_text() {
        let hash = Hash(std::array::from_fn(|i| u8::try_from(i * 7 % 256).unwrap()));
        assert_eq!(Hash::from_hex(hash.to_string().as_bytes()), Some(hash));
        for bad in ["", "00", &"g".repeat(64), &"A".repeat(64), &"0".repeat(63), &"0".repeat(66)] {
            assert_eq!(Hash::from_hex(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn t11_ids_from_a_file_are_plain_words() {
        let attempt = |text: &str| serde_json::from_value::<AttemptId>(text.into()).is_ok();
        let lineage = |text: &str| serde_json::from_value::<Lineage>(text.into()).is_ok();
        assert!(attempt("a-k3jx7q2mfa") && attempt("a-lost-Support.eu_1") && lineage(Lineage::from_bytes([7; 16]).as_str()));
        for bad in ["", "x; rm -rf .", "$(x)", "`x`", "a\nb", "--created", "##vso[x]", &"x".repeat(129)] {
            assert!(!attempt(bad) && !lineage(bad), "{bad}");
        }
    }

    #[test]
    fn attempt_ids_are_short_and_plain() {
        assert_eq!(AttemptId::from_bytes([0; 8]).as_str(), "a-aaaaaaaaaa");
        assert_eq!(AttemptId::from_bytes([255; 8]).as_str(), "a-7777777777");
        assert_eq!(PlanId::from_bytes([255; 8]).to_string(), "p-7777777777");
    }

    #[test]
    fn a_plans_id_from_a_file_is_one_that_we_would_have_drawn() {
        let read = |text: &str| serde_json::from_value::<PlanId>(text.into()).is_ok();
        assert!(read("p-abcdefghi2"));
        for bad in ["", "p-", "p-abcdefghi", "p-abcdefghij2", "p-ABCDEFGHIJ", "a-abcdefghij", "p-abcdefghi1", "p-abcd;fghij"] {
            assert!(!read(bad), "{bad}");
        }
    }
}
