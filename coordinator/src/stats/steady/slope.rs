//! Whether something piles up: the slope of a straight line through a series, and its interval.

use crate::stats::batch::{lag1, n_eff};
use crate::stats::describe::{is_constant, mean, student_t_975};
use crate::stats::ratio;

/// Fewer values carry no slope worth a decision.
const VALUES_MIN: usize = 10;

/// The slope of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    /// In the unit of the series per slot, by least squares.
    pub per_slot: f64,
    /// Half the width of its 95 % confidence interval, by Student's t.
    pub half_width: f64,
}

impl Slope {
    /// Whether the whole interval is above 0: requests in flight, or times to the first token,
    /// that grow like this come faster than the target serves them (the over-saturation test of
    /// GuideLLM, which looks from 30 s on).
    pub fn is_significantly_positive(&self) -> bool {
        self.per_slot - self.half_width > 0.0
    }
}

/// The slope of a series of equally long slots. Its standard error and degrees of freedom,
/// `n_eff - 2`, allow for the correlation of neighbours about the line, all of it: requests in flight
/// wander in steady load, too, and must not be taken for a backlog.
///
/// `None` below 10 values, if they are worth less than three independent ones, or if one is not
/// finite.
pub fn slope(series: &[f64]) -> Option<Slope> {
    let count = series.len();
    if count < VALUES_MIN {
        return None;
    }
    let mean_of_all = mean(series)?;
    if is_constant(series) {
        return Some(Slope { per_slot: 0.0, half_width: 0.0 });
    }
    let n = count as f64;
    let middle = (n - 1.0) / 2.0;
    let placed = || series.iter().enumerate().map(|(at, value)| (at as f64 - middle, value));
    let spread = n * (n * n - 1.0) / 12.0;
    let products = placed().map(|(at, value)| at * (value - mean_of_all)).sum();
    let per_slot = ratio(products, spread)?;
    let without_slope: Vec<f64> = placed().map(|(at, value)| value - per_slot * at).collect();
    let squares: f64 = without_slope.iter().map(|value| (value - mean_of_all).powi(2)).sum();
    let worth = n_eff(count, lag1(&without_slope));
    let error = ratio(squares, (n - 2.0) * spread)?.sqrt() * (n / worth).sqrt();
    let half_width = student_t_975(worth - 2.0)? * error;
    Some(Slope { per_slot, half_width }).filter(|slope| slope.half_width.is_finite())
}
