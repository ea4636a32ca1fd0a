//! The whole fleet's numbers of one level: the seals of its agents, checked and added.
//!
//! Merging is integer addition, so neither the split of the users over agents nor the order of the
//! seals can change a total. A seal that contradicts itself, or another one's window, is refused and
//! never added; a level with a seal missing or refused is void, and says which agent is the cause.

use std::fmt;

use common::assignment::End;
use common::hist::LatencyHist;
use common::ids::Name;
use common::snapshot::{LevelEnd, Seal};
use common::tally::{ConservationError, Scope, Tally, Tokens};

use crate::record::{LevelFate, LevelRecord};

/// Largest count a level may reach: every count up to here is exact in a JSON number.
pub const COUNT_MAX: u64 = 1 << 53;

/// The numbers of one level over the fleet.
#[derive(Clone, Debug)]
pub struct LevelTotals<'a> {
    /// The sum of the accepted seals.
    pub tally: Tally,
    /// One entry per agent, in the order of the level's shares.
    pub parts: Vec<Part<'a>>,
    /// Requests planned of which nothing is known, because their agent's seal is missing or
    /// refused.
    pub unknown_requests: u64,
    /// Why the numbers are no result for this level; empty for a sound level.
    pub faults: Vec<Fault>,
}

/// One agent's part of a level.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// The agent.
    pub agent: &'a Name,
    /// Its users.
    pub users: u32,
    /// Its accepted seal.
    pub seal: Option<&'a Seal>,
}

/// Why the numbers of a level are no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An agent's seal never arrived.
    #[error("agent {agent} ({users} users) left no seal")]
    SealMissing {
        /// The agent.
        agent: Name,
        /// Its users.
        users: u32,
    },
    /// An agent's lease ran out: it stopped by itself.
    #[error("agent {agent} stopped by itself: its lease ran out")]
    LeaseExpired {
        /// The agent.
        agent: Name,
    },
    /// The level was given up because an agent was lost.
    #[error("the level was quarantined: {because}")]
    Quarantined {
        /// Why.
        because: String,
    },
    /// A seal contradicts itself.
    #[error("the seal of agent {agent} is refused: {source}")]
    Contradiction {
        /// The agent.
        agent: Name,
        /// How.
        source: ConservationError,
    },
    /// A seal is of another window than the level's.
    #[error("the seal of agent {agent} is refused: it measured {measured}, the level {level}")]
    OtherWindow {
        /// The agent.
        agent: Name,
        /// What it measured.
        measured: Measured,
        /// What the level says, or the seals before it do.
        level: Measured,
    },
    /// A seal holds numbers that no level can reach.
    #[error("the seal of agent {agent} is refused: its counts are beyond what a level can reach")]
    Beyond {
        /// The agent.
        agent: Name,
    },
    /// The generator failed on an agent.
    #[error("the generator failed on agent {agent}: {because}")]
    GeneratorFailed {
        /// The agent.
        agent: Name,
        /// Why.
        because: String,
    },
    /// The level failed.
    #[error("the level failed: {because}")]
    Failed {
        /// Why.
        because: String,
    },
}

/// Which part of a level a seal measures; instants in nanoseconds since the level fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    /// All of it.
    Whole,
    /// A window, as far as it is known.
    Window {
        /// Its first instant.
        from_ns: Option<u64>,
        /// The instant after its last one.
        until_ns: Option<u64>,
    },
}

impl<'a> LevelTotals<'a> {
    /// Checks and adds the seals of a level.
    pub fn of(level: &'a LevelRecord) -> Self {
        let mut totals = Self {
            tally: match level.planned.load.end {
                End::Requests(_) => Tally::default(),
                End::Window => Tally::windowed(),
            },
            parts: Vec::with_capacity(level.shares.len()),
            unknown_requests: 0,
            faults: Vec::new(),
        };
        match &level.fate {
            Some(LevelFate::Quarantined(because)) => {
                totals.faults.push(Fault::Quarantined { because: because.clone() })
            }
            Some(LevelFate::Failed(because)) => {
                totals.faults.push(Fault::Failed { because: because.clone() })
            }
            Some(LevelFate::Completed | LevelFate::Stopped(_)) | None => {}
        }
        for share in &level.shares {
            let seal = match accept(&totals.tally, &share.agent, share.users, &share.seal) {
                Ok(seal) => {
                    totals.tally.merge(&seal.snapshot.tally);
                    totals.faults.extend(end_fault(&share.agent, &seal.end));
                    Some(seal)
                }
                Err(fault) => {
                    totals.faults.push(fault);
                    None
                }
            };
            totals.parts.push(Part { agent: &share.agent, users: share.users, seal });
        }
        let load = level.planned.load;
        let agents = u32::try_from(totals.parts.len()).unwrap_or(u32::MAX);
        let unknown = (0..).zip(&totals.parts).filter(|(_, part)| part.seal.is_none());
        totals.unknown_requests =
            unknown.filter_map(|(index, _)| load.share(index, agents).requests(load)).sum();
        totals
    }

    /// The numbers are no result for this level.
    pub fn is_void(&self) -> bool {
        !self.faults.is_empty()
    }

    /// The highest share of a core that any worker of the fleet used.
    pub fn worker_cpu_max(&self) -> Option<f64> {
        let seals = self.parts.iter().filter_map(|part| part.seal);
        seals.map(|seal| seal.snapshot.vitals.worker_cpu_max).reduce(f64::max)
    }
}

fn accept<'a>(
    sum: &Tally,
    agent: &Name,
    users: u32,
    seal: &'a Option<Seal>,
) -> Result<&'a Seal, Fault> {
    let agent = || agent.clone();
    let Some(seal) = seal else {
        let agent = agent();
        return Err(Fault::SealMissing { agent, users });
    };
    let tally = &seal.snapshot.tally;
    if let Err(source) = tally.check_sealed() {
        let agent = agent();
        return Err(Fault::Contradiction { agent, source });
    }
    let (measured, level) = (Measured::of(tally.scope), Measured::of(sum.scope));
    if !measured.agrees(level, &seal.end) {
        return Err(Fault::OtherWindow { agent: agent(), measured, level });
    }
    if !fits(sum, tally) {
        return Err(Fault::Beyond { agent: agent() });
    }
    Ok(seal)
}

impl Measured {
    fn of(scope: Scope) -> Self {
        match scope {
            Scope::Whole => Self::Whole,
            Scope::Pending => Self::Window { from_ns: None, until_ns: None },
            Scope::Window(window) => {
                Self::Window { from_ns: Some(window.from_ns), until_ns: window.until_ns }
            }
        }
    }

    /// Whether a seal can be of the same level as others. One that completed knows both ends of its
    /// window; one that was stopped may not have heard of them.
    fn agrees(self, others: Self, end: &LevelEnd) -> bool {
        match (self, others) {
            (Self::Whole, Self::Whole) => true,
            (Self::Whole, Self::Window { .. }) | (Self::Window { .. }, Self::Whole) => false,
            (
                Self::Window { from_ns, until_ns },
                Self::Window { from_ns: others_from, until_ns: others_until },
            ) => {
                let same = |one: Option<u64>, other: Option<u64>| {
                    one.zip(other).is_none_or(|(one, other)| one == other)
                };
                let is_known = *end != LevelEnd::Completed || until_ns.is_some();
                is_known && same(from_ns, others_from) && same(until_ns, others_until)
            }
        }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |ns: Option<u64>| match ns {
            Some(ns) => format!("{:.9} s", ns as f64 / 1e9),
            None => "an unknown instant".to_owned(),
        };
        match *self {
            Self::Whole => f.write_str("all of it"),
            Self::Window { from_ns, until_ns } => {
                write!(f, "from {} to {}", seconds(from_ns), seconds(until_ns))
            }
        }
    }
}

/// Whether `more` can be added without a count growing past what is exact, so that a hostile seal
/// cannot make an addition overflow.
fn fits(sum: &Tally, more: &Tally) -> bool {
    let below_max = |a: u64, b: u64| a.checked_add(b).is_some_and(|all| all <= COUNT_MAX);
    let counts = numbers(sum).into_iter().zip(numbers(more));
    let hists = hists(sum).zip(hists(more));
    let area = sum.in_flight.area_ns().checked_add(more.in_flight.area_ns());
    counts.into_iter().all(|(a, b)| below_max(a, b))
        && hists.into_iter().all(|(a, b)| below_max(a.count(), b.count()))
        && area.is_some_and(|ns| u64::try_from(ns).is_ok())
}

fn numbers(tally: &Tally) -> [u64; 17] {
    let Tokens { prompt, completion, reasoning, cached_prompt, wasted, events, without_usage } =
        tally.tokens;
    // The endings of a checked tally sum to the requests begun.
    let started = tally.counts.started;
    let paper = &tally.paper;
    let window = tally.scope.window().copied().unwrap_or_default();
    let arrived = window.arrived;
    [
        window.following,
        arrived.requests,
        arrived.output,
        arrived.prompt,
        arrived.cached_prompt,
        arrived.wasted,
        started,
        prompt,
        completion,
        reasoning,
        cached_prompt,
        wasted,
        events,
        without_usage,
        paper.succeeded,
        paper.prompt,
        paper.completion,
    ]
}

fn hists(tally: &Tally) -> impl Iterator<Item = &LatencyHist> {
    let named = tally.latencies.each().map(|(_, hist)| hist);
    named.into_iter().chain([&tally.paper.latency])
}

fn end_fault(agent: &Name, end: &LevelEnd) -> Option<Fault> {
    let agent = agent.clone();
    match end {
        LevelEnd::Completed | LevelEnd::Stopped => None,
        LevelEnd::LeaseExpired => Some(Fault::LeaseExpired { agent }),
        LevelEnd::Faulted(because) => {
            Some(Fault::GeneratorFailed { agent, because: because.clone() })
        }
    }
}

#[cfg(test)]
mod tests;
