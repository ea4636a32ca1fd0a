//! What the host of an agent tells of itself while a level is measured, and what its own workers
//! suffer there. Read off the path of requests, by the session's thread, once a second.
//!
//! | Module | What it does |
//! |---|---|
//! | [`texts`], [`routes`], [`diag`] | parsers of what a kernel says; nothing in them is trusted |
//! | [`host`] | reads it: the only file here that opens anything |
//! | [`watch`] | when to read |
//!
//! [`HealthMeter`] is a value that is fed readings. What a host does not state is `None`, never 0.

mod diag;
mod host;
mod routes;
mod texts;
mod watch;

use common::health::{Health, LinkUse, RoundTrip, Segments, Used, WorkerHealth};
use common::time::Tick;

pub(crate) use self::host::Host;
use self::texts::{Bytes, Processors, Quota, Sched, Times};
pub(crate) use self::watch::Watch;

/// Readings at least this far apart make a spell, the worst of which is looked for.
const SPELL_NS: u64 = 500_000_000;

/// What a host and an agent's workers have used up to an instant.
#[derive(Clone, Debug, Default, PartialEq)]
struct Reading {
    at: Tick,
    workers: Vec<Option<Sched>>,
    processors: Processors,
    /// Of each group of processes that the agent belongs to.
    quotas: Vec<Option<Quota>>,
    segments: Option<Segments>,
    links: Vec<Option<Bytes>>,
    fds: Option<Used>,
    ports: Option<Used>,
    round_trip: Option<RoundTrip>,
}

/// A network interface towards the target.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Link {
    name: String,
    /// What it can carry in one direction, if it says so.
    bytes_per_s_max: Option<u64>,
}

/// Sums up the readings of a level's measured time.
#[derive(Debug)]
struct HealthMeter {
    /// The processor that each worker is bound to.
    bound: Vec<Option<u32>>,
    links: Vec<Link>,
    first: Option<Reading>,
    last: Option<Reading>,
    wait_max: Vec<Option<f64>>,
    fds: Option<Used>,
    ports: Option<Used>,
    round_trip: Option<RoundTrip>,
}

impl HealthMeter {
    fn new(bound: Vec<Option<u32>>, links: Vec<Link>) -> Self {
        let wait_max = vec![None; bound.len()];
        Self {
            bound,
            links,
            first: None,
            last: None,
            wait_max,
            fds: None,
            ports: None,
            round_trip: None,
        }
    }

    /// Takes in a reading of the measured time; the first one is its beginning.
    fn add(&mut self, reading: Reading) {
        if let Some(last) = &self.last {
            let spell_ns = reading.at.ns_since(last.at);
            if spell_ns >= SPELL_NS {
                for (worker, max) in self.wait_max.iter_mut().enumerate() {
                    let wait = used(last, &reading, worker).map(|used| used.waited_ns);
                    let share = wait.and_then(|ns| share(ns, spell_ns));
                    *max = [*max, share].into_iter().flatten().reduce(f64::max);
                }
            }
        }
        self.fds = most(self.fds, reading.fds);
        self.ports = most(self.ports, reading.ports);
        if let Some(trip) = reading.round_trip {
            let max_us = self.round_trip.map_or(0, |so_far| so_far.max_us).max(trip.max_us);
            self.round_trip = Some(RoundTrip { max_us, ..trip });
        }
        self.first.get_or_insert_with(|| reading.clone());
        self.last = Some(reading);
    }

    /// What is known so far; `None` while the measured time has no length.
    fn health(&self) -> Option<Health> {
        let (first, last) = (self.first.as_ref()?, self.last.as_ref()?);
        let wall_ns = last.at.ns_since(first.at);
        if wall_ns == 0 {
            return None;
        }
        let processors = (&first.processors, &last.processors);
        let worker = |(index, processor): (usize, &Option<u32>)| {
            let used = used(first, last, index);
            let wait = used.and_then(|used| share(used.waited_ns, wall_ns));
            WorkerHealth {
                cpu: used.and_then(|used| share(used.ran_ns, wall_ns)),
                wait,
                // Of a time too short for a spell the whole is its worst part.
                wait_max: self.wait_max.get(index).copied().flatten().or(wait),
                processor: *processor,
                steal: processor.and_then(|processor| {
                    let (before, after) = processors;
                    stolen(before.each.get(&processor), after.each.get(&processor))
                }),
            }
        };
        let segments = first.segments.zip(last.segments);
        Some(Health {
            workers: self.bound.iter().enumerate().map(worker).collect(),
            steal: stolen(processors.0.all.as_ref(), processors.1.all.as_ref()),
            throttled: throttled(&first.quotas, &last.quotas),
            fds: self.fds,
            ports: self.ports,
            segments: segments.map(|(before, after)| Segments {
                sent: after.sent.saturating_sub(before.sent),
                retransmitted: after.retransmitted.saturating_sub(before.retransmitted),
            }),
            round_trip: self.round_trip,
            link: self.link(first, last, wall_ns),
        })
    }

    /// The interface with the least to spare; of those that do not say what they can carry, the one
    /// that carried the most.
    fn link(&self, first: &Reading, last: &Reading, wall_ns: u64) -> Option<LinkUse> {
        let bytes = first.links.iter().zip(&last.links);
        let uses = self.links.iter().zip(bytes).filter_map(|(link, (before, after))| {
            let (before, after) = ((*before)?, (*after)?);
            let received = after.received.saturating_sub(before.received);
            let sent = after.sent.saturating_sub(before.sent);
            let per_s = received.max(sent) as f64 / (wall_ns as f64 / 1e9);
            Some(LinkUse {
                name: link.name.clone(),
                bytes_per_s: per_s as u64,
                share: link.bytes_per_s_max.map(|max| (per_s / max.max(1) as f64).min(1.0)),
            })
        });
        uses.reduce(|a, b| {
            let rank = |link: &LinkUse| (link.share.unwrap_or(-1.0), link.bytes_per_s as f64);
            if rank(&b) > rank(&a) { b } else { a }
        })
    }
}

/// What a worker has used between two readings.
fn used(before: &Reading, after: &Reading, worker: usize) -> Option<Sched> {
    let of = |reading: &Reading| reading.workers.get(worker).copied().flatten();
    let (before, after) = (of(before)?, of(after)?);
    Some(Sched {
        ran_ns: after.ran_ns.saturating_sub(before.ran_ns),
        waited_ns: after.waited_ns.saturating_sub(before.waited_ns),
    })
}

/// A part of a whole, 0 to 1; of nothing `None`.
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 / whole as f64).min(1.0))
}

fn stolen(before: Option<&Times>, after: Option<&Times>) -> Option<f64> {
    let (before, after) = (before?, after?);
    let stolen = after.stolen.saturating_sub(before.stolen);
    share(stolen, after.all.saturating_sub(before.all))
}

/// The share of the periods in which a group was held up; of several groups the largest. A group
/// without a quota counts no periods, and is never held up.
fn throttled(before: &[Option<Quota>], after: &[Option<Quota>]) -> Option<f64> {
    let of = |(before, after): (&Option<Quota>, &Option<Quota>)| {
        let (before, after) = ((*before)?, (*after)?);
        let periods = after.periods.saturating_sub(before.periods);
        let throttled = after.throttled.saturating_sub(before.throttled);
        Some(share(throttled, periods).unwrap_or(0.0))
    };
    before.iter().zip(after).filter_map(of).reduce(f64::max)
}

/// The one with less to spare.
fn most(a: Option<Used>, b: Option<Used>) -> Option<Used> {
    let both = [a, b].into_iter().flatten();
    both.reduce(|a, b| if b.share() > a.share() { b } else { a })
}

#[cfg(test)]
mod tests;
