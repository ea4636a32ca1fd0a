//! Whether a proof of the client passed (the method, section 3.16): what the agents measured of
//! their own simulators against what those did by their pace.
//!
//! The simulators share the agents' hosts, so what a proof shows is a lower bound of what the
//! client can do: a failure can be the simulator's.

use std::time::Duration;

use common::assignment::Pace;
use common::tally::Tally;

use super::limits::{
    GAUGE_OFF_MAX, PROOF_GAP_OFF_MAX, PROOF_HEADROOM_MIN, PROOF_IN_FLIGHT_MIN,
    PROOF_TTFT_P50_OFF_MAX, PROOF_TTFT_P50_OFF_MIN, PROOF_TTFT_P99_OFF_MAX, PROOF_TTFT_P99_OFF_MIN,
};
use super::number::{number, percent};
use crate::measure::{self, Measured, Period};
use crate::record::LevelFate;
use crate::stats;

/// Agents that an evidence names; the rest are counted.
const NAMES_SHOWN: usize = 4;

/// What was proven: three numbers, and whether they can be relied on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Proof {
    /// Every check held.
    pub(crate) passed: bool,
    /// Users asked for.
    pub(crate) asked: u32,
    /// Mean in flight.
    pub(crate) in_flight: Option<f64>,
    /// Requests per second.
    pub(crate) requests_per_s: Option<f64>,
    /// Token-bearing events per second.
    pub(crate) events_per_s: Option<f64>,
    /// What was checked.
    pub(crate) checks: Vec<Check>,
}

/// One check of a proof.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Check {
    /// Its name in reports.
    pub(crate) name: &'static str,
    /// It held.
    pub(crate) passed: bool,
    /// What was found; `None` where there was nothing to find.
    pub(crate) value: Option<f64>,
    /// What it is held against.
    pub(crate) limit: f64,
    /// Both in words.
    pub(crate) evidence: String,
}

/// The proof that a level is, over the fleet; `None` if it is none.
pub(crate) fn of_fleet(level: &Measured<'_>) -> Option<Proof> {
    let pace = level.record.planned.proof?;
    let users = level.load().users;
    let Some(period) = finished(level) else {
        return Some(unfinished(level, users));
    };
    let mut proof = judge(level.tally(), users, period, injected(level, pace));
    let agents = every_agent(level);
    proof.passed &= agents.passed;
    proof.checks.push(agents);
    Some(proof)
}

/// What is merged over the fleet can hide an agent.
fn every_agent(level: &Measured<'_>) -> Check {
    let short: Vec<&str> =
        of_agents(level).filter_map(|(agent, _, proof)| (!proof.passed).then_some(agent)).collect();
    let evidence = match short.len() {
        0 => "every agent passed by itself".to_owned(),
        number => {
            let shown: Vec<&str> = short.iter().take(NAMES_SHOWN).copied().collect();
            let more = number.saturating_sub(NAMES_SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("agents that did not pass by themselves: {}{more}", shown.join(", "))
        }
    };
    Check {
        name: "agents_short",
        passed: short.is_empty(),
        value: Some(short.len() as f64),
        limit: 0.0,
        evidence,
    }
}

/// The same of each agent, by the order of the level's shares; agents without users are left out.
pub(crate) fn of_agents<'l>(
    level: &'l Measured<'_>,
) -> impl Iterator<Item = (&'l str, Option<f64>, Proof)> {
    let pace = level.record.planned.proof;
    let parts = level.totals.parts.iter().filter(|part| part.users > 0);
    parts.filter_map(move |part| {
        let cpu = part.seal.map(|seal| seal.snapshot.vitals.worker_cpu_max);
        let proof = match (finished(level), part.seal) {
            (Some(period), Some(seal)) => {
                judge(&seal.snapshot.tally, part.users, period, injected(level, pace?))
            }
            (None, _) | (_, None) => unfinished(level, part.users),
        };
        Some((part.agent.as_str(), cpu, proof))
    })
}

fn finished(level: &Measured<'_>) -> Option<Period> {
    let is_complete = level.record.fate == Some(LevelFate::Completed) && !level.totals.is_void();
    level.period.filter(|_| is_complete)
}

fn unfinished(level: &Measured<'_>, asked: u32) -> Proof {
    let evidence = match &level.record.fate {
        None => "it was not finished".to_owned(),
        Some(LevelFate::Stopped(why) | LevelFate::Quarantined(why) | LevelFate::Failed(why)) => {
            why.clone()
        }
        Some(LevelFate::Completed) => {
            let faults: Vec<String> = level.totals.faults.iter().map(ToString::to_string).collect();
            if faults.is_empty() { "nothing was sent".to_owned() } else { faults.join("; ") }
        }
    };
    let check = Check { name: "completed", passed: false, value: None, limit: 1.0, evidence };
    Proof {
        passed: false,
        asked,
        in_flight: None,
        requests_per_s: None,
        events_per_s: None,
        checks: vec![check],
    }
}

/// What the simulators were told to do.
#[derive(Clone, Copy, Debug)]
struct Injected {
    pace: Pace,
    output_tokens: u32,
}

fn injected(level: &Measured<'_>, pace: Pace) -> Injected {
    Injected { pace, output_tokens: level.record.planned.workload.output_tokens.most() }
}

fn judge(tally: &Tally, users: u32, period: Period, injected: Injected) -> Proof {
    let length_s = period.length_s();
    let window = tally.scope.window();
    let per_s = |count: u64| stats::ratio(count as f64, length_s);
    let in_flight =
        window.and_then(|window| stats::ratio(window.in_flight_ns as f64 / 1e9, length_s));
    let Pace { ttft, itl } = injected.pace;
    let p50 = (PROOF_TTFT_P50_OFF_MAX.value, PROOF_TTFT_P50_OFF_MIN.value);
    let p99 = (PROOF_TTFT_P99_OFF_MAX.value, PROOF_TTFT_P99_OFF_MIN.value);
    let first = &tally.latencies.ttft;
    let checks = vec![
        reached(in_flight, users),
        quantile("ttft_p50_off_ms", "median", first.quantile_us(0.5), ttft, p50),
        quantile("ttft_p99_off_ms", "p99", first.quantile_us(0.99), ttft, p99),
        gaps(tally, itl),
        no_loss(tally, injected.output_tokens),
    ];
    Proof {
        passed: checks.iter().all(|check| check.passed),
        asked: users,
        in_flight,
        requests_per_s: window.and_then(|window| per_s(window.arrived.requests)),
        events_per_s: measure::events_per_s(tally, period),
        checks,
    }
}

fn reached(in_flight: Option<f64>, users: u32) -> Check {
    let limit = PROOF_IN_FLIGHT_MIN.value;
    let share = in_flight.and_then(|mean| stats::ratio(mean, users.into()));
    let passed = share.is_some_and(|share| share >= limit);
    let side = if passed { "at least" } else { "below" };
    Check {
        name: "in_flight_share",
        passed,
        value: share,
        limit,
        evidence: format!(
            "{} of {users} users in flight, {side} {} of them",
            words(in_flight),
            percent(limit)
        ),
    }
}

/// A quantile of the time to the first token, off what was injected by a share of it at most, or
/// by so many milliseconds where that is more.
fn quantile(
    name: &'static str,
    which: &str,
    us: Option<f64>,
    injected: Duration,
    (share, least_ms): (f64, f64),
) -> Check {
    let injected_ms = injected.as_secs_f64() * 1e3;
    let limit = (share * injected_ms).max(least_ms);
    let off = us.map(|us| us / 1e3 - injected_ms);
    let passed = off.is_some_and(|off| off.abs() <= limit);
    let side = if passed { "within" } else { "beyond" };
    Check {
        name,
        passed,
        value: off,
        limit,
        evidence: format!(
            "time to the first token, {which}: {} ms, {} ms were injected, {side} {} ms",
            words(us.map(|us| us / 1e3)),
            number(injected_ms),
            number(limit)
        ),
    }
}

/// Median and mean of the gaps between events: the median is what most gaps are, and in the mean
/// no lateness of single events is left.
fn gaps(tally: &Tally, itl: Duration) -> Check {
    let icl = &tally.latencies.icl;
    let injected_us = itl.as_secs_f64() * 1e6;
    let off = |us: f64| stats::ratio(us - injected_us, injected_us);
    let (median, mean) = (icl.quantile_us(0.5), icl.mean_us());
    let offs = median.and_then(off).into_iter().chain(mean.and_then(off));
    let worst = offs.reduce(|a, b| if b.abs() > a.abs() { b } else { a });
    let limit = PROOF_GAP_OFF_MAX.value;
    let passed = worst.is_some_and(|off| off.abs() <= limit);
    let side = if passed { "within" } else { "beyond" };
    let ms = |us: Option<f64>| words(us.map(|us| us / 1e3));
    Check {
        name: "gap_off_share",
        passed,
        value: worst,
        limit,
        evidence: format!(
            "gaps between events: median {} ms, mean {} ms, {} ms were injected, {side} {}",
            ms(median),
            ms(mean),
            number(injected_us / 1e3),
            percent(limit)
        ),
    }
}

/// Every request was answered with every token, and every record is there. Each agent has held
/// its own against its simulator's ledger before it sealed.
fn no_loss(tally: &Tally, output_tokens: u32) -> Check {
    let measured = &tally.measured;
    let tokens = &tally.tokens;
    let wanted = measured.succeeded.saturating_mul(output_tokens.into());
    let mut lost: Vec<(u64, &str)> = vec![
        (tally.counts.failed_total(), "requests failed"),
        (measured.censored_total(), "measured requests were cut"),
        (wanted.abs_diff(tokens.completion), "tokens off what was asked for"),
        (wanted.abs_diff(tokens.events), "events off what was asked for"),
        (u64::from(measured.succeeded == 0), "window without a request"),
    ];
    lost.retain(|(count, _)| *count > 0);
    if let Some(window) = tally.scope.window() {
        let (gauge, overlap) = (window.in_flight_ns, window.overlap_ns);
        if gauge.abs_diff(overlap) as f64 > GAUGE_OFF_MAX.value * gauge.max(overlap) as f64 {
            lost.push((1, "time in flight that gauge and requests disagree about"));
        }
    }
    let texts: Vec<String> = lost.iter().map(|(count, what)| format!("{count} {what}")).collect();
    let sum: u64 = lost.iter().fold(0, |sum, (count, _)| sum.saturating_add(*count));
    Check {
        name: "lost",
        passed: lost.is_empty(),
        value: Some(sum as f64),
        limit: 0.0,
        evidence: if lost.is_empty() {
            format!("{} requests and {} tokens, none lost", measured.succeeded, tokens.completion)
        } else {
            texts.join("; ")
        },
    }
}

fn words(value: Option<f64>) -> String {
    value.map_or_else(|| "unknown".to_owned(), number)
}

/// Why no proof covers a level: each of in flight, requests/s and events/s at least twice the
/// level's. `None` if one does.
pub(super) fn uncovered(level: &Measured<'_>, proofs: &[Proof]) -> Option<String> {
    let factor = PROOF_HEADROOM_MIN.value;
    // A proof that passed may be short of its users by as much as the check allows.
    let held = factor * PROOF_IN_FLIGHT_MIN.value;
    let own = Capacity {
        in_flight: level.in_flight.mean.unwrap_or(0.0),
        requests_per_s: level.rates.requests.unwrap_or(0.0),
        events_per_s: level.events_per_s().unwrap_or(0.0),
    };
    let passed: Vec<Capacity> =
        proofs.iter().filter(|proof| proof.passed).filter_map(Capacity::of).collect();
    let covers = |proof: &Capacity| {
        proof.in_flight >= held * own.in_flight
            && proof.requests_per_s >= factor * own.requests_per_s
            && proof.events_per_s >= factor * own.events_per_s
    };
    if passed.iter().any(covers) {
        return None;
    }
    let why = match (proofs.is_empty(), passed.as_slice()) {
        (true, _) => "the run has no client proof; use --client-proof on".to_owned(),
        (false, []) => "no client proof passed".to_owned(),
        (false, passed) => {
            let shown: Vec<String> = passed.iter().map(ToString::to_string).collect();
            format!("the client is proven for {}", shown.join(", and for "))
        }
    };
    Some(format!(
        "{why}; {factor} times {own} must be proven before the target may be called saturated: the \
         limit could be the client's"
    ))
}

/// In flight and rates that can be compared.
struct Capacity {
    in_flight: f64,
    requests_per_s: f64,
    events_per_s: f64,
}

impl Capacity {
    fn of(proof: &Proof) -> Option<Self> {
        Some(Self {
            in_flight: proof.in_flight?,
            requests_per_s: proof.requests_per_s?,
            events_per_s: proof.events_per_s?,
        })
    }
}

impl std::fmt::Display for Capacity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} in flight, {} requests/s, {} events/s",
            number(self.in_flight),
            number(self.requests_per_s),
            number(self.events_per_s)
        )
    }
}

#[cfg(test)]
mod tests;
