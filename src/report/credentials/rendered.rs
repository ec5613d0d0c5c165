//! Text that holds tokens: it cannot be printed by mistake, and leaves no copy behind in memory while it grows.

use std::fmt;
use std::io;

use zeroize::Zeroizing;

use crate::secret::REDACTED;
use crate::text::{Printed, disarm};

/// What was rendered, as it is to be written.
#[derive(Default)]
pub struct Rendered(Zeroizing<String>);

impl Rendered {
    /// The text. It may hold tokens: it goes where the user said, and nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Appends `part`.
    pub(super) fn push(&mut self, part: &str) {
        let length = self.0.len() + part.len();
        if length > self.0.capacity() {
            // A string that grows by itself frees its old place as it is.
            let mut roomier = Zeroizing::new(String::with_capacity(length * 2));
            roomier.push_str(&self.0);
            self.0 = roomier;
        }
        self.0.push_str(part);
    }

    pub(super) fn push_all(&mut self, parts: &[&str]) {
        for part in parts {
            self.push(part);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether what stands behind the first `length` bytes is nothing that a terminal or a CI system acts on.
    pub(super) fn is_tame_from(&self, length: usize) -> bool {
        let part = self.0.get(length..).unwrap_or_default();
        *Zeroizing::new(disarm(part, Printed::Json).into_owned()) == *part
    }

    /// The same document, with what a terminal or a CI system acts on written out inside its quoted texts.
    pub(super) fn disarmed(self) -> Self {
        let safe = Zeroizing::new(disarm(&self.0, Printed::Json).into_owned());
        Self(safe)
    }
}

impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// For writers of whole UTF-8 pieces: those of JSON and of templates.
impl io::Write for Rendered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(std::str::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData)?);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p11_debug_shows_nothing_and_growing_loses_nothing() {
        let mut text = Rendered::default();
        let expected: String = (0..1_000).map(|number| number.to_string()).collect();
        for number in 0..1_000 {
            text.push(&number.to_string());
        }
        assert_eq!(text.expose(), expected);
        assert_eq!(format!("{text:?}"), "[redacted]");
    }
}
