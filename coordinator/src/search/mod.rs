//! The adaptive search of the method, section 3.13: where does a server saturate, and what is the
//! largest load at which it keeps its service level objective?
//!
//! A [`Search`] is a value. It is asked what to run ([`Search::step`]), told what came of it
//! ([`Search::feed`]), and ends with an [`Answer`] after a bounded number of levels whatever it is
//! told. It runs nothing, reads no clock, and depends on its seed alone for what is random.
//!
//! A load is a number of users, or, for the open-loop twin, thousandths of a request per second.
//!
//! An invalid level strikes its load: it enters no fit and no answer. It is tried once more; a load
//! struck twice is left out, and two loads struck in a row end the climb.

mod climb;
mod curve;
mod knee;
mod objective;
mod probe;
mod table;
#[cfg(test)]
mod tests;

use std::time::Duration;

use common::seed::Seed;

use crate::stats::Usl;
use climb::Climbed;
use knee::Knee;
pub use probe::{Estimate, Probe, Validity};
use table::Table;

/// Levels after which a search ends with what it knows, whatever its budget. A knee that is known
/// by then is the answer, if in a wider bracket than was hoped for.
pub const LEVELS_MAX: u32 = 128;

/// What is searched for, and within which bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchSpec {
    /// What is searched for.
    pub goal: Goal,
    /// The first load; 0 counts as 1.
    pub start: u32,
    /// The highest load; less than `start` counts as `start`.
    pub max_load: u32,
    /// How long all levels together may take. The first is run whatever it may take.
    pub budget: Duration,
    /// Runs of a load that an answer rests on; fewer than 3 count as 3.
    pub repeats: u32,
    /// Decides the order of repeats.
    pub seed: Seed,
}

/// What is searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The smallest load that reaches 95 % of the highest rate.
    Saturation,
    /// The largest load at which the objective is certified.
    Objective,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Run a level.
    Run {
        /// Its load.
        load: u32,
        /// What for.
        purpose: Purpose,
    },
    /// Nothing: the search is over.
    Done(Answer),
}

/// What a level is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To see the rate rise, or the objective met, at twice the load.
    Climb,
    /// To settle whether the rate still rises, or the objective is met.
    Settle,
    /// Because its last run was not valid.
    Retry,
    /// To find the load from which the server fails.
    Boundary,
    /// To halve the bracket.
    Bisect,
    /// To confirm the candidate.
    Confirm,
    /// To prove a narrower bracket.
    Narrow,
}

impl Purpose {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Climb => "climb",
            Self::Settle => "settle",
            Self::Retry => "retry",
            Self::Boundary => "boundary",
            Self::Bisect => "bisect",
            Self::Confirm => "confirm",
            Self::Narrow => "narrow",
        }
    }
}

/// How a search ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    /// Saturation was found.
    Saturated(Saturation),
    /// The objective's largest load was found.
    Capacity(Capacity),
    /// The rate still rises, or the objective is still met, at the highest load allowed.
    NotReached {
        /// That load.
        up_to: u32,
    },
    /// Not found: the load generator was the limit.
    ClientLimited {
        /// The highest load with a valid level; `None` if there is none.
        above: Option<u32>,
    },
    /// Not found: the server fails while its rate still rises.
    Failing {
        /// The highest load at which it did not fail; `None` if it always did.
        holds: Option<u32>,
        /// The lowest at which it did.
        fails: u32,
    },
    /// The objective was missed: below every load that was run, or before saturation.
    ObjectiveMissed {
        /// The largest load at which it was certified; `None` if it never was.
        holds: Option<u32>,
        /// The smallest at which it was missed.
        missed: u32,
    },
    /// Not found: two loads in a row had no valid level.
    Struck {
        /// The second.
        load: u32,
    },
    /// The next level would have exceeded the budget, or [`LEVELS_MAX`] with no knee in sight.
    BudgetSpent {
        /// What is known of saturation; `None` while the rate still rises, or for an objective.
        saturation: Option<Saturation>,
        /// What is known of the objective; `None` without one that was met.
        capacity: Option<Capacity>,
    },
}

/// Where a server saturates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Saturation {
    /// The smallest load run that reaches 95 % of the highest rate with a probability of 95 %.
    /// `upper` where none does.
    pub load: u32,
    /// The largest load below it whose rate is proven to be less; the first load if none is.
    pub lower: u32,
    /// The smallest load proven to reach it; the highest load run if none is proven.
    pub upper: u32,
    /// The highest rate at any load run, with its 95 % interval.
    pub rate_max: Estimate,
    /// The highest load run without the server failing; nothing is known beyond it.
    pub measured_up_to: u32,
}

/// The largest load at which an objective holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// The largest load at which it is certified.
    pub load: u32,
    /// The smallest load at which it is not; `None` if it was not seen to be missed.
    pub missed: Option<u32>,
}

/// What a search has learnt besides its answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Findings {
    /// The universal scalability law fitted to all valid levels.
    pub usl: Option<Usl>,
    /// The load with the highest power, rate squared over load (Kleinrock 1979).
    pub power: Option<u32>,
    /// The largest load at which the objective is certified.
    pub capacity: Option<Capacity>,
}

/// A search.
#[derive(Clone, Debug)]
pub struct Search {
    spec: SearchSpec,
    table: Table,
    stage: Stage,
    levels: u32,
    spent: Duration,
    /// What was asked for and has not come in yet.
    asked: Option<(u32, Purpose)>,
}

#[derive(Clone, Debug)]
enum Stage {
    Climb,
    /// Between the highest load that holds and the lowest that fails.
    Boundary,
    Knee(Knee),
    Objective,
    Done(Answer),
}

/// What a stage wants.
enum Want {
    Run(u32, Purpose),
    Enter(Stage),
}

impl Answer {
    /// The name in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Saturated(_) => "saturated",
            Self::Capacity(_) => "capacity",
            Self::NotReached { .. } => "not_reached",
            Self::ClientLimited { .. } => "client_limited",
            Self::Failing { .. } => "failing",
            Self::ObjectiveMissed { .. } => "objective_missed",
            Self::Struck { .. } => "struck",
            Self::BudgetSpent { .. } => "budget_spent",
        }
    }
}

impl Search {
    /// A search that has run nothing.
    pub fn new(spec: SearchSpec) -> Self {
        let start = spec.start.max(1);
        let spec = SearchSpec {
            start,
            max_load: spec.max_load.max(start),
            repeats: spec.repeats.max(curve::RUNS_MIN),
            ..spec
        };
        let stage = match spec.goal {
            Goal::Saturation => Stage::Climb,
            Goal::Objective => Stage::Objective,
        };
        Self { spec, table: Table::default(), stage, levels: 0, spent: Duration::ZERO, asked: None }
    }

    /// What to run next. The same until [`Self::feed`] is told of a level.
    pub fn step(&mut self) -> Step {
        loop {
            if let Stage::Done(answer) = self.stage {
                return Step::Done(answer);
            }
            if let Some((load, purpose)) = self.asked {
                return Step::Run { load, purpose };
            }
            match self.want() {
                Want::Enter(stage) => self.stage = stage,
                Want::Run(load, purpose) => {
                    let after = self.spent.saturating_add(self.table.expected(load));
                    if self.levels >= LEVELS_MAX && matches!(self.stage, Stage::Knee(_)) {
                        self.stage = Stage::Done(self.knee_found());
                    } else if after > self.spec.budget || self.levels >= LEVELS_MAX {
                        self.stage = Stage::Done(Answer::BudgetSpent {
                            saturation: self.saturation_known(),
                            capacity: objective::capacity(&self.table),
                        });
                    } else {
                        let again = self.table.only_invalid(load);
                        self.asked = Some((load, if again { Purpose::Retry } else { purpose }));
                    }
                }
            }
        }
    }

    /// Takes a finished level in. One at another load than was asked for is evidence all the same,
    /// within the bounds of the search; beyond them it only takes its time.
    pub fn feed(&mut self, probe: &Probe) {
        self.asked = None;
        self.levels = self.levels.saturating_add(1);
        self.spent = self.spent.saturating_add(probe.took);
        if (self.spec.start..=self.spec.max_load).contains(&probe.load) {
            self.table.add(probe);
        }
    }

    /// What has been learnt so far.
    pub fn findings(&self) -> Findings {
        let power = |point: &table::Point| 2.0 * point.ln_rate - f64::from(point.load).ln();
        let points = self.table.points();
        let highest = points.iter().max_by(|a, b| power(a).total_cmp(&power(b)));
        Findings {
            usl: self.table.usl(),
            power: highest.map(|point| point.load),
            capacity: objective::capacity(&self.table),
        }
    }

    fn want(&mut self) -> Want {
        match &mut self.stage {
            Stage::Climb => match climb::next(&self.table, &self.spec) {
                Climbed::Run(load, purpose) => Want::Run(load, purpose),
                Climbed::Plateau => Want::Enter(Stage::Knee(Knee::Bisect)),
                Climbed::Failing => Want::Enter(Stage::Boundary),
                Climbed::Stopped(answer) => Want::Enter(self.knee_or(answer)),
                Climbed::Ended(answer) => Want::Enter(Stage::Done(answer)),
            },
            Stage::Boundary => match climb::boundary(&self.table) {
                Ok(load) => Want::Run(load, Purpose::Boundary),
                Err(answer) => Want::Enter(self.knee_or(answer)),
            },
            Stage::Knee(knee) => match knee.next(&self.table, &self.spec) {
                Some((load, purpose)) => Want::Run(load, purpose),
                None => Want::Enter(Stage::Done(self.knee_found())),
            },
            Stage::Objective => match objective::next(&self.table, &self.spec) {
                Ok((load, purpose)) => Want::Run(load, purpose),
                Err(answer) => Want::Enter(Stage::Done(answer)),
            },
            Stage::Done(answer) => Want::Enter(Stage::Done(*answer)),
        }
    }

    /// The search for the knee if it was passed before the climb ended early; otherwise `answer`.
    fn knee_or(&self, answer: Answer) -> Stage {
        if knee::passed(&self.table) { Stage::Knee(Knee::Bisect) } else { Stage::Done(answer) }
    }

    fn saturation_known(&self) -> Option<Saturation> {
        match self.stage {
            Stage::Knee(_) => knee::saturation(&self.table),
            Stage::Climb | Stage::Boundary | Stage::Objective | Stage::Done(_) => None,
        }
    }

    /// The answer once nothing more is worth running around the knee.
    fn knee_found(&self) -> Answer {
        knee::saturation(&self.table)
            .map_or_else(|| climb::without_a_curve(&self.table, &self.spec), Answer::Saturated)
    }
}
