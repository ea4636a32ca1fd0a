//! A finished level as a search sees it.
//!
//! Only what is known of the level by itself counts, and what was known while the run went on. What
//! other levels say of it may change with every level that is run, and the answer of a search must
//! not.

use std::time::Duration;

use crate::classify::{Code, Verdict};
use crate::report::model::{LevelReport, LevelState, Real};
use crate::search::{Estimate, Probe, Validity};
use crate::stats::Objective;

/// Half a 95 % interval in standard errors.
const Z_95: f64 = 1.96;

/// The load that was asked for: users, or thousandths of a request per second.
pub(super) fn load(level: &LevelReport) -> u32 {
    match level.rate_asked_per_s {
        None => level.users_asked,
        // In range, as a campaign's rates are.
        Some(rate) => (rate.value() * 1000.0).round() as u32,
    }
}

/// The level, after which there is a pause.
pub(super) fn probe(level: &LevelReport, pause: Duration) -> Probe {
    let in_flight = level.in_flight_mean.map_or(f64::NAN, Real::value);
    let lasted = level.wall_s.map_or(0.0, Real::value).max(0.0);
    Probe {
        load: load(level),
        in_flight_mean: in_flight,
        rate: rate(level),
        validity: validity(level),
        failing: level.facts.failing,
        objective: objective(level),
        took: Duration::try_from_secs_f64(lasted).unwrap_or(Duration::MAX).saturating_add(pause),
    }
}

/// The throughput by which the level's load is judged: completion tokens; prompt tokens where there
/// are no others, requests where there are none at all.
///
/// A level without batches enough for an interval has that of a Poisson count of its requests:
/// tokens come in portions of a request, so it is rather too wide than too narrow.
fn rate(level: &LevelReport) -> Estimate {
    let rates = &level.rates;
    let above_0 = |rate: Option<Real>| rate.map(Real::value).filter(|rate| *rate > 0.0);
    let interval = rates.output_tok_s_ci95.and_then(|ci| Some((ci.low?, ci.high?)));
    if let (Some(mean), Some((low, high))) = (above_0(rates.output_tok_s), interval) {
        return Estimate { mean, lower: low.value(), upper: high.value() };
    }
    let known = [rates.output_tok_s, rates.prompt_tok_s, rates.requests_per_s];
    let mean = known.into_iter().find_map(above_0).unwrap_or(0.0);
    let half = Z_95 * mean / (level.measured.succeeded.max(1) as f64).sqrt();
    Estimate { mean, lower: mean - half, upper: mean + half }
}

/// Whose fault it is that a level is no result.
///
/// Users who are not in flight because the server refuses or drops them are the server's failure,
/// and so is a rate that is not reached because as many requests as may be are waiting for it.
fn validity(level: &LevelReport) -> Validity {
    let was_known =
        |verdict: &&Verdict| verdict.code != Code::ServerChanged || !level.facts.changed_later;
    let strikes = level.verdicts.iter().filter(|verdict| verdict.strikes()).filter(was_known);
    let of_others = if level.facts.failing { Validity::Valid } else { Validity::Invalid };
    let of_code = |code: Code| match code {
        Code::ClientLimited | Code::Clock | Code::RecordLoss | Code::LittleViolated => {
            Validity::ClientLimited
        }
        Code::RateNotReached if is_full(level) => Validity::Valid,
        Code::RateNotReached => Validity::ClientLimited,
        Code::AgentLost
        | Code::ConcurrencyNotReached
        | Code::NotSteady
        | Code::TooFewSamples
        | Code::StartSkew
        | Code::WorkNotEqual
        | Code::CacheUndeclared
        | Code::AgentOutlier
        | Code::ServerChanged
        | Code::Unproven => of_others,
    };
    let complete = match level.state {
        LevelState::Complete => Validity::Valid,
        LevelState::Stopped(_) | LevelState::Unfinished | LevelState::Void => Validity::Invalid,
    };
    strikes.map(|verdict| of_code(verdict.code)).fold(complete, graver)
}

fn graver(a: Validity, b: Validity) -> Validity {
    match (a, b) {
        (Validity::ClientLimited, _) | (_, Validity::ClientLimited) => Validity::ClientLimited,
        (Validity::Invalid, _) | (_, Validity::Invalid) => Validity::Invalid,
        (Validity::Valid, Validity::Valid) => Validity::Valid,
    }
}

/// As many requests as may be were in flight, so that arrivals had to wait for answers.
fn is_full(level: &LevelReport) -> bool {
    level.in_flight_peak.is_some_and(|peak| peak >= level.users_asked)
}

/// What became of the objectives. A rate at which requests pile up keeps none for long, whatever
/// the window says of its beginning.
fn objective(level: &LevelReport) -> Option<Objective> {
    let late = |verdict: &Verdict| verdict.code == Code::RateNotReached;
    let full = is_full(level) && level.verdicts.iter().any(late);
    let piles_up = level.facts.piles_up || full;
    level.facts.objective.map(|found| if piles_up { Objective::Missed } else { found })
}
