//! Lines broken between words where a terminal counts columns. What is to be copied stays in one piece: a command in backticks, and
//! a line that stands far in.

use std::borrow::Cow;

use textwrap::core::display_width;
use textwrap::{Options, WordSplitter};

/// Narrowest terminal for which it is worth it.
const ROOM_MIN: usize = 30;
/// Lines that stand in so far are commands.
const FAR_IN: usize = 6;
/// Longest word before a `: ` below which the text goes on.
const LABEL_MAX: usize = 13;
/// In the place of a space that must not end a line.
const TIED: &str = "\u{a0}";

/// `text`, whose lines may be coloured, in `room` columns; none: nobody counts them.
pub(super) fn wrapped(text: &str, room: Option<usize>) -> Cow<'_, str> {
    let Some(room) = room.filter(|room| *room >= ROOM_MIN) else { return Cow::Borrowed(text) };
    if text.lines().all(|line| display_width(line) <= room) {
        return Cow::Borrowed(text);
    }
    let lines: Vec<String> = text.split('\n').map(|line| broken(line, room, None)).collect();
    Cow::Owned(lines.join("\n"))
}

/// One line in `room` columns; all but its first begin after `indent` spaces, or where the text behind its label does.
pub(super) fn broken(line: &str, room: usize, indent: Option<usize>) -> String {
    let leading = line.len() - line.trim_start_matches(' ').len();
    if display_width(line) <= room || (indent.is_none() && leading >= FAR_IN) {
        return line.to_owned();
    }
    let label = line.find(": ").map(|at| display_width(line.get(..at + 2).unwrap_or_default()));
    let indent = indent.or(label.filter(|width| *width <= LABEL_MAX)).unwrap_or(leading + 4);
    let indent = " ".repeat(indent);
    let options = Options::new(room).subsequent_indent(&indent).break_words(false).word_splitter(WordSplitter::NoHyphenation);
    textwrap::fill(&tied(line), options).replace(TIED, " ")
}

/// With the spaces of commands tied.
fn tied(line: &str) -> String {
    let parts = line.split('`').enumerate();
    let parts: Vec<Cow<'_, str>> =
        parts.map(|(index, part)| if index % 2 == 1 { part.replace(' ', TIED).into() } else { part.into() }).collect();
    parts.join("`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_commands_are_not() {
        let line = "  \u{1b}[1mhint\u{1b}[0m: if it is a rename: `chatapi state mv a-name another-name`; if not, say so";
        let expected = "  \u{1b}[1mhint\u{1b}[0m: if it is a rename:\n        `chatapi state mv a-name another-name`;\n        if not, say so";
        assert_eq!(wrapped(line, Some(48)), expected);
        assert_eq!(wrapped(line, None), line);
        assert_eq!(wrapped(line, Some(20)), line, "too narrow to be worth it");
    }

    #[test]
    fn what_is_to_be_copied_and_what_fits_stays_as_it_is() {
        let command = "        chatapi resolve a-rather-long-name --attempt a-tdoyeql3mi --not-created";
        assert_eq!(wrapped(command, Some(40)), command);
        assert_eq!(wrapped("short\n", Some(40)), "short\n");
        let word = "https://gateway.example/a/very/long/address/indeed/longer/than/the/line";
        assert_eq!(wrapped(word, Some(40)), word);
    }

    #[test]
    fn every_line_of_several_is_looked_at() {
        let text = "one two three four five six seven\neight nine ten eleven twelve thirteen\n";
        let expected = "one two three four five six\n    seven\neight nine ten eleven twelve\n    thirteen\n";
        assert_eq!(wrapped(text, Some(30)), expected);
    }
}
