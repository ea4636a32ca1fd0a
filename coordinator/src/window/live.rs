//! The agents' newest snapshots of a running level as one.
//!
//! Every snapshot is cumulative and true up to its own instant, so sums over the fleet hold, each
//! part at its own time; series are looked at up to where every agent has reported.

use std::collections::BTreeMap;
use std::time::Duration;

use common::arrivals::Arrivals;
use common::assignment::Load;
use common::hist::LatencyHist;
use common::series::{Flow, FlowSlot, InFlight};
use common::snapshot::Snapshot;
use common::time::{Tick, duration_ns};

use crate::machine::AgentIx;

/// How late a request that was due may be taken up.
const LATE_MAX: Duration = Duration::from_millis(50);

/// Agents that have a part of the load, and what is known of each.
#[derive(Debug)]
pub(super) struct Live {
    load: Load,
    agents: BTreeMap<AgentIx, Agent>,
}

#[derive(Debug)]
struct Agent {
    /// When it fired, on its own clock.
    fired: Tick,
    newest: Option<Newest>,
}

/// What the watch needs of an agent's newest snapshot.
#[derive(Debug)]
struct Newest {
    sequence: u64,
    /// When it was taken, from when the agent fired.
    at: Duration,
    ended: u64,
    open: u64,
    measured: u64,
    following: u64,
    area_ns: u128,
    in_flight: InFlight,
    flow: Flow,
    /// How long successes took; in open loop those of the window, from when they were intended.
    latency: LatencyHist,
}

impl Live {
    pub(super) fn new(load: Load, fired: BTreeMap<AgentIx, Tick>) -> Self {
        let agent = |(agent, fired)| (agent, Agent { fired, newest: None });
        Self { load, agents: fired.into_iter().map(agent).collect() }
    }

    pub(super) fn absorb(&mut self, agent: AgentIx, snapshot: Snapshot) {
        let Some(agent) = self.agents.get_mut(&agent) else {
            return;
        };
        if agent.newest.as_ref().is_some_and(|newest| newest.sequence >= snapshot.sequence) {
            return;
        }
        let tally = snapshot.tally;
        let latency = match self.load.arrivals {
            Arrivals::Closed { .. } => tally.paper.latency,
            // An arrival that waits for a place has begun for whoever waits for the answer.
            Arrivals::Open(_) => tally.latencies.e2e_plan,
        };
        agent.newest = Some(Newest {
            sequence: snapshot.sequence,
            at: snapshot.at.since(agent.fired),
            ended: tally.counts.started.saturating_sub(tally.counts.open),
            open: tally.counts.open,
            measured: tally.measured.started,
            following: tally.scope.window().map_or(0, |window| window.following),
            area_ns: tally.in_flight.area_ns(),
            in_flight: tally.in_flight,
            flow: tally.flow,
            latency,
        });
    }

    /// Up to where every agent has reported; zero while one has not.
    pub(super) fn horizon(&self) -> Duration {
        let at = |agent: &Agent| agent.newest.as_ref().map_or(Duration::ZERO, |newest| newest.at);
        self.agents.values().map(at).min().unwrap_or_default()
    }

    /// Requests that have ended, well or not.
    pub(super) fn ended(&self) -> u64 {
        self.newest().map(|newest| newest.ended).fold(0, u64::saturating_add)
    }

    /// Requests that are measured.
    pub(super) fn measured(&self) -> u64 {
        self.newest().map(|newest| newest.measured).fold(0, u64::saturating_add)
    }

    /// Open requests of the window.
    pub(super) fn following(&self) -> u64 {
        self.newest().map(|newest| newest.following).fold(0, u64::saturating_add)
    }

    /// Open requests of a window that ended at `until`; `None` while an agent's newest word is not
    /// from after it: it may yet begin some.
    pub(super) fn following_since(&self, until: Duration) -> Option<u64> {
        (self.horizon() >= until + LATE_MAX).then(|| self.following())
    }

    /// How long a request lasts on average, however it ended: the time in flight over the requests,
    /// open ones being half done. While none has ended, twice their age.
    pub(super) fn mean_duration(&self) -> Option<Duration> {
        let area_ns = self.newest().map(|newest| newest.area_ns).fold(0, u128::saturating_add);
        let open = self.newest().map(|newest| newest.open).fold(0, u64::saturating_add);
        // More than these are not in flight but wait to be.
        let open = open.min(self.load.users.into());
        let halves = self.ended().saturating_mul(2).saturating_add(open);
        let ns = area_ns.saturating_mul(2).checked_div(halves.into())?;
        Some(Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX)))
    }

    /// The time that 99 % of the successes so far took at most; `None` before the first.
    pub(super) fn latency_p99(&self) -> Option<Duration> {
        let us = self.latency().quantile_us(0.99)?;
        Duration::try_from_secs_f64(us / 1e6).ok()
    }

    /// The longest that a success took so far.
    pub(super) fn latency_max(&self) -> Duration {
        let longest = self.newest().filter_map(|newest| newest.latency.max_us()).max();
        Duration::from_micros(longest.unwrap_or(0))
    }

    fn latency(&self) -> LatencyHist {
        let mut all = LatencyHist::new();
        self.newest().for_each(|newest| all.merge(&newest.latency));
        all
    }

    /// Mean requests in flight over the last `length` that every agent has reported of, up to the
    /// end of a slot.
    pub(super) fn in_flight(&self, length: Duration) -> Option<f64> {
        let mut all = InFlight::default();
        self.newest().for_each(|newest| all.merge(&newest.in_flight));
        let slots = duration_ns(self.horizon()).checked_div(all.slot_ns())?;
        let until = slots * all.slot_ns();
        let from = until.saturating_sub(duration_ns(length)) / all.slot_ns() * all.slot_ns();
        all.mean(from, until)
    }

    /// What came from the target per slot from `from` on, as far as every agent has reported.
    pub(super) fn output(&self, from: Duration) -> Output {
        let mut flow = Flow::default();
        self.newest().for_each(|newest| flow.merge(&newest.flow));
        let slot_ns = flow.slot_ns().max(1);
        // Answers that are one body have no events: they come at their ends. Where they have no
        // tokens either, they are counted themselves.
        let has = |count: fn(FlowSlot) -> u64| flow.slots().any(|slot| count(slot) > 0);
        let count: fn(FlowSlot) -> u64 = if has(|slot| slot.events) {
            |slot| slot.events
        } else if has(|slot| slot.output) {
            |slot| slot.output
        } else {
            |slot| slot.succeeded
        };
        let value = |slot: FlowSlot| count(slot) as f64;
        let first = usize::try_from(duration_ns(from).div_ceil(slot_ns)).unwrap_or(usize::MAX);
        let reported = usize::try_from(duration_ns(self.horizon()) / slot_ns).unwrap_or(0);
        // Slots after the last one in which something came are empty, not missing.
        let slots = flow.slots().map(value).chain(std::iter::repeat(0.0));
        let slots = slots.take(reported).skip(first).collect();
        Output { slot: Duration::from_nanos(slot_ns), slots }
    }

    fn newest(&self) -> impl Iterator<Item = &Newest> {
        self.agents.values().filter_map(|agent| agent.newest.as_ref())
    }
}

/// What came from the target, in slots of equal length.
#[derive(Debug)]
pub(super) struct Output {
    /// How long a slot is.
    pub(super) slot: Duration,
    /// Token-bearing events in each; of answers without any, tokens; without those, answers.
    pub(super) slots: Vec<f64>,
}

impl Output {
    /// In slots of up to `most`, but short enough for there to be at least `count` of them if that
    /// is possible. Slots that do not fill one at the end are left out.
    pub(super) fn in_slots(&self, count: usize, most: Duration) -> Vec<f64> {
        let widest = duration_ns(most) / duration_ns(self.slot).max(1);
        let widest = usize::try_from(widest).unwrap_or(usize::MAX);
        let size = (self.slots.len() / count.max(1)).min(widest).max(1);
        self.slots.chunks_exact(size).map(|slots| slots.iter().sum()).collect()
    }
}
