//! The largest load at which an objective holds: twice the load while it is certified, halved
//! brackets, and repeats at the answer. Users and request rates are searched alike.

use super::climb::{Climbed, above, after_invalid, between};
use super::table::{Cell, Table};
use super::{Answer, Capacity, Purpose, SearchSpec};

/// Runs at the answer (the method, section 3.13).
const REPEATS: u32 = 5;
/// Brackets are halved until the ratio of their ends is no more. Certification leaves less to
/// chance than a ratio of rates, so it can be finer than for saturation.
const BRACKET_RATIO: f64 = 1.05;

/// What the runs of a load say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Yes,
    No,
    /// Another run is needed.
    Open,
}

impl Holds {
    /// One run that meets the objective is enough to go on with, two that miss it end the matter;
    /// what remains open after `repeats` runs goes by the majority, and what is not certified
    /// does not hold.
    fn of(cell: &Cell, repeats: u32) -> Self {
        // A run without a word on the objective certifies nothing.
        let told = cell.valid();
        if cell.met > 0 && cell.missed == 0 && 2 * cell.met >= told {
            Self::Yes
        } else if cell.missed >= 2 && cell.met <= cell.missed {
            Self::No
        } else if told < repeats && !cell.struck() {
            Self::Open
        } else if 2 * cell.met > told {
            Self::Yes
        } else {
            Self::No
        }
    }
}

/// The next level, or the answer.
pub(super) fn next(table: &Table, spec: &SearchSpec) -> Result<(u32, Purpose), Answer> {
    let repeats = spec.repeats.max(REPEATS);
    let Some((load, cell)) = table.cells().next_back() else {
        return Ok((spec.start, Purpose::Climb));
    };
    let known = |cell: &Cell| cell.valid() > 0;
    let holds = |cell: &Cell| Holds::of(cell, repeats);
    let open = table.cells().find(|(_, cell)| known(cell) && holds(cell) == Holds::Open);
    if let Some((load, _)) = open {
        return Ok((load, Purpose::Settle));
    }
    let fails = table.cells().find(|(_, cell)| known(cell) && holds(cell) == Holds::No);
    let best = best(table, repeats);
    let Some((missed, _)) = fails else {
        if !known(cell) {
            return match after_invalid(table, spec, load, cell) {
                Climbed::Run(load, purpose) => Ok((load, purpose)),
                Climbed::Stopped(answer) | Climbed::Ended(answer) => Err(answer),
                Climbed::Plateau | Climbed::Failing => Err(Answer::Struck { load }),
            };
        }
        return if load < spec.max_load {
            Ok((above(load, spec), Purpose::Climb))
        } else {
            confirm(table, load, repeats).unwrap_or(Err(Answer::NotReached { up_to: load }))
        };
    };
    let Some(best) = best else {
        return Err(Answer::ObjectiveMissed { holds: None, missed });
    };
    if let Some(middle) = between(best, missed, BRACKET_RATIO).filter(|load| !table.struck(*load)) {
        return Ok((middle, Purpose::Bisect));
    }
    let answer = Answer::Capacity(Capacity { load: best, missed: Some(missed) });
    confirm(table, best, repeats).unwrap_or(Err(answer))
}

/// The largest load at which the objective is certified, below the smallest at which it is not.
pub(super) fn capacity(table: &Table) -> Option<Capacity> {
    let told = |cell: &Cell| cell.met + cell.missed > 0;
    let missed = table.cells().find(|(_, cell)| told(cell) && Holds::of(cell, 0) == Holds::No);
    let missed = missed.map(|(load, _)| load);
    best(table, 0).map(|load| Capacity { load, missed })
}

/// The smaller of the two highest loads if both miss the objective, or the highest if it missed it
/// twice.
pub(super) fn missed_twice(table: &Table) -> Option<u32> {
    let mut from_above = table.cells().rev().filter(|(_, cell)| cell.valid() > 0);
    let (load, cell) = from_above.next()?;
    let before = from_above.next();
    if cell.missed >= 2 && cell.met == 0 {
        return Some(load);
    }
    let (before, earlier) = before?;
    (cell.missed > cell.met && earlier.missed > earlier.met).then_some(before)
}

/// Another run at the answer; `None` if there are enough.
fn confirm<T>(table: &Table, load: u32, repeats: u32) -> Option<Result<(u32, Purpose), T>> {
    (table.valid_runs(load) < repeats && !table.struck(load))
        .then_some(Ok((load, Purpose::Confirm)))
}

fn best(table: &Table, repeats: u32) -> Option<u32> {
    table
        .cells()
        .filter(|(_, cell)| cell.valid() > 0)
        .take_while(|(_, cell)| Holds::of(cell, repeats) != Holds::No)
        .filter(|(_, cell)| Holds::of(cell, repeats) == Holds::Yes)
        .last()
        .map(|(load, _)| load)
}
