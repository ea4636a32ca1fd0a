//! The climb: twice the load while levels are valid and the rate rises; and, where the server
//! fails above some load, the way back to that load.

use super::table::{Cell, Point, Table};
use super::{Answer, Purpose, SearchSpec, objective};

/// An elasticity below this is no rise (the method, sections 3.11 and 3.13).
const RISE_MIN: f64 = 0.10;
/// A rate below this part of the best one is overload.
const OVERLOAD: f64 = 0.97;
/// The part of the highest load allowed from which on saturation counts as not reached.
pub(super) const EDGE: f64 = 0.8;
/// Brackets are halved until the ratio of their ends is no more.
pub(super) const BRACKET_RATIO: f64 = 1.15;
/// Half a 95 % interval in standard errors.
const Z_95: f64 = 1.96;

/// What a climb comes to.
pub(super) enum Climbed {
    /// A level is missing.
    Run(u32, Purpose),
    /// The rate has stopped to rise.
    Plateau,
    /// The server fails at the highest load.
    Failing,
    /// No further, though saturation may lie below; this answer if it does not.
    Stopped(Answer),
    /// There is nothing to search for.
    Ended(Answer),
}

/// How much the rate rises with the load: `ln(X/X′) / ln(N/N′)`, with its 95 % interval from the
/// intervals of both rates (delta method).
struct Elasticity<'a> {
    from: &'a Point,
    to: &'a Point,
    value: f64,
    half_width: f64,
}

impl<'a> Elasticity<'a> {
    fn between(from: &'a Point, to: &'a Point) -> Self {
        let span = (f64::from(to.load) / f64::from(from.load)).ln();
        Self {
            from,
            to,
            value: (to.ln_rate - from.ln_rate) / span,
            half_width: Z_95 * (from.variance + to.variance).sqrt() / span,
        }
    }

    fn no_rise(&self) -> bool {
        self.value + self.half_width < RISE_MIN
    }

    /// The load whose repeat would help to tell a rise from none, if it is open which it is.
    fn unsettled(&self, table: &Table, spec: &SearchSpec) -> Option<u32> {
        let open = (self.value - RISE_MIN).abs() <= self.half_width;
        vaguer(self.from, self.to, table, spec).filter(|_| open)
    }
}

/// The next step of the climb.
pub(super) fn next(table: &Table, spec: &SearchSpec) -> Climbed {
    let Some((load, cell)) = table.cells().next_back() else {
        return Climbed::Run(spec.start, Purpose::Climb);
    };
    if cell.valid() == 0 {
        return after_invalid(table, spec, load, cell);
    }
    if cell.fails() {
        return Climbed::Failing;
    }
    if let Some(missed) = objective::missed_twice(table) {
        let holds = objective::capacity(table).map(|capacity| capacity.load);
        return Climbed::Stopped(Answer::ObjectiveMissed { holds, missed });
    }
    let points = table.points();
    let Some((last, before)) = points.split_last() else {
        return Climbed::Run(above(load, spec), Purpose::Climb);
    };
    if overloaded(last, before) {
        return Climbed::Plateau;
    }
    let rises = rises(last, before);
    if plateau(&rises) {
        return Climbed::Plateau;
    }
    if let Some(load) = rises.iter().take(2).find_map(|rise| rise.unsettled(table, spec)) {
        return Climbed::Run(load, Purpose::Settle);
    }
    if load < spec.max_load {
        return Climbed::Run(above(load, spec), Purpose::Climb);
    }
    match rises.first() {
        Some(rise) if rise.value < RISE_MIN => Climbed::Plateau,
        Some(_) | None => at_the_end(table, spec, last, before),
    }
}

/// At the highest load allowed, after a last step with a rise: the rate may have stopped to rise
/// within that step, so a level just below tells.
fn at_the_end(table: &Table, spec: &SearchSpec, last: &Point, before: &[Point]) -> Climbed {
    let unreached = Climbed::Stopped(Answer::NotReached { up_to: last.load });
    let edge = (EDGE * f64::from(last.load)).round() as u32;
    let known = before.last().filter(|point| point.load >= edge);
    match known {
        None if edge < spec.start || edge >= last.load || table.struck(edge) => unreached,
        None => Climbed::Run(edge, Purpose::Settle),
        Some(near) => {
            // Halfway between a rate that rises with the load and one that does not.
            let limit = 0.5 * (f64::from(near.load) / f64::from(last.load)).ln();
            let half_width = Z_95 * (near.variance + last.variance).sqrt();
            let open = (near.ln_rate - last.ln_rate - limit).abs() <= half_width;
            match vaguer(near, last, table, spec).filter(|_| open) {
                Some(load) => Climbed::Run(load, Purpose::Settle),
                None => unreached,
            }
        }
    }
}

/// The elasticities of the last doubling, of the last two taken together, and so on.
fn rises<'a>(last: &'a Point, before: &'a [Point]) -> Vec<Elasticity<'a>> {
    let doublings = before.iter().rev().filter(|from| from.load <= last.load / 2);
    doublings.map(|from| Elasticity::between(from, last)).collect()
}

/// Two successive doublings without a rise: each by itself, or, where levels scatter too much for
/// that, both together or more. The last one must not rise for certain.
fn plateau(rises: &[Elasticity]) -> bool {
    let Some((last, longer)) = rises.split_first() else { return false };
    let rising = last.value - last.half_width > RISE_MIN;
    !rising && longer.iter().any(Elasticity::no_rise)
}

/// The load to try between the highest that holds and the lowest that fails; the answer once they
/// are close.
pub(super) fn boundary(table: &Table) -> Result<u32, Answer> {
    let Some(fails) = table.fails_at() else {
        return Err(Answer::NotReached { up_to: highest_valid(table).unwrap_or(0) });
    };
    let holds = table.points().last().map(|point| point.load);
    let middle = holds.and_then(|holds| between(holds, fails, BRACKET_RATIO));
    match middle {
        Some(load) if !table.struck(load) => Ok(load),
        Some(_) | None => Err(Answer::Failing { holds, fails }),
    }
}

/// The answer where no level is left on which to look for a knee.
pub(super) fn without_a_curve(table: &Table, spec: &SearchSpec) -> Answer {
    match (table.fails_at(), highest_valid(table)) {
        (Some(fails), _) => {
            let holds = table.points().last().map(|point| point.load);
            Answer::Failing { holds, fails }
        }
        (None, Some(up_to)) => Answer::NotReached { up_to },
        (None, None) => Answer::Struck { load: spec.start },
    }
}

/// The geometric middle of two loads; `None` if they are within `ratio` or have none between them.
pub(super) fn between(low: u32, high: u32, ratio: f64) -> Option<u32> {
    if f64::from(high) <= ratio * f64::from(low) {
        return None;
    }
    let middle = (f64::from(low) * f64::from(high)).sqrt().round() as u32;
    (low < middle && middle < high).then_some(middle)
}

/// The load above `load` in a climb.
pub(super) fn above(load: u32, spec: &SearchSpec) -> u32 {
    load.saturating_mul(2).min(spec.max_load)
}

/// The step after the highest load had no valid level yet.
pub(super) fn after_invalid(table: &Table, spec: &SearchSpec, load: u32, cell: &Cell) -> Climbed {
    if !cell.struck() {
        return Climbed::Run(load, Purpose::Retry);
    }
    if cell.client_limited >= 2 {
        return Climbed::Ended(Answer::ClientLimited { above: highest_valid(table) });
    }
    let before = table.cells().rev().nth(1);
    let twice = before.is_some_and(|(_, cell)| cell.struck());
    if twice || load >= spec.max_load {
        return Climbed::Stopped(Answer::Struck { load });
    }
    Climbed::Run(above(load, spec), Purpose::Climb)
}

fn highest_valid(table: &Table) -> Option<u32> {
    table.cells().rfind(|(_, cell)| cell.valid() > 0).map(|(load, _)| load)
}

/// The load of two with fewer runs, if it may have more.
fn vaguer(from: &Point, to: &Point, table: &Table, spec: &SearchSpec) -> Option<u32> {
    let vaguer = if from.runs < to.runs { from } else { to };
    let open = table.valid_runs(vaguer.load) < spec.repeats && !table.struck(vaguer.load);
    open.then_some(vaguer.load)
}

fn overloaded(last: &Point, before: &[Point]) -> bool {
    before.iter().any(|best| {
        let se = (best.variance + last.variance).sqrt();
        last.ln_rate - best.ln_rate + Z_95 * se < OVERLOAD.ln()
    })
}
