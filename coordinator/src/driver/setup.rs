//! What a run is driven with.

use std::time::Duration;

use common::ids::RunId;
use common::seed::Seed;
use common::slo::Slo;
use common::target::Target;
use proto::secrets::Secrets;

use crate::campaign::ServerPlan;
use crate::decide::{Decider, ProofAfter};
use crate::machine::Limits;
use crate::plan::Plan;
use crate::record::FactRecord;
use crate::target::identity::Identity;

/// What a run is driven with.
pub struct Setup {
    /// The run.
    pub run: RunId,
    /// The campaign's seed.
    pub seed: Seed,
    /// The server under test.
    pub target: Target,
    /// The key for it.
    pub secrets: Secrets,
    /// What may be done to the server.
    pub server: ServerPlan,
    /// What the server said it is when the run began.
    pub identity: Identity,
    /// What commands told of it then.
    pub facts: Vec<FactRecord>,
    /// What a request must meet to be good.
    pub slo: Slo,
    /// The levels known from the start.
    pub plan: Plan,
    /// Decides what follows them if the plan is open.
    pub decider: Decider,
    /// The proof of the client after the last of them.
    pub proof_after: ProofAfter,
}

impl Setup {
    /// The longest that one request can take, by its timeouts.
    pub(super) fn request_max(&self) -> Duration {
        let timeouts = &self.target.timeouts;
        timeouts.connect.saturating_add(timeouts.total)
    }

    pub(super) fn limits(&self) -> Limits {
        Limits { request: self.request_max(), preparation: self.server.longest() }
    }
}
