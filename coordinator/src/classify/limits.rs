//! The limits behind the statuses and verdicts of imported tables, each with its source.
//!
//! A status is only as good as its limit, so reports print the version of this table. Any change
//! of a value, or a new one, is a new version.

use serde::Serialize;

use super::paper;

/// Version of the table [`LIMITS`].
pub const LIMITS_VERSION: u32 = 1;

/// A limit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Limit {
    /// Its name in reports.
    pub name: &'static str,
    /// Its value: a share or a factor.
    pub value: f64,
    /// Where it comes from.
    pub source: &'static str,
}

/// Below this share of successes a level is FAILING.
pub(super) const SUCCESS_MIN: Limit = Limit {
    name: "success_min",
    value: paper::SUCCESS_MIN,
    source: "the paper, section 5; kept by the method, 3.11",
};

/// Above this multiple of the baseline's p99 a level is DEGRADED.
pub(super) const P99_FACTOR_MAX: Limit = Limit {
    name: "p99_factor_max",
    value: paper::P99_FACTOR_MAX,
    source: "the paper, section 5; against a baseline of the same request shape by the method, 3.11",
};

/// The paper's own rule of saturation, used for its status only.
const PAPER_GAIN_MIN: Limit = Limit {
    name: "paper_gain_min",
    value: paper::GAIN_MIN,
    source: "the paper, section 5; in the paper's status only",
};

/// Below this elasticity of throughput over users a level is SATURATED.
pub(super) const ELASTICITY_MIN: Limit =
    Limit { name: "elasticity_min", value: 0.10, source: "the method, 3.11" };

/// Below this share of the best lower level's throughput a level is OVERLOADED.
pub(super) const BEST_SHARE_MIN: Limit =
    Limit { name: "best_share_min", value: 0.95, source: "the method, 3.11, single imported runs" };

/// Below this share of the lower levels' median in-flight index the users were not in flight.
pub(super) const INDEX_SHARE_MIN: Limit =
    Limit { name: "index_share_min", value: 0.95, source: "the method, 3.12, imported data" };

/// Below this share of the users the mean in flight is not their load.
pub(super) const IN_FLIGHT_MEAN_MIN: Limit =
    Limit { name: "in_flight_mean_min", value: 0.98, source: "the method, 3.12" };

/// Above this multiple of the stated total-to-output ratio the stated work was not done.
pub(super) const WORK_RATIO_MAX: Limit = Limit {
    name: "work_ratio_max",
    value: 1.2,
    source: "the method, 3.12; the width is for imported tables, whose ratios are rounded",
};

/// Mean output tokens of two levels of the same work differ by no more than this share.
pub(crate) const OUTPUT_OFF_MAX: Limit =
    Limit { name: "output_off_max", value: 0.01, source: "the method, 3.12" };

/// Mean prompt tokens of two levels of the same work differ by no more than this share.
pub(crate) const PROMPT_OFF_MAX: Limit =
    Limit { name: "prompt_off_max", value: 0.02, source: "the method, 3.12" };

/// Every limit.
pub const LIMITS: [Limit; 10] = [
    SUCCESS_MIN,
    P99_FACTOR_MAX,
    PAPER_GAIN_MIN,
    ELASTICITY_MIN,
    BEST_SHARE_MIN,
    INDEX_SHARE_MIN,
    IN_FLIGHT_MEAN_MIN,
    WORK_RATIO_MAX,
    OUTPUT_OFF_MAX,
    PROMPT_OFF_MAX,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_lists_every_limit_with_its_value_and_version() {
        let manual = include_str!("../../../docs/import.md");
        assert!(manual.contains(&format!("Limits, version {LIMITS_VERSION}")));
        for Limit { name, value, source } in LIMITS {
            let row = format!("| `{name}` | {value} | {source} |");
            assert!(manual.contains(&row), "docs/import.md lacks: {row}");
        }
    }
}
