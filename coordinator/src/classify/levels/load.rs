//! What more load brings: growth of throughput over growth of load, with its interval.

use common::phase::Phase;

use super::load_words;
use super::numbers::{SLOT_S, SLOTS_MIN};
use crate::classify::Axis;
use crate::classify::limits::{
    BEST_SHARE_MIN, BEST_SHARE_UPPER_MIN, ELASTICITY_MIN, SLOPE_WINDOW_MIN, STEADY_MOVE_MAX,
};
use crate::classify::number::{self, number, percent};
use crate::measure::{Counted, Measured, Throughput};
use crate::stats::{self, Slope, Unsteady};

/// How throughput answers to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoadStatus {
    /// It rises with it.
    Scaling,
    /// It hardly rises.
    Saturated,
    /// It is below that of a lower level, or requests pile up.
    Overloaded,
    /// Its interval holds the limit.
    Undecided,
}

impl LoadStatus {
    /// The name in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scaling => "SCALING",
            Self::Saturated => "SATURATED",
            Self::Overloaded => "OVERLOADED",
            Self::Undecided => "?",
        }
    }
}

/// Growth of throughput over growth of load, both as logarithms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Elasticity {
    /// As measured.
    pub(crate) value: f64,
    /// Half the width of its 95 % interval; `None` if either level is a single measurement.
    pub(crate) half_width: Option<f64>,
}

/// Since the next lower level, if both count the same.
pub(super) fn elasticity(level: &Measured<'_>, lower: &[&Measured<'_>]) -> Option<Elasticity> {
    let own = level.throughput()?;
    let (before, other) = previous(own, lower)?;
    let loads = (level.load_value(), other.load_value());
    let value = number::elasticity((own.per_s, before.per_s), loads)?;
    let step = (loads.0 / loads.1).ln();
    let half_width = relative(own, before).and_then(|half| stats::ratio(half, step));
    Some(Elasticity { value, half_width })
}

/// The highest of the lower levels whose throughput counts the same.
fn previous<'l, 'a>(
    own: Throughput,
    lower: &[&'l Measured<'a>],
) -> Option<(Throughput, &'l Measured<'a>)> {
    let mut falling = lower.iter().rev();
    falling.find_map(|other| Some((other.throughput().filter(|t| t.of == own.of)?, *other)))
}

/// Half the width of the interval of the logarithm of a ratio of two throughputs.
fn relative(own: Throughput, other: Throughput) -> Option<f64> {
    let part = |t: Throughput| stats::ratio(t.half_width?, t.per_s);
    Some(part(own)?.hypot(part(other)?))
}

/// How throughput answers to load, against the lower levels that stand.
pub(super) fn load(
    level: &Measured<'_>,
    lower: &[&Measured<'_>],
    elasticity: Option<Elasticity>,
) -> Option<Axis<LoadStatus>> {
    match level.record.planned.phase {
        Phase::Warmup | Phase::Baseline | Phase::Stress => return None,
        Phase::Scaling | Phase::Saturation => {}
    }
    if let Some(evidence) = piles_up(level) {
        return Some(Axis { status: LoadStatus::Overloaded, evidence });
    }
    let own = level.throughput()?;
    if let Some(evidence) = below_best(own, lower) {
        return Some(Axis { status: LoadStatus::Overloaded, evidence });
    }
    let Elasticity { value, half_width } = elasticity?;
    let (before, other) = previous(own, lower)?;
    let limit = ELASTICITY_MIN.value;
    let half = half_width.unwrap_or(0.0);
    let status = if value - half >= limit {
        LoadStatus::Scaling
    } else if value + half < limit {
        LoadStatus::Saturated
    } else {
        LoadStatus::Undecided
    };
    let side = match status {
        LoadStatus::Scaling => "at least",
        LoadStatus::Saturated => "below",
        LoadStatus::Undecided | LoadStatus::Overloaded => "on both sides of",
    };
    let width = match half_width {
        Some(half) => format!("{value:.3} ± {half:.3}"),
        None => format!("{value:.3}"),
    };
    let evidence = format!(
        "elasticity {width}, {side} {limit}: {} after {} at {}{}",
        rate_words(own),
        rate_words(before),
        load_words(other),
        if half_width.is_some() { "" } else { SINGLE }
    );
    Some(Axis { status, evidence })
}

/// What a judgement by single measurements says of itself.
const SINGLE: &str = "; provisional, a single measurement each";

/// Whether throughput fell below that of the best lower level, in words.
fn below_best(own: Throughput, lower: &[&Measured<'_>]) -> Option<String> {
    let rates = lower.iter().filter_map(|other| Some((other.throughput()?, *other)));
    let alike = rates.filter(|(rate, _)| rate.of == own.of);
    let (best, at) = alike.max_by(|(a, _), (b, _)| a.per_s.total_cmp(&b.per_s))?;
    let ratio = stats::ratio(own.per_s, best.per_s)?;
    let (upper, limit, single) = match relative(own, best) {
        Some(half) => (ratio * half.exp(), BEST_SHARE_UPPER_MIN.value, ""),
        None => (ratio, BEST_SHARE_MIN.value, SINGLE),
    };
    (upper < limit).then(|| {
        format!(
            "{} is {} of {} at {}, at most {} of it and below {}{single}",
            rate_words(own),
            percent(ratio),
            rate_words(best),
            load_words(at),
            percent(upper),
            percent(limit)
        )
    })
}

/// Whether the requests of an open loop pile up, in words: requests in flight and times to the
/// first token both rise, clearly and by an amount that matters.
pub(super) fn piles_up(level: &Measured<'_>) -> Option<String> {
    level.schedule()?;
    let long_enough = level.length_s().is_some_and(|s| s >= SLOPE_WINDOW_MIN.value);
    if !long_enough {
        return None;
    }
    let course = level.course.as_ref()?.coarse(SLOT_S, SLOTS_MIN);
    let (in_flight, ttft) = (rise(&course.in_flight)?, rise(&course.ttft_s)?);
    Some(format!(
        "requests pile up: over the window those in flight rise by {} of their mean, and times to \
         the first token by {}",
        percent(in_flight),
        percent(ttft)
    ))
}

/// By how much of its mean a series rises from one end to the other, if it does so for certain: by
/// the slope of a line, or by what the test of steadiness finds. A queue that grows in bursts
/// scatters so far about any line that only the second sees it.
fn rise(series: &[f64]) -> Option<f64> {
    let slope: Option<Slope> = stats::slope(series).filter(Slope::is_significantly_positive);
    let sum: f64 = series.iter().sum();
    let count = series.len() as f64;
    let by_slope = slope.and_then(|slope| stats::ratio(slope.per_slot * count * count, sum));
    let by_slope = by_slope.filter(|rise| *rise > STEADY_MOVE_MAX.value);
    let by_trend = || {
        let faults = stats::steadiness(series)?.faults();
        let rises = faults.into_iter().map(|fault| match fault {
            Unsteady::Settling { drift, .. } | Unsteady::Drift { drift, .. } => drift,
            Unsteady::Step { size, .. } => size,
        });
        rises.reduce(f64::max).filter(|rise| *rise > 0.0)
    };
    by_slope.or_else(by_trend)
}

/// A throughput in words.
pub(super) fn rate_words(rate: Throughput) -> String {
    let unit = match rate.of {
        Counted::Output => "output tok/s",
        Counted::Prompt => "prompt tok/s",
        Counted::Requests => "requests/s",
    };
    match rate.half_width {
        Some(half) => format!("{} ± {} {unit}", number(rate.per_s), number(half)),
        None => format!("{} {unit}", number(rate.per_s)),
    }
}
