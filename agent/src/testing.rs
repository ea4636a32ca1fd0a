//! Values that the agent's unit tests share.

use std::time::Duration;

use common::assignment::{Assignment, Load};
use common::ids::{LevelId, RunId, UserId};
use common::phase::Phase;
use common::seed::Seed;
use common::slo::Slo;
use common::target::{Target, Timeouts};
use common::workload::{CacheMode, Workload};
use uuid::Uuid;

use crate::sim::{Fault, Faults};

/// Two users, six requests, forced to four tokens.
pub(crate) fn assignment(base_url: &str) -> Assignment {
    let load = Load::counted(2, 6);
    Assignment {
        run: RunId(Uuid::from_u128(1)),
        level: LevelId { ordinal: 0, attempt: 0 },
        phase: Phase::Scaling,
        place: 0,
        seed: Seed(1),
        share: load.share(0, 1),
        load,
        slo: Slo::default(),
        workload: Workload {
            forced_length: true,
            cache: CacheMode::Replay,
            ..Workload::new("default".parse().unwrap(), 10.into(), 4.into())
        },
        target: Target {
            timeouts: Timeouts {
                connect: Duration::from_secs(2),
                first_byte: Duration::from_secs(5),
                idle: Duration::from_secs(5),
                total: Duration::from_secs(10),
            },
            ..Target::new(base_url.parse().unwrap(), "mock".to_owned())
        },
        proof: None,
    }
}

/// The user whose requests are to panic; a model named `panic at user N` asks for it.
pub(crate) fn panic_at(target: &Target) -> Option<UserId> {
    target.model.strip_prefix("panic at user ")?.parse().ok().map(UserId)
}

/// The faults of a proof's simulator; a model named `sabotage` asks for one that stops half way.
pub(crate) fn faults(target: &Target) -> Faults {
    match target.model.as_str() {
        "sabotage" => Faults::always(Fault::Short),
        _ => Faults::default(),
    }
}
