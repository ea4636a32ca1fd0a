//! What lengths that are drawn differ by, by chance.

use common::length::Length;

/// How far two means, of so many drawn lengths each, lie apart by chance: three standard errors of
/// their difference; 0 for a length that is one number.
pub fn by_chance(length: &Length, first: f64, second: f64) -> f64 {
    if first <= 0.0 || second <= 0.0 {
        return 0.0;
    }
    3.0 * length.sd() * (1.0 / first + 1.0 / second).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_length_leaves_nothing_to_chance_and_more_values_leave_less() {
        assert_eq!(by_chance(&Length::Fixed(500), 10.0, 10.0), 0.0);
        let wide = Length::Uniform { least: 1, most: 1201 };
        let sd = (1201.0f64.powi(2) - 1.0).sqrt() / 12f64.sqrt();
        assert!((by_chance(&wide, 100.0, 100.0) - 3.0 * sd * 0.02f64.sqrt()).abs() < 1e-9);
        assert!(by_chance(&wide, 400.0, 400.0) < by_chance(&wide, 100.0, 100.0));
        assert_eq!(by_chance(&wide, 0.0, 5.0), 0.0);
    }
}
