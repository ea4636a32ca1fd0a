//! Statistics of the method, sections 2.4 and 3.8 to 3.11: a mean with its interval, whether a
//! level is steady and has run long enough, quantiles and shares with their certainty, and the
//! arithmetic that ties rates, latencies and requests in flight.
//!
//! What is undefined is `None`, never 0.

mod batch;
mod binomial;
mod chance;
pub mod compare;
mod describe;
mod law;
mod share;
mod sign;
mod steady;
mod tail;
mod usl;

pub use batch::{BatchMeans, LAG1_MAX, Look, Stopping, lag1, n_eff};
pub use chance::by_chance;
pub use describe::{Summary, describe};
pub use law::{in_flight, ratio};
pub use share::{Objective, Share, objective, wilson};
pub use sign::sign_test;
pub use steady::{
    Change, Mser, STEADY_MOVE_MAX, STEADY_P_MAX, Slope, Steadiness, Trend, Unsteady, change_point,
    mser5, slope, steadiness, trend,
};
pub use tail::{
    QuantileUs, Ranks, certified_p99_us, certified_us, quantile_ci_ranks, quantile_ci_ranks_eff,
    quantile_with_failures_us, samples_min,
};
pub use usl::{Peak, Usl, UslPoint};

#[cfg(test)]
mod tests;
