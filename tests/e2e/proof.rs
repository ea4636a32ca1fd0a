//! Proofs of the client, by real agents against their own simulators.

use std::path::Path;
use std::time::Duration;

use agent::sim::Profile;
use harness::process::Process;
use harness::simulator;
use serde_json::Value;

/// Longest time that anything here may take.
const BOUND: Duration = Duration::from_secs(180);

fn summary(dir: &Path) -> Value {
    let text = std::fs::read_to_string(dir.join("summary.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// All numbers are there, and nothing was lost. Whether the client was quick enough is the
/// machine's to say.
fn assert_measured(proof: &Value, number_of_checks: usize) {
    for key in ["in_flight", "requests_per_s", "events_per_s"] {
        assert!(proof[key].as_f64().is_some_and(|number| number > 0.0), "{key} of {proof}");
    }
    let checks = proof["checks"].as_array().unwrap();
    assert_eq!(checks.len(), number_of_checks, "{proof}");
    for check in checks {
        assert!(check["value"].is_number() && check["limit"].is_number(), "{check}");
        assert!(check["name"] != "lost" || check["passed"] == true, "{check}");
    }
    let passed = checks.iter().all(|check| check["passed"] == true);
    assert_eq!(proof["passed"], passed);
}

#[test]
fn agents_are_calibrated_against_simulators_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let line = "agents prove --embedded 2 --users 10 --duration 2s --result-dir result";
    let words: Vec<&str> = line.split(' ').collect();
    let ended = Process::floodmark(dir.path(), &words).end(BOUND);
    let summary = summary(&dir.path().join("result"));
    assert_eq!(summary["levels"], Value::Array(Vec::new()));
    let proofs = summary["client_proof"].as_array().unwrap();
    assert_eq!(proofs.len(), 1);
    let proof = &proofs[0];
    assert_eq!((&proof["when"], &proof["asked"]), (&"calibration".into(), &20.into()));
    assert_measured(proof, 6);
    let agents = proof["per_agent"].as_array().unwrap();
    assert_eq!(agents.len(), 2);
    agents.iter().for_each(|agent| assert_measured(agent, 5));
    let all = proof["passed"] == true;
    assert!(!all || agents.iter().all(|agent| agent["passed"] == true));
    assert_eq!(ended.code, Some(if all { 0 } else { 4 }), "{}", ended.stdout);
    assert!(ended.stdout.contains("embedded-2") && ended.stdout.contains("lower bounds"));
}

#[test]
fn a_run_proves_its_client_before_and_after_for_twice_what_it_reached() {
    let (ttft, itl) = (Duration::from_millis(100), Duration::from_millis(20));
    let server = simulator::start(Profile { ttft, itl, ..Profile::default() });
    let dir = tempfile::tempdir().unwrap();
    let target = format!("http://{}", server.address());
    let line = "--model sim --users 10 --input-tokens 12 --output-tokens 10 --duration 3s \
                --set workloads.default.lengths=characters --client-proof on --embedded 2 \
                --result-dir result";
    let mut words = vec!["run", "--target", &target];
    words.extend(line.split_whitespace());
    let ended = Process::floodmark(dir.path(), &words).end(BOUND);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("[1/2] client proof before"), "{}", ended.stderr);
    let summary = summary(&dir.path().join("result"));
    let levels = summary["levels"].as_array().unwrap();
    assert_eq!(levels.len(), 1, "proofs are no levels");
    let (received, _) = simulator::truth(server);
    assert_eq!(levels[0]["requests"]["started"], received.received, "the target saw no proof");

    let proofs = summary["client_proof"].as_array().unwrap();
    let when: Vec<&str> = proofs.iter().map(|proof| proof["when"].as_str().unwrap()).collect();
    assert_eq!(when, ["before", "after"]);
    proofs.iter().for_each(|proof| assert_measured(proof, 6));
    assert_eq!(proofs[0]["asked"], 20);
    let number = |value: &Value| value.as_f64().unwrap();
    let reached = number(&levels[0]["rates"]["requests_per_s"]);
    assert!(number(&proofs[1]["asked"]) >= 20.0);
    let proven = number(&proofs[1]["requests_per_s"]);
    assert!(proven >= 1.9 * reached, "{proven} requests/s for twice {reached}");
}
