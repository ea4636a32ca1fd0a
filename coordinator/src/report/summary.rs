//! `summary.json`: the report for programs. Keys are only ever added, never renamed.

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::compared::ablated_json;
use super::model::{AgentLine, LevelReport, Peak, Real, ReportModel};
use super::proof::ClientProof;
use super::repeats::RepeatedLevel;
use super::saturation::Saturation;
use super::server_history::TargetIdentity;
use super::serving::ServingReport;
use crate::classify::LIMITS_VERSION;
use crate::record::UnixMs;
use crate::store::{mode_word, tier_word};

/// Version of the keys of `summary.json`.
const SCHEMA_VERSION: u32 = 1;

/// The report as JSON text, with a newline at its end.
#[expect(
    clippy::expect_used,
    reason = "the keys are texts and the numbers are finite: there is nothing to refuse"
)]
pub fn summary_json(model: &ReportModel) -> String {
    let summary = Summary::of(model, model.ablation.as_ref().map(ablated_json));
    let mut text = serde_json::to_string_pretty(&summary).expect("a summary is JSON");
    text.push('\n');
    text
}

#[derive(Serialize)]
struct Summary<'a, A> {
    schema_version: u32,
    tool: Tool<'a>,
    run_id: String,
    name: &'a str,
    mode: &'static str,
    tier: &'static str,
    seed: u64,
    campaign_sha256: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    outcome: &'static str,
    exit_code: Option<u8>,
    agents: &'a [AgentLine],
    baseline: Baseline,
    levels: &'a [LevelReport],
    peak: Option<&'a Peak>,
    saturation: &'a Saturation,
    limits_version: u32,
    repeats: &'a [RepeatedLevel],
    target: &'a TargetIdentity,
    ended_because: &'a str,
    damage: &'a [String],
    client_proof: &'a [ClientProof],
    ablation: Option<A>,
    serving: &'a ServingReport,
}

#[derive(Serialize)]
struct Tool<'a> {
    name: &'static str,
    version: &'a str,
}

#[derive(Serialize)]
struct Baseline {
    p99_ms: Option<Real>,
}

impl<'a, A> Summary<'a, A> {
    fn of(model: &'a ReportModel, ablation: Option<A>) -> Self {
        let header = &model.header;
        Self {
            schema_version: SCHEMA_VERSION,
            tool: Tool { name: "floodmark", version: &header.tool_version },
            run_id: header.run.to_string(),
            name: header.name.as_str(),
            mode: mode_word(header.mode),
            tier: tier_word(header.tier),
            seed: header.seed,
            campaign_sha256: header.campaign_sha256.to_string(),
            started_at: timestamp(header.started_at),
            finished_at: model.finished_at.and_then(timestamp),
            outcome: model.outcome,
            exit_code: model.exit_code,
            agents: &model.agents,
            baseline: Baseline { p99_ms: model.baseline_p99_ms },
            levels: &model.levels,
            peak: model.peak.as_ref(),
            saturation: &model.saturation,
            limits_version: LIMITS_VERSION,
            repeats: &model.repeats,
            target: &model.target,
            ended_because: &model.ended_because,
            damage: &model.damage,
            client_proof: &model.client_proof,
            ablation,
            serving: &model.serving,
        }
    }
}

/// An instant as RFC 3339 in UTC; `None` if it is beyond the calendar.
pub(super) fn timestamp(at: UnixMs) -> Option<String> {
    let ns = i128::from(at.0) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(ns).ok()?.format(&Rfc3339).ok()
}
