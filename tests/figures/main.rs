//! Figures at the size of a real run, against the simulator's ledger. They need a release build:
//! a debug build is too slow for a thousand users, and leaves them out.
//!
//! ```text
//! cargo test --release -p floodmark-tests --test figures -- --nocapture
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests panic, and say why; figures are shown"
)]

mod alike;
mod composing;
mod fleet;
mod http2;
mod presets;
mod search;
mod ten_thousand;

use std::time::Duration;

use agent::sim::{Entry, Jitter, Profile};
use coordinator::record::RunOutcome;
use coordinator::report::{Distribution, ReportModel};
use harness::campaign::Campaign;
use harness::run;
use harness::simulator;

const USERS: u32 = 1000;

/// A quantile of the ledger by nearest rank, in milliseconds.
fn truth_ms(sorted_ns: &[u64], q: f64) -> f64 {
    let rank = (q * sorted_ns.len() as f64).ceil().max(1.0) as usize;
    sorted_ns[rank - 1] as f64 / 1e6
}

/// The most by which a printed quantile may be off: its bucket, and what the way between the two
/// programs adds on a machine that runs both.
fn allowed_ms(truth_ms: f64) -> f64 {
    truth_ms * 0.0005 + 6.0
}

fn check(name: &str, shown: &Distribution, mut truth_ns: Vec<u64>) {
    truth_ns.sort_unstable();
    let quantiles = [(0.5, shown.p50), (0.9, shown.p90), (0.95, shown.p95), (0.99, shown.p99)];
    for (q, shown) in quantiles {
        let (shown, truth) = (shown.expect("enough samples").value(), truth_ms(&truth_ns, q));
        println!("{name} {q}: {shown:.2} ms, by the ledger {truth:.2} ms");
        // A client cannot see an answer before the server has written it.
        assert!(shown > truth * 0.9995 - 0.5, "{name} {q}: {shown} before {truth}");
        assert!(shown - truth < allowed_ms(truth), "{name} {q}: {shown} for {truth}");
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "needs a release build; .ci/run runs it")]
fn a_thousand_users_are_in_flight_and_their_quantiles_are_those_of_the_ledger() {
    let jitter: Jitter = "0.2".parse().unwrap();
    let (ttft, itl) = (Duration::from_millis(400), Duration::from_millis(40));
    let simulator = simulator::start(Profile { ttft, itl, jitter, ..simulator::quick() });
    let campaign = Campaign {
        window: Some("20s"),
        output_tokens: 40,
        ..Campaign::new(simulator.address(), USERS, 1)
    };
    let ran = run::to_end(&campaign, 4, 1);
    let (_, entries) = simulator::truth(simulator);
    assert_eq!((ran.end.outcome, ran.end.exit_code), (RunOutcome::Completed, 0), "{:?}", ran.end);
    let model = ReportModel::new(&ran.record, &[]);
    let level = &model.levels[0];
    let total = ran.total();
    let window = total.scope.window().expect("a window");
    let until = window.until_ns.expect("an end");

    // The two clocks differ by when the first request was sent and when it arrived.
    let first_sent = total.span.expect("requests").first_sent_ns;
    let first_arrival = entries.iter().map(|entry| entry.arrival.0).min().expect("requests");
    let at = |ns: u64| first_arrival + ns - first_sent;
    let (from, until) = (at(window.from_ns), at(until));
    let inside = |entry: &&Entry| entry.arrival.0 >= from && entry.arrival.0 < until;

    let overlap: u64 = entries
        .iter()
        .map(|entry| entry.end.0.min(until).saturating_sub(entry.arrival.0.max(from)))
        .sum();
    let truth = overlap as f64 / (until - from) as f64;
    let shown = level.in_flight_mean.expect("a mean").value();
    println!("in flight: {shown:.3}, by the ledger {truth:.3}");
    assert!((shown / truth - 1.0).abs() < 0.001, "{shown} in flight, by the ledger {truth}");
    assert!(shown > 0.998 * f64::from(USERS), "{shown}");

    let measured: Vec<&Entry> = entries.iter().filter(inside).collect();
    let count = level.measured.succeeded as f64;
    assert!((measured.len() as f64 / count - 1.0).abs() < 0.001, "{} of {count}", measured.len());
    let to = |end: fn(&Entry) -> Option<common::time::Tick>| {
        measured.iter().filter_map(|e| Some(end(e)?.ns_since(e.arrival))).collect()
    };
    check("TTFT", &level.latency_ms.ttft, to(|entry| entry.first_token));
    check("E2E", &level.latency_ms.e2e, to(|entry| entry.last_token));

    let tokens: f64 = entries
        .iter()
        .filter_map(|entry| {
            let (first, last) = (entry.first_token?.0, entry.last_token?.0);
            // Gaps of one answer differ little from each other against the window's length.
            let span = (last - first).max(1) as f64;
            let within = last.min(until).saturating_sub(first.max(from)) as f64;
            Some(f64::from(entry.tokens) * within / span)
        })
        .sum();
    let rate = tokens / ((until - from) as f64 / 1e9);
    let shown = level.rates.output_tok_s.expect("a rate").value();
    println!("output tok/s: {shown:.1}, by the ledger {rate:.1}");
    assert!((shown / rate - 1.0).abs() < 0.01, "{shown} tok/s, by the ledger {rate}");
}
