//! One line of a file, made fit to be shown: escaped, cut around the place in question, with hidden stretches left out.

use std::ops::Range;

use super::Span;
use crate::secret::REDACTED;
use crate::text::push_escaped;

/// Characters shown of one line.
const SHOWN_COLUMNS: usize = 200;
/// Characters shown before the place, at most.
const COLUMNS_BEFORE: usize = 120;
/// No part of the first line, wherever it stands.
const BYTE_ORDER_MARK: char = '\u{feff}';
/// What stands where a line was cut.
const CUT: char = '…';

/// Stretches of a file (in bytes) that must not be shown, in ascending order.
pub type Hidden<'a> = &'a [Range<usize>];

/// One line with the place in question, printable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    pub(super) text: String,
    /// The stretch in question, as bytes of `text`.
    pub(super) caret: Range<usize>,
    /// Whether the characters before the place are as many here as in the file.
    pub(super) aligned: bool,
}

impl Excerpt {
    /// The line of `text` where `span` starts. `span` counts bytes of `text`; what `hidden` covers is replaced.
    ///
    /// The work is bounded by the columns shown, however long the line is.
    pub fn of(text: &str, span: Span, hidden: Hidden<'_>) -> Self {
        let start = floor_boundary(text, span.start.byte as usize);
        let end = floor_boundary(text, (span.end.byte as usize).max(start));
        let window = Window::around(text, start);
        let mut line = Line { shown: String::new(), is_hiding: false };
        if window.is_cut_before {
            line.shown.push(CUT);
        }
        let mut caret = None;
        let mut caret_end = None;
        for (offset, character) in text.get(window.bytes.clone()).unwrap_or_default().char_indices() {
            let byte = window.bytes.start + offset;
            if byte == start {
                caret = Some(line.shown.len());
            }
            if byte == end {
                caret_end = Some(line.shown.len());
            }
            line.push(character, is_within(hidden, byte));
        }
        let caret = caret.unwrap_or(line.shown.len());
        let caret_end = caret_end.unwrap_or(line.shown.len());
        let column = (span.start.column as usize).saturating_sub(1);
        let aligned = line.shown.get(..caret).is_some_and(|shown| shown.chars().count() == column);
        if window.is_cut_after {
            line.shown.push(CUT);
        }
        Self { text: line.shown, caret: caret..caret_end.max(caret), aligned }
    }
}

/// The part of a line that is shown.
struct Window {
    bytes: Range<usize>,
    is_cut_before: bool,
    is_cut_after: bool,
}

impl Window {
    fn around(text: &str, place: usize) -> Self {
        let (before, after) = text.split_at(place);
        let in_line = |(_, character): &(usize, char)| !is_break(*character);
        let shown_before = before.char_indices().rev().take_while(in_line).take(COLUMNS_BEFORE);
        let (columns, start) = shown_before.fold((0, place), |(columns, _), (byte, _)| (columns + 1, byte));
        let start = if start == 0 && text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len_utf8().min(place) } else { start };
        let cut = after.char_indices().take_while(in_line).nth(SHOWN_COLUMNS - columns).map(|(byte, _)| place + byte);
        let end = cut.unwrap_or_else(|| after.find(is_break).map_or(text.len(), |byte| place + byte));
        let character_before = text.get(..start).and_then(|head| head.chars().next_back());
        let is_cut_before = character_before.is_some_and(|c| !is_break(c) && c != BYTE_ORDER_MARK);
        Self { bytes: start..end, is_cut_before, is_cut_after: cut.is_some() }
    }
}

struct Line {
    shown: String,
    is_hiding: bool,
}

impl Line {
    fn push(&mut self, character: char, hide: bool) {
        if !hide {
            push_escaped(&mut self.shown, character);
        } else if !self.is_hiding {
            self.shown.push_str(REDACTED);
        }
        self.is_hiding = hide;
    }
}

fn is_within(hidden: Hidden<'_>, byte: usize) -> bool {
    let next = hidden.partition_point(|range| range.start <= byte);
    next.checked_sub(1).and_then(|last| hidden.get(last)).is_some_and(|range| range.contains(&byte))
}

fn is_break(character: char) -> bool {
    matches!(character, '\n' | '\r')
}

fn floor_boundary(text: &str, byte: usize) -> usize {
    text.floor_char_boundary(byte.min(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Position;

    fn span(text: &str, part: &str) -> Span {
        let byte = text.find(part).unwrap();
        let line_start = text[..byte].rfind('\n').map_or(0, |at| at + 1);
        let column = text[line_start..byte].chars().count() + 1;
        let at =
            |byte: usize, column: usize| Position { line: 1, column: column.try_into().unwrap(), byte: byte.try_into().unwrap() };
        Span { start: at(byte, column), end: at(byte + part.len(), column + part.chars().count()) }
    }

    fn caret(excerpt: &Excerpt) -> &str {
        &excerpt.text[excerpt.caret.clone()]
    }

    #[test]
    fn shows_the_line_and_what_is_in_question() {
        for (text, part, shown, marked, why) in [
            ("a: b\nnäme: x\r\nc: d", "x", "näme: x", "x", "one line, without its break"),
            ("a: \u{1b}[1m x", "x", "a: \\u{1b}[1m x", "x", "escapes are written out and the caret moves along"),
            ("\ta: \u{202e}x", "\u{202e}x", "\\ta: \\u{202e}x", "\\u{202e}x", "what is marked is escaped too"),
            ("a: 'x\n y'", "'x\n y'", "a: 'x", "'x", "a stretch of several lines ends with the first"),
        ] {
            let excerpt = Excerpt::of(text, span(text, part), &[]);
            assert_eq!((excerpt.text.as_str(), caret(&excerpt)), (shown, marked), "{why}");
        }
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let text = format!("{}KEY{}", "x".repeat(5000), "y".repeat(1_000_000));
        let excerpt = Excerpt::of(&text, span(&text, "KEY"), &[]);
        assert_eq!(caret(&excerpt), "KEY");
        assert_eq!(excerpt.text.chars().count(), SHOWN_COLUMNS + 2);
        assert!(excerpt.text.starts_with("…x") && excerpt.text.ends_with("y…"));
        assert!(!excerpt.aligned);
    }

    #[test]
    fn p11_hidden_stretches_are_not_shown() {
        let text = "token: geheim # c";
        let excerpt = Excerpt::of(text, span(text, "token"), std::slice::from_ref(&(7..13)));
        assert_eq!(excerpt.text, "token: [redacted] # c");
        let excerpt = Excerpt::of(text, span(text, "geheim"), std::slice::from_ref(&(7..13)));
        assert_eq!(excerpt.text, "token: [redacted] # c");
    }

    #[test]
    fn a_place_outside_the_text_is_its_end() {
        let at = Position { line: 9, column: 9, byte: 999 };
        assert_eq!(Excerpt::of("é", Span::at(at), &[]).text, "é");
        assert_eq!(Excerpt::of("", Span::at(at), &[]).text, "");
    }
}
