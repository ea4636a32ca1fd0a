//! The knee: the bracket around the load at which 95 % of the highest rate is reached, halved,
//! confirmed by repeats in random order, and narrowed by further repeats where they can decide.
//!
//! The method bisects between the last load with a rise and the first without. The load that
//! reaches 95 % may lie below the last rise (a server with a hard cap just above 64 still rises
//! from 64 to 128), so the bracket that is halved here is the one around the 95 % itself.

use common::seed::Generator;

use super::climb::{BRACKET_RATIO, EDGE, between};
use super::curve::{Curve, PART, RUNS_MIN, Z_PROOF};
use super::probe::Estimate;
use super::table::{Point, Table};
use super::{Purpose, Saturation, SearchSpec};
use crate::stats::Usl;

/// The proven bracket is narrow enough below this ratio of its ends.
const PROVEN_RATIO: f64 = 1.3;
/// Runs of one load beyond which no more is learnt from it.
const RUNS_MAX: u32 = 48;
/// The candidate and its neighbours, as factors.
const CONFIRMED: [f64; 3] = [0.8, 1.0, 1.25];
/// Where proof is sought, as factors from the candidate outwards: first where both ends together
/// stay within `PROVEN_RATIO`, then further out, where the rate differs more from the 95 %.
const REACHES: [f64; 12] = [1.12, 1.2, 1.3, 1.42, 1.6, 1.8, 2.0, 2.5, 3.2, 4.0, 6.0, 8.0];
/// A load this close to one already run is not worth a load of its own.
const SAME: f64 = 1.05;
/// Half a 95 % interval in standard errors.
const Z_95: f64 = 1.96;

/// How far the search around the knee has come.
#[derive(Clone, Debug)]
pub(super) enum Knee {
    /// Halving the bracket.
    Bisect,
    /// Repeating the candidate and its neighbours: these loads, in this order.
    Confirm(Vec<u32>),
    /// Repeating what may prove a narrower bracket.
    Narrow,
}

impl Knee {
    /// The next level; `None` when no further level is worth its time.
    pub(super) fn next(&mut self, table: &Table, spec: &SearchSpec) -> Option<(u32, Purpose)> {
        let curve = Curve::of(table.points())?;
        loop {
            match self {
                Self::Bisect => match middle(&curve, table) {
                    Some(load) => return Some((load, Purpose::Bisect)),
                    None => *self = Self::Confirm(confirmations(&curve, table, spec)),
                },
                Self::Confirm(queue) => match queue.pop() {
                    Some(load) if !table.struck(load) => return Some((load, Purpose::Confirm)),
                    Some(_) => {}
                    None => *self = Self::Narrow,
                },
                Self::Narrow => {
                    return narrower(&curve, table, spec).map(|load| (load, Purpose::Narrow));
                }
            }
        }
    }
}

/// Whether the rate had stopped to rise before the highest load.
pub(super) fn passed(table: &Table) -> bool {
    Curve::of(table.points())
        .is_some_and(|curve| curve.crossing() <= 1.05 * EDGE * f64::from(curve.end()))
}

/// What is known of the knee.
pub(super) fn saturation(table: &Table) -> Option<Saturation> {
    let curve = Curve::of(table.points())?;
    let (lower, upper) = proven(&curve);
    let (ln_rate, variance) = curve.top();
    let half_width = Z_95 * variance.sqrt();
    Some(Saturation {
        load: curve.answer().unwrap_or(upper).clamp(lower, upper),
        lower,
        upper,
        rate_max: Estimate {
            mean: ln_rate.exp(),
            lower: (ln_rate - half_width).exp(),
            upper: (ln_rate + half_width).exp(),
        },
        measured_up_to: curve.end(),
    })
}

/// The proven bracket; its ends are those of the loads run where nothing is proven.
fn proven(curve: &Curve) -> (u32, u32) {
    let first = curve.points().first().map_or(0, |point| point.load);
    let lower = curve.proven_below().unwrap_or(first);
    (lower, curve.proven_above().unwrap_or(curve.end()).max(lower))
}

/// The load that halves the bracket around the crossing.
fn middle(curve: &Curve, table: &Table) -> Option<u32> {
    let crossing = curve.crossing();
    let loads = || curve.points().iter().map(|point| point.load);
    let high = loads().find(|load| f64::from(*load) >= crossing)?;
    let low = loads().rfind(|load| f64::from(*load) < crossing)?;
    let middle = between(low, high, BRACKET_RATIO)?;
    // The first probe within the climb's bracket is where the law says; it then guides no more,
    // because it may be wrong in the same way again.
    let climbed = low.checked_mul(2).is_some_and(|twice| twice <= high);
    let law = table.usl().filter(|_| climbed).and_then(|usl| by_law(&usl, low, high));
    Some(law.unwrap_or(middle)).filter(|load| !table.struck(*load))
}

/// Where, between two loads, a law reaches 95 % of its rate at its peak or, without one, at the
/// highest load it was fitted to. Up to its peak a law rises.
fn by_law(usl: &Usl, low: u32, high: u32) -> Option<u32> {
    let top = usl.peak().map_or_else(|| usl.rate(usl.measured_up_to), |peak| peak.rate);
    let reaches = |load: u32| usl.rate(f64::from(load)) >= PART * top;
    let (mut below, mut above) = (low, high);
    while above - below > 1 {
        let middle = below + (above - below) / 2;
        if reaches(middle) { above = middle } else { below = middle }
    }
    Some(above).filter(|load| *load < high)
}

/// The candidate, its neighbours and one load of the plateau, each as often as it still lacks,
/// in an order that only the seed knows.
fn confirmations(curve: &Curve, table: &Table, spec: &SearchSpec) -> Vec<u32> {
    let candidate = curve.crossing();
    let mut loads: Vec<u32> =
        CONFIRMED.iter().map(|factor| place(candidate * factor, curve, table, spec)).collect();
    let plateau = curve.top_points().iter().max_by_key(|point| point.runs);
    loads.extend(plateau.map(|point| point.load));
    // A peak may lie between two loads of the climb, and the highest rate with it.
    let peak = table.usl().and_then(|usl| usl.peak()).map(|peak| peak.in_flight);
    let inside = peak.filter(|peak| *peak < f64::from(curve.end()));
    loads.extend(inside.map(|peak| place(peak, curve, table, spec)));
    loads.sort_unstable();
    loads.dedup();
    let lacking = |load: &u32| spec.repeats.saturating_sub(table.valid_runs(*load)) as usize;
    let mut queue: Vec<u32> =
        loads.iter().flat_map(|load| std::iter::repeat_n(*load, lacking(load))).collect();
    let mut generator = Generator::new(spec.seed.0);
    for last in (1..queue.len()).rev() {
        queue.swap(last, (generator.unit() * (last + 1) as f64) as usize);
    }
    queue
}

/// A load near `load`: one already run if it is as good, and never where the server fails.
fn place(load: f64, curve: &Curve, table: &Table, spec: &SearchSpec) -> u32 {
    let away = |point: &&Point| (f64::from(point.load) / load).ln().abs();
    let nearest = curve.points().iter().min_by(|a, b| away(a).total_cmp(&away(b)));
    if let Some(nearest) = nearest.filter(|nearest| away(nearest) <= SAME.ln()) {
        return nearest.load;
    }
    let highest = table.fails_at().map_or(spec.max_load, |fails| fails.saturating_sub(1));
    (load.round() as u32).clamp(spec.start, highest.min(spec.max_load).max(spec.start))
}

/// The load whose next run does most to prove a narrower bracket; `None` if it is narrow enough,
/// or if no number of runs allowed would narrow it.
fn narrower(curve: &Curve, table: &Table, spec: &SearchSpec) -> Option<u32> {
    let (lower, upper) = proven(curve);
    let narrow = f64::from(upper) <= PROVEN_RATIO * f64::from(lower);
    if narrow || upper - lower <= 1 {
        return None;
    }
    let candidate = curve.crossing().clamp(f64::from(lower), f64::from(upper));
    let inside = |load: &u32| lower < *load && *load < upper && !table.struck(*load);
    let proofs = REACHES.iter().flat_map(|reach| {
        let above = place(candidate * reach, curve, table, spec);
        let below = place(candidate / reach, curve, table, spec);
        let above = Some(above).filter(inside).and_then(|load| {
            let gain = (f64::from(upper) / f64::from(load)).ln();
            Proof::of(load, Side::Above, gain, curve, table)
        });
        let below = Some(below).filter(inside).and_then(|load| {
            let gain = (f64::from(load) / f64::from(lower)).ln();
            Proof::of(load, Side::Below, gain, curve, table)
        });
        [above, below]
    });
    let best = proofs.flatten().max_by(|a, b| a.worth.total_cmp(&b.worth));
    best.map(|proof| proof.run)
}

/// Where a rate lies.
#[derive(Clone, Copy)]
enum Side {
    Above,
    Below,
}

/// A way to prove a narrower bracket.
struct Proof {
    /// What it narrows the bracket by, as a logarithm, for each run that it takes.
    worth: f64,
    /// The first of those runs.
    run: u32,
}

impl Proof {
    /// That the rate at `load` lies on `side` of the 95 %: by runs of itself and of what it is
    /// compared with. `None` if the runs allowed would not prove it.
    fn of(load: u32, side: Side, gain: f64, curve: &Curve, table: &Table) -> Option<Self> {
        let variance = table.run_variance();
        let above = curve.margin(f64::from(load));
        let (rivals, margin) = match side {
            Side::Above => (curve.rival(load), above),
            Side::Below => (curve.top_points(), -above),
        };
        let rivals = || rivals.iter().filter(|point| point.load != load);
        let own = curve.points().iter().find(|point| point.load == load);
        let own = own.map_or(0.0, |own| f64::from(own.runs));
        let theirs = f64::from(rivals().map(|point| point.runs).sum::<u32>());
        // The margin is itself uncertain; without the benefit of the doubt, a few unlucky runs
        // would end the search.
        let doubt = variance * (1.0 / own.max(f64::from(RUNS_MIN)) + 1.0 / theirs.max(1.0));
        let margin = margin + doubt.sqrt();
        if margin <= 0.0 {
            return None;
        }
        // One over the runs of each side, together, may be no more than this. With few runs of
        // the others only more of them can do; otherwise equal numbers are cheapest.
        let parts = (margin / Z_PROOF).powi(2) / variance;
        let theirs_wanted = theirs.max(2.0 / parts);
        let own_wanted = own.max(1.0 / (parts - 1.0 / theirs_wanted)).max(f64::from(RUNS_MIN));
        let spared = rivals().filter(|point| !table.struck(point.load));
        let spared = spared.min_by_key(|point| point.runs);
        let cost = (own_wanted - own) + (theirs_wanted - theirs);
        let rival = spared.filter(|rival| rival.runs < RUNS_MAX && theirs < own);
        let run = rival.map_or(load, |rival| rival.load);
        let possible =
            own_wanted <= f64::from(RUNS_MAX) && (run != load || own < f64::from(RUNS_MAX));
        possible.then(|| Self { worth: gain / cost.max(1.0), run })
    }
}
