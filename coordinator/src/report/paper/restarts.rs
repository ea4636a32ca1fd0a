//! Table 24: what restarts of a server say of each other.

use common::phase::Phase;

use super::cell::{Cell, Value};
use super::study::{Curve, Point, Seen, Study, Subject};
use super::table::{PaperTable, numbers, words};
use crate::classify::{Code, REPEATS_COV_MAX};
use crate::report::model::{LevelReport, Real};
use crate::report::plain::{CLIP, plain};
use crate::report::repeats::{Spread, repeats};
use crate::stats::{Summary, describe};

/// A level over its restarts.
pub(super) struct RestartCommands {
    pub(super) users: u32,
    /// What was in flight on average, where the users were not.
    pub(super) in_flight: Option<f64>,
    /// By the paper's count, of all that were finished.
    pub(super) paper: Summary,
    /// By floodmark's own, of those that stand.
    pub(super) own: Option<Spread>,
    /// What left restarts out.
    left_out: Vec<String>,
}

/// Table 24.
pub(super) fn table(study: &Study<'_>) -> Result<PaperTable, String> {
    let mut rows = Vec::new();
    let mut notes = vec![
        "the level with the highest mean is chosen afterwards, which flatters it; compare restarts \
         at a number of users that is fixed beforehand"
            .to_owned(),
    ];
    for subject in &study.subjects {
        let differs = subject.differs();
        let series = series(subject);
        let several = series.len() > 1;
        for (curves, levels) in &series {
            let Some(work) = curves.first().map(|curve| &curve.work) else { continue };
            let shape = plain(&work.shape(), CLIP);
            let name = match several {
                true => format!("{} ({})", subject.name, plain(&work.title(), CLIP)),
                false => subject.name.clone(),
            };
            notes.push(format!("{name}: input/output tokens {shape}"));
            let Some(row) = row(&name, levels, differs.as_deref(), &mut notes) else {
                continue;
            };
            rows.push(row);
        }
    }
    if rows.is_empty() {
        return Err("two directories or more of one model and workload, or a campaign with \
                    [repeats]"
            .to_owned());
    }
    Ok(PaperTable {
        number: "24",
        title: "reproducibility over restarts".to_owned(),
        columns: vec![
            words("Model"),
            numbers("n"),
            numbers("Peak Conc."),
            numbers("Mean tok/s"),
            numbers("CI95"),
            numbers("CoV"),
        ],
        rows,
        notes,
    })
}

/// The curves of SCALING and SATURATION with one kind of work, and their levels that were run more
/// than once.
type Series<'s, 'a> = (Vec<&'s Curve<'a>>, Vec<RestartCommands>);

fn series<'s, 'a>(subject: &'s Subject<'a>) -> Vec<Series<'s, 'a>> {
    let mut series: Vec<Vec<&Curve<'a>>> = Vec::new();
    let rising = |curve: &&Curve<'a>| matches!(curve.phase, Phase::Scaling | Phase::Saturation);
    for curve in subject.curves.iter().filter(rising) {
        let same = |curves: &&mut Vec<&Curve<'a>>| curves.iter().any(|c| c.work == curve.work);
        match series.iter_mut().find(same) {
            Some(curves) => curves.push(curve),
            None => series.push(vec![curve]),
        }
    }
    let levels = |curves: Vec<&'s Curve<'a>>| {
        let points = curves.iter().flat_map(|curve| &curve.points);
        let levels: Vec<RestartCommands> = points.filter_map(restarts).collect();
        (!levels.is_empty()).then_some((curves, levels))
    };
    series.into_iter().filter_map(levels).collect()
}

/// A level over its restarts; `None` if it was not finished twice.
pub(super) fn restarts(point: &Point<'_>) -> Option<RestartCommands> {
    let values: Vec<f64> = point.complete().filter_map(|seen| seen.paper_total()).collect();
    let paper = describe(&values).filter(|summary| summary.n > 1)?;
    let in_flight: Vec<f64> = point.complete().filter_map(|seen| seen.not_reached()).collect();
    let own = repeats(&renumbered(point)).into_iter().next();
    let left_out = own.iter().flat_map(|level| &level.left_out).map(|out| out.because.clone());
    Some(RestartCommands {
        users: point.users,
        in_flight: describe(&in_flight).map(|summary| summary.mean),
        paper,
        left_out: left_out.collect(),
        own: own.and_then(|level| level.total_tok_s),
    })
}

/// The level as if all its runs were repeats of one: each start of the server has a number.
fn renumbered(point: &Point<'_>) -> Vec<LevelReport> {
    let mut starts: Vec<(*const super::PaperRun, u32)> = Vec::new();
    let mut levels = Vec::new();
    for Seen { run, level } in point.seen.iter().copied() {
        let start = (std::ptr::from_ref(run), level.repeat);
        let place = starts.iter().position(|other| *other == start).unwrap_or_else(|| {
            starts.push(start);
            starts.len() - 1
        });
        let repeat = u32::try_from(place).unwrap_or(u32::MAX);
        let planned_label = point.users.to_string();
        levels.push(LevelReport { repeat, planned_label, ..level.clone() });
    }
    levels
}

/// The level with the highest mean, by either count.
fn row(
    name: &str,
    levels: &[RestartCommands],
    differs: Option<&str>,
    notes: &mut Vec<String>,
) -> Option<Vec<Cell>> {
    let paper = levels.iter().reduce(|a, b| if b.paper.mean > a.paper.mean { b } else { a })?;
    let own = levels
        .iter()
        .filter_map(|level| Some((level, level.own.as_ref()?)))
        .reduce(|a, b| if b.1.mean > a.1.mean { b } else { a });
    let own = own.filter(|_| differs.is_none());
    let cov = own.and_then(|(_, spread)| spread.cov).map_or(0.0, Real::value);
    if cov > REPEATS_COV_MAX.value {
        notes.push(format!("{name}: a CoV above 5 % calls for ten restarts"));
    }
    if let Some(mean) = paper.in_flight {
        let users = paper.users;
        notes.push(format!(
            "{name}: of {users} users {mean:.0} were in flight ({})",
            Code::ConcurrencyNotReached.name()
        ));
    }
    let reason = match (differs, own) {
        (Some(differs), _) => differs.to_owned(),
        (None, None) => format!("no restart stands: {}", because(paper)),
        (None, Some((level, _))) if level.users != paper.users => {
            format!("restarts of {} users do not stand: {}", paper.users, because(paper))
        }
        (None, Some((level, _))) if !level.left_out.is_empty() => {
            format!("without restarts that do not stand: {}", because(level))
        }
        (None, Some(_)) => "the mean of floodmark's own rates".to_owned(),
    };
    let both = |paper: Value, own: Option<Value>| {
        Cell::both(paper, own.unwrap_or(Value::Missing), reason.clone())
    };
    let count = |n: usize| Value::Count(n as u64);
    let percent = |share: f64| Value::Percent { share, decimals: 1 };
    let of = |real: Option<Real>, kind: fn(f64) -> Value| Value::of(real.map(Real::value), kind);
    let summary = &paper.paper;
    Some(vec![
        Cell::word(name),
        both(count(summary.n), own.map(|(_, spread)| count(spread.values.len()))),
        both(
            Value::Count(paper.users.into()),
            own.map(|(level, _)| Value::Count(level.users.into())),
        ),
        both(Value::Rate(summary.mean), own.map(|(_, spread)| Value::Rate(spread.mean.value()))),
        both(
            Value::of(summary.ci95_half_width, Value::Half),
            own.map(|(_, spread)| of(spread.ci95_half_width, Value::Half)),
        ),
        both(Value::of(summary.cov, percent), own.map(|(_, spread)| of(spread.cov, percent))),
    ])
}

/// Why restarts of a level were left out, each reason once.
fn because(level: &RestartCommands) -> String {
    let mut reasons: Vec<String> =
        level.left_out.iter().map(|reason| plain(reason, CLIP)).collect();
    reasons.sort();
    reasons.dedup();
    if reasons.is_empty() {
        "a higher mean by floodmark's own rates".into()
    } else {
        reasons.join(", ")
    }
}
