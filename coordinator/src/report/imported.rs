//! The report of an imported table.

mod json;
mod text;

use crate::classify::imported::{Judgement, Level};
use crate::classify::paper;
use crate::classify::verdict::{Code, Verdict};

pub use json::imported_json;
pub use text::imported_text;

/// A level and what is said of it.
type Row<'a> = (&'a Level, &'a Judgement);

/// The best that is known of what was in flight.
fn in_flight(row: &Row<'_>) -> Option<f64> {
    row.1.in_flight_mean.or(row.1.implied_inflight)
}

fn is_struck(row: &Row<'_>) -> bool {
    row.1.verdicts.iter().any(Verdict::strikes)
}

fn has(row: &Row<'_>, code: Code) -> bool {
    row.1.verdicts.iter().any(|verdict| verdict.code == code)
}

fn lacks_users(row: &Row<'_>) -> bool {
    has(row, Code::ConcurrencyNotReached)
}

/// The row with the most tokens per second, as the paper takes it.
fn peak<'r, 'a>(rows: &'r [Row<'a>]) -> Option<&'r Row<'a>> {
    let paper_rows: Vec<_> = rows.iter().map(|(level, _)| level.paper_row()).collect();
    rows.get(paper::peak(&paper_rows)?)
}

/// The same among the rows that no verdict strikes.
fn best_standing<'r, 'a>(rows: &'r [Row<'a>]) -> Option<&'r Row<'a>> {
    let standing: Vec<&Row<'_>> = rows.iter().filter(|row| !is_struck(row)).collect();
    let paper_rows: Vec<_> = standing.iter().map(|(level, _)| level.paper_row()).collect();
    standing.get(paper::peak(&paper_rows)?).copied()
}
