//! The buckets of a histogram: those of an HdrHistogram of whole microseconds at three significant
//! digits, from 1 µs to an hour.
//!
//! Buckets are kept in blocks, made when the first value falls into them: what a histogram costs to
//! make, copy, merge and send depends on where its values lie, and not on where they might lie. A
//! tally has a dozen histograms, an agent sends one every second, and a coordinator hears a thousand
//! agents.

/// Buckets per doubling of the value: with 1,024, no bucket is wider than a thousandth of its values.
const HALF: u64 = 1 << HALF_BITS;
const HALF_BITS: u32 = 10;
/// All of them: up to 2^32 µs, the first power of two above an hour.
pub(super) const COUNT: usize = 23 << HALF_BITS;
/// Buckets of a block.
const BLOCK: usize = 64;

type Block = [u64; BLOCK];

/// How many values are in each bucket.
#[derive(Clone, Default)]
pub(super) struct Buckets {
    /// Up to the last one that holds a value.
    blocks: Vec<Option<Box<Block>>>,
    total: u64,
}

/// By how many bits values lose their lowest ones in the bucket of this one.
fn shift(value: u64) -> u32 {
    (u64::BITS - 1 - HALF_BITS).saturating_sub((value | HALF).leading_zeros())
}

/// The place of a value's bucket; rises with the value.
fn place(value: u64) -> usize {
    let shift = shift(value);
    ((u64::from(shift) << HALF_BITS) + (value >> shift)) as usize
}

/// The lowest value of the bucket at a place.
fn value_at(place: usize) -> u64 {
    let place = place as u64;
    let shift = (place >> HALF_BITS).saturating_sub(1);
    (place - (shift << HALF_BITS)) << shift
}

/// The lowest value that shares a value's bucket.
pub(super) fn lowest(value: u64) -> u64 {
    let shift = shift(value);
    value >> shift << shift
}

/// The highest value that shares a value's bucket.
pub(super) fn highest(value: u64) -> u64 {
    let shift = shift(value);
    value | ((1 << shift) - 1)
}

impl Buckets {
    /// Adds `count` times a value; one above the last bucket is counted in the last one.
    pub(super) fn add(&mut self, value: u64, count: u64) {
        let place = place(value).min(COUNT - 1);
        let at = place / BLOCK;
        if self.blocks.len() <= at {
            self.blocks.resize(at + 1, None);
        }
        if let Some(block) = self.blocks.get_mut(at)
            && let Some(bucket) =
                block.get_or_insert_with(|| Box::new([0; BLOCK])).get_mut(place % BLOCK)
        {
            *bucket = bucket.saturating_add(count);
            self.total = self.total.saturating_add(count);
        }
    }

    /// Adds everything that `other` holds.
    pub(super) fn merge(&mut self, other: &Self) {
        if self.blocks.len() < other.blocks.len() {
            self.blocks.resize(other.blocks.len(), None);
        }
        for (mine, theirs) in self.blocks.iter_mut().zip(&other.blocks) {
            match (mine, theirs) {
                (Some(mine), Some(theirs)) => {
                    for (mine, theirs) in mine.iter_mut().zip(theirs.iter()) {
                        *mine = mine.saturating_add(*theirs);
                    }
                }
                (mine @ None, Some(_)) => mine.clone_from(theirs),
                (Some(_) | None, None) => {}
            }
        }
        self.total = self.total.saturating_add(other.total);
    }

    /// Values in all of them.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Those that hold values: the lowest value, which rises, and how many.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let blocks = self.blocks.iter().enumerate();
        let held = blocks.filter_map(|(at, block)| Some((at, block.as_deref()?)));
        held.flat_map(|(at, block)| (at * BLOCK..).zip(block))
            .filter(|(_, count)| **count > 0)
            .map(|(place, count)| (value_at(place), *count))
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;
    use proptest::prelude::*;

    use super::super::{VALUE_MAX_US, VALUE_MIN_US};
    use super::*;

    fn reference() -> Histogram<u64> {
        Histogram::new_with_bounds(VALUE_MIN_US, VALUE_MAX_US, 3).unwrap()
    }

    fn any_value() -> impl Strategy<Value = u64> {
        (0u32..32, any::<u64>())
            .prop_map(|(bits, value)| (value >> (63 - bits)).clamp(VALUE_MIN_US, VALUE_MAX_US))
    }

    #[test]
    fn every_bucket_is_that_of_an_hdr_histogram() {
        let reference = reference();
        assert_eq!(reference.distinct_values(), COUNT);
        let mut value = VALUE_MIN_US;
        for place in place(value).. {
            assert_eq!(super::place(value), place);
            assert_eq!(value_at(place), value);
            assert_eq!(lowest(value), reference.lowest_equivalent(value));
            assert_eq!(highest(value), reference.highest_equivalent(value));
            value = highest(value) + 1;
            if value > VALUE_MAX_US {
                break;
            }
        }
        assert!(place(VALUE_MAX_US) < COUNT);
    }

    proptest! {
        #[test]
        fn counts_are_those_of_an_hdr_histogram(
            values in prop::collection::vec((any_value(), 1u64..1000), 0..300), split in 0usize..300
        ) {
            let mut reference = reference();
            let mut parts = [Buckets::default(), Buckets::default()];
            for (number, &(value, count)) in values.iter().enumerate() {
                reference.record_n(value, count).unwrap();
                parts[usize::from(number < split)].add(value, count);
                prop_assert_eq!(lowest(value), reference.lowest_equivalent(value));
                prop_assert_eq!(highest(value), reference.highest_equivalent(value));
            }
            let [mut merged, other] = parts;
            merged.merge(&other);
            let theirs: Vec<_> = reference
                .iter_recorded()
                .map(|step| {
                    let lowest = reference.lowest_equivalent(step.value_iterated_to());
                    (lowest, step.count_at_value())
                })
                .collect();
            prop_assert_eq!(merged.iter().collect::<Vec<_>>(), theirs);
            prop_assert_eq!(merged.total(), reference.len());
        }
    }
}
