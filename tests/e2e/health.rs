//! What hosts tell of themselves reaches the report, and strikes a level that they were the limit of.

use std::path::PathBuf;
use std::time::Duration;

use harness::campaign::Campaign;
use harness::process::{self, AgentProcess, Process};
use harness::{binaries, simulator};
use serde_json::Value;

/// A group of processes with a quota of processor time, where this host lets one be made.
struct Quota(PathBuf);

impl Quota {
    /// A fifth of a processor, in periods of 50 ms; `None` without the rights, or without such
    /// groups.
    fn a_fifth() -> Option<Self> {
        let name = format!("floodmark-test-{}", std::process::id());
        let kinds = [
            ("/sys/fs/cgroup", vec![("cpu.max", "10000 50000")]),
            (
                "/sys/fs/cgroup/cpu",
                vec![("cpu.cfs_period_us", "50000"), ("cpu.cfs_quota_us", "10000")],
            ),
        ];
        kinds.into_iter().find_map(|(mount, limits)| {
            let group = PathBuf::from(mount).join(&name);
            std::fs::create_dir(&group).ok()?;
            let quota = Self(group);
            let mut set = limits.iter().map(|(file, text)| quota.write(file, text));
            set.all(|written| written.is_ok()).then_some(quota)
        })
    }

    fn write(&self, file: &str, text: &str) -> std::io::Result<()> {
        // Not made anew: what is no such group has no such file.
        let file = self.0.join(file);
        let mut file = std::fs::OpenOptions::new().write(true).open(file)?;
        std::io::Write::write_all(&mut file, text.as_bytes())
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // It is empty once the agent is gone.
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// The only level of a run of a few seconds over these agents, as `summary.json` has it.
fn level(campaign: &Campaign, agents: &[AgentProcess]) -> Value {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("campaign.toml"), campaign.text()).unwrap();
    let list = process::list(agents);
    let args = ["run", "campaign.toml", "--agents", &list, "--result-dir", "result"];
    let ended = Process::floodmark(dir.path(), &args).end(Duration::from_secs(120));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let summary = std::fs::read_to_string(dir.path().join("result/summary.json")).unwrap();
    serde_json::from_str::<Value>(&summary).unwrap()["levels"][0].take()
}

fn evidence(level: &Value, effect: &str) -> String {
    let verdicts = level["verdicts"].as_array().unwrap().iter();
    let limited = verdicts.filter(|v| v["code"] == "CLIENT_LIMITED" && v["effect"] == effect);
    limited.map(|verdict| verdict["evidence"].as_str().unwrap()).collect::<Vec<_>>().join("; ")
}

#[test]
fn a_host_tells_of_the_measured_time() {
    let simulator = simulator::start(simulator::quick());
    let campaign = Campaign { window: Some("2s"), ..Campaign::new(simulator.address(), 4, 1) };
    let agents = [AgentProcess::bound("bound")];
    let looks =
        process::floodmark(&binaries::root(), &["agents", "--agents", &process::list(&agents)]);
    let row = looks.stdout.lines().nth(1).unwrap();
    assert!(looks.stdout.contains("PROCESSORS") && !row.contains(" any "), "{}", looks.stdout);
    let level = level(&campaign, &agents);
    let host = &level["per_agent"][0]["host"];
    let worker = &host["workers"][0];
    assert!(worker["cpu_share"].as_f64().unwrap() > 0.0, "{host}");
    assert!(worker["run_queue_wait_share"].is_f64() && worker["processor"].is_u64(), "{host}");
    assert!(host["fds"]["used"].as_u64().unwrap() >= 4, "{host}");
    assert!(host["ports"]["used"].as_u64().unwrap() >= 4, "{host}");
    assert!(host["tcp"]["segments"].as_u64().unwrap() > 100, "{host}");
    // Nothing of the network's hardware is known of loopback.
    assert_eq!((&host["nic"]["name"], &host["nic"]["share"]), (&"lo".into(), &Value::Null));
    assert!(host["nic"]["bytes_per_s"].as_u64().unwrap() > 1000, "{host}");
    assert_eq!(level["client"]["host"]["nic_share"], Value::Null);
}

#[test]
fn a_quota_that_bites_makes_the_client_the_limit() {
    let Some(quota) = Quota::a_fifth() else {
        // Needs root and a writable hierarchy of control groups.
        return;
    };
    let simulator = simulator::start(simulator::quick());
    let campaign = Campaign::new(simulator.address(), 60, 2500);
    let agents = [AgentProcess::start("held")];
    quota.write("cgroup.procs", &agents[0].process.id().to_string()).unwrap();
    let level = level(&campaign, &agents);
    drop(agents);
    let told = evidence(&level, "INVALID");
    assert!(told.contains("a quota of processor time held agent held up in"), "{told}");
    let throttled = &level["per_agent"][0]["host"]["throttled_share"];
    assert!(throttled.as_f64().unwrap() > 0.5, "{throttled}");
    assert_eq!(level["axes"]["headline"], "INVALID");
}
