//! Whether the generator, its clocks and its agents were sound.

use common::arrivals::Arrivals;
use common::ceiling::loop_lag_limit_ms;
use common::hist::LatencyHist;
use common::outcome::Failure;
use common::tally::Latencies;
use common::time::Tick;

use super::{Context, host};
use crate::classify::limits::{
    AGENT_OFF_MAX, AGENT_P_MAX, BURST_SKEW_SHARE_MAX, BUSY_SHARE_MAX, CLOCK_ERROR_MAX,
    CLOCK_ERROR_SHARE_MAX, CLOCK_STEP_MAX, LOOP_LAG_MAX, START_SKEW_MAX, START_SKEW_SHARE_MAX,
};
use crate::classify::number::{number, percent};
use crate::classify::{Code, Verdict};
use crate::measure::Measured;
use crate::merge::Part;
use crate::stats;

/// Wakes of an event loop, 20 ms apart, or reads, from which on their p99 is not just the latest of
/// them.
const WAKES_MIN: u64 = 100;

/// Names that an evidence lists; the rest are counted.
const NAMES_SHOWN: usize = 4;

/// Whether the generator was the limit: no core, no time or no descriptor to spare.
pub(super) fn client(level: &Measured<'_>) -> Option<Verdict> {
    let tally = level.tally();
    let mut evidence = Vec::new();
    let busy = |part: &Part<'_>| Some(part.seal?.snapshot.vitals.busy_share);
    if let Some((agent, share)) = worst(level, busy)
        && share > BUSY_SHARE_MAX.value
    {
        evidence.push(format!(
            "a worker of agent {agent} had no processor time to spare for {} of the time, more \
             than {}",
            percent(share),
            percent(BUSY_SHARE_MAX.value)
        ));
    }
    let strict_ms = loop_lag_limit_ms(&tally.latencies.icl);
    let limit_ms = |lag: &LatencyHist| {
        // Of fewer the p99 is the largest: one hiccup.
        if lag.count() < WAKES_MIN { LOOP_LAG_MAX.value } else { strict_ms }
    };
    let mut late = |of: fn(&Latencies) -> &LatencyHist, (whose, what): (&str, &str)| {
        let lag = |part: &Part<'_>| {
            let lag = of(&part.seal?.snapshot.tally.latencies);
            let lag_ms = lag.quantile_us(0.99)? / 1e3;
            (lag_ms > limit_ms(lag)).then_some(lag_ms)
        };
        evidence.extend(worst(level, lag).map(|(agent, lag_ms)| {
            let limit_ms = if lag_ms > LOOP_LAG_MAX.value { LOOP_LAG_MAX.value } else { strict_ms };
            let (late, limit) = (number(lag_ms), number(limit_ms));
            format!("{whose} {agent} {what} {late} ms late at p99, more than {limit} ms")
        }));
    };
    late(|latencies| &latencies.loop_lag, ("the event loop of agent", "woke"));
    late(|latencies| &latencies.receive_lag, ("agent", "read what had come"));
    evidence.extend(host::limits(level));
    for (failure, what) in
        [(Failure::ClientFd, "file descriptors"), (Failure::ClientPort, "local ports")]
    {
        let failed = tally.counts.failed_by(failure);
        if failed > 0 {
            evidence.push(format!("{failed} requests found no {what} on the agent's host"));
        }
    }
    let text = evidence.join("; ");
    (!text.is_empty()).then(|| Verdict::invalid(Code::ClientLimited, text))
}

/// The agent with the highest value; of equals the one whose name sorts first.
fn worst<'a>(
    level: &Measured<'a>,
    value: impl Fn(&Part<'a>) -> Option<f64>,
) -> Option<(&'a str, f64)> {
    let parts = level.totals.parts.iter();
    let values = parts.filter_map(|part| Some((part.agent.as_str(), value(part)?)));
    values.reduce(|a, b| if (b.1, a.0) > (a.1, b.0) { b } else { a })
}

/// Whether the agents began together: when each sent first, less when it was to.
pub(super) fn start_skew(level: &Measured<'_>, context: &Context<'_>) -> Option<Verdict> {
    // When the requests of a trace were intended is known to the agents alone.
    if level.record.planned.workload.replay_milli.is_some() {
        return None;
    }
    let load = level.load();
    let agents = u32::try_from(level.totals.parts.len()).unwrap_or(u32::MAX);
    let late: Vec<f64> = (0..agents)
        .zip(&level.totals.parts)
        .filter_map(|(index, part)| {
            let sent_ns = part.seal?.snapshot.tally.span?.first_sent_ns;
            let first = load.share(index, agents).first.0;
            let planned = match load.arrivals {
                Arrivals::Closed { ramp } => {
                    Arrivals::intended(ramp, (first, load.users), Tick::ZERO, None).0
                }
                Arrivals::Open(_) => level.arrival_ns(first)?,
            };
            Some((sent_ns as f64 - planned as f64) / 1e6)
        })
        .collect();
    let earliest = late.iter().copied().reduce(f64::min)?;
    let skew_ms = late.iter().copied().reduce(f64::max)? - earliest;
    let error_ms = clock_errors_ms(level, context).map(|(_, ms)| ms).fold(0.0, f64::max);
    let latencies = &level.tally().latencies;
    let burst = load.waves() == Some(1) && load.arrivals.ramp().is_zero();
    let ttft_ms = latencies.ttft.quantile_us(0.5).map(|us| us / 1e3);
    let limit_ms = match ttft_ms.filter(|_| burst) {
        Some(ttft_ms) => BURST_SKEW_SHARE_MAX.value * ttft_ms,
        None => {
            let share_ms = level.e2e_mean_s().map(|s| START_SKEW_SHARE_MAX.value * s * 1e3);
            START_SKEW_MAX.value.max(share_ms.unwrap_or(0.0))
        }
    };
    if skew_ms <= limit_ms + error_ms {
        return None;
    }
    let text = format!(
        "the first and the last agent began {} ms further apart than planned, more than {} ms and \
         the {} ms that their clocks are unsure of",
        number(skew_ms),
        number(limit_ms),
        number(error_ms)
    );
    Some(if burst {
        Verdict::invalid(Code::StartSkew, text)
    } else {
        Verdict::warn(Code::StartSkew, text)
    })
}

/// Whether the clocks of the level's agents were good enough. One agent alone needs no other's.
pub(super) fn clock(level: &Measured<'_>, context: &Context<'_>) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let worst_error =
        clock_errors_ms(level, context).reduce(|a, b| if (b.1, a.0) > (a.1, b.0) { b } else { a });
    if let Some((agent, error_ms)) = worst_error.filter(|_| level.totals.parts.len() > 1) {
        let part_ms = CLOCK_ERROR_SHARE_MAX.value * level.length_s().unwrap_or(0.0) * 1e3;
        let known = format!("the clock of agent {agent} is known to ±{} ms", number(error_ms));
        if error_ms > part_ms {
            let limit = percent(CLOCK_ERROR_SHARE_MAX.value);
            let text = format!("{known}, more than {limit} of the time that is measured");
            verdicts.push(Verdict::invalid(Code::Clock, text));
        } else if error_ms > CLOCK_ERROR_MAX.value {
            let text = format!("{known}, more than {} ms", CLOCK_ERROR_MAX.value);
            verdicts.push(Verdict::warn(Code::Clock, text));
        }
    }
    let limit_ms = CLOCK_STEP_MAX.value;
    let suspended = |part: &Part<'_>| Some(part.seal?.snapshot.vitals.suspended_ns as f64 / 1e6);
    if let Some((agent, ms)) = worst(level, suspended).filter(|(_, ms)| *ms > limit_ms) {
        let text = format!("the host of agent {agent} was suspended for {} ms", number(ms));
        verdicts.push(Verdict::invalid(Code::Clock, text));
    }
    let step = |part: &Part<'_>| Some(part.seal?.snapshot.vitals.clock_step_ns as f64 / 1e6);
    if let Some((agent, ms)) = worst(level, step).filter(|(_, ms)| *ms > limit_ms) {
        let text = format!(
            "the wall clock of agent {agent} stepped by {} ms, more than {limit_ms} ms",
            number(ms)
        );
        verdicts.push(Verdict::warn(Code::Clock, text));
    }
    verdicts
}

fn clock_errors_ms<'a>(
    level: &'a Measured<'_>,
    context: &'a Context<'_>,
) -> impl Iterator<Item = (&'a str, f64)> {
    let agents = context.agents.iter();
    let errors = agents.filter_map(|agent| Some((agent, agent.clock_error_us? / 1e3)));
    errors
        .filter(|(agent, _)| level.totals.parts.iter().any(|part| *part.agent == agent.name))
        .map(|(agent, ms)| (agent.name.as_str(), ms))
}

/// Whether an agent saw another target than the fleet: its times to the first token lie on one side
/// of the fleet's median.
pub(super) fn outliers(level: &Measured<'_>) -> Option<Verdict> {
    if level.totals.parts.len() < 2 {
        return None;
    }
    let fleet = &level.tally().latencies.ttft;
    let median_us = fleet.quantile_us(0.5)?;
    let mut named: Vec<(&str, String)> = Vec::new();
    for part in &level.totals.parts {
        let Some(seal) = part.seal else { continue };
        let own = &seal.snapshot.tally.latencies.ttft;
        let Some(own_us) = own.quantile_us(0.5) else { continue };
        let Some(off) = stats::ratio(own_us - median_us, median_us) else { continue };
        let (above, below) = sides(own, median_us);
        let unlikely = stats::sign_test(above, below).is_some_and(|p| p < AGENT_P_MAX.value);
        if off.abs() > AGENT_OFF_MAX.value && unlikely {
            let text =
                format!("{}: {} ms, {:+.0} %", part.agent, number(own_us / 1e3), off * 100.0);
            named.push((part.agent.as_str(), text));
        }
    }
    if named.is_empty() {
        return None;
    }
    named.sort_unstable();
    let more = named.len().saturating_sub(NAMES_SHOWN);
    let mut texts: Vec<String> =
        named.into_iter().take(NAMES_SHOWN).map(|(_, text)| text).collect();
    if more > 0 {
        texts.push(format!("and {more} more"));
    }
    let text = format!(
        "the median time to the first token is {} ms, and that of some agents more than {} off it: {}",
        number(median_us / 1e3),
        percent(AGENT_OFF_MAX.value),
        texts.join("; ")
    );
    Some(Verdict::warn(Code::AgentOutlier, text))
}

/// How many values lie above and below a point; those of its own bucket count in neither.
fn sides(hist: &LatencyHist, at_us: f64) -> (u64, u64) {
    let sparse = hist.to_sparse();
    let (mut above, mut below) = (sparse.above, sparse.below);
    let mut buckets = sparse.buckets.iter().peekable();
    while let Some(&(lowest, count)) = buckets.next() {
        let next = buckets.peek().map_or(u64::MAX, |(next, _)| *next);
        // A bucket is at most 0.1 % of its values wide, and 1 µs at least.
        let end = next.min(lowest + (lowest / 1000).max(1));
        if lowest as f64 > at_us {
            above += count;
        } else if (end as f64) <= at_us {
            below += count;
        }
    }
    (above, below)
}
