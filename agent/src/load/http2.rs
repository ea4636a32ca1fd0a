//! Tests: HTTP/2 is the same load over another wire, and what goes wrong there has the same names.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::arrivals::{Arrivals, Law, PerSecond, Rate, Schedule};
use common::assignment::{Assignment, Load};
use common::outcome::Failure;
use common::tally::Tally;
use common::target::{Connection, Http};
use h2::RecvStream;
use h2::server::SendResponse;
use proto::secrets::Secrets;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::https::{client, tls_front};
use super::worker::{Worker, WorkerOrder};
use super::{LevelPlan, Route};
use crate::clock::Clock;
use crate::compose::Composers;
use crate::lease::Lease;
use crate::sim::{self, Fault, Faults, Profile, Totals};
use crate::testing::assignment;

const MS: Duration = Duration::from_millis(1);

/// One user that makes `requests` requests over HTTP/2, with short patience.
fn one_user(address: SocketAddr, requests: u64) -> Assignment {
    let mut assignment = assignment(&format!("http://{address}"));
    assignment.target.http = Http::V2;
    assignment.target.timeouts.idle = 300 * MS;
    assignment.load = Load::counted(1, requests);
    assignment.share = assignment.load.share(0, 1);
    assignment
}

/// Runs the assignment on one worker and gives its record.
fn load(assignment: Assignment, addresses: &[SocketAddr]) -> Tally {
    let route =
        |address: &SocketAddr| Route { addresses: vec![*address], sources: Vec::new(), tls: None };
    load_by(assignment, addresses.iter().map(route).collect())
}

fn load_by(assignment: Assignment, routes: Vec<Route>) -> Tally {
    let plan = LevelPlan {
        composer: Composers::new(&assignment, &Secrets::default()),
        routes,
        assignment,
        lease: Lease::grant(Clock::boottime_ns()).deadline().clone(),
    };
    let clock = Clock::start();
    let (reports, mut inbox) = mpsc::channel(64);
    let worker = Worker::start(0, 1, None, clock, reports).unwrap();
    let fire = clock.now() + 40 * MS;
    assert!(worker.order(WorkerOrder::Run { plan: Arc::new(plan), fire }));
    loop {
        let report = inbox.blocking_recv().unwrap();
        if report.end.is_some() {
            assert_eq!(report.tally.check_sealed(), Ok(()));
            return *report.tally;
        }
    }
}

fn quick(faults: Faults) -> Profile {
    Profile { ttft: 5 * MS, itl: MS, faults, ..Profile::default() }
}

/// What a client made of a simulator with this fault, and what the simulator truly did.
fn against(fault: Option<Fault>, http: Http, stream: bool) -> (Tally, Totals) {
    let profile = quick(fault.map(Faults::always).unwrap_or_default());
    let server = sim::spawn("127.0.0.1:0".parse().unwrap(), profile).unwrap();
    let mut assignment = one_user(server.address(), 6);
    assignment.load = Load::counted(2, 6);
    assignment.share = assignment.load.share(0, 1);
    assignment.target.http = http;
    assignment.target.stream = stream;
    let tally = load(assignment, &[server.address()]);
    let ledger = server.ledger();
    server.stop();
    (tally, ledger.totals())
}

#[test]
fn every_ending_is_the_one_that_it_is_over_http_1() {
    // A byte a second would take too long, and is the total time-out of any version.
    for fault in Fault::ALL.into_iter().filter(|fault| *fault != Fault::Drip) {
        for stream in [true, false] {
            let (lines, _) = against(Some(fault), Http::V1, stream);
            let (frames, truth) = against(Some(fault), Http::V2, stream);
            assert_eq!(frames.counts, lines.counts, "{fault:?}, stream: {stream}");
            assert_eq!(frames.tokens, lines.tokens, "{fault:?}, stream: {stream}");
            assert_eq!(frames.paper.succeeded, lines.paper.succeeded, "{fault:?}");
            assert_eq!((truth.received, truth.in_flight), (6, 0));
        }
    }
}

#[test]
fn the_ledger_accounts_for_every_request_and_token_and_connections_are_kept() {
    let (tally, truth) = against(None, Http::V2, true);
    assert_eq!((tally.counts.succeeded, truth.received), (6, 6));
    assert_eq!(tally.tokens.completion, truth.completion_tokens);
    assert_eq!(truth.connections, 2, "one for each user");
    let events: u64 = tally.flow.slots().map(|slot| slot.events).sum();
    assert_eq!(events, truth.completion_tokens);
}

#[test]
fn an_open_loop_and_a_connection_for_each_request_work_as_well() {
    let server = sim::spawn("127.0.0.1:0".parse().unwrap(), quick(Faults::default())).unwrap();
    let mut assignment = one_user(server.address(), 20);
    let schedule = Schedule { law: Law::Constant, rate: Rate::Flat(PerSecond(200_000_000)) };
    assignment.load.users = 50;
    assignment.load.arrivals = Arrivals::Open(schedule);
    assignment.share = assignment.load.share(0, 1);
    assignment.target.connection = Connection::PerRequest;
    let tally = load(assignment, &[server.address()]);
    assert_eq!(tally.counts.succeeded, 20);
    assert!(server.ledger().totals().connections >= 20);
}

#[test]
fn requests_take_turns_over_two_servers() {
    for http in Http::ALL {
        let servers: Vec<_> = (0..2)
            .map(|_| sim::spawn("127.0.0.1:0".parse().unwrap(), quick(Faults::default())).unwrap())
            .collect();
        let addresses: Vec<_> = servers.iter().map(sim::SimThread::address).collect();
        let mut assignment = one_user(addresses[0], 7);
        assignment.target.http = http;
        assignment.target.more_base_urls =
            vec![format!("http://{}", addresses[1]).parse().unwrap()];
        let tally = load(assignment, &addresses);
        assert_eq!(tally.counts.succeeded, 7);
        let totals = servers.iter().map(|server| server.ledger().totals());
        let got: Vec<_> = totals.map(|totals| (totals.received, totals.connections)).collect();
        assert_eq!(got, [(4, 1), (3, 1)]);
        let slices = tally.slices.iter().map(|slice| slice.measured.succeeded);
        assert_eq!(slices.collect::<Vec<_>>(), [4, 3]);
    }
}

/// A server that answers each request by a script, which is told how many came before it; one that
/// gives `false` closes the connection.
fn scripted<F>(script: impl Fn(u32, Asked) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = bool>,
{
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let mut number = 0;
            while let Ok((socket, _)) = listener.accept().await {
                serve(socket, &script, &mut number).await;
            }
        });
    });
    address
}

async fn serve<F: Future<Output = bool>>(
    socket: TcpStream,
    script: &impl Fn(u32, Asked) -> F,
    number: &mut u32,
) {
    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
    while let Some(Ok((request, response))) = connection.accept().await {
        let mut answer = std::pin::pin!(script(*number, Asked { request, response }));
        *number += 1;
        let go_on = tokio::select! {
            biased;
            go_on = &mut answer => go_on,
            // Drives the connection meanwhile; the client asks one thing at a time.
            _ = connection.accept() => return,
        };
        if !go_on {
            // What was said goes out before the connection closes.
            connection.graceful_shutdown();
            let _ = tokio::time::timeout(50 * MS, connection.accept()).await;
            return;
        }
    }
}

struct Asked {
    request: http::Request<RecvStream>,
    response: SendResponse<Bytes>,
}

fn head(status: u16, content_type: &str) -> http::Response<()> {
    http::Response::builder().status(status).header("content-type", content_type).body(()).unwrap()
}

const ANSWER: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"length\"}]}\n\n\
     data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":4}}\n\n\
     data: [DONE]\n\n";

impl Asked {
    async fn read(&mut self) {
        let body = self.request.body_mut();
        while let Some(Ok(piece)) = body.data().await {
            let _ = body.flow_control().release_capacity(piece.len());
        }
    }

    /// A whole answer; with trailers, which nobody reads.
    fn answer(mut self) {
        let mut stream =
            self.response.send_response(head(200, "text/event-stream"), false).unwrap();
        stream.send_data(ANSWER.into(), false).unwrap();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-checksum", "1".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
    }
}

#[test]
fn trailers_are_not_looked_at_and_a_refusal_leaves_the_connection_good() {
    let address = scripted(|number, mut asked| async move {
        asked.read().await;
        if number == 1 {
            let refused = head(429, "application/json");
            let mut stream = asked.response.send_response(refused, false).unwrap();
            stream.send_data("{\"error\":{\"message\":\"slow down\"}}".into(), true).unwrap();
        } else {
            asked.answer();
        }
        true
    });
    let tally = load(one_user(address, 3), &[address]);
    assert_eq!((tally.counts.succeeded, tally.counts.failed_by(Failure::Http429)), (2, 1));
    let details: Vec<_> = tally.details.iter().collect();
    assert_eq!(details, [(Failure::Http429, "slow down")]);
}

#[test]
fn a_server_that_says_goodbye_is_connected_to_anew() {
    let address = scripted(|_, mut asked| async move {
        asked.read().await;
        asked.answer();
        false
    });
    let tally = load(one_user(address, 3), &[address]);
    // Whoever sends before it has heard the goodbye has met a stale connection.
    let stale = tally.counts.failed_by(Failure::StaleConnection);
    assert_eq!(tally.counts.succeeded + stale, 3, "{:?}", tally.counts);
    assert!(tally.counts.succeeded > 0);
}

#[test]
fn a_stream_that_is_reset_and_one_that_falls_silent_end_as_on_any_wire() {
    let address = scripted(|number, mut asked| async move {
        asked.read().await;
        match number {
            0 => asked.response.send_reset(h2::Reason::INTERNAL_ERROR),
            1 => {
                let begun = head(200, "text/event-stream");
                let mut stream = asked.response.send_response(begun, false).unwrap();
                stream.send_data("data: {".into(), false).unwrap();
                // Longer than the client's patience.
                tokio::time::sleep(60_000 * MS).await;
            }
            _ => asked.answer(),
        }
        true
    });
    let tally = load(one_user(address, 3), &[address]);
    assert_eq!(tally.counts.failed_by(Failure::Reset), 1, "{:?}", tally.counts);
    assert_eq!(tally.counts.failed_by(Failure::TimeoutIdle), 1);
    assert_eq!(tally.counts.succeeded, 1);
}

#[test]
fn a_server_that_does_not_agree_on_http_2_over_tls_is_sent_nothing() {
    let server = sim::spawn("127.0.0.1:0".parse().unwrap(), quick(Faults::default())).unwrap();
    let (address, roots) = tls_front(server.address());
    let mut assignment = one_user(address, 2);
    assignment.target.base_url.tls = true;
    let route = Route { addresses: vec![address], sources: Vec::new(), tls: Some(client(roots)) };
    let tally = load_by(assignment, vec![route]);
    assert_eq!(tally.counts.failed_by(Failure::Tls), 2, "{:?}", tally.counts);
    assert_eq!(server.ledger().totals().received, 0);
}

#[test]
fn a_server_that_speaks_http_1_alone_is_not_understood() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            let _ = socket.read(&mut [0; 64]);
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let tally = load(one_user(address, 2), &[address]);
    assert_eq!(tally.counts.failed_by(Failure::HttpMalformed), 2, "{:?}", tally.counts);
}
