//! Where a run is, and why a level of it was stopped.

use std::collections::BTreeSet;
use std::time::Duration;

use common::time::Tick;

use super::{AgentIx, STOP_GRACE};

/// Where the run is.
#[derive(Debug)]
pub(super) enum State {
    /// Waiting until it is said what follows; the last level was over at an instant.
    Deciding { over: Tick, until: Tick },
    /// Waiting until the target is as the level wants it.
    Preparing { until: Tick },
    /// Waiting until every agent has prepared the level.
    Arming { waiting: BTreeSet<AgentIx>, until: Tick },
    /// Ordered to begin and not over; agents that have not sealed.
    Going { stage: Stage, unsealed: BTreeSet<AgentIx>, until: Tick },
    /// Stopped; waiting for the seals of those that had begun. Of the unfired it is not known.
    Stopping { unsealed: BTreeSet<AgentIx>, unfired: BTreeSet<AgentIx>, until: Tick, why: Why },
    /// The pause before the next level.
    Cooling { until: Tick },
    /// Over.
    Finished,
}

/// How far a level has come that was ordered to begin.
#[derive(Debug)]
pub(super) enum Stage {
    /// Waiting until every agent has acknowledged the instant.
    Firing { waiting: BTreeSet<AgentIx>, at: Tick },
    /// Waiting until every agent has made its requests.
    Counting,
    /// Waiting until the load is up.
    Rising { fire: Tick },
    /// The beginning of the window is ordered; waiting until it has lasted long enough.
    Measuring { fire: Tick, from: Duration },
    /// Its end is ordered, too; waiting until its requests have ended.
    Draining,
    /// The rest is cut; waiting until every agent has sealed.
    Sealing,
}

/// Why a level was stopped, and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// An operator wants the run to end.
    Interrupted,
    /// An agent came too late for an instant: try again.
    TooLate(String),
    /// An agent was lost or its lease ran out: the run ends.
    Lost(String),
    /// An agent stopped on its own: it says why as it leaves, and the run ends.
    Left { agent: AgentIx, text: String },
    /// An agent would not or could not prepare the level: the run ends.
    NotArmed(String),
    /// The generator failed: the run ends.
    Faulted(String),
}

impl Why {
    /// How long requests in flight may go on.
    pub(super) fn grace(&self) -> Duration {
        match self {
            Self::Interrupted => STOP_GRACE,
            Self::TooLate(_)
            | Self::Lost(_)
            | Self::Left { .. }
            | Self::NotArmed(_)
            | Self::Faulted(_) => Duration::ZERO,
        }
    }

    /// What a person is told.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Interrupted => "interrupted by the operator".to_owned(),
            Self::TooLate(text)
            | Self::Lost(text)
            | Self::Left { text, .. }
            | Self::Faulted(text) => text.clone(),
            Self::NotArmed(text) => format!("not ready: {text}"),
        }
    }
}
