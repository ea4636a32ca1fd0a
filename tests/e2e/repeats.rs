//! Repeats with an operator's commands in between: run, ordered, failing, hanging.

use std::path::Path;

use coordinator::record::{LevelFate, RunOutcome};
use coordinator::report::ReportModel;
use harness::campaign::Campaign;
use harness::run::{self, Ran};
use harness::simulator;

/// A level of 3 users and 9 requests, and these tables.
fn ran(tables: &str) -> Ran {
    let simulator = simulator::start(simulator::quick());
    let text = format!("{}{tables}", Campaign::new(simulator.address(), 3, 9).text());
    run::text_to_end(&text, 2)
}

fn script(dir: &Path, text: &str) -> String {
    let marks = dir.join("marks");
    let text = text.replace("MARKS", marks.to_str().unwrap()).replace('"', "\\\"");
    format!("restart = [\"sh\", \"-c\", \"{text}\"]\n")
}

#[test]
fn every_repeat_begins_with_a_restart_and_agents_bear_a_slow_one() {
    let dir = tempfile::tempdir().unwrap();
    // Longer than a lease: the fleet is kept while the operator's command runs.
    let slow = script(dir.path(), "echo x >> MARKS; [ $(wc -l < MARKS) -ne 2 ] || sleep 7");
    let ran = ran(&format!("[server]\n{slow}[repeats]\ncount = 3\nrestart_server = true\n"));
    assert_eq!((ran.end.outcome, ran.end.exit_code), (RunOutcome::Completed, 0), "{:?}", ran.end);
    let marks = std::fs::read_to_string(dir.path().join("marks")).unwrap();
    assert_eq!(marks.lines().count(), 3);
    let repeats: Vec<u32> = ran.record.levels.iter().map(|level| level.planned.repeat).collect();
    assert_eq!(repeats, [0, 1, 2]);
    assert!(ran.record.levels.iter().all(|level| level.planned.before.restart_server));
    let asked: Vec<_> = ran.record.identities.iter().map(|record| record.asked).collect();
    assert_eq!(asked.len(), 5, "at the start, after each restart, at the end: {asked:?}");
    let model = ReportModel::new(&ran.record, &[]);
    assert_eq!(model.target.restarts, 3);
    let repeated = &model.repeats[0];
    let out = repeated.left_out.len();
    assert_eq!((repeated.n + out, model.repeats.len()), (3, 1), "{repeated:?}");
}

#[test]
fn a_command_that_fails_ends_the_run_and_keeps_what_was_measured() {
    let dir = tempfile::tempdir().unwrap();
    let second = script(
        dir.path(),
        "[ ! -e MARKS ] || { echo Unit vllm not found >&2; exit 5; }; touch MARKS",
    );
    let ran = ran(&format!("[server]\n{second}[repeats]\ncount = 3\nrestart_server = true\n"));
    assert_eq!((ran.end.outcome, ran.end.exit_code), (RunOutcome::Failed, 3));
    let because = &ran.end.because;
    assert!(
        because.contains("exit status: 5") && because.contains("Unit vllm not found"),
        "{because}"
    );
    let fates: Vec<_> = ran.record.levels.iter().map(|level| level.fate.clone()).collect();
    assert_eq!(fates, [Some(LevelFate::Completed)]);
}

#[test]
fn a_command_that_hangs_is_ended_in_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let hangs = script(dir.path(), "echo waiting for the GPU; sleep 120");
    let ran =
        ran(&format!("[server]\n{hangs}hook_timeout = \"1s\"\n[repeats]\nrestart_server = true\n"));
    let took_ms = ran.end.finished_at.0 - ran.record.header.started_at.0;
    assert!(took_ms < 20_000, "{took_ms}");
    assert_eq!((ran.end.outcome, ran.end.exit_code), (RunOutcome::Failed, 3));
    let because = &ran.end.because;
    assert!(because.contains("within 1 s") && because.contains("waiting for the GPU"), "{because}");
    assert_eq!(ran.record.levels, []);
}

#[test]
fn repeats_stop_once_the_interval_is_narrow() {
    // A server that always answers alike needs no more than the least number of repeats.
    let ran = ran("[repeats]\ncount = 30\nuntil = { half_width = \"40%\", least = 3 }\n");
    assert_eq!((ran.end.outcome, ran.end.exit_code), (RunOutcome::Completed, 0), "{:?}", ran.end);
    let because = &ran.end.because;
    assert!(ran.record.levels.len() < 30, "{because}");
    assert!(because.contains("within 40 %"), "{because}");
}
