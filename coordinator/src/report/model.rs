//! The values of a report. Each is computed once, in `build.rs`; the field order is that of
//! `summary.json`. What is undefined or unknown is `None`, never 0.

use std::collections::BTreeMap;

use common::phase::Phase;
use serde::{Serialize, Serializer};

use super::client::{Client, HostReport};
use super::data::{DataUsed, Think};
use super::images::ImagesReport;
use super::prompts::Prompts;
use super::proof::ClientProof;
use super::repeats::RepeatedLevel;
use super::saturation::Saturation;
use super::server_history::TargetIdentity;
use super::serving::ServingReport;
use super::slices::SliceReport;
use crate::classify::Verdict;
use crate::compare::Ablated;
use crate::plan::Arm;
use crate::record::{RunHeader, UnixMs};
use crate::stats::Objective;

pub use super::latencies::{
    Distribution, Ends, LatencyMs, MaybeInfinite, Real, Sketch, WithFailures,
};

/// Everything that a report shows.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportModel {
    /// What was known when the run began.
    pub header: RunHeader,
    /// When the run ended.
    pub finished_at: Option<UnixMs>,
    /// The outcome in one word, as in `summary.json`.
    pub outcome: &'static str,
    /// The process's exit code; `None` if the run has not ended.
    pub exit_code: Option<u8>,
    /// Why the run ended, in a sentence.
    pub ended_because: String,
    /// The fleet.
    pub agents: Vec<AgentLine>,
    /// 99th percentile of the BASELINE level's latency, as the paper's client takes it.
    pub baseline_p99_ms: Option<Real>,
    /// The levels that were begun, in order.
    pub levels: Vec<LevelReport>,
    /// The level with the most tok/s.
    pub peak: Option<Peak>,
    /// Where the target saturates.
    pub saturation: Saturation,
    /// What was proven of the client.
    pub client_proof: Vec<ClientProof>,
    /// Levels that were run more than once, over their repeats.
    pub repeats: Vec<RepeatedLevel>,
    /// The comparisons of an ablation.
    pub ablation: Option<Ablated>,
    /// What the target said it is.
    pub target: TargetIdentity,
    /// What serves the model.
    pub serving: ServingReport,
    /// What is damaged in the result directory.
    pub damage: Vec<String>,
}

/// An agent of the fleet.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AgentLine {
    /// Its name.
    pub name: String,
    /// Its boot.
    pub agent_id: String,
    /// Where it was dialled.
    pub address: String,
    /// Its version.
    pub version: String,
    /// Its worker threads.
    pub workers: u32,
    /// Its clock minus the coordinator's.
    pub clock_offset_us: Option<Real>,
    /// Bound of the offset's error.
    pub clock_error_us: Option<Real>,
}

/// One level.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LevelReport {
    /// Its phase.
    #[serde(serialize_with = "phase_name")]
    pub phase: Phase,
    /// Its name; with the achieved number in flight where that is not the number asked for.
    pub label: String,
    /// Which repeat of the level this is, from 0.
    pub repeat: u32,
    /// What the start of the server is for that it was measured on; `None` unless the run is an
    /// ablation.
    pub arm: Option<Arm>,
    /// Which try of the repeat, from 0.
    pub attempt: u32,
    /// The name of its workload.
    pub workload: String,
    /// What its prompts were made of.
    pub prompts: Vec<Prompts>,
    /// What its prompts were taken from, if not passages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<DataUsed>,
    /// How long users thought after an answer, if they did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub think_time_s: Option<Think>,
    /// Users in flight asked for; of an open loop the most requests that may be in flight.
    pub users_asked: u32,
    /// Requests per second asked for; `None` for a closed loop.
    pub rate_asked_per_s: Option<Real>,
    /// Mean in flight over the part that is measured.
    pub in_flight_mean: Option<Real>,
    /// The smallest mean of a slot of time that lies in that part.
    pub in_flight_min: Option<Real>,
    /// Upper bound of the requests in flight at one instant.
    pub in_flight_peak: Option<u32>,
    /// Share of the time with less than 95 % of the users asked for in flight.
    pub in_flight_below_95pct_share: Option<Real>,
    /// All requests by how they ended.
    pub requests: Requests,
    /// Those that are measured.
    pub measured: MeasuredRequests,
    /// Tokens of successful measured requests.
    pub tokens: TokenSums,
    /// Images of successful measured requests, where requests have any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<ImagesReport>,
    /// From the first send to the last end.
    pub wall_s: Option<Real>,
    /// The part of the level that is measured.
    pub window: Window,
    /// Rates over the part that is measured.
    pub rates: Rates,
    /// How many independent samples the measured successes are worth.
    pub n_eff: Option<Real>,
    /// Latencies of measured successes.
    pub latency_ms: LatencyMs<Distribution>,
    /// The same apart by what requests share.
    pub slices: Vec<SliceReport>,
    /// The same requests as the paper's client would have counted them.
    pub paper: Paper,
    /// The headline of the run's mode: the paper's status, or that of the axes; `None` if the level
    /// is no result.
    pub status: Option<&'static str>,
    /// The axes of floodmark's own classifier.
    pub axes: Axes,
    /// Judgements with their evidence.
    pub verdicts: Vec<Verdict>,
    /// The generator's own health.
    pub client: Client,
    /// What each agent contributed.
    pub per_agent: Vec<PerAgent>,
    /// SHA-256 of the merged histograms' canonical bytes.
    pub histogram_sha256: String,
    /// Whether it was finished.
    #[serde(skip)]
    pub state: LevelState,
    /// Only the requests intended in a window are measured, not all of them.
    #[serde(skip)]
    pub in_window: bool,
    /// Its name in the plan.
    #[serde(skip)]
    pub planned_label: String,
    /// What a search ran it for; `None` of a level that the campaign states.
    pub purpose: Option<&'static str>,
    /// What a search asks of it.
    #[serde(skip)]
    pub facts: Facts,
}

/// What is known of a level by itself, whatever other levels say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its place in the run's plan.
    pub ordinal: u32,
    /// Too many of its requests failed.
    pub failing: bool,
    /// What became of the objectives.
    pub objective: Option<Objective>,
    /// SERVER_CHANGED strikes it, and that was found when the run was over: while it ran, nobody
    /// could know.
    pub changed_later: bool,
    /// It is an open loop whose requests pile up.
    pub piles_up: bool,
}

/// Whether a level was finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LevelState {
    /// All its requests ended.
    Complete,
    /// Stopped early, and why.
    Stopped(String),
    /// It runs, or the run was killed.
    Unfinished,
    /// Its numbers are no result; the verdicts say why.
    Void,
}

/// Requests by how they ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Requests {
    /// Begun.
    pub started: u64,
    /// Ended well.
    pub succeeded: u64,
    /// Failed.
    pub failed: u64,
    /// Cut by floodmark.
    pub censored: u64,
    /// Planned, with an agent that left no usable seal.
    pub unknown: u64,
    /// Failed and censored requests by class; classes that did not occur are left out.
    pub by_class: BTreeMap<&'static str, u64>,
    /// By class, what the target said about one of these failures: of all that it said, the text
    /// that sorts first.
    pub first_detail: BTreeMap<&'static str, String>,
}

/// Tokens of successful requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TokenSums {
    /// Prompt tokens.
    pub prompt: Option<u64>,
    /// Completion tokens, reasoning included.
    pub completion: Option<u64>,
    /// Completion tokens that were reasoning.
    pub reasoning: Option<u64>,
    /// Prompt tokens that came from a cache.
    pub cached_prompt: Option<u64>,
    /// Where the counts come from; `None` without a success.
    pub source: Option<TokenSource>,
}

/// Where token counts come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenSource {
    /// The server's `usage`, for every success.
    Usage,
    /// The server's `usage` for some successes; the sums are lower bounds.
    Mixed,
    /// The server gave no counts.
    None,
}

/// The measured part of a level, in seconds since it fired. A level that ends by a count of
/// requests is measured whole.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Window {
    /// Its beginning.
    pub start_s: Option<Real>,
    /// Its end.
    pub end_s: Option<Real>,
    /// Whether the load was steady in it.
    pub steady: Option<bool>,
}

/// Measured requests by how they ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MeasuredRequests {
    /// Intended in the part that is measured; of an open loop as planned.
    pub intended: u64,
    /// Begun.
    pub started: u64,
    /// Ended well.
    pub succeeded: u64,
    /// Failed.
    pub failed: u64,
    /// Cut by floodmark.
    pub censored: u64,
    /// Failed and censored ones by class; classes that did not occur are left out.
    pub by_class: BTreeMap<&'static str, u64>,
}

/// Rates over the part of a level that is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rates {
    /// Requests that ended well.
    pub requests_per_s: Option<Real>,
    /// Token-bearing events.
    pub events_per_s: Option<Real>,
    /// Completion tokens.
    pub output_tok_s: Option<Real>,
    /// The interval of that rate, of a level that is measured in a window.
    pub output_tok_s_ci95: Option<RateInterval>,
    /// Prompt tokens.
    pub prompt_tok_s: Option<Real>,
    /// Prompt tokens that no cache was reported for.
    pub uncached_prompt_tok_s: Option<Real>,
    /// Prompt and completion tokens.
    pub total_tok_s: Option<Real>,
    /// Completion tokens of requests that failed or were cut.
    pub wasted_tok_s: Option<Real>,
    /// Requests that met every objective.
    pub goodput_per_s: Option<Real>,
    /// Their share of all that were intended.
    pub goodput_share: Option<Real>,
    /// Completion tokens per GPU.
    pub output_tok_s_per_gpu: Option<Real>,
    /// Prompt and completion tokens per GPU.
    pub total_tok_s_per_gpu: Option<Real>,
    /// The same per thousand million active parameters.
    pub total_tok_s_per_active_b: Option<Real>,
    /// The same per watt.
    pub total_tok_s_per_watt: Option<Real>,
}

/// The 95 % interval of a rate, from means of batches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RateInterval {
    /// Its lower end.
    pub low: Option<Real>,
    /// Its upper end.
    pub high: Option<Real>,
    /// Batches behind it.
    pub batches: u64,
    /// They are few: the interval is an indication.
    pub provisional: bool,
}

/// A level as the paper's client would have counted and judged it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Paper {
    /// Prompt and completion tokens per second.
    pub total_tok_s: Option<Real>,
    /// Completion tokens per second.
    pub output_tok_s: Option<Real>,
    /// Median latency.
    pub p50_s: Option<Real>,
    /// 95th percentile.
    pub p95_s: Option<Real>,
    /// 99th percentile.
    pub p99_s: Option<Real>,
    /// Share of requests with status 200 and no exception.
    pub success: Option<Real>,
    /// The paper's status.
    pub status: Option<&'static str>,
    /// Of the first SATURATION level: its status if it is compared with the last SCALING level,
    /// which the paper leaves open.
    pub first_level_alternative: Option<&'static str>,
}

/// What floodmark's own classifier says. An answer is `None` where the level is no result, or where
/// there is nothing to say.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Axes {
    /// The first of INVALID, FAILING, OVERLOADED, SATURATED, DEGRADED, OK that holds.
    pub headline: Option<&'static str>,
    /// Whether requests succeed.
    pub reliability: Option<&'static str>,
    /// Whether they take much longer than the baseline's.
    pub latency: Option<&'static str>,
    /// Whether the objectives are met.
    pub slo: Option<&'static str>,
    /// Whether more load gives more throughput.
    pub load: Option<&'static str>,
    /// Growth of throughput over growth of load since the level below, both as logarithms.
    pub elasticity: Option<Real>,
    /// Its 95 % interval; `None` for single measurements.
    pub elasticity_ci95: Option<[Real; 2]>,
    /// The answer about the load rests on single measurements.
    pub provisional: bool,
    /// Signs of load after the IETF draft: `knee`, `tail_heavy`, `backlog`.
    pub signs: Vec<&'static str>,
    /// The numbers and limits behind the answers.
    pub evidence: AxesEvidence,
}

/// What the answers rest on, in words.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AxesEvidence {
    /// Of the reliability.
    pub reliability: Option<String>,
    /// Of the latency.
    pub latency: Option<String>,
    /// Of the objectives.
    pub slo: Option<String>,
    /// Of the load.
    pub load: Option<String>,
}

/// One agent's contribution to a level; `None` throughout if it left no usable seal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PerAgent {
    /// Its name.
    pub agent: String,
    /// Its users.
    pub users: u32,
    /// Its requests.
    pub requests: Option<Requests>,
    /// Its tokens.
    pub tokens: Option<TokenSums>,
    /// Its mean in flight over the fleet's wall clock.
    pub in_flight_mean: Option<Real>,
    /// Its latencies.
    pub latency_ms: Option<LatencyMs<Sketch>>,
    /// What its host told; left out if that is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostReport>,
}

/// The level with the most tok/s: by the paper's count and of all levels in paper mode, of those
/// that stand and by what is measured of them in floodmark mode.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Peak {
    /// Its phase.
    #[serde(serialize_with = "phase_name")]
    pub phase: Phase,
    /// Its name.
    pub label: String,
    /// Users asked for.
    pub users: u32,
    /// Prompt and completion tokens per second.
    pub total_tok_s: Option<Real>,
    /// Completion tokens per second.
    pub output_tok_s: Option<Real>,
    /// Whether the level is a result for that many users.
    pub valid: bool,
}

pub(super) fn phase_name<S: Serializer>(phase: &Phase, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(phase.name())
}
