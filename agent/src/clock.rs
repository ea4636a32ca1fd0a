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
    /// The same on the kernel's clock, which an `Instant` hides.
    origin_ns: u64,
}

impl Clock {
    /// A clock whose [`Tick::ZERO`] is this moment.
    #[expect(clippy::disallowed_methods, reason = "this is the clock module of agent processes")]
    pub fn start() -> Self {
        let once = || {
            let before_ns = read_ns(ClockId::Monotonic);
            let origin = Instant::now();
            let took_ns = read_ns(ClockId::Monotonic).saturating_sub(before_ns);
            (took_ns, Self { origin, origin_ns: before_ns })
        };
        least_interrupted(once)
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

    /// `tick` on the kernel's `CLOCK_MONOTONIC`, for its timers; by less than it takes to read a
    /// clock too early.
    pub fn monotonic_ns(&self, tick: Tick) -> u64 {
        self.origin_ns.saturating_add(tick.0)
    }

    /// Nanoseconds since the host was booted, time spent suspended included (`CLOCK_BOOTTIME`).
    ///
    /// A lease is measured on this clock: a host that was suspended past its deadline must find
    /// the lease gone when it wakes up. Not to be mixed with ticks.
    pub fn boottime_ns() -> u64 {
        read_ns(BOOTTIME)
    }

    /// How far the wall clock (`CLOCK_REALTIME`) is ahead of ticks, in nanoseconds. It changes when
    /// the wall clock is set and not otherwise, for both are slewed together.
    pub fn wall_ahead_ns(&self) -> i128 {
        Offsets::read().wall_ns + i128::from(self.origin_ns)
    }

    /// The wall clock (`CLOCK_REALTIME`), in nanoseconds since its epoch.
    pub fn wall_ns() -> i128 {
        i128::from(read_ns(ClockId::Realtime))
    }

    /// The wall clock in milliseconds since 1970: a label, never subtracted.
    pub fn wall_ms() -> u64 {
        read_ns(ClockId::Realtime) / 1_000_000
    }

    /// Processor time that the calling thread has used, in nanoseconds.
    pub fn thread_cpu_ns() -> u64 {
        read_ns(ClockId::ThreadCPUTime)
    }
}

/// Watches the host's other clocks against its monotonic one.
///
/// The monotonic clock is slewed together with the wall clock, so only a step of the wall clock
/// shows; and only a suspended host lets `CLOCK_BOOTTIME` gain on it.
#[derive(Clone, Copy, Debug)]
pub struct ClockWatch {
    first: Offsets,
    step_ns: u64,
    suspended_ns: u64,
}

/// How far other clocks are ahead of the monotonic one.
#[derive(Clone, Copy, Debug)]
struct Offsets {
    wall_ns: i128,
    boottime_ns: i128,
}

impl ClockWatch {
    /// Begins to watch.
    pub fn start() -> Self {
        Self { first: Offsets::read(), step_ns: 0, suspended_ns: 0 }
    }

    /// Looks at the clocks again.
    pub fn look(&mut self) {
        self.compare(Offsets::read());
    }

    /// The largest change of the wall clock seen, either way, in nanoseconds.
    pub fn step_ns(&self) -> u64 {
        self.step_ns
    }

    /// Time that the host was suspended, in nanoseconds.
    pub fn suspended_ns(&self) -> u64 {
        self.suspended_ns
    }

    fn compare(&mut self, now: Offsets) {
        let ns = |change: i128| u64::try_from(change).unwrap_or(u64::MAX);
        let step = (now.wall_ns - self.first.wall_ns).abs();
        let suspended = (now.boottime_ns - self.first.boottime_ns).max(0);
        self.step_ns = self.step_ns.max(ns(step));
        self.suspended_ns = self.suspended_ns.max(ns(suspended));
    }
}

impl Offsets {
    fn read() -> Self {
        let once = || {
            let before = read_ns(ClockId::Monotonic);
            let wall = read_ns(ClockId::Realtime);
            let boottime = read_ns(BOOTTIME);
            let after = read_ns(ClockId::Monotonic);
            let took = after.saturating_sub(before);
            let middle = i128::from(before + took / 2);
            let ahead = |ns: u64| i128::from(ns) - middle;
            (took, Self { wall_ns: ahead(wall), boottime_ns: ahead(boottime) })
        };
        least_interrupted(once)
    }
}

/// Of several readings of more than one clock the one that took the shortest time.
fn least_interrupted<T>(once: impl Fn() -> (u64, T)) -> T {
    let best = |best: (u64, T), next: (u64, T)| if next.0 < best.0 { next } else { best };
    (1..READINGS).map(|_| once()).fold(once(), best).1
}

const READINGS: usize = 5;

fn read_ns(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
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
    fn a_step_of_the_wall_clock_and_a_suspended_host_are_seen_and_not_forgotten() {
        let mut watch = ClockWatch::start();
        let first = watch.first;
        let second = 1_000_000_000;
        for (wall_ns, boottime_ns, step_ns, suspended_ns) in [
            (0, 0, 0, 0),
            (second, second, second, second),
            (-3 * second, 3 * second, 3 * second, 3 * second),
            (0, 3 * second, 3 * second, 3 * second),
        ] {
            let (wall_ns, boottime_ns) = (first.wall_ns + wall_ns, first.boottime_ns + boottime_ns);
            watch.compare(Offsets { wall_ns, boottime_ns });
            assert_eq!(i128::from(watch.step_ns()), step_ns);
            assert_eq!(i128::from(watch.suspended_ns()), suspended_ns);
        }
    }

    #[test]
    fn a_host_that_is_left_alone_has_steady_clocks() {
        let mut watch = ClockWatch::start();
        for _ in 0..100 {
            watch.look();
        }
        assert!(watch.step_ns() < 1_000_000, "{watch:?}");
        assert!(watch.suspended_ns() < 1_000_000, "{watch:?}");
    }

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
