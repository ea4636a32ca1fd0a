//! An operator who stops a run gets silence within two seconds and keeps what was measured.

use std::time::Duration;

use agent::sim::{LedgerHandle, SimThread};
use common::time::Tick;
use coordinator::exit::Exit;
use coordinator::record::{LevelFate, RunOutcome, RunRecord};
use harness::campaign::Campaign;
use harness::process::{self, Process, Signal};
use harness::{poll, run, simulator};
use tempfile::TempDir;

const USERS: u32 = 12;
/// After a stop, how long requests in flight may go on, and a margin for a busy host.
const SILENT_WITHIN: Duration = Duration::from_secs(2);
/// After a stop, how long until no request is started any more.
const NO_START_AFTER: Duration = Duration::from_secs(1);

/// Waits until nothing is in flight, and checks that this came soon enough after `stopped`.
fn assert_silent(ledger: &LedgerHandle, stopped: Tick) {
    let silent = poll::until("silence at the server", Duration::from_secs(10), || {
        let totals = ledger.totals();
        (totals.in_flight == 0).then_some(totals.now)
    });
    let took = silent.since(stopped);
    assert!(took < SILENT_WITHIN, "requests were in flight {took:?} after the stop");
    for entry in ledger.entries(0, usize::MAX) {
        let late = entry.arrival.since(stopped);
        assert!(late < NO_START_AFTER, "a request arrived {late:?} after the stop");
    }
}

/// The interrupted run is kept, whole: every request is accounted for.
fn assert_kept(record: &RunRecord, simulator: SimThread) {
    let end = record.end.as_ref().unwrap();
    assert_eq!((end.outcome, end.exit_code), (RunOutcome::Stopped, Exit::Interrupted.code()));
    let [level] = &*record.levels else { panic!("{:?}", record.levels) };
    assert!(matches!(level.fate, Some(LevelFate::Stopped(_))), "{:?}", level.fate);
    let (mut started, mut cut) = (0, 0);
    for share in &level.shares {
        let counts = &share.seal.as_ref().unwrap().snapshot.tally.counts;
        let ended = counts.succeeded + counts.failed_total() + counts.censored_total();
        assert_eq!((counts.started, counts.open), (ended, 0));
        assert_eq!(counts.failed_total(), 0);
        started += counts.started;
        cut += counts.censored_total();
    }
    let (totals, _) = simulator::truth(simulator);
    assert_eq!(started, totals.received);
    let left = totals.by_ending.get(&agent::sim::Ending::ClientLeft);
    assert_eq!(cut, left.map_or(0, |sum| sum.requests));
}

#[test]
fn long_requests_are_cut_after_the_grace() {
    let simulator = simulator::start(simulator::slow());
    let ledger = simulator.ledger();
    let going = run::start(&Campaign::long(simulator.address(), USERS), 2);
    simulator::until_in_flight(&simulator, USERS.into());
    let stopped = ledger.totals().now;
    going.interrupt();
    assert_silent(&ledger, stopped);
    let ran = going.end();
    let counts = ran.total().counts;
    assert_eq!((counts.started, counts.censored_total()), (USERS.into(), USERS.into()));
    assert_kept(&ran.record, simulator);
}

#[test]
fn short_requests_end_within_the_grace() {
    let simulator = simulator::start(simulator::slow());
    let ledger = simulator.ledger();
    let going = run::start(&Campaign::busy(simulator.address(), USERS), 3);
    poll::holds("requests have ended", Duration::from_secs(15), || ledger.totals().completed > 30);
    let stopped = ledger.totals().now;
    going.interrupt();
    assert_silent(&ledger, stopped);
    let ran = going.end();
    let counts = ran.total().counts;
    assert!(counts.succeeded > 30);
    assert_eq!((counts.succeeded, counts.censored_total()), (counts.started, 0));
    assert_kept(&ran.record, simulator);
}

/// Starts `floodmark run` on two embedded agents, its result in `dir/result`.
fn begin(dir: &TempDir, simulator: &SimThread) -> Process {
    let file = dir.path().join("campaign.toml");
    std::fs::write(&file, Campaign::long(simulator.address(), USERS).text()).unwrap();
    let args = ["run", "campaign.toml", "--embedded", "2", "--result-dir", "result"];
    let coordinator = Process::floodmark(dir.path(), &args);
    simulator::until_in_flight(simulator, USERS.into());
    coordinator
}

#[test]
fn an_interrupted_process_keeps_the_partial_result() {
    let dir = tempfile::tempdir().unwrap();
    let simulator = simulator::start(simulator::slow());
    let coordinator = begin(&dir, &simulator);
    let stopped = simulator.ledger().totals().now;
    coordinator.signal(Signal::INT);
    assert_silent(&simulator.ledger(), stopped);
    let ended = coordinator.end(Duration::from_secs(10));
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(ended.stdout.contains("interrupted by the operator"), "{}", ended.stdout);
    let result = dir.path().join("result");
    assert_kept(&run::load(&result), simulator);
    let report = process::floodmark(dir.path(), &["report", "result"]);
    assert_eq!((report.code, report.stdout), (Some(0), ended.stdout));
}

#[test]
fn a_second_interrupt_waits_for_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let simulator = simulator::start(simulator::slow());
    let coordinator = begin(&dir, &simulator);
    let stopped = simulator.ledger().totals().now;
    coordinator.signal(Signal::INT);
    poll::holds("the first is heard", Duration::from_secs(5), || {
        coordinator.stderr().contains("interrupt again to leave at once")
    });
    coordinator.signal(Signal::INT);
    let ended = coordinator.end(Duration::from_secs(10));
    let took = simulator.ledger().totals().now.since(stopped);
    assert!(took < Duration::from_millis(1500), "left {took:?} after the first interrupt");
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert_silent(&simulator.ledger(), stopped);
    let record = run::load(&dir.path().join("result"));
    assert!(record.end.unwrap().because.contains("interrupted twice"));
}
