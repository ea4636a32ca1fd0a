//! The tables for programs: one line for each cell, so that all of them make one table.

use super::PaperReport;
use super::cell::{Own, Value};

const HEADER: &str = "table,title,row,column,unit,paper,floodmark,reason\r\n";

/// The cells of all tables as CSV (RFC 4180). `floodmark` is filled where it is the same, too;
/// `reason` only where it is not.
pub fn paper_csv(report: &PaperReport) -> String {
    let mut out = HEADER.to_owned();
    for table in &report.tables {
        for (row, cells) in table.rows.iter().enumerate() {
            for (column, cell) in table.columns.iter().zip(cells) {
                let own = cell.own.as_ref();
                let value = own.map_or(&cell.paper, |own| &own.value);
                let unit = if cell.paper.unit().is_empty() { value } else { &cell.paper };
                let fields = [
                    table.number.to_owned(),
                    text(&table.title),
                    (row + 1).to_string(),
                    text(&column.title),
                    unit.unit().to_owned(),
                    raw(&cell.paper),
                    raw(value),
                    own.map_or_else(String::new, |own| text(&reason(own))),
                ];
                out.push_str(&fields.map(|field| quoted(&field)).join(","));
                out.push_str("\r\n");
            }
        }
    }
    out
}

/// Why floodmark's value is another; of a difference also what its test says.
fn reason(own: &Own) -> String {
    if let Value::Change { test, .. } = &own.value
        && !test.is_empty()
    {
        return format!("{test}; {}", own.reason);
    }
    own.reason.clone()
}

fn raw(value: &Value) -> String {
    if let Value::Word(word) = value { text(word) } else { value.raw() }
}

/// Words that no spreadsheet takes for a formula.
fn text(words: &str) -> String {
    match words.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r') => format!("'{words}"),
        Some(_) | None => words.to_owned(),
    }
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}
