//! An agent that dies takes its level with it, and nothing else.

use std::time::Duration;

use coordinator::record::LevelFate;
use harness::campaign::Campaign;
use harness::process::{self, AgentProcess, Process, Signal};
use harness::{poll, run, simulator};

const USERS: u32 = 12;

#[test]
fn a_killed_agent_quarantines_its_level_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let simulator = simulator::start(simulator::slow());
    let agents = ["survivor", "victim"].map(AgentProcess::start);
    let campaign = Campaign::busy(simulator.address(), USERS);
    std::fs::write(dir.path().join("campaign.toml"), campaign.text()).unwrap();
    let list = process::list(&agents);
    let args = ["run", "campaign.toml", "--agents", &list, "--result-dir", "result"];
    let coordinator = Process::floodmark(dir.path(), &args);
    simulator::until_in_flight(&simulator, USERS.into());
    agents[1].process.signal(Signal::KILL);

    let ended = coordinator.end(Duration::from_secs(15));
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    poll::holds("the survivor has stopped", Duration::from_secs(2), || {
        simulator.ledger().totals().in_flight == 0
    });
    process::until_idle(&agents[0].address.to_string(), Duration::from_secs(5));

    let record = run::load(&dir.path().join("result"));
    let level = &record.levels[0];
    let Some(LevelFate::Quarantined(because)) = &level.fate else { panic!("{:?}", level.fate) };
    let named = format!("agent victim ({}) was lost", agents[1].address);
    assert!(because.contains(&named), "{because}");
    let sealed: Vec<bool> = level.shares.iter().map(|share| share.seal.is_some()).collect();
    assert_eq!(sealed, [true, false]);
    let report = process::floodmark(dir.path(), &["report", "result"]);
    assert_eq!(report.code, Some(0), "{}", report.stderr);
    assert!(report.stdout.contains("agent victim"), "{}", report.stdout);
    let json = process::floodmark(dir.path(), &["report", "result", "--format", "json"]).stdout;
    let level = &serde_json::from_str::<serde_json::Value>(&json).unwrap()["levels"][0];
    assert_eq!(level["verdicts"][0]["code"], "AGENT_LOST");
    // Half of the users were the victim's.
    assert_eq!(level["requests"]["unknown"], u64::from(USERS) * 1000 / 2);
}
