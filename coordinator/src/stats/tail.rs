//! Quantiles of latencies and how sure they are (the method, section 3.8): tails that a sample is
//! large enough to certify, intervals, and quantiles in which a failed request took for ever.

use common::hist::LatencyHist;

use super::binomial::Binomial;

/// The chance, at most, that a certified value is below the true quantile (MLPerf's early stopping
/// with confidence 99 % and tolerance 0).
const DOUBT_MAX: f64 = 0.01;

/// The chance left outside an interval on each side, for 95 % inside.
const OUTSIDE: f64 = 0.025;

/// More samples than this are never asked for.
const SAMPLES_MAX: u64 = 1_000_000_000;

/// A value that lies above the true p99 with 99 % confidence, in microseconds: [`certified_us`]
/// of 0.99, from 662 samples on.
pub fn certified_p99_us(hist: &LatencyHist) -> Option<f64> {
    certified_us(hist, 0.99)
}

/// A value that lies above the true quantile `q` (between 0 and 1) with 99 % confidence, in
/// microseconds: the `t`-th largest sample. `None` below [`samples_min`] samples, which are too few
/// to say, or if it is above one hour.
///
/// The samples count as independent. Where they are not, compare their [effective
/// number](super::n_eff) with [`samples_min`] before this value is shown.
pub fn certified_us(hist: &LatencyHist, q: f64) -> Option<f64> {
    let count = hist.count();
    let place = certified_place(count, q)?;
    hist.value_at_rank(count - place + 1)
}

/// The fewest independent samples that certify the quantile `q`: 64 for p90, 130 for p95, 662 for
/// p99, 6,636 for p99.9. `None` for a `q` that is not strictly between 0 and 1, or so near to 1
/// that a thousand million samples do not.
pub fn samples_min(q: f64) -> Option<u64> {
    let certifies = |count: u64| certified_place(count, q).is_some();
    let (mut too_few, mut enough) = (0, SAMPLES_MAX);
    if !certifies(enough) {
        return None;
    }
    while enough - too_few > 1 {
        let middle = too_few + (enough - too_few) / 2;
        if certifies(middle) {
            enough = middle;
        } else {
            too_few = middle;
        }
    }
    Some(enough)
}

/// Which of the largest samples certifies the quantile `q`, from 1: the largest `t` for which at
/// most `t` of `count` samples lie above that quantile with a chance of at most 1 %. The chance is
/// `I_q(count - t, t + 1)`, the regularised incomplete beta function, which is a binomial law.
fn certified_place(count: u64, q: f64) -> Option<u64> {
    let above = Binomial::new(count, 1.0 - q)?;
    above.quantile(DOUBT_MAX).checked_sub(1).filter(|place| *place > 0)
}

/// Ranks of the samples, from 1 for the smallest, that enclose a quantile with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranks {
    /// The sample below.
    pub lower: u64,
    /// The sample above; `None` if there are too few to hold it, which is below 368 for p99 and
    /// below 3,688 for p99.9.
    pub upper: Option<u64>,
}

/// The ranks around the quantile `q` of `n` independent samples, by the binomial law of the number
/// of samples below it: with `B` its 2.5 % and 97.5 % quantiles, `B(0.025)` and `B(0.975) + 1`
/// (for instance Hahn and Meeker, Statistical Intervals, section 5.2).
///
/// `None` without samples, for a `q` that is not strictly between 0 and 1, or where the lower end
/// would be below the smallest sample.
pub fn quantile_ci_ranks(n: u64, q: f64) -> Option<Ranks> {
    let below = Binomial::new(n, q)?;
    let lower = Some(below.quantile(OUTSIDE)).filter(|rank| *rank > 0)?;
    let upper = Some(below.quantile(1.0 - OUTSIDE) + 1).filter(|rank| *rank <= n);
    Some(Ranks { lower, upper })
}

/// The ranks around the quantile `q` of `n` samples that are worth `n_eff` independent ones.
///
/// Ranks `l` and `u` are those of `m = ⌊n_eff⌋` independent samples; the rank `r` of `m` stands at
/// the quantile `r / (m + 1)`, so it becomes `r (n + 1) / (m + 1)` of `n`, rounded outwards. For
/// `m = n` nothing changes. `None` as in [`quantile_ci_ranks`], or if `n_eff` is below 1.
pub fn quantile_ci_ranks_eff(n: u64, n_eff: f64, q: f64) -> Option<Ranks> {
    // A conversion from a float saturates: not a number is 0.
    let worth = (n_eff as u64).min(n);
    let ranks = quantile_ci_ranks(worth, q)?;
    let (from, to) = (u128::from(worth) + 1, u128::from(n) + 1);
    let lower = u64::try_from(u128::from(ranks.lower) * to / from).ok()?;
    let upper = ranks.upper.and_then(|upper| {
        let upper = (u128::from(upper) * to).div_ceil(from);
        u64::try_from(upper).ok().filter(|rank| *rank <= n)
    });
    Some(Ranks { lower, upper })
}

/// A quantile of latencies in which failed requests count as infinitely slow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum QuantileUs {
    /// In microseconds.
    Value(f64),
    /// So many requests failed that the quantile is one of them.
    Infinite,
    /// There was no request, or the value is above one hour, where it is not kept.
    Unknown,
}

/// The quantile `q` (0 to 1) by nearest rank over successes and failures together, every failure
/// slower than every success (the method, section 3.5): with more than 1 % failures the p99 is
/// infinite.
pub fn quantile_with_failures_us(successes: &LatencyHist, failures: u64, q: f64) -> QuantileUs {
    let count = successes.count().saturating_add(failures);
    let rank = (q * count as f64).ceil().clamp(1.0, (count as f64).max(1.0)) as u64;
    if count == 0 {
        QuantileUs::Unknown
    } else if rank > successes.count() {
        QuantileUs::Infinite
    } else {
        successes.value_at_rank(rank).map_or(QuantileUs::Unknown, QuantileUs::Value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::paper_cases;

    fn hist(values: impl IntoIterator<Item = u64>) -> LatencyHist {
        let mut hist = LatencyHist::new();
        values.into_iter().for_each(|us| hist.record_us(us));
        hist
    }

    fn number(value: &Value) -> u64 {
        value.as_u64().unwrap()
    }

    proptest! {
        #[test]
        fn without_failures_a_quantile_is_that_of_the_successes(
            values in prop::collection::vec(1u64..10_000_000, 1..200),
            q in 0.0..=1.0,
        ) {
            let hist = hist(values);
            let plain = QuantileUs::Value(hist.quantile_us(q).unwrap());
            prop_assert_eq!(quantile_with_failures_us(&hist, 0, q), plain);
        }

        #[test]
        fn more_failures_never_make_a_quantile_smaller(
            values in prop::collection::vec(1u64..10_000_000, 0..100),
            failures in 0u64..100,
            q in 0.0..=1.0,
        ) {
            let hist = hist(values);
            let size = |failures| match quantile_with_failures_us(&hist, failures, q) {
                QuantileUs::Value(us) => us,
                QuantileUs::Infinite => f64::INFINITY,
                QuantileUs::Unknown => -1.0,
            };
            prop_assert!(size(failures) <= size(failures + 1));
        }

        #[test]
        fn ranks_enclose_the_nearest_rank_and_mirror(n in 6u64..1_000_000, q in 0.01..0.99) {
            let Some(ranks) = quantile_ci_ranks(n, q) else { return Ok(()) };
            let nearest = (q * n as f64).ceil() as u64;
            prop_assert!(ranks.lower <= nearest);
            prop_assert!(ranks.upper.is_none_or(|upper| (nearest..=n).contains(&upper)));
            let mirrored = quantile_ci_ranks(n, 1.0 - q);
            if let (Some(upper), Some(mirrored)) = (ranks.upper, mirrored) {
                prop_assert!(mirrored.lower.abs_diff(n + 1 - upper) <= 1);
            }
        }

        #[test]
        fn fewer_effective_samples_never_narrow_the_ranks(
            n in 1000u64..100_000,
            worth in 0.05f64..1.0,
            q in 0.1..0.9,
        ) {
            let plain = quantile_ci_ranks(n, q).unwrap();
            prop_assert_eq!(quantile_ci_ranks_eff(n, n as f64, q), Some(plain));
            let fewer = quantile_ci_ranks_eff(n, n as f64 * worth, q).unwrap();
            // The binomial steps of a smaller sample are coarser than one rank.
            let step = (1.0 / worth).ceil() as u64 + 1;
            prop_assert!(fewer.lower <= plain.lower + step);
            prop_assert!(fewer.upper.is_none_or(|upper| upper + step >= plain.upper.unwrap()));
            prop_assert!(fewer.lower >= 1 && fewer.upper.is_none_or(|upper| upper <= n));
        }
    }

    #[test]
    fn early_stopping_agrees_with_the_published_floors_and_budgets() {
        let vectors = &paper_cases()["method_vectors"]["early_stopping"];
        for budget in vectors["budget_t_p99"].as_array().unwrap() {
            let place = certified_place(number(&budget["n"]), 0.99);
            assert_eq!(place, Some(number(&budget["t"])), "{budget}");
        }
        let floors = vectors["floors"].as_array().unwrap();
        assert_eq!(floors.len(), 6);
        for floor in floors {
            let q = floor["percentile"].as_f64().unwrap() / 100.0;
            let samples = number(&floor["min_n"]);
            assert_eq!(samples_min(q), Some(samples), "{floor}");
            assert_eq!(certified_place(samples - 1, q), None, "{floor}");
            assert_eq!(certified_place(samples, q), Some(1), "{floor}");
        }
        for q in [0.0, 1.0, -1.0, f64::NAN, 1.0 - 1e-12] {
            assert_eq!(samples_min(q), None, "{q}");
        }
    }

    #[test]
    fn the_certified_value_is_a_sample_from_the_top() {
        let hist = hist(1..=1000);
        assert_eq!(certified_p99_us(&hist), Some(999.0));
        assert_eq!(certified_us(&hist, 0.999), None);
        assert_eq!(certified_p99_us(&LatencyHist::new()), None);
        let large = certified_place(50_000_000, 0.99).unwrap();
        assert!((498_300..498_400).contains(&large), "{large}");
    }

    #[test]
    fn ranks_are_those_of_the_vectors() {
        let vectors = paper_cases()["method_vectors"]["quantile_ci_ranks_95"].clone();
        assert_eq!(vectors.as_array().unwrap().len(), 7);
        for row in vectors.as_array().unwrap() {
            let ranks = quantile_ci_ranks(number(&row["n"]), row["q"].as_f64().unwrap()).unwrap();
            assert_eq!(ranks.lower, number(&row["lower"]), "{row}");
            assert_eq!(ranks.upper, Some(number(&row["upper"])), "{row}");
        }
    }

    #[test]
    fn a_short_sample_leaves_an_end_open() {
        for (n, q) in [(368, 0.99), (3688, 0.999)] {
            assert_eq!(quantile_ci_ranks(n, q).unwrap().upper, Some(n));
            assert_eq!(quantile_ci_ranks(n - 1, q).unwrap().upper, None);
        }
        assert_eq!(quantile_ci_ranks(5, 0.5), None);
        assert_eq!(quantile_ci_ranks(0, 0.5), None);
        assert_eq!(quantile_ci_ranks(10, 1.0), None);
        assert_eq!(quantile_ci_ranks_eff(10, f64::NAN, 0.5), None);
        assert_eq!(quantile_ci_ranks_eff(1000, 367.9, 0.99).unwrap().upper, None);
        assert_eq!(
            quantile_ci_ranks_eff(10_000, 1000.0, 0.99),
            Some(Ranks { lower: 9821, upper: Some(9962) })
        );
    }

    #[test]
    fn one_failure_too_many_makes_the_tail_infinite() {
        let hist = hist(std::iter::repeat_n(500, 99));
        assert_eq!(quantile_with_failures_us(&hist, 1, 0.99), QuantileUs::Value(500.0));
        assert_eq!(quantile_with_failures_us(&hist, 2, 0.99), QuantileUs::Infinite);
        let nothing = LatencyHist::new();
        assert_eq!(quantile_with_failures_us(&nothing, 0, 0.99), QuantileUs::Unknown);
        assert_eq!(quantile_with_failures_us(&nothing, 1, 0.5), QuantileUs::Infinite);
    }
}
