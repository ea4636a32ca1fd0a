//! A latency described: quantiles that the sample is large enough for, how sure they are, and what
//! they would be if a failed request took for ever (the method, section 3.8).

use common::hist::LatencyHist;
use common::tally::Serial;

use crate::classify::{Limit, SAMPLES_P90_MIN, SAMPLES_P95_MIN, SAMPLES_P99_MIN, SAMPLES_P999_MIN};
use crate::stats::{self, QuantileUs};

/// The quantiles that are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Percentile {
    /// The median.
    P50,
    /// 90 %.
    P90,
    /// 95 %.
    P95,
    /// 99 %.
    P99,
    /// 99.9 %.
    P999,
}

/// What a sample is worth: neighbours that depend on each other say less than as many others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Worth {
    /// Independent samples per sample, above 0 and at most 1.
    pub(crate) factor: f64,
    /// Correlation of a user's successive values.
    pub(crate) lag1: Option<f64>,
}

/// A latency described, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency<'a> {
    hist: &'a LatencyHist,
    worth: Worth,
    /// Requests that have no such latency because they failed; `None` where a failure has none to
    /// miss.
    failures: Option<u64>,
}

/// A quantile and how sure it is, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quantile {
    /// The value by nearest rank.
    pub(crate) value: f64,
    /// Lower end of its 95 % interval; `None` for samples too few to have one.
    pub(crate) lower: Option<f64>,
    /// Upper end; `None` for samples too few to hold it.
    pub(crate) upper: Option<f64>,
}

/// A quantile in which a failed request took for ever.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum QuantileMs {
    /// In milliseconds.
    Value(f64),
    /// It is one of the failures.
    Infinite,
}

impl Percentile {
    /// As a share.
    pub(crate) fn q(self) -> f64 {
        match self {
            Self::P50 => 0.5,
            Self::P90 => 0.9,
            Self::P95 => 0.95,
            Self::P99 => 0.99,
            Self::P999 => 0.999,
        }
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
        }
    }

    /// The fewest independent samples that it is given for; a median is given for any.
    pub(crate) fn floor(self) -> Option<Limit> {
        match self {
            Self::P50 => None,
            Self::P90 => Some(SAMPLES_P90_MIN),
            Self::P95 => Some(SAMPLES_P95_MIN),
            Self::P99 => Some(SAMPLES_P99_MIN),
            Self::P999 => Some(SAMPLES_P999_MIN),
        }
    }

    /// Whether so many independent samples are enough.
    pub(crate) fn is_held_by(self, n_eff: f64) -> bool {
        self.floor().is_none_or(|floor| n_eff >= floor.value)
    }
}

impl Worth {
    /// Samples that do not depend on each other.
    pub(crate) const FULL: Self = Self { factor: 1.0, lag1: None };

    /// What `count` samples with these pairs of neighbours are worth.
    pub(crate) fn of(count: u64, serial: &Serial) -> Self {
        let lag1 = serial.correlation();
        let n = usize::try_from(count).unwrap_or(usize::MAX);
        let factor = stats::ratio(stats::n_eff(n, lag1), n as f64).unwrap_or(1.0);
        Self { factor: factor.min(1.0), lag1 }
    }

    /// How many independent samples `count` of them are worth.
    pub(crate) fn n_eff(self, count: u64) -> f64 {
        count as f64 * self.factor
    }
}

impl<'a> Latency<'a> {
    /// A latency of requests; those that failed have none, and count as infinitely slow where a
    /// quantile is asked for with them.
    pub(crate) fn of_requests(hist: &'a LatencyHist, worth: Worth, failures: u64) -> Self {
        Self { hist, worth, failures: Some(failures) }
    }

    /// Values that no failure lacks.
    pub(crate) fn of_samples(hist: &'a LatencyHist) -> Self {
        Self { hist, worth: Worth::FULL, failures: None }
    }

    /// Whether a failed request lacks such a latency.
    pub(crate) fn can_fail(&self) -> bool {
        self.failures.is_some()
    }

    /// How many independent samples there are.
    pub(crate) fn n_eff(&self) -> f64 {
        self.worth.n_eff(self.hist.count())
    }

    /// A quantile; `None` below its floor.
    pub(crate) fn value(&self, percentile: Percentile) -> Option<f64> {
        let held = percentile.is_held_by(self.n_eff());
        held.then(|| self.hist.quantile_us(percentile.q())).flatten().map(ms)
    }

    /// A quantile with its interval; `None` below its floor.
    pub(crate) fn quantile(&self, percentile: Percentile) -> Option<Quantile> {
        let value = self.value(percentile)?;
        let count = self.hist.count();
        let ranks = stats::quantile_ci_ranks_eff(count, self.n_eff(), percentile.q());
        let at = |rank: u64| self.hist.value_at_rank(rank).map(ms);
        Some(Quantile {
            value,
            lower: ranks.and_then(|ranks| at(ranks.lower)),
            upper: ranks.and_then(|ranks| ranks.upper).and_then(at),
        })
    }

    /// A value that lies above the true quantile with 99 % confidence; `None` below its floor.
    pub(crate) fn certified(&self, percentile: Percentile) -> Option<f64> {
        let held = percentile.is_held_by(self.n_eff());
        held.then(|| stats::certified_us(self.hist, percentile.q())).flatten().map(ms)
    }

    /// A quantile in which failures took for ever; `None` below its floor, or where a failure has
    /// nothing to miss.
    pub(crate) fn with_failures(&self, percentile: Percentile) -> Option<QuantileMs> {
        let failures = self.failures?;
        let count = self.hist.count().saturating_add(failures);
        if !percentile.is_held_by(self.worth.n_eff(count)) {
            return None;
        }
        match stats::quantile_with_failures_us(self.hist, failures, percentile.q()) {
            QuantileUs::Value(us) => Some(QuantileMs::Value(ms(us))),
            QuantileUs::Infinite => Some(QuantileMs::Infinite),
            QuantileUs::Unknown => None,
        }
    }
}

fn ms(us: f64) -> f64 {
    us / 1e3
}
