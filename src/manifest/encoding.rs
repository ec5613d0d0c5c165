//! Bytes to text: UTF-8, with or without a byte order mark, and nothing in it that a reader of the file would not see.

use crate::diagnostic::{Diagnostic, Position, Span};
use crate::text::is_reordering;

/// The byte order mark of UTF-8.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// What encoding a file begins like, where that is not UTF-8.
const OTHER_ENCODINGS: [(&[u8], &str); 6] = [
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
    (b"+/v8", "UTF-7"),
    (b"\x1f\x8b", "gzip"),
];

/// The text of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    /// All of it.
    pub(super) whole: &'a str,
    /// Without the byte order mark.
    pub(super) content: &'a str,
}

/// Reads `bytes` as text, or says what is wrong with them and where.
pub(super) fn decode(bytes: &[u8]) -> Result<Text<'_>, Box<Diagnostic>> {
    if let Some((_, name)) = OTHER_ENCODINGS.iter().find(|(start, _)| bytes.starts_with(start)) {
        return Err(foreign(name));
    }
    if let [_, 0, ..] | [0, _, ..] = bytes {
        return Err(foreign("UTF-16"));
    }
    let whole = std::str::from_utf8(bytes).map_err(|error| invalid(bytes, error.valid_up_to()))?;
    let content = whole.strip_prefix(BYTE_ORDER_MARK).unwrap_or(whole);
    match content.char_indices().find(|(_, character)| is_refused(*character)) {
        Some((byte, character)) => Err(refused(whole, whole.len() - content.len() + byte, character)),
        None => Ok(Text { whole, content }),
    }
}

fn foreign(name: &str) -> Box<Diagnostic> {
    let found = Diagnostic::error(&format!("a manifest is UTF-8 text, and this file begins like {name}"));
    Box::new(found.at(Span::at(Position::START)).help("save the file as UTF-8"))
}

fn invalid(bytes: &[u8], valid_up_to: usize) -> Box<Diagnostic> {
    let (valid, rest) = bytes.split_at_checked(valid_up_to).unwrap_or((bytes, &[]));
    let place = end_of(std::str::from_utf8(valid).unwrap_or_default());
    let byte = rest.first().copied().unwrap_or_default();
    let found = Diagnostic::error(&format!("a manifest is UTF-8 text, and the byte 0x{byte:02X} is none here"));
    Box::new(found.at(Span::at(place)).help("save the file as UTF-8"))
}

fn refused(text: &str, byte: usize, character: char) -> Box<Diagnostic> {
    let start = end_of(text.get(..byte).unwrap_or(text));
    let width = u32::try_from(character.len_utf8()).unwrap_or_default();
    let end = Position { column: start.column + 1, byte: start.byte + width, ..start };
    let what = match character {
        '\u{feff}' => "a byte order mark that is not at the start,",
        reordering if is_reordering(reordering) => "the reordering character",
        _ => "the control character",
    };
    let found = Diagnostic::error(&format!("{what} U+{:04X} cannot stand in a manifest", u32::from(character)));
    Box::new(found.at(Span { start, end }).help("remove it: nobody would see it"))
}

/// Characters that no manifest needs and that hide something: controls but tab and line break, what reorders text, and a byte
/// order mark in the middle.
fn is_refused(character: char) -> bool {
    character.is_control() && !matches!(character, '\t' | '\n' | '\r') || is_reordering(character) || character == '\u{feff}'
}

/// The position behind `text`, which is the start of a file.
fn end_of(text: &str) -> Position {
    let content = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let breaks = |text: &str| text.matches('\n').count() + text.matches('\r').count() - text.matches("\r\n").count();
    let line = content.rsplit(['\n', '\r']).next().unwrap_or(content);
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Position { line: number(breaks(content) + 1), column: number(line.chars().count() + 1), byte: number(text.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf_8_is_read_with_and_without_a_mark() {
        for (bytes, content) in [(&b""[..], ""), (b"a: 1\r\n\tb", "a: 1\r\n\tb"), ("\u{feff}é".as_bytes(), "é")] {
            assert_eq!(decode(bytes).unwrap().content, content);
        }
    }

    #[test]
    fn anything_else_is_refused_where_it_stands() {
        for (bytes, line, column, why) in [
            (&b"\xff\xfea\0"[..], 1, 1, "UTF-16 with a mark"),
            (b"a\0:\0", 1, 1, "UTF-16 without a mark"),
            (b"\0a\0:", 1, 1, "the other byte order"),
            (b"\x1f\x8b\x08", 1, 1, "a compressed file"),
            (b"a: 1\nb: \xff", 2, 4, "an invalid byte"),
            ("é: é\r\n é\u{0}".as_bytes(), 2, 3, "columns count characters"),
            (b"a\rb\x1b", 2, 2, "a lone carriage return is a line break"),
            ("\u{feff}\u{85}".as_bytes(), 1, 1, "the mark has no column"),
            ("# a \u{202e}b".as_bytes(), 1, 5, "reordering, even in a comment"),
        ] {
            let place = decode(bytes).unwrap_err().span().unwrap().start;
            assert_eq!((place.line, place.column), (line, column), "{why}");
        }
    }
}
