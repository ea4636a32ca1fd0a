//! Verdicts: named judgements with their evidence (the method, section 3.12).

use serde::{Serialize, Serializer};

use crate::merge::Fault;
use crate::record::LevelFate;

/// A judgement of a level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Its name.
    pub code: Code,
    /// What follows from it.
    pub effect: Effect,
    /// The numbers or the event behind it, in words.
    pub evidence: String,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $name:literal,)+) => {
        /// The verdicts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code { $($(#[$doc])* $code,)+ }

        impl Code {
            /// All verdicts.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$code),+];

            /// The name in reports and in `summary.json`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$code => $name,)+ }
            }
        }
    };
}

codes! {
    /// An agent was lost during the level.
    AgentLost = "AGENT_LOST",
    /// Records are missing or contradict themselves.
    RecordLoss = "RECORD_LOSS",
    /// The users asked for were not in flight.
    ConcurrencyNotReached = "CONCURRENCY_NOT_REACHED",
    /// The arrivals planned were not made, or not in time.
    RateNotReached = "RATE_NOT_REACHED",
    /// The generator was the limit.
    ClientLimited = "CLIENT_LIMITED",
    /// The window was not in a steady state.
    NotSteady = "NOT_STEADY",
    /// A quantile was asked of too few samples.
    TooFewSamples = "TOO_FEW_SAMPLES",
    /// Two ways to count what was in flight disagree.
    LittleViolated = "LITTLE_VIOLATED",
    /// The agents did not begin together.
    StartSkew = "START_SKEW",
    /// A clock was not good enough.
    Clock = "CLOCK",
    /// The work stated was not done, or levels did different work.
    WorkNotEqual = "WORK_NOT_EQUAL",
    /// A cache answered that nobody declared.
    CacheUndeclared = "CACHE_UNDECLARED",
    /// An agent saw another target than the fleet.
    AgentOutlier = "AGENT_OUTLIER",
    /// The client was not proven for what a level reached.
    Unproven = "UNPROVEN",
    /// Runs that are compared as one did not have the same server.
    ServerChanged = "SERVER_CHANGED",
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What follows from a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Effect {
    /// The level is no result for what was asked.
    Invalid,
    /// The numbers stand, and this must be known with them.
    Warn,
}

impl Effect {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invalid => "INVALID",
            Self::Warn => "WARN",
        }
    }
}

impl Verdict {
    /// Whether it strikes the level from headlines.
    pub fn strikes(&self) -> bool {
        match self.effect {
            Effect::Invalid => true,
            Effect::Warn => false,
        }
    }

    /// A verdict that strikes the level.
    pub(crate) fn invalid(code: Code, evidence: String) -> Self {
        Self { code, effect: Effect::Invalid, evidence }
    }

    /// A verdict that leaves the level standing.
    pub(super) fn warn(code: Code, evidence: String) -> Self {
        Self { code, effect: Effect::Warn, evidence }
    }

    /// The verdict of a fault found while merging.
    pub(super) fn of_fault(fault: &Fault, fate: Option<&LevelFate>) -> Self {
        let code = match fault {
            // Where the level was never finished, no agent is to blame.
            Fault::SealMissing { .. } if fate.is_none() => Code::RecordLoss,
            Fault::SealMissing { .. } | Fault::LeaseExpired { .. } | Fault::Quarantined { .. } => {
                Code::AgentLost
            }
            Fault::Contradiction { .. }
            | Fault::OtherWindow { .. }
            | Fault::Beyond { .. }
            | Fault::GeneratorFailed { .. }
            | Fault::Failed { .. } => Code::RecordLoss,
        };
        Self::invalid(code, fault.to_string())
    }
}
