//! A few runs of the same thing: mean, spread, and a confidence interval of the mean.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::ratio;

/// Part of a value that sums of doubles may be off by.
pub(super) const ROUNDING: f64 = 1e-12;

/// The 97.5 % quantile of the standard normal law.
pub(super) const Z_975: f64 = 1.959_963_984_540_054;

/// The quantile of Student's t in `statrs` loses digits at a million degrees of freedom and does
/// not return at a thousand million.
const FREEDOM_LARGE: f64 = 1000.0;

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
    let mean = mean(values)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let sd = ratio(squares, n as f64 - 1.0).map(f64::sqrt);
    Some(Summary {
        n,
        mean,
        sd,
        ci95_half_width: sd
            .and_then(|sd| Some(student_t_975(n as f64 - 1.0)? * sd / (n as f64).sqrt())),
        cov: sd.and_then(|sd| ratio(sd, mean)),
        min: values.iter().copied().reduce(f64::min)?,
        max: values.iter().copied().reduce(f64::max)?,
    })
}

/// The mean; `None` if there is no value or one is not finite.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    ratio(values.iter().sum(), values.len() as f64)
}

/// The 97.5 % quantile of Student's t with that many degrees of freedom, whole or not; `None` below
/// one.
pub(super) fn student_t_975(freedom: f64) -> Option<f64> {
    if freedom > FREEDOM_LARGE {
        // Cornish and Fisher's expansion about the normal law; what follows is below 1e-8.
        let z = Z_975;
        let first = (z.powi(3) + z) / (4.0 * freedom);
        let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * freedom.powi(2));
        return Some(z + first + second);
    }
    let student =
        StudentsT::new(0.0, 1.0, Some(freedom).filter(|freedom| *freedom >= 1.0)?).ok()?;
    Some(student.inverse_cdf(0.975))
}

/// Whether values differ by no more than the rounding of their sums.
pub(super) fn is_constant(values: &[f64]) -> bool {
    let size = values.iter().fold(0.0, |size: f64, value| size.max(value.abs()));
    let min = values.iter().copied().fold(f64::INFINITY, f64::min);
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max - min <= ROUNDING * size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn student_t_falls_smoothly_to_the_normal_quantile() {
        let mut before = f64::INFINITY;
        for step in 0..200 {
            let freedom = 10f64.powf(f64::from(step) / 20.0);
            let t = student_t_975(freedom).unwrap();
            assert!(t <= before && t >= Z_975, "{freedom}: {t} after {before}");
            before = t;
        }
        let (below, above) = (student_t_975(1000.0).unwrap(), student_t_975(1000.01).unwrap());
        assert!((below - 1.962_339_08).abs() < 1e-7 && (below - above).abs() < 1e-7);
        assert_eq!(student_t_975(0.99), None);
        assert_eq!(student_t_975(f64::NAN), None);
    }
}
