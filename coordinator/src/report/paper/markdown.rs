//! The tables as Markdown, as GitHub and others read it.

use std::fmt::Write as _;

use super::cell::Cell;
use super::table::{PaperTable, mark};
use super::{LeftOut, PaperReport};
use crate::report::plain::{CLIP, plain};

/// The report as Markdown; `figures` are the files that were written beside it.
pub fn paper_markdown(report: &PaperReport, figures: &[String], no_figures: &[LeftOut]) -> String {
    let mut out = String::from(
        "# Tables of arXiv 2603.10031\n\nBy its own rules. A row that begins with *floodmark* has \
         what floodmark's method gives for the row above it, where that is something else, and \
         why.\n\n",
    );
    for line in report.runs.iter().chain(&report.notes) {
        let _written = writeln!(out, "- {}", escaped(line));
    }
    for table in &report.tables {
        out.push('\n');
        out.push_str(&table_markdown(&table.condensed()));
    }
    if !report.left_out.is_empty() || !no_figures.is_empty() {
        out.push_str("\n## Left out\n\n");
    }
    for left_out in &report.left_out {
        let _written = writeln!(out, "- {}", escaped(&left_out.sentence("table")));
    }
    for left_out in no_figures {
        let _written = writeln!(out, "- {}", escaped(&left_out.sentence("figure")));
    }
    if !figures.is_empty() {
        out.push_str("\n## Figures\n\n");
        for name in figures {
            let _written = writeln!(out, "- {}", escaped(&plain(name, CLIP)));
        }
    }
    out
}

fn table_markdown(table: &PaperTable) -> String {
    let mut out = format!("## Table {}: {}\n\n|  |", table.number, escaped(&table.title));
    for column in &table.columns {
        let _written = write!(out, " {} |", escaped(&column.title));
    }
    out.push_str("\n|---|");
    for column in &table.columns {
        out.push_str(if column.words { "---|" } else { "---:|" });
    }
    out.push('\n');
    for row in &table.rows {
        out.push_str("|  |");
        for cell in row {
            let _written = write!(out, " {} |", escaped(&cell.paper.shown()));
        }
        out.push('\n');
        if row.iter().any(|cell| cell.own.is_some()) {
            out.push_str("| *floodmark* |");
            for cell in row {
                let _written = write!(out, " {} |", own_markdown(table, cell));
            }
            out.push('\n');
        }
    }
    let reasons = table.reasons();
    if !reasons.is_empty() || !table.notes.is_empty() {
        out.push('\n');
    }
    for (place, reason) in reasons.into_iter().enumerate() {
        let _written = writeln!(out, "- ({}) {}", mark(place), escaped(reason));
    }
    for note in &table.notes {
        let _written = writeln!(out, "- {}", escaped(note));
    }
    out
}

fn own_markdown(table: &PaperTable, cell: &Cell) -> String {
    match &cell.own {
        Some(own) => {
            format!("{} ({})", escaped(&own.value.shown()), table.mark(&own.reason))
        }
        None => String::new(),
    }
}

/// Text that is shown as it is: nothing in it is markup, and it stays on one line.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '&' | '~') {
            out.push('\\');
        }
        out.push(if c.is_control() { ' ' } else { c });
    }
    out
}
