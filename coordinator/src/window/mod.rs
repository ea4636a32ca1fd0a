//! When a level's window begins and ends, and when the level is over (the method, sections 3.6, 3.9
//! and 3.10).
//!
//! A value that is fed the agents' newest snapshots and `now`. Agents' clocks never meet: what an
//! agent says counts from the instant at which it fired, by its own clock, and offsets from that
//! instant are what is ordered. It knows nothing of orders and their ways; a level under it ends
//! whatever its agents say, and if they say nothing at all.
//!
//! | Module | What it does |
//! |---|---|
//! | `live` | the agents' newest snapshots as one |
//! | `rise` | whether the load is up |
//! | `length` | whether enough was measured |

mod length;
mod live;
mod rise;

use std::collections::BTreeMap;
use std::time::Duration;

use common::assignment::Load;
use common::series::{SLOT_NS, SLOTS_MAX};
use common::snapshot::Snapshot;
use common::time::{Tick, duration_ns};

use self::length::Length;
use self::live::Live;
pub use self::rise::{Longest, Wait, rise_max};
use crate::campaign::WindowPlan;
use crate::machine::AgentIx;

/// The longest that requests of a window are followed after its end (the method, section 3.6).
pub const DRAIN_MAX: Duration = Duration::from_secs(300);
/// The shortest time after which following is given up.
const DRAIN_MIN: Duration = Duration::from_secs(2);
/// The end of a window is ordered this long before the order must be out.
const MARGIN: Duration = Duration::from_secs(1);
/// How much the fleet must have reported since the last look for another one: a look adds up all
/// that the agents reported.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Watches one level that is measured in a window.
#[derive(Debug)]
pub struct Watch {
    load: Load,
    plan: WindowPlan,
    longest: Longest,
    fire: Tick,
    live: Live,
    stage: Stage,
    /// What the fleet must have reported of for the next look.
    look_at: Duration,
}

/// How far the level has come.
#[derive(Debug)]
enum Stage {
    Rising(Wait),
    Measuring {
        from: Duration,
        length: Length,
    },
    /// Requests are followed for so long after the end.
    Draining {
        from: Duration,
        until: Duration,
        patience: Duration,
    },
    Over,
}

/// What is to be done. Offsets are from the instant at which each agent fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The load is up: the window begins here.
    Measure {
        /// Where.
        from: Duration,
    },
    /// There is enough: the window ends here.
    Release {
        /// Where.
        until: Duration,
    },
    /// Every request of the window has ended, or was waited for long enough.
    Drained,
}

/// What a person is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Progress {
    /// The load rises.
    Rising(Wait),
    /// The window is open.
    Measuring {
        /// For how long.
        gone: Duration,
        /// How long it will be open, as far as that is known.
        of: Duration,
        /// Requests intended in it, and how many are wanted, if that is what it waits for.
        requests: Option<(u64, u64)>,
    },
    /// Requests of the window are followed to their ends.
    Draining {
        /// How many.
        following: u64,
    },
}

impl Watch {
    /// Watches a level that fires at `fire` on our clock and at `fired` on the clocks of the agents
    /// that have a part of its load, none of which takes longer than `longest`.
    pub fn new(
        load: Load,
        plan: WindowPlan,
        longest: Longest,
        fire: Tick,
        fired: BTreeMap<AgentIx, Tick>,
    ) -> Self {
        let stage = Stage::Rising(Wait::Ramp);
        let look_at = Duration::ZERO;
        Self { load, plan, longest, fire, live: Live::new(load, fired), stage, look_at }
    }

    /// Takes in a snapshot; an older one than is known changes nothing.
    pub fn absorb(&mut self, agent: AgentIx, snapshot: Snapshot) {
        self.live.absorb(agent, snapshot);
    }

    /// What is to be done, if anything; each thing is said once. Instants are at least `ahead`
    /// in the future.
    pub fn decide(&mut self, now: Tick, ahead: Duration) -> Option<Decision> {
        let at = now.since(self.fire);
        let reported = self.live.horizon();
        let look = reported >= self.look_at;
        if look {
            self.look_at = reported + LOOK_EVERY;
        }
        match &mut self.stage {
            Stage::Rising(wait) => {
                let up = look && {
                    let next = rise::look(&self.live, self.load, self.longest.pause);
                    *wait = next.unwrap_or(*wait);
                    next.is_none()
                };
                let turn = self.live.mean_duration();
                if !up && at < rise::budget(self.load, self.longest, turn) {
                    return None;
                }
                let grain = self.grain(at);
                let from = align(at + ahead, grain);
                let length = Length::new(self.plan, from, turn, grain);
                self.stage = Stage::Measuring { from, length };
                Some(Decision::Measure { from })
            }
            Stage::Measuring { from, length } => {
                if look {
                    length.look(&self.live);
                }
                let (from, until) = (*from, length.end(&self.live, at, ahead)?);
                self.stage = Stage::Draining { from, until, patience: patience(&self.live) };
                Some(Decision::Release { until })
            }
            Stage::Draining { until, patience, .. } => {
                if look {
                    *patience = self::patience(&self.live);
                }
                let is_followed = self.live.following_since(*until) == Some(0);
                if !is_followed && at < *until + *patience {
                    return None;
                }
                self.stage = Stage::Over;
                Some(Decision::Drained)
            }
            Stage::Over => None,
        }
    }

    /// What the level does now.
    pub fn progress(&self, now: Tick) -> Progress {
        let at = now.since(self.fire);
        match &self.stage {
            Stage::Rising(wait) => Progress::Rising(*wait),
            Stage::Measuring { length, .. } => length.progress(&self.live, at),
            Stage::Draining { from, until, .. } if at < *until => {
                let of = until.saturating_sub(*from);
                Progress::Measuring { gone: at.saturating_sub(*from), of, requests: None }
            }
            Stage::Draining { .. } | Stage::Over => {
                Progress::Draining { following: self.live.following() }
            }
        }
    }

    /// The width of the series' slots at the end of the longest window from here: where it begins
    /// and ends, no slot is cut, however wide slots become.
    fn grain(&self, at: Duration) -> Duration {
        let end = duration_ns(at.saturating_add(self.plan.most).saturating_add(DRAIN_MAX * 2));
        let fits = |slot_ns: &u64| slot_ns.saturating_mul(SLOTS_MAX as u64) > end;
        let mut widths = std::iter::successors(Some(SLOT_NS), |slot_ns| slot_ns.checked_mul(2));
        Duration::from_nanos(widths.find(fits).unwrap_or(SLOT_NS))
    }
}

/// How long after its end a window's requests are followed: three times the time within which 99 %
/// of the successes ended, or that requests lasted on average where that is longer, as where they
/// fail.
fn patience(live: &Live) -> Duration {
    let seen = live.latency_p99().max(live.mean_duration()).unwrap_or_default();
    seen.saturating_mul(3).clamp(DRAIN_MIN, DRAIN_MAX)
}

/// The next whole multiple of `grain`.
fn align(at: Duration, grain: Duration) -> Duration {
    let grain = duration_ns(grain).max(1);
    Duration::from_nanos(duration_ns(at).div_ceil(grain).saturating_mul(grain))
}

#[cfg(test)]
mod tests;
