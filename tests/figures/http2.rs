//! What HTTP/2 costs the client: the same load over both versions, one after the other.

use std::time::Duration;

use agent::sim::Profile;
use coordinator::report::ReportModel;
use harness::campaign::Campaign;
use harness::{run, simulator};

const USERS: u32 = 300;

/// The most of a core that the worker used in a second, answers per second, and the TTFT at p99 beyond that of the ledger.
struct Cost {
    cores: f64,
    requests_per_s: f64,
    ttft_p99_off_ms: f64,
}

fn cost(http: &'static str) -> Cost {
    let (ttft, itl) = (Duration::from_millis(200), Duration::from_millis(20));
    let simulator = simulator::start(Profile { ttft, itl, ..simulator::quick() });
    let campaign = Campaign {
        window: Some("15s"),
        output_tokens: 40,
        http,
        ..Campaign::new(simulator.address(), USERS, 1)
    };
    let ran = run::to_end(&campaign, 1, 1);
    let (totals, entries) = simulator::truth(simulator);
    let total = ran.total();
    assert_eq!(totals.received, total.counts.started, "{http}");
    assert_eq!(total.counts.failed_total(), 0, "{http}");
    let model = ReportModel::new(&ran.record, &[]);
    let level = &model.levels[0];
    let mut truth: Vec<u64> =
        entries.iter().filter_map(|e| Some(e.first_token?.ns_since(e.arrival))).collect();
    truth.sort_unstable();
    let p99 = truth[truth.len() * 99 / 100] as f64 / 1e6;
    let shares = ran.record.levels.iter().flat_map(|level| &level.shares);
    let seals = shares.filter_map(|share| share.seal.as_ref());
    Cost {
        cores: seals.map(|seal| seal.snapshot.vitals.worker_cpu_max).sum(),
        requests_per_s: level.rates.requests_per_s.expect("a rate").value(),
        ttft_p99_off_ms: level.latency_ms.ttft.p99.expect("enough").value() - p99,
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "needs a release build; .ci/run runs it")]
fn http_2_carries_the_same_load_for_a_small_multiple_of_the_processor_time() {
    let [one, two] = ["1.1", "2"].map(cost);
    for (name, Cost { cores, requests_per_s, ttft_p99_off_ms }) in [("1.1", &one), ("2", &two)] {
        println!(
            "HTTP/{name}: {requests_per_s:.0} answers of 40 tokens a second with {cores:.3} of a \
             core, TTFT p99 {ttft_p99_off_ms:+.2} ms to the ledger's"
        );
    }
    let ratio = (two.cores / two.requests_per_s) / (one.cores / one.requests_per_s);
    println!("processor time per answer: {ratio:.2} times that of HTTP/1.1");
    assert!(ratio < 4.0, "{ratio}");
    assert!((two.requests_per_s / one.requests_per_s - 1.0).abs() < 0.02);
}
