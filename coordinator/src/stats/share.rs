//! Shares of requests: how sure one is, and whether an objective is met (the method, section
//! 3.11).

use super::binomial::Binomial;
use super::describe::Z_975;

/// The chance, at most, of a wrong answer about an objective.
const ERROR_MAX: f64 = 0.05;

/// A share with its 95 % confidence interval; all three between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// As observed.
    pub share: f64,
    /// Lower end of the interval.
    pub lower: f64,
    /// Upper end of the interval.
    pub upper: f64,
}

/// The share of `part` in `whole` with its score interval (Wilson 1927). `None` if `whole` is 0 or
/// smaller than its part.
pub fn wilson(part: u64, whole: u64) -> Option<Share> {
    if whole == 0 || part > whole {
        return None;
    }
    let (n, z_squared) = (whole as f64, Z_975 * Z_975);
    let share = part as f64 / n;
    let weight = 1.0 + z_squared / n;
    let middle = (share + z_squared / (2.0 * n)) / weight;
    let half = Z_975 / weight * (share * (1.0 - share) / n + z_squared / (4.0 * n * n)).sqrt();
    // At the ends the formula is exact and its rounding is not.
    let lower = if part == 0 { 0.0 } else { (middle - half).max(0.0) };
    let upper = if part == whole { 1.0 } else { (middle + half).min(1.0) };
    Some(Share { share, lower, upper })
}

/// What a sample says about an objective such as "99 % of requests within 2 s".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objective {
    /// It is met: so many requests within the limit have a chance of at most 5 % otherwise.
    Met,
    /// It is missed: so few requests within the limit have a chance of at most 5 % otherwise.
    Missed,
    /// The sample is too small, or the share too near to the objective, to say.
    Undecided,
}

/// Tests the objective that a share `quantile` (between 0 and 1) of all requests stays within a
/// limit, of which `within` of `whole` did, by the exact binomial law, one-sided at 95 %. With
/// every request within its limit a p99 objective needs 299 of them.
///
/// A failed request is not within any limit: it counts in `whole` only. `None` without requests,
/// if `within` exceeds `whole`, or for a `quantile` that is not strictly between 0 and 1.
pub fn objective(within: u64, whole: u64, quantile: f64) -> Option<Objective> {
    if within > whole {
        return None;
    }
    let at_the_limit = Binomial::new(whole, quantile)?;
    Some(if at_the_limit.at_least(within) <= ERROR_MAX {
        Objective::Met
    } else if at_the_limit.at_most(within) <= ERROR_MAX {
        Objective::Missed
    } else {
        Objective::Undecided
    })
}

#[cfg(test)]
mod tests {
    use common::seed::Generator;
    use proptest::prelude::*;

    use super::*;

    fn part_of_whole() -> impl Strategy<Value = (u64, u64)> {
        (1u64..100_000).prop_flat_map(|whole| (0..=whole, Just(whole)))
    }

    fn rank(answer: Objective) -> u8 {
        match answer {
            Objective::Missed => 0,
            Objective::Undecided => 1,
            Objective::Met => 2,
        }
    }

    proptest! {
        #[test]
        fn the_interval_holds_the_share_and_mirrors((part, whole) in part_of_whole()) {
            let share = wilson(part, whole).unwrap();
            prop_assert!(0.0 <= share.lower && share.lower <= share.share);
            prop_assert!(share.share <= share.upper && share.upper <= 1.0);
            let rest = wilson(whole - part, whole).unwrap();
            prop_assert!((share.lower - (1.0 - rest.upper)).abs() < 1e-12);
        }

        #[test]
        fn a_larger_sample_of_the_same_share_narrows_the_interval(
            (part, whole) in part_of_whole(),
            times in 2u64..10,
        ) {
            let small = wilson(part, whole).unwrap();
            let large = wilson(part * times, whole * times).unwrap();
            prop_assert!(large.upper - large.lower < small.upper - small.lower);
        }

        #[test]
        fn more_requests_within_the_limit_never_speak_against_it(
            (part, whole) in part_of_whole(),
            quantile in 0.5..0.999,
        ) {
            let answer = rank(objective(part, whole, quantile).unwrap());
            if part < whole {
                prop_assert!(answer <= rank(objective(part + 1, whole, quantile).unwrap()));
            }
            let stricter = objective(part, whole, quantile + (1.0 - quantile) / 2.0).unwrap();
            prop_assert!(rank(stricter) <= answer);
        }
    }

    #[test]
    fn known_intervals() {
        // Newcombe 1998, table I, method 3.
        for (part, whole, lower, upper) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let share = wilson(part, whole).unwrap();
            assert!((share.lower - lower).abs() < 5e-5, "{share:?}");
            assert!((share.upper - upper).abs() < 5e-5, "{share:?}");
        }
        assert_eq!(wilson(0, 0), None);
        assert_eq!(wilson(2, 1), None);
    }

    #[test]
    fn an_objective_needs_enough_requests() {
        assert_eq!(objective(298, 298, 0.99), Some(Objective::Undecided));
        assert_eq!(objective(299, 299, 0.99), Some(Objective::Met));
        assert_eq!(objective(0, 1, 0.99), Some(Objective::Missed));
        assert_eq!(objective(990, 1000, 0.99), Some(Objective::Undecided));
        assert_eq!(objective(980, 1000, 0.99), Some(Objective::Missed));
        assert_eq!(objective(997_000_000, 1_000_000_000, 0.99), Some(Objective::Met));
        assert_eq!(objective(0, 0, 0.99), None);
        assert_eq!(objective(2, 1, 0.99), None);
        assert_eq!(objective(1, 1, 1.0), None);
    }

    #[test]
    fn an_objective_exactly_at_its_limit_is_rarely_decided() {
        let mut random = Generator::new(11);
        let (mut met, mut missed) = (0, 0);
        for _ in 0..2000 {
            let within = (0..1000).filter(|_| random.unit() < 0.99).count() as u64;
            match objective(within, 1000, 0.99).unwrap() {
                Objective::Met => met += 1,
                Objective::Missed => missed += 1,
                Objective::Undecided => {}
            }
        }
        // 5 % of 2,000 each, at most, with three standard deviations on top.
        assert!(met <= 130 && missed <= 130, "{met} {missed}");
    }
}
