//! The report of a comparison: its answer in a sentence, and the numbers behind it.

mod ablated;
mod json;
mod text;

use crate::compare::{
    Answer, COV_ASSUMED, Comparison, Conclusion, LevelComparison, Metric, MetricComparison, Test,
    Unit,
};

pub(super) use ablated::{ablated_json, ablated_text};
pub use ablated::{ablation_json, ablation_text, trust};
pub use json::comparison_json;
pub use text::comparison_text;

/// One metric of one level.
type Finding<'a> = (&'a LevelComparison, &'a MetricComparison);

/// The answer in a sentence.
fn sentence(comparison: &Comparison) -> String {
    match comparison.answer {
        Answer::Worse => decided("worse", &Conclusion::Worse, comparison),
        Answer::Better => decided("better", &Conclusion::Better, comparison),
        Answer::Equivalent => {
            let margin = limit(comparison.options.margin);
            format!("NEW is equivalent: {} differ by less than {margin} %", tested(comparison))
        }
        Answer::NoDifferenceShown => not_shown(comparison),
        Answer::NotTested => not_tested(comparison),
        Answer::NothingComparable => "nothing can be compared; the reasons are below".to_owned(),
    }
}

/// The surest finding in the first metric that has one, and how many more there are.
fn decided(word: &str, conclusion: &Conclusion, comparison: &Comparison) -> String {
    let found: Vec<Finding<'_>> =
        comparison.deciding().filter(|(_, metric)| metric.conclusion == *conclusion).collect();
    let order = |(_, metric): &Finding<'_>| {
        comparison.options.deciding.iter().position(|deciding| *deciding == metric.metric)
    };
    let size = |(_, metric): &Finding<'_>| metric.difference.unwrap_or(0.0).abs();
    let chance = |(_, metric): &Finding<'_>| metric.test.map_or(1.0, |test| test.p_holm);
    let surest = found.iter().min_by(|a, b| {
        let by_chance = chance(a).total_cmp(&chance(b)).then(size(b).total_cmp(&size(a)));
        order(a).cmp(&order(b)).then(by_chance)
    });
    let Some(surest) = surest else {
        return format!("NEW is {word}");
    };
    let more = match found.len() - 1 {
        0 => String::new(),
        1 => "; so is 1 more number".to_owned(),
        more => format!("; so are {more} more numbers"),
    };
    let better = count(comparison, &Conclusion::Better);
    let but = match (conclusion, better) {
        (Conclusion::Worse, 1) => "; 1 is better".to_owned(),
        (Conclusion::Worse, 2..) => format!("; {better} are better"),
        (_, _) => String::new(),
    };
    format!("NEW is {word}: {}{more}{but}", tell(surest))
}

fn count(comparison: &Comparison, conclusion: &Conclusion) -> usize {
    comparison.deciding().filter(|(_, metric)| metric.conclusion == *conclusion).count()
}

/// A difference with its interval and chance, in words.
fn tell((level, metric): &Finding<'_>) -> String {
    let mut text = format!("{} at {} {}", metric.metric.title(), level.title(), change(metric));
    if let Some(test) = &metric.test {
        if let Some([low, high]) = interval(test) {
            text.push_str(&format!(" ({low} to {high})"));
        }
        let levels = if test.levels == 1 { "level" } else { "levels" };
        let p = chance(test.p_holm);
        let is = if p.starts_with('<') { " " } else { " = " };
        text.push_str(&format!(", p{is}{p} after Holm over {} {levels}", test.levels));
    }
    text
}

/// "is 4.2 % lower".
fn change(metric: &MetricComparison) -> String {
    let Some(difference) = metric.difference else {
        return "has no difference in percent".to_owned();
    };
    let unit = match metric.unit() {
        Unit::Share => "%",
        Unit::Points => "points",
    };
    let size = percent(difference.abs());
    let way = if difference < 0.0 { "lower" } else { "higher" };
    if size == "0.0" { "is the same".to_owned() } else { format!("is {size} {unit} {way}") }
}

/// The interval of a size: without signs where it has one sign only, the smaller end first.
fn interval(test: &Test) -> Option<[String; 2]> {
    let [low, high] = test.ci95?;
    Some(if high < 0.0 { [percent(-high), percent(-low)] } else { [percent(low), percent(high)] })
}

/// How much was tested, in words.
fn tested(comparison: &Comparison) -> String {
    let levels =
        comparison.levels.iter().filter(|level| level.metrics.iter().any(|m| m.test.is_some()));
    let metrics: Vec<&str> =
        comparison.options.deciding.iter().map(|metric| metric.title()).collect();
    let levels = levels.count();
    let word = if levels == 1 { "level" } else { "levels" };
    format!("{} at {levels} {word}", metrics.join(", "))
}

fn not_shown(comparison: &Comparison) -> String {
    let detectable = |metric: Metric| {
        comparison
            .deciding()
            .filter(|(_, other)| other.metric == metric)
            .filter(|(_, other)| other.conclusion == Conclusion::NoDifferenceShown)
            .filter_map(|(_, other)| other.test?.detectable)
            .max_by(f64::total_cmp)
    };
    let first =
        comparison.options.deciding.iter().find_map(|metric| Some((*metric, detectable(*metric)?)));
    let mut text = "no difference shown, and no equality either".to_owned();
    if let Some((metric, least)) = first {
        let unit = if metric == Metric::Success { "points" } else { "%" };
        text.push_str(&format!(
            ": a true difference in {} below {} {unit} could be missed",
            metric.title(),
            percent(least)
        ));
    }
    text
}

fn not_tested(comparison: &Comparison) -> String {
    let largest = comparison
        .deciding()
        .filter(|(_, metric)| metric.unit() == Unit::Share && metric.difference.is_some())
        .max_by(|(_, a), (_, b)| {
            let size = |metric: &MetricComparison| metric.difference.unwrap_or(0.0).abs();
            size(a).total_cmp(&size(b))
        });
    let mut text = "no test is possible: a side has one run of each level".to_owned();
    if let Some(found @ (_, metric)) = largest {
        text.push_str(&format!("; {}", tell(&found)));
        if let Conclusion::OneRun { repeats_needed: Some(runs) } = metric.conclusion {
            let cov = limit(COV_ASSUMED);
            text.push_str(&format!(
                "; if runs differ by {cov} % (CoV), {runs} on each side would show that"
            ));
        }
    }
    text
}

/// A share in percent, to about two digits.
fn percent(share: f64) -> String {
    let value = share * 100.0;
    match value.abs() {
        v if v < 0.05 => "0.0".to_owned(),
        v if v < 9.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// A limit in percent, as it was given.
fn limit(share: f64) -> String {
    let text = format!("{:.3}", share * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A chance to three digits, as papers print it.
fn chance(p: f64) -> String {
    match p {
        p if p < 0.001 => "<.001".to_owned(),
        p if p < 0.9995 => format!("{p:.3}").trim_start_matches('0').to_owned(),
        _ => "1".to_owned(),
    }
}
