//! What the machine is fed and what it asks for.

use std::time::Duration;

use common::ids::LevelId;
use common::snapshot::LevelEnd;
use serde::Serialize;

use crate::record::{LevelFate, RunOutcome};

/// An agent's place in the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AgentIx(pub u32);

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// An agent heard of the instant after it.
    TooLate {
        /// Which agent.
        agent: AgentIx,
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
    /// An operator wants the run to end.
    Interrupt,
}

/// An event as it is stored.
#[derive(Debug, Serialize)]
struct StoredEvent<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

impl Event {
    /// The event's name and body as they are stored.
    pub fn to_stored(&self) -> (&'static str, String) {
        let (kind, agent, level, text) = match self {
            Self::Armed { agent, level } => ("armed", Some(agent), Some(level), None),
            Self::NotArmed { agent, level, reason } => {
                ("not_armed", Some(agent), Some(level), Some(reason.as_str()))
            }
            Self::Fired { agent, level } => ("fired", Some(agent), Some(level), None),
            Self::TooLate { agent, level } => ("too_late", Some(agent), Some(level), None),
            Self::Sealed { agent, level, end } => {
                let end = match end {
                    LevelEnd::Completed => "completed",
                    LevelEnd::Stopped => "stopped",
                    LevelEnd::LeaseExpired => "lease_expired",
                    LevelEnd::Faulted(why) => why.as_str(),
                };
                ("sealed", Some(agent), Some(level), Some(end))
            }
            Self::Lost { agent, why } => ("lost", Some(agent), None, Some(why.as_str())),
            Self::Interrupt => ("interrupt", None, None, None),
        };
        let stored = StoredEvent {
            agent: agent.map(|agent| agent.0),
            level: level.map(|level| level.ordinal),
            attempt: level.map(|level| level.attempt),
            text,
        };
        let body = serde_json::to_string(&stored).unwrap_or_else(|_| "{}".to_owned());
        (kind, body)
    }
}

/// Something is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
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
