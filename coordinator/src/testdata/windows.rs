//! Levels that are measured in a window, closed and open, as agents would have sealed them.

use std::collections::BTreeMap;
use std::time::Duration;

use common::arrivals::{Arrivals, Law, PerSecond, Rate, Schedule};
use common::assignment::{End, Load};
use common::ids::UserId;
use common::outcome::{Censor, Ending, Outcome};
use common::phase::Phase;
use common::seed::Seed;
use common::slo::Slo;
use common::snapshot::Seal;
use common::tally::{Previous, Tally};
use common::time::Tick;

use super::{Shape, record, sealed};
use crate::campaign::WindowPlan;
use crate::record::{LevelRecord, ShareRecord};

/// The seed of the runs of [`super::run`].
const SEED: Seed = Seed(u64::MAX);

pub(super) const SECOND: u64 = 1_000_000_000;

/// A level that is measured in a window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windowed {
    pub(crate) phase: Phase,
    /// Users, or the most requests in flight of an open loop.
    pub(crate) users: u32,
    /// Requests per second of an open loop.
    pub(crate) rate: Option<u64>,
    pub(crate) agents: u32,
    /// When the window begins after the level fired, and how long it is.
    pub(crate) window_s: (u64, u64),
    pub(crate) shape: Shape,
    /// How much slower the server is at the end of the window than at the level's beginning.
    pub(crate) slowdown: f64,
    pub(crate) slo: Slo,
}

impl Windowed {
    /// Ten users for a minute of a server that takes about 0.6 s.
    pub(crate) const USUAL: Self = Self {
        phase: Phase::Scaling,
        users: 10,
        rate: None,
        agents: 2,
        window_s: (3, 60),
        shape: Shape {
            ttft_us: 200_000,
            itl_us: 20_000,
            prompt: 500,
            completion: 20,
            fail_every: 0,
        },
        slowdown: 0.0,
        slo: Slo { ttft: None, tpot: None, e2e: None },
    };

    pub(crate) fn level(self) -> LevelRecord {
        let (from_s, length_s) = self.window_s;
        self.level_of(self.outcomes((from_s + length_s) * SECOND))
    }

    /// The level whose requests are these: all that were begun until those of the window had ended.
    pub(super) fn level_of(self, outcomes: Vec<Outcome>) -> LevelRecord {
        let (from_s, length_s) = self.window_s;
        let (from, until) = (from_s * SECOND, (from_s + length_s) * SECOND);
        let outcomes = self.cut(outcomes, until);
        let arrivals = match self.rate {
            None => Arrivals::Closed { ramp: Duration::ZERO },
            Some(_) => Arrivals::Open(self.schedule()),
        };
        let load = Load { users: self.users, arrivals, end: End::Window };
        let mut record = record(self.phase, load, self.shape, Vec::new());
        let length = Duration::from_secs(length_s);
        record.planned.window =
            Some(WindowPlan { least: length, most: length, turns: 3, requests: 0, precise: false });
        if let Some(rate) = self.rate {
            record.planned.label = format!("{rate}/s");
        }
        for (agent, index) in super::agents(self.agents).into_iter().zip(0..self.agents) {
            let own = load.share(index, self.agents);
            let mine = |outcome: &&Outcome| match self.rate {
                None => outcome.user.0 % self.agents == index,
                Some(_) => own.owns(outcome.request),
            };
            let own_outcomes: Vec<&Outcome> = outcomes.iter().filter(mine).collect();
            let seal = Some(self.seal(&own_outcomes, from, until));
            record.shares.push(ShareRecord { agent: agent.name, users: own.count, seal });
        }
        record
    }

    fn schedule(&self) -> Schedule {
        let rate = PerSecond(self.rate.unwrap_or(1) * 1_000_000);
        Schedule { law: Law::Constant, rate: Rate::Flat(rate) }
    }

    /// The server's answers slow down with time.
    fn shape_at(&self, at_ns: u64, until: u64) -> Shape {
        let factor = 1.0 + self.slowdown * at_ns as f64 / until as f64;
        let slower = |us: u64| (us as f64 * factor) as u64;
        Shape {
            ttft_us: slower(self.shape.ttft_us),
            itl_us: slower(self.shape.itl_us),
            ..self.shape
        }
    }

    /// Everything that is taken up until a second after the window.
    fn outcomes(&self, until: u64) -> Vec<Outcome> {
        let end = until + SECOND;
        let mut outcomes = Vec::new();
        match self.rate {
            None => {
                for user in (0..self.users).map(UserId) {
                    let mut at = Tick(1_000_000 * u64::from(user.0 % 7));
                    for request in 0.. {
                        if at.0 >= end {
                            break;
                        }
                        let number = outcomes.len() as u64;
                        let shape = self.shape_at(at.0, until);
                        let outcome = shape.outcome(number, user, request, at);
                        at = outcome.marks.done;
                        outcomes.push(outcome);
                    }
                }
            }
            Some(_) => {
                let mut free = vec![Tick::ZERO; self.users as usize];
                let walk = self.schedule().walk(SEED, self.phase, 0);
                for (number, at) in (0..).zip(walk.take_while(|at| *at < end)) {
                    let slot = free.iter_mut().min().unwrap();
                    let taken = Tick(at).max(*slot);
                    let shape = self.shape_at(taken.0, until);
                    let outcome = shape.taken_up(number, (UserId(0), number), Tick(at), taken);
                    *slot = outcome.marks.done;
                    outcomes.push(outcome);
                }
            }
        }
        outcomes
    }

    /// What is open when the last request of the window has ended is cut.
    fn cut(&self, outcomes: Vec<Outcome>, until: u64) -> Vec<Outcome> {
        let followed = outcomes.iter().filter(|o| o.marks.intended.0 < until);
        let end = followed.map(|o| o.marks.done).max().unwrap();
        let begun = |o: &Outcome| o.marks.sent.is_some_and(|sent| sent < end);
        let mut kept: Vec<Outcome> = outcomes.into_iter().filter(begun).collect();
        for outcome in kept.iter_mut().filter(|o| o.marks.done > end) {
            outcome.ending = Ending::Censored(Censor::CancelledPlan);
            outcome.paper_success = false;
            outcome.usage = None;
            outcome.gaps_us.clear();
            outcome.marks.done = end;
            outcome.marks.first_token = None;
            outcome.marks.last_token = None;
        }
        kept
    }

    /// What an agent counts of its requests, in the order in which things happen.
    fn seal(&self, outcomes: &[&Outcome], from: u64, until: u64) -> Seal {
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        enum Step {
            Measure,
            Release,
            Start(usize),
            Sent,
            End(usize),
        }
        let ahead = SECOND / 2;
        let mut steps = vec![(from - ahead, Step::Measure), (until - ahead, Step::Release)];
        for (place, outcome) in outcomes.iter().enumerate() {
            let sent = outcome.marks.sent.unwrap().0;
            steps.push((sent - 50_000, Step::Start(place)));
            steps.push((sent, Step::Sent));
            steps.push((outcome.marks.done.0, Step::End(place)));
        }
        steps.sort_unstable();
        let mut tally = Tally::windowed();
        let mut previous: BTreeMap<UserId, Option<Previous>> = BTreeMap::new();
        let (mut at, mut level) = (0, 0);
        for (now, step) in steps {
            tally.in_flight(at, now, level);
            at = now;
            match step {
                Step::Measure => tally.measure(from),
                Step::Release => tally.release(until),
                Step::Start(place) => {
                    tally.start(outcomes[place].marks.intended.0, outcomes[place].slices);
                }
                Step::Sent => level += 1,
                Step::End(place) => {
                    level -= 1;
                    let outcome = outcomes[place];
                    let last = previous.entry(outcome.user).or_default();
                    *last = tally.end(outcome, Tick::ZERO, self.slo, *last);
                }
            }
        }
        sealed(tally)
    }
}
