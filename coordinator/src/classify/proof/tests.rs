//! Each check just inside and just outside its limit, and what a proof covers.

use common::seed::Seed;
use common::tally::{Scope, WindowTally};

use super::*;
use crate::record::LevelRecord;
use crate::testdata::Windowed;

const PACE: Pace = Pace { ttft: Duration::from_millis(200), itl: Duration::from_millis(20) };
const TOKENS: u32 = 10;
const PERIOD: Period = Period { from_ns: 1_000_000_000, until_ns: 11_000_000_000 };

/// Ten users for ten seconds, a hundred answers, exactly as injected.
fn sound() -> Tally {
    let in_flight_ns = 10 * 10_000_000_000;
    let mut tally = Tally {
        scope: Scope::Window(WindowTally {
            from_ns: PERIOD.from_ns,
            until_ns: Some(PERIOD.until_ns),
            in_flight_ns,
            overlap_ns: in_flight_ns,
            ..WindowTally::default()
        }),
        ..Tally::default()
    };
    tally.scope = match tally.scope {
        Scope::Window(mut window) => {
            window.arrived.requests = 100;
            Scope::Window(window)
        }
        Scope::Whole | Scope::Pending => unreachable!(),
    };
    tally.counts.started = 110;
    tally.counts.succeeded = 110;
    tally.measured.started = 100;
    tally.measured.succeeded = 100;
    tally.tokens.completion = 1000;
    tally.tokens.events = 1000;
    for second in 0..12 {
        tally.events(second * 1_000_000_000 + 1, 100);
    }
    for _ in 0..100 {
        tally.latencies.ttft.record_ns(200_000_000);
    }
    for _ in 0..900 {
        tally.latencies.icl.record_ns(20_000_000);
    }
    tally
}

fn window(tally: &mut Tally) -> &mut WindowTally {
    match &mut tally.scope {
        Scope::Window(window) => window,
        Scope::Whole | Scope::Pending => unreachable!(),
    }
}

fn judged(bend: impl FnOnce(&mut Tally)) -> Proof {
    let mut tally = sound();
    bend(&mut tally);
    judge(&tally, 10, PERIOD, Injected { pace: PACE, output_tokens: TOKENS })
}

/// The names of the checks that do not hold.
fn failed(bend: impl FnOnce(&mut Tally)) -> Vec<&'static str> {
    let proof = judged(bend);
    assert_eq!(proof.passed, proof.checks.iter().all(|check| check.passed));
    proof.checks.iter().filter(|check| !check.passed).map(|check| check.name).collect()
}

/// Times to the first token of which `late` of a hundred are at `ms`, the others as injected.
fn ttft(late: usize, ms: f64) -> impl FnOnce(&mut Tally) {
    move |tally| {
        tally.latencies.ttft = Default::default();
        for place in 0..100 {
            let ms = if place < late { ms } else { 200.0 };
            tally.latencies.ttft.record_ns((ms * 1e6) as u64);
        }
    }
}

fn gap_of(ms: f64) -> impl FnOnce(&mut Tally) {
    move |tally| {
        tally.latencies.icl = Default::default();
        tally.latencies.icl.record_ns((ms * 1e6) as u64);
    }
}

fn held(mean: f64) -> impl FnOnce(&mut Tally) {
    move |tally| {
        let window = window(tally);
        window.in_flight_ns = (mean * 1e10) as u64;
        window.overlap_ns = window.in_flight_ns;
    }
}

#[test]
fn a_client_that_does_what_was_injected_passes_with_three_numbers() {
    let proof = judged(|_| ());
    assert!(proof.passed, "{proof:?}");
    assert_eq!((proof.in_flight, proof.requests_per_s), (Some(10.0), Some(10.0)));
    assert_eq!((proof.events_per_s, proof.asked), (Some(100.0), 10));
    insta::assert_snapshot!(
        proof.checks.iter().map(|c| format!("{}: {}\n", c.name, c.evidence)).collect::<String>(),
        @r"
    in_flight_share: 10 of 10 users in flight, at least 99 % of them
    ttft_p50_off_ms: time to the first token, median: 200 ms, 200 ms were injected, within 2 ms
    ttft_p99_off_ms: time to the first token, p99: 200 ms, 200 ms were injected, within 5 ms
    gap_off_share: gaps between events: median 20.01 ms, mean 20 ms, 20 ms were injected, within 5 %
    lost: 100 requests and 1000 tokens, none lost
    "
    );
}

#[test]
fn each_check_holds_up_to_its_limit() {
    // 99 % in flight.
    assert!(failed(held(9.91)).is_empty());
    assert_eq!(failed(held(9.89)), ["in_flight_share"]);
    // The median within 1 % of 200 ms; then the p99 within 5 ms, which is more than 2 %.
    assert!(failed(ttft(60, 201.9)).is_empty());
    assert_eq!(failed(ttft(60, 202.2)), ["ttft_p50_off_ms"]);
    assert!(failed(ttft(60, 198.1)).is_empty());
    assert_eq!(failed(ttft(60, 197.8)), ["ttft_p50_off_ms"]);
    assert!(failed(ttft(2, 204.9)).is_empty());
    assert_eq!(failed(ttft(2, 205.3)), ["ttft_p99_off_ms"]);
    // One of a hundred lies above the p99.
    assert!(failed(ttft(1, 900.0)).is_empty());
    // Gaps within 5 %, the median and the mean.
    assert!(failed(gap_of(20.9)).is_empty());
    assert_eq!(failed(gap_of(21.1)), ["gap_off_share"]);
    assert!(failed(gap_of(19.1)).is_empty());
    assert_eq!(failed(gap_of(18.9)), ["gap_off_share"]);
    let stalled = |tally: &mut Tally| {
        (0..9).for_each(|_| tally.latencies.icl.record_ns(200_000_000));
    };
    assert!(
        failed(|tally| (0..4).for_each(|_| tally.latencies.icl.record_ns(200_000_000))).is_empty()
    );
    assert_eq!(failed(stalled), ["gap_off_share"]);
}

#[test]
fn limits_of_short_times_are_in_milliseconds_and_of_long_ones_in_shares() {
    let check = |injected_ms: u64, ms: f64| {
        let injected = Duration::from_millis(injected_ms);
        quantile("x", "p99", Some(ms * 1e3), injected, (0.02, 5.0)).passed
    };
    assert!(check(10, 14.9) && !check(10, 15.1));
    assert!(check(1000, 1019.0) && !check(1000, 1021.0));
}

#[test]
fn anything_lost_is_a_loss() {
    for bend in [
        (|tally| tally.counts.failed[0] = 1) as fn(&mut Tally),
        |tally| tally.measured.censored[0] = 1,
        |tally| tally.tokens.completion -= 1,
        |tally| tally.tokens.events -= 1,
        |tally| tally.tokens.events += 1,
        |tally| window(tally).overlap_ns -= 1_000_000_000,
    ] {
        assert_eq!(failed(bend), ["lost"]);
    }
    // An agent without anything proves nothing.
    let nothing = |tally: &mut Tally| {
        *tally = Tally { scope: tally.scope, ..Tally::default() };
    };
    assert_eq!(failed(nothing), ["ttft_p50_off_ms", "ttft_p99_off_ms", "gap_off_share", "lost"]);
}

fn proof_level() -> LevelRecord {
    let mut record = Windowed::USUAL.level();
    record.planned.proof = Some(PACE);
    record
}

#[test]
fn a_proof_that_did_not_end_says_why_and_the_agents_have_their_own() {
    let record = proof_level();
    let level = Measured::of(&record, Seed(1));
    let agents: Vec<_> = of_agents(&level).collect();
    assert_eq!(agents.len(), 2);
    let fleet = of_fleet(&level).unwrap();
    let held = agents.iter().filter_map(|(_, _, proof)| proof.in_flight).sum::<f64>();
    assert!((held - fleet.in_flight.unwrap()).abs() < 1e-6);
    assert_eq!(agents.iter().map(|(_, _, proof)| proof.asked).sum::<u32>(), fleet.asked);

    // One agent in two whose answers came late: the fleet's median does not show it.
    let mut hidden = record.clone();
    for (share, late_us) in hidden.shares.iter_mut().zip([0, 30_000]) {
        let tally = &mut share.seal.as_mut().unwrap().snapshot.tally;
        let count = tally.latencies.ttft.count();
        tally.latencies.ttft = Default::default();
        let ns = (200_000 + late_us) * 1000;
        (0..count).for_each(|_| tally.latencies.ttft.record_ns(ns));
    }
    let level = Measured::of(&hidden, Seed(1));
    let fleet = of_fleet(&level).unwrap();
    let agents = fleet.checks.iter().find(|check| check.name == "agents_short").unwrap();
    assert!(!fleet.passed && agents.value == Some(1.0), "{fleet:?}");
    assert!(agents.evidence.contains(hidden.shares[1].agent.as_str()), "{agents:?}");

    let mut failed = record.clone();
    failed.fate = Some(LevelFate::Failed("the ledger says 3, the agent 4".to_owned()));
    let level = Measured::of(&failed, Seed(1));
    let fleet = of_fleet(&level).unwrap();
    assert!(!fleet.passed && fleet.checks[0].evidence.contains("says 3"), "{fleet:?}");
    assert!(of_agents(&level).all(|(_, _, proof)| !proof.passed));

    let ordinary = Windowed::USUAL.level();
    assert_eq!(of_fleet(&Measured::of(&ordinary, Seed(1))), None);
}

#[test]
fn a_level_is_covered_by_twice_of_each_of_its_three_numbers() {
    let mut record = Windowed::USUAL.level();
    for share in &mut record.shares {
        let tally = &mut share.seal.as_mut().unwrap().snapshot.tally;
        (0..70u64).for_each(|second| tally.events(second * 1_000_000_000, 100));
    }
    let level = Measured::of(&record, Seed(1));
    let twice = |value: Option<f64>| value.map(|value| 2.0 * value);
    let enough = Proof {
        in_flight: level.in_flight.mean.map(|mean| 1.981 * mean),
        requests_per_s: twice(level.rates.requests),
        events_per_s: twice(level.events_per_s()),
        ..judged(|_| ())
    };
    let covered = |proofs: &[Proof]| uncovered(&level, proofs).is_none();
    assert!(level.events_per_s().unwrap() > 100.0);
    assert!(covered(std::slice::from_ref(&enough)));
    let less = |value: Option<f64>| value.map(|value| 0.999 * value);
    for short in [
        Proof { in_flight: less(enough.in_flight), ..enough.clone() },
        Proof { requests_per_s: less(enough.requests_per_s), ..enough.clone() },
        Proof { events_per_s: less(enough.events_per_s), ..enough.clone() },
        Proof { passed: false, ..enough.clone() },
        Proof { events_per_s: None, ..enough.clone() },
    ] {
        assert!(!covered(std::slice::from_ref(&short)), "{short:?}");
        assert!(covered(&[short, enough.clone()]), "one that covers is enough");
    }
    assert!(uncovered(&level, &[]).unwrap().contains("--client-proof"));
}
