//! Means of a series that depends on itself: batch means with an interval that allows for it, and
//! the rule that says when a level has run long enough (the method, sections 3.8 and 3.10).

use super::describe::{is_constant, mean, student_t_975};
use super::{describe, ratio};

/// Below this many batches a mean has no interval.
const BATCHES_MIN: usize = 6;

/// Below this many batches an interval is provisional, and a level is not stopped.
const FIRST_LOOK: usize = 20;

/// Neighbours that correlate by more than this are not independent.
pub const LAG1_MAX: f64 = 0.1;

/// Half the width of the interval, as a share of the mean, at which a level has run long enough.
const HALF_WIDTH_MAX: f64 = 0.02;

/// Correlation of each value with the one before it, −1 to 1 (the usual estimate, which lies below
/// the true one by about `(1 + 4 r) / n`). `None` below three values or if all are equal.
pub fn lag1(series: &[f64]) -> Option<f64> {
    if series.len() < 3 || is_constant(series) {
        return None;
    }
    let mean = mean(series)?;
    let pairs = series.iter().zip(series.iter().skip(1));
    let products: f64 = pairs.map(|(one, next)| (one - mean) * (next - mean)).sum();
    let squares: f64 = series.iter().map(|value| (value - mean).powi(2)).sum();
    ratio(products, squares)
}

/// How many independent values `n` values are worth whose neighbours correlate by `lag1`:
/// `n (1 - r) / (1 + r)` for an `r` above 0.1, else all of them. At least 1 for any values at all.
pub fn n_eff(n: usize, lag1: Option<f64>) -> f64 {
    let n = n as f64;
    match lag1 {
        Some(r) if r > LAG1_MAX => (n * (1.0 - r) / (1.0 + r)).max(n.min(1.0)),
        Some(_) | None => n,
    }
}

/// The mean of a series and its interval, from means of batches of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchMeans {
    /// The mean of all batches, in the unit of the series.
    pub mean: f64,
    /// Half the width of the 95 % confidence interval of the mean, by Student's t.
    pub half_width: f64,
    /// Batches, at least 6.
    pub count: usize,
    /// Slots in a batch.
    pub batch_slots: usize,
    /// Batches before pairs of them were merged.
    pub unmerged: usize,
    /// What is left of the correlation between neighbouring batches; `None` if all are equal.
    pub lag1: Option<f64>,
}

impl BatchMeans {
    /// Cuts a series of equally long slots into batches of `slots_min` and merges pairs of batches
    /// for as long as neighbours correlate by more than 0.1. Slots that do not fill a batch at the
    /// end, and a batch without a partner, are left out.
    ///
    /// Pairs are not merged below 6 batches: there the interval is widened instead, as that of
    /// [`n_eff`] batches. `None` below 6 batches, if they are worth less than two independent ones,
    /// or for a value that is not finite.
    pub fn of(slots: &[f64], slots_min: usize) -> Option<Self> {
        if slots_min == 0 {
            return None;
        }
        let mut batch_slots = slots_min;
        let mut batches = means(slots, slots_min);
        let unmerged = batches.len();
        while batches.len() / 2 >= BATCHES_MIN && lag1(&batches).is_some_and(|r| r > LAG1_MAX) {
            batches = means(&batches, 2);
            batch_slots = batch_slots.saturating_mul(2);
        }
        let count = batches.len();
        let summary = describe(&batches).filter(|_| count >= BATCHES_MIN)?;
        let lag1 = lag1(&batches);
        let worth = n_eff(count, lag1);
        let half_width = student_t_975(worth - 1.0)? * summary.sd? / worth.sqrt();
        Some(Self { mean: summary.mean, half_width, count, batch_slots, unmerged, lag1 })
            .filter(|means| means.half_width.is_finite())
    }

    /// Fewer than 20 batches: the interval is an indication.
    pub fn is_provisional(&self) -> bool {
        self.count < FIRST_LOOK
    }

    /// Half the width of the interval as a share of the mean; `None` for a mean of 0.
    pub fn relative_half_width(&self) -> Option<f64> {
        ratio(self.half_width, self.mean.abs())
    }
}

/// Means of `size` values each; what does not fill the last one is left out.
pub(super) fn means(values: &[f64], size: usize) -> Vec<f64> {
    let mean = |batch: &[f64]| batch.iter().sum::<f64>() / size as f64;
    values.chunks_exact(size.max(1)).map(mean).collect()
}

/// When a level has run long enough: it is looked at with 20 batches, then with half as many more
/// each time, and ends at the first look at which the interval is within ±2 % of the mean. Batches
/// count before pairs of them are merged; while fewer than 20 merged ones are left, the level goes
/// on.
///
/// The looks are far apart because every look is a chance to stop on an interval that is narrow by
/// luck. What is left of that chance, at a spread between batches of 5 %: the nominal 95 % interval
/// holds the mean in 94 % of simulated levels if batches are independent, and in 93 % or 89 % if
/// neighbours correlate by 0.1 or 0.3 before pairs are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopping {
    next_look: usize,
}

/// What a look at a level says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Too few batches to look.
    TooEarly,
    /// The interval is too wide.
    GoOn,
    /// The mean is known well enough.
    Stop,
}

impl Default for Stopping {
    fn default() -> Self {
        Self { next_look: FIRST_LOOK }
    }
}

impl Stopping {
    /// Looks at a level, if it has enough batches for the next look.
    pub fn look(&mut self, means: &BatchMeans) -> Look {
        if means.unmerged < self.next_look {
            return Look::TooEarly;
        }
        self.next_look = means.unmerged.saturating_mul(3).div_ceil(2);
        let narrow = means.relative_half_width().is_some_and(|share| share < HALF_WIDTH_MAX);
        if narrow && !means.is_provisional() { Look::Stop } else { Look::GoOn }
    }
}

#[cfg(test)]
mod tests;
