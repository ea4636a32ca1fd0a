//! How large a difference must be to be found, by the noncentral t distribution.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// The share of repetitions in which the difference is found.
const POWER: f64 = 0.8;
/// Steps of the integral over the spread; it is smooth, so few are enough.
const STEPS: u32 = 64;
/// Halvings of the bracket around the answer: an error below 1e-4 of it.
const HALVINGS: u32 = 16;
/// The most repeats that are recommended.
const REPEATS_MAX: u32 = 100;

/// The smallest difference that `n` runs on each side show (80 % power, level 5 %), in multiples of
/// the standard deviation of a run; of a rate, in multiples of its coefficient of variation. `None`
/// below two runs.
pub fn detectable(n: u32) -> Option<f64> {
    let n = f64::from(n);
    Some(noncentrality(2.0 * n - 2.0)? * (2.0 / n).sqrt())
}

/// The fewest runs on each side that show a difference of so many standard deviations; `None` if a
/// hundred are not enough.
pub fn repeats_for(deviations: f64) -> Option<u32> {
    let enough = |n: u32| detectable(n).is_some_and(|least| least <= deviations);
    if !enough(REPEATS_MAX) {
        return None;
    }
    let (mut few, mut many) = (1, REPEATS_MAX);
    while many - few > 1 {
        let middle = few.midpoint(many);
        if enough(middle) { many = middle } else { few = middle }
    }
    Some(many)
}

/// The true difference over its standard error at which a two-sided test at 5 % succeeds with 80 %.
pub(super) fn noncentrality(freedom: f64) -> Option<f64> {
    let limit = StudentsT::new(0.0, 1.0, freedom).ok()?.inverse_cdf(0.975);
    let law = spread_law(freedom);
    // The answer is 2.8 for a limit of 2, and below 1.5 limits for few degrees of freedom.
    let (mut low, mut high) = (0.0, 2.0 * limit + 2.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if power(&law, limit, middle) < POWER { low = middle } else { high = middle }
    }
    Some(f64::midpoint(low, high))
}

/// The chance that a noncentral T exceeds `limit`: the normal law at a known spread, over the law of
/// the spread. That it lies below `-limit` has no weight at the power that is asked for.
fn power(law: &[(f64, f64)], limit: f64, noncentrality: f64) -> f64 {
    let normal = Normal::standard();
    law.iter().map(|(spread, weight)| weight * normal.sf(limit * spread - noncentrality)).sum()
}

/// The law of a sample's spread over the true one, in steps: values and their weights, which sum to
/// 1. Its density is proportional to `x^(f - 1) exp(-f x^2 / 2)`.
fn spread_law(freedom: f64) -> Vec<(f64, f64)> {
    // It has a deviation of about 1 / sqrt(2 f): beyond 7 of them lies nothing that counts.
    let reach = 5.0 / freedom.sqrt();
    let (from, to) = ((1.0 - reach).max(0.0), 1.0 + reach);
    let step = (to - from) / f64::from(STEPS);
    let weight = |x: f64| ((freedom - 1.0) * x.ln() - freedom * (x * x - 1.0) / 2.0).exp();
    // The midpoints: none is 0, where the law of one degree is steep.
    let values = (0..STEPS).map(|place| from + step * (f64::from(place) + 0.5));
    let law: Vec<(f64, f64)> = values.map(|x| (x, weight(x))).collect();
    let sum: f64 = law.iter().map(|(_, weight)| weight).sum();
    law.into_iter().map(|(x, weight)| (x, weight / sum)).collect()
}
