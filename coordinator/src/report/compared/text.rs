//! The report of a comparison for a terminal: at most 100 columns, no colour.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{Finding, chance, change, limit, percent, sentence};
use crate::compare::{
    ALPHA, ArmValues, Comparison, Conclusion, LeftOut, Metric, MetricComparison, Obstacle, Unit,
};
use crate::report::plain::{CLIP, plain, wrap};
use crate::report::text::short;

const WIDTH: usize = 100;

/// Runs of a side that are listed by name.
const RUNS_SHOWN: usize = 8;

/// Numbers of repeats for which the smallest p by ranks is shown.
const REACHES_SHOWN: usize = 4;

/// Repeats that were left out and are listed.
const LEFT_OUT_SHOWN: usize = 12;

/// The report for people: the answer first.
pub fn comparison_text(comparison: &Comparison) -> String {
    let mut out = wrap("", &plain(&sentence(comparison), 4 * CLIP), WIDTH);
    for section in [header(comparison), tables(comparison), findings(comparison)] {
        if !section.is_empty() {
            out.push('\n');
            out.push_str(&section);
        }
    }
    out
}

fn header(comparison: &Comparison) -> String {
    let runs = |name: &str, runs: &[String]| {
        let shown: Vec<String> = runs.iter().take(RUNS_SHOWN).map(|run| plain(run, CLIP)).collect();
        let mut list = shown.join(", ");
        if let Some(more) = runs.len().checked_sub(RUNS_SHOWN).filter(|more| *more > 0) {
            let _written = write!(list, " and {more} more");
        }
        let word = if runs.len() == 1 { "run" } else { "runs" };
        let name = plain(name, CLIP);
        if runs.len() == 1 && name.ends_with(&list) {
            format!("{name} (1 run)")
        } else {
            format!("{name} ({} {word}: {list})", runs.len())
        }
    };
    let how = format!(
        "by Welch's t; false alarms {} % over all levels of a metric (Holm); within ±{} % \
         is equivalent",
        limit(ALPHA),
        limit(comparison.options.margin)
    );
    let mut out = String::new();
    for (name, value) in [
        ("BASE      ", runs(&comparison.names.base, &comparison.runs.base)),
        ("NEW       ", runs(&comparison.names.new, &comparison.runs.new)),
        ("compared  ", how),
    ] {
        out.push_str(&wrap(name, &value, WIDTH));
    }
    out
}

/// The columns: width, and two lines of heading.
const COLUMNS: [(usize, &str, &str); 12] = [
    (18, "", ""),
    (6, "BASE", "mean"),
    (4, "CoV", "%"),
    (6, "NEW", "mean"),
    (4, "CoV", "%"),
    (5, "", "n"),
    (6, "diff.", "%"),
    (13, "95 %", "interval"),
    (5, "shows", "from"),
    (5, "p", "Holm"),
    (5, "p", "ranks"),
    (10, "", ""),
];

fn tables(comparison: &Comparison) -> String {
    let mut out = String::new();
    for metric in &comparison.options.deciding {
        let rows = comparison
            .deciding()
            .filter(|(level, row)| row.metric == *metric && level.obstacle.is_none());
        let rows: Vec<Finding<'_>> = rows.collect();
        if rows.is_empty() {
            continue;
        }
        if !out.is_empty() {
            out.push('\n');
        }
        match nowhere(&rows) {
            Some(why) => {
                let text = format!("{}: at no level {why}", metric.title());
                out.push_str(&wrap("", &text, WIDTH));
            }
            None => {
                out.push_str(&heading(*metric));
                out.extend(rows.iter().map(row_of));
            }
        }
    }
    if comparison.deciding().any(|(_, metric)| metric.test.is_some()) {
        out.push_str(&legend(comparison));
    }
    out
}

/// Why no row has anything to show, where that is the same of all of several.
fn nowhere(rows: &[Finding<'_>]) -> Option<String> {
    let why = |(_, metric): &Finding<'_>| match &metric.conclusion {
        Conclusion::NotComparable(obstacle) => Some(reason(obstacle)),
        Conclusion::Worse
        | Conclusion::Better
        | Conclusion::Equivalent
        | Conclusion::NoDifferenceShown
        | Conclusion::OneRun { .. } => None,
    };
    let first = why(rows.first()?)?;
    (rows.len() > 1 && rows.iter().all(|row| why(row).as_ref() == Some(&first))).then_some(first)
}

fn legend(comparison: &Comparison) -> String {
    let shows = "the smallest true difference that so many runs of this spread would show in 80 % \
                 of comparisons";
    let reach = |(_, metric): Finding<'_>| {
        let least = chance(metric.test?.mann_whitney_least_p);
        let (base, new) = (metric.arms.base.values.len(), metric.arms.new.values.len());
        Some(format!("{least} at {base}/{new}"))
    };
    let reach: BTreeSet<String> = comparison.deciding().filter_map(reach).collect();
    let reach: Vec<String> = reach.into_iter().take(REACHES_SHOWN).collect();
    let ranks = format!("Mann-Whitney, a second opinion; it cannot be below {}", reach.join(", "));
    wrap("shows from: ", shows, WIDTH) + &wrap("p ranks: ", &ranks, WIDTH)
}

fn heading(metric: Metric) -> String {
    let way = if metric.higher_is_better() { "more is better" } else { "less is better" };
    let unit = match metric {
        Metric::TtftP50 | Metric::TtftP99 | Metric::E2eP50 | Metric::E2eP99 | Metric::TpotP50 => {
            " ms"
        }
        Metric::Success => " %",
        Metric::TotalTokS | Metric::OutputTokS | Metric::RequestsPerS => "",
    };
    let mut first = COLUMNS.map(|(_, first, _)| first.to_owned());
    let mut second = COLUMNS.map(|(_, _, second)| second.to_owned());
    if let Some(cell) = first.first_mut() {
        *cell = format!("{}{unit}", metric.title());
    }
    if let Some(cell) = second.first_mut() {
        *cell = way.to_owned();
    }
    format!("{}{}", line(first), line(second))
}

/// The first and the last column are aligned left, the numbers right.
fn line(cells: [String; COLUMNS.len()]) -> String {
    let mut out = String::new();
    for (place, (cell, (width, _, _))) in cells.iter().zip(COLUMNS).enumerate() {
        let _written = match place {
            0 => write!(out, "{cell:<width$}"),
            place if place + 1 == COLUMNS.len() => write!(out, " {cell:<width$}"),
            _ => write!(out, " {cell:>width$}"),
        };
    }
    format!("{}\n", out.trim_end())
}

fn row_of((level, metric): &Finding<'_>) -> String {
    let name = plain(&level.title(), CLIP);
    let width = COLUMNS.first().map_or(0, |(width, _, _)| *width);
    let mut out = String::new();
    let mut cells = cells(metric);
    if name.chars().count() > width {
        out.push_str(&wrap("", &name, WIDTH));
    } else if let Some(cell) = cells.first_mut() {
        *cell = name;
    }
    out.push_str(&line(cells));
    if let Conclusion::NotComparable(obstacle) = &metric.conclusion {
        out.push_str(&wrap("    ", &reason(obstacle), WIDTH));
    }
    out
}

fn cells(metric: &MetricComparison) -> [String; COLUMNS.len()] {
    let factor = match metric.unit() {
        Unit::Share => 1.0,
        Unit::Points => 100.0,
    };
    let dash = || "-".to_owned();
    let mean = |arm: &ArmValues| short(arm.summary.map(|summary| summary.mean * factor));
    let cov =
        |arm: &ArmValues| arm.summary.and_then(|summary| summary.cov).map_or_else(dash, percent);
    let signed = |share: f64| {
        let text = percent(share);
        if share > 0.0 && text != "0.0" { format!("+{text}") } else { text }
    };
    let test = metric.test.as_ref();
    let ci95 = test.and_then(|test| test.ci95);
    let (base, new) = (&metric.arms.base, &metric.arms.new);
    let conclusion = match metric.conclusion {
        Conclusion::Worse => "worse",
        Conclusion::Better => "better",
        Conclusion::Equivalent => "equivalent",
        Conclusion::NoDifferenceShown => "not shown",
        Conclusion::NotComparable(_) => "-",
        Conclusion::OneRun { .. } => "one run",
    };
    [
        String::new(),
        mean(base),
        cov(base),
        mean(new),
        cov(new),
        format!("{}/{}", base.values.len(), new.values.len()),
        metric.difference.map_or_else(dash, signed),
        ci95.map_or_else(dash, |[low, high]| format!("{} to {}", signed(low), signed(high))),
        test.and_then(|test| test.detectable).map_or_else(dash, percent),
        test.map_or_else(dash, |test| chance(test.p_holm)),
        test.map_or_else(dash, |test| chance(test.mann_whitney_p)),
        conclusion.to_owned(),
    ]
}

fn reason(obstacle: &Obstacle) -> String {
    let evidence = plain(&obstacle.evidence, CLIP);
    match obstacle.code {
        Some(code) => format!("not comparable, {}: {evidence}", code.name()),
        None => format!("not comparable: {evidence}"),
    }
}

/// What a reader must know beside the tables.
fn findings(comparison: &Comparison) -> String {
    let mut out = String::new();
    let mut tell_all = |text: String| out.push_str(&wrap("- ", &text, WIDTH));
    for level in &comparison.levels {
        if let Some(obstacle) = &level.obstacle {
            tell_all(format!("{}: {}", plain(&level.title(), CLIP), reason(obstacle)));
        }
    }
    for level in comparison.levels.iter().filter(|level| level.keys.len() > 1) {
        tell_all(format!(
            "{}: one load under {} labels; of each run their mean is one repeat",
            plain(&level.title(), CLIP),
            level.keys.len()
        ));
    }
    beside(comparison).into_iter().for_each(&mut tell_all);
    spreads(comparison).into_iter().for_each(&mut tell_all);
    comparison.notes.iter().for_each(|note| tell_all(plain(note, CLIP)));
    comparison.left_out.iter().take(LEFT_OUT_SHOWN).map(left_out).for_each(&mut tell_all);
    if let Some(more) = comparison.left_out.len().checked_sub(LEFT_OUT_SHOWN).filter(|n| *n > 0) {
        tell_all(format!("and {more} more left out, see --format json"));
    }
    out
}

/// Differences in metrics that do not decide, level by level.
fn beside(comparison: &Comparison) -> Vec<String> {
    let decides = |metric: &MetricComparison| comparison.options.deciding.contains(&metric.metric);
    let mut out = Vec::new();
    for (word, conclusion) in [("worse", Conclusion::Worse), ("better", Conclusion::Better)] {
        for level in &comparison.levels {
            let found = level.metrics.iter().filter(|m| m.conclusion == conclusion && !decides(m));
            let told: Vec<String> =
                found.map(|m| format!("{} {}", m.metric.title(), change(m))).collect();
            if !told.is_empty() {
                let title = plain(&level.title(), CLIP);
                out.push(format!(
                    "{word}, though it does not decide, at {title}: {}",
                    told.join(", ")
                ));
            }
        }
    }
    out
}

/// Where the runs of one side scatter more than those of the other.
fn spreads(comparison: &Comparison) -> Vec<String> {
    let told = |(level, metric): Finding<'_>| {
        let test = metric.test?;
        let p = test.spread_p_holm.filter(|p| *p <= ALPHA)?;
        let ratio = test.spread_ratio?;
        let (wide, times) = if ratio < 1.0 { ("BASE", 1.0 / ratio) } else { ("NEW", ratio) };
        Some(format!(
            "{} at {}: runs of {wide} scatter {times:.1} times as much (Brown-Forsythe, p {} after \
             Holm)",
            metric.metric.title(),
            plain(&level.title(), CLIP),
            chance(p)
        ))
    };
    comparison.deciding().filter_map(told).collect()
}

fn left_out(level: &LeftOut) -> String {
    let mut text = format!(
        "left out of {}: {} {} of {}",
        level.side.name(),
        level.key.phase,
        plain(&level.key.label, CLIP),
        plain(&level.run, CLIP)
    );
    if level.repeat > 0 {
        let _written = write!(text, ", repeat {}", level.repeat + 1);
    }
    if level.attempt > 0 {
        let _written = write!(text, ", attempt {}", level.attempt + 1);
    }
    format!("{text}: {}", plain(&level.because, CLIP))
}
