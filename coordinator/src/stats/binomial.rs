//! The binomial law, exact enough for a thousand million trials.
//!
//! The incomplete beta function of `statrs` stops its continued fraction after 140 terms, which is
//! too few from a million trials on. So chances are weighed against the likeliest count, each from
//! its neighbour, and divided by their sum: some twelve standard deviations of steps to each side,
//! and no special function.

use std::iter::successors;

/// A weight this small against that of the likeliest count adds nothing that a double can hold.
const NEGLIGIBLE: f64 = 1e-30;

/// The number of successes among `trials` that each succeed with the chance `chance`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binomial {
    trials: u64,
    chance: f64,
    likeliest: u64,
    /// Sum of the weights of the counts below the likeliest one, whose own weight is 1.
    below: f64,
    /// Sum of all weights.
    total: f64,
}

impl Binomial {
    /// The law; `None` without a trial or for a chance that is not strictly between 0 and 1.
    pub(super) fn new(trials: u64, chance: f64) -> Option<Self> {
        if trials == 0 || !(chance > 0.0 && chance < 1.0) {
            return None;
        }
        let likeliest = ((trials as f64 + 1.0) * chance).floor().min(trials as f64) as u64;
        let mut law = Self { trials, chance, likeliest, below: 0.0, total: 0.0 };
        law.below = law.downwards().map(|(_, weight)| weight).sum();
        law.total = law.below + 1.0 + law.upwards().map(|(_, weight)| weight).sum::<f64>();
        Some(law)
    }

    /// The chance of at most `count` successes; 0 where it is below 1e-25.
    pub(super) fn at_most(&self, count: u64) -> f64 {
        if count < self.likeliest {
            self.share(self.downwards().filter(|(at, _)| *at <= count))
        } else {
            1.0 - self.share(self.upwards().filter(|(at, _)| *at > count))
        }
    }

    /// The chance of at least `count` successes; 0 where it is below 1e-25.
    pub(super) fn at_least(&self, count: u64) -> f64 {
        if count > self.likeliest {
            self.share(self.upwards().filter(|(at, _)| *at >= count))
        } else {
            1.0 - self.share(self.downwards().filter(|(at, _)| *at < count))
        }
    }

    /// The smallest count that at most `level` (0 to 1) of all cases stay below: the smallest `k`
    /// with a chance of at least `level` for at most `k` successes.
    pub(super) fn quantile(&self, level: f64) -> u64 {
        let wanted = level * self.total;
        let mut reached = self.below;
        if wanted <= reached {
            let mut quantile = self.likeliest.saturating_sub(1);
            for (at, weight) in self.downwards() {
                if reached < wanted {
                    break;
                }
                quantile = at;
                reached -= weight;
            }
            return quantile;
        }
        reached += 1.0;
        if wanted <= reached {
            return self.likeliest;
        }
        let mut last = self.likeliest;
        for (at, weight) in self.upwards() {
            last = at;
            reached += weight;
            if wanted <= reached {
                break;
            }
        }
        last
    }

    fn share(&self, counts: impl Iterator<Item = (u64, f64)>) -> f64 {
        counts.map(|(_, weight)| weight).sum::<f64>() / self.total
    }

    /// Counts below the likeliest one with their weights, falling.
    fn downwards(&self) -> impl Iterator<Item = (u64, f64)> + use<> {
        let (trials, chance) = (self.trials, self.chance);
        let next = move |&(at, weight): &(u64, f64)| {
            let below = at.checked_sub(1).filter(|_| weight > NEGLIGIBLE)?;
            let ways = at as f64 / (trials - below) as f64;
            Some((below, weight * ways * ((1.0 - chance) / chance)))
        };
        successors(Some((self.likeliest, 1.0)), next).skip(1)
    }

    /// Counts above the likeliest one with their weights, rising.
    fn upwards(&self) -> impl Iterator<Item = (u64, f64)> + use<> {
        let (trials, chance) = (self.trials, self.chance);
        let next = move |&(at, weight): &(u64, f64)| {
            let left = trials.checked_sub(at).filter(|left| *left > 0 && weight > NEGLIGIBLE)?;
            let ways = left as f64 / (at + 1) as f64;
            Some((at + 1, weight * ways * (chance / (1.0 - chance))))
        };
        successors(Some((self.likeliest, 1.0)), next).skip(1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use statrs::distribution::{Binomial as Reference, DiscreteCDF};

    use super::*;

    proptest! {
        #[test]
        fn chances_are_those_of_the_incomplete_beta_function(
            trials in 1u64..3000,
            chance in 0.0005..0.9995,
            place in 0.0..=1.0,
        ) {
            let count = (place * trials as f64) as u64;
            let law = Binomial::new(trials, chance).unwrap();
            let reference = Reference::new(chance, trials).unwrap();
            prop_assert!((law.at_most(count) - reference.cdf(count)).abs() < 1e-9);
            let above = count.checked_sub(1).map_or(1.0, |below| reference.sf(below));
            prop_assert!((law.at_least(count) - above).abs() < 1e-9);
        }

        #[test]
        fn a_quantile_is_the_first_count_that_reaches_its_level(
            trials in 1u64..100_000,
            chance in 0.0001..0.9999,
            level in 0.001..0.999,
        ) {
            let law = Binomial::new(trials, chance).unwrap();
            let quantile = law.quantile(level);
            prop_assert!(law.at_most(quantile) >= level - 1e-12);
            if let Some(below) = quantile.checked_sub(1) {
                prop_assert!(law.at_most(below) < level + 1e-12);
            }
        }

        #[test]
        fn failures_mirror_successes(
            trials in 1u64..10_000,
            chance in 0.01..0.99,
            place in 0.0..=1.0,
        ) {
            let count = (place * trials as f64) as u64;
            let law = Binomial::new(trials, chance).unwrap();
            let mirrored = Binomial::new(trials, 1.0 - chance).unwrap();
            let difference = law.at_most(count) - mirrored.at_least(trials - count);
            prop_assert!(difference.abs() < 1e-9, "{difference}");
        }
    }

    #[test]
    fn a_thousand_million_trials_are_nearly_normal() {
        let trials = 1_000_000_000;
        for (chance, level, z) in [
            (0.5, 0.025, -1.959_963_985),
            (0.5, 0.975, 1.959_963_985),
            (0.99, 0.5, 0.0),
            (0.01, 0.01, -2.326_347_874),
        ] {
            let law = Binomial::new(trials, chance).unwrap();
            let mean = trials as f64 * chance;
            let sd = (mean * (1.0 - chance)).sqrt();
            // Cornish and Fisher's first term for the skewness.
            let expected = mean + sd * z + (z * z - 1.0) / 6.0 * (1.0 - 2.0 * chance);
            let quantile = law.quantile(level) as f64;
            assert!((quantile - expected).abs() < 1.5, "{chance} {level}: {quantile} {expected}");
        }
    }

    #[test]
    fn certainties_and_no_trials_are_no_law() {
        for (trials, chance) in [(0, 0.5), (10, 0.0), (10, 1.0), (10, f64::NAN), (10, -0.1)] {
            assert!(Binomial::new(trials, chance).is_none());
        }
        let law = Binomial::new(1, 0.25).unwrap();
        assert_eq!((law.at_most(0), law.at_most(1), law.at_least(0)), (0.75, 1.0, 1.0));
    }
}
