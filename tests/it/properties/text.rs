//! F7: foreign text on its way to a terminal or a CI log.

use chatapi::text::{Printed, disarm, escape};

/// `escape` gives one line in which nothing acts; what passes the gate has lines and colours besides, and no line begins with a
/// CI command; a JSON document stays the same value; twice is the same as once.
pub(super) fn f7_text(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let escaped = escape(&text);
    assert_inert(&escaped);
    assert!(!escaped.contains('\n'), "a line feed is left: {escaped:?}");
    assert_eq!(escape(&escaped), escaped, "escaped twice");
    let gated = disarm(&text, Printed::Text);
    assert_no_command_word(&gated);
    let plain = without_colours(&gated);
    assert_eq!(plain.chars().find(|c| *c != '\n' && acts(*c)), None, "in {gated:?}");
    assert_no_command_line(&gated);
    assert_eq!(disarm(&gated, Printed::Text), gated, "through the gate twice");
    let json = disarm(&text, Printed::Json);
    assert_harmless(&json);
    assert_eq!(disarm(&json, Printed::Json), json, "through the gate of JSON twice");
    // No document of ours has any other white space between its values.
    if let Some(value) = serde_json::from_str::<serde_json::Value>(&text).ok().filter(|_| !text.contains(['\r', '\t'])) {
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), value, "another value: {json:?}");
    }
    let document = serde_json::json!([text, { (text.as_ref()): 1 }]);
    let safe = disarm(&document.to_string(), Printed::Json).into_owned();
    assert_harmless(&safe);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), document);
}

/// No line begins with a CI command, and nothing acts.
pub(super) fn assert_harmless(text: &str) {
    assert_inert(text);
    assert_no_command_line(text);
}

fn assert_no_command_line(text: &str) {
    assert!(!text.lines().any(|line| bare(line).starts_with("::")), "a command of a CI system: {text:?}");
}

/// `line` less the spaces and colours that it begins with.
fn bare(line: &str) -> &str {
    let line = line.trim_start();
    let parameters = line.strip_prefix("\u{1b}[").map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';'));
    match parameters.and_then(|rest| rest.strip_prefix('m')) {
        Some(rest) => bare(rest),
        None => line,
    }
}

/// Nothing in it acts on a terminal, hides or reorders; no bracket completes a command of a CI system.
pub(super) fn assert_inert(text: &str) {
    let odd = text.chars().find(|c| *c != '\n' && acts(*c));
    assert_eq!(odd, None, "in {text:?}");
    assert_no_command_word(text);
}

fn assert_no_command_word(text: &str) {
    let lower = text.to_ascii_lowercase();
    assert!(!["##[", "##vso[", "##teamcity["].iter().any(|command| lower.contains(command)), "a CI command: {text:?}");
}

/// C0, DEL, C1; the line and paragraph separators; and `Cf` as Unicode 16 lists it, among them the bidirectional controls.
fn acts(character: char) -> bool {
    matches!(u32::from(character),
        0..=0x1F | 0x7F..=0x9F | 0x2028..=0x2029
        | 0xAD | 0x600..=0x605 | 0x61C | 0x6DD | 0x70F | 0x890..=0x891 | 0x8E2 | 0x180E | 0x200B..=0x200F | 0x202A..=0x202E
        | 0x2060..=0x2064 | 0x2066..=0x206F | 0xFEFF | 0xFFF9..=0xFFFB | 0x110BD | 0x110CD | 0x13430..=0x1343F
        | 0x1BCA0..=0x1BCA3 | 0x1D173..=0x1D17A | 0xE0001 | 0xE0020..=0xE007F)
}

/// `text` less its changes of colour: `ESC [`, digits and semicolons, `m`.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        match rest.strip_prefix('m') {
            Some(rest) => plain += rest,
            None => plain.extend(["\u{1b}[", part]),
        }
    }
    plain
}
