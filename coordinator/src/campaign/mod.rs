//! The campaign: what a run is to do, parsed once from file and flags into values that need no
//! further checking.
//!
//! | Module | What it does |
//! |---|---|
//! | `raw` | merges file, flags and environment into one tree of values with origins |
//! | `read` | reads one value of a wanted type and range, or reports a problem |
//! | `parse`, `asked`, `law`, `cache`, `images`, `mixes`, `data`, `think`, `replay`, `phases`, `offered`, `ends`, `window`, `search`, `judging`, `server`, `facts`, `serving`, `repeats`, `ablation`, `proof`, `prompts` | know every key, its default and its limits |
//! | `problem` | what is wrong, where, and what would be right |
//! | `text` | writes a campaign back as TOML |
//!
//! Nothing here reads a file, the environment or a key.

mod ablation;
mod asked;
mod cache;
mod data;
mod ends;
mod facts;
mod images;
mod judging;
mod law;
mod mixes;
mod offered;
mod overlay;
mod parse;
mod phases;
mod problem;
mod prompts;
mod proof;
mod raw;
mod read;
mod repeats;
mod replay;
mod search;
mod server;
mod serving;
mod text;
mod think;
mod window;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use common::assignment::Load;
use common::extra::HeaderName;
use common::ids::Name;
use common::phase::Phase;
use common::seed::Seed;
use common::slo::Slo;
use common::target::Target;
use common::workload::Workload;

use crate::serving::Serving;

pub use ablation::Ablation;
pub use asked::ClientFiles;
pub(crate) use asked::unusual;
pub use data::{DataPlan, TracePace, Turns};
pub(crate) use judging::quantile_name;
pub(crate) use offered::{law_word, rate_text};
pub use overlay::{FlagValue, Overlay};
pub use problem::{Place, Problem, Problems};
pub(crate) use problem::{clip, nearest};
pub use prompts::{Lengths, PromptPlan};
pub use raw::Source;
pub use repeats::{Order, Repeats, ResetCache, Until};
pub(crate) use replay::speed_text;
pub use search::SearchPlan;
pub(crate) use search::{goal_word, rate_text as searched_rate_text};
pub use server::{CacheReset, RestartCommands, ServerPlan};

/// The campaign that a file and an overlay describe, or everything that is wrong with them.
///
/// Precedence: flag, environment, file, default. Without a file the overlay describes levels of
/// one workload named `default`.
pub fn resolve(file: Option<Source<'_>>, overlay: &Overlay) -> Result<Campaign, Problems> {
    let mut collector = raw::Collector { source: file, problems: Problems::default() };
    let campaign =
        overlay.merge(&mut collector).and_then(|root| parse::read_campaign(&root, &mut collector));
    match campaign {
        Some(campaign) if collector.problems.is_empty() => Ok(campaign),
        Some(_) | None => Err(collector.problems),
    }
}

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
    /// The server under test, without the authorities of `ca`.
    pub target: Target,
    /// The file with the certificates that its own is checked against, if not the public ones.
    pub ca: Option<PathBuf>,
    /// The files with the certificate that answers a target which asks for one.
    pub client: Option<ClientFiles>,
    /// Where the API key is found, if one is needed.
    pub api_key: Option<KeyRef>,
    /// Fields of a request's head whose values are secrets, and where they are found.
    pub secret_headers: Vec<(HeaderName, KeyRef)>,
    /// How long to wait for the target to be ready.
    pub ready_timeout: Duration,
    /// What may be done to the server.
    pub server: ServerPlan,
    /// What serves the model, as far as it is stated.
    pub serving: Serving,
    /// How often the levels are run.
    pub repeats: Repeats,
    /// The two configurations of the server that are compared, if it is an ablation.
    pub ablation: Option<Ablation>,
    /// What levels are judged by.
    pub judging: Judging,
    /// What is proven of the client.
    pub client_proof: ClientProof,
    /// The data sets that workloads take their prompts from, by workload.
    pub data: BTreeMap<Name, DataPlan>,
    /// The levels of each phase, in order. A phase without levels is left out.
    pub phases: Vec<PhasePlan>,
    /// Levels of the SATURATION phase that are found while they run, after all others.
    pub search: Option<SearchPlan>,
    /// How the prompts of each workload that a level has get their length.
    pub prompts: BTreeMap<Name, PromptPlan>,
}

impl Campaign {
    /// The workloads of its levels, as often as they are used.
    pub fn workloads(&self) -> impl Iterator<Item = &Workload> {
        let levels = self.phases.iter().flat_map(|phase| &phase.levels);
        let levels = levels.chain(self.search.as_ref().map(|search| &search.level));
        levels.map(|level| &level.workload)
    }

    /// The models that workloads name instead of the target's.
    pub fn models(&self) -> BTreeSet<&str> {
        let components = self.workloads().flat_map(Workload::components);
        let models = components.flat_map(|(component, _)| &component.models);
        models.map(|one| one.item.as_str()).collect()
    }
}

/// Whether a run proves that its client can do more than what it measures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClientProof {
    /// Before the first level.
    pub before: bool,
    /// After the last level.
    pub after: bool,
    /// How many times over; 1 to 10.
    pub headroom: f64,
}

/// The levels of one phase.
#[derive(Clone, Debug, PartialEq)]
pub struct PhasePlan {
    /// The phase.
    pub phase: Phase,
    /// Its levels, in order; never empty.
    pub levels: Vec<LevelPlan>,
}

/// One level as a campaign describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct LevelPlan {
    /// The load, the tier's factor applied to a count of requests; at least one user, and at
    /// least as many requests as users unless `allow_capped`.
    pub load: Load,
    /// How long it is measured; `None` where it ends by a count of requests.
    pub window: Option<WindowPlan>,
    /// Fewer requests than users are wanted: the level can never hold its users in flight.
    pub allow_capped: bool,
    /// What requests ask for.
    pub workload: Workload,
    /// The pause after it, unless it is the last of the run.
    pub cooldown: Duration,
}

/// What levels are judged by, beside the limits that are the same for every run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judging {
    /// What a request must meet to be good.
    pub slo: Slo,
    /// The share of requests that must meet each objective for a level to meet it, 0 to 1.
    pub quantile: f64,
    /// What the target runs on, as far as it is stated.
    pub hardware: Hardware,
}

/// What the target runs on, for rates per unit of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hardware {
    /// GPUs in use; above 0.
    pub gpus: Option<f64>,
    /// Parameters active per token, in billions; above 0.
    pub active_params_b: Option<f64>,
    /// Power drawn, in watts; above 0.
    pub watts: Option<f64>,
}

impl Default for Judging {
    fn default() -> Self {
        Self { slo: Slo::default(), quantile: 0.99, hardware: Hardware::default() }
    }
}

/// How long the window of a level is.
///
/// It lasts until every one of these is reached, or `most` has passed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowPlan {
    /// Seconds at least; with `most` alike, a fixed length.
    pub least: Duration,
    /// At most; a window that reached it short of the rest is judged by what it holds.
    pub most: Duration,
    /// Mean durations of a request, as seen while the load rose; 0 for a length that is stated.
    pub turns: u32,
    /// Requests intended in it; 0 for a length that is stated.
    pub requests: u64,
    /// Go on until the 95 % interval of the throughput is within 2 % of its mean (the method,
    /// section 3.10).
    pub precise: bool,
}

/// How levels end and how they are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As the paper did: a level is a count of requests, and the whole wall clock counts.
    Paper,
    /// A level is measured by a window inside steady load, unless a count of requests is stated.
    Floodmark,
}

impl Mode {
    /// All modes.
    pub const ALL: [Self; 2] = [Self::Paper, Self::Floodmark];

    /// The name in campaign files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Floodmark => "floodmark",
        }
    }
}

/// How much is measured: a factor on request counts (the paper, section 5.1), and how long a window
/// is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Half.
    Quick,
    /// As stated.
    Default,
    /// Three times.
    Thorough,
}

impl Tier {
    /// All tiers.
    pub const ALL: [Self; 3] = [Self::Quick, Self::Default, Self::Thorough];

    /// The name in campaign files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Default => "default",
            Self::Thorough => "thorough",
        }
    }

    /// The requests that are made where a campaign states `requests`: a half, rounded up, as many,
    /// or three times as many.
    pub fn scale(self, requests: u64) -> u64 {
        match self {
            Self::Quick => requests.div_ceil(2),
            Self::Default => requests,
            Self::Thorough => requests.saturating_mul(3),
        }
    }

    /// The smallest number that a campaign can state so that at least `requests` are made.
    pub fn least_stated(self, requests: u64) -> u64 {
        match self {
            Self::Quick => requests.saturating_mul(2).saturating_sub(1),
            Self::Default => requests,
            Self::Thorough => requests.div_ceil(3),
        }
    }
}

/// Where a secret is found: the API key, the value of a header. The secret itself is read when the run begins and is never stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRef {
    /// An environment variable of the coordinator.
    Env(String),
    /// A file on the coordinator's host.
    File(PathBuf),
}
