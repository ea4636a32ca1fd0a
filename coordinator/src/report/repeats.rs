//! Levels over their repeats: the mean with its interval, the spread, and every value.

use common::phase::Phase;
use serde::Serialize;

use super::model::{LevelReport, LevelState, Real, phase_name};
use crate::plan::Arm;
use crate::stats;

/// A level that was run more than once.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RepeatedLevel {
    /// Its phase.
    #[serde(serialize_with = "phase_name")]
    pub phase: Phase,
    /// Its name in the plan.
    pub label: String,
    /// The name of its workload.
    pub workload: String,
    /// The arm of an ablation.
    pub arm: Option<Arm>,
    /// Repeats that count.
    pub n: usize,
    /// Repeats that do not, each with the reason.
    pub left_out: Vec<LeftOut>,
    /// Prompt and completion tokens per second.
    pub total_tok_s: Option<Spread>,
    /// Completion tokens per second.
    pub output_tok_s: Option<Spread>,
    /// Requests per second.
    pub requests_per_s: Option<Spread>,
    /// Median time to the first token.
    pub ttft_p50_ms: Option<Spread>,
    /// 99th percentile of the time to the last token.
    pub e2e_p99_ms: Option<Spread>,
}

/// A repeat that is no result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Which, from 0.
    pub repeat: u32,
    /// Why.
    pub because: String,
}

/// The values of the repeats that count, described (the method, section 3.15).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Their mean.
    pub mean: Real,
    /// Standard deviation of the sample.
    pub sd: Option<Real>,
    /// Half of the 95 % interval of the mean, by Student's t.
    pub ci95_half_width: Option<Real>,
    /// Coefficient of variation.
    pub cov: Option<Real>,
    /// The smallest.
    pub min: Real,
    /// The largest.
    pub max: Real,
    /// All, in the order of the repeats.
    pub values: Vec<Real>,
}

/// The levels that were run more than once, in the order in which they first ran. The warm-up is
/// none: it is not measured for its own sake.
pub fn repeats(levels: &[LevelReport]) -> Vec<RepeatedLevel> {
    let mut seen: Vec<Key<'_>> = Vec::new();
    for level in levels {
        let key = key(level);
        if level.phase != Phase::Warmup && !seen.contains(&key) {
            seen.push(key);
        }
    }
    let all = seen.into_iter().map(|key| of(key, levels));
    all.filter(|level| level.n + level.left_out.len() > 1).collect()
}

/// Phase, label, workload and arm.
type Key<'a> = (Phase, &'a str, &'a str, Option<Arm>);

fn key(level: &LevelReport) -> Key<'_> {
    (level.phase, &level.planned_label, &level.workload, level.arm)
}

fn of(wanted: Key<'_>, levels: &[LevelReport]) -> RepeatedLevel {
    let mut left_out = Vec::new();
    let mut good: Vec<&LevelReport> = Vec::new();
    for level in levels.iter().filter(|level| key(level) == wanted) {
        match unfit(level) {
            None => good.push(level),
            Some(because) => left_out.push(LeftOut { repeat: level.repeat, because }),
        }
    }
    // An attempt that came to nothing is no repeat of its own.
    left_out.retain(|out| good.iter().all(|level| level.repeat != out.repeat));
    left_out.sort_by_key(|out| out.repeat);
    left_out.dedup_by_key(|out| out.repeat);
    good.sort_by_key(|level| level.repeat);
    let spread = |value: &dyn Fn(&LevelReport) -> Option<Real>| {
        let values: Option<Vec<Real>> = good.iter().map(|level| value(level)).collect();
        describe(values?)
    };
    let (phase, label, workload, arm) = wanted;
    RepeatedLevel {
        phase,
        label: label.to_owned(),
        workload: workload.to_owned(),
        arm,
        n: good.len(),
        total_tok_s: spread(&|level| level.rates.total_tok_s),
        output_tok_s: spread(&|level| level.rates.output_tok_s),
        requests_per_s: spread(&|level| level.rates.requests_per_s),
        ttft_p50_ms: spread(&|level| level.latency_ms.ttft.p50),
        e2e_p99_ms: spread(&|level| level.latency_ms.e2e.p99),
        left_out,
    }
}

fn unfit(level: &LevelReport) -> Option<String> {
    if let Some(verdict) = level.verdicts.iter().find(|verdict| verdict.strikes()) {
        return Some(verdict.code.name().to_owned());
    }
    match &level.state {
        LevelState::Complete => None,
        LevelState::Stopped(because) => Some(format!("stopped: {because}")),
        LevelState::Unfinished => Some("not finished".to_owned()),
        LevelState::Void => Some("void".to_owned()),
    }
}

fn describe(values: Vec<Real>) -> Option<Spread> {
    let numbers: Vec<f64> = values.iter().map(|value| value.value()).collect();
    let summary = stats::describe(&numbers)?;
    let real = |value: Option<f64>| value.and_then(Real::new);
    Some(Spread {
        mean: Real::new(summary.mean)?,
        sd: real(summary.sd),
        ci95_half_width: real(summary.ci95_half_width),
        cov: real(summary.cov),
        min: Real::new(summary.min)?,
        max: Real::new(summary.max)?,
        values,
    })
}
