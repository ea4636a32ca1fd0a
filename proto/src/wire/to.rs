//! Domain types to protobuf: total functions.

use common::arrivals::Arrivals;
use common::assignment::Assignment;
use common::extra::HeaderName;
use common::ids::LevelId;
use common::phase::Phase;
use common::snapshot::{LevelEnd, Seal, Snapshot};
use common::target::{BaseUrl, Connection, Endpoint, Target};
use common::time::duration_ns;

use super::asked::{arm_of, extra_body_of};
use super::supply;
use crate::generated as pb;
use crate::message::{Greeting, Hello, Holder, Order, ProtocolVersion, Report};

impl From<ProtocolVersion> for pb::Version {
    fn from(version: ProtocolVersion) -> Self {
        Self { major: version.major, minor: version.minor }
    }
}

impl From<&Hello> for pb::HelloRequest {
    fn from(hello: &Hello) -> Self {
        Self { protocol: Some(hello.protocol.into()), build: hello.build.clone() }
    }
}

impl From<&Greeting> for pb::HelloReply {
    fn from(greeting: &Greeting) -> Self {
        Self {
            protocol: Some(greeting.protocol.into()),
            build: greeting.build.clone(),
            name: greeting.name.to_string(),
            boot: greeting.boot.0.as_bytes().to_vec(),
            workers: greeting.workers,
            users_max: greeting.ceilings.users,
            run_max_ns: duration_ns(greeting.ceilings.run),
            holder: greeting.holder.as_ref().map(Into::into),
            ceiling: greeting.ceiling.as_ref().map(super::ceiling::to),
            clock_ns: greeting.clock.0,
            processors: greeting.processors.as_ref().map_or_else(Vec::new, |p| p.list().to_vec()),
        }
    }
}

impl From<&Holder> for pb::Holder {
    fn from(holder: &Holder) -> Self {
        Self {
            run: holder.run.0.as_bytes().to_vec(),
            coordinator: holder.coordinator.clone(),
            lease_left_ns: duration_ns(holder.lease_left),
        }
    }
}

fn level(level: LevelId) -> Option<pb::Level> {
    Some(pb::Level { ordinal: level.ordinal, attempt: level.attempt })
}

impl From<&Order> for pb::Order {
    fn from(order: &Order) -> Self {
        use pb::order::Order as Body;
        let (epoch, body) = match order {
            Order::Acquire { run } => {
                (0, Body::Acquire(pb::Acquire { run: run.0.as_bytes().to_vec() }))
            }
            Order::Arm { epoch, assignment, secrets } => {
                (epoch.0, Body::Arm(arm_of(assignment, secrets)))
            }
            Order::Supply { epoch, digest, total, offset, chunk } => {
                (epoch.0, Body::Supply(supply::to(*digest, *total, *offset, chunk)))
            }
            Order::Fire { epoch, level: id, at } => {
                (epoch.0, Body::Fire(pb::Fire { level: level(*id), at_ns: at.0 }))
            }
            Order::Stop { epoch, level: id, grace } => {
                (epoch.0, Body::Stop(pb::Stop { level: level(*id), grace_ns: duration_ns(*grace) }))
            }
            Order::SealStored { epoch, level: id } => {
                (epoch.0, Body::SealStored(pb::SealStored { level: level(*id) }))
            }
            Order::RenewEcho { epoch, nonce } => {
                (epoch.0, Body::RenewEcho(pb::RenewEcho { nonce: *nonce }))
            }
            Order::Measure { epoch, level: id, from } => {
                (epoch.0, Body::Measure(pb::Measure { level: level(*id), from_ns: from.0 }))
            }
            Order::Release { epoch, level: id, at } => {
                (epoch.0, Body::Release(pb::Release { level: level(*id), at_ns: at.0 }))
            }
            Order::EndLevel { epoch, level: id } => {
                (epoch.0, Body::EndLevel(pb::EndLevel { level: level(*id) }))
            }
            Order::Free { epoch } => (epoch.0, Body::Free(pb::Free {})),
        };
        Self { epoch, order: Some(body) }
    }
}

impl From<&Assignment> for pb::Assignment {
    fn from(assignment: &Assignment) -> Self {
        let (arrivals, ramp_ns, schedule) = match assignment.load.arrivals {
            Arrivals::Closed { ramp } => (pb::Arrivals::Closed, duration_ns(ramp), None),
            Arrivals::Open(schedule) => (pb::Arrivals::Open, 0, Some(schedule.into())),
        };
        Self {
            run: assignment.run.0.as_bytes().to_vec(),
            level: level(assignment.level),
            phase: match assignment.phase {
                Phase::Warmup => pb::Phase::Warmup,
                Phase::Baseline => pb::Phase::Baseline,
                Phase::Scaling => pb::Phase::Scaling,
                Phase::Stress => pb::Phase::Stress,
                Phase::Saturation => pb::Phase::Saturation,
            }
            .into(),
            place: assignment.place,
            seed: assignment.seed.0,
            share_first: assignment.share.first.0,
            share_step: assignment.share.step,
            share_count: assignment.share.count,
            load_users: assignment.load.users,
            load_requests: assignment.load.requests().unwrap_or(0),
            arrivals: arrivals.into(),
            ramp_ns,
            schedule,
            slo: Some(assignment.slo.into()),
            workload: Some((&assignment.workload).into()),
            target: Some((&assignment.target).into()),
            proof: assignment.proof.map(|pace| pb::Pace {
                ttft_ns: duration_ns(pace.ttft),
                itl_ns: duration_ns(pace.itl),
            }),
        }
    }
}

impl From<&Target> for pb::Target {
    fn from(target: &Target) -> Self {
        Self {
            base_url: target.base_url.written(),
            model: target.model.clone(),
            endpoint: match target.endpoint {
                Endpoint::Chat => pb::Endpoint::Chat,
                Endpoint::Completions => pb::Endpoint::Completions,
                Endpoint::Responses => pb::Endpoint::Responses,
                Endpoint::Messages => pb::Endpoint::Messages,
                Endpoint::Embeddings => pb::Endpoint::Embeddings,
            }
            .into(),
            stream: target.stream,
            authorities_pem: target
                .authorities
                .as_ref()
                .map(|authorities| authorities.pem().to_owned())
                .unwrap_or_default(),
            more_base_urls: target.more_base_urls.iter().map(BaseUrl::written).collect(),
            extra_body: extra_body_of(target),
            headers: target.headers.iter().map(pb::Header::from).collect(),
            http: pb::Http::from(target.http).into(),
            key_header: target.key_header.as_ref().map_or_else(String::new, HeaderName::to_string),
            connection: match target.connection {
                Connection::KeepAlive => pb::Connection::KeepAlive,
                Connection::PerRequest => pb::Connection::PerRequest,
            }
            .into(),
            connect_timeout_ns: duration_ns(target.timeouts.connect),
            first_byte_timeout_ns: duration_ns(target.timeouts.first_byte),
            idle_timeout_ns: duration_ns(target.timeouts.idle),
            total_timeout_ns: duration_ns(target.timeouts.total),
        }
    }
}

impl From<&Report> for pb::Report {
    fn from(report: &Report) -> Self {
        use pb::report::Report as Body;
        let body = match report {
            Report::Acquired { boot, epoch, lease } => Body::Acquired(pb::Acquired {
                boot: boot.0.as_bytes().to_vec(),
                epoch: epoch.0,
                lease_ns: duration_ns(*lease),
            }),
            Report::Armed { level: id, digest } => {
                Body::Armed(pb::Armed { level: level(*id), digest: digest.0.to_vec() })
            }
            Report::NotArmed { level: id, reasons } => {
                Body::NotArmed(pb::NotArmed { level: level(*id), reasons: reasons.clone() })
            }
            Report::Fired { level: id } => Body::Fired(pb::Fired { level: level(*id) }),
            Report::TooLate { level: id } => Body::TooLate(pb::TooLate { level: level(*id) }),
            Report::Snapshot(snapshot) => Body::Snapshot(snapshot.as_ref().into()),
            Report::Sealed(seal) => Body::Seal(seal.as_ref().into()),
            Report::Renew { nonce, sent_at } => {
                Body::Renew(pb::Renew { nonce: *nonce, sent_at_ns: sent_at.0 })
            }
        };
        Self { report: Some(body) }
    }
}

impl From<&Snapshot> for pb::Snapshot {
    fn from(snapshot: &Snapshot) -> Self {
        Self {
            boot: snapshot.origin.boot.0.as_bytes().to_vec(),
            epoch: snapshot.origin.epoch.0,
            level: level(snapshot.origin.level),
            sequence: snapshot.sequence,
            at_ns: snapshot.at.0,
            tally: Some((&snapshot.tally).into()),
            vitals: Some(pb::Vitals {
                worker_cpu: snapshot.vitals.worker_cpu,
                worker_cpu_max: snapshot.vitals.worker_cpu_max,
                busy_share: snapshot.vitals.busy_share,
                clock_step_ns: snapshot.vitals.clock_step_ns,
                suspended_ns: snapshot.vitals.suspended_ns,
                health: snapshot.vitals.health.as_ref().map(Into::into),
            }),
        }
    }
}

impl From<&Seal> for pb::Seal {
    fn from(seal: &Seal) -> Self {
        let (end, fault) = match &seal.end {
            LevelEnd::Completed => (pb::LevelEnd::Completed, String::new()),
            LevelEnd::Stopped => (pb::LevelEnd::Stopped, String::new()),
            LevelEnd::LeaseExpired => (pb::LevelEnd::LeaseExpired, String::new()),
            LevelEnd::Faulted(fault) => (pb::LevelEnd::Faulted, fault.clone()),
        };
        Self { snapshot: Some((&seal.snapshot).into()), end: end.into(), fault }
    }
}
