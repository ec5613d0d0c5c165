//! What no file that a manifest names, and no manifest, may be or hold: the API key, secret keys, what a state keeps.
//!
//! Manifests and `chatapi.yaml` come with pull requests, and a path or a link in one may lead anywhere. What is wrong with a file is
//! shown with its line, and what is right becomes a name: so a file with a secret is not read as one at all.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::beside::Refusal;
use crate::diagnostic::Diagnostic;
use crate::secret::{Redactor, Secret};

/// What is known to be secret. By default nothing is.
#[derive(Debug, Clone, Default)]
pub struct Confidential {
    /// Device and inode.
    files: BTreeSet<(u64, u64)>,
    keys: Vec<Redactor>,
    is_of_state: Option<fn(&Path) -> bool>,
}

impl Confidential {
    /// And the file that `metadata` is of, whatever leads to it.
    #[must_use]
    pub fn and_file(mut self, metadata: &Metadata) -> Self {
        self.files.insert((metadata.dev(), metadata.ino()));
        self
    }

    /// And every text that holds `key`.
    #[must_use]
    pub fn and_key(mut self, key: &Secret) -> Self {
        self.keys.push(Redactor::of(key));
        self
    }

    /// And every file that `is_of_state` knows.
    #[must_use]
    pub fn and_states(mut self, is_of_state: fn(&Path) -> bool) -> Self {
        self.is_of_state = Some(is_of_state);
        self
    }

    /// Whether `text` holds a key.
    pub fn finds(&self, text: &str) -> bool {
        self.keys.iter().any(|key| key.finds(text))
    }

    /// Why the file at `path`, which holds `bytes`, is neither used nor shown, and what to do; none: it is no secret.
    pub fn refusal(&self, path: &Path, metadata: &Metadata, bytes: &[u8]) -> Option<(String, String)> {
        self.check_file(path, metadata).and_then(|()| self.check_bytes(bytes)).err()
    }

    /// Refuses the open file at `path`, before a byte of it is read.
    pub(super) fn check_file(&self, path: &Path, metadata: &Metadata) -> Result<(), Refusal> {
        if self.files.contains(&(metadata.dev(), metadata.ino())) {
            return Err((
                "this is the very file of the API key or of a secret key, and nothing of it is shown".to_owned(),
                "name another file; look where the link leads, if it is one".to_owned(),
            ));
        }
        if self.is_of_state.is_some_and(|is_of_state| is_of_state(path)) {
            return Err((
                "this file is a state's, and nothing of it is shown: tokens may be in it".to_owned(),
                "name a file outside of the state directory".to_owned(),
            ));
        }
        Ok(())
    }

    /// Refuses what a file holds.
    pub(super) fn check_bytes(&self, bytes: &[u8]) -> Result<(), Refusal> {
        if !self.keys.is_empty() && self.finds(&String::from_utf8_lossy(bytes)) {
            return Err((
                "the file holds the API key, and no line of it is shown".to_owned(),
                "take the key out; if others have seen it, replace it at the server".to_owned(),
            ));
        }
        Ok(())
    }
}

/// As a problem.
pub(super) fn told((summary, help): Refusal) -> Box<Diagnostic> {
    Box::new(Diagnostic::error(&summary).help(&help))
}
