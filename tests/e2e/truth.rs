//! What floodmark reports is what the server truly did: every request, every ending, every token,
//! whatever the server does wrong.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use agent::sim::{Ending, Entry, Fault, Faults, Totals};
use common::outcome::Failure;
use common::tally::Tally;
use common::target::Endpoint;
use coordinator::record::{LevelFate, RunOutcome};
use harness::campaign::Campaign;
use harness::run::{self, Ran};
use harness::simulator;

/// Users and requests of the levels.
const LEVELS: [(u32, u64); 2] = [(3, 6), (5, 10)];
const REQUESTS: u64 = 16;
const AGENTS: u32 = 2;

/// What a fault looks like to a client; `None` is a success.
#[derive(Clone, Copy)]
struct Case {
    fault: Option<Fault>,
    forced_length: bool,
    class: Option<Failure>,
    /// The paper's client calls it a success.
    paper: bool,
}

fn check(fault: Option<Fault>, class: Option<Failure>, paper: bool) {
    check_case(Case { fault, forced_length: true, class, paper });
}

/// Every endpoint that can have the case, streamed and whole, each against a simulator of its own.
fn check_case(case: Case) {
    thread::scope(|scope| {
        for endpoint in Endpoint::ALL {
            // Where a length cannot be forced, an answer of another is a success.
            let case = match (endpoint, case.class) {
                (Endpoint::Messages | Endpoint::Embeddings, Some(Failure::WrongLength)) => continue,
                (Endpoint::Messages, _) => Case { forced_length: false, ..case },
                (_, _) => case,
            };
            for stream in [true, false] {
                if stream && !endpoint.generates() {
                    continue;
                }
                for http in versions(endpoint) {
                    let endpoint = endpoint.name();
                    let whole = if stream { "streamed" } else { "whole" };
                    let name = format!("{endpoint}, HTTP {http}, {whole}");
                    let compare = move || compare(case, endpoint, http, stream);
                    thread::Builder::new().name(name).spawn_scoped(scope, compare).unwrap();
                }
            }
        }
    });
}

/// What an endpoint means does not depend on the version of HTTP: one has both.
fn versions(endpoint: Endpoint) -> &'static [&'static str] {
    match endpoint {
        Endpoint::Chat => &["1.1", "2"],
        Endpoint::Completions | Endpoint::Responses | Endpoint::Messages | Endpoint::Embeddings => {
            &["1.1"]
        }
    }
}

fn compare(case: Case, endpoint: &'static str, http: &'static str, stream: bool) {
    let faults = case.fault.map(Faults::always).unwrap_or_default();
    let simulator = simulator::start(simulator::faulty(faults));
    let stalls = case.fault == Some(Fault::Stall);
    let drips = case.fault == Some(Fault::Drip);
    let campaign = Campaign {
        endpoint,
        http,
        stream,
        levels: LEVELS.to_vec(),
        forced_length: case.forced_length,
        idle: if stalls { "300ms" } else { "20s" },
        total: if drips { "600ms" } else { "60s" },
        ..Campaign::new(simulator.address(), 1, 1)
    };
    let ran = run::to_end(&campaign, AGENTS, 2);
    let (totals, entries) = simulator::truth(simulator);

    assert_eq!((ran.end.outcome, ran.end.exit_code), (RunOutcome::Completed, 0));
    assert_conserved(&ran);
    let total = ran.total();
    assert_eq!((total.counts.started, totals.received), (REQUESTS, REQUESTS));
    if stalls {
        // 300 ms of silence after half an answer; the other limits are twenty seconds and more.
        assert!(entries.iter().all(|e| e.end.since(e.arrival) < Duration::from_secs(5)));
    }
    let ending = case.fault.map_or(Ending::Completed, Ending::Injected);
    assert_eq!(endings(&totals), BTreeMap::from([(ending, REQUESTS)]));
    let expected = case.class.map(|class| (class.name(), REQUESTS));
    let classes: Vec<_> = total.counts.by_class().collect();
    assert_eq!(classes, Vec::from_iter(expected));

    let succeeded = case.class.is_none();
    assert_eq!(total.counts.succeeded, if succeeded { REQUESTS } else { 0 });
    assert_eq!(total.paper.succeeded, if case.paper { REQUESTS } else { 0 });
    assert_tokens(case, stream, &total, &totals);
    if succeeded {
        assert_time(stream, &total, &totals, &entries);
    }
}

/// `started = succeeded + failed + censored` on every agent in every level, and every level ran to
/// its end.
fn assert_conserved(ran: &Ran) {
    for level in &ran.record.levels {
        assert_eq!(level.fate, Some(LevelFate::Completed));
        assert_eq!(level.shares.len(), AGENTS as usize);
        let mut started = 0;
        for share in &level.shares {
            let counts = &share.seal.as_ref().unwrap().snapshot.tally.counts;
            let ended = counts.succeeded + counts.failed_total() + counts.censored_total();
            assert_eq!((counts.started, counts.open), (ended, 0), "{}", share.agent);
            started += counts.started;
        }
        assert_eq!(Some(started), level.planned.load.requests());
    }
}

/// The client's sums are the server's. A server that states no usage leaves a client without
/// counts, and the client says so.
fn assert_tokens(case: Case, stream: bool, total: &Tally, totals: &Totals) {
    let tokens = &total.tokens;
    let stated = case.fault != Some(Fault::NoUsage);
    if case.class.is_none() {
        let (prompt, completion) =
            if stated { (totals.prompt_tokens, totals.completion_tokens) } else { (0, 0) };
        assert_eq!((tokens.prompt, tokens.completion, tokens.wasted), (prompt, completion, 0));
        assert_eq!(tokens.without_usage, if stated { 0 } else { REQUESTS });
        if stream {
            assert_eq!(tokens.events, totals.completion_tokens);
        }
    } else {
        assert_eq!((tokens.prompt, tokens.completion, tokens.events), (0, 0, 0));
        let whole = case.class == Some(Failure::WrongLength);
        assert_eq!(tokens.wasted, if whole { totals.completion_tokens } else { 0 });
    }
}

/// A client's intervals hold the server's: no latency is below the server's own, and the time in
/// flight is at least the server's.
fn assert_time(stream: bool, total: &Tally, totals: &Totals, entries: &[Entry]) {
    let mean_us = |until: fn(&Entry) -> u64| {
        let sum: u64 = entries.iter().map(until).sum();
        sum as f64 / entries.len() as f64 / 1e3
    };
    let last = |e: &Entry| e.last_token.unwrap().ns_since(e.arrival);
    let first = |e: &Entry| e.first_token.unwrap().ns_since(e.arrival);
    let e2e = &total.latencies.e2e;
    assert_eq!(e2e.count(), REQUESTS);
    assert!(e2e.mean_us().unwrap() >= mean_us(last));
    if stream {
        let ttft = &total.latencies.ttft;
        assert_eq!(ttft.count(), REQUESTS);
        assert!(ttft.mean_us().unwrap() >= mean_us(first));
        assert!(ttft.min_us().unwrap() >= 10_000);
    }
    let area_ns: u64 = total.in_flight.slots().map(|slot| slot.area_ns).sum();
    assert!(totals.in_flight_peak <= LEVELS.map(|(users, _)| u64::from(users))[1]);
    // The ledger notes an end just after the last byte, the client may have read it by then.
    assert!(area_ns + totals.received * 1_000_000 >= totals.in_flight_integral_ns);
}

fn endings(totals: &Totals) -> BTreeMap<Ending, u64> {
    totals.by_ending.iter().map(|(ending, sum)| (*ending, sum.requests)).collect()
}

#[test]
fn a_sound_server() {
    check(None, None, true);
}

#[test]
fn error() {
    check(Some(Fault::Error), Some(Failure::Http5xx), false);
}

#[test]
fn busy() {
    check(Some(Fault::Busy), Some(Failure::Http503), false);
}

#[test]
fn rate_limit() {
    check(Some(Fault::RateLimit), Some(Failure::Http429), false);
}

#[test]
fn stall() {
    check(Some(Fault::Stall), Some(Failure::TimeoutIdle), false);
}

#[test]
fn truncate() {
    check(Some(Fault::Truncate), Some(Failure::Truncated), false);
}

#[test]
fn error_in_stream() {
    check(Some(Fault::ErrorInStream), Some(Failure::ErrorInStream), true);
}

#[test]
fn empty() {
    check(Some(Fault::Empty), Some(Failure::EmptyOutput), true);
}

#[test]
fn drip() {
    check(Some(Fault::Drip), Some(Failure::TimeoutTotal), false);
}

#[test]
fn reset() {
    check(Some(Fault::Reset), Some(Failure::Reset), false);
}

#[test]
fn no_usage() {
    check(Some(Fault::NoUsage), None, true);
}

#[test]
fn short() {
    let class = Some(Failure::WrongLength);
    check_case(Case { fault: Some(Fault::Short), forced_length: true, class, paper: true });
    check_case(Case { fault: Some(Fault::Short), forced_length: false, class: None, paper: true });
}

#[test]
fn faults_of_every_kind_at_once() {
    let classes = [
        (Fault::Error, Some(Failure::Http5xx)),
        (Fault::Busy, Some(Failure::Http503)),
        (Fault::RateLimit, Some(Failure::Http429)),
        (Fault::Truncate, Some(Failure::Truncated)),
        (Fault::ErrorInStream, Some(Failure::ErrorInStream)),
        (Fault::Empty, Some(Failure::EmptyOutput)),
        (Fault::Reset, Some(Failure::Reset)),
        (Fault::Short, Some(Failure::WrongLength)),
        (Fault::NoUsage, None),
    ];
    let rates = classes.map(|(fault, _)| format!("{fault}=0.1").parse().unwrap());
    let faults = Faults::new(rates.to_vec()).unwrap();
    let simulator = simulator::start(simulator::faulty(faults));
    let campaign = Campaign::new(simulator.address(), 12, 300);
    let ran = run::to_end(&campaign, AGENTS, 1);
    let (totals, entries) = simulator::truth(simulator);

    assert_conserved(&ran);
    let total = ran.total();
    assert_eq!((total.counts.started, totals.received), (300, 300));
    let endings = endings(&totals);
    let truly = |ending: Ending| endings.get(&ending).copied().unwrap_or(0);
    for (fault, class) in classes {
        let count = truly(Ending::Injected(fault));
        assert!(count > 0, "{fault}");
        match class {
            Some(class) => assert_eq!(total.counts.failed_by(class), count, "{fault}"),
            None => assert_eq!(total.tokens.without_usage, count, "{fault}"),
        }
    }
    let unstated = truly(Ending::Injected(Fault::NoUsage));
    assert_eq!(total.counts.succeeded, truly(Ending::Completed) + unstated);
    let of = |tokens: fn(&Entry) -> u64| -> u64 {
        entries.iter().filter(|e| e.ending == Ending::Completed).map(tokens).sum()
    };
    assert_eq!(total.tokens.completion, of(|e| e.tokens.into()));
    assert_eq!(total.tokens.prompt, of(|e| e.prompt_tokens));
}

#[test]
fn a_connection_carries_one_request_or_as_many_as_there_are() {
    // Questions of the coordinator come on connections of their own.
    const QUESTIONS: u64 = 8;
    let connections = |connection| {
        let simulator = simulator::start(simulator::quick());
        let campaign = Campaign { connection, ..Campaign::new(simulator.address(), 4, 40) };
        let ran = run::to_end(&campaign, AGENTS, 1);
        let (totals, _) = simulator::truth(simulator);
        assert_conserved(&ran);
        assert_eq!((ran.total().counts.succeeded, totals.completed), (40, 40));
        totals.connections
    };
    let kept = connections("keep-alive");
    assert!((4..=4 + QUESTIONS).contains(&kept), "{kept}");
    let each = connections("per-request");
    assert!((40..=40 + QUESTIONS).contains(&each), "{each}");
}
