//! The best level, and where the target saturates.

use common::phase::Phase;

use super::load::rate_words;
use super::{Judgement, LoadStatus, is_alike, is_valid, load_words};
use crate::classify::limits::SATURATION_SHARE_MIN;
use crate::classify::number::percent;
use crate::measure::{Measured, Throughput};
use crate::stats;

/// Where the target saturates, as far as the levels tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Saturation {
    /// The fewest users that bring all but 5 % of the best throughput.
    pub(crate) users: Option<u32>,
    /// The numbers behind it, or why there are none.
    pub(crate) because: String,
}

/// The place of the level with the most tokens per second of those that stand and belong to a
/// series of rising loads; of a run without such a level, of all that stand.
pub(crate) fn peak(levels: &[Measured<'_>], judged: &[Judgement]) -> Option<usize> {
    let any_series = levels.iter().any(is_series);
    let standing = levels.iter().zip(judged).enumerate().filter(|(_, (level, judgement))| {
        is_valid(level, judgement) && (is_series(level) || !any_series)
    });
    let rates = standing.filter_map(|(place, (level, _))| {
        Some((place, level.rates.total.filter(|rate| *rate > 0.0)?))
    });
    // Of equals the first.
    rates.reduce(|a, b| if b.1 > a.1 { b } else { a }).map(|(place, _)| place)
}

/// Where the target saturates: among the levels with the work of the best one, the fewest users
/// whose throughput is within 5 % of the best. If those are the most users that stand, nobody has
/// seen the throughput stay where it is.
pub(crate) fn saturation(levels: &[Measured<'_>], judged: &[Judgement]) -> Saturation {
    let none = |because: &str| Saturation { users: None, because: because.to_owned() };
    let series: Vec<Entry<'_, '_>> = levels
        .iter()
        .zip(judged)
        .filter(|(level, judgement)| is_series(level) && is_valid(level, judgement))
        .filter_map(|(level, judgement)| {
            Some(Entry { level, judgement, rate: level.throughput()? })
        })
        .collect();
    let Some(best) = series.iter().reduce(|a, b| if b.rate.per_s > a.rate.per_s { b } else { a })
    else {
        return none("no SCALING or SATURATION level stands");
    };
    if best.level.schedule().is_some() {
        return none("an open loop has a rate and no users");
    }
    let alike = || {
        series.iter().filter(|entry| {
            is_alike(best.level, entry.level)
                && entry.level.schedule().is_none()
                && entry.rate.of == best.rate.of
        })
    };
    let share = |entry: &Entry<'_, '_>| stats::ratio(entry.rate.per_s, best.rate.per_s);
    let near = alike().filter(|e| share(e).is_some_and(|s| s >= SATURATION_SHARE_MIN.value));
    let Some(first) = near.min_by_key(|entry| entry.level.load().users) else {
        return none("no throughput is known");
    };
    let users = first.level.load().users;
    let most = alike().map(|entry| entry.level.load().users).max().unwrap_or(users);
    let bent = match first.judgement.load.as_ref().map(|axis| axis.status) {
        Some(LoadStatus::Saturated | LoadStatus::Overloaded) => true,
        Some(LoadStatus::Scaling | LoadStatus::Undecided) | None => false,
    };
    if users == most && !bent {
        return none(&format!(
            "{users} users are the most that stand, and throughput rose up to there: {}",
            rate_words(best.rate)
        ));
    }
    let own = rate_words(first.rate);
    let near = if std::ptr::eq(first.level, best.level) {
        format!("{own} is the best")
    } else {
        let share = percent(share(first).unwrap_or(1.0));
        let (rate, load) = (rate_words(best.rate), load_words(best.level));
        format!("{own} is {share} of the best, {rate} at {load}")
    };
    let because = format!("{near}; {most} users are the most that stand");
    Saturation { users: Some(users), because }
}

struct Entry<'l, 'a> {
    level: &'l Measured<'a>,
    judgement: &'l Judgement,
    rate: Throughput,
}

/// Whether a level belongs to a series of rising loads.
fn is_series(level: &Measured<'_>) -> bool {
    match level.record.planned.phase {
        Phase::Scaling | Phase::Saturation => true,
        Phase::Warmup | Phase::Baseline | Phase::Stress => false,
    }
}
