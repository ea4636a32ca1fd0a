//! Whether a user's successive latencies depend on each other: the sums behind their lag-1
//! correlation, as integers, so that any split over agents gives the same.

/// Sums over pairs of successive values of the same user, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Serial {
    /// Pairs.
    pub pairs: u64,
    /// Sum of the earlier values.
    pub sum_first: u128,
    /// Sum of the later values.
    pub sum_second: u128,
    /// Sum of the squares of the earlier values.
    pub sum_first_2: u128,
    /// Sum of the squares of the later values.
    pub sum_second_2: u128,
    /// Sum of the products.
    pub sum_product: u128,
}

impl Serial {
    /// Adds a pair.
    pub fn add(&mut self, first_us: u64, second_us: u64) {
        // An hour in microseconds is below 2^32: a longer value counts as that.
        let (first, second) =
            (u128::from(first_us.min(u32::MAX.into())), u128::from(second_us.min(u32::MAX.into())));
        self.pairs += 1;
        self.sum_first += first;
        self.sum_second += second;
        self.sum_first_2 += first * first;
        self.sum_second_2 += second * second;
        self.sum_product += first * second;
    }

    /// Adds everything that `other` holds.
    pub fn merge(&mut self, other: &Self) {
        self.pairs = self.pairs.saturating_add(other.pairs);
        self.sum_first = self.sum_first.saturating_add(other.sum_first);
        self.sum_second = self.sum_second.saturating_add(other.sum_second);
        self.sum_first_2 = self.sum_first_2.saturating_add(other.sum_first_2);
        self.sum_second_2 = self.sum_second_2.saturating_add(other.sum_second_2);
        self.sum_product = self.sum_product.saturating_add(other.sum_product);
    }

    /// The correlation of the earlier with the later values, -1 to 1; `None` below 3 pairs, or
    /// where either does not vary.
    pub fn correlation(&self) -> Option<f64> {
        if self.pairs < 3 {
            return None;
        }
        let n = self.pairs as f64;
        let (first, second) = (self.sum_first as f64 / n, self.sum_second as f64 / n);
        let var = |sum_2: u128, mean: f64| sum_2 as f64 / n - mean * mean;
        let (var_first, var_second) =
            (var(self.sum_first_2, first), var(self.sum_second_2, second));
        let product = self.sum_product as f64 / n - first * second;
        // What rounding leaves of a variance of nothing is not one.
        let least = 1e-9 * (first * second).max(1.0);
        (var_first > least && var_second > least)
            .then(|| (product / (var_first * var_second).sqrt()).clamp(-1.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(pairs: &[(u64, u64)]) -> Serial {
        let mut serial = Serial::default();
        pairs.iter().for_each(|&(first, second)| serial.add(first, second));
        serial
    }

    proptest! {
        #[test]
        fn it_is_pearsons_whatever_the_split(
            pairs in prop::collection::vec((1u64..100_000_000, 1u64..100_000_000), 3..80),
            at: prop::sample::Index,
        ) {
            let whole = of(&pairs);
            let (left, right) = pairs.split_at(at.index(pairs.len()));
            let mut merged = of(right);
            merged.merge(&of(left));
            prop_assert_eq!(merged, whole);
            let n = pairs.len() as f64;
            let mean = |f: fn(&(u64, u64)) -> u64| pairs.iter().map(|p| f(p) as f64).sum::<f64>() / n;
            let (a, b) = (mean(|p| p.0), mean(|p| p.1));
            let sum = |f: &dyn Fn(f64, f64) -> f64| {
                pairs.iter().map(|p| f(p.0 as f64 - a, p.1 as f64 - b)).sum::<f64>()
            };
            let expected = sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt();
            if let Some(got) = whole.correlation() {
                prop_assert!((got - expected).abs() < 1e-4, "{got} {expected}");
            }
        }
    }

    #[test]
    fn what_does_not_vary_has_no_correlation() {
        assert_eq!(of(&[(5, 9); 10]).correlation(), None);
        assert_eq!(of(&[(1, 2), (2, 3)]).correlation(), None);
        assert_eq!(of(&[(1, 2), (2, 4), (3, 6)]).correlation(), Some(1.0));
    }
}
