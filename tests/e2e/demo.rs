//! The first thing that anybody runs.

use harness::process;
use serde_json::Value;

/// Every key of `summary.json` is relied on from outside: nothing may vanish.
const TOP: &str = "schema_version tool run_id name mode tier seed campaign_sha256 started_at \
    finished_at outcome exit_code agents baseline levels peak saturation ended_because";
const LEVEL: &str = "phase label repeat attempt workload users_asked in_flight_mean \
    in_flight_peak in_flight_below_95pct_share requests tokens wall_s window rates latency_ms \
    paper status axes verdicts client per_agent histogram_sha256";
const OF_LEVEL: [(&str, &str); 9] = [
    ("requests", "started succeeded failed censored by_class"),
    ("tokens", "prompt completion reasoning cached_prompt source"),
    ("window", "start_s end_s steady"),
    ("rates", "requests_per_s output_tok_s prompt_tok_s total_tok_s goodput_per_s"),
    ("latency_ms", "ttft ttft_plan e2e e2e_plan tpot icl send_lag receive_lag"),
    ("paper", "total_tok_s output_tok_s p50_s p95_s p99_s success status"),
    ("axes", "reliability latency load"),
    ("client", "worker_cpu_max loop_lag_p99_ms receive_lag_p99_ms send_lag_p99_ms"),
    ("per_agent", "agent users requests tokens in_flight_mean latency_ms"),
];
const DISTRIBUTION: &str = "count mean min max p50 p90 p95 p99 p999 p99_certified";
const AGENT: &str = "name agent_id address version workers clock_offset_us clock_error_us";

fn assert_keys(value: &Value, keys: &str) {
    for key in keys.split_whitespace() {
        assert!(value.get(key).is_some(), "no {key} in {value}");
    }
}

#[test]
fn the_demo_runs_five_phases_and_prints_the_report_alone() {
    let dir = tempfile::tempdir().unwrap();
    // The harness gives it less than a minute.
    let ended = process::floodmark(dir.path(), &["demo", "--quick", "--result-dir", "result"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let report = process::floodmark(dir.path(), &["report", "result"]);
    assert_eq!(ended.stdout, report.stdout, "standard output is the report and nothing else");
    assert!(ended.stderr.contains("[9/9] SATURATION"), "{}", ended.stderr);

    let text = std::fs::read_to_string(dir.path().join("result/summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&text).unwrap();
    assert_keys(&summary, TOP);
    assert_keys(&summary["tool"], "name version");
    assert_keys(&summary["baseline"], "p99_ms");
    assert_keys(&summary["peak"], "phase label users total_tok_s output_tok_s");
    assert_keys(&summary["saturation"], "users method ci");
    let agents = summary["agents"].as_array().unwrap();
    assert_eq!(agents.len(), 2);
    agents.iter().for_each(|agent| assert_keys(agent, AGENT));
    assert_eq!((&summary["outcome"], &summary["exit_code"]), (&"completed".into(), &0.into()));

    let levels = summary["levels"].as_array().unwrap();
    let mut phases: Vec<&str> = levels.iter().map(|l| l["phase"].as_str().unwrap()).collect();
    assert_eq!(phases.len(), 9);
    phases.dedup();
    assert_eq!(phases, ["WARMUP", "BASELINE", "SCALING", "STRESS", "SATURATION"]);
    for level in levels {
        assert_keys(level, LEVEL);
        for (key, keys) in OF_LEVEL {
            match &level[key] {
                Value::Array(each) => each.iter().for_each(|one| assert_keys(one, keys)),
                one => assert_keys(one, keys),
            }
        }
        let latencies = level["latency_ms"].as_object().unwrap();
        latencies.values().for_each(|latency| assert_keys(latency, DISTRIBUTION));
        let requests = &level["requests"];
        assert_eq!(requests["started"], requests["succeeded"]);
    }
}
