//! The campaign: what a run is to do, parsed once from file and flags into values that need no
//! further checking.

use std::path::PathBuf;
use std::time::Duration;

use common::ids::Name;
use common::phase::Phase;
use common::seed::Seed;
use common::target::Target;
use common::workload::Workload;

/// A campaign in which every value is valid.
#[derive(Clone, Debug, PartialEq)]
pub struct Campaign {
    /// Its name.
    pub name: Name,
    /// How levels end and how they are judged.
    pub mode: Mode,
    /// How much is measured.
    pub tier: Tier,
    /// The seed of every random choice.
    pub seed: Seed,
    /// The server under test.
    pub target: Target,
    /// Where the API key is found, if one is needed.
    pub api_key: Option<KeyRef>,
    /// How long to wait for the target to be ready.
    pub ready_timeout: Duration,
    /// The levels of each phase, in order. A phase without levels is left out.
    pub phases: Vec<PhasePlan>,
}

/// The levels of one phase.
#[derive(Clone, Debug, PartialEq)]
pub struct PhasePlan {
    /// The phase.
    pub phase: Phase,
    /// Its levels, in order; never empty.
    pub levels: Vec<LevelPlan>,
    /// The pause after each of its levels.
    pub cooldown: Duration,
}

/// One level as a campaign describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct LevelPlan {
    /// Users in flight asked for; at least 1.
    pub users: u32,
    /// Requests in all, the tier's factor applied; at least 1, and at least `users` unless
    /// `allow_capped`.
    pub requests: u64,
    /// Fewer requests than users are wanted: the level can never hold its users in flight.
    pub allow_capped: bool,
    /// What requests ask for.
    pub workload: Workload,
}

/// How levels end and how they are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As the paper did: a level is a count of requests, and the whole wall clock counts.
    Paper,
}

/// How much is measured: a factor on request counts (the paper, section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Half.
    Quick,
    /// As stated.
    Default,
    /// Three times.
    Thorough,
}

/// Where the API key is found. The key itself is read when the run begins and is never stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRef {
    /// An environment variable of the coordinator.
    Env(String),
    /// A file on the coordinator's host.
    File(PathBuf),
}
