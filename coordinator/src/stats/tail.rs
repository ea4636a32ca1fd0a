//! Tails that a sample is large enough to certify (the method, section 3.8; MLPerf's early
//! stopping with confidence 99 % and tolerance 0).

use common::hist::LatencyHist;
use statrs::distribution::{Binomial, Discrete};

/// The chance, at most, that a certified value is below the true quantile.
const DOUBT_MAX: f64 = 0.01;

/// A value that lies above the true p99 with 99 % confidence, in microseconds: the `t`-th largest
/// sample. `None` below 662 samples, which are too few to say, or if it is above one hour.
pub fn certified_p99_us(hist: &LatencyHist) -> Option<f64> {
    let count = hist.count();
    let place = certified_place(count, 0.01)?;
    hist.value_at_rank(count - place + 1)
}

/// Which of the largest samples certifies the quantile that a share `above` of all values exceeds,
/// from 1: the largest `t` for which at most `t` of `count` samples lie above that quantile with a
/// chance of at most 1 %. The chance is `I_p(count - t, t + 1)` with `p = 1 - above`, the
/// regularised incomplete beta function, and is summed here as the binomial law that it is.
fn certified_place(count: u64, above: f64) -> Option<u64> {
    let binomial = Binomial::new(above, count).ok()?;
    let mean = count as f64 * above;
    // Twelve deviations below the mean the distribution holds less than 1e-30.
    let first = (mean - 12.0 * (mean * (1.0 - above)).sqrt()).max(0.0) as u64;
    let mut chance = 0.0;
    for t in first..=count {
        chance += binomial.pmf(t);
        if chance > DOUBT_MAX {
            return t.checked_sub(1).filter(|place| *place > 0);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::paper_cases;

    #[test]
    fn early_stopping_agrees_with_the_published_floors_and_budgets() {
        let vectors = &paper_cases()["method_vectors"]["early_stopping"];
        let number = |value: &Value| value.as_u64().unwrap();
        for budget in vectors["budget_t_p99"].as_array().unwrap() {
            let place = certified_place(number(&budget["n"]), 0.01);
            assert_eq!(place, Some(number(&budget["t"])), "{budget}");
        }
        for (percentile, above) in [(90.0, 0.1), (95.0, 0.05), (99.0, 0.01), (99.9, 0.001)] {
            let floors = vectors["floors"].as_array().unwrap();
            let floor = floors.iter().find(|f| f["percentile"].as_f64() == Some(percentile));
            let floor = number(&floor.unwrap()["min_n"]);
            assert_eq!(certified_place(floor - 1, above), None, "{percentile}");
            assert_eq!(certified_place(floor, above), Some(1), "{percentile}");
        }
    }

    #[test]
    fn the_certified_value_is_a_sample_from_the_top() {
        let mut hist = LatencyHist::new();
        (1..=1000).for_each(|us| hist.record_us(us));
        assert_eq!(certified_p99_us(&hist), Some(999.0));
        assert_eq!(certified_p99_us(&LatencyHist::new()), None);
        let large = certified_place(50_000_000, 0.01).unwrap();
        assert!((498_300..498_400).contains(&large), "{large}");
    }
}
