//! Which processors workers and simulators run on: apart where there are several.

use std::io;

use crate::load::seat::{self, Seat};

/// The processors of this process, dealt out.
pub(super) struct Processors {
    /// One for each worker at most.
    workers: Vec<u32>,
    /// One for each simulator.
    simulators: Vec<u32>,
}

impl Processors {
    /// Half of the processors for simulators, each of which fills one; none apart if there is one.
    pub(super) fn deal() -> Self {
        Self::of(&seat::allowed().unwrap_or_default())
    }

    fn of(allowed: &[u32]) -> Self {
        if allowed.len() < 2 {
            return Self { workers: Vec::new(), simulators: Vec::new() };
        }
        let (simulators, workers) = allowed.split_at(allowed.len() / 2);
        Self { workers: workers.into(), simulators: simulators.into() }
    }

    /// Workers and simulators share a processor.
    pub(super) fn are_shared(&self) -> bool {
        self.simulators.is_empty()
    }

    /// The most workers that have a processor each.
    pub(super) fn workers_max(&self) -> u32 {
        u32::try_from(self.workers.len().max(1)).unwrap_or(u32::MAX)
    }

    /// That of worker number `index`; `None` where nothing is apart.
    pub(super) fn of_worker(&self, index: u32) -> Option<u32> {
        self.workers.get(index as usize).copied()
    }

    /// Starts a simulator on each of their processors: what a thread starts runs where it may run
    /// itself. The calling thread stays on the last of them.
    pub(super) fn each_for_simulators<T>(
        &self,
        start: impl Fn() -> io::Result<T>,
    ) -> io::Result<Vec<T>> {
        if self.are_shared() {
            return Ok(vec![start()?]);
        }
        let on = |cpu: &u32| {
            Seat::take(Some(*cpu))?;
            start()
        };
        self.simulators.iter().map(on).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_processor_is_dealt_out_twice() {
        for (allowed, workers, shared) in [
            (&[][..], 1, true),
            (&[3], 1, true),
            (&[0, 1], 1, false),
            (&[1, 4, 5], 2, false),
            (&[0, 1, 2, 3, 4, 5, 6, 7], 4, false),
        ] {
            let dealt = Processors::of(allowed);
            assert_eq!((dealt.workers_max(), dealt.are_shared()), (workers, shared));
            assert!(dealt.workers.iter().all(|cpu| !dealt.simulators.contains(cpu)));
            assert_eq!(dealt.of_worker(0).is_none(), shared);
        }
    }
}
