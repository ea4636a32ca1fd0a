//! Where a series steps from one mean to another.

use crate::stats::describe::mean;
use crate::stats::ratio;
use crate::stats::steady::worth;

/// Fewer values have no step that chance does not make.
const VALUES_MIN: usize = 10;

/// The likeliest step of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Values before it, at least 1.
    pub at: usize,
    /// The chance of a step at least this clear in a series without one.
    pub p: f64,
    /// Mean after it less mean before it, as a share of the mean of all. `None` for a mean of 0.
    pub size: Option<f64>,
}

/// The likeliest step of a series by the ranks of its values (Pettitt 1979), with his approximate
/// chance `2 exp(-6 K² / (n³ + n²))`, in which `K²` is multiplied by `n_eff / n` of the series
/// without its step, whose correlation counts up to 2/3. The chance errs upwards in a series with
/// many equal values.
///
/// `None` below 10 values, or if one is not finite.
pub fn change_point(series: &[f64]) -> Option<Change> {
    let count = series.len();
    if count < VALUES_MIN {
        return None;
    }
    let mean_of_all = mean(series)?;
    let n = count as f64;
    let (mut ranks_before, mut clearest, mut at) = (0.0, 0.0f64, 1);
    for (before, rank) in (1..count).zip(ranks(series)) {
        ranks_before += rank;
        let score = (2.0 * ranks_before - before as f64 * (n + 1.0)).abs();
        if score > clearest {
            (clearest, at) = (score, before);
        }
    }
    let (before, after) = series.split_at(at);
    let (mean_before, mean_after) = (mean(before)?, mean(after)?);
    let without_step = before
        .iter()
        .map(|value| value - mean_before + mean_of_all)
        .chain(after.iter().map(|value| value - mean_after + mean_of_all));
    let without_step: Vec<f64> = without_step.collect();
    let exponent = -6.0 * (worth(&without_step) / n) * clearest.powi(2) / (n.powi(3) + n.powi(2));
    let p = 2.0 * exponent.exp();
    Some(Change { at, p: p.min(1.0), size: ratio(mean_after - mean_before, mean_of_all.abs()) })
}

/// The rank of each value, from 1 for the smallest; equal values share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<(usize, f64)> = values.iter().copied().enumerate().collect();
    sorted.sort_unstable_by(|(_, one), (_, other)| one.total_cmp(other));
    let mut below = 0;
    let mut ranked: Vec<(usize, f64)> = Vec::with_capacity(values.len());
    for equal in sorted.chunk_by(|(_, one), (_, next)| one == next) {
        let rank = below as f64 + (equal.len() as f64 + 1.0) / 2.0;
        ranked.extend(equal.iter().map(|(place, _)| (*place, rank)));
        below += equal.len();
    }
    ranked.sort_unstable_by_key(|(place, _)| *place);
    ranked.into_iter().map(|(_, rank)| rank).collect()
}
