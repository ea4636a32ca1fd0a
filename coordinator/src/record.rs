//! What a run leaves behind: the values that the store keeps and every report is made from.

use common::digest::Digest;
use common::ids::{BootId, LevelId, Name, RunId};
use common::snapshot::Seal;

use crate::campaign::{Judging, Mode, Tier};
use crate::plan::{Arm, PlannedLevel};
use crate::serving::Serving;
use crate::target::facts::Told;
use crate::target::identity::Identity;

/// A wall-clock instant in milliseconds since 1970, used as a label only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixMs(pub u64);

/// One run, finished or not.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRecord {
    /// What was known when the run began.
    pub header: RunHeader,
    /// The fleet.
    pub agents: Vec<AgentRecord>,
    /// The levels that were begun, in order; a repeated attempt has an entry of its own.
    pub levels: Vec<LevelRecord>,
    /// What the target said it is, in order.
    pub identities: Vec<IdentityRecord>,
    /// What commands told of the server, in order.
    pub facts: Vec<FactRecord>,
    /// How the run ended; `None` while it runs, or if it was killed.
    pub end: Option<RunEnd>,
}

impl RunRecord {
    /// The levels of the campaign, in order: those that are no proof of the client.
    pub fn measured(&self) -> impl Iterator<Item = &LevelRecord> {
        self.levels.iter().filter(|level| level.planned.proof.is_none())
    }
}

/// What the servers of a run said they are, in order. An ablation has two of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Servers<'a> {
    base: Vec<&'a IdentityRecord>,
    new: Vec<&'a IdentityRecord>,
}

impl<'a> Servers<'a> {
    /// Those of a run. What ran before an ablation started its first is neither of its two.
    pub fn of(record: &'a RunRecord) -> Self {
        let arm_at = |ordinal: u32| {
            let level = record.levels.iter().find(|level| level.id.ordinal == ordinal)?;
            level.planned.arm
        };
        let is_ablation = record.levels.iter().any(|level| level.planned.arm.is_some());
        let mut servers = Self::default();
        let mut runs: Option<bool> = (!is_ablation).then_some(false);
        for said in &record.identities {
            match said.asked {
                Asked::Restarted { ordinal } if is_ablation => {
                    runs = arm_at(ordinal).map(Arm::is_new_configuration);
                }
                Asked::Restarted { .. } | Asked::Began | Asked::Ended => {}
            }
            match runs {
                Some(false) => servers.base.push(said),
                Some(true) => servers.new.push(said),
                None => {}
            }
        }
        servers
    }

    /// What the server of an arm said, or that of a run without arms.
    pub fn of_arm(&self, arm: Option<Arm>) -> &[&'a IdentityRecord] {
        if arm.is_some_and(Arm::is_new_configuration) { &self.new } else { &self.base }
    }

    /// Each of them.
    pub fn each(&self) -> [&[&'a IdentityRecord]; 2] {
        [&self.base, &self.new]
    }
}

/// What was known when a run began.
#[derive(Clone, Debug, PartialEq)]
pub struct RunHeader {
    /// The run.
    pub run: RunId,
    /// The campaign's name.
    pub name: Name,
    /// Its mode.
    pub mode: Mode,
    /// Its tier.
    pub tier: Tier,
    /// Its seed.
    pub seed: u64,
    /// The base URL of the target.
    pub target: String,
    /// The model asked for.
    pub model: String,
    /// Whether responses were streamed.
    pub stream: bool,
    /// What levels are judged by.
    pub judging: Judging,
    /// What serves the model, as stated.
    pub serving: Serving,
    /// The campaign as resolved, in TOML, secrets by reference only.
    pub campaign_toml: String,
    /// SHA-256 of `campaign_toml`.
    pub campaign_sha256: Digest,
    /// Levels planned, proofs of the client aside.
    pub levels_planned: u32,
    /// When it began.
    pub started_at: UnixMs,
    /// Version of floodmark.
    pub tool_version: String,
}

/// One agent of a fleet.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentRecord {
    /// Its name; unique within a fleet.
    pub name: Name,
    /// Its boot.
    pub boot: BootId,
    /// Where it was dialled; `embedded` for an agent inside the coordinator.
    pub address: String,
    /// Its version of floodmark.
    pub version: String,
    /// Worker threads.
    pub workers: u32,
    /// Its monotonic clock minus the coordinator's, in µs.
    pub clock_offset_us: Option<f64>,
    /// Bound of the offset's error: half the best round trip, in µs.
    pub clock_error_us: Option<f64>,
}

/// What the target said it is, once.
#[derive(Clone, Debug, PartialEq)]
pub struct IdentityRecord {
    /// When in the run.
    pub asked: Asked,
    /// When.
    pub at: UnixMs,
    /// What it said.
    pub identity: Identity,
}

/// What a command told of the server, once.
#[derive(Clone, Debug, PartialEq)]
pub struct FactRecord {
    /// The fact.
    pub name: Name,
    /// When in the run.
    pub asked: Asked,
    /// When.
    pub at: UnixMs,
    /// What was told.
    pub told: Told,
}

impl FactRecord {
    /// What was told at `at`, of several facts.
    pub fn all(told: Vec<(Name, Told)>, asked: Asked, at: UnixMs) -> Vec<Self> {
        told.into_iter().map(|(name, told)| Self { name, asked, at, told }).collect()
    }
}

/// When in a run the target was asked what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Before anything was sent.
    Began,
    /// After a restart of the server.
    Restarted {
        /// The level before which it was restarted, by its place in the plan.
        ordinal: u32,
    },
    /// When the run was over.
    Ended,
}

/// One level that was begun.
#[derive(Clone, Debug, PartialEq)]
pub struct LevelRecord {
    /// Its place in the plan and the attempt.
    pub id: LevelId,
    /// What was planned.
    pub planned: PlannedLevel,
    /// Which agent had how many users.
    pub shares: Vec<ShareRecord>,
    /// When it fired; `None` if it never did.
    pub fired_at: Option<UnixMs>,
    /// How it ended; `None` while it runs, or if the run was killed.
    pub fate: Option<LevelFate>,
}

/// One agent's part of a level.
#[derive(Clone, Debug, PartialEq)]
pub struct ShareRecord {
    /// The agent.
    pub agent: Name,
    /// Its users.
    pub users: u32,
    /// What it recorded; `None` until it sealed, or if it was lost.
    pub seal: Option<Seal>,
}

/// How a level ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LevelFate {
    /// All its requests ended and every agent sealed.
    Completed,
    /// Stopped early, and why; what was sealed stays readable.
    Stopped(String),
    /// An agent was lost; the level's numbers are void.
    Quarantined(String),
    /// The generator failed; the level's numbers are void.
    Failed(String),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEnd {
    /// The outcome in one word.
    pub outcome: RunOutcome,
    /// The process's exit code.
    pub exit_code: u8,
    /// Why, in a sentence.
    pub because: String,
    /// When.
    pub finished_at: UnixMs,
}

/// The outcome of a run in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    /// Every level was run.
    Completed,
    /// Stopped before its end, by an operator or a policy.
    Stopped,
    /// Could not go on.
    Failed,
}
