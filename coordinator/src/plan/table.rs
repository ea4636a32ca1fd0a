//! A table for people: columns as wide as their widest cell, with notes between the rows.

#[derive(Clone, Copy)]
pub(super) enum Side {
    Left,
    Right,
}

/// Columns as wide as their widest cell.
pub(super) struct Table {
    columns: Vec<(usize, Side)>,
    rows: Vec<Row>,
}

enum Row {
    Cells(Vec<String>),
    Note(String),
}

impl Table {
    pub(super) fn new(columns: &[(&str, Side)]) -> Self {
        let mut table = Self {
            columns: columns.iter().map(|(_, side)| (0, *side)).collect(),
            rows: Vec::new(),
        };
        table.row(columns.iter().map(|(title, _)| (*title).to_owned()).collect());
        table
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        for ((width, _), cell) in self.columns.iter_mut().zip(&cells) {
            *width = (*width).max(cell.chars().count());
        }
        self.rows.push(Row::Cells(cells));
    }

    /// A line about the row before it, in line with its second column.
    pub(super) fn note(&mut self, text: String) {
        self.rows.push(Row::Note(text));
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let indent = self.columns.first().map_or(0, |(width, _)| *width);
        let line = |row: &Row| match row {
            Row::Note(text) => format!("{:indent$}  {text}", ""),
            Row::Cells(cells) => {
                let padded =
                    cells.iter().zip(&self.columns).map(|(cell, &(width, side))| match side {
                        Side::Left => format!("{cell:<width$}"),
                        Side::Right => format!("{cell:>width$}"),
                    });
                padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
            }
        };
        self.rows.iter().map(line).collect()
    }
}
