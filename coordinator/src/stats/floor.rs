//! How many samples certify a quantile (the method, section 3.8).

/// The chance, at most, that a certified value is below the true quantile.
const DOUBT_MAX: f64 = 0.01;

/// The fewest samples whose largest lies above the `quantile` of all values with 99 % confidence
/// and a sample to spare: 64 for the p90, 130 for the p95, 662 for the p99, 6,636 for the p99.9.
/// `quantile` is above 0 and below 1.
pub fn certified_floor(quantile: f64) -> u64 {
    // The chance that at most one of n samples lies above the quantile falls with n.
    let too_few = |n: f64| {
        let none = quantile.powf(n);
        none + n * (1.0 - quantile) * quantile.powf(n - 1.0) > DOUBT_MAX
    };
    let mut above = 2u64;
    while too_few(above as f64) {
        above = above.saturating_mul(2);
    }
    let mut below = above / 2;
    while below + 1 < above {
        let middle = below + (above - below) / 2;
        if too_few(middle as f64) { below = middle } else { above = middle }
    }
    above
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paper_cases;

    #[test]
    fn floors_are_the_published_ones() {
        let floors = &paper_cases()["method_vectors"]["early_stopping"]["floors"];
        let floors = floors.as_array().unwrap();
        assert!(floors.len() >= 4);
        for floor in floors {
            let quantile = floor["percentile"].as_f64().unwrap() / 100.0;
            assert_eq!(certified_floor(quantile), floor["min_n"].as_u64().unwrap(), "{floor}");
        }
        assert_eq!(certified_floor(0.5), 11);
    }
}
