//! The point rules: each looks at one side of a level and says what its answer rests on.

use common::phase::Phase;

use super::{Baseline, Latency, Level, LoadStatus, Work};
use crate::classify::limits::{
    BEST_SHARE_MIN, ELASTICITY_MIN, P99_FACTOR_MAX, SUCCESS_MIN, WORK_RATIO_MAX,
};
use crate::classify::number::{elasticity as growth, number};
use crate::classify::{Axis, Code, Effect, Reliability, Verdict};
use crate::stats;

/// Whether the work of a level's phase was what was stated, or the same at every level.
pub(super) fn work(level: &Level, levels: &[Level]) -> Option<Verdict> {
    let peers = || {
        levels
            .iter()
            .filter(|other| other.phase == level.phase && other.work.is_comparable(level.work))
    };
    let evidence = match level.work {
        Work::Stated(stated) if stated.images == 0 => {
            let wanted = stats::ratio(
                f64::from(stated.input_tokens) + f64::from(stated.output_tokens),
                stated.output_tokens.into(),
            )?;
            let limit = WORK_RATIO_MAX.value;
            let (most, at) = peers()
                .filter_map(|other| Some((other.work_ratio()?, other)))
                .max_by(|(a, _), (b, _)| a.total_cmp(b))
                .filter(|(ratio, _)| *ratio > limit * wanted)?;
            format!(
                "{} total for each output token at {} users ({} / {} tok/s), above {limit} x {}, \
                 what {} input and {} output tokens give: answers were shorter than stated, or \
                 prompts longer",
                number(most),
                at.users,
                number(at.total_tok_s?),
                number(at.output_tok_s?),
                number(wanted),
                stated.input_tokens,
                stated.output_tokens
            )
        }
        // The tokens of an image are not stated.
        Work::Stated(_) => return None,
        Work::Delivered { .. } => {
            let first = peers().min_by_key(|other| other.users)?;
            peers().find_map(|other| {
                let difference = other.work.difference(first.work)?;
                Some(format!("at {} and {} users: {difference}", other.users, first.users))
            })?
        }
    };
    Some(Verdict { code: Code::WorkNotEqual, effect: Effect::Invalid, evidence })
}

pub(super) fn reliability(level: &Level) -> Axis<Reliability> {
    let limit = SUCCESS_MIN.value;
    let failing = level.success < limit;
    let side = if failing { "below" } else { "at least" };
    let percent = number(level.success * 100.0);
    let evidence = format!("{percent} % of the requests succeeded, {side} {} %", limit * 100.0);
    Axis { status: if failing { Reliability::Failing } else { Reliability::Ok }, evidence }
}

pub(super) fn latency(level: &Level, levels: &[Level], beside: Option<Baseline>) -> Axis<Latency> {
    let axis = |status, evidence: &str| Axis { status, evidence: evidence.to_owned() };
    match level.phase {
        Phase::Warmup => return axis(Latency::NotJudged, "warm-up is not judged"),
        Phase::Baseline => return axis(Latency::Ok, "it is the baseline"),
        Phase::Scaling | Phase::Stress | Phase::Saturation => {}
    }
    let Some(p99_s) = level.p99_s else {
        return axis(Latency::Unknown, "the table has no p99 of this level");
    };
    let beside = beside.filter(|baseline| baseline.work.is_same(level.work));
    let row = baseline_row(level, levels).and_then(|row| row.p99_s);
    let Some(baseline_s) = row.or(beside.map(|baseline| baseline.p99_s)) else {
        return axis(Latency::Unknown, "there is no baseline of the same request shape");
    };
    let limit = P99_FACTOR_MAX.value;
    let degraded = p99_s > limit * baseline_s;
    let side = if degraded { "above" } else { "not above" };
    let evidence = format!(
        "p99 {} s, {side} {limit} x {} s, the baseline's",
        number(p99_s),
        number(baseline_s)
    );
    Axis { status: if degraded { Latency::Degraded } else { Latency::Ok }, evidence }
}

/// The last baseline of the same request shape that has a p99.
fn baseline_row<'l>(level: &Level, levels: &'l [Level]) -> Option<&'l Level> {
    levels.iter().rev().find(|other| {
        other.phase == Phase::Baseline && other.work.is_same(level.work) && other.p99_s.is_some()
    })
}

/// Where the tokens show that a baseline of the same shape, as stated, did other work.
pub(super) fn caveat(level: &Level, levels: &[Level]) -> Option<String> {
    if !level.is_loaded() {
        return None;
    }
    let own = level.work_ratio()?;
    let baseline = baseline_row(level, levels)?.work_ratio()?;
    let limit = WORK_RATIO_MAX.value;
    (own > limit * baseline || baseline > limit * own).then(|| {
        format!(
            "the baseline had {} total tokens for each output token and this level {}, more than \
             {limit} x apart: their requests were not of the same length",
            number(baseline),
            number(own)
        )
    })
}

pub(super) fn elasticity(level: &Level, lower: &[&Level]) -> Option<f64> {
    let before = lower.last()?;
    let rates = (level.total_tok_s?, before.total_tok_s?);
    growth(rates, (level.users.into(), before.users.into()))
}

pub(super) fn load(level: &Level, lower: &[&Level], elasticity: Option<f64>) -> Axis<LoadStatus> {
    let axis = |status, evidence: &str| Axis { status, evidence: evidence.to_owned() };
    match level.phase {
        Phase::Warmup | Phase::Baseline | Phase::Stress => {
            return axis(LoadStatus::NotJudged, "only SCALING and SATURATION are series of loads");
        }
        Phase::Scaling | Phase::Saturation => {}
    }
    let Some(rate) = level.total_tok_s else {
        return axis(LoadStatus::Unknown, "the table has no throughput of this level");
    };
    let with_rate = |other: &&Level| Some((other.total_tok_s?, other.users));
    let best = lower.iter().filter_map(with_rate).max_by(|(a, _), (b, _)| a.total_cmp(b));
    let Some((most, at)) = best else {
        return axis(LoadStatus::Scaling, "there is no lower level to compare it with");
    };
    let share = BEST_SHARE_MIN.value;
    if rate < share * most {
        let (rate, most) = (number(rate), number(most));
        let evidence = format!("{rate} tok/s, below {share} x {most} tok/s at {at} users");
        return Axis { status: LoadStatus::Overloaded, evidence };
    }
    let (Some(elasticity), Some(before)) = (elasticity, lower.last()) else {
        return axis(LoadStatus::Unknown, "the level below it has no throughput");
    };
    let limit = ELASTICITY_MIN.value;
    let saturated = elasticity < limit;
    let side = if saturated { "below" } else { "at least" };
    let evidence = format!(
        "elasticity {elasticity:.3}, {side} {limit}: {} tok/s after {} tok/s at {} users",
        number(rate),
        number(before.total_tok_s.unwrap_or_default()),
        before.users
    );
    Axis { status: if saturated { LoadStatus::Saturated } else { LoadStatus::Scaling }, evidence }
}
