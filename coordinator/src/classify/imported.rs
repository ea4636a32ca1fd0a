//! What can be said of a results table that was made elsewhere (the method, 2, 3.11 and 3.12).
//!
//! There are no requests behind such a table, only one value per cell: the rules here are point
//! rules without intervals, and nothing is claimed that needs a sample. Every judgement carries the
//! numbers and the limit it rests on.

use std::fmt::Write as _;

use common::phase::Phase;
use serde::Serialize;

use super::limits::{
    BEST_SHARE_MIN, ELASTICITY_MIN, IN_FLIGHT_MEAN_MIN, INDEX_SHARE_MIN, OUTPUT_OFF_MAX,
    P99_FACTOR_MAX, PROMPT_OFF_MAX, SUCCESS_MIN, WORK_RATIO_MAX,
};
use super::paper::{self, PaperRow, PaperVerdict};
use crate::report::{Code, Effect, Verdict};
use crate::stats;

/// One row of a table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Its phase.
    pub phase: Phase,
    /// Users asked for; at least 1.
    pub users: u32,
    /// What its requests were.
    pub work: Work,
    /// Requests planned, if the table says so.
    pub requests: Option<u64>,
    /// Prompt and completion tokens per second.
    pub total_tok_s: Option<f64>,
    /// Completion tokens per second.
    pub output_tok_s: Option<f64>,
    /// 99th percentile of the latency.
    pub p99_s: Option<f64>,
    /// Mean of the latency.
    pub mean_s: Option<f64>,
    /// Successful requests per second.
    pub requests_per_s: Option<f64>,
    /// Share of the requests that succeeded, 0 to 1.
    pub success: f64,
}

/// What the requests of a level were.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Work {
    /// What was asked for; what was delivered is not known.
    Stated(Stated),
    /// What was delivered; what was asked for is not known.
    Delivered {
        /// Mean prompt tokens of a request.
        prompt: f64,
        /// Mean completion tokens of a request.
        completion: f64,
    },
}

/// A request as it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Stated {
    /// Prompt tokens without those of images.
    pub input_tokens: u32,
    /// Completion tokens; at least 1.
    pub output_tokens: u32,
    /// Images.
    pub images: u32,
}

/// A baseline that is no row of its table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Baseline {
    /// 99th percentile of the latency of one user.
    pub p99_s: f64,
    /// What its requests were.
    pub work: Work,
}

/// A row judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// By the paper's rules.
    pub paper: PaperVerdict,
    /// The first of INVALID, FAILING, OVERLOADED, SATURATED, DEGRADED, OK that holds.
    pub headline: Headline,
    /// Whether requests succeeded.
    pub reliability: Axis<Reliability>,
    /// Whether they took much longer than the baseline's.
    pub latency: Axis<Latency>,
    /// Whether more users brought more throughput.
    pub load: Axis<LoadStatus>,
    /// What strikes the row.
    pub verdicts: Vec<Verdict>,
    /// Why the comparison with the baseline says less than it seems to.
    pub caveat: Option<String>,
    /// Growth of throughput over growth of users since the level below, both as logarithms.
    pub elasticity: Option<f64>,
    /// Tokens per second times p99 over users. It bounds the tokens in flight per user, so it
    /// falls where the users asked for were not in flight.
    pub inflight_index: Option<f64>,
    /// Requests in flight, if the lowest level that the row is compared with held its users.
    pub implied_inflight: Option<f64>,
    /// Mean in flight by Little's law, where the table has a mean latency.
    pub in_flight_mean: Option<f64>,
}

/// One independent answer and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis<T> {
    /// The answer.
    pub status: T,
    /// The numbers and the limit behind it, in words.
    pub evidence: String,
}

/// The first status that holds of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headline {
    /// A verdict strikes it.
    Invalid,
    /// Too many requests failed.
    Failing,
    /// Throughput fell below that of a lower level.
    Overloaded,
    /// More users bring no more throughput.
    Saturated,
    /// Requests take much longer than the baseline's.
    Degraded,
    /// None of these, as far as the table tells.
    Ok,
}

/// Whether requests succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reliability {
    /// Enough of them.
    Ok,
    /// Too few.
    Failing,
}

/// How latency compares with the baseline's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// Within the limit.
    Ok,
    /// Beyond it.
    Degraded,
    /// There is nothing to compare, or nothing to compare with.
    Unknown,
    /// Levels of this phase are not judged.
    NotJudged,
}

/// How throughput answers to users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadStatus {
    /// It rises with them.
    Scaling,
    /// It hardly rises.
    Saturated,
    /// It is below that of a lower level.
    Overloaded,
    /// The table has no throughput.
    Unknown,
    /// Levels of this phase are not judged.
    NotJudged,
}

impl Headline {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invalid => "INVALID",
            Self::Failing => "FAILING",
            Self::Overloaded => "OVERLOADED",
            Self::Saturated => "SATURATED",
            Self::Degraded => "DEGRADED",
            Self::Ok => "OK",
        }
    }
}

impl Reliability {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Failing => "FAILING",
        }
    }
}

impl Latency {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Degraded => "DEGRADED",
            Self::Unknown => "UNKNOWN",
            Self::NotJudged => "n/a",
        }
    }
}

impl LoadStatus {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scaling => "SCALING",
            Self::Saturated => "SATURATED",
            Self::Overloaded => "OVERLOADED",
            Self::Unknown => "UNKNOWN",
            Self::NotJudged => "n/a",
        }
    }
}

impl Level {
    /// The row as the paper's classifier sees it.
    pub fn paper_row(&self) -> PaperRow {
        PaperRow {
            phase: self.phase,
            users: self.users,
            total_tok_s: self.total_tok_s,
            output_tok_s: self.output_tok_s,
            p99_s: self.p99_s,
            success: self.success,
        }
    }

    fn inflight_index(&self) -> Option<f64> {
        stats::ratio(self.total_tok_s? * self.p99_s?, self.users.into())
    }

    /// Only successes have a latency, so there is no mean in flight if anything failed.
    fn in_flight_mean(&self) -> Option<f64> {
        let all = self.success >= 1.0;
        all.then_some(stats::in_flight(self.requests_per_s?, self.mean_s?))
    }

    /// Total tokens for each output token.
    fn work_ratio(&self) -> Option<f64> {
        stats::ratio(self.total_tok_s?, self.output_tok_s?)
    }

    /// Whether the level belongs to a series of rising loads or stands beside one.
    fn is_loaded(&self) -> bool {
        match self.phase {
            Phase::Warmup | Phase::Baseline => false,
            Phase::Scaling | Phase::Stress | Phase::Saturation => true,
        }
    }
}

impl Work {
    /// Whether levels of the two can be compared at all. Delivered work differs a little between
    /// any two levels; where it differs too much, [`Code::WorkNotEqual`] says so.
    fn is_comparable(self, other: Self) -> bool {
        match (self, other) {
            (Self::Stated(a), Self::Stated(b)) => a == b,
            (Self::Delivered { .. }, Self::Delivered { .. }) => true,
            (Self::Stated(_), Self::Delivered { .. })
            | (Self::Delivered { .. }, Self::Stated(_)) => false,
        }
    }

    /// Whether a latency of the one is a measure for a latency of the other.
    fn is_same(self, other: Self) -> bool {
        self.is_comparable(other) && self.difference(other).is_none()
    }

    /// Where delivered work differs beyond the limits, in words.
    fn difference(self, other: Self) -> Option<String> {
        let (
            Self::Delivered { prompt: prompt_a, completion: completion_a },
            Self::Delivered { prompt: prompt_b, completion: completion_b },
        ) = (self, other)
        else {
            return None;
        };
        let off = |name: &str, a: f64, b: f64, limit: f64| {
            ((a - b).abs() > limit * b).then(|| {
                let percent = limit * 100.0;
                format!(
                    "{} mean {name} tokens against {}, more than {percent} % apart",
                    number(a),
                    number(b)
                )
            })
        };
        off("output", completion_a, completion_b, OUTPUT_OFF_MAX.value)
            .or_else(|| off("prompt", prompt_a, prompt_b, PROMPT_OFF_MAX.value))
    }
}

/// Judges the rows of a table, which are in the order in which they were run.
pub fn judge(levels: &[Level], baseline: Option<Baseline>) -> Vec<Judgement> {
    let struck = concurrency(levels);
    let papers = papers(levels, baseline);
    levels
        .iter()
        .zip(papers)
        .zip(&struck)
        .map(|((level, paper), concurrency)| {
            let lower = lower(level, levels);
            let elasticity = elasticity(level, &lower);
            let reliability = reliability(level);
            let latency = latency(level, levels, baseline);
            let load = load(level, &lower, elasticity);
            let verdicts: Vec<Verdict> =
                concurrency.verdict.iter().cloned().chain(work(level, levels)).collect();
            Judgement {
                paper,
                headline: headline(&verdicts, reliability.status, latency.status, load.status),
                reliability,
                latency,
                load,
                verdicts,
                caveat: caveat(level, levels),
                elasticity,
                inflight_index: level.inflight_index(),
                implied_inflight: concurrency.implied,
                in_flight_mean: level.in_flight_mean(),
            }
        })
        .collect()
}

/// The paper's statuses; a baseline beside the table is the level before all others.
fn papers(levels: &[Level], baseline: Option<Baseline>) -> Vec<PaperVerdict> {
    let beside = baseline.map(|baseline| PaperRow {
        phase: Phase::Baseline,
        users: 1,
        total_tok_s: None,
        output_tok_s: None,
        p99_s: Some(baseline.p99_s),
        success: 1.0,
    });
    let rows: Vec<PaperRow> =
        beside.into_iter().chain(levels.iter().map(Level::paper_row)).collect();
    paper::classify(&rows).split_off(usize::from(beside.is_some()))
}

fn headline(
    verdicts: &[Verdict],
    reliability: Reliability,
    latency: Latency,
    load: LoadStatus,
) -> Headline {
    if verdicts.iter().any(Verdict::strikes) {
        return Headline::Invalid;
    }
    match (reliability, load, latency) {
        (Reliability::Failing, _, _) => Headline::Failing,
        (Reliability::Ok, LoadStatus::Overloaded, _) => Headline::Overloaded,
        (Reliability::Ok, LoadStatus::Saturated, _) => Headline::Saturated,
        (
            Reliability::Ok,
            LoadStatus::Scaling | LoadStatus::Unknown | LoadStatus::NotJudged,
            Latency::Degraded,
        ) => Headline::Degraded,
        (
            Reliability::Ok,
            LoadStatus::Scaling | LoadStatus::Unknown | LoadStatus::NotJudged,
            Latency::Ok | Latency::Unknown | Latency::NotJudged,
        ) => Headline::Ok,
    }
}

/// The places of the levels that a level is compared with: fewer users, the same work, in its own
/// phase if there are any, else in the other phases that carry load. By users, then as run.
fn lower_places(level: &Level, levels: &[Level]) -> Vec<usize> {
    if !level.is_loaded() {
        return Vec::new();
    }
    let is_lower = |other: &Level| {
        other.is_loaded() && other.users < level.users && other.work.is_comparable(level.work)
    };
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for (place, other) in levels.iter().enumerate().filter(|(_, other)| is_lower(other)) {
        let places = if other.phase == level.phase { &mut own } else { &mut others };
        places.push((other.users, place));
    }
    let mut places = if own.is_empty() { others } else { own };
    places.sort_unstable();
    places.into_iter().map(|(_, place)| place).collect()
}

fn lower<'l>(level: &Level, levels: &'l [Level]) -> Vec<&'l Level> {
    lower_places(level, levels).into_iter().filter_map(|place| levels.get(place)).collect()
}

/// Whether a level had its users in flight.
#[derive(Clone, Debug, Default)]
struct Concurrency {
    verdict: Option<Verdict>,
    implied: Option<f64>,
}

/// Judges levels by rising users: a level that is struck is no measure for a higher one.
fn concurrency(levels: &[Level]) -> Vec<Concurrency> {
    let mut order: Vec<(u32, usize)> =
        levels.iter().enumerate().map(|(place, level)| (level.users, place)).collect();
    order.sort_unstable();
    let mut judged = vec![Concurrency::default(); levels.len()];
    for (_, place) in order {
        let Some(level) = levels.get(place) else { continue };
        let held: Vec<&Level> = lower_places(level, levels)
            .into_iter()
            .filter(|other| judged.get(*other).is_some_and(|other| other.verdict.is_none()))
            .filter_map(|other| levels.get(other))
            .collect();
        if let Some(slot) = judged.get_mut(place) {
            *slot = concurrency_of(level, &held);
        }
    }
    judged
}

/// Whether a level had its users in flight, given the lower levels that had theirs.
fn concurrency_of(level: &Level, held: &[&Level]) -> Concurrency {
    let users = level.users;
    let mut evidence = Vec::new();
    let planned = level.requests.filter(|requests| *requests < u64::from(users));
    if let Some(requests) = planned {
        evidence.push(format!(
            "at most {requests} of {users} users could be in flight ({requests} requests planned)"
        ));
    }
    let implied = implied_inflight(level, held, planned);
    let limit = IN_FLIGHT_MEAN_MIN.value;
    match level.in_flight_mean() {
        Some(mean) if mean < limit * f64::from(users) => evidence.push(format!(
            "{} of {users} users were in flight on average, ramp and drain included (rate times \
             mean latency), below {limit} x {users}",
            number(mean)
        )),
        Some(_) => {}
        None => evidence.extend(index_too_low(level, held, implied)),
    }
    let verdict = (!evidence.is_empty()).then(|| Verdict {
        code: Code::ConcurrencyNotReached,
        effect: Effect::Invalid,
        evidence: evidence.join("; "),
    });
    Concurrency { verdict, implied }
}

/// In flight, scaled from the lowest level that held its users.
fn implied_inflight(level: &Level, held: &[&Level], planned: Option<u64>) -> Option<f64> {
    if !level.is_loaded() {
        return None;
    }
    let index = level.inflight_index()?;
    let scaled = match (held.iter().find_map(|other| other.inflight_index()), planned) {
        (Some(anchor), _) => stats::ratio(f64::from(level.users) * index, anchor),
        (None, None) => Some(level.users.into()),
        (None, Some(_)) => None,
    };
    match (scaled, planned) {
        (Some(scaled), Some(planned)) => Some(scaled.min(planned as f64)),
        (scaled, _) => scaled,
    }
}

fn index_too_low(level: &Level, held: &[&Level], implied: Option<f64>) -> Option<String> {
    let index = level.inflight_index()?;
    let indices: Vec<f64> = held.iter().filter_map(|other| other.inflight_index()).collect();
    let count = indices.len();
    let median = median(indices)?;
    let limit = INDEX_SHARE_MIN.value;
    if index >= limit * median {
        return None;
    }
    let mut text = format!(
        "{} tok/s x {} s p99 / {} users = {}, below {limit} x {}, the median of {}",
        number(level.total_tok_s?),
        number(level.p99_s?),
        level.users,
        number(index),
        number(median),
        if count == 1 { "the one lower level" } else { "the lower levels" },
    );
    if let Some(implied) = implied {
        let _written = write!(text, ": about {implied:.0} were in flight");
    }
    Some(text)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    let lower = if values.len().is_multiple_of(2) { *values.get(middle - 1)? } else { upper };
    Some(f64::midpoint(lower, upper))
}

/// Whether the work of a level's phase was what was stated, or the same at every level.
fn work(level: &Level, levels: &[Level]) -> Option<Verdict> {
    let peers = || {
        levels
            .iter()
            .filter(|other| other.phase == level.phase && other.work.is_comparable(level.work))
    };
    let evidence = match level.work {
        Work::Stated(stated) if stated.images == 0 => {
            let wanted = stats::ratio(
                f64::from(stated.input_tokens) + f64::from(stated.output_tokens),
                stated.output_tokens.into(),
            )?;
            let limit = WORK_RATIO_MAX.value;
            let (most, at) = peers()
                .filter_map(|other| Some((other.work_ratio()?, other)))
                .max_by(|(a, _), (b, _)| a.total_cmp(b))
                .filter(|(ratio, _)| *ratio > limit * wanted)?;
            format!(
                "{} total for each output token at {} users ({} / {} tok/s), above {limit} x {}, \
                 what {} input and {} output tokens give: answers were shorter than stated, or \
                 prompts longer",
                number(most),
                at.users,
                number(at.total_tok_s?),
                number(at.output_tok_s?),
                number(wanted),
                stated.input_tokens,
                stated.output_tokens
            )
        }
        // The tokens of an image are not stated.
        Work::Stated(_) => return None,
        Work::Delivered { .. } => {
            let first = peers().min_by_key(|other| other.users)?;
            peers().find_map(|other| {
                let difference = other.work.difference(first.work)?;
                Some(format!("at {} and {} users: {difference}", other.users, first.users))
            })?
        }
    };
    Some(Verdict { code: Code::WorkNotEqual, effect: Effect::Invalid, evidence })
}

fn reliability(level: &Level) -> Axis<Reliability> {
    let limit = SUCCESS_MIN.value;
    let failing = level.success < limit;
    let side = if failing { "below" } else { "at least" };
    let percent = number(level.success * 100.0);
    let evidence = format!("{percent} % of the requests succeeded, {side} {} %", limit * 100.0);
    Axis { status: if failing { Reliability::Failing } else { Reliability::Ok }, evidence }
}

fn latency(level: &Level, levels: &[Level], beside: Option<Baseline>) -> Axis<Latency> {
    let axis = |status, evidence: &str| Axis { status, evidence: evidence.to_owned() };
    match level.phase {
        Phase::Warmup => return axis(Latency::NotJudged, "warm-up is not judged"),
        Phase::Baseline => return axis(Latency::Ok, "it is the baseline"),
        Phase::Scaling | Phase::Stress | Phase::Saturation => {}
    }
    let Some(p99_s) = level.p99_s else {
        return axis(Latency::Unknown, "the table has no p99 of this level");
    };
    let beside = beside.filter(|baseline| baseline.work.is_same(level.work));
    let row = baseline_row(level, levels).and_then(|row| row.p99_s);
    let Some(baseline_s) = row.or(beside.map(|baseline| baseline.p99_s)) else {
        return axis(Latency::Unknown, "there is no baseline of the same request shape");
    };
    let limit = P99_FACTOR_MAX.value;
    let degraded = p99_s > limit * baseline_s;
    let side = if degraded { "above" } else { "not above" };
    let evidence = format!(
        "p99 {} s, {side} {limit} x {} s, the baseline's",
        number(p99_s),
        number(baseline_s)
    );
    Axis { status: if degraded { Latency::Degraded } else { Latency::Ok }, evidence }
}

/// The last baseline of the same request shape that has a p99.
fn baseline_row<'l>(level: &Level, levels: &'l [Level]) -> Option<&'l Level> {
    levels.iter().rev().find(|other| {
        other.phase == Phase::Baseline && other.work.is_same(level.work) && other.p99_s.is_some()
    })
}

/// Where the tokens show that a baseline of the same shape, as stated, did other work.
fn caveat(level: &Level, levels: &[Level]) -> Option<String> {
    if !level.is_loaded() {
        return None;
    }
    let own = level.work_ratio()?;
    let baseline = baseline_row(level, levels)?.work_ratio()?;
    let limit = WORK_RATIO_MAX.value;
    (own > limit * baseline || baseline > limit * own).then(|| {
        format!(
            "the baseline had {} total tokens for each output token and this level {}, more than \
             {limit} x apart: their requests were not of the same length",
            number(baseline),
            number(own)
        )
    })
}

fn elasticity(level: &Level, lower: &[&Level]) -> Option<f64> {
    let before = lower.last()?;
    let gain = stats::ratio(level.total_tok_s?, before.total_tok_s?)?.ln();
    let step = (f64::from(level.users) / f64::from(before.users)).ln();
    stats::ratio(gain, step)
}

fn load(level: &Level, lower: &[&Level], elasticity: Option<f64>) -> Axis<LoadStatus> {
    let axis = |status, evidence: &str| Axis { status, evidence: evidence.to_owned() };
    match level.phase {
        Phase::Warmup | Phase::Baseline | Phase::Stress => {
            return axis(LoadStatus::NotJudged, "only SCALING and SATURATION are series of loads");
        }
        Phase::Scaling | Phase::Saturation => {}
    }
    let Some(rate) = level.total_tok_s else {
        return axis(LoadStatus::Unknown, "the table has no throughput of this level");
    };
    let with_rate = |other: &&Level| Some((other.total_tok_s?, other.users));
    let best = lower.iter().filter_map(with_rate).max_by(|(a, _), (b, _)| a.total_cmp(b));
    let Some((most, at)) = best else {
        return axis(LoadStatus::Scaling, "there is no lower level to compare it with");
    };
    let share = BEST_SHARE_MIN.value;
    if rate < share * most {
        let (rate, most) = (number(rate), number(most));
        let evidence = format!("{rate} tok/s, below {share} x {most} tok/s at {at} users");
        return Axis { status: LoadStatus::Overloaded, evidence };
    }
    let (Some(elasticity), Some(before)) = (elasticity, lower.last()) else {
        return axis(LoadStatus::Unknown, "the level below it has no throughput");
    };
    let limit = ELASTICITY_MIN.value;
    let saturated = elasticity < limit;
    let side = if saturated { "below" } else { "at least" };
    let evidence = format!(
        "elasticity {elasticity:.3}, {side} {limit}: {} tok/s after {} tok/s at {} users",
        number(rate),
        number(before.total_tok_s.unwrap_or_default()),
        before.users
    );
    Axis { status: if saturated { LoadStatus::Saturated } else { LoadStatus::Scaling }, evidence }
}

/// A number as a person would write it: about five digits, no trailing zeros.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v < 10.0 => 3,
        v if v < 1_000.0 => 2,
        v if v < 10_000.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests;
