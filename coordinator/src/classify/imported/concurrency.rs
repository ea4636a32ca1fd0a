//! Whether the users that a level is labelled with were in flight.

use std::fmt::Write as _;

use super::{Level, lower_places, number};
use crate::classify::limits::{IN_FLIGHT_MEAN_MIN, INDEX_SHARE_MIN};
use crate::classify::{Code, Effect, Verdict};
use crate::stats;

/// Whether a level had its users in flight.
#[derive(Clone, Debug, Default)]
pub(super) struct Concurrency {
    /// The verdict if it had not.
    pub(super) verdict: Option<Verdict>,
    /// What was in flight, by the level's index.
    pub(super) implied: Option<f64>,
}

/// Judges levels by rising users: a level that is struck is no measure for a higher one.
pub(super) fn concurrency(levels: &[Level]) -> Vec<Concurrency> {
    let mut order: Vec<(u32, usize)> =
        levels.iter().enumerate().map(|(place, level)| (level.users, place)).collect();
    order.sort_unstable();
    let mut judged = vec![Concurrency::default(); levels.len()];
    for (_, place) in order {
        let Some(level) = levels.get(place) else { continue };
        let held: Vec<&Level> = lower_places(level, levels)
            .into_iter()
            .filter(|other| judged.get(*other).is_some_and(|other| other.verdict.is_none()))
            .filter_map(|other| levels.get(other))
            .collect();
        if let Some(slot) = judged.get_mut(place) {
            *slot = concurrency_of(level, &held);
        }
    }
    judged
}

/// Whether a level had its users in flight, given the lower levels that had theirs.
fn concurrency_of(level: &Level, held: &[&Level]) -> Concurrency {
    let users = level.users;
    let mut evidence = Vec::new();
    let planned = level.requests.filter(|requests| *requests < u64::from(users));
    if let Some(requests) = planned {
        evidence.push(format!(
            "at most {requests} of {users} users could be in flight ({requests} requests planned)"
        ));
    }
    let implied = implied_inflight(level, held, planned);
    let limit = IN_FLIGHT_MEAN_MIN.value;
    match level.in_flight_mean() {
        Some(mean) if mean < limit * f64::from(users) => evidence.push(format!(
            "{} of {users} users were in flight on average, ramp and drain included (rate times \
             mean latency), below {limit} x {users}",
            number(mean)
        )),
        Some(_) => {}
        None => evidence.extend(index_too_low(level, held, implied)),
    }
    let verdict = (!evidence.is_empty()).then(|| Verdict {
        code: Code::ConcurrencyNotReached,
        effect: Effect::Invalid,
        evidence: evidence.join("; "),
    });
    Concurrency { verdict, implied }
}

/// In flight, scaled from the lowest level that held its users.
fn implied_inflight(level: &Level, held: &[&Level], planned: Option<u64>) -> Option<f64> {
    if !level.is_loaded() {
        return None;
    }
    let index = level.inflight_index()?;
    let scaled = match (held.iter().find_map(|other| other.inflight_index()), planned) {
        (Some(anchor), _) => stats::ratio(f64::from(level.users) * index, anchor),
        (None, None) => Some(level.users.into()),
        (None, Some(_)) => None,
    };
    match (scaled, planned) {
        (Some(scaled), Some(planned)) => Some(scaled.min(planned as f64)),
        (scaled, _) => scaled,
    }
}

fn index_too_low(level: &Level, held: &[&Level], implied: Option<f64>) -> Option<String> {
    let index = level.inflight_index()?;
    let indices: Vec<f64> = held.iter().filter_map(|other| other.inflight_index()).collect();
    let count = indices.len();
    let median = median(indices)?;
    let limit = INDEX_SHARE_MIN.value;
    if index >= limit * median {
        return None;
    }
    let mut text = format!(
        "{} tok/s x {} s p99 / {} users = {}, below {limit} x {}, the median of {}",
        number(level.total_tok_s?),
        number(level.p99_s?),
        level.users,
        number(index),
        number(median),
        if count == 1 { "the one lower level" } else { "the lower levels" },
    );
    if let Some(implied) = implied {
        let _written = write!(text, ": about {implied:.0} were in flight");
    }
    Some(text)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    let lower = if values.len().is_multiple_of(2) { *values.get(middle - 1)? } else { upper };
    Some(f64::midpoint(lower, upper))
}
