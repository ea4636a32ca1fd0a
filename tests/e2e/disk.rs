//! A disk that takes its time.

use std::time::Duration;

use coordinator::record::RunOutcome;
use harness::campaign::Campaign;
use harness::hollow::{History, Hollow};
use harness::{poll, run, simulator};

/// How long the disk takes nothing. It is less than a lease, so that one which is not renewed
/// meanwhile shows as a late echo and not as the end of the run.
const STALL: Duration = Duration::from_secs(3);

#[test]
fn a_disk_that_stalls_delays_no_renewal() {
    let simulator = simulator::start(simulator::quick());
    let campaign = Campaign { window: Some("2s"), ..Campaign::new(simulator.address(), 30, 1) };
    let age = Duration::from_secs(100);
    let fleet = Hollow::start(3, age, History::new(age, 20));
    let (addresses, seen) = (fleet.addresses(), fleet.seen());
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join(coordinator::store::FILE);
    let going = std::thread::spawn(move || run::with_agents(&campaign.text(), addresses, dir));
    poll::holds("a level begins", Duration::from_secs(15), || seen.snapshots() > 0);
    let other = rusqlite::Connection::open(&file).expect("the store");
    other.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    let renewed = seen.renewals();
    std::thread::sleep(STALL);
    let renewed = seen.renewals() - renewed;
    other.execute_batch("ROLLBACK").expect("no lock");
    let ran = going.join().expect("no panic").expect("a stored end");
    assert_eq!((ran.end.outcome, ran.end.exit_code), (RunOutcome::Completed, 0), "{:?}", ran.end);
    // Three agents ask once a second, each at its own time.
    assert!(renewed >= 6, "{renewed} renewals of 3 agents in {STALL:?}");
    assert!(seen.longest_echo() < Duration::from_secs(1), "{:?}", seen.longest_echo());
}
