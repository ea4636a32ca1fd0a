//! Data sets that take long to supply: over a slow line to an agent.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use harness::process::{self, AgentProcess, Process, Signal};
use harness::{poll, simulator, slow};

use super::data::campaign;

/// Prompts of 64 KiB, so many MiB of them.
fn write(file: &Path, mib: usize) {
    let mut lines = String::new();
    for number in 0..mib * 16 {
        let words = "word ".repeat((64 << 10) / 5);
        writeln!(lines, "{{\"prompt\":\"{number} {words}\",\"output_tokens\":3}}").unwrap();
    }
    std::fs::write(file, lines).unwrap();
}

#[test]
fn a_lease_is_renewed_while_data_is_on_its_way_for_longer_than_it_lasts() {
    let dir = tempfile::tempdir().unwrap();
    // 7 s of the line; a lease is 5 s.
    write(&dir.path().join("p.jsonl"), 10);
    let simulator = simulator::start(simulator::quick());
    let agent = AgentProcess::start("far");
    let text = campaign(simulator.address(), 2, 8, Path::new("p.jsonl"), "");
    std::fs::write(dir.path().join("campaign.toml"), text).unwrap();
    let line = slow::line(agent.address).to_string();
    let args = ["run", "campaign.toml", "--agents", &line, "--result-dir", "result"];
    let ended = process::floodmark(dir.path(), &args);
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
    let (totals, _) = simulator::truth(simulator);
    assert_eq!((totals.received, totals.completed), (8, 8));
}

#[test]
fn an_interrupt_while_data_is_on_its_way_ends_the_run_and_frees_the_agent() {
    let dir = tempfile::tempdir().unwrap();
    // More than half a minute of the line.
    write(&dir.path().join("p.jsonl"), 50);
    let simulator = simulator::start(simulator::quick());
    let agent = AgentProcess::start("far");
    let text = campaign(simulator.address(), 2, 8, Path::new("p.jsonl"), "");
    std::fs::write(dir.path().join("campaign.toml"), text).unwrap();
    let line = slow::line(agent.address).to_string();
    let args = ["run", "campaign.toml", "--agents", &line, "--result-dir", "result"];
    let coordinator = Process::floodmark(dir.path(), &args);
    poll::holds("data is on its way", Duration::from_secs(20), || {
        coordinator.stderr().contains("supplying 1 agent with 50")
    });
    coordinator.signal(Signal::INT);
    let ended = coordinator.end(Duration::from_secs(4));
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(ended.stderr.contains("interrupted before anything was sent"), "{}", ended.stderr);
    assert!(!dir.path().join("result").exists());
    process::until_idle(&agent.address.to_string(), Duration::from_secs(4));
    assert_eq!(simulator::truth(simulator).0.received, 0);
}
