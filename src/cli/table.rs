//! Aligned columns. On a terminal that is too narrow for them, texts end in `…` and columns that others make up for are left out; in
//! a pipe or a file everything stands in full.

use std::borrow::Cow;

use anstyle::Style;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// A column, and what may become of it where the terminal is too narrow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    head: &'static str,
    /// How narrow its texts may be cut; none: they stand in full.
    least: Option<usize>,
    is_spare: bool,
}

/// Between two columns.
const GAP: usize = 3;

impl Column {
    /// Whose texts stand in full.
    pub(super) const fn whole(head: &'static str) -> Self {
        Self { head, least: None, is_spare: false }
    }

    /// Whose texts may be cut, but not below `least` columns of the terminal.
    pub(super) const fn cut(head: &'static str, least: usize) -> Self {
        Self { head, least: Some(least), is_spare: false }
    }

    /// The same column, that may be left out.
    pub(super) const fn spare(self) -> Self {
        Self { is_spare: true, ..self }
    }
}

/// A head and its rows, each line with its line feed, where possible in `room` columns of a terminal.
pub(super) fn table(columns: &[Column], rows: &[Vec<String>], room: Option<usize>) -> String {
    painted(columns, rows, room, &|_| (0, Style::new()))
}

/// The same, with the text in one column of each row painted, as `paint` says for the row.
pub(super) fn painted(
    columns: &[Column],
    rows: &[Vec<String>],
    room: Option<usize>,
    paint: &dyn Fn(usize) -> (usize, Style),
) -> String {
    let heads: Vec<String> = columns.iter().map(|column| column.head.to_owned()).collect();
    let lines: Vec<&[String]> = std::iter::once(heads.as_slice()).chain(rows.iter().map(Vec::as_slice)).collect();
    let full = |index: usize| lines.iter().filter_map(|line| line.get(index)).map(|text| text.width()).max().unwrap_or(0);
    // On a terminal, a column that no row fills is left out.
    let is_filled = |index: usize| rows.iter().any(|row| row.get(index).is_some_and(|text| !text.is_empty()));
    let kept = columns.iter().copied().enumerate().filter(|(index, _)| room.is_none() || rows.is_empty() || is_filled(*index));
    let shown = shown(kept.collect(), &full, room);
    let mut text = String::new();
    for (number, line) in lines.into_iter().enumerate() {
        // The head is not painted.
        let paint = number.checked_sub(1).map(paint);
        let mut pending = 0;
        for (index, width) in &shown {
            let cell = line.get(*index).map_or(Cow::Borrowed(""), |cell| cut(cell, *width));
            text.extend(std::iter::repeat_n(' ', pending));
            pending = width.saturating_sub(cell.width()) + GAP;
            text += &match paint.filter(|(column, _)| column == index) {
                Some((_, style)) => Cow::Owned(format!("{style}{cell}{style:#}")),
                None => cell,
            };
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text
}

/// The columns that are shown, with their widths.
fn shown(mut kept: Vec<(usize, Column)>, full: &dyn Fn(usize) -> usize, room: Option<usize>) -> Vec<(usize, usize)> {
    loop {
        let mut widths: Vec<usize> = kept.iter().map(|(index, _)| full(*index)).collect();
        // What is spare gives way before anything is cut that is not.
        let has_spare = kept.iter().any(|(_, column)| column.is_spare);
        let least: Vec<_> = kept.iter().map(|(_, column)| column.least.filter(|_| column.is_spare || !has_spare)).collect();
        let is_fitting = fit(&mut widths, &least, room.map(|room| room.saturating_sub(GAP * kept.len().saturating_sub(1))));
        match kept.iter().rposition(|(_, column)| column.is_spare) {
            Some(spare) if !is_fitting => drop(kept.remove(spare)),
            _ => return kept.iter().map(|(index, _)| *index).zip(widths).collect(),
        }
    }
}

/// Narrows `widths`, the last ones first and none below its `least`, until they fit into `room`; whether they do.
pub(super) fn fit(widths: &mut [usize], least: &[Option<usize>], room: Option<usize>) -> bool {
    let Some(room) = room else { return true };
    let mut over = widths.iter().sum::<usize>().saturating_sub(room);
    for (width, least) in widths.iter_mut().zip(least).rev() {
        let taken = over.min(least.map_or(0, |least| width.saturating_sub(least)));
        *width -= taken;
        over -= taken;
    }
    over == 0
}

/// `text` in at most `width` columns.
pub(super) fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if text.width() <= width {
        return Cow::Borrowed(text);
    }
    let mut used = 1;
    let fits = |character: &char| {
        used += character.width().unwrap_or(0);
        used <= width
    };
    Cow::Owned(text.chars().take_while(fits).chain(['…']).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] =
        [Column::cut("NAME", 6), Column::whole("ID"), Column::cut("ADDRESS", 8), Column::cut("BY", 4).spare()];

    fn rows() -> Vec<Vec<String>> {
        let row = |texts: [&str; 4]| texts.map(str::to_owned).to_vec();
        vec![row(["a-rather-long-name", "100001", "https://a.example/1/", "somebody"]), row(["b", "7", "-", ""])]
    }

    #[test]
    fn where_nobody_counts_columns_everything_stands_in_full() {
        let text = table(&COLUMNS, &rows(), None);
        assert_eq!(
            text,
            "NAME                 ID       ADDRESS                BY\n\
             a-rather-long-name   100001   https://a.example/1/   somebody\n\
             b                    7        -\n"
        );
        assert_eq!(text, table(&COLUMNS, &rows(), Some(61)));
    }

    #[test]
    fn what_is_spare_gives_way_first_then_the_last_columns() {
        let text = |room| table(&COLUMNS, &rows(), Some(room));
        assert!(text(57).contains("a-rather-long-name   100001   https://a.example/1/   som…\n"), "{}", text(57));
        assert!(text(56).contains("a-rather-long-name   100001   https://a.example/1/\n"), "{}", text(56));
        assert!(text(40).contains("a-rather-long-name   100001   https://a…\n"), "{}", text(40));
        assert!(text(37).contains("a-rather-long-na…   100001   https:/…\n"), "{}", text(37));
        for room in 26..80 {
            assert!(text(room).lines().all(|line| line.width() <= room), "{room}: {}", text(room));
        }
    }

    #[test]
    fn on_a_terminal_a_column_that_no_row_fills_is_left_out() {
        let rows = [vec!["a".to_owned(), "7".to_owned(), String::new(), String::new()]];
        assert_eq!(table(&COLUMNS, &rows, Some(80)), "NAME   ID\na      7\n");
        assert_eq!(table(&COLUMNS, &rows, None), "NAME   ID   ADDRESS   BY\na      7\n");
        assert_eq!(table(&COLUMNS, &[], Some(80)), "NAME   ID   ADDRESS   BY\n");
    }

    #[test]
    fn what_is_painted_takes_no_room() {
        let green = anstyle::AnsiColor::Green.on_default();
        let rows = [vec!["ab".to_owned(), "7".to_owned()], vec!["c".to_owned(), "8".to_owned()]];
        let text = painted(&COLUMNS[..2], &rows, None, &|row| if row == 1 { (0, green) } else { (1, Style::new()) });
        assert_eq!(text, "NAME   ID\nab     7\n\u{1b}[32mc\u{1b}[0m      8\n");
    }

    #[test]
    fn wide_characters_count_as_two() {
        assert_eq!(cut("会話の名前", 10), "会話の名前");
        assert_eq!(cut("会話の名前", 9), "会話の名…");
        assert_eq!(cut("会話の名前", 8), "会話の…");
    }
}
