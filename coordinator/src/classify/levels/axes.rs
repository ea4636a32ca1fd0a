//! Whether requests succeed, whether they are fast enough, and signs of load.

use std::time::Duration;

use common::hist::LatencyHist;
use common::phase::Phase;
use common::tally::Tally;
use common::time::duration_ns;

use super::{Sign, Standing};
use crate::campaign::Judging;
use crate::classify::limits::{
    BACKLOG_SHARE_MIN, KNEE_FACTOR, P99_FACTOR_MAX, SUCCESS_MIN, TAIL_FACTOR,
};
use crate::classify::number::{number, percent};
use crate::classify::{Axis, Reliability};
use crate::measure::{self, Measured, Percentile, Quantile, Worth};
use crate::stats::{self, Objective};

/// How latency compares with the baseline's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Latency {
    /// Within the limit.
    Ok,
    /// Beyond it.
    Degraded,
    /// The samples are too few, the interval holds the limit, or there is no baseline.
    Undecided,
}

impl Latency {
    /// The name in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Degraded => "DEGRADED",
            Self::Undecided => "UNDECIDED",
        }
    }
}

/// Whether requests succeeded. What floodmark cut itself says nothing about the target.
pub(super) fn reliability(level: &Measured<'_>) -> Option<Axis<Reliability>> {
    let measured = &level.tally().measured;
    let ended = measured.succeeded.saturating_add(measured.failed_total());
    let share = stats::wilson(measured.succeeded, ended)?;
    let limit = SUCCESS_MIN.value;
    let failing = share.share < limit;
    let certain = if failing { share.upper < limit } else { share.lower >= limit };
    let evidence = format!(
        "{} of {ended} requests succeeded, {} {}; {} to {} with 95 % confidence{}",
        percent(share.share),
        if failing { "below" } else { "at least" },
        percent(limit),
        percent(share.lower),
        percent(share.upper),
        if certain { "" } else { ", which holds the limit" }
    );
    let status = if failing { Reliability::Failing } else { Reliability::Ok };
    Some(Axis { status, evidence })
}

/// Whether requests took much longer than the baseline's, whatever the phase.
pub(super) fn latency(level: &Measured<'_>, standing: &Standing<'_, '_>) -> Option<Axis<Latency>> {
    let axis = |status, evidence: String| Some(Axis { status, evidence });
    match level.record.planned.phase {
        Phase::Warmup => return None,
        Phase::Baseline => return axis(Latency::Ok, "it is the baseline".into()),
        Phase::Scaling | Phase::Stress | Phase::Saturation => {}
    }
    let Some(baseline) = standing.baseline(level) else {
        return axis(Latency::Undecided, "no BASELINE level of the same workload stands".into());
    };
    let (own, base) = (compared(level), compared(baseline));
    let pair = [Percentile::P99, Percentile::P95]
        .into_iter()
        .find_map(|p| Some((p, own.quantile(p)?, base.quantile(p)?)));
    let Some((percentile, own, base)) = pair else {
        let text = format!(
            "a p95 needs 130 independent samples here and of the BASELINE, there are {} and {}",
            number(own.n_eff().floor()),
            number(base.n_eff().floor())
        );
        return axis(Latency::Undecided, text);
    };
    let limit = P99_FACTOR_MAX.value;
    let ratio = stats::ratio(own.value, base.value)?;
    let (lower, upper) = ratio_interval(own, base);
    let status = match (lower, upper) {
        (Some(lower), _) if lower > limit => Latency::Degraded,
        (_, Some(upper)) if upper <= limit => Latency::Ok,
        (Some(_) | None, Some(_) | None) => Latency::Undecided,
    };
    let side = match status {
        Latency::Degraded => "above",
        Latency::Ok => "not above",
        Latency::Undecided => "too near to",
    };
    let end = |end: Option<f64>| end.map_or_else(|| "?".to_owned(), number);
    let name = latency_name(level);
    let evidence = format!(
        "{name} {} {} ms is {} times the BASELINE's {} ms ({} to {}), {side} {limit}",
        percentile.name(),
        number(own.value),
        number(ratio),
        number(base.value),
        end(lower),
        end(upper)
    );
    axis(status, evidence)
}

/// The latency that is compared: of an open loop from the instant planned, and per token where
/// answers are as long as the server likes.
fn compared<'m>(level: &'m Measured<'_>) -> measure::Latency<'m> {
    let latencies = &level.tally().latencies;
    let hist = if !level.record.planned.workload.forced_length {
        &latencies.ntpot
    } else if level.schedule().is_some() {
        &latencies.e2e_plan
    } else {
        &latencies.e2e
    };
    measure::Latency::of_requests(hist, level.e2e_worth, 0)
}

fn latency_name(level: &Measured<'_>) -> &'static str {
    if level.record.planned.workload.forced_length { "E2E" } else { "NTPOT" }
}

/// The ratio at its least and at its most, if both quantiles lie at the ends of their intervals.
fn ratio_interval(own: Quantile, base: Quantile) -> (Option<f64>, Option<f64>) {
    let over = |part: Option<f64>, whole: Option<f64>| stats::ratio(part?, whole?);
    (over(own.lower, base.upper), over(own.upper, base.lower))
}

/// Whether enough requests met each objective, by the exact binomial test.
pub(super) fn slo(level: &Measured<'_>, judging: Judging) -> Option<Axis<Objective>> {
    level.period?;
    let tally = level.tally();
    let succeeded = tally.measured.succeeded;
    let latencies = &tally.latencies;
    let slo = judging.slo;
    let single = [slo.ttft, slo.tpot, slo.e2e].iter().flatten().count() == 1;
    // A request of one token has no time per token to miss.
    let tpot_free = succeeded.saturating_sub(latencies.tpot.count());
    let mut answers = Vec::new();
    let mut evidence = Vec::new();
    for (name, objective, hist, free, worth) in [
        ("TTFT", slo.ttft, &latencies.ttft_plan, 0, level.ttft_worth),
        ("TPOT", slo.tpot, &latencies.tpot, tpot_free, level.e2e_worth),
        ("E2E", slo.e2e, &latencies.e2e_plan, 0, level.e2e_worth),
    ] {
        let Some(objective) = objective else { continue };
        // The count of good requests is exact where there is one objective.
        let within = if single { tally.good } else { free + count_within(hist, objective) };
        let (answer, text) = decide(tally, within, worth, judging.quantile)?;
        answers.push(answer);
        evidence.push(format!("{name} within {} s: {text}", number(objective.as_secs_f64())));
    }
    let status = if answers.contains(&Objective::Missed) {
        Objective::Missed
    } else if answers.contains(&Objective::Undecided) {
        Objective::Undecided
    } else if answers.is_empty() {
        return None;
    } else {
        Objective::Met
    };
    Some(Axis { status, evidence: evidence.join("; ") })
}

/// One objective: what was cut while it was open did not meet it either.
fn decide(tally: &Tally, within: u64, worth: Worth, quantile: f64) -> Option<(Objective, String)> {
    let whole = tally.measured.started;
    let scaled = |count: u64| worth.n_eff(count) as u64;
    let answer = stats::objective(scaled(within), scaled(whole), quantile)?;
    let verb = match answer {
        Objective::Met => "met",
        Objective::Missed => "missed",
        Objective::Undecided => "undecided",
    };
    let share = super::share(within, whole)?;
    let wanted = percent(quantile);
    Some((answer, format!("{within} of {whole}, {}, {wanted} wanted: {verb}", percent(share))))
}

/// Values of at most so long; one bucket's width, 0.1 %, decides for the limit.
fn count_within(hist: &LatencyHist, most: Duration) -> u64 {
    let most_us = duration_ns(most) / 1000;
    let sparse = hist.to_sparse();
    let buckets = sparse.buckets.iter().take_while(|(lowest, _)| *lowest <= most_us);
    sparse.below + buckets.map(|(_, count)| count).sum::<u64>()
}

/// The name of an answer about objectives in reports.
pub(crate) fn objective_name(answer: Objective) -> &'static str {
    match answer {
        Objective::Met => "MET",
        Objective::Missed => "MISSED",
        Objective::Undecided => "UNDECIDED",
    }
}

/// Signs of load after the IETF draft.
pub(super) fn signs(level: &Measured<'_>, standing: &Standing<'_, '_>) -> Vec<Sign> {
    let mut signs = Vec::new();
    let at = |level: &Measured<'_>, percentile| compared(level).value(percentile);
    let p99 = at(level, Percentile::P99);
    let lowest = standing.alike(level).filter_map(|other| at(other, Percentile::P99));
    let exceeds = |limit: Option<f64>| matches!((p99, limit), (Some(p99), Some(l)) if p99 > l);
    if exceeds(lowest.reduce(f64::min).map(|lowest| KNEE_FACTOR.value * lowest)) {
        signs.push(Sign::Knee);
    }
    if exceeds(at(level, Percentile::P50).map(|median| TAIL_FACTOR.value * median)) {
        signs.push(Sign::TailHeavy);
    }
    if let (Some(_), Some(window)) = (level.schedule(), level.window()) {
        let ended = window.arrived.requests + level.tally().measured.failed_total();
        let completed = super::share(ended, level.intended);
        if completed.is_some_and(|share| share < BACKLOG_SHARE_MIN.value) {
            signs.push(Sign::Backlog);
        }
    }
    signs
}
