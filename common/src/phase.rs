//! The five phases of a campaign.

use std::fmt;
use std::str::FromStr;

/// A phase. Phases run in the order of [`Phase::ALL`]; what happens inside one is data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Wakes the server up; its numbers are shown and never judged against others.
    Warmup,
    /// One user: the latency that later levels are compared with.
    Baseline,
    /// Rising loads.
    Scaling,
    /// Loads of other shapes: long contexts, long outputs.
    Stress,
    /// High loads until throughput stops rising.
    Saturation,
}

impl Phase {
    /// All phases, in the order in which they run.
    pub const ALL: [Self; 5] =
        [Self::Warmup, Self::Baseline, Self::Scaling, Self::Stress, Self::Saturation];

    /// The phase's place in the order, from 0.
    pub fn number(self) -> u8 {
        match self {
            Self::Warmup => 0,
            Self::Baseline => 1,
            Self::Scaling => 2,
            Self::Stress => 3,
            Self::Saturation => 4,
        }
    }

    /// The phase with this place in the order.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.number() == number)
    }

    /// The name in upper case, as reports and `summary.json` print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Warmup => "WARMUP",
            Self::Baseline => "BASELINE",
            Self::Scaling => "SCALING",
            Self::Stress => "STRESS",
            Self::Saturation => "SATURATION",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Phase {
    type Err = UnknownPhase;

    fn from_str(text: &str) -> Result<Self, UnknownPhase> {
        Self::ALL.into_iter().find(|phase| phase.name() == text).ok_or(UnknownPhase)
    }
}

/// The text names no phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a phase is one of WARMUP, BASELINE, SCALING, STRESS, SATURATION")]
pub struct UnknownPhase;
