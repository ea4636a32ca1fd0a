//! The running level in numbers, made of the agents' newest snapshots. A pure value.

use std::collections::BTreeMap;
use std::time::Duration;

use common::snapshot::Snapshot;
use common::time::Tick;

use crate::machine::AgentIx;
use crate::plan::PlannedLevel;
use crate::window::Progress;

/// What is going on.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Place of the current level in the plan, from 1.
    pub place: u32,
    /// Levels planned.
    pub planned: u32,
    /// The current level, while one runs.
    pub level: Option<LevelView>,
}

/// The running level.
#[derive(Clone, Debug)]
pub struct LevelView {
    /// Phase and label, for example `SCALING 100`.
    pub title: String,
    /// Users asked for.
    pub users: u32,
    /// Requests planned; `None` where the level ends with a window.
    pub requests: Option<u64>,
    /// How its window comes along, if it has one.
    pub progress: Option<Progress>,
    fired: Tick,
    newest: BTreeMap<AgentIx, Part>,
    /// Completion tokens and ticks of the last two readings, for the rate.
    rate: Option<(Tick, u64)>,
    tokens_per_s: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Part {
    sequence: u64,
    open: u64,
    ended: u64,
    failed: u64,
    tokens: u64,
}

impl LevelView {
    /// A level that has just been ordered to fire.
    pub fn new(planned: &PlannedLevel, fired: Tick) -> Self {
        Self {
            title: planned.title(),
            users: planned.load.users,
            requests: planned.load.requests(),
            progress: None,
            fired,
            newest: BTreeMap::new(),
            rate: None,
            tokens_per_s: 0.0,
        }
    }

    /// Takes in a snapshot; an older one than is known changes nothing.
    pub fn absorb(&mut self, agent: AgentIx, snapshot: &Snapshot) {
        let part = self.newest.entry(agent).or_default();
        if snapshot.sequence <= part.sequence {
            return;
        }
        let counts = &snapshot.tally.counts;
        *part = Part {
            sequence: snapshot.sequence,
            open: counts.open,
            ended: counts.started - counts.open,
            failed: counts.failed_total(),
            tokens: snapshot.tally.tokens.completion,
        };
    }

    /// No agent has reported yet.
    pub fn is_unknown(&self) -> bool {
        self.newest.is_empty()
    }

    /// Requests begun and not ended.
    pub fn in_flight(&self) -> u64 {
        self.newest.values().map(|part| part.open).sum()
    }

    /// Requests ended.
    pub fn ended(&self) -> u64 {
        self.newest.values().map(|part| part.ended).sum()
    }

    /// Requests failed.
    pub fn failed(&self) -> u64 {
        self.newest.values().map(|part| part.failed).sum()
    }

    /// Completion tokens of ended requests per second, since the last call a second or more ago.
    pub fn tokens_per_s(&mut self, now: Tick) -> f64 {
        let tokens: u64 = self.newest.values().map(|part| part.tokens).sum();
        match self.rate {
            Some((then, _)) if now.since(then) < Duration::from_millis(900) => {}
            Some((then, before)) => {
                let gained = tokens.saturating_sub(before) as f64;
                self.tokens_per_s = gained / now.since(then).as_secs_f64();
                self.rate = Some((now, tokens));
            }
            None => {
                self.tokens_per_s = tokens as f64 / self.elapsed(now).as_secs_f64().max(1e-3);
                self.rate = Some((now, tokens));
            }
        }
        self.tokens_per_s
    }

    /// Time since the level fired.
    pub fn elapsed(&self, now: Tick) -> Duration {
        now.since(self.fired)
    }

    /// How long the level may still take if it goes on as it did; `None` before a request ended.
    pub fn left(&self, now: Tick) -> Option<Duration> {
        let ended = self.ended();
        if ended == 0 {
            return None;
        }
        let share = self.requests?.saturating_sub(ended) as f64 / ended as f64;
        Some(self.elapsed(now).mul_f64(share.min(1e6)))
    }
}
