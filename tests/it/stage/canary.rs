//! Secrets that cannot stand anywhere by chance, and every form in which they must not be seen.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::hex;

/// The forms in which `secret` must not be seen.
fn forms(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let (hex, percent) = (hex("", bytes), hex("%", bytes));
    let mut forms = vec![secret.to_owned(), hex.to_uppercase(), hex, percent.to_uppercase(), percent];
    forms.push(secret.chars().rev().collect());
    // Inside a longer text, base64 has three forms; the first and last characters depend on the neighbours.
    for shift in 0..3 {
        let text = STANDARD_NO_PAD.encode([&[0; 2][..shift], bytes].concat());
        let inner = &text[4..text.len() - 3];
        forms.extend([inner.to_owned(), inner.replace('+', "-").replace('/', "_")]);
    }
    forms.push(serde_json::to_string(secret).unwrap().trim_matches('"').to_owned());
    forms.push(query(bytes));
    // A cut secret is one, too.
    forms.push(secret[..secret.len() * 2 / 3].to_owned());
    forms
}

/// No form of a secret stands in `text`.
#[track_caller]
pub(crate) fn is_free_of(secrets: &[String], text: &str, what: &str) {
    for secret in secrets {
        for form in forms(secret) {
            assert!(!text.contains(&form), "{what} shows `{form}` of {secret}:\n{text}");
        }
    }
}

/// As in the query of an address.
fn query(bytes: &[u8]) -> String {
    let form = |byte: &u8| if byte.is_ascii_alphanumeric() { char::from(*byte).to_string() } else { format!("%{byte:02X}") };
    bytes.iter().map(form).collect()
}
