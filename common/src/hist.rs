//! Latency histograms with one fixed range and precision, so that merging cannot fail and cannot
//! lose: it is an addition of integers.

mod buckets;

use std::fmt;

use self::buckets::Buckets;

/// Smallest value a [`LatencyHist`] holds in a bucket, in microseconds.
pub const VALUE_MIN_US: u64 = 1;
/// Largest value a [`LatencyHist`] holds in a bucket, in microseconds: one hour.
pub const VALUE_MAX_US: u64 = 3_600_000_000;
/// The most buckets that a histogram of this range and precision can have.
pub const BUCKETS_MAX: usize = buckets::COUNT;

/// A histogram of durations, 1 µs to 1 h at three significant digits (HdrHistogram).
///
/// Values are whole microseconds. A value of 0 or above one hour goes to a counter of its own and
/// is never clamped into a bucket. The sum, the smallest and the largest value are kept exactly.
#[derive(Clone)]
pub struct LatencyHist {
    buckets: Buckets,
    below: u64,
    above: u64,
    sum_us: u128,
    min_us: u64,
    max_us: u64,
}

/// A histogram as a list of its non-empty buckets: the form that is stored and sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SparseHist {
    /// Lowest value of a bucket in µs, and its count; strictly rising, no count is 0.
    pub buckets: Vec<(u64, u64)>,
    /// Values of 0.
    pub below: u64,
    /// Values above one hour.
    pub above: u64,
    /// Sum of all values in µs.
    pub sum_us: u128,
    /// Smallest value in µs; 0 if there is none.
    pub min_us: u64,
    /// Largest value in µs; 0 if there is none.
    pub max_us: u64,
}

/// What is wrong with a [`SparseHist`] that came from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SparseError {
    /// More buckets than the range has.
    #[error("more than {BUCKETS_MAX} buckets")]
    TooMany,
    /// A bucket's value is outside the range or not the lowest of its bucket.
    #[error("{0} µs is not the lowest value of a bucket")]
    Value(u64),
    /// Values do not rise.
    #[error("bucket values do not rise at {0} µs")]
    Order(u64),
    /// A bucket with a count of 0.
    #[error("an empty bucket at {0} µs")]
    Empty(u64),
    /// The counts do not fit 64 bits.
    #[error("the counts overflow")]
    Overflow,
    /// Sum, smallest or largest value cannot belong to these buckets.
    #[error("sum, smallest or largest value contradict the buckets")]
    Summary,
}

impl Default for LatencyHist {
    fn default() -> Self {
        Self::new()
    }
}

impl LatencyHist {
    /// An empty histogram.
    pub fn new() -> Self {
        let buckets = Buckets::default();
        Self { buckets, below: 0, above: 0, sum_us: 0, min_us: u64::MAX, max_us: 0 }
    }

    /// Adds one value in nanoseconds, rounded to the nearest microsecond.
    pub fn record_ns(&mut self, ns: u64) {
        self.record_us(ns.saturating_add(500) / 1000);
    }

    /// Adds one value in microseconds.
    pub fn record_us(&mut self, us: u64) {
        self.sum_us += u128::from(us);
        self.min_us = self.min_us.min(us);
        self.max_us = self.max_us.max(us);
        if us < VALUE_MIN_US {
            self.below += 1;
        } else if us > VALUE_MAX_US {
            self.above += 1;
        } else {
            self.buckets.add(us, 1);
        }
    }

    /// Adds everything that `other` holds.
    pub fn merge(&mut self, other: &Self) {
        self.buckets.merge(&other.buckets);
        self.below += other.below;
        self.above += other.above;
        self.sum_us += other.sum_us;
        self.min_us = self.min_us.min(other.min_us);
        self.max_us = self.max_us.max(other.max_us);
    }

    /// Values recorded, those outside the buckets included.
    pub fn count(&self) -> u64 {
        self.buckets.total().saturating_add(self.below).saturating_add(self.above)
    }

    /// No value recorded.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Exact mean in microseconds; `None` if empty.
    pub fn mean_us(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.sum_us as f64 / count as f64)
    }

    /// Exact smallest value in microseconds; `None` if empty.
    pub fn min_us(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.min_us)
    }

    /// Exact largest value in microseconds; `None` if empty.
    pub fn max_us(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.max_us)
    }

    /// The value of the `rank`-th smallest sample (from 1), in microseconds: the middle of its
    /// bucket, so at most 0.05 % off. `None` if there is no such sample or it is above one hour.
    pub fn value_at_rank(&self, rank: u64) -> Option<f64> {
        if rank == 0 || rank > self.count() {
            return None;
        }
        if rank <= self.below {
            return Some(0.0);
        }
        let mut seen = self.below;
        for (lowest, count) in self.buckets.iter() {
            seen = seen.saturating_add(count);
            if seen >= rank {
                return Some((lowest as f64 + buckets::highest(lowest) as f64) / 2.0);
            }
        }
        None
    }

    /// The quantile `q` (0 to 1) by nearest rank, in microseconds: the sample of rank
    /// ⌈q·n⌉, at least the first. `None` if empty or if that sample is above one hour.
    pub fn quantile_us(&self, q: f64) -> Option<f64> {
        let count = self.count();
        let rank = (q * count as f64).ceil().clamp(1.0, (count as f64).max(1.0)) as u64;
        self.value_at_rank(rank)
    }

    /// The non-empty buckets.
    pub fn to_sparse(&self) -> SparseHist {
        let buckets = self.buckets.iter().collect();
        let empty = self.is_empty();
        SparseHist {
            buckets,
            below: self.below,
            above: self.above,
            sum_us: self.sum_us,
            min_us: if empty { 0 } else { self.min_us },
            max_us: self.max_us,
        }
    }

    /// A histogram from its non-empty buckets, every claim checked: the list may come from anyone.
    pub fn from_sparse(sparse: &SparseHist) -> Result<Self, SparseError> {
        if sparse.buckets.len() > BUCKETS_MAX {
            return Err(SparseError::TooMany);
        }
        let mut hist = Self::new();
        let mut total = sparse.below.checked_add(sparse.above).ok_or(SparseError::Overflow)?;
        let (mut sum_min, mut sum_max) = (0u128, 0u128);
        let mut previous = 0;
        for &(value, count) in &sparse.buckets {
            if !(VALUE_MIN_US..=VALUE_MAX_US).contains(&value) || buckets::lowest(value) != value {
                return Err(SparseError::Value(value));
            }
            if value <= previous {
                return Err(SparseError::Order(value));
            }
            if count == 0 {
                return Err(SparseError::Empty(value));
            }
            total = total.checked_add(count).ok_or(SparseError::Overflow)?;
            sum_min += u128::from(value) * u128::from(count);
            sum_max += u128::from(buckets::highest(value)) * u128::from(count);
            hist.buckets.add(value, count);
            previous = value;
        }
        check_summary(sparse, total, (sum_min, sum_max))?;
        hist.below = sparse.below;
        hist.above = sparse.above;
        hist.sum_us = sparse.sum_us;
        hist.min_us = if total == 0 { u64::MAX } else { sparse.min_us };
        hist.max_us = sparse.max_us;
        Ok(hist)
    }
}

fn check_summary(
    sparse: &SparseHist,
    total: u64,
    (sum_min, sum_max): (u128, u128),
) -> Result<(), SparseError> {
    let same_bucket = |bucket: Option<&(u64, u64)>, value: u64| {
        bucket.is_some_and(|&(lowest, _)| buckets::lowest(value) == lowest)
    };
    let min_fits = if total == 0 || sparse.below > 0 {
        sparse.min_us == 0
    } else if sparse.buckets.is_empty() {
        sparse.min_us > VALUE_MAX_US
    } else {
        same_bucket(sparse.buckets.first(), sparse.min_us)
    };
    let max_fits = if sparse.above > 0 {
        sparse.max_us > VALUE_MAX_US
    } else if sparse.buckets.is_empty() {
        sparse.max_us == 0
    } else {
        same_bucket(sparse.buckets.last(), sparse.max_us)
    };
    let above_min = u128::from(sparse.above) * u128::from(VALUE_MAX_US);
    let above_max = u128::from(sparse.above) * u128::from(sparse.max_us);
    let sum_fits = (sum_min + above_min..=sum_max + above_max).contains(&sparse.sum_us);
    if min_fits && max_fits && sum_fits { Ok(()) } else { Err(SparseError::Summary) }
}

impl fmt::Debug for LatencyHist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_sparse().fmt(f)
    }
}

impl PartialEq for LatencyHist {
    fn eq(&self, other: &Self) -> bool {
        self.to_sparse() == other.to_sparse()
    }
}

impl Eq for LatencyHist {}

impl SparseHist {
    /// Appends the canonical bytes: equal histograms give equal bytes.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        for number in [self.below, self.above, self.min_us, self.max_us, self.buckets.len() as u64]
        {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.sum_us.to_le_bytes());
        for (value, count) in &self.buckets {
            out.extend_from_slice(&value.to_le_bytes());
            out.extend_from_slice(&count.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filled(values: &[u64]) -> LatencyHist {
        let mut hist = LatencyHist::new();
        values.iter().for_each(|&v| hist.record_us(v));
        hist
    }

    fn any_value() -> impl Strategy<Value = u64> {
        prop_oneof![
            0u64..5,
            1u64..10_000,
            1u64..VALUE_MAX_US,
            VALUE_MAX_US..u64::from(u32::MAX) * 2
        ]
    }

    proptest! {
        #[test]
        fn quantiles_are_within_half_a_per_mille_of_the_sample(
            mut values in prop::collection::vec(1u64..VALUE_MAX_US, 1..300), q in 0.0f64..=1.0
        ) {
            let hist = filled(&values);
            values.sort_unstable();
            let rank = ((q * values.len() as f64).ceil() as usize).clamp(1, values.len());
            let truth = values[rank - 1] as f64;
            let said = hist.quantile_us(q).unwrap();
            prop_assert!((said - truth).abs() <= truth * 0.0005 + 0.5, "{said} for {truth}");
        }

        #[test]
        fn sparse_form_is_lossless(values in prop::collection::vec(any_value(), 0..200)) {
            let hist = filled(&values);
            let back = LatencyHist::from_sparse(&hist.to_sparse()).unwrap();
            prop_assert_eq!(&back, &hist);
            prop_assert_eq!(back.count(), values.len() as u64);
            prop_assert_eq!(back.mean_us(), hist.mean_us());
        }

        #[test]
        fn hostile_sparse_forms_never_panic(
            buckets in prop::collection::vec((any::<u64>(), any::<u64>()), 0..20),
            below: u64, above: u64, sum_us: u128, min_us: u64, max_us: u64
        ) {
            let sparse = SparseHist { buckets, below, above, sum_us, min_us, max_us };
            if let Ok(hist) = LatencyHist::from_sparse(&sparse) {
                prop_assert_eq!(hist.to_sparse(), sparse);
            }
        }
    }

    #[test]
    fn out_of_range_is_counted_and_never_clamped() {
        let hist = filled(&[0, 0, 5, VALUE_MAX_US + 1]);
        let sparse = hist.to_sparse();
        assert_eq!((sparse.below, sparse.above, sparse.buckets.len()), (2, 1, 1));
        assert_eq!(hist.quantile_us(0.5), Some(0.0));
        assert_eq!(hist.quantile_us(0.75), Some(5.0));
        assert_eq!(hist.quantile_us(1.0), None);
        assert_eq!(LatencyHist::new().quantile_us(0.5), None);
    }

    #[test]
    fn contradicting_summaries_are_refused() {
        let good = filled(&[10, 2000, 70_000]).to_sparse();
        for (change, error) in [
            (SparseHist { min_us: 11, ..good.clone() }, SparseError::Summary),
            (SparseHist { max_us: 1, ..good.clone() }, SparseError::Summary),
            (SparseHist { sum_us: 1, ..good.clone() }, SparseError::Summary),
            (SparseHist { buckets: vec![(2049, 1)], ..good.clone() }, SparseError::Value(2049)),
            (SparseHist { buckets: vec![(10, 0)], ..good.clone() }, SparseError::Empty(10)),
            (
                SparseHist { buckets: vec![(10, 1), (10, 1)], ..good.clone() },
                SparseError::Order(10),
            ),
            (SparseHist { buckets: vec![(10, u64::MAX), (11, 1)], ..good }, SparseError::Overflow),
        ] {
            assert_eq!(LatencyHist::from_sparse(&change), Err(error));
        }
    }
}
