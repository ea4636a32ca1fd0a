//! What follows when a plan has no more levels: who decides it is chosen before a run begins.
//!
//! Whoever decides is told of everything that was measured and answers with the levels to run
//! next. It reads no clock and draws nothing at random that its seed does not give, and what it
//! answers is stored in full, so a run that is taken up again decides nothing anew.

mod ablation;
mod proof;
mod repeats;

use crate::campaign::Campaign;
use crate::plan::{Plan, PlannedLevel, PlannedSearch};
use crate::report::{Next, ReportModel, Searched};

pub use ablation::AfterAa;
pub use proof::ProofAfter;
pub use repeats::MoreRepeats;

/// Why a run ends that has done all there was to do.
const EVERY_LEVEL: &str = "every level was run";

/// Who decides what follows.
#[derive(Debug)]
pub enum Decider {
    /// Nobody: the plan is all there is.
    Nobody,
    /// Repeats, until the interval of the mean is narrow enough.
    Repeats(MoreRepeats),
    /// The comparison of two configurations, once A/A has shown no difference.
    Ablation(AfterAa),
    /// A search, until it has its answer.
    Search(Box<PlannedSearch>),
}

impl Decider {
    /// Who decides what follows the levels of a campaign's plan: a campaign has one of them at most.
    pub fn of(campaign: &Campaign) -> Self {
        if let Some(levels) = Plan::after_aa(campaign) {
            return Self::Ablation(AfterAa::new(levels));
        }
        match (Plan::of(campaign).search, campaign.repeats.until) {
            (Some(search), _) => Self::Search(Box::new(search)),
            (None, Some(until)) => {
                Self::Repeats(MoreRepeats::new(until, Plan::spare_repeats(campaign)))
            }
            (None, None) => Self::Nobody,
        }
    }

    /// What follows what was measured so far, and why. Nothing ends the run.
    pub fn decide(&mut self, so_far: &ReportModel) -> (Vec<PlannedLevel>, String) {
        match self {
            Self::Nobody => (Vec::new(), EVERY_LEVEL.to_owned()),
            Self::Repeats(repeats) => repeats.decide(&so_far.levels),
            Self::Ablation(after) => after.decide(so_far.ablation.as_ref()),
            Self::Search(search) => {
                let searched = Searched::of(search, &so_far.levels);
                let next = match searched.next() {
                    Next::Level(level) => vec![*level],
                    Next::Over => Vec::new(),
                };
                (next, searched.words())
            }
        }
    }
}

#[cfg(test)]
mod tests;
