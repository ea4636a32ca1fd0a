mod served;

use std::collections::BTreeMap;

use common::ids::RunId;
use common::phase::Phase;
use common::target::Endpoint;
use common::workload::Workload;
use proptest::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use super::*;
use crate::campaign::{Mode, Tier};
use crate::paper_cases;
use crate::report::{comparison_json, comparison_text};
use crate::stats::compare::tests::Random;
use crate::store::Loaded;
use crate::testdata;

/// The total tok/s of a level; all other rates and latencies follow from it.
fn level(users: u32, total_tok_s: f64) -> Observed {
    let values = Values::from_fn(|metric| {
        Some(match metric {
            Metric::TotalTokS => total_tok_s,
            Metric::OutputTokS => total_tok_s / 6.0,
            Metric::RequestsPerS => total_tok_s / 600.0,
            Metric::TtftP50 => 1e6 / total_tok_s,
            Metric::TtftP99 => 2e6 / total_tok_s,
            Metric::E2eP50 => 1e7 / total_tok_s,
            Metric::E2eP99 => 3e7 / total_tok_s,
            Metric::TpotP50 => 1e5 / total_tok_s,
            Metric::Success => 1.0,
        })
    });
    let requests = u64::from(users) * 10;
    Observed {
        key: LevelKey {
            phase: Phase::Saturation,
            label: users.to_string(),
            workload: "default".parse().unwrap(),
        },
        users,
        requests: Some(requests),
        work: Workload {
            forced_length: true,
            ..Workload::new("default".parse().unwrap(), 500.into(), 100.into())
        },
        repeat: 0,
        attempt: 0,
        in_flight_mean: Some(f64::from(users) * 0.99),
        standing: Standing::Valid,
        delivered: Some(Delivered { requests, prompt: requests * 500, completion: requests * 100 }),
        ended: requests,
        values,
    }
}

fn run(number: u32, levels: Vec<Observed>) -> Run {
    let facts = Facts {
        run: RunId(Uuid::from_u128(number.into())),
        arm: None,
        target: "http://10.0.0.5:8000".into(),
        model: "llama".into(),
        served: None,
        server_version: None,
        serving: BTreeMap::new(),
        endpoint: Some(Endpoint::Chat),
        manner: None,
        stream: true,
        seed: 42,
        mode: Mode::Paper,
        tier: Tier::Default,
        version: "0.1.0".into(),
        agents: 2,
    };
    Run { name: format!("run-{number}"), facts, levels }
}

/// A side whose runs have the given total tok/s at each level.
fn side(name: &str, first: u32, levels: &[(u32, Vec<f64>)]) -> Side {
    let count = levels.first().map_or(0, |(_, values)| values.len());
    let one = |index: usize| {
        let levels = levels.iter().map(|(users, values)| level(*users, values[index]));
        run(first + index as u32, levels.collect())
    };
    Side { name: name.into(), runs: (0..count).map(one).collect() }
}

fn options() -> Options {
    Options { margin: 0.02, deciding: Metric::DECIDING.to_vec() }
}

fn total_only() -> Options {
    Options { deciding: vec![Metric::TotalTokS], ..options() }
}

/// Table 26: AITER off is the base, on is the new.
fn table_26() -> Sides<Side> {
    let cases = paper_cases();
    let rows = cases["ablation_cases_table26"].as_array().unwrap();
    let arm = |arm: &str| -> Vec<(u32, Vec<f64>)> {
        let runs = |row: &Value| {
            let runs = row[arm]["runs"].as_array().unwrap().iter();
            (
                row["concurrency"].as_u64().unwrap() as u32,
                runs.map(|v| v.as_f64().unwrap()).collect(),
            )
        };
        rows.iter().map(runs).collect()
    };
    Sides { base: side("off", 0, &arm("disabled")), new: side("on", 100, &arm("enabled")) }
}

fn conclusions(comparison: &Comparison) -> Vec<(String, &'static str)> {
    let told = |(level, metric): (&LevelComparison, &MetricComparison)| {
        (level.keys[0].label.clone(), metric.conclusion.name())
    };
    comparison.deciding().map(told).collect()
}

fn labels_with(comparison: &Comparison, conclusion: &str) -> Vec<String> {
    let all = conclusions(comparison).into_iter();
    all.filter(|(_, name)| *name == conclusion).map(|(label, _)| label).collect()
}

fn obstacle(comparison: &Comparison) -> &Obstacle {
    comparison.levels[0].obstacle.as_ref().unwrap()
}

#[test]
fn table_26_shows_a_difference_at_100_and_500_users_only() {
    let comparison = compare(&table_26(), &total_only());
    assert_eq!(labels_with(&comparison, "better"), ["100", "500"]);
    assert_eq!(labels_with(&comparison, "worse"), [""; 0]);
    // That 50 users differ by less than 2 % is shown; elsewhere nothing is.
    assert_eq!(labels_with(&comparison, "equivalent"), ["50"]);
    assert_eq!(labels_with(&comparison, "no_difference_shown"), ["1", "10", "200"]);
    assert_eq!(comparison.answer, Answer::Better);
    // As ratios the p values are a little smaller than those of the differences, which are printed.
    let tests: Vec<&Test> = comparison.deciding().filter_map(|(_, m)| m.test.as_ref()).collect();
    let rows = paper_cases();
    for (test, row) in tests.iter().zip(rows["ablation_cases_table26"].as_array().unwrap()) {
        let printed = row["welch"]["p_holm"].as_f64().unwrap();
        assert!((0.85 * printed..=1.001 * printed).contains(&test.p_holm), "{}", test.p_holm);
        assert_eq!((test.levels, test.scale), (6, Scale::Log));
    }
}

#[test]
fn the_three_loads_of_table_26_that_were_one_are_compared_once() {
    // 100 requests a level: at 200 and 500 users no more than 100 can have been in flight.
    let mut sides = table_26();
    for side in [&mut sides.base, &mut sides.new] {
        for level in side.runs.iter_mut().flat_map(|run| &mut run.levels) {
            if level.users >= 200 {
                level.in_flight_mean = Some(99.5);
                level.standing = Standing::NotReached("CONCURRENCY_NOT_REACHED: 99.5".into());
            }
        }
    }
    let comparison = compare(&sides, &total_only());
    assert_eq!(comparison.levels.len(), 4);
    let pooled = &comparison.levels[3];
    assert_eq!(pooled.title(), "SATURATION 100, 200, 500 (99 in flight)");
    assert_eq!(pooled.repeats, Sides { base: 5, new: 5 });
    assert_eq!(comparison.left_out, []);
    let base = &pooled.metrics[0].arms.base;
    let mean = |users: u32| {
        let runs = sides.base.runs.iter().flat_map(|run| &run.levels);
        let values: Vec<f64> = runs
            .filter(|level| level.users == users)
            .map(|level| level.values.get(Metric::TotalTokS).unwrap())
            .collect();
        values.iter().sum::<f64>() / 5.0
    };
    let expected = (mean(100) + mean(200) + mean(500)) / 3.0;
    assert!((base.summary.unwrap().mean - expected).abs() < 1e-9);
    assert_eq!(pooled.metrics[0].test.unwrap().levels, 4);
}

#[test]
fn a_label_that_never_held_its_users_is_left_out_where_no_other_had_its_load() {
    let mut sides = table_26();
    for level in sides.new.runs.iter_mut().flat_map(|run| &mut run.levels) {
        if level.users == 500 {
            level.in_flight_mean = Some(300.0);
            level.standing = Standing::NotReached("CONCURRENCY_NOT_REACHED: 300 of 500".into());
        }
    }
    let comparison = compare(&sides, &options());
    let last = comparison.levels.last().unwrap();
    assert_eq!(last.obstacle.as_ref().unwrap().evidence, "NEW has no valid repeat of it");
    assert_eq!(comparison.left_out.len(), 5);
    assert!(comparison.left_out[0].because.contains("300 of 500"));
    assert_eq!(comparison.levels[0].metrics[0].test.unwrap().levels, 5);
}

#[test]
fn repeats_that_are_no_result_do_not_count() {
    let mut sides = table_26();
    sides.base.runs[2].levels[3].standing = Standing::Struck("it was not finished".into());
    let comparison = compare(&sides, &options());
    assert_eq!(comparison.levels[3].repeats, Sides { base: 4, new: 5 });
    let expected = LeftOut {
        side: Which::Base,
        key: sides.base.runs[2].levels[3].key.clone(),
        run: "run-2".into(),
        repeat: 0,
        attempt: 0,
        because: "it was not finished".into(),
    };
    assert_eq!(comparison.left_out, [expected]);
}

/// Pairs of sides whose runs differ by chance, and NEW by `factor`.
fn simulated(seed: u64, pairs: u32, levels: usize, cov: f64, factor: f64) -> Vec<Comparison> {
    let mut random = Random(seed);
    let mut arm = |factor: f64| -> Vec<(u32, Vec<f64>)> {
        let mut runs = |users: u32| {
            let mean = factor * 100.0 * f64::from(users);
            (0..5).map(|_| mean * (1.0 + cov * random.normal())).collect()
        };
        (1..=levels as u32).map(|users| (users, runs(users))).collect()
    };
    (0..pairs)
        .map(|_| {
            let sides = Sides { base: side("a", 0, &arm(1.0)), new: side("b", 100, &arm(factor)) };
            compare(&sides, &total_only())
        })
        .collect()
}

fn share(comparisons: &[Comparison], of: impl Fn(&Comparison) -> bool) -> f64 {
    comparisons.iter().filter(|comparison| of(comparison)).count() as f64 / comparisons.len() as f64
}

fn is_different(comparison: &Comparison) -> bool {
    matches!(comparison.answer, Answer::Worse | Answer::Better)
}

#[test]
fn equal_servers_are_rarely_called_different() {
    // One level: the chance is that of the test. Six: Holm keeps it for all of them together.
    for (levels, pairs) in [(1, 2000), (6, 500)] {
        let few = simulated(1, 40, levels, 0.04, 1.0);
        let wrong_few = share(&few, is_different);
        let many = simulated(2, pairs, levels, 0.04, 1.0);
        let wrong = share(&many, is_different);
        println!("{levels} levels: {wrong_few} of 40, {wrong} of {pairs} pairs");
        assert!(wrong_few <= 0.1, "{wrong_few}");
        assert!((0.02..=0.07).contains(&wrong), "{levels}: {wrong}");
        // Nor are so few runs of such a spread called equal.
        let equal = share(&many, |c| c.answer == Answer::Equivalent);
        assert!(equal <= 0.07, "{equal}");
    }
}

#[test]
fn a_tenth_more_is_found_where_the_method_says_it_can_be() {
    // Exact power of the t test for 1.1 in logarithms, CoV 4 %, five a side: 0.90.
    let found = simulated(3, 1000, 1, 0.04, 1.1);
    let share_found = share(&found, |c| c.answer == Answer::Better);
    println!("+10 % at CoV 4 %, n = 5: found in {share_found}");
    assert!(share_found >= 0.88, "{share_found}");
    assert_eq!(share(&found, |c| c.answer == Answer::Worse), 0.0);
    // The smallest detectable difference is found in about 80 %.
    let least = simulated(4, 1000, 1, 0.04, 1.0 / 1.084);
    let share_least = share(&least, |c| c.answer == Answer::Worse);
    println!("-7.7 %: found in {share_least}");
    assert!((0.74..=0.86).contains(&share_least), "{share_least}");
}

#[test]
fn quiet_equal_servers_are_shown_to_be_equivalent() {
    let quiet = simulated(5, 200, 3, 0.003, 1.0);
    assert_eq!(share(&quiet, |c| c.answer == Answer::Equivalent), 1.0);
    // Half a percent is surely there, and of no interest.
    let slower = simulated(6, 50, 1, 0.001, 0.995);
    assert_eq!(share(&slower, |c| c.answer == Answer::Equivalent), 1.0);
    let strict = Options { margin: 0.001, ..total_only() };
    let runs = |first, mean: f64| side("x", first, &[(1, vec![mean, mean + 0.1, mean - 0.1])]);
    let sides = Sides { base: runs(0, 100.0), new: runs(9, 99.0) };
    assert_eq!(compare(&sides, &strict).answer, Answer::Worse);
    assert_eq!(compare(&sides, &total_only()).answer, Answer::Equivalent);
}

#[test]
fn one_run_each_gives_a_difference_and_no_test() {
    let sides = Sides {
        base: side("a", 0, &[(10, vec![1000.0])]),
        new: side("b", 1, &[(10, vec![900.0])]),
    };
    let comparison = compare(&sides, &options());
    assert_eq!(comparison.answer, Answer::NotTested);
    let total = &comparison.levels[0].metrics[0];
    assert!((total.difference.unwrap() + 0.1).abs() < 1e-9);
    assert_eq!(
        (total.test, &total.conclusion),
        (None, &Conclusion::OneRun { repeats_needed: Some(4) })
    );
    insta::assert_snapshot!(comparison_text(&comparison));
}

#[test]
fn failures_are_worse_even_if_every_run_has_the_same() {
    let with_success = |first: u32, success: f64| {
        let mut side = side("x", first, &[(10, vec![1000.0; 3])]);
        for level in side.runs.iter_mut().flat_map(|run| &mut run.levels) {
            let old = level.values;
            level.values = Values::from_fn(|metric| {
                if metric == Metric::Success { Some(success) } else { old.get(metric) }
            });
        }
        side
    };
    let judge = |success: f64| {
        let sides = Sides { base: with_success(0, 1.0), new: with_success(9, success) };
        let options = Options { deciding: vec![Metric::Success], ..options() };
        compare(&sides, &options).levels[0].metrics.last().unwrap().conclusion.clone()
    };
    assert_eq!(judge(0.0), Conclusion::Worse);
    assert_eq!(judge(0.8), Conclusion::Worse);
    // One request of a hundred in each of three runs may be chance.
    assert_eq!(judge(0.99), Conclusion::NoDifferenceShown);
}

#[test]
fn a_server_that_serves_nothing_is_worse() {
    let mut sides = table_26();
    for level in sides.new.runs.iter_mut().flat_map(|run| &mut run.levels) {
        level.delivered = Some(Delivered { requests: 0, prompt: 0, completion: 0 });
        let measured = [Metric::Success, Metric::RequestsPerS];
        level.values = Values::from_fn(|metric| measured.contains(&metric).then_some(0.0));
    }
    let comparison = compare(&sides, &options());
    assert_eq!(comparison.answer, Answer::Worse);
    assert_eq!(comparison.levels[0].metrics[2].conclusion, Conclusion::Worse);
    let Conclusion::NotComparable(obstacle) = &comparison.levels[0].metrics[0].conclusion else {
        panic!("there are no tokens")
    };
    assert_eq!(obstacle.evidence, "NEW has no total tok/s");
}

#[test]
fn other_work_is_not_compared() {
    for (tokens, name, evidence) in [
        (|d: &mut Delivered| d.completion = d.completion * 98 / 100, "output", "100.0 mean output"),
        (|d: &mut Delivered| d.prompt = d.prompt * 103 / 100, "prompt", "515.0 in NEW"),
    ] as [(fn(&mut Delivered), &str, &str); 2]
    {
        let mut sides = table_26();
        for run in &mut sides.new.runs {
            tokens(run.levels[0].delivered.as_mut().unwrap());
        }
        let comparison = compare(&sides, &options());
        let obstacle = obstacle(&comparison);
        assert_eq!(obstacle.code, Some(Code::WorkNotEqual), "{name}");
        assert!(obstacle.evidence.contains(evidence), "{obstacle:?}");
        assert_eq!(comparison.levels[1].obstacle, None);
    }
    let mut sides = table_26();
    sides.new.runs[1].levels[0].work.output_tokens = 50.into();
    let comparison = compare(&sides, &options());
    let text = "output_tokens: 100 in BASE, 100, 50 in NEW";
    assert_eq!(obstacle(&comparison), &Obstacle { code: None, evidence: text.into() });
    sides.base.runs[1].levels[0].delivered = None;
    let notes = compare(&sides, &options()).notes;
    assert!(notes.iter().any(|note| note.starts_with("SATURATION 1: without token counts")));
}

#[test]
fn one_side_is_one_server() {
    let mut sides = table_26();
    sides.new.runs[1].facts.model = "llama-fp8".into();
    let comparison = compare(&sides, &options());
    assert_eq!(comparison.answer, Answer::NothingComparable);
    assert_eq!(obstacle(&comparison).code, Some(Code::ServerChanged));
    assert!(
        obstacle(&comparison).evidence.contains("NEW asked for different models: llama, llama-fp8")
    );
    // Two servers are what a comparison is about.
    sides.new.runs.iter_mut().for_each(|run| run.facts.model = "llama-fp8".into());
    let comparison = compare(&sides, &options());
    assert_eq!(comparison.answer, Answer::Better);
    assert_eq!(comparison.notes, ["model: llama in BASE, llama-fp8 in NEW"]);

    // A server that says what it is, too. One that does not proves nothing.
    let mut sides = table_26();
    sides.new.runs[0].facts.served = Some("llama".into());
    sides.new.runs[1].facts.served = Some("llama".into());
    sides.base.runs[0].facts.server_version = Some("0.14.1".into());
    sides.new.runs[2].facts.server_version = Some("0.15.0".into());
    let comparison = compare(&sides, &options());
    assert_ne!(comparison.answer, Answer::NothingComparable);
    for note in [
        "served model: not told in BASE, llama, not told in NEW",
        "version of the server: 0.14.1, not told in BASE, 0.15.0, not told in NEW",
    ] {
        assert!(comparison.notes.iter().any(|told| told == note), "{:?}", comparison.notes);
    }
    sides.new.runs[3].facts.server_version = Some("0.14.1".into());
    let comparison = compare(&sides, &options());
    let text = "the runs of NEW met different versions of the server: 0.14.1, 0.15.0";
    let changed = Obstacle { code: Some(Code::ServerChanged), evidence: text.into() };
    assert_eq!(obstacle(&comparison), &changed);
    sides.new.runs[3].facts.served = Some("llama from /q4".into());
    let text = obstacle(&compare(&sides, &options())).evidence.clone();
    assert_eq!(text, "the runs of NEW were served different models: llama, llama from /q4");
}

#[test]
fn what_differs_between_the_runs_is_noted() {
    let mut sides = table_26();
    for run in &mut sides.new.runs {
        run.facts.seed = 7;
        run.facts.stream = false;
        run.facts.endpoint = None;
        run.facts.tier = Tier::Quick;
    }
    let comparison = compare(&sides, &options());
    assert_eq!(
        comparison.notes,
        [
            "endpoint: chat in BASE, not stated in NEW",
            "stream: on in BASE, off in NEW",
            "tier: default in BASE, quick in NEW",
            "seed: 42 in BASE, 7 in NEW",
        ]
    );
    for side in [&mut sides.base, &mut sides.new] {
        side.runs.iter_mut().zip(0..).for_each(|(run, seed)| run.facts.seed = seed);
    }
    let notes = compare(&sides, &options()).notes;
    assert!(!notes.iter().any(|note| note.starts_with("seed")), "{notes:?}");
    sides.new.runs[0].facts.seed = 9;
    let notes = compare(&sides, &options()).notes;
    assert_eq!(
        notes.last().unwrap(),
        "seed: 0, 1, 2 and 2 more in BASE, 1, 2, 3 and 2 more in NEW"
    );
    let blocked =
        |metric: &MetricComparison| matches!(metric.conclusion, Conclusion::NotComparable(_));
    let metrics = &comparison.levels[0].metrics;
    let names: Vec<&str> = metrics.iter().filter(|m| blocked(m)).map(|m| m.metric.name()).collect();
    assert_eq!(names, ["ttft_p50_ms", "ttft_p99_ms", "tpot_p50_ms"]);
}

#[test]
fn levels_of_one_side_and_warm_ups_are_not_compared() {
    let mut sides = table_26();
    sides.base.runs.iter_mut().for_each(|run| run.levels.truncate(5));
    for run in sides.base.runs.iter_mut().chain(&mut sides.new.runs) {
        let mut warm_up = level(1, 50.0);
        warm_up.key.phase = Phase::Warmup;
        run.levels.insert(0, warm_up);
    }
    let comparison = compare(&sides, &options());
    assert_eq!(comparison.levels.len(), 6);
    let evidence = &comparison.levels[5].obstacle.as_ref().unwrap().evidence;
    assert_eq!(evidence, "BASE does not have it");
}

#[test]
fn repeats_of_one_run_are_told_from_runs() {
    let mut repeats = side("a", 0, &[(10, vec![1000.0, 1010.0, 990.0])]);
    let levels: Vec<Observed> = repeats.runs.drain(..).flat_map(|run| run.levels).collect();
    let levels = (0..).zip(levels).map(|(repeat, level)| Observed { repeat, ..level });
    repeats.runs.push(run(0, levels.collect()));
    let new = side("b", 100, &[(10, vec![1000.0, 1010.0, 990.0])]);
    let comparison = compare(&Sides { base: repeats, new }, &options());
    assert_eq!(comparison.levels[0].repeats, Sides { base: 3, new: 3 });
    assert!(comparison.notes[0].starts_with("BASE: 3 repeats of a level come from 1 run;"));
}

#[test]
fn a_run_compared_with_itself_says_so() {
    let loaded = Loaded { record: testdata::run(), damage: Vec::new() };
    let side = || Side { name: "nightly".into(), runs: vec![Run::of("nightly".into(), &loaded)] };
    let comparison = compare(&Sides { base: side(), new: side() }, &options());
    assert_eq!(comparison.answer, Answer::NotTested);
    insta::assert_snapshot!(comparison_text(&comparison));
}

#[test]
fn the_answer_comes_first() {
    // AITER taken away: what was gained is lost.
    let Sides { base, new } = table_26();
    let comparison = compare(&Sides { base: new, new: base }, &options());
    insta::assert_snapshot!(comparison_text(&comparison));
}

#[test]
fn everything_is_in_the_json() {
    let mut sides = table_26();
    for side in [&mut sides.base, &mut sides.new] {
        side.runs.iter_mut().for_each(|run| run.levels.truncate(1));
    }
    sides.base.runs[0].levels[0].standing = Standing::Struck("it was not finished".into());
    let json = comparison_json(&compare(&sides, &options()));
    insta::assert_snapshot!(json);
    let manual = include_str!("../../../docs/compare.md");
    let json: Value = serde_json::from_str(&json).unwrap();
    let mut keys = Vec::new();
    collect_keys(&json, &mut keys);
    let missing: Vec<&String> =
        keys.iter().filter(|key| !manual.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "docs/compare.md lacks {missing:?}");
}

fn collect_keys(value: &Value, keys: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                keys.push(key.clone());
                collect_keys(value, keys);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect_keys(value, keys)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_report_fits_a_terminal_whatever_the_names() {
    let mut sides = table_26();
    sides.base.name = "\u{1b}]0;x\u{7}".repeat(90);
    sides.new.runs[0].name = "a b\n".repeat(100);
    sides.new.runs[0].facts.model = "m\u{202e}".repeat(500);
    for run in sides.base.runs.iter_mut().chain(&mut sides.new.runs) {
        run.levels[0].key.label = "long ".repeat(90);
        run.levels[1] = Observed { key: run.levels[1].key.clone(), ..level(10, 1e12) };
    }
    let text = comparison_text(&compare(&sides, &options()));
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{line}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}

fn mirrored(answer: &Conclusion) -> &'static str {
    match answer.name() {
        "worse" => "better",
        "better" => "worse",
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn neither_order_nor_direction_changes_what_is_found(
        base in prop::collection::vec(prop::collection::vec(800.0f64..1200.0, 4), 1..4),
        shift in 0.8f64..1.25,
        turn in 0usize..4,
    ) {
        let levels = |factor: f64| -> Vec<(u32, Vec<f64>)> {
            let scaled = |(index, values): (usize, &Vec<f64>)| {
                let values = values.iter().rev().map(|v| v * factor + index as f64);
                (10 * (index as u32 + 1), values.collect())
            };
            base.iter().enumerate().map(scaled).collect()
        };
        let sides = Sides { base: side("a", 0, &levels(1.0)), new: side("b", 100, &levels(shift)) };
        let there = compare(&sides, &options());

        let mut turned = sides.clone();
        turned.base.runs.rotate_left(turn);
        turned.new.runs.reverse();
        for run in turned.base.runs.iter_mut().chain(&mut turned.new.runs) {
            run.levels.reverse();
        }
        prop_assert_eq!(&compare(&turned, &options()), &there);

        let back = compare(&Sides { base: sides.new, new: sides.base }, &options());
        let pairs = there.levels.iter().zip(&back.levels);
        for (a, b) in pairs.flat_map(|(a, b)| a.metrics.iter().zip(&b.metrics)) {
            prop_assert_eq!(a.conclusion.name(), mirrored(&b.conclusion));
            let (a, b) = (a.test.unwrap(), b.test.unwrap());
            prop_assert_eq!((a.p_holm, a.equivalence_p), (b.p_holm, b.equivalence_p));
            prop_assert_eq!(a.t, b.t.map(|t| -t));
        }
    }
}

#[test]
fn what_serves_the_model_is_noted_where_it_differs_and_is_one_within_a_side() {
    let mut sides = table_26();
    let state = |runs: &mut [Run], key: &str, value: &str| {
        for run in runs {
            run.facts.serving.insert(key.to_owned(), value.to_owned());
        }
    };
    for (runs, block, memory) in
        [(&mut sides.base.runs, "16", "111.9"), (&mut sides.new.runs, "1", "112.1")]
    {
        state(runs, "serving.block_size", block);
        state(runs, "serving.gpu", "MI325X");
        state(&mut runs[1..], "fact weight_memory_gib", memory);
    }
    state(&mut sides.new.runs, "serving.engine", "vLLM");
    assert_eq!(
        compare(&sides, &options()).notes,
        [
            "fact weight_memory_gib: 111.9, not told in BASE, 112.1, not told in NEW",
            "serving.block_size: 16 in BASE, 1 in NEW",
            "serving.engine: not stated in BASE, vLLM in NEW",
        ]
    );
    state(&mut sides.base.runs[..1], "serving.gpu", "MI300X");
    let text = "the runs of BASE state different serving.gpu: MI300X, MI325X";
    let changed = Obstacle { code: Some(Code::ServerChanged), evidence: text.into() };
    assert_eq!(obstacle(&compare(&sides, &options())), &changed);
}
