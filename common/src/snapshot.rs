//! Cumulative states on their way from an agent to the coordinator.
//!
//! They carry totals, never differences: the newest wins, so losing, repeating or reordering
//! snapshots cannot change a total.

use crate::health::Health;
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
    /// Cumulative state. A running level's snapshot leaves the target's words out.
    pub tally: Tally,
    /// The agent's condition.
    pub vitals: Vitals,
}

/// An agent's final state of a level. It is kept until the coordinator has stored it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The last snapshot, complete.
    pub snapshot: Snapshot,
    /// Why the level is over on this agent.
    pub end: LevelEnd,
}

/// Why a level is over on an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LevelEnd {
    /// All requests have ended; or the window is over, and what was still open was cut as planned.
    Completed,
    /// The coordinator stopped it.
    Stopped,
    /// The lease ran out.
    LeaseExpired,
    /// The generator failed, and why; its numbers are void.
    Faulted(String),
}

/// A worker that uses more than this share of a core has none to spare (the method, section 3.12).
pub const BUSY_CPU: f64 = 0.85;

/// An agent's condition during a level.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vitals {
    /// The busiest worker's share of a core over the last second, 0 to 1.
    pub worker_cpu: f64,
    /// The highest such share of the measured time.
    pub worker_cpu_max: f64,
    /// Of all workers the largest share of the measured time spent with more than
    /// [`BUSY_CPU`] of a core in use, 0 to 1.
    pub busy_share: f64,
    /// The largest change of the host's wall clock against its monotonic clock since the level
    /// fired, in nanoseconds, either way.
    pub clock_step_ns: u64,
    /// Time that the host was suspended since the level fired, in nanoseconds.
    pub suspended_ns: u64,
    /// What its host told of the measured time; `None` before any of it is over.
    pub health: Option<Health>,
}

impl Eq for Vitals {}
