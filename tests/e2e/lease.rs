//! A coordinator that dies or freezes: its agents fall silent by themselves, and are free again.

use std::thread;
use std::time::Duration;

use common::time::Tick;
use coordinator::record::LevelFate;
use harness::campaign::Campaign;
use harness::process::{self, AgentProcess, Process, Signal};
use harness::{poll, run, simulator};

const USERS: u32 = 12;
/// The lease, after which no request is started.
const LEASE: Duration = Duration::from_secs(5);
/// What is in flight then is cut after this.
const CUT_AFTER: Duration = Duration::from_secs(1);
/// For a busy host.
const MARGIN: Duration = Duration::from_millis(500);

/// Runs half of the users' requests as long ones and takes the coordinator away from its agents.
fn abandon(signal: Signal, campaign: fn(std::net::SocketAddr, u32) -> Campaign) {
    let dir = tempfile::tempdir().unwrap();
    let simulator = simulator::start(simulator::slow());
    let ledger = simulator.ledger();
    let agents = ["one", "two"].map(AgentProcess::start);
    let list = process::list(&agents);
    std::fs::write(dir.path().join("campaign.toml"), campaign(simulator.address(), USERS).text())
        .unwrap();
    let args = ["run", "campaign.toml", "--agents", &list, "--result-dir", "result"];
    let coordinator = Process::floodmark(dir.path(), &args);
    simulator::until_in_flight(&simulator, USERS.into());
    // A renewal must have been answered, or the lease would be that of the acquisition.
    let fired = ledger.totals().now;
    poll::holds("two seconds of load", Duration::from_secs(10), || {
        ledger.totals().now.since(fired) > Duration::from_secs(2)
    });
    let gone = ledger.totals().now;
    coordinator.signal(signal);

    let silent: Tick = poll::until("silence at the server", Duration::from_secs(15), || {
        let totals = ledger.totals();
        let connections = simulator::connections_to(simulator.address());
        (totals.in_flight == 0 && connections == 0).then_some(totals.now)
    });
    let took = silent.since(gone);
    assert!(took < LEASE + CUT_AFTER + MARGIN, "connections were open for {took:?}");
    let last = ledger.entries(0, usize::MAX).iter().map(|e| e.arrival).max().unwrap();
    let last = last.since(gone);
    assert!(last < LEASE + MARGIN, "a request was started {last:?} after the coordinator was gone");
    // Well into the lease there was load: nothing but the lease has ended it.
    assert!(took > LEASE - Duration::from_secs(2), "silent after {took:?} already");

    process::until_idle(&list, Duration::from_secs(5));
    if signal == Signal::STOP {
        coordinator.signal(Signal::CONT);
        let ended = coordinator.end(Duration::from_secs(10));
        assert_eq!(ended.code, Some(4), "{}", ended.stderr);
        let fate = run::load(&dir.path().join("result")).levels.remove(0).fate;
        assert!(matches!(fate, Some(LevelFate::Quarantined(_))), "{fate:?}");
    } else {
        drop(coordinator);
        let report = process::floodmark(dir.path(), &["report", "result"]);
        assert_eq!(report.code, Some(0), "{}", report.stderr);
        assert_eq!(run::load(&dir.path().join("result")).end, None);
    }
    let again = Campaign::new(simulator.address(), 4, 8);
    std::fs::write(dir.path().join("campaign.toml"), again.text()).unwrap();
    let args = ["run", "campaign.toml", "--agents", &list, "--result-dir", "again"];
    let ended = process::floodmark(dir.path(), &args);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn agents_without_their_coordinator_fall_silent_and_are_free_again() {
    thread::scope(|scope| {
        scope.spawn(|| abandon(Signal::KILL, Campaign::long));
        scope.spawn(|| abandon(Signal::KILL, Campaign::busy));
        scope.spawn(|| abandon(Signal::STOP, Campaign::long));
        scope.spawn(|| abandon(Signal::STOP, Campaign::busy));
    });
}
