//! What the levels of a run reached, for the proof of the client that follows them. A pure value.

use common::seed::Seed;

use crate::measure::Measured;
use crate::plan::proof::Demand;
use crate::record::{LevelFate, RunRecord};

/// The most of everything that a completed level of the campaign reached.
pub(super) fn reached(record: &RunRecord) -> Demand {
    let seed = Seed(record.header.seed);
    let completed = record.measured().filter(|level| level.fate == Some(LevelFate::Completed));
    completed.fold(Demand::default(), |most, level| {
        let level = Measured::of(level, seed);
        let or_none = |value: Option<f64>| value.unwrap_or(0.0);
        Demand {
            in_flight: most.in_flight.max(or_none(level.in_flight.mean)),
            requests_per_s: most.requests_per_s.max(or_none(level.rates.requests)),
            events_per_s: most.events_per_s.max(or_none(level.events_per_s())),
        }
    })
}
