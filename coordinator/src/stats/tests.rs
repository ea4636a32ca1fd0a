//! Every statistics, ratio and law case computed from the paper's tables.

use serde_json::Value;

use super::*;
use crate::paper_cases;

fn cases(key: &str) -> Vec<Value> {
    paper_cases()[key].as_array().unwrap().clone()
}

fn id(case: &Value) -> &str {
    case["id"].as_str().unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

/// Equal as far as the digits that the file prints.
fn printed(what: &str, got: f64, expected: &Value) {
    let digits = expected.to_string().split('.').nth(1).map_or(0, str::len);
    let slack = if expected.is_f64() { 0.51 * 10f64.powi(-(digits as i32)) } else { 0.0 };
    let expected = number(expected);
    assert!((got - expected).abs() <= slack, "{what}: {got}, expected {expected}");
}

#[test]
fn runs_are_described_as_computed_from_the_papers_tables() {
    let all = cases("statistics_cases");
    assert_eq!(all.len(), 7);
    for case in &all {
        let summary = describe(&numbers(&case["runs"])).unwrap();
        assert_eq!(summary.n as u64, case["n"].as_u64().unwrap());
        let tolerance = case["tolerance_rel"].as_f64().unwrap_or(0.0);
        let expected = case["expected"].as_object().unwrap();
        for (key, expected) in expected {
            let got = match key.as_str() {
                "mean" => Some(summary.mean),
                "sample_sd" => summary.sd,
                "ci95_half_width" => summary.ci95_half_width,
                "cov_percent" => summary.cov.map(|cov| cov * 100.0),
                "t_975_df4" => {
                    let root_n = (summary.n as f64).sqrt();
                    summary.ci95_half_width.map(|half| half * root_n / summary.sd.unwrap())
                }
                unknown => panic!("{}: no test for {unknown}", id(case)),
            };
            match (got, expected.as_f64()) {
                (None, None) => {}
                (Some(got), Some(expected)) => assert!(
                    (got - expected).abs() <= tolerance * expected,
                    "{} {key}: {got}, expected {expected}",
                    id(case)
                ),
                (got, _) => panic!("{} {key}: {got:?}, expected {expected}", id(case)),
            }
        }
        for (key, got) in [("min", summary.min), ("max", summary.max)] {
            if let Some(expected) = case["printed"][key].as_f64() {
                assert_eq!(got, expected, "{} {key}", id(case));
            }
        }
    }
}

#[test]
fn student_t_agrees_with_the_tables() {
    for row in paper_cases()["method_vectors"]["t_quantiles_975"].as_array().unwrap() {
        let freedom = row["df"].as_u64().unwrap() as usize;
        let mut values = vec![0.0; freedom];
        values.push(1.0);
        let summary = describe(&values).unwrap();
        let root_n = (summary.n as f64).sqrt();
        let t = summary.ci95_half_width.unwrap() * root_n / summary.sd.unwrap();
        assert!((t - number(&row["t"])).abs() < 2e-6, "{row}: {t}");
    }
}

#[test]
fn an_empty_sample_and_a_mean_of_zero_have_no_such_numbers() {
    assert_eq!(describe(&[]), None);
    assert_eq!(describe(&[-1.0, 1.0]).unwrap().cov, None);
    assert_eq!(ratio(1.0, 0.0), None);
    assert_eq!(ratio(0.0, 0.0), None);
}

#[test]
fn ratios_are_those_of_the_papers_tables() {
    for case in &cases("ratio_cases") {
        match case["op"].as_str().unwrap() {
            "a/b" => {
                let inputs = numbers(&case["inputs"]);
                printed(id(case), ratio(inputs[0], inputs[1]).unwrap(), &case["expected"]);
            }
            "a/b each" => {
                let pairs = case["inputs"].as_array().unwrap();
                for (pair, expected) in pairs.iter().zip(case["expected"].as_array().unwrap()) {
                    let pair = numbers(pair);
                    printed(id(case), ratio(pair[0], pair[1]).unwrap(), expected);
                }
            }
            unknown => panic!("{}: no test for {unknown}", id(case)),
        }
    }
}

#[test]
fn laws_tie_the_papers_rates_latencies_and_counts() {
    for case in &cases("law_cases") {
        let given = |key: &str| number(&case["inputs"][key]);
        let over = |part: f64, whole: f64| ratio(part, whole).unwrap();
        let mut left: Vec<&str> =
            case["expected"].as_object().unwrap().keys().map(String::as_str).collect();
        let mut is = |key: &str, got: f64| {
            left.retain(|name| *name != key);
            printed(&format!("{} {key}", id(case)), got, &case["expected"][key]);
        };
        match id(case) {
            "L1" => {
                let bound = in_flight(given("rate_rps"), given("p99_s"));
                is("max_inflight", bound);
                let claimed = numbers(&case["inputs"]["claimed_concurrency"]);
                assert!(claimed.iter().all(|users| bound < 0.98 * users));
                assert_eq!(case["expected"]["verdict"], "CONCURRENCY_NOT_REACHED");
                left.retain(|name| *name != "verdict");
            }
            "L2" => is("rps", over(given("output_tok_s"), given("output_tokens_per_request"))),
            "L3" => {
                let rps = over(given("output_tok_s"), given("output_tokens_per_request"));
                is("rps", rps);
                let prompt_tok_s = given("total_tok_s") - given("output_tok_s");
                is("prompt_tokens_per_request", over(prompt_tok_s, rps));
            }
            "L4" => {
                let total_over_output = over(given("total_tok_s"), given("output_tok_s"));
                is("total_over_output", total_over_output);
                let output_if = |prompt: f64| over(prompt, total_over_output - 1.0);
                is("output_tokens_per_request_if_prompt_300", output_if(300.0));
                is("output_tokens_per_request_if_prompt_500", output_if(500.0));
            }
            "L5" => is("mean_latency_s", over(given("concurrency"), given("rps"))),
            "L6" => is(
                "tokens_per_request",
                over(given("tok_s") * given("minutes") * 60.0, given("requests")),
            ),
            "L7" => {
                let rps = over(given("output_tok_s"), 200.0);
                let tokens = over(given("total_tok_s"), rps);
                is("tokens_per_request", tokens);
                let prompt_tok_s = given("total_tok_s") - given("output_tok_s");
                is("prompt_share", over(prompt_tok_s, given("total_tok_s")));
                let image = tokens * given("image_share");
                is("image_tokens_per_request", image);
                is("text_tokens_per_request", tokens - 200.0 - image);
            }
            "L8" => {
                let prompt_tok_s = given("total_tok_s") - given("output_tok_s");
                let rps = over(prompt_tok_s, given("prompt_tokens"));
                is("output_tokens_per_request", over(given("output_tok_s"), rps));
            }
            "L9" => is("tokens_per_request", over(given("tokens"), given("requests"))),
            "L10" => {
                let per_level = given("requests");
                let all = given("levels") * given("runs") * per_level * given("models");
                is("requests", all);
                is("max_inflight", per_level);
            }
            "L11" => is("base_requests", over(given("requests"), given("multiplier"))),
            unknown => panic!("no test for {unknown}"),
        }
        assert!(left.is_empty(), "{}: untested {left:?}", id(case));
    }
}
