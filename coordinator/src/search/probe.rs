//! What a search is told of one finished level.

use std::time::Duration;

use crate::stats::Objective;

/// One finished level as a search sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probe {
    /// The load asked for: users, or thousandths of a request per second.
    pub load: u32,
    /// Mean requests in flight, as achieved.
    pub in_flight_mean: f64,
    /// Throughput. A rate that is not a positive number counts as failing.
    pub rate: Estimate,
    /// Whether the level is a result for its load.
    pub validity: Validity,
    /// Whether the server failed: 5 % of the requests or more.
    pub failing: bool,
    /// What became of the service level objectives; `None` without one. A backlog that grew at a
    /// rate is [`Objective::Missed`].
    pub objective: Option<Objective>,
    /// How long the level took, its pauses included.
    pub took: Duration,
}

/// A mean with its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Lower end of the interval.
    pub lower: f64,
    /// Upper end of the interval.
    pub upper: f64,
}

/// Whether a level is a result for its load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It is.
    Valid,
    /// The load generator was the limit, or its clocks were not good enough.
    ClientLimited,
    /// Something else strikes it.
    Invalid,
}
