//! Levels that are measured in a window: what is counted in it is what the server did in it.

use std::time::Duration;

use agent::sim::{Entry, Jitter, Profile};
use common::outcome::Censor;
use common::tally::{Tally, WindowTally};
use common::target::Endpoint;
use common::time::Tick;
use coordinator::merge::LevelTotals;
use coordinator::record::{LevelFate, RunOutcome};
use coordinator::store::Store;
use harness::campaign::Campaign;
use harness::run::{self, Ran};
use harness::{poll, simulator};

const USERS: u32 = 20;
const AGENTS: u32 = 2;
const WINDOW_NS: u64 = 3_000_000_000;

/// Answers in about a fifth of a second: what a client adds to that is little.
fn server() -> Profile {
    let (ttft, itl) = (Duration::from_millis(100), Duration::from_millis(20));
    let jitter: Jitter = "0.2".parse().unwrap();
    Profile { ttft, itl, jitter, ..simulator::quick() }
}

fn campaign(address: std::net::SocketAddr) -> Campaign {
    Campaign { window: Some("3s"), ..Campaign::new(address, USERS, 1) }
}

fn window(tally: &Tally) -> WindowTally {
    *tally.scope.window().expect("a window")
}

/// Names and offsets of the decisions that the run stored.
fn decisions(ran: &Ran) -> Vec<(String, Option<u64>)> {
    let inputs = Store::open(ran.dir.path()).unwrap().inputs().unwrap();
    let is_decision = |kind: &str| ["load_up", "enough", "drained"].contains(&kind);
    let decided = inputs.into_iter().filter(|input| is_decision(&input.kind));
    let offset = |body: &str| -> Option<u64> {
        let digits = body.split("\"offset_ns\":").nth(1)?;
        digits.trim_end_matches('}').parse().ok()
    };
    decided.map(|input| (input.kind, offset(&input.body))).collect()
}

/// How much of a request's time lies in a span.
fn share_within(entry: &Entry, from: Tick, until: Tick) -> f64 {
    let tokens = u64::from(entry.tokens);
    let (Some(first), Some(last)) = (entry.first_token, entry.last_token) else {
        return 0.0;
    };
    let gap = last.ns_since(first) / (tokens - 1).max(1);
    let instants = (0..tokens).map(|n| Tick(first.0 + n * gap));
    instants.filter(|at| *at >= from && *at < until).count() as f64
}

#[test]
fn a_window_holds_what_the_server_did_in_it() {
    let simulator = simulator::start(server());
    let ran = run::to_end(&campaign(simulator.address()), AGENTS, 2);
    let (totals, entries) = simulator::truth(simulator);
    assert_eq!((ran.end.outcome, ran.end.exit_code), (RunOutcome::Completed, 0), "{:?}", ran.end);

    // One window, to the nanosecond the same on all agents, and the one that was decided.
    let [level] = &ran.record.levels[..] else { panic!("{:?}", ran.record.levels) };
    assert_eq!(level.fate, Some(LevelFate::Completed));
    let windows: Vec<WindowTally> = ran.tallies().map(window).collect();
    assert_eq!(windows.len(), AGENTS as usize);
    let bounds = (windows[0].from_ns, windows[0].until_ns.unwrap());
    assert!(windows.iter().all(|w| (w.from_ns, w.until_ns) == (bounds.0, Some(bounds.1))));
    assert_eq!(bounds.1 - bounds.0, WINDOW_NS);
    assert_eq!(
        decisions(&ran),
        [
            ("load_up".to_owned(), Some(bounds.0)),
            ("enough".to_owned(), Some(bounds.1)),
            ("drained".to_owned(), None),
        ]
    );

    // Nothing is lost: all that the server saw was counted, and what was cut was cut as planned.
    let sums = LevelTotals::of(level);
    assert_eq!(sums.faults, []);
    let tally = &sums.tally;
    let cut = tally.counts.censored_total();
    assert_eq!(tally.counts.by_class().collect::<Vec<_>>(), [(Censor::CancelledPlan.name(), cut)]);
    assert!(cut > 0 && cut <= USERS.into(), "{cut} were cut");
    // A request may be cut after the server has written all of its answer, or before it was read.
    let unread = totals.completed.checked_sub(tally.counts.succeeded).expect("truly completed");
    assert!(unread <= cut, "{unread} answers were not read");
    assert!(totals.received <= tally.counts.started);
    assert!(tally.counts.started - totals.received <= cut);
    // Every request of the window was followed to its end.
    assert_eq!(tally.measured.started, tally.measured.succeeded);
    let sum = window(tally);
    assert_eq!(sum.following, 0);

    // The first requests come as the level fires, so the window is known on the server's clock.
    let fire = entries.iter().map(|entry| entry.arrival).min().unwrap();
    let (from, until) = (Tick(fire.0 + bounds.0), Tick(fire.0 + bounds.1));
    let truly = |of: &dyn Fn(&Entry) -> f64| entries.iter().map(of).sum::<f64>();
    let begun = truly(&|e| f64::from(u8::from(e.arrival >= from && e.arrival < until)));
    let ended = truly(&|e| f64::from(u8::from(e.end >= from && e.end < until)));
    let tokens = truly(&|e| share_within(e, from, until));
    let close = |name: &str, measured: f64, truth: f64| {
        assert!((measured / truth - 1.0).abs() < 0.03, "{name}: {measured}, truly {truth}");
    };
    close("begun", tally.measured.started as f64, begun);
    close("ended", sum.arrived.requests as f64, ended);
    close("tokens", sum.arrived.output as f64, tokens);
    // All users were in flight all the time, by the gauge and by the requests.
    let mean = sum.in_flight_ns as f64 / WINDOW_NS as f64;
    assert!(mean > 0.97 * f64::from(USERS) && mean <= f64::from(USERS), "{mean} in flight");
    close("overlap", sum.overlap_ns as f64, sum.in_flight_ns as f64);
}

/// Every endpoint comes up, is found steady and has a window, whatever its answers are made of.
#[test]
fn every_endpoint_can_be_measured_in_a_window() {
    std::thread::scope(|scope| {
        for endpoint in [Endpoint::Responses, Endpoint::Messages, Endpoint::Embeddings] {
            scope.spawn(move || {
                let simulator = simulator::start(server());
                let campaign = Campaign {
                    endpoint: endpoint.name(),
                    stream: endpoint.generates(),
                    forced_length: endpoint.can_force_length(),
                    window: Some("1500ms"),
                    ..Campaign::new(simulator.address(), 4, 1)
                };
                let ran = run::to_end(&campaign, 1, 1);
                let (totals, _) = simulator::truth(simulator);
                assert_eq!((ran.end.outcome, ran.end.exit_code), (RunOutcome::Completed, 0));
                let tally = ran.total();
                assert_eq!(tally.check_sealed(), Ok(()), "{endpoint:?}");
                let measured = tally.measured.succeeded;
                assert!(measured > 0 && tally.measured.started == measured, "{endpoint:?}");
                assert_eq!(tally.counts.failed_total(), 0, "{endpoint:?}");
                let arrived = window(&tally).arrived;
                let each = totals.prompt_tokens / totals.received;
                assert_eq!(arrived.prompt % each, 0, "{endpoint:?}");
                assert!(arrived.prompt > 0, "{endpoint:?}");
                assert_eq!(arrived.output > 0, endpoint.generates(), "{endpoint:?}");
                let ttft = tally.latencies.ttft.count();
                assert_eq!(ttft, if endpoint.generates() { measured } else { 0 });
                assert_eq!(tally.latencies.e2e.count(), measured);
            });
        }
    });
}

#[test]
fn an_interrupt_stops_a_window() {
    let simulator = simulator::start(server());
    let going = run::start(&campaign(simulator.address()), AGENTS);
    let ledger = simulator.ledger();
    // By then the load has been up for some seconds.
    poll::until("requests", Duration::from_secs(20), || {
        (ledger.totals().received >= 500).then_some(())
    });
    going.interrupt();
    let ran = going.end();
    assert_eq!((ran.end.outcome, ran.end.exit_code), (RunOutcome::Stopped, 130));
    let [level] = &ran.record.levels[..] else { panic!("{:?}", ran.record.levels) };
    assert!(matches!(level.fate, Some(LevelFate::Stopped(_))), "{:?}", level.fate);
    assert_eq!(LevelTotals::of(level).faults, []);
    assert_eq!(ran.tallies().count(), AGENTS as usize);
}
