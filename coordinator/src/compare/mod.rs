//! Two sets of runs, level by level: is NEW worse than BASE (the method, sections 3.12, 3.14, 3.15)?
//!
//! Pure: two [`Side`]s come in, a [`Comparison`] goes out, the same for any order of runs and
//! repeats, and mirrored if the sides are swapped. It never calls two numbers different because they
//! look so, and never calls them equal because a test was too weak to tell.
//!
//! | Module | What it does |
//! |---|---|
//! | `side` | a run as the comparison sees it, from its record |
//! | `metric` | what is compared, and which way is better |
//! | `group` | which levels belong together, which repeats are left out |
//! | `fitness` | what stands in the way of a comparison |
//! | `ablation` | the comparisons of one run with two configurations |
//! | `judge` | one metric over all levels: tests and conclusions |

mod ablation;
mod fitness;
mod group;
mod judge;
mod metric;
mod side;

#[cfg(test)]
mod tests;

use crate::classify::Code;

pub use ablation::Ablated;
pub use group::{LeftOut, LevelKey};
pub use judge::{ArmValues, COV_ASSUMED, Conclusion, MetricComparison, Test, Unit};
pub use metric::{Metric, Values};
pub use side::{Delivered, Facts, Observed, Run, Side, Standing};

/// The chance of a false alarm that is accepted, over all levels of one metric.
pub const ALPHA: f64 = 0.05;

/// How a comparison is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// A difference within ± this share is of no interest.
    pub margin: f64,
    /// The metrics that decide, in the order in which they are shown.
    pub deciding: Vec<Metric>,
}

impl Default for Options {
    fn default() -> Self {
        Self { margin: 0.02, deciding: Metric::DECIDING.to_vec() }
    }
}

/// The scale on which values are tested: rates and latencies as ratios, unless one of them is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Ratios: logarithms are compared.
    Log,
    /// Differences: the values themselves are compared.
    Plain,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Which {
    /// What is compared with.
    Base,
    /// What is judged.
    New,
}

/// One of each side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sides<T> {
    /// Of the base.
    pub base: T,
    /// Of the new.
    pub new: T,
}

/// What two sets of runs say about each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The names of the sides.
    pub names: Sides<String>,
    /// Their runs, by name.
    pub runs: Sides<Vec<String>>,
    /// How it was made.
    pub options: Options,
    /// The levels, by phase and users.
    pub levels: Vec<LevelComparison>,
    /// What differs between the runs, or limits what can be said.
    pub notes: Vec<String>,
    /// Repeats that are no result.
    pub left_out: Vec<LeftOut>,
    /// The answer.
    pub answer: Answer,
}

/// One level of both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct LevelComparison {
    /// What the two sides have in common: several where one load goes by several labels.
    pub keys: Vec<LevelKey>,
    /// Mean in flight over the repeats that count.
    pub in_flight_mean: Sides<Option<f64>>,
    /// The repeats that count.
    pub repeats: Sides<usize>,
    /// What stands in the way of any comparison here.
    pub obstacle: Option<Obstacle>,
    /// Every metric, in the order of [`Metric::ALL`].
    pub metrics: Vec<MetricComparison>,
}

/// Why two levels or two numbers are not comparable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The verdict, where it is one.
    pub code: Option<Code>,
    /// The numbers or facts behind it, in words.
    pub evidence: String,
}

/// The answer over all levels and the metrics that decide. In doubt the first that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Somewhere NEW is worse.
    Worse,
    /// Somewhere NEW is better, nowhere worse.
    Better,
    /// Everywhere the difference is shown to be within the margin.
    Equivalent,
    /// No difference is shown; somewhere equality is not shown either.
    NoDifferenceShown,
    /// There is one run on a side, everywhere: a difference, and no test.
    NotTested,
    /// No level can be compared.
    NothingComparable,
}

impl Which {
    /// As reports print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Base => "BASE",
            Self::New => "NEW",
        }
    }
}

impl<T> Sides<T> {
    /// The same of both.
    pub fn map<U>(&self, mut of: impl FnMut(&T) -> U) -> Sides<U> {
        Sides { base: of(&self.base), new: of(&self.new) }
    }

    /// Both with their names.
    pub fn each(&self) -> [(Which, &T); 2] {
        [(Which::Base, &self.base), (Which::New, &self.new)]
    }
}

impl Answer {
    /// As `--format json` prints it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Worse => "worse",
            Self::Better => "better",
            Self::Equivalent => "equivalent",
            Self::NoDifferenceShown => "no_difference_shown",
            Self::NotTested => "not_tested",
            Self::NothingComparable => "nothing_comparable",
        }
    }
}

impl LevelComparison {
    /// Its phase and label; of several labels also the load that they are.
    pub fn title(&self) -> String {
        let title = group::title(&self.keys);
        match (self.keys.len(), self.in_flight_mean.base) {
            (2.., Some(mean)) => format!("{title} ({mean:.0} in flight)"),
            (_, Some(_) | None) => title,
        }
    }
}

impl Comparison {
    /// The metrics that decide, with the level they belong to.
    pub fn deciding(&self) -> impl Iterator<Item = (&LevelComparison, &MetricComparison)> {
        let metrics =
            self.levels.iter().flat_map(|level| level.metrics.iter().map(move |m| (level, m)));
        metrics.filter(|(_, metric)| self.options.deciding.contains(&metric.metric))
    }
}

/// Compares NEW with BASE.
pub fn compare(sides: &Sides<Side>, options: &Options) -> Comparison {
    let (groups, mut left_out) = group::groups(sides);
    let (whole, mut notes) = fitness::of_sides(sides);
    let mut levels = Vec::new();
    for group in groups {
        notes.extend(fitness::unknown_work(&group));
        let obstacle = whole.clone().or_else(|| fitness::of_level(&group));
        levels.push((group, obstacle));
    }
    let stream = fitness::streams(sides);
    let levels = judge::judge(levels, stream.as_ref(), options);
    left_out.sort();
    notes.extend(shared_starts(sides, &levels));
    let answer = answer(&levels, &options.deciding);
    let run_names = |side: &Side| {
        let mut names: Vec<String> = side.runs.iter().map(|run| run.name.clone()).collect();
        names.sort();
        names
    };
    Comparison {
        names: sides.map(|side| side.name.clone()),
        runs: sides.map(run_names),
        options: options.clone(),
        levels,
        notes,
        left_out,
        answer,
    }
}

/// Where repeats belong to one run, nothing says that the server was started again between them.
fn shared_starts(sides: &Sides<Side>, levels: &[LevelComparison]) -> Vec<String> {
    let repeats = |which: Which| {
        let of = |level: &LevelComparison| match which {
            Which::Base => level.repeats.base,
            Which::New => level.repeats.new,
        };
        levels.iter().map(of).max().unwrap_or(0)
    };
    let shared = |(which, side): (Which, &Side)| {
        let (repeats, runs) = (repeats(which), side.runs.len());
        (repeats > runs).then(|| {
            format!(
                "{}: {repeats} repeats of a level come from {runs} {}; repeats within one start of \
                 the server scatter less than starts do, so a test on them claims too much",
                which.name(),
                if runs == 1 { "run" } else { "runs" }
            )
        })
    };
    sides.each().into_iter().filter_map(shared).collect()
}

fn answer(levels: &[LevelComparison], deciding: &[Metric]) -> Answer {
    let conclusions = levels
        .iter()
        .flat_map(|level| &level.metrics)
        .filter(|metric| deciding.contains(&metric.metric))
        .map(|metric| &metric.conclusion);
    let (mut better, mut not_shown, mut equivalent, mut one_run) = (false, false, false, false);
    for conclusion in conclusions {
        match conclusion {
            Conclusion::Worse => return Answer::Worse,
            Conclusion::Better => better = true,
            Conclusion::NoDifferenceShown => not_shown = true,
            Conclusion::Equivalent => equivalent = true,
            Conclusion::OneRun { .. } => one_run = true,
            Conclusion::NotComparable(_) => {}
        }
    }
    match (better, not_shown, equivalent, one_run) {
        (true, _, _, _) => Answer::Better,
        (false, true, _, _) | (false, false, true, true) => Answer::NoDifferenceShown,
        (false, false, true, false) => Answer::Equivalent,
        (false, false, false, true) => Answer::NotTested,
        (false, false, false, false) => Answer::NothingComparable,
    }
}
