//! How long a text is, in tokens: one number, or one drawn for each request.
//!
//! A draw depends on the generator alone, so one agent or twenty ask for the same lengths.

use std::fmt;

use crate::digest::DigestWriter;
use crate::mix::{self, Weighted};
use crate::seed::Generator;

/// Values of [`Length::Values`], at most.
pub const VALUES_MAX: usize = 10_000;

/// Draws behind a mean that has no formula.
const MEAN_DRAWS: u32 = 1 << 14;

/// How long a text is, in tokens; at least 1, but for [`Length::NONE`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Length {
    /// So many.
    Fixed(u32),
    /// Every number from `least` to `most` is as likely.
    Uniform {
        /// The smallest.
        least: u32,
        /// The largest.
        most: u32,
    },
    /// Normal, rounded, and cut to the bounds: what lies beyond one becomes it.
    Normal {
        /// The mean, before it is cut.
        mean: u32,
        /// The standard deviation, before it is cut.
        sd: u32,
        /// The bounds.
        bounds: Bounds,
    },
    /// Lognormal, rounded, and cut to the bounds.
    Lognormal {
        /// The median.
        median: u32,
        /// The standard deviation of the natural logarithm, in thousandths.
        sigma_milli: u32,
        /// The bounds.
        bounds: Bounds,
    },
    /// Each of these is as likely, as often as it is listed; never empty.
    Values(Vec<u32>),
    /// By one of several laws, as often as its weight says: the length of a mix of workloads. Never
    /// empty, and none of them is a mix itself.
    Mixed(Vec<Weighted<Length>>),
}

/// The smallest and the largest length that may be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// The smallest; at least 1.
    pub least: u32,
    /// The largest; at least `least`.
    pub most: u32,
}

impl Length {
    /// No text at all, where an endpoint generates none.
    pub const NONE: Self = Self::Fixed(0);

    /// By one of several laws; one number where all of them are that number.
    pub fn mixed(parts: Vec<Weighted<Self>>) -> Self {
        let fixed = parts.first().and_then(|part| part.item.fixed());
        match fixed.filter(|_| parts.iter().all(|part| part.item.fixed() == fixed)) {
            Some(tokens) => Self::Fixed(tokens),
            None => Self::Mixed(parts),
        }
    }

    /// The length of one text.
    pub fn draw(&self, generator: &mut Generator) -> u32 {
        match self {
            Self::Fixed(tokens) => *tokens,
            Self::Uniform { least, most } => {
                let width = f64::from(most - least) + 1.0;
                least + ((generator.unit() * width) as u32).min(most - least)
            }
            Self::Normal { mean, sd, bounds } => {
                bounds.cut(f64::from(*mean) + generator.normal() * f64::from(*sd))
            }
            Self::Lognormal { median, sigma_milli, bounds } => {
                let sigma = f64::from(*sigma_milli) / 1e3;
                bounds.cut(f64::from(*median) * (generator.normal() * sigma).exp())
            }
            Self::Values(values) => {
                let place = (generator.unit() * values.len() as f64) as usize;
                values.get(place).or(values.last()).copied().unwrap_or(1)
            }
            Self::Mixed(parts) => {
                let part = parts.get(mix::draw(parts, generator));
                part.map_or(1, |part| part.item.draw(generator))
            }
        }
    }

    /// The length, where it is one.
    pub fn fixed(&self) -> Option<u32> {
        match self {
            Self::Fixed(tokens) => Some(*tokens),
            Self::Uniform { .. }
            | Self::Normal { .. }
            | Self::Lognormal { .. }
            | Self::Values(_)
            | Self::Mixed(_) => None,
        }
    }

    /// What is drawn on average; of a law that is cut it is found by drawing, to about 1 % of its
    /// standard deviation.
    pub fn mean(&self) -> f64 {
        match self {
            Self::Fixed(tokens) => f64::from(*tokens),
            Self::Uniform { least, most } => f64::from(*least).midpoint(f64::from(*most)),
            Self::Normal { .. } | Self::Lognormal { .. } => {
                let mut generator = Generator::new(0);
                let all = (0..MEAN_DRAWS).map(|_| f64::from(self.draw(&mut generator)));
                all.sum::<f64>() / f64::from(MEAN_DRAWS)
            }
            Self::Values(values) => {
                let all: f64 = values.iter().map(|value| f64::from(*value)).sum();
                all / values.len().max(1) as f64
            }
            Self::Mixed(parts) => {
                mix::shares(parts).map(|(length, share)| share * length.mean()).sum()
            }
        }
    }

    /// The standard deviation of what is drawn; found as [`Length::mean`] is.
    pub fn sd(&self) -> f64 {
        let of = |values: &[f64]| {
            let n = values.len().max(1) as f64;
            let mean = values.iter().sum::<f64>() / n;
            (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt()
        };
        match self {
            Self::Fixed(_) => 0.0,
            Self::Uniform { least, most } => {
                let width = f64::from(most - least) + 1.0;
                ((width * width - 1.0) / 12.0).sqrt()
            }
            Self::Normal { .. } | Self::Lognormal { .. } => {
                let mut generator = Generator::new(0);
                let draw = |_| f64::from(self.draw(&mut generator));
                of(&(0..MEAN_DRAWS).map(draw).collect::<Vec<_>>())
            }
            Self::Values(values) => of(&values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>()),
            Self::Mixed(parts) => {
                let mean = self.mean();
                let variances = mix::shares(parts).map(|(length, share)| {
                    share * (length.sd().powi(2) + (length.mean() - mean).powi(2))
                });
                variances.sum::<f64>().sqrt()
            }
        }
    }

    /// The smallest length that is drawn.
    pub fn least(&self) -> u32 {
        match self {
            Self::Fixed(tokens) => *tokens,
            Self::Uniform { least, .. } => *least,
            Self::Normal { bounds, .. } | Self::Lognormal { bounds, .. } => bounds.least,
            Self::Values(values) => values.iter().copied().min().unwrap_or(1),
            Self::Mixed(parts) => parts.iter().map(|part| part.item.least()).min().unwrap_or(1),
        }
    }

    /// The largest.
    pub fn most(&self) -> u32 {
        match self {
            Self::Fixed(tokens) => *tokens,
            Self::Uniform { most, .. } => *most,
            Self::Normal { bounds, .. } | Self::Lognormal { bounds, .. } => bounds.most,
            Self::Values(values) => values.iter().copied().max().unwrap_or(1),
            Self::Mixed(parts) => parts.iter().map(|part| part.item.most()).max().unwrap_or(1),
        }
    }

    /// Whether every length that is drawn is from 1 to `max`, and the law has a meaning.
    pub fn is_within(&self, max: u32) -> bool {
        let spans = match self {
            Self::Fixed(_) => true,
            Self::Uniform { least, most } => least <= most,
            Self::Normal { bounds, .. } => bounds.least <= bounds.most,
            Self::Lognormal { median, bounds, .. } => *median > 0 && bounds.least <= bounds.most,
            Self::Values(values) => !values.is_empty() && values.len() <= VALUES_MAX,
            Self::Mixed(parts) => {
                !parts.is_empty() && parts.iter().all(|part| part.item.is_within(max))
            }
        };
        spans && self.least() >= 1 && self.most() <= max
    }

    pub(crate) fn feed(&self, digest: &mut DigestWriter) {
        match self {
            Self::Fixed(tokens) => {
                digest.text("fixed").number((*tokens).into());
            }
            Self::Uniform { least, most } => {
                digest.text("uniform").number((*least).into()).number((*most).into());
            }
            Self::Normal { mean, sd, bounds } => {
                digest.text("normal").number((*mean).into()).number((*sd).into());
                bounds.feed(digest);
            }
            Self::Lognormal { median, sigma_milli, bounds } => {
                digest.text("lognormal").number((*median).into()).number((*sigma_milli).into());
                bounds.feed(digest);
            }
            Self::Values(values) => {
                digest.text("values").number(values.len() as u64);
                values.iter().for_each(|value| {
                    digest.number((*value).into());
                });
            }
            Self::Mixed(parts) => {
                digest.text("mixed").number(parts.len() as u64);
                parts.iter().for_each(|part| {
                    digest.number(part.weight.into());
                    part.item.feed(digest);
                });
            }
        }
    }
}

impl From<u32> for Length {
    fn from(tokens: u32) -> Self {
        Self::Fixed(tokens)
    }
}

impl Bounds {
    fn cut(self, value: f64) -> u32 {
        // A cast of a float saturates.
        (value.round() as u32).clamp(self.least, self.most)
    }

    fn feed(self, digest: &mut DigestWriter) {
        digest.number(self.least.into()).number(self.most.into());
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(tokens) => write!(f, "{tokens}"),
            Self::Uniform { least, most } => write!(f, "{least} to {most}, each as likely"),
            Self::Normal { mean, sd, bounds: Bounds { least, most } } => {
                write!(f, "{least} to {most}, normal around {mean} with deviation {sd}")
            }
            Self::Lognormal { median, sigma_milli, bounds: Bounds { least, most } } => {
                let sigma = f64::from(*sigma_milli) / 1e3;
                write!(f, "{least} to {most}, lognormal around {median} with sigma {sigma}")
            }
            Self::Values(values) => {
                let (least, most) = (self.least(), self.most());
                write!(f, "{least} to {most}, drawn of {} values", values.len())
            }
            Self::Mixed(parts) => {
                for (place, (length, share)) in mix::shares(parts).enumerate() {
                    let between = if place > 0 { "; " } else { "" };
                    write!(f, "{between}{:.1} %: {length}", share * 100.0)?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn arb_length() -> impl Strategy<Value = Length> {
        let bounds = || (1u32..5_000, 0u32..5_000).prop_map(|(least, more)| (least, least + more));
        prop_oneof![
            (1u32..100_000).prop_map(Length::Fixed),
            bounds().prop_map(|(least, most)| Length::Uniform { least, most }),
            (bounds(), 0u32..10_000, 0u32..10_000).prop_map(|((least, most), mean, sd)| {
                Length::Normal { mean, sd, bounds: Bounds { least, most } }
            }),
            (bounds(), 1u32..10_000, 0u32..5_000).prop_map(
                |((least, most), median, sigma_milli)| {
                    Length::Lognormal { median, sigma_milli, bounds: Bounds { least, most } }
                }
            ),
            prop::collection::vec(1u32..9_000, 1..50).prop_map(Length::Values),
        ]
    }

    proptest! {
        #[test]
        fn what_is_drawn_lies_within_and_averages_to_the_mean(length in arb_length(), seed: u64) {
            prop_assert!(length.is_within(u32::MAX));
            let mut generator = Generator::new(seed);
            let drawn: Vec<f64> =
                (0..2_000).map(|_| f64::from(length.draw(&mut generator))).collect();
            let (least, most) = (f64::from(length.least()), f64::from(length.most()));
            prop_assert!(drawn.iter().all(|value| (least..=most).contains(value)));
            let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
            let var = drawn.iter().map(|value| (value - mean).powi(2)).sum::<f64>()
                / drawn.len() as f64;
            // Six standard errors of both means, and half of what rounding may add.
            let error = 6.0 * (var / 2_000.0).sqrt() * 1.1 + 0.5;
            prop_assert!((mean - length.mean()).abs() <= error, "{mean} {}", length.mean());
        }
    }

    #[test]
    fn laws_have_the_moments_they_are_named_after() {
        let wide = Bounds { least: 1, most: 1_000_000 };
        let drawn = |length: &Length| -> Vec<f64> {
            let mut generator = Generator::new(5);
            (0..40_000).map(|_| f64::from(length.draw(&mut generator))).collect()
        };
        let normal = drawn(&Length::Normal { mean: 1_000, sd: 100, bounds: wide });
        let mean = normal.iter().sum::<f64>() / 4e4;
        let sd = (normal.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 4e4).sqrt();
        assert!((mean - 1_000.0).abs() < 3.0 && (sd - 100.0).abs() < 2.0, "{mean} {sd}");
        let lognormal = drawn(&Length::Lognormal { median: 400, sigma_milli: 600, bounds: wide });
        let below = lognormal.iter().filter(|value| **value < 400.0).count() as f64 / 4e4;
        let e_above = 400.0 * 0.6f64.exp();
        let below_sigma = lognormal.iter().filter(|value| **value < e_above).count() as f64 / 4e4;
        assert!((below - 0.5).abs() < 0.01 && (below_sigma - 0.8413).abs() < 0.01, "{below}");
        let uniform = drawn(&Length::Uniform { least: 1, most: 4 });
        for value in 1..=4 {
            let share = uniform.iter().filter(|v| **v == f64::from(value)).count() as f64 / 4e4;
            assert!((share - 0.25).abs() < 0.01, "{value}: {share}");
        }
    }

    #[test]
    fn deviations_are_those_of_the_laws() {
        let wide = Bounds { least: 1, most: 1_000_000 };
        let normal = Length::Normal { mean: 1_000, sd: 100, bounds: wide };
        assert!((normal.sd() - 100.0).abs() < 3.0, "{}", normal.sd());
        // Of a die.
        let uniform = Length::Uniform { least: 1, most: 6 };
        assert!((uniform.sd() - (35.0f64 / 12.0).sqrt()).abs() < 1e-12);
        assert_eq!(Length::Values(vec![2, 4, 4, 4, 5, 5, 7, 9]).sd(), 2.0);
        assert_eq!(Length::Fixed(9).sd(), 0.0);
        let cut = Length::Normal { mean: 1_000, sd: 100, bounds: Bounds { least: 7, most: 7 } };
        assert_eq!((cut.mean(), cut.sd()), (7.0, 0.0));
    }

    #[test]
    fn nonsense_is_not_within() {
        let bounds = Bounds { least: 5, most: 4 };
        for nonsense in [
            Length::Fixed(0),
            Length::Fixed(11),
            Length::Uniform { least: 0, most: 5 },
            Length::Uniform { least: 6, most: 5 },
            Length::Normal { mean: 5, sd: 1, bounds },
            Length::Lognormal { median: 0, sigma_milli: 1, bounds: Bounds { least: 1, most: 2 } },
            Length::Values(Vec::new()),
            Length::Values(vec![1, 11]),
        ] {
            assert!(!nonsense.is_within(10), "{nonsense:?}");
        }
    }
}
