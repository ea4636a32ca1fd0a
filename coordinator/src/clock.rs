//! The coordinator's clocks: the only file of this crate that reads one.
//!
//! Everything else takes `now` as an argument. Wall time is a label for people and certificates;
//! no duration is ever computed from it.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use common::time::{Tick, duration_ns};

use crate::record::UnixMs;

/// The monotonic clock of one process; its origin is the instant it was started.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that reads [`Tick::ZERO`] now.
    #[expect(
        clippy::disallowed_methods,
        reason = "the coordinator's monotonic clock is read here and nowhere else"
    )]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// The time since the clock was started.
    pub fn now(&self) -> Tick {
        Tick(duration_ns(self.origin.elapsed()))
    }
}

/// What the host believes the date and time to be.
#[expect(
    clippy::disallowed_methods,
    reason = "the coordinator's wall clock is read here and nowhere else"
)]
pub fn wall_now() -> UnixMs {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_never_goes_back() {
        let clock = Clock::start();
        let readings: Vec<Tick> = (0..100).map(|_| clock.now()).collect();
        assert!(readings.is_sorted());
    }

    #[test]
    fn wall_time_is_in_milliseconds_since_1970() {
        let year_2020 = UnixMs(1_577_836_800_000);
        let year_2200 = UnixMs(7_258_118_400_000);
        assert!((year_2020..year_2200).contains(&wall_now()));
    }
}
