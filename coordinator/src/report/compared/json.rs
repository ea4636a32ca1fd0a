//! The report of a comparison as JSON. Keys are only ever added, never renamed.

use std::collections::BTreeMap;

use serde::Serialize;

use super::sentence;
use crate::compare::{
    ALPHA, ArmValues, Comparison, Conclusion, LeftOut, LevelComparison, MetricComparison, Obstacle,
    Scale, Sides, Test, Unit,
};
use crate::report::model::Real;

/// Version of the keys of the JSON report.
const SCHEMA_VERSION: u32 = 1;

/// The report for programs, with a newline at its end.
#[expect(
    clippy::expect_used,
    reason = "the keys are texts and the numbers are finite: there is nothing to refuse"
)]
pub fn comparison_json(comparison: &Comparison) -> String {
    let report = Json::of(comparison);
    let mut text = serde_json::to_string_pretty(&report).expect("a report is JSON");
    text.push('\n');
    text
}

impl<'a> Json<'a> {
    /// The values of a comparison.
    pub(super) fn of(comparison: &'a Comparison) -> Self {
        let options = &comparison.options;
        Self {
            schema_version: SCHEMA_VERSION,
            kind: "comparison",
            tool: Tool::this(),
            answer: comparison.answer.name(),
            sentence: sentence(comparison),
            base: JsonSide { name: &comparison.names.base, runs: &comparison.runs.base },
            new: JsonSide { name: &comparison.names.new, runs: &comparison.runs.new },
            margin: real(Some(options.margin)),
            alpha: real(Some(ALPHA)),
            deciding: options.deciding.iter().map(|metric| metric.name()).collect(),
            levels: comparison.levels.iter().map(|level| json_level(level, comparison)).collect(),
            left_out: comparison.left_out.iter().map(json_left_out).collect(),
            notes: &comparison.notes,
        }
    }
}

impl Tool {
    /// This build.
    pub(super) fn this() -> Self {
        Self { name: "floodmark", version: crate::VERSION }
    }
}

#[derive(Serialize)]
pub(super) struct Json<'a> {
    schema_version: u32,
    kind: &'static str,
    tool: Tool,
    answer: &'static str,
    sentence: String,
    base: JsonSide<'a>,
    new: JsonSide<'a>,
    margin: Option<Real>,
    alpha: Option<Real>,
    deciding: Vec<&'static str>,
    levels: Vec<JsonLevel<'a>>,
    left_out: Vec<JsonLeftOut<'a>>,
    notes: &'a [String],
}

#[derive(Serialize)]
pub(super) struct Tool {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct JsonSide<'a> {
    name: &'a str,
    runs: &'a [String],
}

#[derive(Serialize)]
struct JsonPair<T> {
    base: T,
    new: T,
}

#[derive(Serialize)]
struct JsonLevel<'a> {
    phase: &'static str,
    labels: Vec<&'a str>,
    workload: &'a str,
    in_flight_mean: JsonPair<Option<Real>>,
    repeats: JsonPair<usize>,
    not_comparable: Option<JsonObstacle<'a>>,
    metrics: BTreeMap<&'static str, JsonMetric<'a>>,
}

#[derive(Serialize)]
struct JsonObstacle<'a> {
    code: Option<&'static str>,
    evidence: &'a str,
}

#[derive(Serialize)]
struct JsonMetric<'a> {
    decides: bool,
    higher_is_better: bool,
    base: JsonArmValues,
    new: JsonArmValues,
    unit: &'static str,
    difference: Option<Real>,
    ci95: Option<[Option<Real>; 2]>,
    scale: Option<&'static str>,
    welch: Option<JsonWelch>,
    p_holm: Option<Real>,
    levels_tested: Option<usize>,
    mann_whitney: Option<JsonRanks>,
    equivalence_p: Option<Real>,
    smallest_detectable: Option<Real>,
    spread: Option<JsonSpread>,
    conclusion: &'static str,
    not_comparable: Option<JsonObstacle<'a>>,
    repeats_needed: Option<u32>,
}

#[derive(Serialize)]
struct JsonArmValues {
    values: Vec<Option<Real>>,
    n: usize,
    mean: Option<Real>,
    sd: Option<Real>,
    cov: Option<Real>,
    ci95_half_width: Option<Real>,
    min: Option<Real>,
    max: Option<Real>,
}

#[derive(Serialize)]
struct JsonWelch {
    t: Option<Real>,
    df: Option<Real>,
    p: Option<Real>,
}

#[derive(Serialize)]
struct JsonRanks {
    p: Option<Real>,
    smallest_p: Option<Real>,
}

#[derive(Serialize)]
struct JsonSpread {
    cov_ratio: Option<Real>,
    p_holm: Option<Real>,
}

#[derive(Serialize)]
struct JsonLeftOut<'a> {
    side: &'static str,
    run: &'a str,
    phase: &'static str,
    label: &'a str,
    workload: &'a str,
    repeat: u32,
    attempt: u32,
    because: &'a str,
}

fn json_level<'a>(level: &'a LevelComparison, comparison: &Comparison) -> JsonLevel<'a> {
    let decides = |metric: &MetricComparison| comparison.options.deciding.contains(&metric.metric);
    let first = level.keys.first();
    JsonLevel {
        phase: first.map_or("", |key| key.phase.name()),
        labels: level.keys.iter().map(|key| key.label.as_str()).collect(),
        workload: first.map_or("", |key| key.workload.as_str()),
        in_flight_mean: pair(level.in_flight_mean.map(|mean| real(*mean))),
        repeats: pair(level.repeats),
        not_comparable: level.obstacle.as_ref().map(json_obstacle),
        metrics: level
            .metrics
            .iter()
            .map(|metric| (metric.metric.name(), json_metric(metric, decides(metric))))
            .collect(),
    }
}

fn json_metric(metric: &MetricComparison, decides: bool) -> JsonMetric<'_> {
    let test = metric.test.as_ref();
    let number = |of: fn(&Test) -> Option<f64>| real(test.and_then(of));
    JsonMetric {
        decides,
        higher_is_better: metric.metric.higher_is_better(),
        base: json_arm(&metric.arms.base),
        new: json_arm(&metric.arms.new),
        unit: match metric.unit() {
            Unit::Share => "share of the base",
            Unit::Points => "share of requests",
        },
        difference: real(metric.difference),
        ci95: test.and_then(|test| test.ci95).map(|ends| ends.map(|end| real(Some(end)))),
        scale: test.map(|test| scale_word(test.scale)),
        welch: test.map(|test| JsonWelch {
            t: real(test.t),
            df: real(Some(test.freedom)),
            p: real(Some(test.p)),
        }),
        p_holm: number(|test| Some(test.p_holm)),
        levels_tested: test.map(|test| test.levels),
        mann_whitney: test.map(|test| JsonRanks {
            p: real(Some(test.mann_whitney_p)),
            smallest_p: real(Some(test.mann_whitney_least_p)),
        }),
        equivalence_p: number(|test| Some(test.equivalence_p)),
        smallest_detectable: number(|test| test.detectable),
        spread: test.map(|test| JsonSpread {
            cov_ratio: real(test.spread_ratio),
            p_holm: real(test.spread_p_holm),
        }),
        conclusion: metric.conclusion.name(),
        not_comparable: match &metric.conclusion {
            Conclusion::NotComparable(obstacle) => Some(json_obstacle(obstacle)),
            Conclusion::Worse
            | Conclusion::Better
            | Conclusion::Equivalent
            | Conclusion::NoDifferenceShown
            | Conclusion::OneRun { .. } => None,
        },
        repeats_needed: match metric.conclusion {
            Conclusion::OneRun { repeats_needed } => repeats_needed,
            Conclusion::Worse
            | Conclusion::Better
            | Conclusion::Equivalent
            | Conclusion::NoDifferenceShown
            | Conclusion::NotComparable(_) => None,
        },
    }
}

fn json_arm(arm: &ArmValues) -> JsonArmValues {
    let summary = arm.summary;
    JsonArmValues {
        values: arm.values.iter().map(|value| real(Some(*value))).collect(),
        n: arm.values.len(),
        mean: real(summary.map(|summary| summary.mean)),
        sd: real(summary.and_then(|summary| summary.sd)),
        cov: real(summary.and_then(|summary| summary.cov)),
        ci95_half_width: real(summary.and_then(|summary| summary.ci95_half_width)),
        min: real(summary.map(|summary| summary.min)),
        max: real(summary.map(|summary| summary.max)),
    }
}

fn json_obstacle(obstacle: &Obstacle) -> JsonObstacle<'_> {
    JsonObstacle { code: obstacle.code.map(|code| code.name()), evidence: &obstacle.evidence }
}

fn json_left_out(level: &LeftOut) -> JsonLeftOut<'_> {
    JsonLeftOut {
        side: level.side.name(),
        run: &level.run,
        phase: level.key.phase.name(),
        label: &level.key.label,
        workload: level.key.workload.as_str(),
        repeat: level.repeat,
        attempt: level.attempt,
        because: &level.because,
    }
}

fn scale_word(scale: Scale) -> &'static str {
    match scale {
        Scale::Log => "log",
        Scale::Plain => "plain",
    }
}

fn pair<T>(sides: Sides<T>) -> JsonPair<T> {
    JsonPair { base: sides.base, new: sides.new }
}

fn real(value: Option<f64>) -> Option<Real> {
    value.and_then(Real::new)
}
