//! What vLLM's `bench serve` saves: one JSON object for each run, which is one level here.
//!
//! Its keys grow with its versions, and `--metadata` adds any: unknown keys are no mistake.

use std::ops::RangeInclusive;

use common::phase::Phase;

use super::json::Node;
use super::read::{Object, Sink};
use super::{Format, Imported};
use crate::campaign::Problems;
use crate::classify::imported::{Level, Work};

/// Any of these makes an object such a result.
pub(super) const TELLING_KEYS: [&str; 3] =
    ["max_concurrency", "num_prompts", "total_token_throughput"];

const USERS: RangeInclusive<u32> = 1..=1_000_000;
const COUNT: RangeInclusive<u64> = 0..=1_000_000_000_000;
const RATE: RangeInclusive<f64> = 0.0..=1e12;
const MS: RangeInclusive<f64> = 1e-3..=1e9;

/// One result of a file.
struct RunResult<'n> {
    level: Level,
    model: Option<&'n str>,
}

/// The levels in these results (file, number within it, content), by users. Results of one user
/// are the baseline: nothing in them says more.
pub(super) fn read(
    results: &[(&String, usize, Node)],
    problems: &mut Problems,
) -> Option<Imported> {
    let mut runs: Vec<RunResult<'_>> = Vec::new();
    for (name, number, node) in results {
        let mut sink = Sink::new(name, problems);
        let at = if *number == 0 { String::new() } else { format!("result {}: ", number + 1) };
        let Some(object) = Object::open(node, at, &mut sink) else { continue };
        let model = object.text("model_id", &mut sink);
        let first = runs.iter().find_map(|run| run.model);
        if let (Some(model), Some(first)) = (model, first)
            && model != first
        {
            let what = format!("is not \"{first}\", the model of the results before it");
            object.refuse::<()>("model_id", what, &mut sink);
        }
        runs.extend(level(&object, &mut sink).map(|level| RunResult { level, model }));
    }
    let model = runs.iter().find_map(|run| run.model).map(str::to_owned);
    let mut levels: Vec<Level> = runs.into_iter().map(|run| run.level).collect();
    levels.sort_by_key(|level| level.users);
    let (first, last) = (levels.first()?, levels.last()?);
    Some(Imported {
        format: Format::Vllm,
        name: if first.users == last.users {
            format!("{} users", first.users)
        } else {
            format!("{} to {} users", first.users, last.users)
        },
        model,
        source: Some("vLLM bench serve".to_owned()),
        baseline: None,
        notes: notes(&levels),
        levels,
    })
}

fn level(result: &Object<'_>, sink: &mut Sink<'_>) -> Option<Level> {
    let saved = "bench serve saves it with --save-result";
    let hint = "a level needs its users: run bench serve with --max-concurrency";
    let users = result
        .need("max_concurrency", hint, sink, |result, key, sink| result.small(key, USERS, sink));
    let count =
        |result: &Object<'_>, key: &str, sink: &mut Sink<'_>| result.count(key, COUNT, sink);
    let planned = result.need("num_prompts", saved, sink, |result, key, sink| {
        result.count(key, 1..=*COUNT.end(), sink)
    });
    let completed = result.need("completed", saved, sink, count);
    let duration_s = result
        .need("duration", saved, sink, |result, key, sink| result.number(key, 1e-6..=1e9, sink));
    let rate = |result: &Object<'_>, key: &str, sink: &mut Sink<'_>| result.number(key, RATE, sink);
    let total_tok_s = result.need("total_token_throughput", saved, sink, rate);
    let output_tok_s = result.need("output_throughput", saved, sink, rate);
    let prompt = result.need("total_input_tokens", saved, sink, count);
    let completion = result.need("total_output_tokens", saved, sink, count);
    let mean_ms = result.number("mean_e2el_ms", MS, sink);
    let p99_ms = result.number("p99_e2el_ms", MS, sink);
    if let (Some(completed), Some(planned)) = (completed, planned)
        && completed > planned
    {
        let what = format!("is more than num_prompts = {planned}");
        result.refuse::<()>("completed", what, sink);
    }
    if completed == Some(0) {
        let what = "nothing was measured: no request succeeded";
        result.refuse::<()>("completed", what, sink);
    }
    let (users, planned, completed) = (users?, planned?, completed?);
    Some(Level {
        phase: if users == 1 { Phase::Baseline } else { Phase::Scaling },
        users,
        work: Work::Delivered {
            prompt: prompt? as f64 / completed as f64,
            completion: completion? as f64 / completed as f64,
        },
        requests: Some(planned),
        total_tok_s,
        output_tok_s,
        p99_s: p99_ms.map(|ms| ms / 1e3),
        mean_s: mean_ms.map(|ms| ms / 1e3),
        requests_per_s: Some(completed as f64 / duration_s?),
        success: completed as f64 / planned as f64,
    })
}

fn notes(levels: &[Level]) -> Vec<String> {
    let mut notes = Vec::new();
    let without = levels.iter().filter(|level| level.p99_s.is_none()).count();
    if without > 0 {
        notes.push(format!(
            "{without} of {} results have no end-to-end latency, so whether it degraded and what \
             was in flight is unknown there: bench serve saves it with --percentile-metrics \
             ttft,tpot,itl,e2el",
            levels.len()
        ));
    }
    if levels.iter().all(|level| level.phase != Phase::Baseline) {
        notes.push("there is no result of one user, so latency has no baseline".to_owned());
    }
    notes
}
