//! What a search knows: its probes, gathered by load.
//!
//! A level that is not valid is counted and nothing else: its load has no rate from it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::probe::{Probe, Validity};
use crate::stats::Objective;
use crate::stats::{Usl, UslPoint};

/// Half a 95 % interval in standard errors.
const Z_95: f64 = 1.96;
/// Relative standard errors beyond these are not believed: the first is better than any server
/// repeats, the second says nothing at all.
const SPREAD_MIN: f64 = 1e-4;
const SPREAD_MAX: f64 = 1.0;
/// Rates are kept within what arithmetic on them stands.
const RATE_MIN: f64 = 1e-9;
const RATE_MAX: f64 = 1e15;
/// How many runs' worth of evidence the whole search gives to the spread at one load.
const PRIOR_RUNS: f64 = 6.0;
/// Repeats in excess of their loads that it takes to judge the spread between runs.
const FREEDOM_MIN: usize = 4;

/// Probes by load.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    cells: BTreeMap<u32, Cell>,
    /// Mean variance of runs by their own intervals.
    own_variance: f64,
    /// How much more runs of one load differ than their intervals say, as a factor on variances;
    /// at least 1 (Birge 1932). Batches within a run do not see what differs between runs.
    excess: f64,
}

/// All probes of one load.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    runs: Vec<Run>,
    /// Valid runs in which the server failed.
    pub(super) failed: u32,
    /// Runs that met the objective.
    pub(super) met: u32,
    /// Runs that missed it, the failed ones included.
    pub(super) missed: u32,
    /// Runs in which the generator was the limit.
    pub(super) client_limited: u32,
    /// Runs struck for another reason.
    pub(super) invalid: u32,
    took: Duration,
}

/// The rate of one valid run.
#[derive(Clone, Copy, Debug)]
struct Run {
    in_flight: f64,
    ln_rate: f64,
    /// Variance of `ln_rate` by the run's own interval (delta method).
    variance: f64,
}

/// The rate at one load, over its runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) load: u32,
    pub(super) in_flight: f64,
    pub(super) ln_rate: f64,
    /// Variance of `ln_rate`.
    pub(super) variance: f64,
    pub(super) runs: u32,
}

impl Cell {
    /// Runs that are a result.
    pub(super) fn valid(&self) -> u32 {
        self.failed + self.runs.len() as u32
    }

    /// The server fails here: in half of the runs or more.
    pub(super) fn fails(&self) -> bool {
        self.failed > 0 && 2 * self.failed >= self.valid()
    }

    /// Two runs were not valid, and more than were: it is not run again.
    pub(super) fn struck(&self) -> bool {
        let struck = self.client_limited + self.invalid;
        struck >= 2 && struck > self.valid()
    }
}

impl Table {
    pub(super) fn add(&mut self, probe: &Probe) {
        let cell = self.cells.entry(probe.load).or_default();
        cell.took = cell.took.max(probe.took);
        match probe.validity {
            Validity::Valid => cell.add(probe),
            Validity::ClientLimited => cell.client_limited += 1,
            Validity::Invalid => cell.invalid += 1,
        }
        self.own_variance = self.mean_variance();
        self.excess = self.birge();
    }

    pub(super) fn cell(&self, load: u32) -> Option<&Cell> {
        self.cells.get(&load)
    }

    /// Runs that are a result for `load`.
    pub(super) fn valid_runs(&self, load: u32) -> u32 {
        self.cell(load).map_or(0, Cell::valid)
    }

    pub(super) fn struck(&self, load: u32) -> bool {
        self.cell(load).is_some_and(Cell::struck)
    }

    /// `load` was run and had no valid run.
    pub(super) fn only_invalid(&self, load: u32) -> bool {
        self.cell(load).is_some_and(|cell| cell.valid() == 0)
    }

    /// Loads with their cells, ascending.
    pub(super) fn cells(&self) -> impl DoubleEndedIterator<Item = (u32, &Cell)> {
        self.cells.iter().map(|(load, cell)| (*load, cell))
    }

    /// The smallest load at which the server fails.
    pub(super) fn fails_at(&self) -> Option<u32> {
        self.cells().find(|(_, cell)| cell.fails()).map(|(load, _)| load)
    }

    /// Variance of the logarithm of the rate of a single run, over the whole search.
    pub(super) fn run_variance(&self) -> f64 {
        self.own_variance * self.excess
    }

    /// The rates below the load at which the server fails, ascending in load.
    pub(super) fn points(&self) -> Vec<Point> {
        let end = self.fails_at().unwrap_or(u32::MAX);
        let sound = self.cells().filter(|(load, cell)| *load < end && !cell.runs.is_empty());
        sound.map(|(load, cell)| cell.point(load, self.own_variance, self.excess)).collect()
    }

    /// The fit of the universal scalability law.
    pub(super) fn usl(&self) -> Option<Usl> {
        let point = |point: Point| {
            let rate = point.ln_rate.exp();
            UslPoint { in_flight: point.in_flight, rate, variance: rate.powi(2) * point.variance }
        };
        Usl::fit(&self.points().into_iter().map(point).collect::<Vec<_>>())
    }

    /// How long a level of `load` may take, from those that were run: as long as the next higher
    /// one; beyond all of them, the longest in proportion to the load, because past saturation
    /// latency grows so. Nothing before the first level.
    pub(super) fn expected(&self, load: u32) -> Duration {
        let up_to = self.cells.range(..=load).map(|(_, cell)| cell.took).max();
        let next = self.cells.range(load..).map(|(_, cell)| cell.took).next();
        match (next, up_to, self.cells.last_key_value()) {
            (Some(next), _, _) => next,
            (None, Some(took), Some((highest, _))) => {
                took.saturating_mul(load.div_ceil((*highest).max(1)))
            }
            (None, _, _) => Duration::ZERO,
        }
    }

    fn mean_variance(&self) -> f64 {
        let runs = || self.cells.values().flat_map(|cell| &cell.runs);
        let sum: f64 = runs().map(|run| run.variance).sum();
        sum / (runs().count() as f64).max(1.0)
    }

    fn birge(&self) -> f64 {
        let mut freedom = 0;
        let mut squares = 0.0;
        for cell in self.cells.values() {
            let mean = cell.mean(|run| run.ln_rate);
            let off = cell.runs.iter().map(|run| (run.ln_rate - mean).powi(2));
            squares += off.sum::<f64>() / cell.variance(self.own_variance);
            freedom += cell.runs.len().saturating_sub(1);
        }
        if freedom < FREEDOM_MIN { 1.0 } else { (squares / freedom as f64).max(1.0) }
    }
}

impl Cell {
    fn add(&mut self, probe: &Probe) {
        let run = (!probe.failing).then(|| Run::of(probe)).flatten();
        match run {
            Some(run) => self.runs.push(run),
            None => self.failed += 1,
        }
        match probe.objective {
            Some(_) if run.is_none() => self.missed += 1,
            Some(Objective::Met) => self.met += 1,
            Some(Objective::Missed) => self.missed += 1,
            Some(Objective::Undecided) | None => {}
        }
    }

    fn mean(&self, value: impl Fn(&Run) -> f64) -> f64 {
        self.runs.iter().map(value).sum::<f64>() / (self.runs.len() as f64).max(1.0)
    }

    /// Variance of a run here: that of its own runs, drawn towards that of all (a variance from
    /// a handful of batches is itself a rough number).
    fn variance(&self, of_all: f64) -> f64 {
        let own: f64 = self.runs.iter().map(|run| run.variance).sum();
        (own + PRIOR_RUNS * of_all) / (self.runs.len() as f64 + PRIOR_RUNS)
    }

    fn point(&self, load: u32, of_all: f64, excess: f64) -> Point {
        let runs = self.runs.len() as u32;
        Point {
            load,
            in_flight: self.mean(|run| run.in_flight),
            ln_rate: self.mean(|run| run.ln_rate),
            variance: self.variance(of_all) * excess / f64::from(runs.max(1)),
            runs,
        }
    }
}

impl Run {
    /// `None` if the rate is not a positive number.
    fn of(probe: &Probe) -> Option<Self> {
        let rate = probe.rate;
        let mean = Some(rate.mean).filter(|mean| mean.is_finite() && *mean > 0.0)?;
        let spread = (rate.upper - rate.lower) / (2.0 * Z_95 * mean);
        let spread = if spread.is_nan() { SPREAD_MAX } else { spread };
        let in_flight = probe.in_flight_mean;
        Some(Self {
            in_flight: if in_flight > 0.0 { in_flight } else { f64::from(probe.load) },
            ln_rate: mean.clamp(RATE_MIN, RATE_MAX).ln(),
            variance: spread.clamp(SPREAD_MIN, SPREAD_MAX).powi(2),
        })
    }
}
