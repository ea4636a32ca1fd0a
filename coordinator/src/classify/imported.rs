//! What can be said of a results table that was made elsewhere (the method, 2, 3.11 and 3.12).
//!
//! There are no requests behind such a table, only one value per cell: the rules here are point
//! rules without intervals, and nothing is claimed that needs a sample. Every judgement carries the
//! numbers and the limit it rests on.
//!
//! | Module | What it does |
//! |---|---|
//! | `level` | the rows |
//! | `status` | what can be said of one |
//! | `concurrency` | whether the users were in flight |
//! | `rules` | all other rules |

mod concurrency;
mod level;
mod rules;
mod status;

use common::phase::Phase;

use super::number::number;
use super::paper::{self, PaperRow, PaperVerdict};
use super::status::Found;
use crate::classify::{Axis, Headline, Reliability, Verdict};

pub use level::{Baseline, Level, Stated, Work};
pub use status::{Latency, LoadStatus};

/// A row judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// By the paper's rules.
    pub paper: PaperVerdict,
    /// The first of INVALID, FAILING, OVERLOADED, SATURATED, DEGRADED, OK that holds.
    pub headline: Headline,
    /// Whether requests succeeded.
    pub reliability: Axis<Reliability>,
    /// Whether they took much longer than the baseline's.
    pub latency: Axis<Latency>,
    /// Whether more users brought more throughput.
    pub load: Axis<LoadStatus>,
    /// What strikes the row.
    pub verdicts: Vec<Verdict>,
    /// Why the comparison with the baseline says less than it seems to.
    pub caveat: Option<String>,
    /// Growth of throughput over growth of users since the level below, both as logarithms.
    pub elasticity: Option<f64>,
    /// Tokens per second times p99 over users. It bounds the tokens in flight per user, so it
    /// falls where the users asked for were not in flight.
    pub inflight_index: Option<f64>,
    /// Requests in flight, if the lowest level that the row is compared with held its users.
    pub implied_inflight: Option<f64>,
    /// Mean in flight by Little's law, where the table has a mean latency.
    pub in_flight_mean: Option<f64>,
}

/// Judges the rows of a table, which are in the order in which they were run.
pub fn judge(levels: &[Level], baseline: Option<Baseline>) -> Vec<Judgement> {
    let struck = concurrency::concurrency(levels);
    let papers = papers(levels, baseline);
    levels
        .iter()
        .zip(papers)
        .zip(&struck)
        .map(|((level, paper), concurrency)| {
            let lower = lower(level, levels);
            let elasticity = rules::elasticity(level, &lower);
            let reliability = rules::reliability(level);
            let latency = rules::latency(level, levels, baseline);
            let load = rules::load(level, &lower, elasticity);
            let verdicts: Vec<Verdict> =
                concurrency.verdict.iter().cloned().chain(rules::work(level, levels)).collect();
            Judgement {
                paper,
                headline: headline(&verdicts, reliability.status, latency.status, load.status),
                reliability,
                latency,
                load,
                verdicts,
                caveat: rules::caveat(level, levels),
                elasticity,
                inflight_index: level.inflight_index(),
                implied_inflight: concurrency.implied,
                in_flight_mean: level.in_flight_mean(),
            }
        })
        .collect()
}

/// The paper's statuses; a baseline beside the table is the level before all others.
fn papers(levels: &[Level], baseline: Option<Baseline>) -> Vec<PaperVerdict> {
    let beside = baseline.map(|baseline| PaperRow {
        phase: Phase::Baseline,
        users: 1,
        total_tok_s: None,
        output_tok_s: None,
        p99_s: Some(baseline.p99_s),
        success: 1.0,
    });
    let rows: Vec<PaperRow> =
        beside.into_iter().chain(levels.iter().map(Level::paper_row)).collect();
    paper::classify(&rows).split_off(usize::from(beside.is_some()))
}

fn headline(
    verdicts: &[Verdict],
    reliability: Reliability,
    latency: Latency,
    load: LoadStatus,
) -> Headline {
    Headline::of(Found {
        struck: verdicts.iter().any(Verdict::strikes),
        failing: reliability == Reliability::Failing,
        overloaded: load == LoadStatus::Overloaded,
        saturated: load == LoadStatus::Saturated,
        degraded: latency == Latency::Degraded,
    })
}

/// The places of the levels that a level is compared with: fewer users, the same work, in its own
/// phase if there are any, else in the other phases that carry load. By users, then as run.
fn lower_places(level: &Level, levels: &[Level]) -> Vec<usize> {
    if !level.is_loaded() {
        return Vec::new();
    }
    let is_lower = |other: &Level| {
        other.is_loaded() && other.users < level.users && other.work.is_comparable(level.work)
    };
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for (place, other) in levels.iter().enumerate().filter(|(_, other)| is_lower(other)) {
        let places = if other.phase == level.phase { &mut own } else { &mut others };
        places.push((other.users, place));
    }
    let mut places = if own.is_empty() { others } else { own };
    places.sort_unstable();
    places.into_iter().map(|(_, place)| place).collect()
}

fn lower<'l>(level: &Level, levels: &'l [Level]) -> Vec<&'l Level> {
    lower_places(level, levels).into_iter().filter_map(|place| levels.get(place)).collect()
}

#[cfg(test)]
mod tests;
