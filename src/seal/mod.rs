//! Secrets at rest, sealed to public keys: whoever creates instances (a CI job) needs the public keys only and can read no token.
//!
//! A sealed text is encrypted under a key of its own, drawn for it, and that key is wrapped for each recipient by HPKE (RFC 9180:
//! base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305). Both layers are bound to what the text is [`About`]:
//! the lineage, the name and the attempt. A sealed text that was put in another one's place does not open.
//!
//! Sealing proves nothing about who sealed: everybody knows a public key. What stands in a journal is held together by its
//! hashes. The cipher's randomness is the system's.

mod envelope;
mod key;

pub use envelope::{About, OpenError, SealError, Sealed};
pub use key::{Identity, KeyError, KeyId, Recipient, Recipients};
pub(crate) use key::{PUBLIC, SECRET};

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;

type Kem = X25519HkdfSha256;
type Kdf = HkdfSha256;
type Aead = ChaCha20Poly1305;

#[cfg(test)]
mod tests;
