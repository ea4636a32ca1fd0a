//! The report of an imported table as JSON. Keys are only ever added, never renamed.

use serde::Serialize;

use super::{Row, best_standing, in_flight, is_struck, lacks_users, peak};
use crate::classify::imported::{Judgement, Stated, Work};
use crate::classify::verdict::Verdict;
use crate::classify::{LIMITS, LIMITS_VERSION, Limit};
use crate::import::Imported;
use crate::report::model::Real;

/// Version of the keys of the JSON report.
const SCHEMA_VERSION: u32 = 1;

/// The report for programs, with a newline at its end.
#[expect(
    clippy::expect_used,
    reason = "the keys are texts and the numbers are finite: there is nothing to refuse"
)]
pub fn imported_json(imported: &Imported, judgements: &[Judgement]) -> String {
    let rows: Vec<Row<'_>> = imported.levels.iter().zip(judgements).collect();
    let report = Json {
        schema_version: SCHEMA_VERSION,
        kind: "imported",
        tool: Tool { name: "floodmark", version: crate::VERSION },
        format: imported.format.name(),
        name: &imported.name,
        model: imported.model.as_deref(),
        source: imported.source.as_deref(),
        notes: &imported.notes,
        limits_version: LIMITS_VERSION,
        limits: &LIMITS,
        baseline_p99_s: real(imported.baseline.map(|baseline| baseline.p99_s)),
        levels: rows.iter().map(json_level).collect(),
        peak: peak(&rows).map(json_peak),
        best_valid: best_standing(&rows).map(json_peak),
    };
    let mut text = serde_json::to_string_pretty(&report).expect("a report is JSON");
    text.push('\n');
    text
}

#[derive(Serialize)]
struct Json<'a> {
    schema_version: u32,
    kind: &'static str,
    tool: Tool,
    format: &'static str,
    name: &'a str,
    model: Option<&'a str>,
    source: Option<&'a str>,
    notes: &'a [String],
    limits_version: u32,
    limits: &'a [Limit],
    baseline_p99_s: Option<Real>,
    levels: Vec<JsonLevel<'a>>,
    peak: Option<JsonPeak>,
    best_valid: Option<JsonPeak>,
}

#[derive(Serialize)]
struct Tool {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct JsonLevel<'a> {
    phase: &'static str,
    label: String,
    users_asked: u32,
    workload: JsonWork,
    requests_planned: Option<u64>,
    success: Option<Real>,
    total_tok_s: Option<Real>,
    output_tok_s: Option<Real>,
    p99_s: Option<Real>,
    mean_s: Option<Real>,
    requests_per_s: Option<Real>,
    elasticity: Option<Real>,
    inflight_index: Option<Real>,
    implied_inflight: Option<Real>,
    in_flight_mean: Option<Real>,
    paper: JsonPaper,
    status: &'static str,
    axes: JsonAxes<&'a str>,
    evidence: JsonAxes<&'a str>,
    verdicts: &'a [Verdict],
    caveat: Option<&'a str>,
}

#[derive(Serialize)]
struct JsonWork {
    stated: Option<Stated>,
    delivered_prompt_tokens_mean: Option<Real>,
    delivered_output_tokens_mean: Option<Real>,
}

#[derive(Serialize)]
struct JsonPaper {
    status: &'static str,
    first_level_alternative: Option<&'static str>,
}

#[derive(Serialize)]
struct JsonAxes<T> {
    reliability: T,
    latency: T,
    load: T,
}

#[derive(Serialize)]
struct JsonPeak {
    phase: &'static str,
    users: u32,
    total_tok_s: Option<Real>,
    output_tok_s: Option<Real>,
    valid: bool,
}

fn json_level<'a>(row: &Row<'a>) -> JsonLevel<'a> {
    let (level, judgement) = *row;
    let label = match in_flight(row) {
        Some(in_flight) if lacks_users(row) => {
            format!("{} ({in_flight:.0} in flight)", level.users)
        }
        Some(_) | None => level.users.to_string(),
    };
    JsonLevel {
        phase: level.phase.name(),
        label,
        users_asked: level.users,
        workload: json_work(level.work),
        requests_planned: level.requests,
        success: Real::new(level.success),
        total_tok_s: real(level.total_tok_s),
        output_tok_s: real(level.output_tok_s),
        p99_s: real(level.p99_s),
        mean_s: real(level.mean_s),
        requests_per_s: real(level.requests_per_s),
        elasticity: real(judgement.elasticity),
        inflight_index: real(judgement.inflight_index),
        implied_inflight: real(judgement.implied_inflight),
        in_flight_mean: real(judgement.in_flight_mean),
        paper: JsonPaper {
            status: judgement.paper.status.name(),
            first_level_alternative: judgement.paper.first_level_alternative.map(|s| s.name()),
        },
        status: judgement.headline.name(),
        axes: JsonAxes {
            reliability: judgement.reliability.status.name(),
            latency: judgement.latency.status.name(),
            load: judgement.load.status.name(),
        },
        evidence: JsonAxes {
            reliability: &judgement.reliability.evidence,
            latency: &judgement.latency.evidence,
            load: &judgement.load.evidence,
        },
        verdicts: &judgement.verdicts,
        caveat: judgement.caveat.as_deref(),
    }
}

fn json_work(work: Work) -> JsonWork {
    match work {
        Work::Stated(stated) => JsonWork {
            stated: Some(stated),
            delivered_prompt_tokens_mean: None,
            delivered_output_tokens_mean: None,
        },
        Work::Delivered { prompt, completion } => JsonWork {
            stated: None,
            delivered_prompt_tokens_mean: Real::new(prompt),
            delivered_output_tokens_mean: Real::new(completion),
        },
    }
}

fn json_peak(row: &Row<'_>) -> JsonPeak {
    JsonPeak {
        phase: row.0.phase.name(),
        users: row.0.users,
        total_tok_s: real(row.0.total_tok_s),
        output_tok_s: real(row.0.output_tok_s),
        valid: !is_struck(row),
    }
}

fn real(value: Option<f64>) -> Option<Real> {
    value.and_then(Real::new)
}
