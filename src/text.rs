//! Making foreign text safe to print: what a manifest, a file name or a server says may hold terminal escapes, characters that
//! reorder or hide what stands on the screen, and commands that a CI runner obeys when it reads them in a log.
//!
//! [`escape`] is the one place that decides what may be printed. It never fails, it leaves ordinary text alone (in any script)
//! and it changes nothing when applied twice. It does not make text safe for a shell, a URL or HTML.

use std::borrow::Cow;
use std::fmt;

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
