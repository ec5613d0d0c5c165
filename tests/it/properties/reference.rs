//! A journal as it can be read without the program: its chain of hashes, and what its lines say, as JSON values.

use std::collections::BTreeSet;

use ring::digest::{Context, SHA256};
use serde_json::Value;

const BEFORE_HASH: &[u8] = b",\"hash\":\"";

/// What lines show.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// Attempts that were begun and not closed.
    pub(super) open: BTreeSet<String>,
    /// Ids that belong to a name.
    pub(super) ids: BTreeSet<String>,
}

/// A journal's lines.
#[derive(Debug)]
pub(super) struct Lines {
    events: Vec<Option<Value>>,
    texts: Vec<String>,
    /// How many of them carry the hash that they must, from the first one on.
    pub(super) verified: usize,
}

impl Lines {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut lines = Self { events: Vec::new(), texts: Vec::new(), verified: 0 };
        let mut before = vec![0; 32];
        let mut is_intact = true;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            // A line feed that a power cut took is zero.
            let bare = line.strip_suffix(b"\n").or_else(|| line.strip_suffix(b"\0")).unwrap_or(line);
            let hash = hash_of(bare, &before);
            is_intact &= hash.is_some();
            if let Some(hash) = hash.filter(|_| is_intact) {
                lines.verified += 1;
                before = hash;
            }
            lines.events.push(serde_json::from_slice(bare).ok().and_then(|entry: Value| entry.get("event").cloned()));
            lines.texts.push(String::from_utf8_lossy(bare).into_owned());
        }
        lines
    }

    /// What the first `count` lines show; none: one of them has something in it that a value cannot hold, such as `1e999` where
    /// nobody looks.
    pub(super) fn shown(&self, count: usize) -> Option<Shown> {
        let mut shown = Shown::default();
        for event in self.events.iter().take(count) {
            if let Some((word, content)) = event.as_ref()?.as_object().and_then(|event| event.iter().next()) {
                shown.take(word, content);
            }
        }
        Some(shown)
    }

    /// Whether a line behind the first `count` may close `attempt`, as far as it can be read.
    pub(super) fn may_close(&self, count: usize, attempt: &str) -> bool {
        let attempt = format!("\"{attempt}\"");
        self.texts.iter().skip(count).any(|line| line.contains(&attempt) && CLOSING.iter().any(|word| line.contains(word)))
    }
}

/// The events that close an attempt.
const CLOSING: [&str; 4] = ["\"unsent\"", "\"created\"", "\"refused\"", "\"resolved\""];

fn is_closing(word: &str) -> bool {
    CLOSING.iter().any(|closing| closing.trim_matches('"') == word)
}

impl Shown {
    fn take(&mut self, word: &str, content: &Value) {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        match word {
            "intent" | "adopted_doubt" => self.open.extend(text(&content["attempt"])),
            "restored" => {
                let phase = &content["record"]["phase"];
                // An attempt alone, or with what is known of it.
                self.open.extend(text(&phase["intent"]["id"]));
                self.open.extend(["in_doubt", "received"].iter().find_map(|word| text(&phase[word][0]["id"])));
                self.ids.extend(["created", "released"].iter().find_map(|word| text(&phase[word]["id"])));
            }
            word if is_closing(word) => {
                self.open.remove(content["attempt"].as_str().unwrap_or_default());
            }
            _ => {}
        }
        match word {
            "created" | "adopted" => self.ids.extend(text(&content["id"])),
            "resolved" => self.ids.extend(text(&content["verdict"]["created"]["id"])),
            _ => {}
        }
    }
}

/// The hash that `line` carries, if it is the right one.
fn hash_of(line: &[u8], before: &[u8]) -> Option<Vec<u8>> {
    let end = line.len().checked_sub(2 + 64 + BEFORE_HASH.len())?;
    let payload = line.get(..end)?;
    let hash = chain(before, payload);
    (line == sealed(payload, &hash)).then_some(hash)
}

fn chain(before: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    context.update(before);
    context.update(payload);
    context.finish().as_ref().to_vec()
}

/// `payload` with its hash.
fn sealed(payload: &[u8], hash: &[u8]) -> Vec<u8> {
    let digits = hash.iter().fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"));
    [payload, BEFORE_HASH, digits.as_bytes(), b"\"}"].concat()
}

/// The same lines, each that carries a hash with the one that belongs to it now.
pub(super) fn rechained(bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(bytes.len());
    let mut before = vec![0; 32];
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let at = line.windows(BEFORE_HASH.len()).rposition(|window| window == BEFORE_HASH);
        match at.and_then(|at| line.get(..at)) {
            Some(payload) => {
                before = chain(&before, payload);
                whole.extend(sealed(payload, &before));
                whole.push(b'\n');
            }
            None => whole.extend_from_slice(line),
        }
    }
    whole
}
