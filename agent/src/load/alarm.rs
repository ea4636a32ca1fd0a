//! Waking at an instant, finer than a runtime's timers of a millisecond: the kernel's timer with
//! an absolute deadline. Linux only; elsewhere a runtime's timer does, and send lag shows it.

#[cfg(target_os = "linux")]
pub(super) use linux::Alarm;
#[cfg(not(target_os = "linux"))]
pub(super) use other::Alarm;

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::OwnedFd;

    use common::time::Tick;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::unix::AsyncFd;

    use crate::clock::Clock;

    /// A timer of this worker's.
    pub(in crate::load) struct Alarm {
        clock: Clock,
        timer: AsyncFd<OwnedFd>,
        /// What the kernel was told last.
        set: Option<Tick>,
    }

    impl Alarm {
        /// A timer on the current runtime.
        ///
        /// # Errors
        /// If the system gives no timer.
        pub(in crate::load) fn new(clock: Clock) -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            #[allow(
                deprecated,
                reason = "what replaces it is unsafe, for types that may change their descriptor; \
                          an `OwnedFd` keeps its own until it is dropped"
            )]
            let timer = AsyncFd::new(timer)?;
            Ok(Self { clock, timer, set: None })
        }

        /// Waits until `at`. May be given up and called again.
        pub(in crate::load) async fn ring(&mut self, at: Tick) {
            loop {
                if self.clock.now() >= at {
                    // Instants that have all come must not keep the thread from its users.
                    return tokio::task::consume_budget().await;
                }
                if self.wait(at).await.is_err() {
                    return tokio::time::sleep_until(self.clock.instant(at)).await;
                }
            }
        }

        /// Waits until the timer says that it is `at`, or said so of an earlier instant.
        async fn wait(&mut self, at: Tick) -> io::Result<()> {
            if self.set != Some(at) {
                let value = timespec(self.clock.monotonic_ns(at));
                let once = Itimerspec { it_interval: timespec(0), it_value: value };
                timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
                self.set = Some(at);
            }
            // The count of expirations is not read: to set the timer again clears it.
            self.timer.readable().await?.clear_ready();
            self.set = None;
            Ok(())
        }
    }

    fn timespec(ns: u64) -> Timespec {
        let second = 1_000_000_000;
        Timespec {
            tv_sec: i64::try_from(ns / second).unwrap_or(i64::MAX),
            tv_nsec: (ns % second) as _,
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::io;

    use common::time::Tick;

    use crate::clock::Clock;

    /// A timer of this worker's.
    pub(in crate::load) struct Alarm {
        clock: Clock,
    }

    impl Alarm {
        /// A timer on the current runtime.
        ///
        /// # Errors
        /// Never.
        pub(in crate::load) fn new(clock: Clock) -> io::Result<Self> {
            Ok(Self { clock })
        }

        /// Waits until `at`.
        pub(in crate::load) async fn ring(&mut self, at: Tick) {
            tokio::time::sleep_until(self.clock.instant(at)).await;
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Duration;

    use common::time::Tick;

    use super::Alarm;
    use crate::clock::Clock;

    /// Never early, and in the middle far less late than a runtime's timer: once at least, since
    /// other work on this machine can make any thread late.
    #[tokio::test]
    async fn it_rings_at_the_instant() {
        let clock = Clock::start();
        let mut alarm = Alarm::new(clock).unwrap();
        let mut middles = Vec::new();
        while middles.len() < 10 && middles.iter().all(|&ns| ns > 300_000) {
            let start = clock.now();
            let mut late: Vec<u64> = Vec::new();
            for step in 1..=50u64 {
                let at = Tick(start.0 + step * 1_300_001);
                // One that is given up leaves nothing behind.
                let sooner = alarm.ring(Tick(at.0 - 200_000));
                let _ = tokio::time::timeout(Duration::ZERO, sooner).await;
                alarm.ring(at).await;
                let now = clock.now();
                assert!(now >= at);
                late.push(now.ns_since(at));
            }
            late.sort_unstable();
            middles.push(late[25]);
        }
        assert!(middles.iter().any(|&ns| ns <= 300_000), "{middles:?} ns late");
    }
}
