//! The search of a plan: every level that it may ask for, ready to be run.

use common::arrivals::Arrivals;
use common::phase::Phase;

use super::{PlannedLevel, planned};
use crate::campaign::{SearchPlan, searched_rate_text};
use crate::search::SearchSpec;

/// A search, and the levels that stand before it.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedSearch {
    plan: SearchPlan,
    /// Levels of its phase before it.
    before: Vec<PlannedLevel>,
    first_ordinal: u32,
}

impl PlannedSearch {
    /// The search behind `levels`.
    pub(super) fn of(plan: &SearchPlan, levels: &[PlannedLevel]) -> Self {
        let before = levels.iter().filter(|level| level.phase == Phase::Saturation);
        let first_ordinal = u32::try_from(levels.len()).unwrap_or(u32::MAX);
        Self { plan: plan.clone(), before: before.cloned().collect(), first_ordinal }
    }

    /// The ordinal of its first level.
    pub fn first_ordinal(&self) -> u32 {
        self.first_ordinal
    }

    /// What is looked for, and within which bounds.
    pub fn spec(&self) -> SearchSpec {
        self.plan.spec
    }

    /// The level at `load`, after the levels that the search has run.
    pub fn level(&self, load: u32, searched: &[PlannedLevel]) -> PlannedLevel {
        let level = self.plan.at(load);
        let all = || self.before.iter().chain(searched);
        let one_workload = all().all(|other| other.workload.name == level.workload.name);
        let place = u32::try_from(all().count()).unwrap_or(u32::MAX);
        let mut planned = planned(Phase::Saturation, place, &level, one_workload);
        let same = all().filter(|other| other.label == planned.label);
        planned.repeat = same.map(|other| other.repeat + 1).max().unwrap_or(0);
        planned
    }

    /// The first level.
    pub fn first(&self) -> PlannedLevel {
        self.level(self.plan.spec.start, &[])
    }

    /// Whether loads are rates.
    pub fn is_open(&self) -> bool {
        match self.plan.level.load.arrivals {
            Arrivals::Closed { .. } => false,
            Arrivals::Open(_) => true,
        }
    }

    /// A load in words: `1 user`, `40 users`, `12.5 requests/s`.
    pub fn words(&self, load: u32) -> String {
        match (self.is_open(), load) {
            (true, load) => format!("{} requests/s", searched_rate_text(load)),
            (false, 1) => "1 user".to_owned(),
            (false, load) => format!("{load} users"),
        }
    }

    /// A load as a number: users, or requests per second.
    pub fn value(&self, load: u32) -> f64 {
        if self.is_open() { f64::from(load) / 1000.0 } else { f64::from(load) }
    }
}
