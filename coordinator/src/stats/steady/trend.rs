//! Whether a series rises or falls from one end to the other, and by how much.

use statrs::function::erf::erfc;

use crate::stats::batch::means;
use crate::stats::describe::{is_constant, mean};
use crate::stats::ratio;
use crate::stats::steady::worth;

/// The law of the score is close to normal from here on (Kendall 1975).
const VALUES_MIN: usize = 10;

/// Every pair of values is looked at, so a longer series is made shorter first.
const VALUES_MAX: usize = 1000;

/// A trend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// The chance of a trend at least this clear, up or down, in a series without one.
    pub p: f64,
    /// Median slope (Theil and Sen), in the unit of the series per slot.
    pub slope: f64,
    /// Change over the whole series, the slope times its length, as a share of its mean. `None`
    /// for a mean of 0.
    pub drift: Option<f64>,
}

/// The trend of a series by the test of Mann (1945) and Kendall (1975), with ties, and with its
/// variance multiplied by `n / n_eff`, where the correlation of neighbours is that of the series
/// without its trend (Yue and Wang 2004), up to 2/3.
///
/// A series of more than 1,000 values is first averaged over as many neighbours as it takes.
/// `None` below 10 values, or if one is not finite.
pub fn trend(series: &[f64]) -> Option<Trend> {
    if series.len() < VALUES_MIN {
        return None;
    }
    let mean_of_all = mean(series)?;
    if is_constant(series) {
        return Some(Trend { p: 1.0, slope: 0.0, drift: ratio(0.0, mean_of_all) });
    }
    let width = series.len().div_ceil(VALUES_MAX);
    let values = means(series, width);
    let (score, slope) = compare_pairs(&values)?;
    let middle = (values.len() as f64 - 1.0) / 2.0;
    let without_trend = values.iter().enumerate();
    let without_trend = without_trend.map(|(at, value)| value - slope * (at as f64 - middle));
    let worth = worth(&without_trend.collect::<Vec<f64>>());
    let variance = score_variance(values.clone()) * values.len() as f64 / worth;
    let slope = slope / width as f64;
    Some(Trend {
        p: two_sided_p(score, variance),
        slope,
        drift: ratio(slope * series.len() as f64, mean_of_all.abs()),
    })
}

/// Pairs that rise less pairs that fall, and the median slope of all pairs.
fn compare_pairs(values: &[f64]) -> Option<(f64, f64)> {
    let mut slopes = Vec::with_capacity(values.len() * values.len().saturating_sub(1) / 2);
    let mut score = 0i64;
    for (place, value) in values.iter().enumerate() {
        for (distance, later) in values.iter().skip(place).enumerate().skip(1) {
            score += i64::from(later > value) - i64::from(later < value);
            slopes.push((later - value) / distance as f64);
        }
    }
    Some((score as f64, median(slopes)?))
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    let middle = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let even = values.len().is_multiple_of(2);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let lower = below.iter().copied().max_by(f64::total_cmp).filter(|_| even);
    Some(lower.map_or(*upper, |lower| f64::midpoint(lower, *upper)))
}

/// Variance of the score of independent values: `n (n - 1) (2 n + 5) / 18`, less the same of each
/// group of equal values.
fn score_variance(mut values: Vec<f64>) -> f64 {
    let part = |n: usize| {
        let n = n as f64;
        n * (n - 1.0) * (2.0 * n + 5.0) / 18.0
    };
    values.sort_unstable_by(f64::total_cmp);
    let ties: f64 = values.chunk_by(|one, next| one == next).map(|equal| part(equal.len())).sum();
    part(values.len()) - ties
}

/// Two-sided, with the correction for a score that moves in steps.
fn two_sided_p(score: f64, variance: f64) -> f64 {
    let distance = (score.abs() - 1.0).max(0.0);
    ratio(distance, variance.sqrt()).map_or(1.0, |z| erfc(z / std::f64::consts::SQRT_2))
}
