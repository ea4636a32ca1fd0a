//! Numbers in evidence, and the arithmetic of growth.

use crate::stats;

/// A number as a person would write it: about five digits, no trailing zeros.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v < 10.0 => 3,
        v if v < 1_000.0 => 2,
        v if v < 10_000.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A share in percent.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", number(share * 100.0))
}

/// Growth of throughput over growth of load, both as logarithms: `ln(X / X0) / ln(N / N0)`.
pub(super) fn elasticity((rate, before): (f64, f64), (load, lower): (f64, f64)) -> Option<f64> {
    let gain = stats::ratio(rate, before)?.ln();
    stats::ratio(gain, (load / lower).ln())
}
