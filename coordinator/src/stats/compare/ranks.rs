//! The Mann-Whitney test: whether the values of one sample tend to be larger, by their ranks alone.

use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::factorial::binomial;

use crate::stats::ratio;

/// The largest sample whose splits are counted one by one.
const EXACT_MAX: usize = 20;

/// The chance of ranks at least as far apart, two-sided, if both samples have one law. Exact up to
/// 20 values a side, ties included; above that by the normal law, corrected for ties. `None` for an
/// empty sample.
pub fn mann_whitney(a: &[f64], b: &[f64]) -> Option<f64> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let ranks = double_ranks(a, b);
    let sum: u64 = ranks.iter().filter(|(first, _)| *first).map(|(_, rank)| rank).sum();
    let ranks: Vec<u64> = ranks.into_iter().map(|(_, rank)| rank).collect();
    // Twice the mean of the sum of double ranks is n (N + 1) x 2.
    let twice_mean = 2 * (a.len() * (ranks.len() + 1)) as u64;
    let off = (2 * sum).abs_diff(twice_mean);
    if a.len().max(b.len()) <= EXACT_MAX {
        exact(&ranks, a.len(), |other| (2 * other).abs_diff(twice_mean) >= off)
    } else {
        normal(&ranks, a.len(), off as f64 / 4.0)
    }
}

/// The smallest p that samples of these sizes can have, without ties.
pub fn mann_whitney_least(a: u32, b: u32) -> f64 {
    (2.0 / binomial(u64::from(a) + u64::from(b), a.into())).min(1.0)
}

/// Every value's rank, doubled so that the middle rank of a tie is whole, and whether it belongs to
/// the first sample.
fn double_ranks(a: &[f64], b: &[f64]) -> Vec<(bool, u64)> {
    let mut values: Vec<(f64, bool)> = a.iter().map(|value| (*value, true)).collect();
    values.extend(b.iter().map(|value| (*value, false)));
    values.sort_unstable_by(|(x, _), (y, _)| x.total_cmp(y));
    let mut below = 0;
    let mut ranks = Vec::with_capacity(values.len());
    for tie in values.chunk_by(|(x, _), (y, _)| x == y) {
        let rank = 2 * below + tie.len() as u64 + 1;
        ranks.extend(tie.iter().map(|(_, first)| (*first, rank)));
        below += tie.len() as u64;
    }
    ranks
}

/// The share of all choices of `n` ranks whose sum is `far`: sums are counted rank by rank.
fn exact(ranks: &[u64], n: usize, far: impl Fn(u64) -> bool) -> Option<f64> {
    // Ranks rise, so the last ones have the largest sum.
    let most: u64 = ranks.iter().rev().take(n).sum();
    // By how many were chosen, then by their sum.
    let mut ways = vec![vec![0.0; usize::try_from(most).ok()? + 1]; n + 1];
    *ways.first_mut()?.first_mut()? = 1.0;
    for rank in ranks {
        let rank = usize::try_from(*rank).ok()?;
        for chosen in (1..=n).rev() {
            let (fewer, more) = ways.split_at_mut(chosen);
            let (fewer, more) = (fewer.last()?, more.first_mut()?);
            more.iter_mut().skip(rank).zip(fewer).for_each(|(to, from)| *to += from);
        }
    }
    let sums = ways.last()?;
    let chosen = |(sum, ways): (usize, &f64)| if far(sum as u64) { *ways } else { 0.0 };
    ratio(sums.iter().enumerate().map(chosen).sum(), sums.iter().sum())
}

/// `off` is how far the sum of ranks lies from its mean; half a rank is given for continuity.
fn normal(ranks: &[u64], n: usize, off: f64) -> Option<f64> {
    let (a, all) = (n as f64, ranks.len() as f64);
    let tied: f64 = ranks
        .chunk_by(|x, y| x == y)
        .map(|tie| (tie.len() as f64).powi(3) - tie.len() as f64)
        .sum();
    let variance = a * (all - a) / 12.0 * (all + 1.0 - tied / (all * (all - 1.0)));
    let z = ratio((off - 0.5).max(0.0), variance.sqrt()).unwrap_or(0.0);
    Some((2.0 * Normal::standard().sf(z)).min(1.0))
}
