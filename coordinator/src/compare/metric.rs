//! What is compared.

use crate::report::{LevelReport, Real};

/// A number of a level that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Prompt and completion tokens per second.
    TotalTokS,
    /// Completion tokens per second.
    OutputTokS,
    /// Successful requests per second.
    RequestsPerS,
    /// Median time to the first token.
    TtftP50,
    /// 99th percentile of it.
    TtftP99,
    /// Median time to the last token.
    E2eP50,
    /// 99th percentile of it.
    E2eP99,
    /// Median time per output token after the first.
    TpotP50,
    /// Share of requests that succeeded.
    Success,
}

/// The values of one level, by metric; `None` for what was not measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Values([Option<f64>; Metric::ALL.len()]);

impl Metric {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 9] = [
        Self::TotalTokS,
        Self::OutputTokS,
        Self::RequestsPerS,
        Self::TtftP50,
        Self::TtftP99,
        Self::E2eP50,
        Self::E2eP99,
        Self::TpotP50,
        Self::Success,
    ];

    /// Those that decide unless others are asked for: what the server delivers, how long the first
    /// token and the last take, and whether requests succeed.
    pub const DECIDING: [Self; 4] = [Self::TotalTokS, Self::TtftP99, Self::E2eP99, Self::Success];

    /// The name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::TotalTokS => "total_tok_s",
            Self::OutputTokS => "output_tok_s",
            Self::RequestsPerS => "requests_per_s",
            Self::TtftP50 => "ttft_p50_ms",
            Self::TtftP99 => "ttft_p99_ms",
            Self::E2eP50 => "e2e_p50_ms",
            Self::E2eP99 => "e2e_p99_ms",
            Self::TpotP50 => "tpot_p50_ms",
            Self::Success => "success",
        }
    }

    /// As people write it.
    pub fn title(self) -> &'static str {
        match self {
            Self::TotalTokS => "total tok/s",
            Self::OutputTokS => "output tok/s",
            Self::RequestsPerS => "requests/s",
            Self::TtftP50 => "TTFT p50",
            Self::TtftP99 => "TTFT p99",
            Self::E2eP50 => "E2E p50",
            Self::E2eP99 => "E2E p99",
            Self::TpotP50 => "TPOT p50",
            Self::Success => "success",
        }
    }

    /// Whether more of it is better.
    pub fn higher_is_better(self) -> bool {
        match self {
            Self::TotalTokS | Self::OutputTokS | Self::RequestsPerS | Self::Success => true,
            Self::TtftP50 | Self::TtftP99 | Self::E2eP50 | Self::E2eP99 | Self::TpotP50 => false,
        }
    }

    /// Whether it is another quantity where answers are not streamed.
    pub(super) fn needs_stream(self) -> bool {
        match self {
            Self::TtftP50 | Self::TtftP99 | Self::TpotP50 => true,
            Self::TotalTokS
            | Self::OutputTokS
            | Self::RequestsPerS
            | Self::E2eP50
            | Self::E2eP99
            | Self::Success => false,
        }
    }
}

impl Values {
    /// The values that `of` gives.
    pub fn from_fn(of: impl FnMut(Metric) -> Option<f64>) -> Self {
        Self(Metric::ALL.map(of))
    }

    /// The values of a level's report.
    pub fn of(level: &LevelReport) -> Self {
        let (rates, latency) = (&level.rates, &level.latency_ms);
        let ended = level.measured.succeeded + level.measured.failed;
        let success = crate::stats::ratio(level.measured.succeeded as f64, ended as f64);
        let real = |value: Option<Real>| value.map(Real::value);
        Self::from_fn(|metric| match metric {
            Metric::TotalTokS => real(rates.total_tok_s),
            Metric::OutputTokS => real(rates.output_tok_s),
            Metric::RequestsPerS => real(rates.requests_per_s),
            Metric::TtftP50 => real(latency.ttft.p50),
            Metric::TtftP99 => real(latency.ttft.p99),
            Metric::E2eP50 => real(latency.e2e.p50),
            Metric::E2eP99 => real(latency.e2e.p99),
            Metric::TpotP50 => real(latency.tpot.p50),
            Metric::Success => success,
        })
    }

    /// One of them.
    pub fn get(&self, metric: Metric) -> Option<f64> {
        let place = Metric::ALL.iter().position(|other| *other == metric)?;
        *self.0.get(place)?
    }

    /// Of each metric the mean over several levels; `None` where one has no value.
    pub(super) fn mean(all: &[Self]) -> Self {
        Self::from_fn(|metric| {
            let values: Option<Vec<f64>> = all.iter().map(|values| values.get(metric)).collect();
            Some(crate::stats::describe(&values?)?.mean)
        })
    }
}
