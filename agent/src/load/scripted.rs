//! Tests: what a user makes of a target that does what it should not, step by step.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use common::arrivals::{Arrivals, Law, PerSecond, Rate, Schedule};
use common::assignment::{Assignment, Load};
use common::outcome::{Censor, Failure};
use common::snapshot::LevelEnd;
use common::tally::Tally;
use proto::secrets::Secrets;
use rustls::{ServerConnection, StreamOwned};
use tokio::sync::mpsc;

use super::https::{certificate, client};
use super::worker::{Worker, WorkerOrder};
use super::{LevelPlan, Route, Tls};
use crate::clock::Clock;
use crate::compose::Composers;
use crate::lease::{Deadline, Lease};
use crate::testing::assignment;

/// A target that follows a script for as long as the script runs.
fn target<T: Send + 'static>(
    script: impl FnOnce(TcpListener) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (address, std::thread::spawn(move || script(listener)))
}

/// One user that makes `requests` requests.
fn one_user(address: SocketAddr, requests: u64) -> Assignment {
    let mut assignment = assignment(&format!("http://{address}"));
    assignment.load = Load::counted(1, requests);
    assignment.share = assignment.load.share(0, 1);
    assignment
}

/// Runs the assignment on one worker, and gives its record and how it ended.
fn load(
    assignment: Assignment,
    address: SocketAddr,
    tls: Option<Tls>,
    deadline: Option<Deadline>,
) -> (Tally, LevelEnd) {
    let plan = LevelPlan {
        composer: Composers::new(&assignment, &Secrets::default()),
        assignment,
        routes: vec![Route { addresses: vec![address], sources: Vec::new(), tls }],
        lease: deadline.unwrap_or_else(lease),
    };
    let clock = Clock::start();
    let (reports, mut inbox) = mpsc::channel(64);
    let worker = Worker::start(0, 1, None, clock, reports).unwrap();
    let fire = clock.now() + Duration::from_millis(20);
    assert!(worker.order(WorkerOrder::Run { plan: Arc::new(plan), fire }));
    loop {
        let report = inbox.blocking_recv().unwrap();
        if let Some(end) = report.end {
            return (*report.tally, end);
        }
    }
}

fn lease() -> Deadline {
    Lease::grant(Clock::boottime_ns()).deadline().clone()
}

/// Reads one request, whose body is `{…}` and ends with the only such line.
fn read_request(stream: &mut impl Read) {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while !seen.ends_with(b"}") {
        let read = stream.read(&mut buffer).unwrap();
        assert_ne!(read, 0, "the request was cut");
        seen.extend_from_slice(&buffer[..read]);
    }
}

const REFUSED: &[u8] = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n";

#[test]
fn a_lease_that_runs_out_during_a_handshake_sends_nothing() {
    let (config, roots) = certificate();
    let deadline = lease();
    let expire = deadline.clone();
    let (address, script) = target(move |listener| {
        // The connection made in advance fails; the request makes its own.
        drop(listener.accept().unwrap());
        let (socket, _) = listener.accept().unwrap();
        expire.expire(Clock::boottime_ns());
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
        let mut sent = Vec::new();
        // An end without a goodbye is an error to TLS, and an end.
        let _ = stream.read_to_end(&mut sent);
        sent.len()
    });
    let (tally, end) = load(one_user(address, 3), address, Some(client(roots)), Some(deadline));
    assert_eq!(script.join().unwrap(), 0, "bytes of requests");
    assert_eq!(end, LevelEnd::LeaseExpired);
    assert_eq!(tally.check_sealed(), Ok(()));
    assert_eq!((tally.counts.started, tally.counts.censored_total()), (1, 1));
    assert_eq!(tally.counts.censored[Censor::CancelledAbort.index()], 1);
    assert_eq!(tally.in_flight.area_ns(), 0);
}

#[test]
fn a_kept_tls_connection_that_closes_without_a_goodbye_is_stale() {
    let (config, roots) = certificate();
    let (address, script) = target(move |listener| {
        let (socket, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
        read_request(&mut stream);
        stream.write_all(REFUSED).unwrap();
        stream.flush().unwrap();
        read_request(&mut stream);
        stream.sock.shutdown(Shutdown::Both).unwrap();
    });
    let (tally, end) = load(one_user(address, 2), address, Some(client(roots)), None);
    script.join().unwrap();
    assert_eq!(end, LevelEnd::Completed);
    assert_eq!(tally.counts.failed_by(Failure::Http4xx), 1);
    assert_eq!(tally.counts.failed_by(Failure::StaleConnection), 1, "{:?}", tally.counts);
}

/// A target that refuses what it is asked and closes a connection on which nothing has come for
/// `idle`; gives how many it has accepted.
fn impatient(idle: Duration) -> (SocketAddr, Arc<AtomicU64>) {
    let accepted = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&accepted);
    let (address, _) = target(move |listener| {
        while let Ok((mut socket, _)) = listener.accept() {
            count.fetch_add(1, Ordering::Relaxed);
            socket.set_read_timeout(Some(idle)).unwrap();
            std::thread::spawn(move || {
                while socket.peek(&mut [0]).is_ok_and(|bytes| bytes > 0) {
                    read_request(&mut socket);
                    socket.write_all(REFUSED).unwrap();
                }
            });
        }
    });
    (address, accepted)
}

/// An open loop at a constant rate.
fn arrivals(address: SocketAddr, rate: PerSecond, requests: u64) -> Assignment {
    let mut assignment = one_user(address, requests);
    let schedule = Schedule { law: Law::Constant, rate: Rate::Flat(rate) };
    assignment.load.users = 100;
    assignment.load.arrivals = Arrivals::Open(schedule);
    assignment.share = assignment.load.share(0, 1);
    assignment
}

#[test]
fn spare_connections_that_the_target_closes_are_made_anew_before_they_are_needed() {
    let (address, accepted) = impatient(Duration::from_millis(1100));
    // Two arrivals, 1.5 s apart.
    let (tally, end) = load(arrivals(address, PerSecond(666_667), 2), address, None, None);
    assert_eq!(end, LevelEnd::Completed);
    assert_eq!(tally.counts.failed_by(Failure::Http4xx), 2, "{:?}", tally.counts);
    // All of the spare twice, and one for each arrival that uses one.
    let accepted = accepted.load(Ordering::Relaxed);
    assert!((2 * 16..=2 * 16 + 2).contains(&accepted), "{accepted}");
}

#[test]
fn a_target_that_closes_what_it_has_just_accepted_is_not_flooded() {
    let (address, accepted) = impatient(Duration::from_millis(60));
    let (tally, end) = load(arrivals(address, PerSecond(100_000_000), 30), address, None, None);
    assert_eq!(end, LevelEnd::Completed);
    assert_eq!(tally.counts.failed_by(Failure::Http4xx), 30, "{:?}", tally.counts);
    // Those of the first second, and two for each arrival at most.
    let accepted = accepted.load(Ordering::Relaxed);
    assert!((30..=30 + 2 * 30).contains(&accepted), "{accepted}");
}

#[test]
fn an_answer_before_the_whole_request_was_read_is_heard() {
    let (address, script) = target(move |listener| {
        let (mut socket, _): (TcpStream, _) = listener.accept().unwrap();
        let mut head = [0; 64];
        socket.read_exact(&mut head).unwrap();
        socket.write_all(REFUSED).unwrap();
        // Closed with most of the request unread: the connection is reset.
    });
    let mut assignment = one_user(address, 1);
    // More than the buffers of both ends can take.
    assignment.workload.input_tokens = (1 << 20).into();
    let (tally, end) = load(assignment, address, None, None);
    script.join().unwrap();
    assert_eq!(end, LevelEnd::Completed);
    assert_eq!(tally.counts.failed_by(Failure::Http4xx), 1, "{:?}", tally.counts);
}
