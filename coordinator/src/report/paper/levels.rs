//! Tables 14 to 17, 22 and 23: level by level.

use common::phase::Phase;

use super::cell::{Cell, Value};
use super::level;
use super::study::{Curve, Kind, Seen, Study, Subject};
use super::table::{PaperTable, numbers, words};
use crate::report::model::Real;
use crate::report::plain::{CLIP, plain};

/// The paper's models, and the table that each has of its scaling.
const SCALING_TABLES: [(&str, &str); 4] =
    [("qwen3-vl", "14"), ("llama-3.1-405b", "15"), ("deepseek", "16"), ("kimi", "17")];
/// That of any other model.
const SCALING_TABLE: &str = "14-17";
/// Models side by side in a table of the SATURATION phase, as in the paper.
const SIDE_BY_SIDE: usize = 2;

/// Tables 14 to 17: one for each model and kind of work.
pub(super) fn scaling(study: &Study<'_>) -> Result<Vec<PaperTable>, String> {
    let mut tables = Vec::new();
    for subject in &study.subjects {
        let scaling = |curve: &&Curve<'_>| curve.phase == Phase::Scaling && curve.is_finished();
        let curves = subject.curves.iter().filter(scaling);
        tables.extend(curves.map(|curve| scaling_table(subject, curve)));
    }
    if tables.is_empty() { Err("a finished SCALING level".to_owned()) } else { Ok(tables) }
}

fn scaling_table(subject: &Subject<'_>, curve: &Curve<'_>) -> PaperTable {
    let model = subject.model.to_lowercase();
    let known = SCALING_TABLES.iter().find(|(name, _)| model.contains(name));
    let row = |(_, seen): (u32, Seen<'_>)| {
        vec![
            level::users(&seen),
            level::total(&seen),
            level::output(&seen),
            level::p99(&seen),
            level::status(&seen),
        ]
    };
    let mut notes: Vec<String> = baseline_note(subject, curve).into_iter().collect();
    notes.extend(curve.repeats_note());
    PaperTable {
        number: known.map_or(SCALING_TABLE, |(_, number)| number),
        title: format!(
            "{} concurrency scaling, {}",
            subject.name,
            plain(&curve.work.shape(), CLIP)
        ),
        columns: vec![
            numbers("Conc."),
            numbers("Total tok/s"),
            numbers("Output tok/s"),
            numbers("p99 Latency"),
            words("Status"),
        ],
        rows: curve.shown().map(row).collect(),
        notes,
    }
}

/// What DEGRADED is measured against, and whether that did the same work.
fn baseline_note(subject: &Subject<'_>, curve: &Curve<'_>) -> Option<String> {
    let run = curve.shown().next()?.1.run;
    let p99_ms = run.model.baseline_p99_ms.map(Real::value);
    let Some(p99) = p99_ms.map(|ms| Value::Seconds(ms / 1e3).shown()) else {
        return Some("without a BASELINE that was finished nothing is DEGRADED".to_owned());
    };
    let works: Vec<String> = subject
        .curves
        .iter()
        .filter(|other| other.phase == Phase::Baseline)
        .filter(|other| other.points.iter().flat_map(|p| &p.seen).any(|s| same_run(s, run)))
        .map(|other| plain(&other.work.shape(), CLIP))
        .collect();
    let own = plain(&curve.work.shape(), CLIP);
    let work = match works.last() {
        Some(work) if *work != own => {
            format!("; it asked for {work} and these levels for {own}, so it says little of them")
        }
        Some(_) | None => String::new(),
    };
    Some(format!("DEGRADED is a p99 above twice that of the BASELINE, {p99}{work}"))
}

fn same_run(seen: &Seen<'_>, run: &super::PaperRun) -> bool {
    std::ptr::eq(seen.run, run)
}

/// Table 22 or 23: the SATURATION phase, models side by side.
pub(super) fn saturation(study: &Study<'_>, kind: Kind) -> Result<Vec<PaperTable>, String> {
    let mut curves: Vec<(&Subject<'_>, &Curve<'_>)> = Vec::new();
    for subject in &study.subjects {
        let finished =
            subject.of_phase(Phase::Saturation, kind).filter(|curve| curve.is_finished());
        curves.extend(finished.map(|curve| (subject, curve)));
    }
    let number = match kind {
        Kind::Text => "22",
        Kind::Vision => "23",
    };
    if curves.is_empty() {
        let images = match kind {
            Kind::Text => "no images",
            Kind::Vision => "images",
        };
        return Err(format!("a finished SATURATION level whose requests carry {images}"));
    }
    let parts = curves.len().div_ceil(SIDE_BY_SIDE);
    let part = |(place, curves): (usize, &[(&Subject<'_>, &Curve<'_>)])| {
        let part = match parts {
            1 => String::new(),
            _ => format!(", part {} of {parts}", place + 1),
        };
        let title = format!("saturation phase, {}{part}", kind.name());
        saturation_table(number, title, curves)
    };
    Ok(curves.chunks(SIDE_BY_SIDE).enumerate().map(part).collect())
}

fn saturation_table(
    number: &'static str,
    title: String,
    curves: &[(&Subject<'_>, &Curve<'_>)],
) -> PaperTable {
    let mut columns = vec![numbers("Conc.")];
    let mut notes = Vec::new();
    let mut users: Vec<u32> = Vec::new();
    for (subject, curve) in curves {
        let alike = curves.iter().filter(|(other, _)| other.name == subject.name).count();
        let shape = plain(&curve.work.shape(), CLIP);
        let name = match alike {
            1 => subject.name.clone(),
            _ => format!("{} ({})", subject.name, plain(&curve.work.title(), CLIP)),
        };
        columns.push(numbers(format!("{name} tok/s")));
        columns.push(numbers(format!("{name} p99")));
        notes.push(format!("{name}: input/output tokens {shape}"));
        notes.extend(curve.repeats_note().map(|note| format!("{name}: {note}")));
        users.extend(curve.points.iter().map(|point| point.users));
    }
    users.sort_unstable();
    users.dedup();
    let row = |users: &u32| {
        let mut row = vec![Cell::plain(Value::Count((*users).into()))];
        for (_, curve) in curves {
            let seen = curve.shown().find(|(other, _)| other == users).map(|(_, seen)| seen);
            row.extend(match seen {
                Some(seen) => [standing_rate(&seen), level::p99(&seen)],
                None => [Cell::plain(Value::Missing), Cell::plain(Value::Missing)],
            });
        }
        row
    };
    let rows = users.iter().map(row).collect();
    PaperTable { number, title, columns, rows, notes }
}

/// The rate of a level, and by floodmark's method that it is none where a verdict strikes it.
fn standing_rate(seen: &Seen<'_>) -> Cell {
    let cell = level::total(seen);
    if seen.is_complete() && !seen.struck_by().is_empty() {
        let struck = Value::Word("struck".to_owned());
        return Cell::both(cell.paper, struck, level::struck_reason(seen));
    }
    cell
}
