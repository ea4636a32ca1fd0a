//! Which levels of two sides belong together, and which repeats count.
//!
//! Levels are matched by phase, label and workload. Labels that in truth were one load, because the
//! users they name were never in flight, become one level under that load (the method, 3.14): of
//! each run the mean over those labels is one repeat, since they shared one start of the server.

use std::collections::BTreeMap;

use common::ids::Name;
use common::phase::Phase;

use super::metric::Values;
use super::side::{Delivered, Observed, Side, Standing};
use super::{Sides, Which};
use crate::stats;

/// Loads within this share of each other are one load.
const SAME_LOAD: f64 = 0.02;

/// What names a level on both sides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LevelKey {
    /// Its phase.
    pub phase: Phase,
    /// Its label in the plan.
    pub label: String,
    /// The name of its workload.
    pub workload: Name,
}

/// A repeat that is no result.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// Of which side.
    pub side: Which,
    /// Of which level.
    pub key: LevelKey,
    /// Of which run.
    pub run: String,
    /// Which repeat, from 0.
    pub repeat: u32,
    /// Which attempt, from 0.
    pub attempt: u32,
    /// Why.
    pub because: String,
}

/// The repeats of one level, or of several labels of one load.
#[derive(Clone, Debug)]
pub(super) struct Group<'a> {
    /// The labels, by users.
    pub(super) keys: Vec<LevelKey>,
    /// What was observed of them, results or not.
    pub(super) seen: Sides<Vec<&'a Observed>>,
    /// The repeats that count.
    pub(super) repeats: Sides<Vec<Repeat>>,
}

/// One repeat of a level.
#[derive(Clone, Debug)]
pub(super) struct Repeat {
    pub(super) in_flight_mean: Option<f64>,
    pub(super) delivered: Option<Delivered>,
    pub(super) ended: u64,
    pub(super) values: Values,
}

/// An observed level with the place of its run.
type Placed<'a> = (usize, &'a Observed);

/// A label with everything observed of it.
struct Label<'a> {
    users: u32,
    key: &'a LevelKey,
    seen: Sides<Vec<Placed<'a>>>,
}

/// The levels of both sides, by phase and users. A warm-up is compared with nothing.
pub(super) fn groups(sides: &Sides<Side>) -> (Vec<Group<'_>>, Vec<LeftOut>) {
    let mut labels: BTreeMap<&LevelKey, Label<'_>> = BTreeMap::new();
    for (which, side) in sides.each() {
        for (place, run) in side.runs.iter().enumerate() {
            for level in run.levels.iter().filter(|level| level.key.phase != Phase::Warmup) {
                let new = || Label { users: level.users, key: &level.key, seen: Sides::default() };
                let label = labels.entry(&level.key).or_insert_with(new);
                label.users = label.users.min(level.users);
                match which {
                    Which::Base => label.seen.base.push((place, level)),
                    Which::New => label.seen.new.push((place, level)),
                }
            }
        }
    }
    let mut labels: Vec<Label<'_>> = labels.into_values().collect();
    labels.sort_by(|a, b| (a.key.phase, a.users, a.key).cmp(&(b.key.phase, b.users, b.key)));
    let mut left_out = Vec::new();
    let mut groups: Vec<Group<'_>> = Vec::new();
    for pool in pools(labels) {
        for label in &pool {
            left_out.extend(left_out_of(label, pool.len() > 1, sides));
        }
        groups.push(Group {
            keys: pool.iter().map(|label| label.key.clone()).collect(),
            seen: Sides {
                base: pool.iter().flat_map(|label| observed(&label.seen.base)).collect(),
                new: pool.iter().flat_map(|label| observed(&label.seen.new)).collect(),
            },
            repeats: Sides {
                base: repeats(&pool, |label| &label.seen.base),
                new: repeats(&pool, |label| &label.seen.new),
            },
        });
    }
    (groups, left_out)
}

fn observed<'a>(placed: &[Placed<'a>]) -> impl Iterator<Item = &'a Observed> {
    placed.iter().map(|(_, level)| *level)
}

/// Labels of one load together, all others alone; each pool stands where its first label stood.
fn pools(labels: Vec<Label<'_>>) -> Vec<Vec<Label<'_>>> {
    let mut pools: Vec<Vec<Label<'_>>> = Vec::new();
    for label in labels {
        let of_one_load = |pool: &&mut Vec<Label<'_>>| {
            let alike = |other: &Label<'_>| {
                other.key.phase == label.key.phase && other.key.workload == label.key.workload
            };
            let members = || pool.iter().chain([&label]);
            pool.iter().all(alike) && members().any(lacks_users) && one_load(members())
        };
        match pools.iter_mut().find(of_one_load) {
            Some(pool) => pool.push(label),
            None => pools.push(vec![label]),
        }
    }
    pools
}

fn lacks_users(label: &Label<'_>) -> bool {
    let lacks = |level: &Observed| matches!(level.standing, Standing::NotReached(_));
    label.seen.each().into_iter().any(|(_, placed)| observed(placed).any(lacks))
}

/// Whether everything that counts had the same number in flight.
fn one_load<'l, 'a: 'l>(labels: impl Iterator<Item = &'l Label<'a>>) -> bool {
    let mut means = Vec::new();
    for label in labels {
        for (_, placed) in label.seen.each() {
            let counts = observed(placed).filter(|level| counts(level, true));
            let loads: Option<Vec<f64>> = counts.map(|level| level.in_flight_mean).collect();
            match loads.and_then(|loads| stats::describe(&loads)) {
                Some(summary) => means.push(summary.mean),
                None => return false,
            }
        }
    }
    let most = means.iter().copied().fold(0.0, f64::max);
    means.iter().all(|mean| most <= mean * (1.0 + SAME_LOAD))
}

/// Whether a level counts: in a pool also without its users, since the pool is named after its load.
fn counts(level: &Observed, pooled: bool) -> bool {
    match level.standing {
        Standing::Valid => true,
        Standing::NotReached(_) => pooled,
        Standing::Struck(_) => false,
    }
}

fn left_out_of(label: &Label<'_>, pooled: bool, sides: &Sides<Side>) -> Vec<LeftOut> {
    let mut out = Vec::new();
    for ((which, placed), (_, side)) in label.seen.each().into_iter().zip(sides.each()) {
        for (place, level) in placed {
            let because = match &level.standing {
                Standing::Valid => continue,
                Standing::NotReached(_) if pooled => continue,
                Standing::NotReached(because) | Standing::Struck(because) => because.clone(),
            };
            out.push(LeftOut {
                side: which,
                key: level.key.clone(),
                run: side.runs.get(*place).map_or_else(String::new, |run| run.name.clone()),
                repeat: level.repeat,
                attempt: level.attempt,
                because,
            });
        }
    }
    out
}

/// The repeats of one side. Alone, every level is one; in a pool, the levels of one run and repeat.
fn repeats<'l, 'a: 'l>(
    pool: &'l [Label<'a>],
    side: impl Fn(&'l Label<'a>) -> &'l Vec<Placed<'a>>,
) -> Vec<Repeat> {
    let pooled = pool.len() > 1;
    let levels = pool.iter().flat_map(side).filter(|(_, level)| counts(level, pooled));
    let mut together: BTreeMap<(usize, u32, usize), Vec<&Observed>> = BTreeMap::new();
    for (number, (place, level)) in levels.enumerate() {
        let own = if pooled { 0 } else { number };
        together.entry((*place, level.repeat, own)).or_default().push(level);
    }
    together.into_values().map(|levels| repeat(&levels)).collect()
}

fn repeat(levels: &[&Observed]) -> Repeat {
    let loads: Option<Vec<f64>> = levels.iter().map(|level| level.in_flight_mean).collect();
    let values: Vec<Values> = levels.iter().map(|level| level.values).collect();
    let delivered = levels.iter().map(|level| level.delivered);
    Repeat {
        in_flight_mean: loads.and_then(|loads| Some(stats::describe(&loads)?.mean)),
        delivered: delivered.reduce(|a, b| Some(a?.and(b?))).flatten(),
        ended: levels.iter().map(|level| level.ended).sum(),
        values: Values::mean(&values),
    }
}

/// The phase, and the labels.
pub(super) fn title(keys: &[LevelKey]) -> String {
    let labels: Vec<&str> = keys.iter().map(|key| key.label.as_str()).collect();
    let phase = keys.first().map_or("", |key| key.phase.name());
    format!("{phase} {}", labels.join(", "))
}

impl Delivered {
    /// Of both.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            prompt: self.prompt.saturating_add(other.prompt),
            completion: self.completion.saturating_add(other.completion),
        }
    }
}
