//! One sealed text: whom it is for, and its bytes. What is written is a stored format, version [`VERSION`].

use hpke::{Deserializable as _, OpModeR, OpModeS, Serializable as _};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Aead, Identity, Kdf, Kem, KeyId, Recipients};

const VERSION: u32 = 1;
/// Bound into every wrapped key.
const INFO: &[u8] = b"chatapi sealed text 1";

/// What a secret is about. It opens only under the same words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About<'a> {
    /// `answer` or `token`.
    pub what: &'a str,
    /// The state's lineage.
    pub lineage: &'a str,
    /// The instance's name when it was sealed.
    pub name: &'a str,
    /// The attempt that brought it; empty where an operator did.
    pub attempt: &'a str,
}

impl About<'_> {
    /// The words as bytes that no other words have.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [self.what, self.lineage, self.name, self.attempt] {
            bytes.extend_from_slice(&(word.len() as u64).to_le_bytes());
            bytes.extend_from_slice(word.as_bytes());
        }
        bytes
    }
}

/// A sealed text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// The version of this format.
    seal: u32,
    to: Vec<Wrapped>,
    /// The text under its own key, with its tag.
    #[serde(with = "bytes")]
    text: Vec<u8>,
}

/// The text's key, for one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapped {
    key: KeyId,
    /// The encapsulated key, 32 bytes.
    #[serde(with = "bytes")]
    enc: Vec<u8>,
    /// The text's key under it, 48 bytes.
    #[serde(with = "bytes")]
    wrap: Vec<u8>,
}

/// A text could not be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// There is nobody to seal to.
    #[error("there is no public key to seal to")]
    Nobody,
    /// The cipher or the system's randomness failed.
    #[error("sealing failed")]
    Failed,
}

/// A sealed text does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// None of the given keys is one of those that it was sealed to.
    #[error("it is sealed to {}, and none of the given secret keys is one of them", .0.join(", "))]
    NotForUs(Vec<String>),
    /// It was changed, or it is about something else.
    #[error("it was changed, or belongs to another name, attempt or state")]
    Altered,
    /// A later version sealed it.
    #[error("a newer version of chatapi sealed it")]
    Newer,
}

impl Sealed {
    /// Seals `text` to every one of `recipients`.
    pub fn seal(text: &[u8], recipients: &Recipients, about: &About<'_>) -> Result<Self, SealError> {
        if recipients.is_empty() {
            return Err(SealError::Nobody);
        }
        let about = about.bytes();
        let key = Zeroizing::new(random_key()?);
        let mut sealed = Zeroizing::new(text.to_vec());
        let tag = cipher(&*key)?.seal_in_place_separate_tag(zero_nonce(), Aad::from(&about), &mut sealed);
        let tag = tag.map_err(|_| SealError::Failed)?;
        let text = [&sealed[..], tag.as_ref()].concat();
        let wrapped = recipients.iter().map(|recipient| {
            let public = recipient.public_key().ok_or(SealError::Failed)?;
            let (enc, wrap) = hpke::single_shot_seal::<Aead, Kdf, Kem>(&OpModeS::Base, &public, INFO, &*key, &about)
                .map_err(|_| SealError::Failed)?;
            Ok(Wrapped { key: recipient.id(), enc: enc.to_bytes().to_vec(), wrap })
        });
        Ok(Self { seal: VERSION, to: wrapped.collect::<Result<_, _>>()?, text })
    }

    /// Opens it with one of `identities`.
    pub fn open(&self, identities: &[Identity], about: &About<'_>) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        match self.seal {
            VERSION => {}
            newer if newer > VERSION => return Err(OpenError::Newer),
            _ => return Err(OpenError::Altered),
        }
        let about = about.bytes();
        let mut is_ours = false;
        for identity in identities {
            let Ok(recipient) = identity.recipient() else { continue };
            for wrapped in self.to.iter().filter(|wrapped| wrapped.key == recipient.id()) {
                is_ours = true;
                if let Some(text) = self.open_as(identity, wrapped, &about) {
                    return Ok(text);
                }
            }
        }
        if is_ours { Err(OpenError::Altered) } else { Err(OpenError::NotForUs(self.keys().map(ToString::to_string).collect())) }
    }

    fn open_as(&self, identity: &Identity, wrapped: &Wrapped, about: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let enc = <Kem as hpke::Kem>::EncappedKey::from_bytes(&wrapped.enc).ok()?;
        let secret = identity.secret_key()?;
        let key = hpke::single_shot_open::<Aead, Kdf, Kem>(&OpModeR::Base, &secret, &enc, INFO, &wrapped.wrap, about);
        let key = Zeroizing::new(key.ok()?);
        let mut text = Zeroizing::new(self.text.clone());
        let length = cipher(&key).ok()?.open_in_place(zero_nonce(), Aad::from(about), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }

    /// The short names of the keys that it was sealed to.
    pub fn keys(&self) -> impl Iterator<Item = &KeyId> {
        self.to.iter().map(|wrapped| &wrapped.key)
    }
}

fn random_key() -> Result<[u8; 32], SealError> {
    let key = ring::rand::generate::<[u8; 32]>(&ring::rand::SystemRandom::new());
    Ok(key.map_err(|_| SealError::Failed)?.expose())
}

fn cipher(key: &[u8]) -> Result<LessSafeKey, SealError> {
    Ok(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| SealError::Failed)?))
}

/// Each key seals one text.
fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

mod bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD_NO_PAD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        STANDARD_NO_PAD.decode(text.as_bytes()).map_err(|_| de::Error::custom("not base64"))
    }
}
