//! Whether a level is steady (the method, section 3.9): where it has settled, and whether what is
//! left drifts or steps.

mod change;
mod mser;
mod slope;
mod trend;

use std::fmt;

use super::{lag1, n_eff};

pub use change::{Change, change_point};
pub use mser::{Mser, mser5};
pub use slope::{Slope, slope};
pub use trend::{Trend, trend};

/// A movement is one that chance makes in less than 1 % of steady series.
pub const STEADY_P_MAX: f64 = 0.01;

/// A movement by less than 5 % of the mean does not matter.
pub const STEADY_MOVE_MAX: f64 = 0.05;

/// A smaller chance is not shown in full.
const P_SHOWN_MIN: f64 = 0.0001;

/// Neighbours that correlate by more than this do so by a movement, not by noise.
const NOISE_LAG1_MAX: f64 = 2.0 / 3.0;

/// What is known of the steadiness of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Steadiness {
    /// Where the series has settled.
    pub mser: Mser,
    /// The trend of the whole series if it has not settled in its first half.
    pub settling: Option<Trend>,
    /// The trend after that point.
    pub trend: Trend,
    /// The likeliest step after that point; its place counts from there.
    pub change: Change,
}

/// Why a series is not steady.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unsteady {
    /// It was still settling after half of its length.
    Settling {
        /// From one end to the other, as a share of the mean.
        drift: f64,
        /// The chance of such a trend in a steady series.
        p: f64,
    },
    /// It drifts after it has settled.
    Drift {
        /// From one end to the other, as a share of the mean.
        drift: f64,
        /// The chance of such a trend in a steady series.
        p: f64,
    },
    /// It steps.
    Step {
        /// Values of the whole series before the step.
        at: usize,
        /// From before to after, as a share of the mean.
        size: f64,
        /// The chance of such a step in a steady series.
        p: f64,
    },
}

/// Looks for the point at which a series settles, and for a trend and a step after it. `None` if
/// the series is shorter than 50 values, or one is not finite: too little to say.
///
/// The series has one value per slot of equal length, such as the output rate of each second from
/// the instant at which the load is up.
///
/// In noise alone the best cut of [`mser5`] is the largest one in every eighth series of 50 values,
/// and in every fiftieth of 100. So a series that has not settled in its first half counts as
/// settling only if it has a trend, too.
pub fn steadiness(series: &[f64]) -> Option<Steadiness> {
    let mser = mser5(series)?;
    let settled = series.get(mser.observations_cut..)?;
    let settling = if mser.settled { None } else { Some(trend(series)?) };
    Some(Steadiness { mser, settling, trend: trend(settled)?, change: change_point(settled)? })
}

impl Steadiness {
    /// Whether nothing speaks against it.
    pub fn is_steady(&self) -> bool {
        self.faults().is_empty()
    }

    /// Everything that speaks against it.
    pub fn faults(&self) -> Vec<Unsteady> {
        [self.settling(), self.drift(), self.step()].into_iter().flatten().collect()
    }

    fn settling(&self) -> Option<Unsteady> {
        let (drift, p) = clear(&self.settling?)?;
        Some(Unsteady::Settling { drift, p })
    }

    fn drift(&self) -> Option<Unsteady> {
        let (drift, p) = clear(&self.trend)?;
        Some(Unsteady::Drift { drift, p })
    }

    fn step(&self) -> Option<Unsteady> {
        let (size, p) = (moves(self.change.size)?, self.change.p);
        let at = self.mser.observations_cut + self.change.at;
        (p < STEADY_P_MAX).then_some(Unsteady::Step { at, size, p })
    }
}

/// The drift of a trend that is neither chance nor too small to matter, with its chance.
fn clear(trend: &Trend) -> Option<(f64, f64)> {
    Some((moves(trend.drift)?, trend.p)).filter(|(_, p)| *p < STEADY_P_MAX)
}

fn moves(share: Option<f64>) -> Option<f64> {
    share.filter(|share| share.abs() > STEADY_MOVE_MAX)
}

/// How many independent values a series is worth in a test for a movement, by the correlation of
/// what is left of it `without` that movement.
///
/// The correlation counts up to 2/3 only, so a series is worth at least a fifth of its values: a
/// ramp that ends in a plateau is no straight line, what is left of it without one correlates by
/// nearly 1, and without that limit the clearer the ramp the less it would be worth.
fn worth(without: &[f64]) -> f64 {
    n_eff(without.len(), lag1(without).map(|r| r.min(NOISE_LAG1_MAX)))
}

impl fmt::Display for Unsteady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: &f64| share * 100.0;
        let p = match self {
            Self::Settling { drift, p } => {
                write!(f, "not settled in its first half, moves by {:+.1} % of", percent(drift))?;
                p
            }
            Self::Drift { drift, p } => {
                write!(f, "drifts by {:+.1} % of", percent(drift))?;
                p
            }
            Self::Step { at, size, p } => {
                write!(f, "steps after value {at} by {:+.1} % of", percent(size))?;
                p
            }
        };
        if *p < P_SHOWN_MIN {
            write!(f, " its mean (p < {P_SHOWN_MIN})")
        } else {
            write!(f, " its mean (p = {p:.4})")
        }
    }
}

#[cfg(test)]
mod tests;
