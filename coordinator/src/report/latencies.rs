//! Numbers, and latencies described by them, as `summary.json` prints them.

use serde::{Serialize, Serializer};

/// A measured number; `summary.json` prints six significant digits of it. Always finite.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Real(f64);

impl Real {
    /// A number; `None` if it is not finite.
    pub fn new(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self(value))
    }

    /// The number.
    pub fn value(self) -> f64 {
        self.0
    }
}

impl Serialize for Real {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rounded = format!("{:.5e}", self.0).parse().unwrap_or(self.0);
        serializer.serialize_f64(rounded)
    }
}

/// The latencies of a level.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LatencyMs<D> {
    /// Send to first token.
    pub ttft: D,
    /// Intended instant to first token.
    pub ttft_plan: D,
    /// Send to last token.
    pub e2e: D,
    /// Intended instant to last token.
    pub e2e_plan: D,
    /// Time per output token after the first.
    pub tpot: D,
    /// Send to last token per output token.
    pub ntpot: D,
    /// Gaps between token-bearing events.
    pub icl: D,
    /// Intended instant to send.
    pub send_lag: D,
    /// Kernel's receipt to the agent's read.
    pub receive_lag: D,
}

/// A latency described, in milliseconds. Quantiles are by nearest rank, and `None` where the
/// samples are too few for them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Distribution {
    /// Samples.
    pub count: u64,
    /// How many independent samples they are worth.
    pub n_eff: Option<Real>,
    /// Exact mean.
    pub mean: Option<Real>,
    /// Exact smallest.
    pub min: Option<Real>,
    /// Exact largest.
    pub max: Option<Real>,
    /// Median.
    pub p50: Option<Real>,
    /// 90 %.
    pub p90: Option<Real>,
    /// 95 %.
    pub p95: Option<Real>,
    /// 99 %.
    pub p99: Option<Real>,
    /// 99.9 %.
    pub p999: Option<Real>,
    /// 95 % interval of the median.
    pub p50_ci95: Option<Ends>,
    /// That of the 90 %.
    pub p90_ci95: Option<Ends>,
    /// That of the 95 %.
    pub p95_ci95: Option<Ends>,
    /// That of the 99 %.
    pub p99_ci95: Option<Ends>,
    /// That of the 99.9 %.
    pub p999_ci95: Option<Ends>,
    /// Above the true 90 % quantile with 99 % confidence.
    pub p90_certified: Option<Real>,
    /// Above the true 95 % quantile likewise.
    pub p95_certified: Option<Real>,
    /// Above the true 99 % quantile likewise.
    pub p99_certified: Option<Real>,
    /// Above the true 99.9 % quantile likewise.
    pub p999_certified: Option<Real>,
    /// The quantiles if a failed request took for ever; `None` where a failure has nothing to miss.
    pub with_failures: Option<WithFailures>,
}

/// The ends of an interval; the upper one is `None` where the samples are too few to hold it.
pub type Ends = (Real, Option<Real>);

/// Quantiles in which a failed request took for ever.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WithFailures {
    /// Median.
    pub p50: Option<MaybeInfinite>,
    /// 90 %.
    pub p90: Option<MaybeInfinite>,
    /// 95 %.
    pub p95: Option<MaybeInfinite>,
    /// 99 %.
    pub p99: Option<MaybeInfinite>,
    /// 99.9 %.
    pub p999: Option<MaybeInfinite>,
}

/// A latency, or that of a request that failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaybeInfinite {
    /// In milliseconds.
    Ms(Real),
    /// Infinite.
    Infinite,
}

/// One agent's latency, described in short.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sketch {
    /// Samples.
    pub count: u64,
    /// Exact mean.
    pub mean: Option<Real>,
    /// Exact smallest.
    pub min: Option<Real>,
    /// Exact largest.
    pub max: Option<Real>,
    /// Median.
    pub p50: Option<Real>,
    /// 90 %.
    pub p90: Option<Real>,
    /// 95 %.
    pub p95: Option<Real>,
    /// 99 %.
    pub p99: Option<Real>,
    /// 99.9 %.
    pub p999: Option<Real>,
    /// Above the true p99 with 99 % confidence.
    pub p99_certified: Option<Real>,
}

impl Serialize for MaybeInfinite {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Ms(ms) => ms.serialize(serializer),
            Self::Infinite => serializer.serialize_str("infinite"),
        }
    }
}
