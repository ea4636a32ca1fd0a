//! The sign test: whether values lie above a point as often as below it.

use super::binomial::Binomial;

/// The two-sided chance of a split at least this uneven if a value lies above the point as often as
/// below it. Values on the point count in neither. `None` without values.
pub fn sign_test(above: u64, below: u64) -> Option<f64> {
    let law = Binomial::new(above.checked_add(below)?, 0.5)?;
    Some((2.0 * law.at_most(above.min(below))).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_split_is_chance_and_an_uneven_one_is_not() {
        assert_eq!(sign_test(0, 0), None);
        assert_eq!(sign_test(50, 50), Some(1.0));
        // 2 x 0.5^8, and 2 x (1 + 8) x 0.5^8.
        assert!((sign_test(8, 0).unwrap() - 0.007_812_5).abs() < 1e-12);
        assert!((sign_test(1, 7).unwrap() - 0.070_312_5).abs() < 1e-12);
        assert_eq!(sign_test(7, 1), sign_test(1, 7));
    }
}
