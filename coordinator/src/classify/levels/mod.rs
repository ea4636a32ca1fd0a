//! What can be said of the levels of a run (the method, 3.11 and 3.12): verdicts on whether a
//! number is one, and independent answers about those that are.
//!
//! | Module | What it does |
//! |---|---|
//! | `reached` | whether the load asked for was offered |
//! | `generator` | whether the generator, its clocks and its agents were sound |
//! | `host` | whether their hosts gave them what they needed |
//! | `numbers` | whether the numbers are steady, consistent and many enough |
//! | `work` | whether the work was what it is called |
//! | `axes` | reliability, latency and objectives |
//! | `load` | what more load brings |
//! | `peak` | the best level, and where the target saturates |

mod axes;
mod generator;
mod host;
mod load;
mod numbers;
mod peak;
mod reached;
mod server;
mod work;

use common::phase::Phase;

use super::proof::{self, Proof};
use super::status::Found;
use super::{Axis, Code, Headline, Reliability, Verdict};
use crate::campaign::{Judging, Mode};
use crate::measure::Measured;
use crate::record::{AgentRecord, LevelFate, Servers};
use crate::stats::{self, Objective};

pub(crate) use axes::{Latency, objective_name};
pub(crate) use load::{Elasticity, LoadStatus, piles_up};
pub(crate) use peak::{Saturation, peak, saturation};

/// What levels are judged by, beside their numbers.
#[derive(Clone, Debug)]
pub(crate) struct Context<'a> {
    /// The run's mode.
    pub(crate) mode: Mode,
    /// What the campaign wants of them.
    pub(crate) judging: Judging,
    /// The fleet.
    pub(crate) agents: &'a [AgentRecord],
    /// What the target said it is.
    pub(crate) servers: Servers<'a>,
    /// The proofs of the client, where one is needed before a level may be called saturated.
    pub(crate) proofs: Option<&'a [Proof]>,
}

/// A level judged. An answer is `None` where the level is no result, or where there is nothing to
/// say.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Judgement {
    /// The first of INVALID, FAILING, OVERLOADED, SATURATED, DEGRADED, OK that holds.
    pub(crate) headline: Option<Headline>,
    /// What must be known of its numbers.
    pub(crate) verdicts: Vec<Verdict>,
    /// It is struck because of something that was found when the run was over.
    pub(crate) changed_later: bool,
    /// Whether the window was steady.
    pub(crate) steady: Option<bool>,
    /// Whether requests succeeded.
    pub(crate) reliability: Option<Axis<Reliability>>,
    /// Whether they took much longer than the baseline's.
    pub(crate) latency: Option<Axis<Latency>>,
    /// Whether the objectives are met.
    pub(crate) slo: Option<Axis<Objective>>,
    /// Whether more load brought more throughput.
    pub(crate) load: Option<Axis<LoadStatus>>,
    /// Growth of throughput over growth of load since the level below.
    pub(crate) elasticity: Option<Elasticity>,
    /// Signs after the IETF draft.
    pub(crate) signs: Vec<Sign>,
}

/// Signs of load after the IETF draft; they decide nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// The p99 is far above the lowest of the same work.
    Knee,
    /// The p99 is far above the median.
    TailHeavy,
    /// Fewer requests are completed than arrive.
    Backlog,
}

impl Sign {
    /// The name in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Knee => "knee",
            Self::TailHeavy => "tail_heavy",
            Self::Backlog => "backlog",
        }
    }
}

/// Judges the levels of a run, which are in the order in which they were run.
pub(crate) fn judge(levels: &[Measured<'_>], context: &Context<'_>) -> Vec<Judgement> {
    let mut judged: Vec<Judgement> =
        levels.iter().map(|level| validity(level, levels, context)).collect();
    let valid: Vec<bool> =
        levels.iter().zip(&judged).map(|pair| is_valid(pair.0, pair.1)).collect();
    let standing = Standing { levels, valid: &valid };
    for (place, (level, judgement)) in levels.iter().zip(&mut judged).enumerate() {
        if !is_complete(level) {
            continue;
        }
        let stands = valid.get(place).copied().unwrap_or(false);
        judgement.reliability = axes::reliability(level);
        judgement.latency = axes::latency(level, &standing);
        judgement.slo = axes::slo(level, context.judging);
        judgement.signs = axes::signs(level, &standing);
        if stands {
            let lower = standing.lower(level);
            judgement.elasticity = load::elasticity(level, &lower);
            judgement.load = load::load(level, &lower, judgement.elasticity);
            doubt(judgement, level, context);
        }
        judgement.headline = Some(headline(judgement));
    }
    judged
}

/// Without a client that is proven for more, nobody knows whose limit was reached.
fn doubt(judgement: &mut Judgement, level: &Measured<'_>, context: &Context<'_>) {
    if let (Some(load), Some(proofs)) = (&mut judgement.load, context.proofs)
        && load.status == LoadStatus::Saturated
        && let Some(why) = proof::uncovered(level, proofs)
    {
        load.status = LoadStatus::Undecided;
        load.evidence.push_str("; UNPROVEN");
        judgement.verdicts.push(Verdict::warn(Code::Unproven, why));
    }
}

/// Whether a level ended as planned.
pub(crate) fn is_complete(level: &Measured<'_>) -> bool {
    level.record.fate == Some(LevelFate::Completed) && !level.totals.is_void()
}

/// Whether a level is a result for the load asked for.
pub(crate) fn is_valid(level: &Measured<'_>, judgement: &Judgement) -> bool {
    is_complete(level) && level.period.is_some() && !judgement.verdicts.iter().any(Verdict::strikes)
}

/// The first half: what is known of a level's numbers, and nothing of what they mean.
fn validity(level: &Measured<'_>, levels: &[Measured<'_>], context: &Context<'_>) -> Judgement {
    let fate = level.record.fate.as_ref();
    let faults = level.totals.faults.iter();
    let mut verdicts: Vec<Verdict> = faults.map(|fault| Verdict::of_fault(fault, fate)).collect();
    let mut steady = None;
    let mut changed_later = false;
    if level.period.is_some() {
        let (is_steady, unsteady) = numbers::steady(level);
        steady = is_steady;
        verdicts.extend(reached::concurrency(level));
        verdicts.extend(reached::rate(level));
        verdicts.extend(generator::client(level));
        verdicts.extend(host::warnings(level));
        verdicts.extend(unsteady);
        verdicts.extend(numbers::too_few(level, context));
        verdicts.extend(numbers::little(level));
        verdicts.extend(generator::start_skew(level, context));
        verdicts.extend(generator::clock(level, context));
        if let Some(changed) = server::changed(level, context) {
            changed_later = changed.found_later;
            verdicts.push(changed.verdict);
        }
        verdicts.extend(work::work(level, levels));
        verdicts.extend(work::asked(level, context.mode));
        verdicts.extend(work::cache(level));
        verdicts.extend(generator::outliers(level));
    }
    Judgement {
        headline: None,
        verdicts,
        changed_later,
        steady,
        reliability: None,
        latency: None,
        slo: None,
        load: None,
        elasticity: None,
        signs: Vec::new(),
    }
}

fn headline(judgement: &Judgement) -> Headline {
    let load = judgement.load.as_ref().map(|axis| axis.status);
    let latency = judgement.latency.as_ref().map(|axis| axis.status);
    let reliability = judgement.reliability.as_ref().map(|axis| axis.status);
    Headline::of(Found {
        struck: judgement.verdicts.iter().any(Verdict::strikes),
        failing: reliability == Some(Reliability::Failing),
        overloaded: load == Some(LoadStatus::Overloaded),
        saturated: load == Some(LoadStatus::Saturated),
        degraded: latency == Some(Latency::Degraded),
    })
}

/// Levels, and which of them may serve as a measure for others.
pub(super) struct Standing<'l, 'a> {
    levels: &'l [Measured<'a>],
    valid: &'l [bool],
}

impl<'l, 'a> Standing<'l, 'a> {
    /// The levels that stand, with the same work.
    fn same_work<'s>(
        &'s self,
        level: &'s Measured<'a>,
    ) -> impl Iterator<Item = &'l Measured<'a>> + 's {
        let standing = self.levels.iter().zip(self.valid).filter(|(_, valid)| **valid);
        standing.map(|(other, _)| other).filter(|other| is_same_work(level, other))
    }

    /// The levels that stand, with the same work in the same repeat.
    fn alike<'s>(&'s self, level: &'s Measured<'a>) -> impl Iterator<Item = &'l Measured<'a>> + 's {
        self.same_work(level).filter(|other| is_alike(level, other))
    }

    /// The last baseline with the same work. A search repeats levels and no baseline, so there the
    /// repeat is another.
    fn baseline(&self, level: &Measured<'a>) -> Option<&'l Measured<'a>> {
        let is_baseline = |other: &&Measured<'_>| other.record.planned.phase == Phase::Baseline;
        let own = self.alike(level).filter(is_baseline).last();
        own.or_else(|| self.same_work(level).filter(is_baseline).last())
    }

    /// The levels that a level is compared with: less load of the same kind, the same work, in its
    /// own repeat if there are any, in its own phase if there are any, else in the other phases that carry load. By rising load.
    fn lower(&self, level: &Measured<'a>) -> Vec<&'l Measured<'a>> {
        if !is_loaded(level) {
            return Vec::new();
        }
        let is_open = level.schedule().is_some();
        let is_lower = |other: &&Measured<'_>| {
            is_loaded(other)
                && other.schedule().is_some() == is_open
                && other.load_value() < level.load_value()
        };
        let mut lower: Vec<&Measured<'_>> = self.alike(level).filter(is_lower).collect();
        if lower.is_empty() {
            lower = self.same_work(level).filter(is_lower).collect();
        }
        let phase = level.record.planned.phase;
        let own = |other: &&Measured<'_>| other.record.planned.phase == phase;
        let mut lower =
            if lower.iter().any(own) { lower.into_iter().filter(own).collect() } else { lower };
        lower.sort_by(|a, b| a.load_value().total_cmp(&b.load_value()));
        lower
    }
}

/// Whether two levels ask for the same work.
fn is_same_work(level: &Measured<'_>, other: &Measured<'_>) -> bool {
    let workload = &level.record.planned.workload;
    workload.asks_the_same(&other.record.planned.workload)
}

/// Whether two levels ask for the same work in the same repeat, of one arm if it is an ablation.
fn is_alike(level: &Measured<'_>, other: &Measured<'_>) -> bool {
    is_same_work(level, other) && other.record.planned.series() == level.record.planned.series()
}

/// Whether a level belongs to a series of rising loads or stands beside one.
fn is_loaded(level: &Measured<'_>) -> bool {
    match level.record.planned.phase {
        Phase::Warmup | Phase::Baseline => false,
        Phase::Scaling | Phase::Stress | Phase::Saturation => true,
    }
}

/// The load in words: users, or requests per second.
fn load_words(level: &Measured<'_>) -> String {
    let value = super::number::number(level.load_value());
    match level.schedule() {
        None if level.load().users == 1 => "1 user".to_owned(),
        None => format!("{value} users"),
        Some(_) => format!("{value} requests/s"),
    }
}

/// A share of a level's measured requests; `None` without any.
fn share(part: u64, whole: u64) -> Option<f64> {
    stats::ratio(part as f64, whole as f64)
}

#[cfg(test)]
mod tests;
