//! Table 26: two configurations of a server, as an ablation compares them.

use common::phase::Phase;

use super::PaperRun;
use super::cell::{Cell, Value};
use super::table::{PaperTable, numbers};
use crate::compare::{
    ArmValues, Comparison, Conclusion, LevelComparison, Metric, MetricComparison,
};
use crate::plan::Arm;
use crate::report::model::{LevelReport, LevelState, Real};
use crate::report::plain::{CLIP, plain};
use crate::report::trust;
use crate::stats::{Summary, describe, ratio};

/// Phase, name in the plan, workload: what a level has in common in both arms.
type Key<'a> = (Phase, &'a str, &'a str);

/// A table for each run that is an ablation.
pub(super) fn tables(runs: &[PaperRun]) -> Result<Vec<PaperTable>, String> {
    let tables: Vec<PaperTable> = runs.iter().filter_map(of_run).collect();
    if tables.is_empty() {
        return Err(
            "a run whose campaign has an [ablation], of which both configurations ran; of \
                    two sets of runs use floodmark compare"
                .to_owned(),
        );
    }
    Ok(tables)
}

fn of_run(run: &PaperRun) -> Option<PaperTable> {
    let ablation = run.model.ablation.as_ref()?;
    let levels: Vec<&LevelReport> = run
        .model
        .levels
        .iter()
        .filter(|level| matches!(level.arm, Some(Arm::Base | Arm::New)))
        .filter(|level| level.phase != Phase::Warmup)
        .collect();
    let mut keys: Vec<(Key<'_>, u32)> = Vec::new();
    for level in &levels {
        if !keys.iter().any(|(other, _)| *other == key(level)) {
            keys.push((key(level), level.users_asked));
        }
    }
    if keys.is_empty() {
        return None;
    }
    let one_phase = keys.iter().all(|(key, _)| keys.first().is_some_and(|(k, _)| k.0 == key.0));
    let rows = keys.iter().map(|(key, users)| {
        let (phase, label, _) = key;
        let name = match one_phase && *label == users.to_string() {
            true => Value::Count((*users).into()),
            false => Value::Word(format!("{phase} {}", plain(label, CLIP))),
        };
        row(name, *key, &levels, ablation.comparison.as_ref())
    });
    let names = ablation.names.map(|name| plain(name, CLIP));
    let mut notes = vec![format!(
        "{} (new) against {} (base), {} starts of the server each; floodmark tests the difference \
         of the logarithms by Welch's t, p after Holm over the levels",
        names.new, names.base, ablation.restarts
    )];
    notes.extend(trust(ablation).err().map(|why| format!("not to be trusted: {why}")));
    Some(PaperTable {
        number: "26",
        title: format!(
            "ablation on {}: {} and {}",
            plain(&run.model.header.model, CLIP),
            names.new,
            names.base
        ),
        columns: vec![
            numbers("Conc."),
            numbers(format!("{} tok/s", names.new)),
            numbers(format!("{} tok/s", names.base)),
            numbers("Diff."),
            numbers(format!("{} CoV", names.new)),
            numbers(format!("{} CoV", names.base)),
        ],
        rows: rows.collect(),
        notes,
    })
}

fn key(level: &LevelReport) -> Key<'_> {
    (level.phase, &level.planned_label, &level.workload)
}

fn row(
    name: Value,
    wanted: Key<'_>,
    levels: &[&LevelReport],
    comparison: Option<&Comparison>,
) -> Vec<Cell> {
    let paper = |arm: Arm| -> Option<Summary> {
        let levels = levels.iter().filter(|l| l.arm == Some(arm) && key(l) == wanted);
        let finished = levels.filter(|level| level.state == LevelState::Complete);
        let values: Vec<f64> =
            finished.filter_map(|level| level.paper.total_tok_s.map(Real::value)).collect();
        describe(&values)
    };
    let (new, base) = (paper(Arm::New), paper(Arm::Base));
    let difference = new.zip(base).and_then(|(new, base)| ratio(new.mean - base.mean, base.mean));
    let level = comparison.and_then(|comparison| find(comparison, wanted));
    let metric = level.and_then(total);
    let reason = reason(level, metric);
    let arm = |of: fn(&MetricComparison) -> &ArmValues| metric.and_then(|m| of(m).summary);
    let (own_new, own_base) = (arm(|m| &m.arms.new), arm(|m| &m.arms.base));
    let mean = |summary: Option<Summary>| match summary {
        Some(Summary { mean, ci95_half_width: half, .. }) => Value::Mean { mean, half },
        None => Value::Missing,
    };
    let cov = |summary: Option<Summary>| {
        let share = summary.and_then(|summary| summary.cov);
        Value::of(share, |share| Value::Percent { share, decimals: 2 })
    };
    let change = |share: Option<f64>, test: String| match share {
        Some(share) => Value::Change { share, test },
        None => Value::Missing,
    };
    let test = metric.map_or_else(String::new, test_words);
    vec![
        Cell::plain(name),
        Cell::both(mean(new), mean(own_new), &reason),
        Cell::both(mean(base), mean(own_base), &reason),
        Cell::both(
            change(difference, String::new()),
            change(metric.and_then(|metric| metric.difference), test),
            &reason,
        ),
        Cell::both(cov(new), cov(own_new), &reason),
        Cell::both(cov(base), cov(own_base), &reason),
    ]
}

fn find<'c>(
    comparison: &'c Comparison,
    (phase, label, workload): Key<'_>,
) -> Option<&'c LevelComparison> {
    comparison.levels.iter().find(|level| {
        let mut keys = level.keys.iter();
        keys.any(|k| k.phase == phase && k.label == label && k.workload.as_str() == workload)
    })
}

fn total(level: &LevelComparison) -> Option<&MetricComparison> {
    level.metrics.iter().find(|metric| metric.metric == Metric::TotalTokS)
}

fn reason(level: Option<&LevelComparison>, metric: Option<&MetricComparison>) -> String {
    let (Some(level), Some(metric)) = (level, metric) else {
        return "floodmark did not compare this level".to_owned();
    };
    if let Some(obstacle) = &level.obstacle {
        let code = obstacle.code.map_or_else(String::new, |code| format!("{}: ", code.name()));
        return format!("not comparable: {code}{}", plain(&obstacle.evidence, CLIP));
    }
    if metric.arms.new.values.is_empty() || metric.arms.base.values.is_empty() {
        return "no start stands".to_owned();
    }
    match level.keys.len() {
        0 | 1 => "of the starts that stand, by floodmark's own rates; the difference is tested"
            .to_owned(),
        labels => format!("one load under {labels} labels, taken together: {}", level.title()),
    }
}

/// The chance, and what may be said.
fn test_words(metric: &MetricComparison) -> String {
    let word = match metric.conclusion {
        Conclusion::Worse => "worse",
        Conclusion::Better => "better",
        Conclusion::Equivalent => "equivalent",
        Conclusion::NoDifferenceShown => "not shown",
        Conclusion::NotComparable(_) => "not comparable",
        Conclusion::OneRun { .. } => "one run",
    };
    match metric.test {
        Some(test) if test.p_holm < 0.001 => format!("{word}, p <.001"),
        Some(test) => format!("{word}, p {:.3}", test.p_holm),
        None => word.to_owned(),
    }
}
