//! Making foreign text safe to print: what a manifest, a file name or a server says may hold terminal escapes, characters that
//! reorder or hide what stands on the screen, and commands that a CI runner obeys when it reads them in a log.
//!
//! [`escape`] is the one place that decides what may be printed. It never fails, it leaves ordinary text alone (in any script)
//! and it changes nothing when applied twice. It does not make text safe for a shell, a URL or HTML. [`disarm`] is the gate
//! before a stream: what slipped past every [`escape`] is caught there, but for line breaks.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

mod likeness;

pub(crate) use likeness::closest;

/// `1 name`, `2 names`.
pub(crate) fn counted<N: Copy + fmt::Display + PartialEq + From<u8>>(count: N, one: &str, many: &str) -> String {
    let word = if count == N::from(1) { one } else { many };
    format!("{count} {word}")
}

/// Foreign text on its way to a person: its only `Display` is the escaped one, always within one line.
///
/// Never print it as the first thing on a line: a runner reads `::name::` only there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Untrusted<'a>(pub &'a str);

impl fmt::Display for Untrusted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&escape(self.0))
    }
}

/// Words which, between `##` and `[`, make a log line a command, wherever on the line they stand (those of Azure Pipelines and
/// `TeamCity`, and the older form of GitHub Actions).
const COMMAND_WORDS: [&str; 3] = ["##", "##vso", "##teamcity"];

/// `text` with every character that is not plainly visible written out, as in `\n` or `\u{202e}`.
///
/// Newlines are among them, so the result is one line. The bracket that would complete a CI command is written `\u{5b}`.
pub fn escape(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'[' || byte == b' ') {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        push_escaped(&mut escaped, character);
    }
    if escaped == text { Cow::Borrowed(text) } else { Cow::Owned(escaped) }
}

/// Appends `character` to `line`, written out where it is not plainly visible or would complete a CI command.
pub(crate) fn push_escaped(line: &mut String, character: char) {
    if is_hidden(character) {
        line.extend(character.escape_default());
    } else if character == '[' && completes_command(line) {
        line.extend(character.escape_unicode());
    } else {
        line.push(character);
    }
}

/// What passes the gate before a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Printed {
    /// Lines for people, with colours of our own.
    Text,
    /// JSON documents: what is written out stays the same value.
    Json,
}

/// Whole lines on their way to a stream: line feeds and colours pass, all else that a terminal or a CI system would act on is
/// written out, as in `\u{1b}`, or in JSON as in `\u001b`. Changes nothing when applied twice.
pub fn disarm(text: &str, printed: Printed) -> Cow<'_, str> {
    let may_act = |c: char| c != '\n' && is_hidden(c);
    if !text.contains("##") && !text.contains("::") && !text.contains(may_act) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if let Some(colour) = colour_at(rest).filter(|_| printed == Printed::Text) {
            safe.push_str(colour);
            rest = rest.get(colour.len()..).unwrap_or_default();
            continue;
        }
        let is_command = (character == '[' && completes_command(&safe)) || (rest.starts_with("::") && is_at_line_start(&safe));
        match printed {
            _ if !may_act(character) && !is_command => safe.push(character),
            Printed::Text => safe.extend(character.escape_unicode()),
            Printed::Json => push_json_escape(&mut safe, character),
        }
        rest = rest.get(character.len_utf8()..).unwrap_or_default();
    }
    Cow::Owned(safe)
}

/// A change of colour, which is all that we ask of a terminal: `ESC [ digits and ; m`.
fn colour_at(text: &str) -> Option<&str> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let length = parameters.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    parameters.get(length..)?.starts_with('m').then(|| text.get(..length + 3)).flatten()
}

/// Whether nothing but spaces and colours stands on the last line so far.
fn is_at_line_start(safe: &str) -> bool {
    let mut line = safe.rsplit('\n').next().unwrap_or_default();
    loop {
        line = line.trim_start();
        match colour_at(line) {
            Some(colour) => line = line.get(colour.len()..).unwrap_or_default(),
            None => return line.is_empty(),
        }
    }
}

fn push_json_escape(json: &mut String, character: char) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        // Writing into a string cannot fail.
        let _ = write!(json, "\\u{unit:04x}");
    }
}

fn completes_command(line: &str) -> bool {
    COMMAND_WORDS.iter().any(|word| {
        let tail = line.len().checked_sub(word.len()).and_then(|start| line.get(start..));
        tail.is_some_and(|tail| tail.eq_ignore_ascii_case(word))
    })
}

/// Whether a terminal would act on `character`, show nothing for it, or let it reorder its neighbours: controls (C0, DEL, C1),
/// line and paragraph separators, format characters (`Cf`), fillers, variation selectors and tags.
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(u32::from(character),
            0xAD | 0x34F | 0x61C | 0x6DD | 0x70F | 0x8E2 | 0xFEFF | 0x3164 | 0xFFA0 | 0x110BD | 0x110CD
            | 0x600..=0x605 | 0x890..=0x891 | 0x115F..=0x1160 | 0x17B4..=0x17B5 | 0x180B..=0x180F
            | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0xFE00..=0xFE0F | 0xFFF0..=0xFFFB
            | 0x13430..=0x1345F | 0x1BCA0..=0x1BCA3 | 0x1D173..=0x1D17A | 0xE0000..=0xE0FFF)
}

/// Whether `character` can make text read in another order than it is stored in: the embedding, override and isolate controls.
pub fn is_reordering(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Lower-case hexadecimal digits of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |index: u8| DIGITS.get(usize::from(index & 15)).copied().map_or('0', char::from);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_is_not_plainly_visible() {
        for (text, shown, why) in [
            ("support-eu", "support-eu", "ordinary text is untouched"),
            ("Grüße, мир, 世界", "Grüße, мир, 世界", "every script is untouched"),
            ("a\nb\r\tc", "a\\nb\\r\\tc", "line breaks cannot start a new line"),
            ("\u{1b}[31m", "\\u{1b}[31m", "no terminal escape"),
            ("\u{7}\u{7f}\u{9b}", "\\u{7}\\u{7f}\\u{9b}", "bell, DEL and C1"),
            ("a\u{202e}b", "a\\u{202e}b", "no reordering"),
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}", "no zero width"),
            ("a\u{2028}b", "a\\u{2028}b", "no line separator"),
            ("##vso[task.x]", "##vso\\u{5b}task.x]", "no Azure command"),
            ("x ##[error]y", "x ##\\u{5b}error]y", "no older GitHub command, wherever it stands"),
            ("##TeamCity[x]", "##TeamCity\\u{5b}x]", "no TeamCity command, in any case"),
            ("list[0] # c", "list[0] # c", "a bracket alone is harmless"),
        ] {
            assert_eq!(escape(text), shown, "{why}");
            assert_eq!(escape(shown), shown, "twice changes nothing: {why}");
        }
    }

    #[test]
    fn t10_t11_the_gate_lets_lines_and_colours_through_and_nothing_that_acts() {
        for (text, shown, why) in [
            ("a\n  b: c::d\n", "a\n  b: c::d\n", "lines and colons inside them pass"),
            ("\u{1b}[1;31merror\u{1b}[0m: x", "\u{1b}[1;31merror\u{1b}[0m: x", "colours pass"),
            ("\u{1b}[2Jx\u{1b}]0;t\u{7}", r"\u{1b}[2Jx\u{1b}]0;t\u{7}", "no other command of a terminal"),
            ("a\n::error::x", "a\n\\u{3a}:error::x", "no command at the start of a line"),
            ("\u{1b}[2m  \u{1b}[0m ::x", "\u{1b}[2m  \u{1b}[0m \\u{3a}:x", "nor behind spaces and colours"),
            ("a ##vso[x] ##[y]", r"a ##vso\u{5b}x] ##\u{5b}y]", "no command anywhere"),
            ("a\u{202e}b\rc", r"a\u{202e}b\u{d}c", "no reordering, no return"),
            ("\u{1b}[999", r"\u{1b}[999", "a colour that does not end is none"),
        ] {
            assert_eq!(disarm(text, Printed::Text), shown, "{why}");
            assert_eq!(disarm(shown, Printed::Text), shown, "twice changes nothing: {why}");
        }
    }

    #[test]
    fn t10_t11_json_stays_the_same_value() {
        let value = serde_json::json!({ "a": "##vso[x]\u{7f}\u{9b}\u{202e}\u{e0041}\n::b", "c": ["##[d]", [1]] });
        let text = serde_json::to_string_pretty(&value).unwrap();
        let safe = disarm(&text, Printed::Json);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
        assert!(safe.chars().all(|c| c == '\n' || !is_hidden(c)) && !safe.contains("##vso[") && !safe.contains("##["), "{safe}");
        assert_eq!(disarm(&safe, Printed::Json), safe);
    }

    #[test]
    fn every_control_and_reordering_character_is_escaped() {
        for character in (0..=0x10_FFFF).filter_map(char::from_u32).filter(|c| c.is_control() || is_reordering(*c)) {
            assert!(escape(&character.to_string()).is_ascii(), "U+{:04X}", u32::from(character));
        }
    }

    #[test]
    fn ordinary_text_is_not_copied() {
        assert!(matches!(escape("a b [c] é"), Cow::Borrowed(_)));
        assert_eq!(format!("{:>8}|", Untrusted("a\n")), "     a\\n|");
    }
}
