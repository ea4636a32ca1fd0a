//! What cannot be done is refused before anything is sent, with all that is needed to put it right.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use agent::sim::SimThread;
use harness::campaign::Campaign;
use harness::process::{self, AgentProcess, Ended, Process};
use harness::{binaries, simulator};
use tempfile::TempDir;

/// A directory with a campaign of one short level against a simulator.
fn scene() -> (TempDir, SimThread) {
    let dir = tempfile::tempdir().unwrap();
    let simulator = simulator::start(simulator::quick());
    let text = Campaign::new(simulator.address(), 2, 4).text();
    std::fs::write(dir.path().join("campaign.toml"), text).unwrap();
    (dir, simulator)
}

fn run(dir: &Path, more: &[&str]) -> Ended {
    process::floodmark(dir, &[&["run", "campaign.toml"], more].concat())
}

/// The exit code, every one of `says` on standard error, and nothing on standard output.
fn assert_refused(ended: &Ended, code: i32, says: &[&str]) {
    assert_eq!((ended.code, &*ended.stdout), (Some(code), ""), "{}", ended.stderr);
    for text in says {
        assert!(ended.stderr.contains(text), "no {text:?} in {}", ended.stderr);
    }
}

fn assert_untouched(simulator: SimThread) {
    assert_eq!(simulator::truth(simulator).0.received, 0);
}

/// A port of loopback on which nobody listens.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_wrong_campaign_is_told_all_its_problems() {
    let (dir, simulator) = scene();
    let path = dir.path().join("campaign.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace("model  ", "modle  ").replace("cache         = \"cold\"", "cache = 3");
    std::fs::write(path, text).unwrap();
    let ended = run(dir.path(), &["--tier", "huge", "--seed", "x"]);
    let says = ["campaign.toml:7:", "modle", "model", "cache", "--tier", "huge", "--seed"];
    assert_refused(&ended, 2, &says);
    assert_untouched(simulator);
}

#[test]
fn an_absent_target_is_named_with_the_time_it_was_waited_for() {
    let (dir, _simulator) = scene();
    let url = format!("http://127.0.0.1:{}", free_port());
    let ended = run(dir.path(), &["--target", &url, "--ready-timeout", "1s"]);
    assert_refused(&ended, 3, &[&url, "is not ready", "waited"]);
}

#[test]
fn an_unreachable_agent_is_named_and_nobody_else_is_bothered() {
    let (dir, simulator) = scene();
    let agent = AgentProcess::start("present");
    let absent = format!("127.0.0.1:{}", free_port());
    let ended = run(dir.path(), &["--agents", &format!("{},{absent}", agent.address)]);
    assert_refused(&ended, 4, &[&format!("agent {absent}: ")]);
    assert!(!ended.stderr.contains(&agent.address.to_string()), "{}", ended.stderr);
    assert_untouched(simulator);
}

#[test]
fn a_busy_agent_names_its_holder() {
    let (dir, simulator) = scene();
    let agent = AgentProcess::start("busy");
    let address = agent.address.to_string();
    let slow = simulator::start(simulator::slow());
    std::fs::write(dir.path().join("long.toml"), Campaign::long(slow.address(), 2).text()).unwrap();
    let args = ["run", "long.toml", "--agents", &address, "--result-dir", "long"];
    let holder = Process::floodmark(dir.path(), &args);
    simulator::until_in_flight(&slow, 2);
    let ended = run(dir.path(), &["--agents", &address]);
    let held_by = harness::run::load(&dir.path().join("long")).header.run.to_string();
    let named = format!("agent {address}: it is busy with run {held_by} of 127.0.0.1:");
    assert_refused(&ended, 4, &[&named, "lease ends in"]);
    assert_untouched(simulator);
    drop(holder);
}

#[test]
fn an_agent_beyond_loopback_wants_certificates() {
    let args = ["serve", "--listen", "0.0.0.0:0"];
    let agent = Process::start(&binaries::floodmark_agent(), &binaries::root(), &args);
    let ended = agent.end(Duration::from_secs(10));
    assert_refused(&ended, 2, &["0.0.0.0:0", "tls_cert"]);
}

#[test]
fn a_result_directory_that_cannot_be_used_is_told_before_anything_is_sent() {
    let (dir, simulator) = scene();
    std::fs::write(dir.path().join("file"), "mine").unwrap();
    let ended = run(dir.path(), &["--result-dir", "file"]);
    assert_refused(&ended, 5, &["file"]);
    assert_eq!(std::fs::read_to_string(dir.path().join("file")).unwrap(), "mine");
    assert_untouched(simulator);

    let (dir, simulator) = scene();
    assert_eq!(run(dir.path(), &["--result-dir", "result"]).code, Some(0));
    let kept = std::fs::read(dir.path().join("result/summary.json")).unwrap();
    let ended = run(dir.path(), &["--result-dir", "result"]);
    assert_refused(&ended, 5, &["run.sqlite already holds a run"]);
    assert_eq!(std::fs::read(dir.path().join("result/summary.json")).unwrap(), kept);
    assert_eq!(simulator::truth(simulator).0.received, 4);
}
