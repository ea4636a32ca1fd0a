//! What a host can carry: found, kept, told, and what is beyond it refused.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use agent::ceiling;
use common::ceiling::{Held, HostCeiling};
use harness::campaign::Campaign;
use harness::process::{AgentProcess, Ended, Process, floodmark};
use harness::{binaries, simulator};
use serde_json::Value;

/// Longest time that anything here may take.
const BOUND: Duration = Duration::from_secs(120);

fn agent(args: &[&str]) -> Ended {
    Process::start(&binaries::floodmark_agent(), &binaries::root(), args).end(BOUND)
}

fn write(dir: &Path, campaign: &Campaign) {
    std::fs::write(dir.join("campaign.toml"), campaign.text()).unwrap();
}

/// The local addresses of established connections to `target`, and how many each has.
fn sources(target: SocketAddr) -> BTreeMap<String, usize> {
    let far = format!("0100007F:{:04X}", target.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let mut found = BTreeMap::new();
    for row in table.lines().skip(1) {
        let row: Vec<&str> = row.split_whitespace().collect();
        if row[2] == far && row[3] == "01" {
            *found.entry(row[1].split(':').next().unwrap().to_owned()).or_default() += 1;
        }
    }
    found
}

#[test]
fn users_are_spread_over_the_source_addresses() {
    let server = simulator::start(simulator::slow());
    let more = ["--source-address", "127.0.0.2", "--source-address", "127.0.0.3"];
    let agent = AgentProcess::start_with("spread", &more, None);
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &Campaign::long(server.address(), 9));
    let agents = agent.address.to_string();
    let args = ["run", "campaign.toml", "--agents", &agents, "--result-dir", "result"];
    let run = Process::floodmark(dir.path(), &args);
    simulator::until_in_flight(&server, 9);
    // In the order of the host's bytes.
    let spread = [("0200007F".to_owned(), 5), ("0300007F".to_owned(), 4)];
    assert_eq!(sources(server.address()), BTreeMap::from(spread));
    run.signal(harness::process::Signal::INT);
    assert_eq!(run.end(BOUND).code, Some(130));
}

#[test]
fn what_a_host_cannot_carry_is_refused_before_anything_is_sent() {
    let server = simulator::start(simulator::quick());
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &Campaign::new(server.address(), 100, 100));
    for (more, files, said) in [
        (&[][..], Some(300), "need 356 open files, the limit is 300"),
        (&["--workers", "500"], None, "500 workers need a processor each"),
        (&["--source-address", "192.0.2.99"], None, "ip addr add 192.0.2.99/32"),
    ] {
        let agent = AgentProcess::start_with("small", more, files);
        let result = format!("result-{}", agent.address.port());
        let agents = agent.address.to_string();
        let args = ["run", "campaign.toml", "--agents", &agents, "--result-dir", &result];
        let ended = floodmark(dir.path(), &args);
        assert_eq!(ended.code, Some(4), "{said}: {}{}", ended.stdout, ended.stderr);
        let all = format!("{}{}", ended.stdout, ended.stderr);
        assert!(all.contains(said), "{said}: {all}");
    }
    assert_eq!(server.ledger().totals().received, 0);
}

#[test]
fn a_host_is_checked_without_a_run() {
    let enough = agent(&["check", "--users", "10", "--workers", "1"]);
    assert_eq!(enough.code, Some(0), "{}{}", enough.stdout, enough.stderr);
    for name in ["open files", "local ports", "memory", "processors"] {
        assert!(enough.stdout.contains(name), "{}", enough.stdout);
    }
    let lacking = agent(&["check", "--users", "100000000", "--workers", "1"]);
    assert_eq!(lacking.code, Some(4), "{}", lacking.stdout);
    assert!(lacking.stderr.contains("LimitNOFILE="), "{}", lacking.stderr);
}

#[test]
fn a_ceiling_is_found_kept_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let state = state.to_str().unwrap();
    let agent = AgentProcess::start_with("measured", &["--state-dir", state], None);
    let agents = agent.address.to_string();
    let args = ["agents", "calibrate", "--agents", &agents, "--quick", "--format", "json"];
    let ended = Process::floodmark(dir.path(), &args).end(BOUND);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let found: Value = serde_json::from_str(&ended.stdout).unwrap();
    let found = &found[0]["ceiling"];
    let kept = ceiling::kept(Path::new(state)).unwrap();
    for (name, held) in [
        ("streams", &kept.streams),
        ("requests_per_s", &kept.requests_per_s),
        ("chunks_per_s", &kept.chunks_per_s),
    ] {
        assert_eq!(found[name]["most"], held.most, "{found}");
        // How much it is, is the machine's to say.
        assert!(!held.limit.is_empty(), "{name}: {held:?}");
    }
    let look = floodmark(dir.path(), &["agents", "--agents", &agents]);
    assert!(look.stdout.contains(&format!("{} streams", kept.streams.most)), "{}", look.stdout);
}

#[test]
fn a_run_of_more_than_half_a_ceiling_is_warned_of() {
    let server = simulator::start(simulator::quick());
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &Campaign::new(server.address(), 6, 12));
    let state = dir.path().join("state");
    let run = |result: &str| {
        let agent =
            AgentProcess::start_with("low", &["--state-dir", state.to_str().unwrap()], None);
        let agents = agent.address.to_string();
        let args = ["run", "campaign.toml", "--agents", &agents, "--result-dir", result];
        let ended = floodmark(dir.path(), &args);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stderr
    };
    let said = run("first");
    assert!(said.contains("not calibrated: low;"), "{said}");
    let held = |most| Held { most, ..Held::default() };
    let ceiling = HostCeiling {
        found_at_ms: 1,
        version: "0.0.1".to_owned(),
        workers: 1,
        shared: false,
        streams: held(10),
        requests_per_s: held(1000),
        chunks_per_s: held(1000),
    };
    ceiling::keep(&state, &ceiling).unwrap();
    let said = run("second");
    assert!(said.contains("agent low is asked for 6 users"), "{said}");
    assert!(said.contains("10 with 1 worker(s)"), "{said}");
}
