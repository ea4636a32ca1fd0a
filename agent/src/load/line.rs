//! The arrivals of an open loop that are one worker's: which have come, and which of those wait.
//!
//! Arrivals that wait are not stored. They are the part of the sequence between two places, the
//! newest that has come and the oldest that has not been taken up, and are walked a second time
//! when they are taken up: a backlog of any length takes no memory.

use std::sync::Arc;

use common::arrivals::{Schedule, Walk};
use common::assignment::{Assignment, Share};
use common::time::Tick;
use common::trace::Trace;

/// One request of an open loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    /// Its place in the sequence of the fleet.
    pub(super) number: u64,
    /// When it is intended.
    pub(super) intended: Tick,
}

/// The arrivals of one worker in order.
pub(super) struct Line {
    coming: Cursor,
    waiting: Cursor,
    /// Arrivals that have come and have not been taken up.
    backlog: u64,
}

impl Line {
    /// The arrivals of `share` in a level that fires at `fire`: by a schedule, or if there is a trace
    /// at its instants.
    pub(super) fn new(
        schedule: Schedule,
        trace: Option<Arc<Trace>>,
        assignment: &Assignment,
        (share, fire): (Share, Tick),
    ) -> Self {
        let walk = match trace {
            Some(trace) => {
                let speed_milli = assignment.workload.replay_milli.unwrap_or(1000).max(1);
                Steps::Replay { trace, speed_milli, number: 0 }
            }
            None => {
                let Assignment { seed, phase, place, .. } = *assignment;
                Steps::Walk(schedule.walk(seed, phase, place))
            }
        };
        let count = assignment.load.requests();
        let mut coming = Cursor { walk, number: 0, next: None, share, count, fire };
        coming.step();
        Self { waiting: coming.clone(), coming, backlog: 0 }
    }

    /// When the next arrival comes; `None` if all have.
    pub(super) fn next_at(&self) -> Option<Tick> {
        self.coming.next.map(|arrival| arrival.intended)
    }

    /// The next arrival, if it has come by `now`.
    pub(super) fn come(&mut self, now: Tick) -> Option<Arrival> {
        let arrival = self.coming.next.filter(|arrival| arrival.intended <= now)?;
        self.coming.step();
        self.backlog += 1;
        Some(arrival)
    }

    /// Takes up the oldest arrival that waits.
    pub(super) fn take(&mut self) -> Option<Arrival> {
        self.backlog = self.backlog.checked_sub(1)?;
        let arrival = self.waiting.next;
        self.waiting.step();
        arrival
    }

    /// How many arrivals come before an instant, counted up to `most`.
    pub(super) fn before(&self, until: Tick, most: u32) -> u32 {
        let mut cursor = self.coming.clone();
        let mut count = 0;
        while count < most && cursor.next.is_some_and(|arrival| arrival.intended < until) {
            cursor.step();
            count += 1;
        }
        count
    }
}

/// The instants of arrivals in order, in nanoseconds since the level fired.
#[derive(Clone)]
enum Steps {
    Walk(Walk),
    Replay { trace: Arc<Trace>, speed_milli: u32, number: u64 },
}

impl Iterator for Steps {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        match self {
            Self::Walk(walk) => walk.next(),
            Self::Replay { trace, speed_milli, number } => {
                let offset_us = trace.get(*number)?.offset_us;
                *number += 1;
                let ns = u128::from(offset_us) * 1_000_000 / u128::from(*speed_milli);
                Some(u64::try_from(ns).unwrap_or(u64::MAX))
            }
        }
    }
}

/// A place in the sequence.
#[derive(Clone)]
struct Cursor {
    walk: Steps,
    /// The number of the arrival that the walk gives next.
    number: u64,
    /// The next arrival of the share.
    next: Option<Arrival>,
    share: Share,
    /// Arrivals from this number on are not made.
    count: Option<u64>,
    fire: Tick,
}

impl Cursor {
    /// Goes on to the next arrival of the share.
    fn step(&mut self) {
        self.next = None;
        while self.next.is_none() && self.count.is_none_or(|count| self.number < count) {
            let (number, since_fire) = (self.number, self.walk.next());
            self.number += 1;
            if self.share.owns(number) {
                let ns = since_fire.unwrap_or(u64::MAX);
                let intended = Tick(self.fire.0.saturating_add(ns));
                self.next = Some(Arrival { number, intended });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use common::arrivals::{Arrivals, Law, PerSecond, Rate};
    use common::assignment::{End, Load};
    use common::digest::Digest;
    use common::trace::{Traced, pack};
    use proptest::prelude::*;

    use super::*;
    use crate::load::worker_share;
    use crate::testing::assignment;

    fn lines(schedule: Schedule, end: End, agents: u32, workers: u32) -> Vec<Line> {
        let mut assignment = assignment("http://127.0.0.1:8000");
        let users = agents * workers;
        assignment.load = Load { users, arrivals: Arrivals::Open(schedule), end };
        let shares = (0..agents).flat_map(|agent| {
            let share = assignment.load.share(agent, agents);
            (0..workers).map(move |worker| worker_share(share, worker, workers))
        });
        shares.map(|share| Line::new(schedule, None, &assignment, (share, Tick(1000)))).collect()
    }

    proptest! {
        /// Whatever the split, and however late arrivals are taken up.
        #[test]
        fn every_arrival_comes_once_at_its_instant_and_is_taken_in_order(
            agents in 1u32..4, workers in 1u32..4, count in 0u64..120, takes in 0u64..3
        ) {
            let rate = Rate::Flat(PerSecond(50_000_000));
            let schedule = Schedule { law: Law::Poisson, rate };
            let mut all = Vec::new();
            for mut line in lines(schedule, End::Requests(count), agents, workers) {
                let (mut come, mut taken) = (Vec::new(), Vec::new());
                while let Some(at) = line.next_at() {
                    prop_assert_eq!(line.come(Tick(at.0 - 1)), None);
                    prop_assert_eq!(line.before(at, 9), 0);
                    come.extend(line.come(at));
                    taken.extend((0..takes).filter_map(|_| line.take()));
                }
                taken.extend(std::iter::from_fn(|| line.take()));
                prop_assert_eq!(&come, &taken);
                all.extend(come);
            }
            all.sort_by_key(|arrival| arrival.number);
            let sample = assignment("http://127.0.0.1:8000");
            let walk = schedule.walk(sample.seed, sample.phase, sample.place);
            let expected: Vec<_> = (0..count)
                .zip(walk)
                .map(|(number, ns)| Arrival { number, intended: Tick(1000 + ns) })
                .collect();
            prop_assert_eq!(all, expected);
        }
    }

    #[test]
    fn a_trace_comes_at_its_instants_however_it_is_shared() {
        let offsets_us = [0, 5, 5, 1_000_000, 2_000_001];
        let traced = offsets_us.map(|offset_us| Traced {
            offset_us,
            input_tokens: 1,
            output_tokens: None,
            blocks: Vec::new(),
        });
        let bytes = pack(&traced).unwrap();
        let trace = Arc::new(Trace::unpack(&bytes, Digest::of(&bytes)).unwrap());
        let schedule = Schedule { law: Law::Constant, rate: Rate::Flat(PerSecond(1)) };
        let mut assignment = assignment("http://127.0.0.1:8000");
        let end = End::Requests(5);
        assignment.load = Load { users: 3, arrivals: Arrivals::Open(schedule), end };
        assignment.workload.replay_milli = Some(4000);
        let mut all = Vec::new();
        for share in (0..3).map(|agent| assignment.load.share(agent, 3)) {
            let trace = Some(Arc::clone(&trace));
            let mut line = Line::new(schedule, trace, &assignment, (share, Tick(1000)));
            while let Some(at) = line.next_at() {
                all.extend(line.come(at));
            }
        }
        all.sort_by_key(|arrival| arrival.number);
        let came: Vec<u64> = all.iter().map(|arrival| arrival.intended.0 - 1000).collect();
        assert_eq!(came, [0, 1250, 1250, 250_000_000, 500_000_250]);
    }

    #[test]
    fn a_windows_arrivals_have_no_end_and_can_be_counted_ahead() {
        let schedule = Schedule { law: Law::Constant, rate: Rate::Flat(PerSecond(10_000_000)) };
        let mut line = lines(schedule, End::Window, 1, 1).remove(0);
        let second = Tick(1000) + Duration::from_secs(1);
        assert_eq!((line.before(second, 100), line.before(second, 4)), (10, 4));
        let far = Tick(1000) + Duration::from_secs(100);
        assert_eq!(std::iter::from_fn(|| line.come(far)).count(), 1001);
        assert!(line.next_at().is_some_and(|at| at > far));
    }
}
