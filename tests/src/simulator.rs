//! Simulated servers inside the test's process.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use agent::sim::{self, Faults, SimThread, Totals};
pub use agent::sim::{Entry, Profile};
use common::time::Tick;

use crate::poll;

/// A quick server: 10 ms to the first token, 1 ms between two.
pub fn quick() -> Profile {
    Profile { ttft: Duration::from_millis(10), itl: Duration::from_millis(1), ..Profile::default() }
}

/// A quick server with these faults.
pub fn faulty(faults: Faults) -> Profile {
    Profile { faults, ..quick() }
}

/// A server whose requests last longer than any test: 20 ms between tokens.
pub fn slow() -> Profile {
    Profile { itl: Duration::from_millis(20), ..quick() }
}

/// Starts a simulator on a free port.
pub fn start(profile: Profile) -> SimThread {
    sim::spawn(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), profile).expect("a simulator starts")
}

/// Stops a simulator; gives its sums and all of its entries.
pub fn truth(simulator: SimThread) -> (Totals, Vec<Entry>) {
    let ledger = simulator.ledger();
    simulator.stop();
    let totals = ledger.totals();
    assert_eq!(totals.entries_left_out, 0);
    (totals, ledger.entries(0, usize::MAX))
}

/// Waits until `count` requests are in flight; gives the simulator's time.
pub fn until_in_flight(simulator: &SimThread, count: u64) -> Tick {
    let ledger = simulator.ledger();
    poll::until("requests in flight", Duration::from_secs(15), || {
        let totals = ledger.totals();
        (totals.in_flight == count).then_some(totals.now)
    })
}

/// Established connections whose far end is `address`, as the system counts them: those of every
/// client on this host.
pub fn connections_to(address: SocketAddr) -> usize {
    const ESTABLISHED: &str = "01";
    let port = format!(":{:04X}", address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[2].ends_with(&port) && row[3] == ESTABLISHED).count()
}
