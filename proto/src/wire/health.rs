//! What hosts tell of themselves, on the wire. What a host does not state is absent.

use common::health::{Health, LinkUse, RoundTrip, Segments, Used, WorkerHealth};
use common::processors::Processors;

use super::from::{COUNT_MAX, plausible, text};
use crate::generated as pb;
use crate::wire::WireError;

/// Workers that one agent can have at most.
const WORKERS_MAX: usize = 1024;

impl From<&Health> for pb::Health {
    fn from(health: &Health) -> Self {
        let used = |used: Used| pb::Used { used: used.used, limit: used.limit };
        Self {
            workers: health.workers.iter().map(Into::into).collect(),
            steal: health.steal,
            throttled: health.throttled,
            fds: health.fds.map(used),
            ports: health.ports.map(used),
            segments: health.segments.map(|segments| pb::Segments {
                sent: segments.sent,
                retransmitted: segments.retransmitted,
            }),
            round_trip: health.round_trip.map(|trip| pb::RoundTrip {
                connections: trip.connections,
                median_us: trip.median_us,
                max_us: trip.max_us,
            }),
            link: health.link.as_ref().map(|link| pb::LinkUse {
                name: link.name.clone(),
                bytes_per_s: link.bytes_per_s,
                share: link.share,
            }),
        }
    }
}

impl TryFrom<pb::Health> for Health {
    type Error = WireError;

    fn try_from(message: pb::Health) -> Result<Self, WireError> {
        if message.workers.len() > WORKERS_MAX {
            let reason = format!("more than {WORKERS_MAX}");
            return Err(WireError::new("health.workers", reason));
        }
        Ok(Self {
            workers: message
                .workers
                .into_iter()
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()?,
            steal: share("health.steal", message.steal)?,
            throttled: share("health.throttled", message.throttled)?,
            fds: used("health.fds", message.fds)?,
            ports: used("health.ports", message.ports)?,
            segments: message.segments.map(TryInto::try_into).transpose()?,
            round_trip: message.round_trip.map(TryInto::try_into).transpose()?,
            link: message.link.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<&WorkerHealth> for pb::WorkerHealth {
    fn from(worker: &WorkerHealth) -> Self {
        Self {
            cpu: worker.cpu,
            wait: worker.wait,
            wait_max: worker.wait_max,
            processor: worker.processor,
            steal: worker.steal,
        }
    }
}

impl TryFrom<pb::WorkerHealth> for WorkerHealth {
    type Error = WireError;

    fn try_from(message: pb::WorkerHealth) -> Result<Self, WireError> {
        if message.processor.is_some_and(|processor| processor >= Processors::MAX) {
            return Err(WireError::new("health.workers.processor", "too high"));
        }
        Ok(Self {
            cpu: share("health.workers.cpu", message.cpu)?,
            wait: share("health.workers.wait", message.wait)?,
            wait_max: share("health.workers.wait_max", message.wait_max)?,
            processor: message.processor,
            steal: share("health.workers.steal", message.steal)?,
        })
    }
}

impl TryFrom<pb::Segments> for Segments {
    type Error = WireError;

    fn try_from(message: pb::Segments) -> Result<Self, WireError> {
        let pb::Segments { sent, retransmitted } = message;
        plausible("health.segments", &[sent, retransmitted], COUNT_MAX)?;
        Ok(Self { sent, retransmitted })
    }
}

impl TryFrom<pb::RoundTrip> for RoundTrip {
    type Error = WireError;

    fn try_from(message: pb::RoundTrip) -> Result<Self, WireError> {
        let pb::RoundTrip { connections, median_us, max_us } = message;
        if connections == 0 || median_us > max_us {
            return Err(WireError::new("health.round_trip", "of nothing, or above its maximum"));
        }
        Ok(Self { connections, median_us, max_us })
    }
}

impl TryFrom<pb::LinkUse> for LinkUse {
    type Error = WireError;

    fn try_from(message: pb::LinkUse) -> Result<Self, WireError> {
        let name = text("health.link.name", message.name)?;
        plausible("health.link.bytes_per_s", &[message.bytes_per_s], COUNT_MAX)?;
        let share = share("health.link.share", message.share)?;
        Ok(Self { name, bytes_per_s: message.bytes_per_s, share })
    }
}

fn share(field: &'static str, value: Option<f64>) -> Result<Option<f64>, WireError> {
    match value {
        Some(value) if !(0.0..=1.0).contains(&value) => Err(WireError::new(field, "not a share")),
        Some(_) | None => Ok(value),
    }
}

fn used(field: &'static str, message: Option<pb::Used>) -> Result<Option<Used>, WireError> {
    let Some(pb::Used { used, limit }) = message else {
        return Ok(None);
    };
    if limit == 0 {
        return Err(WireError::new(field, "of nothing"));
    }
    Ok(Some(Used { used, limit }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Health {
        let used = Some(Used { used: 7, limit: 1024 });
        let worker = WorkerHealth {
            cpu: Some(0.5),
            wait: Some(0.0),
            wait_max: Some(1.0),
            processor: Some(1023),
            steal: Some(0.25),
        };
        Health {
            workers: vec![worker, WorkerHealth::default()],
            steal: Some(0.125),
            throttled: Some(0.75),
            fds: used,
            ports: used,
            segments: Some(Segments { sent: 9, retransmitted: 1 }),
            round_trip: Some(RoundTrip { connections: 3, median_us: 40, max_us: 90 }),
            link: Some(LinkUse { name: "eth0".to_owned(), bytes_per_s: 5, share: None }),
        }
    }

    #[test]
    fn health_survives_the_wire_stated_or_not() {
        for health in [full(), Health::default()] {
            assert_eq!(Health::try_from(pb::Health::from(&health)), Ok(health));
        }
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_name() {
        let refused = |change: fn(&mut pb::Health)| {
            let mut message = pb::Health::from(&full());
            change(&mut message);
            Health::try_from(message).unwrap_err().field
        };
        assert_eq!(refused(|m| m.steal = Some(f64::NAN)), "health.steal");
        assert_eq!(refused(|m| m.throttled = Some(-0.5)), "health.throttled");
        assert_eq!(refused(|m| m.workers[0].wait = Some(1.5)), "health.workers.wait");
        assert_eq!(refused(|m| m.workers[0].processor = Some(1024)), "health.workers.processor");
        assert_eq!(refused(|m| m.workers.resize(1025, m.workers[1])), "health.workers");
        assert_eq!(refused(|m| m.fds = Some(pb::Used { used: 1, limit: 0 })), "health.fds");
        assert_eq!(refused(|m| m.segments.as_mut().unwrap().sent = u64::MAX), "health.segments");
        assert_eq!(refused(|m| m.round_trip.as_mut().unwrap().max_us = 1), "health.round_trip");
        assert_eq!(refused(|m| m.link.as_mut().unwrap().share = Some(2.0)), "health.link.share");
    }
}
