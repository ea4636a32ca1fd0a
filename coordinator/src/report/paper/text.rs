//! The tables for a terminal. They are as wide as their cells.

use super::cell::Cell;
use super::table::{Column, PaperTable, mark};
use super::{LeftOut, PaperReport};
use crate::report::plain::{CLIP, plain, wrap};
use crate::report::text::WIDTH;

/// What a line with floodmark's values begins with.
const OWN: &str = "floodmark";

/// The report for people; `figures` are the files that were written beside it.
pub fn paper_text(report: &PaperReport, figures: &[String], no_figures: &[LeftOut]) -> String {
    let mut out = wrap(
        "tables    ",
        "of arXiv 2603.10031, by its own rules; a line that begins with \"floodmark\" has what \
         floodmark's method gives for the row above it, where that is something else, and why",
        WIDTH,
    );
    for run in &report.runs {
        out.push_str(&wrap("run       ", run, WIDTH));
    }
    for note in &report.notes {
        out.push_str(&wrap("note      ", note, WIDTH));
    }
    for table in &report.tables {
        out.push('\n');
        out.push_str(&table_text(&table.condensed()));
    }
    if !report.left_out.is_empty() || !no_figures.is_empty() {
        out.push_str("\nleft out\n");
    }
    for left_out in &report.left_out {
        out.push_str(&wrap("- ", &left_out.sentence("table"), WIDTH));
    }
    for left_out in no_figures {
        out.push_str(&wrap("- ", &left_out.sentence("figure"), WIDTH));
    }
    if !figures.is_empty() {
        let figures: Vec<String> = figures.iter().map(|name| plain(name, CLIP)).collect();
        out.push('\n');
        out.push_str(&wrap("figures   ", &figures.join(", "), WIDTH));
    }
    out
}

fn table_text(table: &PaperTable) -> String {
    let mut out = wrap(&format!("Table {}  ", table.number), &table.title, WIDTH);
    let marked = |place: usize| {
        let cells = table.rows.iter().filter_map(|row| row.get(place));
        cells.into_iter().any(|cell| cell.own.is_some())
    };
    let gap = |place: usize| if marked(place) { "  " } else { "" };
    let mut lines: Vec<Vec<String>> = headers(table);
    for (place, title) in lines.iter_mut().flat_map(|line| line.iter_mut().skip(1).enumerate()) {
        if !table.columns.get(place).is_some_and(|column| column.words) {
            title.push_str(gap(place));
        }
    }
    let heads = lines.len();
    for row in &table.rows {
        let paper = row.iter().enumerate().map(|(place, cell)| cell.paper.shown() + gap(place));
        lines.push(std::iter::once(String::new()).chain(paper).collect());
        if row.iter().any(|cell| cell.own.is_some()) {
            let own = row.iter().map(|cell| own_text(table, cell));
            lines.push(std::iter::once(OWN.to_owned()).chain(own).collect());
        }
    }
    let widths: Vec<usize> = (0..=table.columns.len())
        .map(|place| {
            let cells = lines.iter().filter_map(|line| line.get(place));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    for (place, line) in lines.iter().enumerate() {
        out.push_str(&aligned(line, &widths, &table.columns));
        if place + 1 == heads {
            let rule = widths.iter().sum::<usize>() + 2 * table.columns.len();
            out.push_str(&"-".repeat(rule));
            out.push('\n');
        }
    }
    for (place, reason) in table.reasons().into_iter().enumerate() {
        out.push_str(&wrap(&format!("  {}  ", mark(place)), reason, WIDTH));
    }
    for note in &table.notes {
        out.push_str(&wrap("  *  ", note, WIDTH));
    }
    out
}

/// The titles, a long one in two lines: the last word below the others.
fn headers(table: &PaperTable) -> Vec<Vec<String>> {
    let split = |column: &Column| match column.title.rsplit_once(' ') {
        Some((first, last)) if column.title.chars().count() > 16 => {
            (first.to_owned(), last.to_owned())
        }
        Some(_) | None => (String::new(), column.title.clone()),
    };
    let (first, last): (Vec<String>, Vec<String>) = table.columns.iter().map(split).unzip();
    let line = |titles: Vec<String>| std::iter::once(String::new()).chain(titles).collect();
    if first.iter().all(String::is_empty) {
        vec![line(last)]
    } else {
        vec![line(first), line(last)]
    }
}

fn own_text(table: &PaperTable, cell: &Cell) -> String {
    match &cell.own {
        Some(own) => format!("{} {}", own.value.shown(), table.mark(&own.reason)),
        None => String::new(),
    }
}

fn aligned(line: &[String], widths: &[usize], columns: &[Column]) -> String {
    let words = std::iter::once(true).chain(columns.iter().map(|column| column.words));
    let cells = line.iter().zip(widths).zip(words);
    let padded = cells.map(|((cell, width), words)| {
        let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
        if words { format!("{cell}{gap}") } else { format!("{gap}{cell}") }
    });
    let line = padded.collect::<Vec<_>>().join("  ");
    format!("{}\n", line.trim_end())
}
