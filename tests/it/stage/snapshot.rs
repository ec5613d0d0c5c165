//! Committed texts that outputs are compared with, byte for byte; `CHATAPI_BLESS=1` writes them anew.

use std::path::Path;

/// Compares `text` with the snapshot `name`.
#[track_caller]
pub(crate) fn snapshot(name: &str, text: &str) {
    kept(&format!("tests/snapshots/{name}"), text);
}

/// Compares `text` with the committed file `name`, a path from the root of the project.
#[track_caller]
pub(crate) fn kept(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("CHATAPI_BLESS").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "{name} differs; if that is wanted: CHATAPI_BLESS=1\n--- kept\n{kept}\n--- now\n{text}");
}

/// `text` with all that differs from run to run written as `<WHAT>`: moments, durations, attempts, hashes, lineages, ports.
pub(crate) fn steady(text: &str) -> String {
    let mut steady = String::new();
    let mut word = String::new();
    for character in text.chars().chain(['\n']) {
        if character.is_ascii_alphanumeric() || matches!(character, ':' | '-' | '.') {
            word.push(character);
        } else {
            steady += &placeholder(&word);
            word.clear();
            steady.push(character);
        }
    }
    steady.pop();
    without_durations(&steady)
}

fn placeholder(word: &str) -> String {
    if let Some((at, mark @ (':' | '.'))) = word.char_indices().last() {
        return placeholder(&word[..at]) + mark.encode_utf8(&mut [0; 4]);
    }
    let is_hex = |length| word.len() == length && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_moment = word.len() >= 20 && word.as_bytes()[10] == b'T' && word.ends_with('Z');
    let is_attempt = word.strip_prefix("a-").is_some_and(|rest| rest.len() == 10 && !rest.contains(['-', ':', '.']));
    match word {
        _ if is_moment => "<TIME>".to_owned(),
        _ if is_attempt => "<ATTEMPT>".to_owned(),
        _ if is_hex(64) => "<HASH>".to_owned(),
        _ if is_hex(32) => "<LINEAGE>".to_owned(),
        _ => match word.split_once("127.0.0.1:") {
            Some((before, _)) => format!("{before}127.0.0.1:<PORT>"),
            None => word.to_owned(),
        },
    }
}

/// `(12 ms)` and `(1.2 s)` become `(<TOOK>)`.
fn without_durations(text: &str) -> String {
    let mut pieces = text.split('(');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        out.push('(');
        match piece.split_once(')') {
            Some((inside, rest)) if inside.starts_with(|c: char| c.is_ascii_digit()) && inside.ends_with('s') => {
                out += "<TOOK>)";
                out += rest;
            }
            _ => out += piece,
        }
    }
    out
}
