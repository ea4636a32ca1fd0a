//! The Brown-Forsythe test: whether two samples scatter alike.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::stats::{describe, ratio};

/// The chance of spreads at least as different if the true ones are equal: Student's test on the
/// distances from each sample's median, which for two samples is their analysis of variance.
/// `None` for fewer than two values a side, or if no distance differs from another.
pub fn brown_forsythe(a: &[f64], b: &[f64]) -> Option<f64> {
    let (a, b) = (describe(&distances(a)?)?, describe(&distances(b)?)?);
    let (n_a, n_b) = (a.n as f64, b.n as f64);
    let freedom = n_a + n_b - 2.0;
    let within = ((n_a - 1.0) * a.sd?.powi(2) + (n_b - 1.0) * b.sd?.powi(2)) / freedom;
    let t = ratio(a.mean - b.mean, (within * (1.0 / n_a + 1.0 / n_b)).sqrt())?;
    Some(2.0 * StudentsT::new(0.0, 1.0, freedom).ok()?.sf(t.abs()))
}

fn distances(values: &[f64]) -> Option<Vec<f64>> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    let odd = !sorted.len().is_multiple_of(2);
    let lower = if odd { upper } else { *sorted.get(middle.checked_sub(1)?)? };
    let median = f64::midpoint(lower, upper);
    Some(sorted.iter().map(|value| (value - median).abs()).collect())
}
