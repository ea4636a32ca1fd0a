//! The load of a level on the wire, both ways.

use std::time::Duration;

use common::arrivals::{Arrivals, Curve, Law, PerSecond, Rate, Schedule};
use common::assignment::{End, Load};
use common::slo::Slo;
use common::time::duration_ns;

use super::from::required;
use crate::generated as pb;
use crate::wire::WireError;

/// Fastest rate, in millionths of a request per second: a billion requests per second.
const RATE_MAX: u64 = 1_000_000_000_000_000;
/// Largest shape of a gamma law, in thousandths, and most steps of a ramp.
const PARTS_MAX: u32 = 1_000_000;

impl From<Slo> for pb::Slo {
    fn from(slo: Slo) -> Self {
        let ns = |objective: Option<Duration>| objective.map_or(0, duration_ns);
        Self { ttft_ns: ns(slo.ttft), tpot_ns: ns(slo.tpot), e2e_ns: ns(slo.e2e) }
    }
}

impl From<pb::Slo> for Slo {
    fn from(message: pb::Slo) -> Self {
        let objective = |ns: u64| (ns > 0).then(|| Duration::from_nanos(ns));
        Self {
            ttft: objective(message.ttft_ns),
            tpot: objective(message.tpot_ns),
            e2e: objective(message.e2e_ns),
        }
    }
}

impl From<Schedule> for pb::Schedule {
    fn from(schedule: Schedule) -> Self {
        use pb::schedule::Law as Body;
        let law = match schedule.law {
            Law::Constant => Body::Constant(pb::Constant {}),
            Law::Poisson => Body::Poisson(pb::Poisson {}),
            Law::Gamma { shape_milli } => Body::Gamma(pb::Gamma { shape: shape_milli }),
        };
        let ramp = match schedule.rate {
            Rate::Flat(_) => None,
            Rate::Ramp { from, over, curve, .. } => {
                let (curve, steps) = match curve {
                    Curve::Linear => (pb::Curve::Linear, 0),
                    Curve::Exponential => (pb::Curve::Exponential, 0),
                    Curve::Steps(steps) => (pb::Curve::Steps, steps),
                };
                let over_ns = duration_ns(over);
                Some(pb::Ramp { from_rate: from.0, over_ns, curve: curve.into(), steps })
            }
        };
        Self { law: Some(law), rate: schedule.rate.settled().0, ramp }
    }
}

impl TryFrom<pb::Schedule> for Schedule {
    type Error = WireError;

    fn try_from(message: pb::Schedule) -> Result<Self, WireError> {
        use pb::schedule::Law as Body;
        let law = match required("schedule.law", message.law)? {
            Body::Constant(pb::Constant {}) => Law::Constant,
            Body::Poisson(pb::Poisson {}) => Law::Poisson,
            Body::Gamma(pb::Gamma { shape }) if (1..=PARTS_MAX).contains(&shape) => {
                Law::Gamma { shape_milli: shape }
            }
            Body::Gamma(_) => return Err(WireError::new("schedule.law", "no such gamma shape")),
        };
        let to = rate("schedule.rate", message.rate)?;
        let Some(ramp) = message.ramp else {
            return Ok(Self { law, rate: Rate::Flat(to) });
        };
        let curve = match pb::Curve::try_from(ramp.curve) {
            Ok(pb::Curve::Linear) => Curve::Linear,
            Ok(pb::Curve::Exponential) => Curve::Exponential,
            Ok(pb::Curve::Steps) if (2..=PARTS_MAX).contains(&ramp.steps) => {
                Curve::Steps(ramp.steps)
            }
            Ok(pb::Curve::Steps | pb::Curve::Unspecified) | Err(_) => {
                return Err(WireError::new("schedule.ramp.curve", "unknown, or no such steps"));
            }
        };
        if ramp.over_ns == 0 {
            return Err(WireError::new("schedule.ramp.over_ns", "zero"));
        }
        let from = rate("schedule.ramp.from_rate", ramp.from_rate)?;
        let over = Duration::from_nanos(ramp.over_ns);
        Ok(Self { law, rate: Rate::Ramp { from, to, over, curve } })
    }
}

fn rate(field: &'static str, rate: u64) -> Result<PerSecond, WireError> {
    if (1..=RATE_MAX).contains(&rate) {
        Ok(PerSecond(rate))
    } else {
        Err(WireError::new(field, format!("not 1 to {RATE_MAX}")))
    }
}

/// The load of an assignment.
pub(super) fn load(message: &pb::Assignment) -> Result<Load, WireError> {
    let arrivals = match pb::Arrivals::try_from(message.arrivals) {
        Ok(pb::Arrivals::Closed) => {
            Arrivals::Closed { ramp: Duration::from_nanos(message.ramp_ns) }
        }
        Ok(pb::Arrivals::Open) => {
            Arrivals::Open(required("schedule", message.schedule)?.try_into()?)
        }
        Ok(pb::Arrivals::Unspecified) | Err(_) => {
            return Err(WireError::new("arrivals", format!("unknown: {}", message.arrivals)));
        }
    };
    let end = match message.load_requests {
        0 => End::Window,
        requests => End::Requests(requests),
    };
    Ok(Load { users: message.load_users, arrivals, end })
}
