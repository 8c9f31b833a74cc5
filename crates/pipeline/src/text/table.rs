//! Tables that fit a width.

use comfy_table::{Cell, CellAlignment, Table, presets};
use unicode_width::UnicodeWidthStr;

use super::format::shortened;

/// Narrowest that a column of names becomes before it is left out, in characters.
const NARROWEST: usize = 10;

/// Characters that a column takes beside its text: a space on each side and a border.
const BORDER: usize = 3;

/// A column of a table.
#[derive(Debug)]
pub(crate) struct Column {
    /// May hold several lines.
    header: String,
    cells: Vec<String>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Shown whole, to the right.
    Number,
    /// Shortened where the table is too wide.
    Name,
    /// A name that is left out where even short ones do not fit.
    Extra,
}

impl Column {
    /// A column of numbers.
    pub(crate) fn numbers(header: impl Into<String>, cells: Vec<String>) -> Self {
        Self { header: header.into(), cells, kind: Kind::Number }
    }

    /// A column of names, which are foreign text.
    pub(crate) fn names(header: impl Into<String>, cells: Vec<String>) -> Self {
        Self { header: header.into(), cells, kind: Kind::Name }
    }

    /// A column of names that a narrow table does without.
    pub(crate) fn extra(header: impl Into<String>, cells: Vec<String>) -> Self {
        Self { header: header.into(), cells, kind: Kind::Extra }
    }

    fn width(&self) -> usize {
        let texts = self.header.lines().chain(self.cells.iter().map(String::as_str));
        texts.map(UnicodeWidthStr::width).max().unwrap_or(0)
    }

    /// The column with names of at most `width` characters.
    fn narrowed(self, width: usize) -> Self {
        let header = match self.header.contains('\n') {
            true => self.header,
            false => shortened(&self.header, width),
        };
        Self { header, cells: self.cells.iter().map(|cell| shortened(cell, width)).collect(), kind: self.kind }
    }
}

/// Draws `columns` in `width` characters: names are shortened, then some left out, where that is too little.
pub(crate) fn drawn(mut columns: Vec<Column>, width: usize) -> String {
    let total = |columns: &[Column]| columns.iter().map(|column| column.width() + BORDER).sum::<usize>() + 1;
    while total(&columns) > width {
        let widest = columns.iter().enumerate().filter(|(_, column)| column.kind != Kind::Number);
        let Some((at, widest)) = widest.max_by_key(|(_, column)| column.width()) else { break };
        let excess = total(&columns) - width;
        let new_width = widest.width().saturating_sub(excess.min(widest.width() / 4 + 1));
        if new_width >= NARROWEST {
            let column = columns.remove(at).narrowed(new_width);
            columns.insert(at, column);
        } else if let Some(extra) = columns.iter().rposition(|column| column.kind == Kind::Extra) {
            columns.remove(extra);
        } else {
            break;
        }
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(columns.iter().map(|column| column.header.as_str()));
    let rows = columns.iter().map(|column| column.cells.len()).max().unwrap_or(0);
    for row in 0..rows {
        table.add_row(columns.iter().map(|column| {
            let cell = Cell::new(column.cells.get(row).map_or("", String::as_str));
            if column.kind == Kind::Number { cell.set_alignment(CellAlignment::Right) } else { cell }
        }));
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<Column> {
        vec![
            Column::names("domain", vec!["a-domain-with-a-rather-long-name".to_owned(), "b".to_owned()]),
            Column::numbers("documents", vec!["1,234".to_owned(), "5".to_owned()]),
            Column::extra("first", vec!["x".repeat(40), "y".repeat(30)]),
            Column::extra("last", vec!["x".repeat(40), "y".repeat(30)]),
        ]
    }

    #[test]
    fn tables_fit_and_no_row_is_broken() {
        for width in [60, 80, 120, 500] {
            let text = drawn(columns(), width);
            assert_eq!(text.lines().count(), 6, "{width}:\n{text}");
            assert!(text.lines().all(|line| line.width() <= width), "{width}:\n{text}");
            assert!(text.contains("1,234"), "{width}:\n{text}");
        }
        assert!(!drawn(columns(), 40).contains("last"), "what does not fit is left out");
        assert!(drawn(columns(), 500).contains(&"x".repeat(40)));
    }
}
