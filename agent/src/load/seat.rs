//! A worker's place on its host: its thread, and the processor that it is bound to.

use std::io;

/// Where a worker's thread sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    /// The kernel's number of the thread, where it has one.
    pub(crate) thread: Option<u32>,
    /// The only processor that it runs on, if it is bound to one.
    pub(crate) processor: Option<u32>,
}

impl Seat {
    /// Seats the calling thread.
    ///
    /// # Errors
    /// If it may not run on that processor.
    pub(crate) fn take(processor: Option<u32>) -> io::Result<Self> {
        if let Some(processor) = processor {
            system::bind(processor)?;
        }
        Ok(Self { thread: system::thread(), processor })
    }
}

/// The processors that the calling thread may run on; `None` if the system does not say.
pub(crate) fn allowed() -> Option<Vec<u32>> {
    system::allowed()
}

#[cfg(target_os = "linux")]
mod system {
    use std::io;

    use rustix::thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity};

    pub(super) fn thread() -> Option<u32> {
        u32::try_from(gettid().as_raw_nonzero().get()).ok()
    }

    pub(super) fn bind(processor: u32) -> io::Result<()> {
        let place = usize::try_from(processor).ok().filter(|place| *place < CpuSet::MAX_CPU);
        let place = place.ok_or(io::ErrorKind::InvalidInput)?;
        let mut set = CpuSet::new();
        set.set(place);
        Ok(sched_setaffinity(None, &set)?)
    }

    pub(super) fn allowed() -> Option<Vec<u32>> {
        let set = sched_getaffinity(None).ok()?;
        let all = 0..u32::try_from(CpuSet::MAX_CPU).ok()?;
        Some(all.filter(|processor| set.is_set(*processor as usize)).collect())
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;

    pub(super) fn thread() -> Option<u32> {
        None
    }

    pub(super) fn bind(_: u32) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn allowed() -> Option<Vec<u32>> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_bound_thread_may_run_nowhere_else() {
        let bound = std::thread::spawn(|| {
            let last = *allowed().unwrap().last().unwrap();
            let seat = Seat::take(Some(last)).unwrap();
            (seat, last, allowed().unwrap())
        });
        let (seat, last, after) = bound.join().unwrap();
        assert_eq!((seat.processor, after), (Some(last), vec![last]));
        assert_ne!(seat.thread, Seat::take(None).unwrap().thread);
        assert!(Seat::take(Some(1023)).is_err());
        assert!(Seat::take(Some(u32::MAX)).is_err());
    }
}
