//! What happens over a level, in slots of time since it fired; every sum is exact.

use std::collections::VecDeque;

/// Width of a slot when a level begins, in nanoseconds.
pub const SLOT_NS: u64 = 100_000_000;
/// The most slots kept; a longer level makes its slots twice as wide, as often as needed.
pub const SLOTS_MAX: usize = 8192;

/// One slot of requests in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// Request-nanoseconds in flight within the slot.
    pub area_ns: u64,
    /// Most requests in flight at one instant within the slot.
    pub most: u32,
}

/// One slot of what came from the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowSlot {
    /// Token-bearing events, of any request, as they came.
    pub events: u64,
    /// Completion tokens of successful requests, spread evenly over the requests' events.
    pub output: u64,
    /// Prompt tokens of successful requests, at their first token.
    pub prompt: u64,
    /// Successful requests, at their ends.
    pub succeeded: u64,
    /// Successful requests that have a first token, at that token.
    pub first: u64,
    /// The sum of their times from send to first token, in microseconds.
    pub ttft_us: u64,
}

/// What a slot of a series can do.
trait Cell: Copy + Default {
    /// The slot that this one and the next in time make.
    fn join(self, next: Self) -> Self;
    /// The slot with what another worker or agent did in the same time.
    fn add(self, other: Self) -> Self;
}

impl Cell for Slot {
    // Sums of what was measured fit; sums of what strangers claim need not.
    fn join(self, next: Self) -> Self {
        let area_ns = self.area_ns.saturating_add(next.area_ns);
        Self { area_ns, most: self.most.max(next.most) }
    }

    fn add(self, other: Self) -> Self {
        let area_ns = self.area_ns.saturating_add(other.area_ns);
        Self { area_ns, most: self.most.saturating_add(other.most) }
    }
}

impl Cell for FlowSlot {
    fn join(self, next: Self) -> Self {
        self.add(next)
    }

    fn add(self, other: Self) -> Self {
        Self {
            events: self.events.saturating_add(other.events),
            output: self.output.saturating_add(other.output),
            prompt: self.prompt.saturating_add(other.prompt),
            succeeded: self.succeeded.saturating_add(other.succeeded),
            first: self.first.saturating_add(other.first),
            ttft_us: self.ttft_us.saturating_add(other.ttft_us),
        }
    }
}

/// Slots of equal width from the instant at which a level fired.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Slots<C> {
    slot_ns: u64,
    cells: VecDeque<C>,
}

impl<C: Cell> Slots<C> {
    const fn new() -> Self {
        Self { slot_ns: SLOT_NS, cells: VecDeque::new() }
    }

    fn from_parts(slot_ns: u64, cells: Vec<C>) -> Result<Self, SeriesError> {
        if !slot_ns.is_multiple_of(SLOT_NS) || !(slot_ns / SLOT_NS).is_power_of_two() {
            return Err(SeriesError::Width(slot_ns));
        }
        if cells.len() > SLOTS_MAX {
            return Err(SeriesError::TooMany);
        }
        Ok(Self { slot_ns, cells: cells.into() })
    }

    /// The slot that holds an instant, and that slot's end; made if it is not there.
    fn at(&mut self, ns: u64) -> (Option<&mut C>, u64) {
        while ns / self.slot_ns >= SLOTS_MAX as u64 {
            self.widen();
        }
        let place = (ns / self.slot_ns) as usize;
        if self.cells.len() <= place {
            self.cells.resize(place + 1, C::default());
        }
        let end = (place as u64 + 1).saturating_mul(self.slot_ns);
        (self.cells.get_mut(place), end)
    }

    fn widen(&mut self) {
        let pairs = self.cells.len().div_ceil(2);
        for place in 0..pairs {
            let first = self.cells.get(2 * place).copied().unwrap_or_default();
            let second = self.cells.get(2 * place + 1).copied().unwrap_or_default();
            if let Some(cell) = self.cells.get_mut(place) {
                *cell = first.join(second);
            }
        }
        self.cells.truncate(pairs);
        self.slot_ns = self.slot_ns.saturating_mul(2);
    }

    fn merge(&mut self, other: &Self) {
        while self.slot_ns < other.slot_ns {
            self.widen();
        }
        if other.slot_ns < self.slot_ns {
            let mut other = other.clone();
            while other.slot_ns < self.slot_ns {
                other.widen();
            }
            return self.merge(&other);
        }
        if self.cells.len() < other.cells.len() {
            self.cells.resize(other.cells.len(), C::default());
        }
        for (mine, theirs) in self.cells.iter_mut().zip(&other.cells) {
            *mine = mine.add(*theirs);
        }
    }
}

/// Requests in flight over time since the level fired.
///
/// The sum of the areas is the exact time integral. Merging adds areas, and adds the maxima, so a
/// merged maximum is an upper bound of what was in flight at one instant over the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight(Slots<Slot>);

/// What came from the target over time since the level fired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow(Slots<FlowSlot>);

/// What is wrong with a series that came from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeriesError {
    /// Slot width is not `SLOT_NS` times a power of two.
    #[error("a slot of {0} ns")]
    Width(u64),
    /// More than `SLOTS_MAX` slots.
    #[error("more than {SLOTS_MAX} slots")]
    TooMany,
    /// A slot holds more than its maximum allows.
    #[error("slot {0} holds more than its maximum in flight allows")]
    Area(usize),
}

impl Default for Flow {
    fn default() -> Self {
        Self(Slots::new())
    }
}

impl Flow {
    /// A series from its parts, checked.
    ///
    /// # Errors
    /// If the width is none that a series can have, or the slots are too many.
    pub fn from_parts(slot_ns: u64, slots: Vec<FlowSlot>) -> Result<Self, SeriesError> {
        Slots::from_parts(slot_ns, slots).map(Self)
    }

    /// Width of a slot in nanoseconds.
    pub fn slot_ns(&self) -> u64 {
        self.0.slot_ns
    }

    /// The slots, the first beginning when the level fired.
    pub fn slots(&self) -> impl ExactSizeIterator<Item = FlowSlot> + '_ {
        self.0.cells.iter().copied()
    }

    /// Adds to the slot of an instant, in nanoseconds since the level fired.
    pub fn add(&mut self, at_ns: u64, change: impl FnOnce(&mut FlowSlot)) {
        if let (Some(slot), _) = self.0.at(at_ns) {
            change(slot);
        }
    }

    /// Adds everything that `other` holds.
    pub fn merge(&mut self, other: &Self) {
        self.0.merge(&other.0);
    }
}

impl Default for InFlight {
    fn default() -> Self {
        Self(Slots::new())
    }
}

impl InFlight {
    /// A series from its parts, checked.
    ///
    /// # Errors
    /// If the width is none that a series can have, the slots are too many, or one is too full.
    pub fn from_parts(slot_ns: u64, slots: Vec<Slot>) -> Result<Self, SeriesError> {
        let slots = Slots::from_parts(slot_ns, slots)?;
        let too_full =
            |slot: &Slot| u128::from(slot.area_ns) > u128::from(slot.most) * u128::from(slot_ns);
        match slots.cells.iter().position(too_full) {
            Some(place) => Err(SeriesError::Area(place)),
            None => Ok(Self(slots)),
        }
    }

    /// Width of a slot in nanoseconds.
    pub fn slot_ns(&self) -> u64 {
        self.0.slot_ns
    }

    /// The slots, the first beginning when the level fired.
    pub fn slots(&self) -> impl ExactSizeIterator<Item = Slot> + '_ {
        self.0.cells.iter().copied()
    }

    /// Adds `level` requests in flight from `from_ns` to `to_ns`, both since the level fired.
    /// Intervals come in order and do not overlap.
    pub fn add(&mut self, from_ns: u64, to_ns: u64, level: u32) {
        let mut at = from_ns;
        while at < to_ns {
            let (slot, end) = self.0.at(at);
            let end = end.min(to_ns);
            if let Some(slot) = slot {
                slot.area_ns += (end - at) * u64::from(level);
                slot.most = slot.most.max(level);
            }
            at = end;
        }
    }

    /// Takes one request away that was counted from `from_ns` to `to_ns`; the maxima stay, as upper
    /// bounds.
    pub fn take(&mut self, from_ns: u64, to_ns: u64) {
        let mut at = from_ns;
        while at < to_ns {
            let (slot, end) = self.0.at(at);
            let end = end.min(to_ns);
            if let Some(slot) = slot {
                slot.area_ns = slot.area_ns.saturating_sub(end - at);
            }
            at = end;
        }
    }

    /// Adds everything that `other` holds.
    pub fn merge(&mut self, other: &Self) {
        self.0.merge(&other.0);
    }

    /// The exact time integral, in request-nanoseconds.
    pub fn area_ns(&self) -> u128 {
        self.slots().map(|slot| u128::from(slot.area_ns)).sum()
    }

    /// Upper bound of the requests in flight at one instant.
    pub fn most(&self) -> u32 {
        self.slots().map(|slot| slot.most).max().unwrap_or(0)
    }

    /// Mean in flight between two instants since the level fired, `None` if they are one.
    /// Slots cut by an end count by the part that lies inside.
    pub fn mean(&self, from_ns: u64, to_ns: u64) -> Option<f64> {
        let (area, time) = self
            .parts(from_ns, to_ns)
            .fold((0.0, 0.0), |(a, t), (mean, ns)| (a + mean * ns, t + ns));
        (time > 0.0).then(|| area / time)
    }

    /// Share of the time between two instants in which the mean of a slot lies below `floor`.
    pub fn share_below(&self, floor: f64, from_ns: u64, to_ns: u64) -> Option<f64> {
        let (below, time) = self.parts(from_ns, to_ns).fold((0.0, 0.0), |(b, t), (mean, ns)| {
            (b + if mean < floor { ns } else { 0.0 }, t + ns)
        });
        (time > 0.0).then(|| below / time)
    }

    /// Per slot: mean in flight over the part of the slot inside the interval, and that part.
    /// The interval's ends are taken as the ends of load: a cut slot's area lies inside it.
    fn parts(&self, from_ns: u64, to_ns: u64) -> impl Iterator<Item = (f64, f64)> + '_ {
        let slots = (0u64..).zip(&self.0.cells).map(|(place, slot)| {
            let start = place.saturating_mul(self.slot_ns());
            (start, start.saturating_add(self.slot_ns()), slot.area_ns)
        });
        // Nothing was in flight after the last slot, however long that lasted.
        let after = (self.0.cells.len() as u64).saturating_mul(self.slot_ns());
        slots.chain([(after, u64::MAX, 0)]).filter_map(move |(start, end, area)| {
            let (start, end) = (start.max(from_ns), end.min(to_ns));
            (end > start).then(|| (area as f64 / (end - start) as f64, (end - start) as f64))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_integral_is_exact_whatever_the_steps_and_the_length(
            steps in prop::collection::vec((1u64..40_000_000_000, 0u32..2000), 1..200)
        ) {
            let mut series = InFlight::default();
            let (mut at, mut area) = (0, 0u128);
            for &(ns, level) in &steps {
                series.add(at, at + ns, level);
                at += ns;
                area += u128::from(ns) * u128::from(level);
            }
            prop_assert_eq!(series.area_ns(), area);
            prop_assert_eq!(series.most(), steps.iter().map(|s| s.1).max().unwrap());
            let mean = series.mean(0, at).unwrap();
            prop_assert!((mean - area as f64 / at as f64).abs() < 1e-6 * (1.0 + mean));
            let back = InFlight::from_parts(series.slot_ns(), series.slots().collect());
            prop_assert_eq!(back, Ok(series));
        }
    }

    proptest! {
        #[test]
        fn a_flow_keeps_its_sums_however_long_and_however_split(
            steps in prop::collection::vec((0u64..5_000_000_000_000, 0u64..1000, any::<bool>()), 0..200)
        ) {
            let mut parts = [Flow::default(), Flow::default()];
            let mut whole = Flow::default();
            for &(at, tokens, first) in &steps {
                let add = |slot: &mut FlowSlot| {
                    slot.output += tokens;
                    slot.succeeded += 1;
                };
                whole.add(at, add);
                parts[usize::from(first)].add(at, add);
            }
            let [mut one, other] = parts.clone();
            one.merge(&other);
            let mut two = other.clone();
            two.merge(&parts[0]);
            prop_assert_eq!(&one, &whole);
            prop_assert_eq!(&two, &whole);
            let sum: u64 = whole.slots().map(|slot| slot.output).sum();
            prop_assert_eq!(sum, steps.iter().map(|step| step.1).sum::<u64>());
            let back = Flow::from_parts(whole.slot_ns(), whole.slots().collect());
            prop_assert_eq!(back, Ok(whole));
        }
    }

    #[test]
    fn merging_series_of_different_widths_keeps_the_area() {
        let mut long = InFlight::default();
        long.add(0, 10 * SLOT_NS * SLOTS_MAX as u64, 3);
        let mut short = InFlight::default();
        short.add(0, 5 * SLOT_NS, 2);
        let area = long.area_ns() + short.area_ns();
        let mut one = long.clone();
        one.merge(&short);
        short.merge(&long);
        assert_eq!(one, short);
        assert_eq!(one.area_ns(), area);
        assert_eq!(one.most(), 5);
    }

    #[test]
    fn a_claimed_end_far_away_costs_no_time_and_claimed_areas_do_not_overflow() {
        let mut series = InFlight::default();
        series.add(0, 10 * SLOT_NS, 4);
        assert_eq!(series.share_below(3.0, 0, u64::MAX).map(|share| share > 0.99), Some(true));
        assert!(series.mean(0, u64::MAX).is_some_and(|mean| mean < 1e-6));
        let full = vec![Slot { area_ns: 1 << 56, most: u32::MAX }; SLOTS_MAX];
        let full = InFlight::from_parts(SLOT_NS, full).unwrap();
        let mut merged = InFlight::from_parts(SLOT_NS << 30, Vec::new()).unwrap();
        merged.merge(&full);
        merged.merge(&full);
        assert_eq!(merged.area_ns(), u64::MAX.into());
    }

    #[test]
    fn a_part_filled_last_slot_counts_by_its_part() {
        let mut series = InFlight::default();
        series.add(0, 10 * SLOT_NS + SLOT_NS / 4, 8);
        assert_eq!(series.mean(0, 10 * SLOT_NS + SLOT_NS / 4), Some(8.0));
        assert_eq!(series.share_below(7.6, 0, 10 * SLOT_NS + SLOT_NS / 4), Some(0.0));
        assert_eq!(series.share_below(7.6, 0, 20 * SLOT_NS).map(|s| s > 0.45), Some(true));
    }
}
