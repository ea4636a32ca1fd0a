//! The rows of an imported table.

use common::phase::Phase;
use serde::Serialize;

use crate::classify::limits::{OUTPUT_OFF_MAX, PROMPT_OFF_MAX};
use crate::classify::paper::PaperRow;
use crate::stats;

use super::number;

/// One row of a table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Its phase.
    pub phase: Phase,
    /// Users asked for; at least 1.
    pub users: u32,
    /// What its requests were.
    pub work: Work,
    /// Requests planned, if the table says so.
    pub requests: Option<u64>,
    /// Prompt and completion tokens per second.
    pub total_tok_s: Option<f64>,
    /// Completion tokens per second.
    pub output_tok_s: Option<f64>,
    /// 99th percentile of the latency.
    pub p99_s: Option<f64>,
    /// Mean of the latency.
    pub mean_s: Option<f64>,
    /// Successful requests per second.
    pub requests_per_s: Option<f64>,
    /// Share of the requests that succeeded, 0 to 1.
    pub success: f64,
}

/// What the requests of a level were.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Work {
    /// What was asked for; what was delivered is not known.
    Stated(Stated),
    /// What was delivered; what was asked for is not known.
    Delivered {
        /// Mean prompt tokens of a request.
        prompt: f64,
        /// Mean completion tokens of a request.
        completion: f64,
    },
}

/// A request as it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Stated {
    /// Prompt tokens without those of images.
    pub input_tokens: u32,
    /// Completion tokens; at least 1.
    pub output_tokens: u32,
    /// Images.
    pub images: u32,
}

/// A baseline that is no row of its table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Baseline {
    /// 99th percentile of the latency of one user.
    pub p99_s: f64,
    /// What its requests were.
    pub work: Work,
}

impl Level {
    /// The row as the paper's classifier sees it.
    pub fn paper_row(&self) -> PaperRow {
        PaperRow {
            phase: self.phase,
            users: self.users,
            total_tok_s: self.total_tok_s,
            output_tok_s: self.output_tok_s,
            p99_s: self.p99_s,
            success: self.success,
        }
    }

    pub(super) fn inflight_index(&self) -> Option<f64> {
        stats::ratio(self.total_tok_s? * self.p99_s?, self.users.into())
    }

    /// Only successes have a latency, so there is no mean in flight if anything failed.
    pub(super) fn in_flight_mean(&self) -> Option<f64> {
        let all = self.success >= 1.0;
        all.then_some(stats::in_flight(self.requests_per_s?, self.mean_s?))
    }

    /// Total tokens for each output token.
    pub(super) fn work_ratio(&self) -> Option<f64> {
        stats::ratio(self.total_tok_s?, self.output_tok_s?)
    }

    /// Whether the level belongs to a series of rising loads or stands beside one.
    pub(super) fn is_loaded(&self) -> bool {
        match self.phase {
            Phase::Warmup | Phase::Baseline => false,
            Phase::Scaling | Phase::Stress | Phase::Saturation => true,
        }
    }
}

impl Work {
    /// Whether levels of the two can be compared at all. Delivered work differs a little between
    /// any two levels; where it differs too much, [`Code::WorkNotEqual`] says so.
    pub(super) fn is_comparable(self, other: Self) -> bool {
        match (self, other) {
            (Self::Stated(a), Self::Stated(b)) => a == b,
            (Self::Delivered { .. }, Self::Delivered { .. }) => true,
            (Self::Stated(_), Self::Delivered { .. })
            | (Self::Delivered { .. }, Self::Stated(_)) => false,
        }
    }

    /// Whether a latency of the one is a measure for a latency of the other.
    pub(super) fn is_same(self, other: Self) -> bool {
        self.is_comparable(other) && self.difference(other).is_none()
    }

    /// Where delivered work differs beyond the limits, in words.
    pub(super) fn difference(self, other: Self) -> Option<String> {
        let (
            Self::Delivered { prompt: prompt_a, completion: completion_a },
            Self::Delivered { prompt: prompt_b, completion: completion_b },
        ) = (self, other)
        else {
            return None;
        };
        let off = |name: &str, a: f64, b: f64, limit: f64| {
            ((a - b).abs() > limit * b).then(|| {
                let percent = limit * 100.0;
                format!(
                    "{} mean {name} tokens against {}, more than {percent} % apart",
                    number(a),
                    number(b)
                )
            })
        };
        off("output", completion_a, completion_b, OUTPUT_OFF_MAX.value)
            .or_else(|| off("prompt", prompt_a, prompt_b, PROMPT_OFF_MAX.value))
    }
}
