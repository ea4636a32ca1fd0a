//! Whether the load asked for was offered: users in flight, or arrivals in time.

use common::ceiling::send_lag_limit_ms;

use crate::classify::limits::{IN_FLIGHT_BELOW_MAX, IN_FLIGHT_MEAN_MIN, SENT_SHARE_MIN};
use crate::classify::number::{number, percent};
use crate::classify::{Code, Verdict};
use crate::measure::Measured;
use crate::stats;

/// Whether the users asked for were in flight. Of a level that is measured whole the mean is over
/// ramp and drain too, so a level of few turns with a long drain does not reach its users either.
pub(super) fn concurrency(level: &Measured<'_>) -> Option<Verdict> {
    // Users who think between requests are people, and not requests in flight.
    let thinks = level.record.planned.workload.think_ms.is_some();
    if level.schedule().is_some() || thinks {
        return None;
    }
    let load = level.load();
    let users = load.users;
    let mut evidence = Vec::new();
    if let Some(requests) = load.requests()
        && requests < u64::from(users)
    {
        evidence.push(format!(
            "at most {} of {users} users could be in flight ({requests} requests planned)",
            load.in_flight_max()
        ));
    }
    let windowed = level.window().is_some();
    let below = level.in_flight.below_95pct_share;
    if let Some(mean) = level.in_flight.mean
        && mean < IN_FLIGHT_MEAN_MIN.value * f64::from(users)
    {
        let part = if windowed { "in the window" } else { "ramp and drain included" };
        let mut text = format!("{mean:.1} of {users} users were in flight on average, {part}");
        if let Some(little) = little(level).filter(|_| !windowed) {
            text.push_str(&format!(" (rate times latency: {little:.1})"));
        }
        if let Some(share) = below {
            let percent = share * 100.0;
            text.push_str(&format!(", below 95 % of them for {percent:.1} % of the time"));
        }
        evidence.push(text);
    } else if let Some(share) = below.filter(|share| *share > IN_FLIGHT_BELOW_MAX.value)
        && windowed
    {
        evidence.push(format!(
            "fewer than 95 % of {users} users were in flight for {} of the window, more than {}",
            percent(share),
            percent(IN_FLIGHT_BELOW_MAX.value)
        ));
    }
    let text = evidence.join("; ");
    (!text.is_empty()).then(|| Verdict::invalid(Code::ConcurrencyNotReached, text))
}

/// In flight by Little's law: requests per second times their mean latency. Only successes have a
/// latency, so `None` if any measured request ended otherwise.
pub(super) fn little(level: &Measured<'_>) -> Option<f64> {
    let measured = &level.tally().measured;
    if measured.succeeded < measured.started {
        return None;
    }
    Some(stats::in_flight(level.rates.requests?, level.e2e_mean_s()?))
}

/// Whether the arrivals of an open loop were made, and in time.
pub(super) fn rate(level: &Measured<'_>) -> Option<Verdict> {
    level.schedule()?;
    let tally = level.tally();
    let mut evidence = Vec::new();
    let made = tally.measured.started;
    if let Some(share) = super::share(made, level.intended)
        && share < SENT_SHARE_MIN.value
    {
        evidence.push(format!(
            "{made} of {} arrivals planned were made, {}, below {}",
            level.intended,
            percent(share),
            percent(SENT_SHARE_MIN.value)
        ));
    }
    let latencies = &tally.latencies;
    let limit_us = send_lag_limit_ms(latencies) * 1e3;
    if let Some(lag_us) = latencies.send_lag.quantile_us(0.99)
        && lag_us > limit_us
    {
        evidence.push(format!(
            "requests were sent late: {} ms at p99, more than {} ms; {} requests at most may be in \
             flight",
            number(lag_us / 1e3),
            number(limit_us / 1e3),
            level.load().users
        ));
    }
    let text = evidence.join("; ");
    (!text.is_empty()).then(|| Verdict::invalid(Code::RateNotReached, text))
}
