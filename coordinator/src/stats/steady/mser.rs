//! Where a series has settled: the truncation that leaves the mean of the rest most exact.

use crate::stats::batch::means;
use crate::stats::describe::ROUNDING;

/// Values in a batch.
const BATCH: usize = 5;

/// Fewer batches than this leave too few after half of them are cut.
const BATCHES_MIN: usize = 10;

/// Statistics that differ by less than this share are equal.
const TIE: f64 = 1e-9;

/// The point from which a series is settled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mser {
    /// Batches of five values before it.
    pub batches_cut: usize,
    /// Values before it.
    pub observations_cut: usize,
    /// The squared standard error of the mean of the batches after it, but for a factor that does
    /// not depend on the cut; in the square of the unit of the series.
    pub statistic: f64,
    /// Whether the point lies in the first half. If not, the series has not settled, and the best
    /// cut may lie beyond the half that may be cut.
    pub settled: bool,
}

/// MSER-5 (White 1997; White, Cobb and Spratt 2000): of `k` batches of five values, the cut `d` of
/// at most `k / 2` that makes the sum of squares about the mean of the rest, over `(k - d)²`, least.
/// Of equal cuts the smallest. Values that do not fill a batch at the end are left out.
///
/// `None` for less than 50 values, or if one is not finite.
pub fn mser5(series: &[f64]) -> Option<Mser> {
    let batches = means(series, BATCH);
    if batches.len() < BATCHES_MIN || batches.iter().any(|mean| !mean.is_finite()) {
        return None;
    }
    let size = batches.iter().fold(0.0, |size: f64, mean| size.max(mean.abs()));
    let rounding = (ROUNDING * size).powi(2);
    let cut_max = batches.len() / 2;
    let mut best = Mser {
        batches_cut: cut_max,
        observations_cut: cut_max * BATCH,
        statistic: f64::INFINITY,
        settled: false,
    };
    // From the end, so that the sum of squares of the rest only ever grows (Welford 1962).
    let (mut left, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for (batches_cut, value) in batches.into_iter().enumerate().rev() {
        left += 1.0;
        let step = value - mean;
        mean += step / left;
        squares += step * (value - mean);
        let statistic = squares / (left * left);
        let statistic = if statistic <= rounding { 0.0 } else { statistic };
        if batches_cut <= cut_max && statistic <= best.statistic * (1.0 + TIE) {
            let observations_cut = batches_cut * BATCH;
            let settled = batches_cut < cut_max;
            best = Mser { batches_cut, observations_cut, statistic, settled };
        }
    }
    Some(best).filter(|best| best.statistic.is_finite())
}
