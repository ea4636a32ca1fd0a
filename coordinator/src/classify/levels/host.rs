//! Whether the hosts of the agents gave them what they needed: processors, quotas, the network.
//! What a host does not state is no evidence, either way.

use common::health::{Health, Segments, Used};

use crate::classify::limits::Limit;
use crate::classify::limits::{
    LINK_SHARE_MAX, NEAR_SHARE_MAX, RETRANSMITTED_SHARE_MAX, STEAL_SHARE_MAX, THROTTLED_SHARE_MAX,
    WAIT_SHARE_MAX,
};
use crate::classify::number::{number, percent};
use crate::classify::{Code, Verdict};
use crate::measure::Measured;

/// What made hosts the limit, in words: each of the worst agent.
pub(super) fn limits(level: &Measured<'_>) -> Vec<String> {
    let mut evidence = Vec::new();
    let wait = worst(level, WAIT_SHARE_MAX, |health| Some(health.longest_wait()?.1));
    evidence.extend(wait.map(|(agent, health, share)| {
        let worker = health.longest_wait().map_or(0, |(worker, _)| worker);
        let limit = percent(WAIT_SHARE_MAX.value);
        format!(
            "worker {worker} of agent {agent} waited for a core for {} of the time, more than {limit}",
            percent(share)
        )
    }));
    let throttled = worst(level, THROTTLED_SHARE_MAX, |health| health.throttled);
    evidence.extend(throttled.map(|(agent, _, share)| {
        let limit = percent(THROTTLED_SHARE_MAX.value);
        format!(
            "a quota of processor time held agent {agent} up in {} of its periods, more than {limit}",
            percent(share)
        )
    }));
    let steal = worst(level, STEAL_SHARE_MAX, Health::most_stolen);
    evidence.extend(steal.map(|(agent, _, share)| {
        let limit = percent(STEAL_SHARE_MAX.value);
        format!(
            "the hypervisor gave {} of the processors of agent {agent} to others, more than {limit}",
            percent(share)
        )
    }));
    let link = worst(level, LINK_SHARE_MAX, |health| health.link.as_ref()?.share);
    evidence.extend(link.map(|(agent, health, share)| {
        let (name, rate) = health.link.as_ref().map_or(("", 0), |l| (&l.name, l.bytes_per_s));
        format!(
            "{name} of agent {agent} carried {} MB/s, {} of what it can, more than {}",
            number(rate as f64 / 1e6),
            percent(share),
            percent(LINK_SHARE_MAX.value)
        )
    }));
    evidence
}

/// What was not the limit, and must be known.
pub(super) fn warnings(level: &Measured<'_>) -> Option<Verdict> {
    let mut evidence = Vec::new();
    let near = |of: fn(&Health) -> Option<Used>, what: &str| {
        let (agent, health, share) =
            worst(level, NEAR_SHARE_MAX, |health| Some(of(health)?.share()))?;
        let Used { used, limit } = of(health)?;
        let (share, most) = (percent(share), percent(NEAR_SHARE_MAX.value));
        Some(format!(
            "agent {agent} had {used} {what} of {limit} in use, {share}, more than {most}"
        ))
    };
    evidence.extend(near(|health| health.fds, "open files"));
    evidence.extend(near(|health| health.ports, "TCP sockets for local ports"));
    let again = |health: &Health| health.segments.and_then(Segments::retransmitted_share);
    let again = worst(level, RETRANSMITTED_SHARE_MAX, again);
    evidence.extend(again.map(|(agent, _, share)| {
        format!(
            "the host of agent {agent} sent {} of its TCP segments again, more than {}: the network \
             loses some, or a host answers late, and latencies hold the time that takes",
            percent(share),
            percent(RETRANSMITTED_SHARE_MAX.value)
        )
    }));
    let text = evidence.join("; ");
    (!text.is_empty()).then(|| Verdict::warn(Code::ClientLimited, text))
}

/// The agent with the highest share, if it is above the limit; of equals the one whose name sorts
/// first.
fn worst<'a>(
    level: &Measured<'a>,
    limit: Limit,
    share: impl Fn(&Health) -> Option<f64>,
) -> Option<(&'a str, &'a Health, f64)> {
    let parts = level.totals.parts.iter();
    let known = parts.filter_map(|part| {
        let health = part.seal?.snapshot.vitals.health.as_ref()?;
        Some((part.agent.as_str(), health, share(health)?))
    });
    let worst = known.reduce(|a, b| if (b.2, a.0) > (a.2, b.0) { b } else { a });
    worst.filter(|(_, _, share)| *share > limit.value)
}
