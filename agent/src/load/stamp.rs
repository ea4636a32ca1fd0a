//! When bytes came: by the kernel's stamp where there is one, and by the read otherwise.
//!
//! The kernel stamps segments with the wall clock (`SO_TIMESTAMPNS`) and everything else is timed in
//! ticks of the monotonic one. The two differ by a constant until the wall clock is set. Once it has
//! been, no stamp of the level is believed any more: which side of the step it was taken on cannot be
//! told.

use common::time::Tick;

use crate::clock::Clock;

/// A change of the wall clock against the monotonic one that is no error of reading both.
const STEP_NS: u128 = 50_000;
/// A stamp may miss the instants between which it lies by what reading two clocks can be off.
const SLACK_NS: i128 = 20_000;

/// What maps the kernel's stamps to ticks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamps {
    /// How far the wall clock is ahead of ticks; `None` once it has been set.
    ahead_ns: Option<i128>,
}

/// The clocks that stamps and ticks are of.
pub(super) trait Clocks {
    /// The wall clock.
    fn wall_ns(&self) -> i128;
    /// How far the wall clock is ahead of ticks, read with care.
    fn ahead_ns(&self) -> i128;
}

impl Clocks for Clock {
    fn wall_ns(&self) -> i128 {
        Self::wall_ns()
    }

    fn ahead_ns(&self) -> i128 {
        self.wall_ahead_ns()
    }
}

/// When bytes came, and when they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Receipt {
    /// When they came: what latencies are counted to.
    pub(super) at: Tick,
    /// When the read that took them returned.
    pub(super) read: Tick,
    /// `at` is the kernel's, not the same as `read` for want of a better.
    pub(super) stamped: bool,
}

impl Stamps {
    /// For a level that begins while the wall clock is so far ahead of ticks.
    pub(super) fn new(ahead_ns: i128) -> Self {
        Self { ahead_ns: Some(ahead_ns) }
    }

    fn look(&mut self, ahead_ns: i128) {
        self.ahead_ns = self.ahead_ns.filter(|known| known.abs_diff(ahead_ns) <= STEP_NS);
    }

    /// When bytes came that a read returned at `read`, the kernel having `stamped` them with this
    /// many nanoseconds of the wall clock. They cannot have come before `after`: the request's send,
    /// or what the same connection brought before.
    pub(super) fn receipt(
        &mut self,
        stamped: Option<i128>,
        after: Tick,
        read: Tick,
        clocks: &impl Clocks,
    ) -> Receipt {
        let unstamped = Receipt { at: read, read, stamped: false };
        let (Some(stamped), Some(known)) = (stamped, self.ahead_ns) else {
            return unstamped;
        };
        let at = stamped - known;
        let (earliest, latest) = (i128::from(after.0), i128::from(read.0));
        // `read` was just now. A thread that was held up since then has another, careful look.
        if (clocks.wall_ns() - latest).abs_diff(known) > STEP_NS {
            self.look(clocks.ahead_ns());
        }
        let possible = (earliest - SLACK_NS..=latest + SLACK_NS).contains(&at);
        if self.ahead_ns.is_none() || !possible {
            return unstamped;
        }
        let at = u64::try_from(at.clamp(earliest.min(latest), latest)).unwrap_or(read.0);
        Receipt { at: Tick(at), read, stamped: true }
    }
}

impl Receipt {
    /// From the kernel's receipt to the read; `None` if nobody knows.
    pub(super) fn lag_ns(&self) -> Option<u64> {
        self.stamped.then(|| self.read.ns_since(self.at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AHEAD: i128 = 1_700_000_000_000_000_000;
    const MS: i128 = 1_000_000;

    /// Clocks so far apart, at a tick.
    struct At(i128, Tick);

    impl Clocks for At {
        fn wall_ns(&self) -> i128 {
            self.0 + i128::from(self.1.0)
        }

        fn ahead_ns(&self) -> i128 {
            self.0
        }
    }

    proptest! {
        /// Whenever the clock is set, and however far: what is told lies between the instants that
        /// are known for sure, and is off by less than what a comparison can show.
        #[test]
        fn a_step_of_the_wall_clock_never_makes_a_wrong_instant(
            step in prop_oneof![-10_000 * MS..10_000 * MS, -8 * MS..8 * MS, -100_000i128..100_000],
            step_at in 0i128..2_000 * MS,
            reads in prop::collection::vec((1i128..20 * MS, 0i128..6 * MS), 1..60),
        ) {
            let ahead = |at: i128| AHEAD + if at >= step_at { step } else { 0 };
            let mut stamps = Stamps::new(ahead(0));
            let (mut came, mut after) = (0, Tick(0));
            for (gap, lag) in reads {
                came += gap;
                let read = came + lag;
                let stamped = came + ahead(came);
                let read_tick = Tick(read as u64);
                let receipt = stamps.receipt(Some(stamped), after, read_tick, &At(ahead(read), read_tick));
                prop_assert!(receipt.at >= after && receipt.at <= read_tick);
                if receipt.stamped {
                    let off = (i128::from(receipt.at.0) - came).abs();
                    prop_assert!(off <= STEP_NS as i128, "off by {off} ns");
                }
                after = after.max(receipt.at);
                came = came.max(i128::from(receipt.at.0));
            }
        }

        #[test]
        fn steady_clocks_give_the_kernels_instants(
            reads in prop::collection::vec((1i128..20 * MS, 0i128..50 * MS), 1..60),
            jitter in -2_000i128..2_000,
        ) {
            let mut stamps = Stamps::new(AHEAD);
            let (mut came, mut after) = (0, Tick(0));
            for (gap, lag) in reads {
                came += gap;
                let read = Tick((came + lag) as u64);
                let receipt = stamps.receipt(Some(came + AHEAD), after, read, &At(AHEAD + jitter, read));
                let expected = Receipt { at: Tick(came as u64), read, stamped: true };
                prop_assert_eq!(receipt, expected);
                prop_assert_eq!(receipt.lag_ns(), Some(lag as u64));
                after = receipt.at;
            }
        }
    }

    #[test]
    fn without_a_stamp_the_read_counts() {
        let mut stamps = Stamps::new(AHEAD);
        let read = Tick(5_000_000);
        let receipt = stamps.receipt(None, Tick(0), read, &At(AHEAD, read));
        assert_eq!(receipt, Receipt { at: read, read, stamped: false });
        assert_eq!(receipt.lag_ns(), None);
    }

    #[test]
    fn bytes_that_were_there_before_the_request_are_not_its_answer() {
        let mut stamps = Stamps::new(AHEAD);
        let (sent, read) = (Tick(5_000_000), Tick(6_000_000));
        let receipt = stamps.receipt(Some(AHEAD + 1_000_000), sent, read, &At(AHEAD, read));
        assert!(!receipt.stamped && receipt.at == read);
        // The clocks are as they were, so later stamps are believed.
        let receipt = stamps.receipt(
            Some(AHEAD + 7_000_000),
            sent,
            Tick(7_100_000),
            &At(AHEAD, Tick(7_100_000)),
        );
        assert!(receipt.stamped);
    }
}
