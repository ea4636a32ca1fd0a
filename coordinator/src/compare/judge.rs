//! One metric over all levels: the tests, their correction for the number of levels, and what they
//! allow to be said.

use super::group::{Group, Repeat};
use super::metric::Metric;
use super::{ALPHA, LevelComparison, Obstacle, Options, Scale, Sides, Which};
use crate::stats::compare::{
    Sample, Welch, brown_forsythe, holm, mann_whitney, mann_whitney_least, repeats_for,
};
use crate::stats::{Summary, describe, ratio};

/// The spread of runs that is taken for granted where there is one run only: the coefficient of
/// variation of the method's example (3.14).
pub const COV_ASSUMED: f64 = 0.04;

/// One metric of one level.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricComparison {
    /// The metric.
    pub metric: Metric,
    /// The repeats of both sides.
    pub arms: Sides<ArmValues>,
    /// From BASE to NEW, in [`MetricComparison::unit`]; `None` where a side has no value.
    pub difference: Option<f64>,
    /// The tests; `None` below two repeats on a side, or if the sides are not comparable.
    pub test: Option<Test>,
    /// What can be said.
    pub conclusion: Conclusion,
}

/// The values of one side, one for each repeat, in rising order.
#[derive(Clone, Debug, PartialEq)]
pub struct ArmValues {
    /// The values.
    pub values: Vec<f64>,
    /// Their description; `None` if there are none.
    pub summary: Option<Summary>,
}

/// What a difference is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A share of the base's mean.
    Share,
    /// The metric is itself a share, and its difference is one of shares.
    Points,
}

/// Tests of one metric of one level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Test {
    /// The scale of the values in the tests.
    pub scale: Scale,
    /// 95 % confidence interval of the difference.
    pub ci95: Option<[f64; 2]>,
    /// Welch's t; `None` if no repeat differs from another.
    pub t: Option<f64>,
    /// Its degrees of freedom.
    pub freedom: f64,
    /// The chance of such a difference between equal sides; by ranks where t is undefined.
    pub p: f64,
    /// The same after Holm over the levels of this metric.
    pub p_holm: f64,
    /// Over how many levels.
    pub levels: usize,
    /// The chance of such closeness if the true difference is the margin or more.
    pub equivalence_p: f64,
    /// The smallest true difference that so many repeats of this spread would show.
    pub detectable: Option<f64>,
    /// The second opinion, by ranks.
    pub mann_whitney_p: f64,
    /// The smallest p by ranks that so many repeats can have.
    pub mann_whitney_least_p: f64,
    /// Coefficient of variation of NEW over that of BASE.
    pub spread_ratio: Option<f64>,
    /// The chance of such a ratio between equal spreads, after Holm over the levels.
    pub spread_p_holm: Option<f64>,
    /// The difference on the scale of the tests.
    shift: f64,
}

/// What can be said of one metric of one level.
#[derive(Clone, Debug, PartialEq)]
pub enum Conclusion {
    /// NEW is worse.
    Worse,
    /// NEW is better.
    Better,
    /// The difference is shown to be within the margin.
    Equivalent,
    /// Neither a difference nor equality is shown.
    NoDifferenceShown,
    /// There is nothing to compare, and why.
    NotComparable(Obstacle),
    /// A side has one repeat: no test is possible.
    OneRun {
        /// Repeats on each side that would show a difference of this size if runs differ by
        /// [`COV_ASSUMED`]; `None` if a hundred would not, or if that is not known.
        repeats_needed: Option<u32>,
    },
}

impl MetricComparison {
    /// What the difference, its interval and the detectable difference are counted in.
    pub fn unit(&self) -> Unit {
        Unit::of(self.metric)
    }
}

impl Unit {
    fn of(metric: Metric) -> Self {
        if metric == Metric::Success { Self::Points } else { Self::Share }
    }
}

impl Conclusion {
    /// As `--format json` prints it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Worse => "worse",
            Self::Better => "better",
            Self::Equivalent => "equivalent",
            Self::NoDifferenceShown => "no_difference_shown",
            Self::NotComparable(_) => "not_comparable",
            Self::OneRun { .. } => "one_run",
        }
    }
}

/// Judges every metric of every level; a level with an obstacle has no tests.
pub(super) fn judge(
    levels: Vec<(Group<'_>, Option<Obstacle>)>,
    stream: Option<&Obstacle>,
    options: &Options,
) -> Vec<LevelComparison> {
    let mut judged: Vec<LevelComparison> = levels
        .iter()
        .map(|(group, obstacle)| LevelComparison {
            keys: group.keys.clone(),
            in_flight_mean: group.repeats.map(|repeats| in_flight_mean(repeats)),
            repeats: group.repeats.map(Vec::len),
            obstacle: obstacle.clone(),
            metrics: Vec::new(),
        })
        .collect();
    for metric in Metric::ALL {
        let blocked = stream.filter(|_| metric.needs_stream());
        let mut column: Vec<MetricComparison> = levels
            .iter()
            .map(|(group, obstacle)| {
                draft(metric, &group.repeats, obstacle.as_ref().or(blocked), options)
            })
            .collect();
        correct(&mut column);
        for (level, mut metric) in judged.iter_mut().zip(column) {
            if let Some(test) = &metric.test {
                metric.conclusion = conclusion(metric.metric, test);
            }
            level.metrics.push(metric);
        }
    }
    judged
}

fn in_flight_mean(repeats: &[Repeat]) -> Option<f64> {
    let mut loads: Vec<f64> =
        repeats.iter().map(|repeat| repeat.in_flight_mean).collect::<Option<_>>()?;
    loads.sort_unstable_by(f64::total_cmp);
    Some(describe(&loads)?.mean)
}

/// Everything that needs no other level: what follows from a test comes with its correction.
fn draft(
    metric: Metric,
    repeats: &Sides<Vec<Repeat>>,
    obstacle: Option<&Obstacle>,
    options: &Options,
) -> MetricComparison {
    let arms = repeats.map(|repeats| arm(metric, repeats));
    let without = arms.each().into_iter().find(|(_, arm)| arm.values.is_empty());
    let missing = without.map(|(which, _)| no_value(metric, which));
    let obstacle = obstacle.cloned().or(missing);
    let between_means = difference(metric, &arms);
    let test = match obstacle {
        None => test(metric, repeats, &arms, options),
        Some(_) => None,
    };
    let (difference, conclusion) = match (obstacle, &test) {
        (Some(obstacle), _) => (between_means, Conclusion::NotComparable(obstacle)),
        (None, Some(test)) => (test.difference(metric, &arms), Conclusion::NoDifferenceShown),
        (None, None) => {
            let repeats_needed = repeats_needed(metric, between_means);
            (between_means, Conclusion::OneRun { repeats_needed })
        }
    };
    MetricComparison { metric, arms, difference, test, conclusion }
}

fn no_value(metric: Metric, which: Which) -> Obstacle {
    Obstacle { code: None, evidence: format!("{} has no {}", which.name(), metric.title()) }
}

fn arm(metric: Metric, repeats: &[Repeat]) -> ArmValues {
    let mut values: Vec<f64> =
        repeats.iter().filter_map(|repeat| repeat.values.get(metric)).collect();
    // A sum depends on its order; repeats have none.
    values.sort_unstable_by(f64::total_cmp);
    ArmValues { summary: describe(&values), values }
}

/// Between the means.
fn difference(metric: Metric, arms: &Sides<ArmValues>) -> Option<f64> {
    let (base, new) = (arms.base.summary?.mean, arms.new.summary?.mean);
    match Unit::of(metric) {
        Unit::Share => ratio(new - base, base),
        Unit::Points => Some(new - base),
    }
}

fn repeats_needed(metric: Metric, difference: Option<f64>) -> Option<u32> {
    match Unit::of(metric) {
        Unit::Share => repeats_for((1.0 + difference?).ln().abs() / COV_ASSUMED),
        Unit::Points => None,
    }
}

fn test(
    metric: Metric,
    repeats: &Sides<Vec<Repeat>>,
    arms: &Sides<ArmValues>,
    options: &Options,
) -> Option<Test> {
    let scale = scale(metric, arms);
    let values = arms.map(|arm| on(scale, &arm.values));
    let mut base = Sample::of(&values.base)?;
    let mut new = Sample::of(&values.new)?;
    if metric == Metric::Success {
        base = base.with_variance_at_least(counting_variance(&repeats.base));
        new = new.with_variance_at_least(counting_variance(&repeats.new));
    }
    let welch = Welch::of(base, new);
    let mann_whitney_p = mann_whitney(&values.base, &values.new)?;
    let sizes = arms.map(|arm| u32::try_from(arm.values.len()).unwrap_or(u32::MAX));
    let convert = |shift: f64| shown(metric, scale, shift, arms);
    let detectable = welch.detectable().and_then(convert);
    let ci95 = welch.ci95().and_then(|[low, high]| Some([convert(low)?, convert(high)?]));
    let cov = arms.map(|arm| arm.summary.and_then(|summary| summary.cov));
    Some(Test {
        scale,
        ci95,
        t: welch.t(),
        freedom: welch.freedom,
        p: welch.p().unwrap_or(mann_whitney_p),
        p_holm: 1.0,
        levels: 1,
        equivalence_p: welch.equivalence_p(margin(metric, scale, arms, options.margin)?)?,
        detectable,
        mann_whitney_p,
        mann_whitney_least_p: mann_whitney_least(sizes.base, sizes.new),
        spread_ratio: cov.new.zip(cov.base).and_then(|(new, base)| ratio(new, base)),
        spread_p_holm: brown_forsythe(&values.base, &values.new),
        shift: welch.difference,
    })
}

impl Test {
    fn difference(&self, metric: Metric, arms: &Sides<ArmValues>) -> Option<f64> {
        shown(metric, self.scale, self.shift, arms)
    }
}

/// Logarithms, unless the metric is a share or a value has none.
fn scale(metric: Metric, arms: &Sides<ArmValues>) -> Scale {
    let positive = |arm: &ArmValues| arm.values.iter().all(|value| *value > 0.0);
    let logs = arms.each().into_iter().all(|(_, arm)| positive(arm));
    match Unit::of(metric) {
        Unit::Share if logs => Scale::Log,
        Unit::Share | Unit::Points => Scale::Plain,
    }
}

fn on(scale: Scale, values: &[f64]) -> Vec<f64> {
    match scale {
        Scale::Log => values.iter().map(|value| value.ln()).collect(),
        Scale::Plain => values.to_vec(),
    }
}

/// A difference on the scale of the test, as it is shown.
fn shown(metric: Metric, scale: Scale, shift: f64, arms: &Sides<ArmValues>) -> Option<f64> {
    match (Unit::of(metric), scale) {
        (Unit::Share, Scale::Log) => Some(shift.exp_m1()).filter(|share| share.is_finite()),
        (Unit::Share, Scale::Plain) => ratio(shift, arms.base.summary?.mean),
        (Unit::Points, Scale::Log | Scale::Plain) => Some(shift),
    }
}

/// The margin on the scale of the test; as logarithms it is the same in both directions.
fn margin(metric: Metric, scale: Scale, arms: &Sides<ArmValues>, share: f64) -> Option<f64> {
    match (Unit::of(metric), scale) {
        (Unit::Share, Scale::Log) => Some(share.ln_1p()),
        (Unit::Share, Scale::Plain) => Some(share * arms.base.summary?.mean),
        (Unit::Points, Scale::Log | Scale::Plain) => Some(share),
    }
}

/// The variance that counting alone gives the share of successes of a repeat. Without it, repeats
/// that happen to have the same few failures would look as if they never had others. One success
/// and one failure are added (Laplace), so that none seen is not none ever.
fn counting_variance(repeats: &[Repeat]) -> f64 {
    let ended: f64 = repeats.iter().map(|repeat| repeat.ended as f64).sum();
    let succeeded: f64 = repeats
        .iter()
        .map(|repeat| repeat.ended as f64 * repeat.values.get(Metric::Success).unwrap_or(0.0))
        .sum();
    let share = (succeeded + 1.0) / (ended + 2.0);
    ratio(share * (1.0 - share) * repeats.len() as f64, ended).unwrap_or(0.0)
}

/// Holm over the levels.
fn correct(column: &mut [MetricComparison]) {
    let tests = || column.iter().filter_map(|metric| metric.test);
    let chances = holm(&tests().map(|test| test.p).collect::<Vec<_>>());
    let spreads = holm(&tests().filter_map(|test| test.spread_p_holm).collect::<Vec<_>>());
    let levels = chances.len();
    let (mut chances, mut spreads) = (chances.into_iter(), spreads.into_iter());
    for test in column.iter_mut().filter_map(|metric| metric.test.as_mut()) {
        test.levels = levels;
        test.p_holm = chances.next().unwrap_or(1.0);
        test.spread_p_holm = test.spread_p_holm.and_then(|_| spreads.next());
    }
}

/// A difference that is shown to be of no interest is none, however surely it is there.
fn conclusion(metric: Metric, test: &Test) -> Conclusion {
    if test.equivalence_p <= ALPHA {
        Conclusion::Equivalent
    } else if test.p_holm > ALPHA {
        Conclusion::NoDifferenceShown
    } else if (test.shift > 0.0) == metric.higher_is_better() {
        Conclusion::Better
    } else {
        Conclusion::Worse
    }
}
