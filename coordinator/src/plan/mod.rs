//! The plan: a campaign unrolled into the levels of a run, in order.

use std::time::Duration;

use common::assignment::Load;
use common::phase::Phase;
use common::workload::Workload;

/// The levels of a run, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The levels; a level's place here is its ordinal.
    pub levels: Vec<PlannedLevel>,
}

/// One level of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedLevel {
    /// Its phase.
    pub phase: Phase,
    /// Its place within the phase, from 0; repeats of a level share it.
    pub place: u32,
    /// Which repeat of the level this is, from 0.
    pub repeat: u32,
    /// Its name in reports: unique within the phase, for example `100` or `25 long-context-8k`.
    pub label: String,
    /// Users and requests over the fleet.
    pub load: Load,
    /// The campaign allowed fewer requests than users here.
    pub allow_capped: bool,
    /// What requests ask for.
    pub workload: Workload,
    /// The pause after it.
    pub cooldown: Duration,
}
