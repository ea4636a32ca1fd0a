//! The limits behind every status and verdict, each with its source.
//!
//! A status is only as good as its limit, so reports print the version of this table. Any change
//! of a value, or a new one, is a new version.

use common::ceiling;
use serde::Serialize;

use super::paper;
use crate::stats;

/// Version of the table [`LIMITS`].
pub const LIMITS_VERSION: u32 = 4;

/// A limit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Limit {
    /// Its name in reports.
    pub name: &'static str,
    /// Its value: a share, a factor, or in the unit that the name ends with.
    pub value: f64,
    /// Where it comes from.
    pub source: &'static str,
}

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident = $key:literal, $value:expr, $source:literal;)+) => {
        $(
            $(#[$doc])*
            pub(crate) const $name: Limit = Limit { name: $key, value: $value, source: $source };
        )+

        /// Every limit.
        pub const LIMITS: [Limit; [$($key),+].len()] = [$($name),+];
    };
}

limits! {
    /// Below this share of successes a level is FAILING.
    SUCCESS_MIN = "success_min", paper::SUCCESS_MIN,
        "the paper, section 5; kept by the method, 3.11";
    /// Above this multiple of the baseline's latency a level is DEGRADED.
    P99_FACTOR_MAX = "p99_factor_max", paper::P99_FACTOR_MAX,
        "the paper, section 5; against a baseline of the same request shape by the method, 3.11";
    /// The paper's own rule of saturation, used for its status only.
    PAPER_GAIN_MIN = "paper_gain_min", paper::GAIN_MIN,
        "the paper, section 5; in the paper's status only";
    /// Below this elasticity of throughput over load a level is SATURATED.
    ELASTICITY_MIN = "elasticity_min", 0.10, "the method, 3.11";
    /// Below this share of the best lower level's throughput a level is OVERLOADED, where the two
    /// have no intervals.
    BEST_SHARE_MIN = "best_share_min", 0.95, "the method, 3.11, single measurements";
    /// The same, for the upper end of the ratio's interval.
    BEST_SHARE_UPPER_MIN = "best_share_upper_min", 0.97, "the method, 3.11, with intervals";
    /// A window must be this long before slopes in it say that an open loop is overloaded.
    SLOPE_WINDOW_MIN = "slope_window_min_s", 30.0, "the method, 3.1, after GuideLLM";
    /// The saturation point is the smallest load whose throughput is at least this share of the
    /// best.
    SATURATION_SHARE_MIN = "saturation_share_min", 0.95, "the method, 3.13";
    /// Above this coefficient of variation over repeats ten restarts are called for.
    REPEATS_COV_MAX = "repeats_cov_max", 0.05, "the method, 3.15";
    /// A movement that chance makes in more than this share of steady series is none.
    STEADY_P_MAX = "steady_p_max", stats::STEADY_P_MAX, "the method, 3.9";
    /// A window, or a slope in it, may move by this share of its mean.
    STEADY_MOVE_MAX = "steady_move_max", stats::STEADY_MOVE_MAX, "the method, 3.9";
    /// Neighbours that correlate by more than this are not independent samples.
    LAG1_MAX = "lag1_max", stats::LAG1_MAX, "the method, 3.8";
    /// Above this multiple of the lowest p99 a level lies past the knee.
    KNEE_FACTOR = "knee_factor", 2.0, "the method, 3.11, after the IETF draft";
    /// Above this multiple of the median the p99 makes a heavy tail.
    TAIL_FACTOR = "tail_factor", 10.0, "the method, 3.11, after the IETF draft";
    /// Below this share of completions in arrivals an open loop piles up.
    BACKLOG_SHARE_MIN = "backlog_share_min", 0.90, "the method, 3.11, after the IETF draft";
    /// Below this share of the lower levels' median in-flight index the users were not in flight.
    INDEX_SHARE_MIN = "index_share_min", 0.95, "the method, 3.12, imported data";
    /// Below this share of the users the mean in flight is not their load.
    IN_FLIGHT_MEAN_MIN = "in_flight_mean_min", 0.98, "the method, 3.12";
    /// A slot of time with less than this share of the users in flight is below them.
    IN_FLIGHT_SLOT_MIN = "in_flight_slot_min", 0.95, "the method, 3.12";
    /// At most this share of a window may be below them.
    IN_FLIGHT_BELOW_MAX = "in_flight_below_max", 0.02, "the method, 3.12";
    /// Below this share of the arrivals planned a rate was not offered.
    SENT_SHARE_MIN = "sent_share_min", 0.99, "the method, 3.12";
    /// A send lag at p99 up to this is that of a timer.
    SEND_LAG_MIN = "send_lag_min_ms", ceiling::SEND_LAG_MIN_MS,
        "the method, 3.12, which says 1 ms; one more for the grain of the timers that send";
    /// A send lag at p99 up to this share of the median time to the first token is not felt.
    SEND_LAG_SHARE_MAX = "send_lag_share_max", ceiling::SEND_LAG_SHARE_MAX, "the method, 3.12";
    /// A worker may be short of processor time for at most this share of a level.
    BUSY_SHARE_MAX = "busy_share_max", ceiling::BUSY_SHARE_MAX, "the method, 3.12; busy is above 85 % of a core";
    /// Above this event-loop lag at p99 the client is the limit, whatever is measured.
    LOOP_LAG_MAX = "loop_lag_max_ms", ceiling::LOOP_LAG_MAX_MS, "the method, 3.12";
    /// Above this share of the median gap between chunks an event-loop lag at p99 blurs them.
    LOOP_LAG_SHARE_MAX = "loop_lag_share_max", ceiling::LOOP_LAG_SHARE_MAX, "the method, 3.12";
    /// An event-loop lag at p99 up to this blurs nothing that lasts.
    LOOP_LAG_MIN = "loop_lag_min_ms", ceiling::LOOP_LAG_MIN_MS,
        "what a shared core adds now and then; a share of a shorter gap would be less than that";
    /// A worker may wait for a core for this share of the time.
    WAIT_SHARE_MAX = "wait_share_max", 0.2,
        "what no lag shows: one who waits this long does its work a quarter slower";
    /// A quota may hold an agent up in this share of its periods.
    THROTTLED_SHARE_MAX = "throttled_share_max", 0.01,
        "a period that is cut stops every user for tens of milliseconds, which a p99 must not hold";
    /// A hypervisor may give this share of an agent's processors to others.
    STEAL_SHARE_MAX = "steal_share_max", 0.05, "as much as a worker may be busy";
    /// An interface may carry this share of what it can.
    LINK_SHARE_MAX = "link_share_max", 0.8, "the method, 3.12";
    /// Above this share in use, open files or local ports are nearly gone.
    NEAR_SHARE_MAX = "near_share_max", 0.9, "what an agent plans for at most";
    /// A host may send this share of its TCP segments again.
    RETRANSMITTED_SHARE_MAX = "retransmitted_share_max", 0.01,
        "each costs its request 200 ms or more, which a p99 must not hold";
    /// Gauge and requests may differ by this share in what they say was in flight.
    GAUGE_OFF_MAX = "gauge_off_max", 0.005, "the method, 3.12";
    /// Requests in flight and rate times latency may differ by this share, a turn of the users at
    /// the window's edges aside.
    LITTLE_OFF_MAX = "little_off_max", 0.02, "the method, 3.12";
    /// Agents may begin this far apart.
    START_SKEW_MAX = "start_skew_max_ms", 50.0, "the method, 3.12; beyond the error of the clocks";
    /// Agents may begin this share of a request's mean duration apart.
    START_SKEW_SHARE_MAX = "start_skew_share_max", 0.01, "the method, 3.12";
    /// The agents of a burst may begin this share of the median time to the first token apart.
    BURST_SKEW_SHARE_MAX = "burst_skew_share_max", 0.10, "the method, 3.12";
    /// The error of an agent's clock.
    CLOCK_ERROR_MAX = "clock_error_max_ms", 5.0, "the method, 3.12";
    /// The error of an agent's clock as a share of the time that is measured.
    CLOCK_ERROR_SHARE_MAX = "clock_error_share_max", 0.25, "the method, 3.12";
    /// A host's wall clock may step by this against its monotonic one, and a host may be suspended
    /// this long.
    CLOCK_STEP_MAX = "clock_step_max_ms", 10.0, "the method, 3.12";
    /// Prompt tokens from a cache, as a share, where none are declared.
    CACHED_SHARE_MAX = "cached_share_max", 0.01, "the method, 3.12";
    /// An agent's median time to the first token may differ by this share from the fleet's.
    AGENT_OFF_MAX = "agent_off_max", 0.10, "the method, 3.12";
    /// A difference as clear as that of chance in this share of agents is none.
    AGENT_P_MAX = "agent_p_max", 0.01, "the method, 3.12";
    /// Above this multiple of the stated total-to-output ratio the stated work was not done.
    WORK_RATIO_MAX = "work_ratio_max", 1.2,
        "the method, 3.12; the width is for imported tables, whose ratios are rounded";
    /// Mean output tokens differ by no more than this share.
    OUTPUT_OFF_MAX = "output_off_max", 0.01, "the method, 3.12";
    /// Mean prompt tokens differ by no more than this share.
    PROMPT_OFF_MAX = "prompt_off_max", 0.02, "the method, 3.12";
    /// Below this share of a client proof's users the client does not hold them in flight.
    PROOF_IN_FLIGHT_MIN = "proof_in_flight_min", 0.99, "the method, 3.16";
    /// A proof's median time to the first token may be off what was injected by this share.
    PROOF_TTFT_P50_OFF_MAX = "proof_ttft_p50_off_max", 0.01, "the method, 3.16";
    /// The same in milliseconds, where that is more.
    PROOF_TTFT_P50_OFF_MIN = "proof_ttft_p50_off_min_ms", 1.0, "the method, 3.16";
    /// A proof's p99 of the time to the first token may be off what was injected by this share.
    PROOF_TTFT_P99_OFF_MAX = "proof_ttft_p99_off_max", 0.02, "the method, 3.16";
    /// The same in milliseconds, where that is more.
    PROOF_TTFT_P99_OFF_MIN = "proof_ttft_p99_off_min_ms", 5.0, "the method, 3.16";
    /// Median and mean of a proof's gaps between events may be off what was injected by this share.
    PROOF_GAP_OFF_MAX = "proof_gap_off_max", 0.05, "the method, 3.16";
    /// A client must be proven for this many times what a level reached before it is SATURATED.
    PROOF_HEADROOM_MIN = "proof_headroom_min", 2.0, "the method, 3.16";
    /// Independent samples for a p90.
    SAMPLES_P90_MIN = "samples_p90_min", 64.0, "the method, 3.8";
    /// Independent samples for a p95.
    SAMPLES_P95_MIN = "samples_p95_min", 130.0, "the method, 3.8";
    /// Independent samples for a p99.
    SAMPLES_P99_MIN = "samples_p99_min", 662.0, "the method, 3.8";
    /// Independent samples for a p99.9.
    SAMPLES_P999_MIN = "samples_p999_min", 6636.0, "the method, 3.8";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_lists_every_limit_with_its_value_and_version() {
        let manual = include_str!("../../../docs/limits.md");
        assert!(manual.contains(&format!("Limits, version {LIMITS_VERSION}")));
        for Limit { name, value, source } in LIMITS {
            let row = format!("| `{name}` | {value} | {source} |");
            assert!(manual.contains(&row), "docs/limits.md lacks: {row}");
        }
    }

    #[test]
    fn floors_are_the_fewest_samples_that_certify() {
        for (q, limit) in [
            (0.9, SAMPLES_P90_MIN),
            (0.95, SAMPLES_P95_MIN),
            (0.99, SAMPLES_P99_MIN),
            (0.999, SAMPLES_P999_MIN),
        ] {
            assert_eq!(stats::samples_min(q).unwrap() as f64, limit.value);
        }
    }
}
