//! Whether two small samples differ (the method, section 3.14): Welch's test with its interval, the
//! test that they do not differ by more than a margin, the smallest difference that such samples
//! would show, ranks as a second opinion, the ratio of spreads, and the correction for many tests.
//!
//! Samples come in on the scale on which they are compared: logarithms for what is compared by
//! its ratio.
//!
//! | Module | What it does |
//! |---|---|
//! | `power` | the smallest difference that would be found |
//! | `ranks` | Mann-Whitney |
//! | `spread` | Brown-Forsythe |

mod power;
mod ranks;
mod spread;

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{describe, ratio};

pub use power::{detectable, repeats_for};
pub use ranks::{mann_whitney, mann_whitney_least};
pub use spread::brown_forsythe;

/// What Welch's test needs of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Values; at least 2.
    n: f64,
    mean: f64,
    variance: f64,
}

/// The difference of two means and how well it is known, by Welch's t with Satterthwaite's degrees
/// of freedom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Welch {
    /// The mean of the new sample minus that of the base.
    pub difference: f64,
    /// Its standard error.
    pub error: f64,
    /// Degrees of freedom.
    pub freedom: f64,
}

impl Sample {
    /// Describes a sample; `None` below two values, which have no spread.
    pub fn of(values: &[f64]) -> Option<Self> {
        let summary = describe(values)?;
        let variance = summary.sd?.powi(2);
        Some(Self { n: summary.n as f64, mean: summary.mean, variance })
    }

    /// The same with at least this variance, where less of it would be chance.
    pub fn with_variance_at_least(self, least: f64) -> Self {
        Self { variance: self.variance.max(least), ..self }
    }
}

impl Welch {
    /// The difference from `base` to `new`.
    pub fn of(base: Sample, new: Sample) -> Self {
        let (a, b) = (base.variance / base.n, new.variance / new.n);
        let freedom =
            ratio((a + b).powi(2), a.powi(2) / (base.n - 1.0) + b.powi(2) / (new.n - 1.0))
                .unwrap_or(base.n + new.n - 2.0);
        Self { difference: new.mean - base.mean, error: (a + b).sqrt(), freedom }
    }

    /// The test statistic; `None` for two samples without any spread.
    pub fn t(self) -> Option<f64> {
        ratio(self.difference, self.error)
    }

    /// The chance of a difference at least this large between samples of the same mean, two-sided.
    /// Samples without any spread are the same (1) or cannot be tested (`None`).
    pub fn p(self) -> Option<f64> {
        if self.difference == 0.0 {
            return Some(1.0);
        }
        Some((2.0 * self.above(self.t()?.abs())?).min(1.0))
    }

    /// The interval that holds the true difference with 95 % confidence.
    pub fn ci95(self) -> Option<[f64; 2]> {
        let half = self.student()?.inverse_cdf(0.975) * self.error;
        Some([self.difference - half, self.difference + half])
    }

    /// The chance of samples as close as these if the true difference is `margin` or more, in either
    /// direction (two one-sided tests). Small values show that it is less.
    pub fn equivalence_p(self, margin: f64) -> Option<f64> {
        let room = margin - self.difference.abs();
        match ratio(room, self.error) {
            Some(t) => self.above(t),
            None => Some(if room > 0.0 { 0.0 } else { 1.0 }),
        }
    }

    /// The smallest true difference that such samples would show: found in 80 % of repetitions at a
    /// level of 5 %.
    pub fn detectable(self) -> Option<f64> {
        Some(power::noncentrality(self.freedom)? * self.error)
    }

    fn above(self, t: f64) -> Option<f64> {
        Some(self.student()?.sf(t))
    }

    fn student(self) -> Option<StudentsT> {
        StudentsT::new(0.0, 1.0, self.freedom).ok()
    }
}

/// The p values of a family of tests, each raised so that all of them together are wrong with the
/// chance that one would be (Holm's step-down method). The order is kept.
pub fn holm(chances: &[f64]) -> Vec<f64> {
    let mut order: Vec<(f64, usize)> = chances.iter().copied().zip(0..).collect();
    order.sort_unstable_by(|(a, _), (b, _)| a.total_cmp(b));
    let mut raised = vec![0.0; chances.len()];
    let mut most: f64 = 0.0;
    for (rank, (chance, place)) in order.into_iter().enumerate() {
        most = most.max(chance * (chances.len() - rank) as f64).min(1.0);
        if let Some(slot) = raised.get_mut(place) {
            *slot = most;
        }
    }
    raised
}

#[cfg(test)]
pub(crate) mod tests;
