//! An agent's clock against ours, from questions and answers.
//!
//! An answer with the agent's tick lies somewhere between our question and its arrival: the
//! offset is known to half the round trip, whatever the paths' asymmetry. The shortest round trip
//! seen wins. A pure value; ticks come in as arguments.

use std::time::Duration;

use common::time::Tick;

/// One question and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When we asked, on our clock.
    pub sent: Tick,
    /// What the agent's clock said.
    pub theirs: Tick,
    /// When the answer came, on our clock.
    pub received: Tick,
}

impl Sample {
    fn round_trip_ns(&self) -> u64 {
        self.received.ns_since(self.sent)
    }
}

/// The best knowledge of an agent's clock.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    best: Sample,
}

/// Clocks drift apart by up to this share of the time since a sample: 100 ppm.
const DRIFT: f64 = 1e-4;

impl Estimate {
    /// From a first sample.
    pub fn new(sample: Sample) -> Self {
        Self { best: sample }
    }

    /// Takes in another sample: it wins if its bound, drift since the best one included, is
    /// tighter.
    pub fn add(&mut self, sample: Sample) {
        let aged = sample.received.ns_since(self.best.received) as f64 * DRIFT;
        if sample.round_trip_ns() as f64 <= self.best.round_trip_ns() as f64 + 2.0 * aged {
            self.best = sample;
        }
    }

    /// The agent's clock minus ours, in µs.
    pub fn offset_us(&self) -> f64 {
        self.offset_ns() as f64 / 1e3
    }

    /// Bound of the offset's error in µs: half the round trip.
    pub fn error_us(&self) -> f64 {
        self.best.round_trip_ns() as f64 / 2e3
    }

    /// The best round trip.
    pub fn round_trip(&self) -> Duration {
        Duration::from_nanos(self.best.round_trip_ns())
    }

    /// One of our instants on the agent's clock.
    pub fn translate(&self, ours: Tick) -> Tick {
        let theirs = i128::from(ours.0) + self.offset_ns();
        Tick(u64::try_from(theirs.max(0)).unwrap_or(u64::MAX))
    }

    fn offset_ns(&self) -> i128 {
        let middle = i128::from(self.best.sent.0) + i128::from(self.best.round_trip_ns() / 2);
        i128::from(self.best.theirs.0) - middle
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the delays on both ways: the true offset lies within the stated bound.
        #[test]
        fn the_true_offset_is_within_the_bound(
            offset in -1_000_000_000_000i64..1_000_000_000_000,
            delays in prop::collection::vec((0u64..500_000_000, 0u64..500_000_000), 1..30)
        ) {
            let mut now = 2_000_000_000_000u64;
            let mut estimate: Option<Estimate> = None;
            for (there, back) in delays {
                let sent = Tick(now);
                let theirs = Tick((now + there).checked_add_signed(offset).unwrap());
                let received = Tick(now + there + back);
                let sample = Sample { sent, theirs, received };
                match &mut estimate {
                    None => estimate = Some(Estimate::new(sample)),
                    Some(estimate) => estimate.add(sample),
                }
                now += there + back + 1_000_000;
            }
            let estimate = estimate.unwrap();
            let error_ns = estimate.error_us() * 1e3 + 1.0;
            let off = estimate.offset_us() * 1e3 - offset as f64;
            prop_assert!(off.abs() <= error_ns, "{off} ns beyond {error_ns} ns");
            let there = estimate.translate(Tick(now)).0 as f64;
            prop_assert!((there - (now as f64 + offset as f64)).abs() <= error_ns + 1.0);
        }
    }
}
