//! Cumulative states on their way from an agent to the coordinator.
//!
//! They carry totals, never differences: the newest wins, so losing, repeating or reordering
//! snapshots cannot change a total.

use crate::ids::{BootId, Epoch, LevelId};
use crate::tally::Tally;
use crate::time::Tick;

/// Who speaks, about what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// The agent's boot.
    pub boot: BootId,
    /// The acquisition.
    pub epoch: Epoch,
    /// The level.
    pub level: LevelId,
}

/// The state of a running level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Who speaks, about what.
    pub origin: Origin,
    /// Rises with every snapshot of an origin; the seal has the highest.
    pub sequence: u64,
    /// When it was taken, on the agent's clock.
    pub at: Tick,
    /// Cumulative state. A running level's snapshot leaves the in-flight series out.
    pub tally: Tally,
    /// The agent's condition.
    pub vitals: Vitals,
}

/// An agent's final state of a level. It is kept until the coordinator has stored it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The last snapshot, with the in-flight series.
    pub snapshot: Snapshot,
    /// Why the level is over on this agent.
    pub end: LevelEnd,
}

/// Why a level is over on an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LevelEnd {
    /// All requests have ended.
    Completed,
    /// The coordinator stopped it.
    Stopped,
    /// The lease ran out.
    LeaseExpired,
    /// The generator failed, and why; its numbers are void.
    Faulted(String),
}

/// An agent's condition during a level.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Vitals {
    /// The busiest worker's share of a core over the last second, 0 to 1.
    pub worker_cpu: f64,
    /// The highest such share of the level.
    pub worker_cpu_max: f64,
}

impl Eq for Vitals {}
