//! A table of the paper, filled from runs.

use super::cell::Cell;

/// One table.
#[derive(Clone, Debug, PartialEq)]
pub struct PaperTable {
    /// Its number in the paper; several for a table that the paper has once for each of its models.
    pub number: &'static str,
    /// What it is about.
    pub title: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its rows, each with as many cells as there are columns.
    pub rows: Vec<Vec<Cell>>,
    /// What a reader must know.
    pub notes: Vec<String>,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its title.
    pub title: String,
    /// It holds words and is aligned left.
    pub words: bool,
}

/// A column of numbers.
pub(super) fn numbers(title: impl Into<String>) -> Column {
    Column { title: title.into(), words: false }
}

/// A column of words.
pub(super) fn words(title: impl Into<String>) -> Column {
    Column { title: title.into(), words: true }
}

impl PaperTable {
    /// Why floodmark's values are others, each reason once, in the order of the cells.
    pub fn reasons(&self) -> Vec<&str> {
        let mut reasons: Vec<&str> = Vec::new();
        for own in self.rows.iter().flatten().filter_map(|cell| cell.own.as_ref()) {
            if !reasons.contains(&own.reason.as_str()) {
                reasons.push(&own.reason);
            }
        }
        reasons
    }

    /// The same with what floodmark says in every row of a column said once, in a note.
    pub(super) fn condensed(&self) -> Self {
        let mut table = self.clone();
        for (place, column) in self.columns.iter().enumerate() {
            let cells = || self.rows.iter().map(|row| row.get(place)?.own.as_ref());
            let (Some(Some(own)), true) = (cells().next(), self.rows.len() > 1) else { continue };
            if cells().all(|other| other == Some(own)) {
                let title = column.title.trim();
                let note = format!("{title}: floodmark has {}; {}", own.value.shown(), own.reason);
                table.notes.push(note);
                let column = table.rows.iter_mut().filter_map(|row| row.get_mut(place));
                column.for_each(|cell| cell.own = None);
            }
        }
        table
    }

    /// The mark of a cell's reason: a, b, … z, aa, …
    pub(super) fn mark(&self, reason: &str) -> String {
        let place = self.reasons().iter().position(|other| *other == reason);
        mark(place.unwrap_or(0))
    }
}

/// The mark of the reason at this place.
pub(super) fn mark(place: usize) -> String {
    let letter = |number: usize| char::from(b'a' + (number % 26) as u8);
    match place / 26 {
        0 => letter(place).to_string(),
        more => format!("{}{}", mark(more - 1), letter(place)),
    }
}
