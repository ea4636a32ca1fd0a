//! The plan: a campaign unrolled into the levels of a run, in order. Nothing here can fail on what a
//! user wrote: the campaign has been parsed.

mod ablation;
mod data;
mod images;
mod mixes;
mod prompts;
pub mod proof;
pub mod render;
mod repeat;
mod search;
mod table;
mod view;

#[cfg(test)]
mod tests;

use std::time::Duration;

use common::arrivals::Arrivals;
use common::assignment::{Load, Pace};
use common::phase::Phase;
use common::workload::Workload;

use crate::campaign::{LevelPlan, PhasePlan, WindowPlan, rate_text, speed_text};
pub use ablation::Arm;
pub use search::PlannedSearch;

/// The levels of a run, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The levels; a level's place here is its ordinal.
    pub levels: Vec<PlannedLevel>,
    /// The search that finds further levels, after all others.
    pub search: Option<PlannedSearch>,
    /// More may follow, which is decided when these have ended.
    pub open: bool,
}

/// What is done to the target before a level, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preparation {
    /// The server is restarted, waited for, and asked again what it is.
    pub restart_server: bool,
    /// Its cache of prompts is emptied.
    pub reset_cache: bool,
}

impl Preparation {
    /// Nothing is done.
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// One level of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedLevel {
    /// Its phase.
    pub phase: Phase,
    /// Its place within the phase, from 0. Repeats of a level share it, except those that a search
    /// makes of one: the server still runs that has seen the first, so each asks something else.
    pub place: u32,
    /// Which repeat of the level this is, from 0.
    pub repeat: u32,
    /// What the start of the server is for that it is measured on; `None` unless the run is an
    /// ablation.
    pub arm: Option<Arm>,
    /// Its name in reports: unique within the phase, for example `100`, `25 long-context-8k`
    /// or `12.5/s`.
    pub label: String,
    /// The load over the fleet.
    pub load: Load,
    /// How long it is measured; `None` where it ends by a count of requests.
    pub window: Option<WindowPlan>,
    /// The campaign allowed fewer requests than users here.
    pub allow_capped: bool,
    /// What requests ask for.
    pub workload: Workload,
    /// What is done before it.
    pub before: Preparation,
    /// The pause after it.
    pub cooldown: Duration,
    /// Set for a proof of the client: how the agents' own simulators answer, which are loaded in
    /// place of the target. It is no level of the campaign.
    pub proof: Option<Pace>,
}

impl Plan {
    /// The levels of the campaign: those that are no proof of the client.
    pub fn measured(&self) -> impl Iterator<Item = &PlannedLevel> + Clone {
        self.levels.iter().filter(|level| level.proof.is_none())
    }

    /// All pauses between levels, those of a search aside.
    pub fn cooldown_total(&self) -> Duration {
        self.levels.iter().map(|level| level.cooldown).sum()
    }
}

impl PlannedLevel {
    /// What a person is told it is: phase and label, for example `SCALING 100`.
    pub fn title(&self) -> String {
        match self.proof {
            None => format!("{} {}", self.phase, self.label),
            Some(_) => self.label.clone(),
        }
    }

    /// What levels have in common that tell something of each other: the arm and the repeat.
    pub fn series(&self) -> (Option<Arm>, u32) {
        (self.arm, self.repeat)
    }

    /// Why the level can never hold its users in flight; `None` if it can.
    pub fn capped(&self) -> Option<String> {
        match self.load.arrivals {
            Arrivals::Closed { .. } => {}
            Arrivals::Open(_) => return None,
        }
        let most = self.load.in_flight_max();
        let users = self.load.users;
        (most < users.into()).then(|| format!("at most {most} of {users} in flight"))
    }
}

fn unroll(phase: &PhasePlan) -> impl Iterator<Item = PlannedLevel> {
    let mut workloads = phase.levels.iter().map(|level| &level.workload.name);
    let first = workloads.next();
    let one_workload = workloads.all(|name| Some(name) == first);
    (0..)
        .zip(&phase.levels)
        .map(move |(place, level)| planned(phase.phase, place, level, one_workload))
}

/// A level of a campaign, named by its load, and by its workload unless the phase has only one.
fn planned(phase: Phase, place: u32, level: &LevelPlan, one_workload: bool) -> PlannedLevel {
    let replay = level.workload.replay_milli.map(|milli| format!("replay x{}", speed_text(milli)));
    let offered = replay.unwrap_or_else(|| match level.load.arrivals {
        Arrivals::Closed { .. } => level.load.users.to_string(),
        Arrivals::Open(schedule) => format!("{}/s", rate_text(schedule.rate.settled())),
    });
    PlannedLevel {
        phase,
        place,
        repeat: 0,
        arm: None,
        label: if one_workload { offered } else { format!("{offered} {}", level.workload.name) },
        load: level.load,
        window: level.window,
        allow_capped: level.allow_capped,
        workload: level.workload.clone(),
        before: Preparation::default(),
        cooldown: level.cooldown,
        proof: None,
    }
}
