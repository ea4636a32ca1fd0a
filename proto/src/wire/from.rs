//! Protobuf to domain types: every field is checked, and the bad one named.

use std::time::Duration;

use common::assignment::{Assignment, Load, Pace, Share};
use common::digest::Digest;
use common::ids::{BootId, Epoch, LevelId, Name, RunId, UserId};
use common::length::Length;
use common::phase::Phase;
use common::processors::Processors;
use common::seed::Seed;
use common::snapshot::{LevelEnd, Origin, Seal, Snapshot, Vitals};
use common::target::{BaseUrl, Connection, Endpoint, Target, Timeouts};
use common::time::Tick;
use common::trust::Authorities;
use common::workload::Workload;
use uuid::Uuid;

use super::asked::{extra_body, headers, http, key_header, more_base_urls, secrets};
use super::load::load;
use super::slices;
use super::supply;
use crate::generated as pb;
use crate::message::{Ceilings, Greeting, Hello, Holder, Order, ProtocolVersion, Report};
use crate::wire::WireError;

/// Longest text in a message, in bytes; longer ones are refused.
const TEXT_MAX: usize = 4096;
/// Most reasons in a refusal to arm.
const REASONS_MAX: usize = 64;
/// Largest count in a tally: sums over any fleet then stay within 64 bits.
pub(super) const COUNT_MAX: u64 = 1 << 48;

pub(super) fn required<T>(field: &'static str, value: Option<T>) -> Result<T, WireError> {
    value.ok_or_else(|| WireError::new(field, "missing"))
}

fn uuid(field: &'static str, bytes: &[u8]) -> Result<Uuid, WireError> {
    Uuid::from_slice(bytes).map_err(|_| WireError::new(field, "not 16 bytes"))
}

pub(super) fn digest(field: &'static str, bytes: Vec<u8>) -> Result<Digest, WireError> {
    bytes.try_into().map(Digest).map_err(|_| WireError::new(field, "not 32 bytes"))
}

pub(super) fn text(field: &'static str, text: String) -> Result<String, WireError> {
    if text.len() > TEXT_MAX {
        return Err(WireError::new(field, format!("longer than {TEXT_MAX} bytes")));
    }
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(WireError::new(field, "holds control characters"));
    }
    Ok(text)
}

pub(super) fn name(field: &'static str, text: &str) -> Result<Name, WireError> {
    text.parse().map_err(|error| WireError::new(field, error))
}

pub(super) fn plausible(field: &'static str, counts: &[u64], max: u64) -> Result<(), WireError> {
    if counts.iter().any(|&count| count > max) {
        return Err(WireError::new(field, format!("a count above {max}")));
    }
    Ok(())
}

fn level(field: &'static str, level: Option<pb::Level>) -> Result<LevelId, WireError> {
    required(field, level).map(|level| LevelId { ordinal: level.ordinal, attempt: level.attempt })
}

fn version(field: &'static str, value: Option<pb::Version>) -> Result<ProtocolVersion, WireError> {
    required(field, value).map(|v| ProtocolVersion { major: v.major, minor: v.minor })
}

impl TryFrom<pb::HelloRequest> for Hello {
    type Error = WireError;

    fn try_from(message: pb::HelloRequest) -> Result<Self, WireError> {
        Ok(Self {
            protocol: version("protocol", message.protocol)?,
            build: text("build", message.build)?,
        })
    }
}

impl TryFrom<pb::HelloReply> for Greeting {
    type Error = WireError;

    fn try_from(message: pb::HelloReply) -> Result<Self, WireError> {
        Ok(Self {
            protocol: version("protocol", message.protocol)?,
            build: text("build", message.build)?,
            name: name("name", &message.name)?,
            boot: BootId(uuid("boot", &message.boot)?),
            workers: message.workers,
            ceilings: Ceilings {
                users: message.users_max,
                run: Duration::from_nanos(message.run_max_ns),
            },
            holder: message.holder.map(Holder::try_from).transpose()?,
            ceiling: message.ceiling.map(super::ceiling::from).transpose()?,
            clock: Tick(message.clock_ns),
            processors: processors(message.processors)?,
        })
    }
}

fn processors(list: Vec<u32>) -> Result<Option<Processors>, WireError> {
    if list.is_empty() {
        return Ok(None);
    }
    let processors = Processors::new(list);
    processors.map(Some).ok_or_else(|| WireError::new("processors", "one twice, or too high"))
}

impl TryFrom<pb::Holder> for Holder {
    type Error = WireError;

    fn try_from(message: pb::Holder) -> Result<Self, WireError> {
        Ok(Self {
            run: RunId(uuid("holder.run", &message.run)?),
            coordinator: text("holder.coordinator", message.coordinator)?,
            lease_left: Duration::from_nanos(message.lease_left_ns),
        })
    }
}

impl TryFrom<pb::Order> for Order {
    type Error = WireError;

    fn try_from(message: pb::Order) -> Result<Self, WireError> {
        use pb::order::Order as Body;
        let epoch = Epoch(message.epoch);
        Ok(match required("order", message.order)? {
            Body::Acquire(body) => Self::Acquire { run: RunId(uuid("acquire.run", &body.run)?) },
            Body::Arm(body) => Self::Arm {
                epoch,
                secrets: secrets(&body)?,
                assignment: Box::new(required("arm.assignment", body.assignment)?.try_into()?),
            },
            Body::Supply(body) => supply::from(epoch, body)?,
            Body::Fire(body) => {
                Self::Fire { epoch, level: level("fire.level", body.level)?, at: Tick(body.at_ns) }
            }
            Body::Stop(body) => Self::Stop {
                epoch,
                level: level("stop.level", body.level)?,
                grace: Duration::from_nanos(body.grace_ns),
            },
            Body::SealStored(body) => {
                Self::SealStored { epoch, level: level("seal_stored.level", body.level)? }
            }
            Body::RenewEcho(body) => Self::RenewEcho { epoch, nonce: body.nonce },
            Body::Measure(body) => Self::Measure {
                epoch,
                level: level("measure.level", body.level)?,
                from: Tick(body.from_ns),
            },
            Body::Release(body) => Self::Release {
                epoch,
                level: level("release.level", body.level)?,
                at: Tick(body.at_ns),
            },
            Body::EndLevel(body) => {
                Self::EndLevel { epoch, level: level("end_level.level", body.level)? }
            }
            Body::Free(pb::Free {}) => Self::Free { epoch },
        })
    }
}

impl TryFrom<pb::Assignment> for Assignment {
    type Error = WireError;

    fn try_from(message: pb::Assignment) -> Result<Self, WireError> {
        let load = load(&message)?;
        let share = Share {
            first: UserId(message.share_first),
            step: message.share_step,
            count: message.share_count,
        };
        check_share(share, load)?;
        let workload = required("workload", message.workload)?.try_into()?;
        let target = required("target", message.target)?.try_into()?;
        check_work(&workload, &target)?;
        Ok(Self {
            run: RunId(uuid("run", &message.run)?),
            level: level("level", message.level)?,
            phase: match pb::Phase::try_from(message.phase) {
                Ok(pb::Phase::Warmup) => Phase::Warmup,
                Ok(pb::Phase::Baseline) => Phase::Baseline,
                Ok(pb::Phase::Scaling) => Phase::Scaling,
                Ok(pb::Phase::Stress) => Phase::Stress,
                Ok(pb::Phase::Saturation) => Phase::Saturation,
                Ok(pb::Phase::Unspecified) | Err(_) => {
                    return Err(WireError::new("phase", format!("unknown: {}", message.phase)));
                }
            },
            place: message.place,
            seed: Seed(message.seed),
            share,
            load,
            slo: required("slo", message.slo)?.into(),
            workload,
            target,
            proof: message.proof.map(|pace| Pace {
                ttft: Duration::from_nanos(pace.ttft_ns),
                itl: Duration::from_nanos(pace.itl_ns),
            }),
        })
    }
}

fn check_share(share: Share, load: Load) -> Result<(), WireError> {
    if load.users == 0 {
        return Err(WireError::new("load", "no users"));
    }
    if share.step == 0 {
        return Err(WireError::new("share_step", "zero"));
    }
    let last =
        u64::from(share.first.0) + u64::from(share.count.saturating_sub(1)) * u64::from(share.step);
    if share.count > 0 && last >= u64::from(load.users) {
        return Err(WireError::new("share_count", "the share holds users that the load has not"));
    }
    Ok(())
}

/// What is asked for must be what the endpoint can give.
fn check_work(workload: &Workload, target: &Target) -> Result<(), WireError> {
    let endpoint = target.endpoint;
    let name = endpoint.name();
    for (workload, _) in workload.components() {
        if endpoint.generates() != (workload.output_tokens != Length::NONE) {
            let reason = format!("{} output tokens of {name}", workload.output_tokens);
            return Err(WireError::new("workload", reason));
        }
        if workload.forced_length && endpoint.generates() && !endpoint.can_force_length() {
            return Err(WireError::new("workload.forced_length", format!("not with {name}")));
        }
    }
    if target.stream && !endpoint.generates() {
        return Err(WireError::new("target.stream", format!("not with {name}")));
    }
    slices::check(workload, target)
}

impl TryFrom<pb::Target> for Target {
    type Error = WireError;

    fn try_from(message: pb::Target) -> Result<Self, WireError> {
        let wait = |field, ns| match ns {
            0 => Err(WireError::new(field, "zero")),
            1.. => Ok(Duration::from_nanos(ns)),
        };
        let base_url: BaseUrl =
            message.base_url.parse().map_err(|error| WireError::new("target.base_url", error))?;
        Ok(Self {
            more_base_urls: more_base_urls(&base_url, &message.more_base_urls)?,
            base_url,
            extra_body: extra_body(&message.extra_body)?,
            headers: headers("target.headers", &message.headers)?,
            http: http(message.http)?,
            key_header: key_header(&message.key_header)?,
            model: text("target.model", message.model)?,
            endpoint: match pb::Endpoint::try_from(message.endpoint) {
                Ok(pb::Endpoint::Chat) => Endpoint::Chat,
                Ok(pb::Endpoint::Completions) => Endpoint::Completions,
                Ok(pb::Endpoint::Responses) => Endpoint::Responses,
                Ok(pb::Endpoint::Messages) => Endpoint::Messages,
                Ok(pb::Endpoint::Embeddings) => Endpoint::Embeddings,
                Ok(pb::Endpoint::Unspecified) | Err(_) => {
                    return Err(WireError::new(
                        "target.endpoint",
                        format!("unknown: {}", message.endpoint),
                    ));
                }
            },
            stream: message.stream,
            authorities: match message.authorities_pem {
                pem if pem.is_empty() => None,
                pem => {
                    let bad = |error| WireError::new("target.authorities_pem", error);
                    Some(Authorities::new(pem).map_err(bad)?)
                }
            },
            connection: match pb::Connection::try_from(message.connection) {
                Ok(pb::Connection::KeepAlive | pb::Connection::Unspecified) => {
                    Connection::KeepAlive
                }
                Ok(pb::Connection::PerRequest) => Connection::PerRequest,
                Err(_) => {
                    let reason = format!("unknown: {}", message.connection);
                    return Err(WireError::new("target.connection", reason));
                }
            },
            timeouts: Timeouts {
                connect: wait("target.connect_timeout_ns", message.connect_timeout_ns)?,
                first_byte: wait("target.first_byte_timeout_ns", message.first_byte_timeout_ns)?,
                idle: wait("target.idle_timeout_ns", message.idle_timeout_ns)?,
                total: wait("target.total_timeout_ns", message.total_timeout_ns)?,
            },
        })
    }
}

impl TryFrom<pb::Report> for Report {
    type Error = WireError;

    fn try_from(message: pb::Report) -> Result<Self, WireError> {
        use pb::report::Report as Body;
        Ok(match required("report", message.report)? {
            Body::Acquired(body) => Self::Acquired {
                boot: BootId(uuid("acquired.boot", &body.boot)?),
                epoch: Epoch(body.epoch),
                lease: Duration::from_nanos(body.lease_ns),
            },
            Body::Armed(body) => Self::Armed {
                level: level("armed.level", body.level)?,
                digest: digest("armed.digest", body.digest)?,
            },
            Body::NotArmed(body) => Self::NotArmed {
                level: level("not_armed.level", body.level)?,
                reasons: body
                    .reasons
                    .into_iter()
                    .take(REASONS_MAX)
                    .map(|reason| text("not_armed.reasons", reason))
                    .collect::<Result<_, _>>()?,
            },
            Body::Fired(body) => Self::Fired { level: level("fired.level", body.level)? },
            Body::TooLate(body) => Self::TooLate { level: level("too_late.level", body.level)? },
            Body::Snapshot(body) => Self::Snapshot(Box::new(body.try_into()?)),
            Body::Seal(body) => Self::Sealed(Box::new(body.try_into()?)),
            Body::Renew(body) => Self::Renew { nonce: body.nonce, sent_at: Tick(body.sent_at_ns) },
        })
    }
}

impl TryFrom<pb::Snapshot> for Snapshot {
    type Error = WireError;

    fn try_from(message: pb::Snapshot) -> Result<Self, WireError> {
        let vitals = required("snapshot.vitals", message.vitals)?;
        let share = |field, value: f64| {
            // A thread cannot use more than its core; 1.5 leaves room for accounting grain.
            if (0.0..=1.5).contains(&value) {
                Ok(value)
            } else {
                Err(WireError::new(field, "not a share of a core"))
            }
        };
        Ok(Self {
            origin: Origin {
                boot: BootId(uuid("snapshot.boot", &message.boot)?),
                epoch: Epoch(message.epoch),
                level: level("snapshot.level", message.level)?,
            },
            sequence: message.sequence,
            at: Tick(message.at_ns),
            tally: required("snapshot.tally", message.tally)?.try_into()?,
            vitals: Vitals {
                worker_cpu: share("vitals.worker_cpu", vitals.worker_cpu)?,
                worker_cpu_max: share("vitals.worker_cpu_max", vitals.worker_cpu_max)?,
                busy_share: share("vitals.busy_share", vitals.busy_share)?,
                clock_step_ns: vitals.clock_step_ns,
                suspended_ns: vitals.suspended_ns,
                health: vitals.health.map(TryInto::try_into).transpose()?,
            },
        })
    }
}

impl TryFrom<pb::Seal> for Seal {
    type Error = WireError;

    fn try_from(message: pb::Seal) -> Result<Self, WireError> {
        let snapshot: Snapshot = required("seal.snapshot", message.snapshot)?.try_into()?;
        snapshot.tally.check_sealed().map_err(|error| WireError::new("seal.tally", error))?;
        Ok(Self {
            snapshot,
            end: match pb::LevelEnd::try_from(message.end) {
                Ok(pb::LevelEnd::Completed) => LevelEnd::Completed,
                Ok(pb::LevelEnd::Stopped) => LevelEnd::Stopped,
                Ok(pb::LevelEnd::LeaseExpired) => LevelEnd::LeaseExpired,
                Ok(pb::LevelEnd::Faulted) => LevelEnd::Faulted(text("seal.fault", message.fault)?),
                Ok(pb::LevelEnd::Unspecified) | Err(_) => {
                    return Err(WireError::new("seal.end", format!("unknown: {}", message.end)));
                }
            },
        })
    }
}
