//! What follows when a plan has no more levels: who decides it is chosen before a run begins.
//!
//! Whoever decides is told of everything that was measured and answers with the levels to run
//! next. It reads no clock and draws nothing at random that its seed does not give, and what it
//! answers is stored in full, so a run that is taken up again decides nothing anew.

mod proof;
mod repeats;

use crate::campaign::Campaign;
use crate::plan::{Plan, PlannedLevel, PlannedSearch};
use crate::report::{LevelReport, Next, Searched};

pub use proof::ProofAfter;
pub use repeats::MoreRepeats;

/// Who decides what follows.
#[derive(Debug)]
pub enum Decider {
    /// Nobody: the plan is all there is.
    Nobody,
    /// Repeats, until the interval of the mean is narrow enough.
    Repeats(MoreRepeats),
    /// A search, until it has its answer.
    Search(Box<PlannedSearch>),
}

impl Decider {
    /// Who decides what follows the levels of a campaign's plan. A search repeats by itself, so
    /// no campaign has both.
    pub fn of(campaign: &Campaign) -> Self {
        match (Plan::of(campaign).search, campaign.repeats.until) {
            (Some(search), _) => Self::Search(Box::new(search)),
            (None, Some(until)) => {
                Self::Repeats(MoreRepeats::new(until, Plan::spare_repeats(campaign)))
            }
            (None, None) => Self::Nobody,
        }
    }

    /// What follows the `levels` that were begun so far, in order, and why. Nothing ends the run.
    pub fn decide(&mut self, levels: &[LevelReport]) -> (Vec<PlannedLevel>, String) {
        match self {
            Self::Nobody => (Vec::new(), "every level was run".to_owned()),
            Self::Repeats(repeats) => repeats.decide(levels),
            Self::Search(search) => {
                let searched = Searched::of(search, levels);
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
