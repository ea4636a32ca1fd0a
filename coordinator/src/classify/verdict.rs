//! Verdicts: named judgements with their evidence (the method, section 3.12).

use common::assignment::Load;
use common::tally::Tally;
use serde::{Serialize, Serializer};

use crate::merge::Fault;
use crate::record::LevelFate;
use crate::stats;

/// In-flight mean below this part of the users asked for is not their load.
const CONCURRENCY_MIN: f64 = 0.98;

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

/// The verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The users asked for were not in flight.
    ConcurrencyNotReached,
    /// An agent was lost during the level.
    AgentLost,
    /// Records are missing or contradict themselves.
    RecordLoss,
    /// The work stated was not done, or levels did different work.
    WorkNotEqual,
    /// Runs that are compared as one did not have the same server.
    ServerChanged,
}

impl Code {
    /// The name in reports and in `summary.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConcurrencyNotReached => "CONCURRENCY_NOT_REACHED",
            Self::AgentLost => "AGENT_LOST",
            Self::RecordLoss => "RECORD_LOSS",
            Self::WorkNotEqual => "WORK_NOT_EQUAL",
            Self::ServerChanged => "SERVER_CHANGED",
        }
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Code {
    /// All verdicts.
    pub const ALL: [Self; 5] = [
        Self::ConcurrencyNotReached,
        Self::AgentLost,
        Self::RecordLoss,
        Self::WorkNotEqual,
        Self::ServerChanged,
    ];
}

/// What follows from a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Effect {
    /// The level is no result for what was asked.
    Invalid,
}

impl Verdict {
    /// Whether it strikes the level from headlines.
    pub fn strikes(&self) -> bool {
        match self.effect {
            Effect::Invalid => true,
        }
    }

    /// The verdict of a fault found while merging.
    pub(crate) fn of_fault(fault: &Fault, fate: Option<&LevelFate>) -> Self {
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
        Self { code, effect: Effect::Invalid, evidence: fault.to_string() }
    }
}

/// What is known of a level's requests in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Achieved {
    /// Mean, from the first send to the last end.
    pub(crate) mean: Option<f64>,
    /// Share of that time below 95 % of the users.
    pub(crate) below_95pct_share: Option<f64>,
    /// The same by Little's law, as a check.
    pub(crate) little: Option<f64>,
}

/// Whether the users asked for were in flight. The mean is over the whole level, ramp and drain
/// included, so a level of few turns with a long drain does not reach its users either.
pub(crate) fn concurrency(load: Load, achieved: Achieved) -> Option<Verdict> {
    let mut evidence = Vec::new();
    if let Some(requests) = load.requests()
        && requests < u64::from(load.users)
    {
        evidence.push(format!(
            "at most {} of {} users could be in flight ({} requests planned)",
            load.in_flight_max(),
            load.users,
            requests
        ));
    }
    if let Some(mean) = achieved.mean
        && mean < CONCURRENCY_MIN * f64::from(load.users)
    {
        let mut text = format!(
            "{mean:.1} of {} users were in flight on average, ramp and drain included",
            load.users
        );
        if let Some(little) = achieved.little {
            text.push_str(&format!(" (rate times latency: {little:.1})"));
        }
        if let Some(share) = achieved.below_95pct_share {
            let percent = share * 100.0;
            text.push_str(&format!(", below 95 % of them for {percent:.1} % of the time"));
        }
        evidence.push(text);
    }
    (!evidence.is_empty()).then(|| Verdict {
        code: Code::ConcurrencyNotReached,
        effect: Effect::Invalid,
        evidence: evidence.join("; "),
    })
}

/// In flight by Little's law: requests per second times their mean latency. Only successes have a
/// latency, so `None` if any request ended otherwise.
pub(crate) fn little(tally: &Tally, wall_s: Option<f64>) -> Option<f64> {
    let counts = &tally.counts;
    if counts.succeeded < counts.started {
        return None;
    }
    let rate = stats::ratio(counts.succeeded as f64, wall_s?)?;
    Some(stats::in_flight(rate, tally.latencies.e2e.mean_us()? / 1e6))
}
