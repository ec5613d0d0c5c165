//! The rows that `for_each` makes instances of: items of a list or a map, or rows of a file, in one shape.
//!
//! The values stand in one text, and a cell is a stretch of it: a million rows take little more room than the file they came from.

use std::sync::Arc;

use crate::diagnostic::Span;

/// The column of an item's own text.
pub(super) const KEY: &str = "key";
/// Most columns.
pub(super) const COLUMNS_MAX: usize = 1_000;
/// Most cells of one table.
pub(super) const CELLS_MAX: usize = 10_000_000;

/// Rows with named columns.
#[derive(Debug)]
pub(super) struct Table {
    /// The file that the rows stand in, and its rank.
    pub(super) file: Arc<str>,
    pub(super) order: usize,
    columns: Vec<String>,
    text: String,
    /// Row by row, a stretch for each column; one that ends before it begins is absent.
    cells: Vec<(u32, u32)>,
    spans: Vec<Span>,
}

/// A limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

impl Table {
    /// A table without rows, of a file with its rank.
    pub(super) fn new((file, order): (Arc<str>, usize), columns: Vec<String>) -> Self {
        Self { file, order, columns, text: String::new(), cells: Vec::new(), spans: Vec::new() }
    }

    /// Adds the row at `span`. The cells come with the index of their column; those that do not come are absent.
    pub(super) fn push<'c>(&mut self, span: Span, row: impl IntoIterator<Item = (usize, &'c str)>) -> Result<(), TooMany> {
        let start = self.cells.len();
        if start + self.columns.len() > CELLS_MAX {
            return Err(TooMany);
        }
        self.cells.resize(start + self.columns.len(), (1, 0));
        for (column, text) in row {
            let from = self.text.len();
            self.text.push_str(text);
            let (from, to) = (u32::try_from(from).map_err(|_| TooMany)?, u32::try_from(self.text.len()).map_err(|_| TooMany)?);
            if let Some(cell) = self.cells.get_mut(start + column).filter(|_| column < self.columns.len()) {
                *cell = (from, to);
            }
        }
        self.spans.push(span);
        Ok(())
    }

    /// The names of the columns; one without a name cannot be asked for.
    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// What stands in a cell.
    pub(super) fn cell(&self, row: usize, column: usize) -> Option<&str> {
        let (from, to) = *self.cells.get(row.checked_mul(self.columns.len())? + column)?;
        self.text.get(from as usize..to as usize)
    }

    /// Where a row stands.
    pub(super) fn span(&self, row: usize) -> Option<Span> {
        self.spans.get(row).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Position;

    #[test]
    fn cells_are_found_again_and_absent_ones_are_not_empty() {
        let here = Span::at(Position::START);
        let mut table = Table::new(("x.csv".into(), 0), vec!["a".to_owned(), "b".to_owned()]);
        table.push(here, [(0, "é"), (1, "")]).unwrap();
        table.push(here, [(1, "x"), (7, "no such column")]).unwrap();
        let cells = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)].map(|(row, column)| table.cell(row, column));
        assert_eq!(cells, [Some("é"), Some(""), None, Some("x"), None]);
        assert_eq!((table.len(), table.span(1), table.span(2)), (2, Some(here), None));
    }
}
