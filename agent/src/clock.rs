//! The only place of an agent process where clocks are read. Everything else is given a [`Tick`].

use std::time::{Duration, Instant};

use common::time::Tick;
use rustix::time::{ClockId, clock_gettime};

/// A process's monotonic clock (`CLOCK_MONOTONIC`): it is never set and does not count suspend.
///
/// Copies share the origin, so their ticks may be compared; ticks of two clocks that were started
/// separately may not.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose [`Tick::ZERO`] is this moment.
    #[expect(clippy::disallowed_methods, reason = "this is the clock module of agent processes")]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// This moment.
    #[expect(clippy::disallowed_methods, reason = "this is the clock module of agent processes")]
    pub fn now(&self) -> Tick {
        Tick::ZERO + Instant::now().saturating_duration_since(self.origin)
    }

    /// The instant of `tick`, for tokio's timers.
    pub fn instant(&self, tick: Tick) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.origin + Duration::from_nanos(tick.0))
    }

    /// Nanoseconds since the host was booted, time spent suspended included (`CLOCK_BOOTTIME`).
    ///
    /// A lease is measured on this clock: a host that was suspended past its deadline must find
    /// the lease gone when it wakes up. Not to be mixed with ticks.
    pub fn boottime_ns() -> u64 {
        let time = clock_gettime(BOOTTIME);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
        seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
    }
}

#[cfg(target_os = "linux")]
const BOOTTIME: ClockId = ClockId::Boottime;
/// Elsewhere (an embedded agent on a developer's laptop) the nearest clock there is; on macOS it
/// counts suspend too.
#[cfg(not(target_os = "linux"))]
const BOOTTIME: ClockId = ClockId::Monotonic;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_never_go_back_and_ticks_are_instants() {
        let clock = Clock::start();
        let copy = clock;
        let (first, boot) = (clock.now(), Clock::boottime_ns());
        assert!(copy.now() >= first);
        assert!(Clock::boottime_ns() >= boot && boot > 0);
        let later = first + Duration::from_millis(250);
        assert_eq!(clock.instant(later) - clock.instant(first), Duration::from_millis(250));
    }
}
