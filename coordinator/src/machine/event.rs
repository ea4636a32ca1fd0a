//! What the machine is fed and what it asks for.

use std::time::Duration;

use common::ids::LevelId;
use common::snapshot::LevelEnd;
use common::time::duration_ns;
use serde::Serialize;

use crate::plan::{PlannedLevel, Preparation};
use crate::record::{LevelFate, RunOutcome};
use crate::store::planned_json;

/// An agent's place in the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AgentIx(pub u32);

/// Something happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// An agent has prepared the level and understood the same as the coordinator.
    Armed {
        /// Which agent.
        agent: AgentIx,
        /// The level.
        level: LevelId,
    },
    /// An agent cannot run the level.
    NotArmed {
        /// Which agent.
        agent: AgentIx,
        /// The level.
        level: LevelId,
        /// Why, and what to do.
        reason: String,
    },
    /// An agent will begin at the instant.
    Fired {
        /// Which agent.
        agent: AgentIx,
        /// The level.
        level: LevelId,
    },
    /// An agent heard of an instant after it.
    TooLate {
        /// Which agent.
        agent: AgentIx,
        /// The level.
        level: LevelId,
    },
    /// The load is up: the window is to begin.
    LoadUp {
        /// The level.
        level: LevelId,
        /// Where, from the instant at which the level fired; in the future.
        from: Duration,
    },
    /// The window has lasted long enough.
    Enough {
        /// The level.
        level: LevelId,
        /// Where it is to end, from the instant at which the level fired; in the future.
        until: Duration,
    },
    /// Every request of the window has ended, or was waited for long enough.
    Drained {
        /// The level.
        level: LevelId,
    },
    /// An agent's seal has been checked and stored.
    Sealed {
        /// Which agent.
        agent: AgentIx,
        /// The level.
        level: LevelId,
        /// How the level ended there.
        end: LevelEnd,
    },
    /// An agent is gone.
    Lost {
        /// Which agent.
        agent: AgentIx,
        /// What was seen.
        why: String,
    },
    /// What was to be done before a level is done.
    Prepared {
        /// The level.
        level: LevelId,
    },
    /// It could not be done.
    PrepareFailed {
        /// The level.
        level: LevelId,
        /// What failed, and what it printed.
        why: String,
    },
    /// What follows the levels known so far.
    Decided {
        /// The levels; none if the run is complete.
        levels: Vec<PlannedLevel>,
        /// Why, in a sentence.
        because: String,
    },
    /// An operator wants the run to end.
    Interrupt,
}

/// An event as it is stored.
#[derive(Debug, Default, Serialize)]
struct StoredEvent<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// Levels in full: whoever takes the inputs in again decides nothing anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    levels: Option<Vec<serde_json::Value>>,
}

impl Event {
    /// Order in which the events of one turn are fed: what ends a run comes first, but a seal that
    /// has been stored still counts if its agent was lost right after.
    pub fn gravity(&self) -> u8 {
        match self {
            Self::Interrupt => 0,
            Self::Sealed { .. } => 1,
            Self::Lost { .. } => 2,
            Self::NotArmed { .. } | Self::TooLate { .. } => 3,
            Self::Armed { .. }
            | Self::Fired { .. }
            | Self::Prepared { .. }
            | Self::PrepareFailed { .. }
            | Self::Decided { .. } => 4,
            Self::LoadUp { .. } | Self::Enough { .. } | Self::Drained { .. } => 5,
        }
    }

    /// The event's name and body as they are stored.
    pub fn to_stored(&self) -> (&'static str, String) {
        let of = |agent: &AgentIx, level: &LevelId| StoredEvent {
            agent: Some(agent.0),
            ..StoredEvent::of(level)
        };
        let (kind, stored) = match self {
            Self::Armed { agent, level } => ("armed", of(agent, level)),
            Self::NotArmed { agent, level, reason } => {
                ("not_armed", StoredEvent { text: Some(reason), ..of(agent, level) })
            }
            Self::Fired { agent, level } => ("fired", of(agent, level)),
            Self::TooLate { agent, level } => ("too_late", of(agent, level)),
            Self::LoadUp { level, from } => ("load_up", StoredEvent::at(level, *from)),
            Self::Enough { level, until } => ("enough", StoredEvent::at(level, *until)),
            Self::Drained { level } => ("drained", StoredEvent::of(level)),
            Self::Sealed { agent, level, end } => {
                let end = match end {
                    LevelEnd::Completed => "completed",
                    LevelEnd::Stopped => "stopped",
                    LevelEnd::LeaseExpired => "lease_expired",
                    LevelEnd::Faulted(why) => why.as_str(),
                };
                ("sealed", StoredEvent { text: Some(end), ..of(agent, level) })
            }
            Self::Lost { agent, why } => {
                let (agent, text) = (Some(agent.0), Some(why.as_str()));
                ("lost", StoredEvent { agent, text, ..StoredEvent::default() })
            }
            Self::Prepared { level } => ("prepared", StoredEvent::of(level)),
            Self::PrepareFailed { level, why } => {
                ("prepare_failed", StoredEvent { text: Some(why), ..StoredEvent::of(level) })
            }
            Self::Decided { levels, because } => {
                let levels = Some(levels.iter().map(planned_json).collect());
                let text = Some(because.as_str());
                ("decided", StoredEvent { text, levels, ..StoredEvent::default() })
            }
            Self::Interrupt => ("interrupt", StoredEvent::default()),
        };
        let body = serde_json::to_string(&stored).unwrap_or_else(|_| "{}".to_owned());
        (kind, body)
    }
}

impl StoredEvent<'_> {
    fn of(level: &LevelId) -> Self {
        let (level, attempt) = (Some(level.ordinal), Some(level.attempt));
        Self { level, attempt, ..Self::default() }
    }

    fn at(level: &LevelId, offset: Duration) -> Self {
        Self { offset_ns: Some(duration_ns(offset)), ..Self::of(level) }
    }
}

/// Something is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Say what follows the levels known so far.
    Decide,
    /// Do something to the target before a level.
    Prepare {
        /// The level.
        level: LevelId,
        /// What.
        what: Preparation,
    },
    /// Give every agent its share of the level.
    Arm {
        /// The level.
        level: LevelId,
    },
    /// Order every agent to begin at one instant, this far ahead or farther.
    Fire {
        /// The level.
        level: LevelId,
        /// How far ahead.
        ahead: Duration,
    },
    /// Order every agent to measure from an instant on.
    Measure {
        /// The level.
        level: LevelId,
        /// From when the level fired.
        from: Duration,
    },
    /// Order every agent to measure up to an instant and to keep up the load after it.
    Release {
        /// The level.
        level: LevelId,
        /// From when the level fired.
        until: Duration,
    },
    /// Order every agent to cut what is open and to seal.
    EndLevel {
        /// The level.
        level: LevelId,
    },
    /// Order every agent to start no further request and to cut the rest after `grace`.
    Stop {
        /// The level.
        level: LevelId,
        /// How long requests in flight may go on.
        grace: Duration,
    },
    /// Tell an agent that its seal is stored.
    AckSeal {
        /// Which agent.
        agent: AgentIx,
        /// The level.
        level: LevelId,
    },
    /// The level is over.
    LevelOver {
        /// The level.
        level: LevelId,
        /// How it ended.
        fate: LevelFate,
    },
    /// The run is over.
    Finish {
        /// The outcome.
        outcome: RunOutcome,
        /// The process's exit code.
        exit_code: u8,
        /// Why, in a sentence.
        because: String,
    },
}
