use common::phase::Phase;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::classify::Headline;
use crate::classify::imported::{Judgement, LoadStatus, judge};
use crate::paper_cases;
use crate::report::{imported_json, imported_text};

/// The tables of the paper as they ship.
const SAMPLES: [(&str, &str); 8] = [
    ("T14", include_str!("../../../deploy/imports/paper-t14-qwen3.json")),
    ("T15", include_str!("../../../deploy/imports/paper-t15-llama.json")),
    ("T16", include_str!("../../../deploy/imports/paper-t16-deepseek.json")),
    ("T17", include_str!("../../../deploy/imports/paper-t17-kimi.json")),
    ("T22-Llama", include_str!("../../../deploy/imports/paper-t22-llama.json")),
    ("T22-DeepSeek", include_str!("../../../deploy/imports/paper-t22-deepseek.json")),
    ("T23-Qwen3", include_str!("../../../deploy/imports/paper-t23-qwen3.json")),
    ("T23-Kimi", include_str!("../../../deploy/imports/paper-t23-kimi.json")),
];

fn source(name: &str, text: impl ToString) -> Source {
    Source { name: name.to_owned(), text: text.to_string() }
}

fn judged(sources: &[Source]) -> (Imported, Vec<Judgement>) {
    let imported = read(sources).unwrap();
    let judgements = judge(&imported.levels, imported.baseline);
    (imported, judgements)
}

fn problems(sources: &[Source]) -> String {
    read(sources).unwrap_err().to_string()
}

/// Equal as far as the digits that the case prints; a case without the number says nothing.
fn printed(what: &str, got: &Value, expected: &Value) -> usize {
    let Some(wanted) = expected.as_f64() else { return 0 };
    let digits = expected.to_string().split('.').nth(1).map_or(0, str::len);
    let got = got.as_f64().unwrap_or_else(|| panic!("{what}: nothing, expected {wanted}"));
    let slack = 0.51 * 10f64.powi(-(digits as i32));
    assert!((got - wanted).abs() <= slack, "{what}: {got}, expected {wanted}");
    1
}

#[test]
fn the_papers_tables_come_out_as_computed_by_hand() {
    let cases = paper_cases();
    let cases = cases["classifier_cases"].as_array().unwrap();
    assert_eq!(cases.len(), SAMPLES.len());
    let (mut rows, mut numbers, mut flags, mut readings) = (0, 0, 0, 0);
    for (case, (id, text)) in cases.iter().zip(SAMPLES) {
        assert_eq!(case["id"], id);
        let (imported, judgements) = judged(&[source(id, text)]);
        let report: Value = serde_json::from_str(&imported_json(&imported, &judgements)).unwrap();
        assert_eq!((&report["name"], &report["model"]), (&case["id"], &case["model"]));
        let (levels, expected) = (&report["levels"], case["rows"].as_array().unwrap());
        assert_eq!(levels.as_array().unwrap().len(), expected.len(), "{id}");
        for (level, row) in levels.as_array().unwrap().iter().zip(expected) {
            let what = format!("{id} at {}", row["concurrency"]);
            for (got, key) in [
                ("users_asked", "concurrency"),
                ("total_tok_s", "total_tok_s"),
                ("output_tok_s", "output_tok_s"),
                ("p99_s", "p99_s"),
                ("success", "success_ratio"),
            ] {
                assert_eq!(level[got].as_f64(), row[key].as_f64(), "{what} {key}");
            }
            let phase = row.get("phase").unwrap_or(&case["phase"]);
            assert_eq!(&level["phase"], phase, "{what}");
            assert_eq!(level["paper"]["status"], row["expected_status"], "{what}");
            assert_eq!(level["axes"]["latency"], row["improved"]["latency"], "{what}");
            assert_eq!(level["axes"]["load"], row["improved"]["load"], "{what}");
            let verdicts = level["verdicts"].as_array().unwrap();
            let codes: Vec<&Value> = verdicts.iter().map(|verdict| &verdict["code"]).collect();
            let none = json!([]);
            let wanted = row["improved"].get("validity_flags").unwrap_or(&none);
            assert_eq!(json!(codes), *wanted, "{what}");
            flags += codes.len();
            for key in ["elasticity", "inflight_index", "implied_inflight"] {
                numbers += printed(&format!("{what} {key}"), &level[key], &row[key]);
            }
            rows += 1;
        }
        let reading = &case["first_level_reading"];
        if let Some(alternative) = reading["alternative"].as_str() {
            // The last SCALING level of the model is printed in another table.
            let rate = alternative.split(' ').rev().nth(1).unwrap().parse().unwrap();
            let scaling = Level {
                phase: Phase::Scaling,
                total_tok_s: Some(rate),
                p99_s: None,
                ..imported.levels[0]
            };
            let levels = [vec![scaling], imported.levels.clone()].concat();
            let status = judge(&levels, None)[1].paper.first_level_alternative.unwrap();
            assert_eq!(reading["alternative_status"], status.name(), "{id}");
            readings += 1;
        }
        if let Some(peak) = case["expected_peak"].as_object() {
            assert_eq!(report["peak"]["users"], peak["concurrency"], "{id}");
            assert_eq!(report["peak"]["total_tok_s"].as_f64(), peak["total_tok_s"].as_f64());
            assert_eq!(report["peak"]["valid"], false, "{id}");
        }
    }
    assert_eq!((rows, numbers, flags, readings), (48, 108, 28, 4));
}

#[test]
fn every_judgement_has_its_numbers() {
    for (id, text) in SAMPLES {
        let (_, judgements) = judged(&[source(id, text)]);
        for judgement in judgements {
            for verdict in &judgement.verdicts {
                assert!(verdict.evidence.contains(char::is_numeric), "{id}: {}", verdict.evidence);
            }
            if judgement.load.status == LoadStatus::Saturated {
                assert!(judgement.load.evidence.contains("0.1"), "{id}");
            }
        }
    }
}

#[test]
fn all_text_reports_fit_a_terminal() {
    for (id, text) in SAMPLES {
        let (imported, judgements) = judged(&[source(id, text)]);
        let shown = imported_text(&imported, &judgements);
        assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");
    }
}

#[test]
fn the_widest_numbers_fit_a_terminal() {
    let work = json!({"input_tokens": 10_000_000, "output_tokens": 1, "images": 10_000});
    let rows = [(1_000, 1e-3, 1e-6), (999_999, 1e12, 1e6), (1_000_000, 999_949.96, 99_999.99)];
    let rows = rows.map(|(users, rate, p99_s)| {
        json!({"users": users, "total_tok_s": rate, "p99_s": p99_s, "requests": 1_000_000})
    });
    let table = json!({"schema_version": 1, "name": "x".repeat(400), "phase": "SATURATION",
        "workload": work, "success": 1.0, "rows": rows});
    let (imported, judgements) = judged(&[source("wide", table)]);
    let shown = imported_text(&imported, &judgements);
    assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");
}

#[test]
fn the_table_that_mixes_phases_as_text() {
    let (imported, judgements) = judged(&[source("T17", SAMPLES[3].1)]);
    insta::assert_snapshot!(imported_text(&imported, &judgements));
}

#[test]
fn the_table_whose_answers_ended_early_as_text() {
    let (imported, judgements) = judged(&[source("T22-DeepSeek", SAMPLES[5].1)]);
    insta::assert_snapshot!(imported_text(&imported, &judgements));
}

#[test]
fn the_papers_thousand_users_as_json() {
    let (imported, judgements) = judged(&[source("T23-Kimi", SAMPLES[7].1)]);
    let report: Value = serde_json::from_str(&imported_json(&imported, &judgements)).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&report["levels"][5]).unwrap());
    let mut rest = report;
    rest["levels"] = Value::Null;
    rest["tool"]["version"] = "VERSION".into();
    insta::assert_snapshot!(serde_json::to_string_pretty(&rest).unwrap());
}

#[test]
fn everything_wrong_with_a_table_is_told_at_once() {
    let text = r#"{
        "schema_version": 2,
        "models": "Kimi",
        "phase": "scaling",
        "workload": { "input_tokens": 500, "output_tokens": 0, "image": 1 },
        "baseline_p99_s": 2.5,
        "rows": [
            { "users": 10, "total_tok_s": 100, "output_tok_s": 200, "p99": 2.0, "success": 1 },
            { "users": 0, "phase": "SCALING", "total_tok_s": "many", "p99_s": 2, "p99_s": 3 },
            { "users": 2.5, "total_tok_s": -1, "success": 99.5 },
            17
        ]
    }"#;
    insta::assert_snapshot!(problems(&[source("typed.json", text)]));
}

#[test]
fn what_is_no_result_is_refused() {
    let table = SAMPLES[7].1;
    let result = run(10, 1.0);
    let summary = json!({"run_id": "x", "levels": []});
    let all: Vec<String> = [
        vec![source("empty.json", "")],
        vec![source("broken.json", "{\n  \"rows\": [\n    { \"users\": 1, }\n  ]\n}")],
        vec![source("nan.json", "{\"num_prompts\": NaN}")],
        vec![source("other.json", "[1, 2]")],
        vec![source("summary.json", summary)],
        vec![source("no-rows.json", json!({"schema_version": 1, "name": "x", "rows": []}))],
        vec![source("a.json", table), source("b.json", table)],
        vec![source("a.json", table), source("r.json", &result)],
    ]
    .iter()
    .map(|sources| problems(sources))
    .collect();
    insta::assert_snapshot!(all.join("\n--\n"));
}

/// A result of bench serve with `users`, slowed down by `slower`.
fn run(users: u32, slower: f64) -> Value {
    let completed = 10 * users;
    let rate = f64::from(users) / (2.0 * slower);
    json!({
        "date": "20260101-120000", "backend": "openai", "label": null, "model_id": "some/model",
        "tokenizer_id": "some/model", "num_prompts": completed, "request_rate": "inf",
        "burstiness": 1.0, "max_concurrency": users, "duration": f64::from(completed) / rate,
        "completed": completed, "failed": 0, "tp": "8",
        "total_input_tokens": 500 * completed, "total_output_tokens": 200 * completed,
        "request_throughput": rate, "request_goodput": null, "output_throughput": 200.0 * rate,
        "total_token_throughput": 700.0 * rate, "mean_ttft_ms": 90.0, "p99_ttft_ms": 120.0,
        "mean_e2el_ms": 2_000.0 * slower, "p99_e2el_ms": 2_200.0 * slower,
    })
}

fn with(mut result: Value, key: &str, value: Value) -> Value {
    result[key] = value;
    result
}

#[test]
fn results_of_bench_serve_become_levels_by_users() {
    // In the order of a shell's wildcard; the last file holds two appended results.
    let sources = [
        source("c1.json", run(1, 1.0)),
        source("c100.json", run(100, 4.0)),
        source("c25.json", format!("{}\n{}\n", run(25, 1.1), run(400, 16.0))),
    ];
    let (imported, judgements) = judged(&sources);
    insta::assert_snapshot!(imported_text(&imported, &judgements));
}

#[test]
fn bench_serve_without_end_to_end_latency_leaves_open_what_needs_it() {
    let bare = |users| {
        let result = with(run(users, 1.0), "p99_e2el_ms", Value::Null);
        with(result, "mean_e2el_ms", Value::Null)
    };
    let (imported, judgements) = judged(&[source("a", bare(10)), source("b", bare(20))]);
    assert!(imported.notes[0].contains("--percentile-metrics ttft,tpot,itl,e2el"));
    let report: Value = serde_json::from_str(&imported_json(&imported, &judgements)).unwrap();
    let level = &report["levels"][1];
    assert_eq!(level["axes"]["latency"], "UNKNOWN");
    assert_eq!(level["axes"]["load"], "SCALING");
    assert_eq!(level["in_flight_mean"], Value::Null);
    assert_eq!(level["implied_inflight"], Value::Null);
    assert_eq!(level["status"], "OK");
}

#[test]
fn bench_serve_with_unequal_answers_is_not_compared() {
    let short = with(run(20, 1.0), "total_output_tokens", json!(190 * 200));
    let (_, judgements) = judged(&[source("a", run(10, 1.0)), source("b", short)]);
    for judgement in &judgements {
        assert_eq!(judgement.headline, Headline::Invalid);
        let evidence = &judgement.verdicts[0].evidence;
        assert_eq!(
            evidence,
            "at 20 and 10 users: 190 mean output tokens against 200, more than 1 % apart"
        );
    }
}

#[test]
fn bench_serve_that_never_held_its_users_is_struck() {
    // Ten users, but the mean latency accounts for eight of them.
    let idle = with(run(10, 1.0), "mean_e2el_ms", json!(1_600.0));
    let few = with(with(run(50, 1.0), "num_prompts", json!(40)), "completed", json!(40));
    let (imported, judgements) = judged(&[source("a", idle), source("b", few)]);
    assert!(judgements.iter().all(|judgement| judgement.headline == Headline::Invalid));
    let shown = imported_text(&imported, &judgements);
    assert!(shown.contains("at 10 users about 8 requests were in flight"), "{shown}");
    assert!(shown.contains("at most 40 of 50 users could be in flight"), "{shown}");
}

#[test]
fn everything_wrong_with_results_of_bench_serve_is_told_at_once() {
    let open = with(run(10, 1.0), "max_concurrency", Value::Null);
    let other = with(run(20, 1.0), "model_id", json!("another/model"));
    let many = with(run(30, 1.0), "completed", json!(301));
    let mistyped = with(run(40, 1.0), "duration", json!("long"));
    let appended = format!("{}\n{}", run(5, 1.0), with(run(6, 1.0), "completed", json!(0)));
    let sources = [
        source("appended.json", appended),
        source("open.json", open),
        source("other.json", other),
        source("too-many.json", many),
        source("words.json", mistyped),
    ];
    insta::assert_snapshot!(problems(&sources));
}

/// Any small JSON value.
fn junk() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}|BASELINE|STRESS".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec(("[a-z_]{1,12}", inner), 0..3)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// Puts `value` in the place of the `nth` value of `tree`, counted from the outside.
fn replace(tree: &mut Value, nth: &mut usize, value: &Value) {
    if *nth == 0 {
        *tree = value.clone();
    }
    *nth = nth.wrapping_sub(1);
    match tree {
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, nth, value)),
        Value::Object(map) => map.values_mut().for_each(|item| replace(item, nth, value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

proptest! {
    /// Whatever is written in whatever place: a table that can be shown, or a problem.
    #[test]
    fn any_file_is_a_table_or_has_a_problem(
        sample in prop::sample::select(vec![SAMPLES[2].1.to_owned(), run(25, 2.0).to_string()]),
        nth in 0usize..60,
        value in junk(),
    ) {
        let mut tree: Value = serde_json::from_str(&sample).unwrap();
        replace(&mut tree, &mut nth.clone(), &value);
        match read(&[source("any.json", tree)]) {
            Ok(imported) => {
                let judgements = judge(&imported.levels, imported.baseline);
                let shown = imported_text(&imported, &judgements);
                prop_assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");
                let json = imported_json(&imported, &judgements);
                prop_assert!(serde_json::from_str::<Value>(&json).is_ok());
            }
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }
}
