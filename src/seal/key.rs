//! Public and secret keys, and how they are written: a prefix, and base64url of 32 bytes of key and 4 of checksum, so that a
//! mistyped key is refused instead of sealing to nobody.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hpke::{Deserializable as _, Kem as _, Serializable as _};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Kem;
use crate::secret::Secret;

/// How a public key begins.
pub(crate) const PUBLIC: &str = "chatapi-pub1-";
/// In capitals, so that people and scanners for secrets see what it is.
pub(crate) const SECRET: &str = "CHATAPI-SECRET-KEY1-";
/// Recipients of one state. Each costs 150 bytes in every sealed text.
const RECIPIENTS_MAX: usize = 16;

/// Why a text is no key. Never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It begins otherwise.
    #[error("a public key begins with `{PUBLIC}`")]
    NotPublic,
    /// The secret half where the public one belongs.
    #[error("this is a secret key where a public one belongs; treat it as leaked, and make another")]
    SecretForPublic,
    /// It begins otherwise.
    #[error("a secret key begins with `{SECRET}`")]
    NotSecret,
    /// Mistyped, or cut.
    #[error("the key is mistyped or cut: its checksum does not fit")]
    Checksum,
    /// No point that anything can be sealed to.
    #[error("this is no usable key")]
    Unusable,
    /// Too many.
    #[error("more than {RECIPIENTS_MAX} public keys are given")]
    TooMany,
    /// Nothing but comments.
    #[error("there is no secret key in it")]
    None,
}

/// A public key that secrets are sealed to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Recipient([u8; 32]);

impl Recipient {
    pub(super) fn public_key(self) -> Option<<Kem as hpke::Kem>::PublicKey> {
        <Kem as hpke::Kem>::PublicKey::from_bytes(&self.0).ok()
    }

    #[cfg(test)]
    pub(super) const fn unchecked(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its short name, in sealed texts and in messages.
    pub fn id(self) -> KeyId {
        let hash = digest(&SHA256, &self.0);
        KeyId(crate::text::hex(hash.as_ref().get(..4).unwrap_or_default()))
    }
}

impl FromStr for Recipient {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.to_ascii_uppercase().starts_with(SECRET) {
            return Err(KeyError::SecretForPublic);
        }
        let key = Self(*decode(text.strip_prefix(PUBLIC).ok_or(KeyError::NotPublic)?)?);
        // A trial: some points of the curve are refused only when they are used.
        let usable = key.public_key().is_some_and(|public| {
            hpke::setup_sender::<super::Aead, super::Kdf, Kem>(&hpke::OpModeS::Base, &public, b"trial").is_ok()
        });
        if usable { Ok(key) } else { Err(KeyError::Unusable) }
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC}{}", *encode(&self.0))
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Recipient> for String {
    fn from(key: Recipient) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for Recipient {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

/// The first 4 bytes of a public key's SHA-256, as 8 hexadecimal digits. Tells the keys of one state apart; proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The public keys that a state's secrets are sealed to; none: they are kept in the clear.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Recipients(BTreeSet<Recipient>);

impl Recipients {
    /// At most 16 keys.
    pub fn new(keys: impl IntoIterator<Item = Recipient>) -> Result<Self, KeyError> {
        let keys: BTreeSet<_> = keys.into_iter().collect();
        if keys.len() > RECIPIENTS_MAX { Err(KeyError::TooMany) } else { Ok(Self(keys)) }
    }

    /// Nobody: secrets are kept in the clear.
    pub const fn none() -> Self {
        Self(BTreeSet::new())
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys, sorted.
    pub fn iter(&self) -> impl Iterator<Item = Recipient> + '_ {
        self.0.iter().copied()
    }
}

impl fmt::Display for Recipients {
    /// The short names, for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nobody");
        }
        let ids: Vec<_> = self.iter().map(|key| key.id().to_string()).collect();
        f.write_str(&ids.join(", "))
    }
}

/// A secret key, which opens what was sealed to its public half. Wiped from memory when dropped.
#[derive(Clone)]
pub struct Identity(Zeroizing<[u8; 32]>);

impl Identity {
    /// A new one, from the system's randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        let random = ring::rand::SystemRandom::new();
        ring::rand::SecureRandom::fill(&random, &mut *seed).map_err(|_| KeyError::Unusable)?;
        let (secret, _) = Kem::derive_keypair(&*seed);
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(&secret.to_bytes());
        Ok(Self(key))
    }

    /// The keys in a file of them: one a line, besides empty lines and comments that begin with `#`.
    pub fn read_all(text: &str) -> Result<Vec<Self>, KeyError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys = lines.map(str::parse).collect::<Result<Vec<Self>, _>>()?;
        if keys.is_empty() { Err(KeyError::None) } else { Ok(keys) }
    }

    pub(super) fn secret_key(&self) -> Option<<Kem as hpke::Kem>::PrivateKey> {
        <Kem as hpke::Kem>::PrivateKey::from_bytes(&*self.0).ok()
    }

    /// Its public half.
    pub fn recipient(&self) -> Result<Recipient, KeyError> {
        let secret = self.secret_key().ok_or(KeyError::Unusable)?;
        let mut public = [0; 32];
        public.copy_from_slice(&Kem::sk_to_pk(&secret).to_bytes());
        Ok(Recipient(public))
    }

    /// The key as it is written.
    pub fn to_secret(&self) -> Secret {
        Secret::new(format!("{SECRET}{}", *encode(&self.0)))
    }
}

impl FromStr for Identity {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let identity = Self(decode(text.strip_prefix(SECRET).ok_or(KeyError::NotSecret)?)?);
        identity.recipient()?;
        Ok(identity)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(crate::secret::REDACTED)
    }
}

fn checksum(key: &[u8; 32]) -> [u8; 4] {
    let hash = digest(&SHA256, key);
    let mut sum = [0; 4];
    // Other bytes than the key's short name.
    sum.copy_from_slice(hash.as_ref().get(28..).unwrap_or(&[0; 4]));
    sum
}

fn encode(key: &[u8; 32]) -> Zeroizing<String> {
    let both = Zeroizing::new([&key[..], &checksum(key)].concat());
    Zeroizing::new(URL_SAFE_NO_PAD.encode(&*both))
}

fn decode(text: &str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).map_err(|_| KeyError::Checksum)?);
    let (key, sum) = bytes.split_at_checked(32).ok_or(KeyError::Checksum)?;
    let key = Zeroizing::new(<[u8; 32]>::try_from(key).map_err(|_| KeyError::Checksum)?);
    if checksum(&key) == sum { Ok(key) } else { Err(KeyError::Checksum) }
}
