//! A few runs of the same thing: mean, spread, and a confidence interval of the mean.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::ratio;

/// A sample described.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Values.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Standard deviation of the sample (n − 1); `None` for one value.
    pub sd: Option<f64>,
    /// Half the width of the 95 % confidence interval of the mean, by Student's t; `None` for one
    /// value.
    pub ci95_half_width: Option<f64>,
    /// Coefficient of variation, `sd / mean`; `None` for one value or a mean of 0.
    pub cov: Option<f64>,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
}

/// Describes a sample; `None` if it is empty.
pub fn describe(values: &[f64]) -> Option<Summary> {
    let n = values.len();
    let mean = ratio(values.iter().sum(), n as f64)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let sd = ratio(squares, n as f64 - 1.0).map(f64::sqrt);
    Some(Summary {
        n,
        mean,
        sd,
        ci95_half_width: sd.and_then(|sd| Some(student_t_975(n)? * sd / (n as f64).sqrt())),
        cov: sd.and_then(|sd| ratio(sd, mean)),
        min: values.iter().copied().reduce(f64::min)?,
        max: values.iter().copied().reduce(f64::max)?,
    })
}

/// The 97.5 % quantile of Student's t with n − 1 degrees of freedom.
fn student_t_975(n: usize) -> Option<f64> {
    let freedom = n.checked_sub(1).filter(|freedom| *freedom > 0)?;
    let student = StudentsT::new(0.0, 1.0, freedom as f64).ok()?;
    Some(student.inverse_cdf(0.975))
}
