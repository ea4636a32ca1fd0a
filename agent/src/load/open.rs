//! Tests: an open loop makes its arrivals, all of them, when they are intended.

use std::collections::BTreeSet;
use std::time::Duration;

use common::arrivals::{Arrivals, Curve, Law, PerSecond, Rate, Schedule};
use common::assignment::{End, Load};
use common::outcome::{Censor, Failure};
use common::snapshot::LevelEnd;
use common::tally::Tally;

use super::rig::{Rig, Sealed};
use super::worker::WorkerOrder;
use crate::clock::Clock;
use crate::sim::Profile;
use crate::testing::assignment;

const MS: Duration = Duration::from_millis(1);
const S_NS: u64 = 1_000_000_000;

fn schedule(law: Law, per_second: u64) -> Schedule {
    Schedule { law, rate: Rate::Flat(PerSecond(per_second * 1_000_000)) }
}

fn open(law: Law, per_second: u64, users: u32, end: End) -> Load {
    Load { users, arrivals: Arrivals::Open(schedule(law, per_second)), end }
}

/// Answers of about 13 ms.
fn quick() -> Profile {
    Profile { ttft: 10 * MS, itl: MS, ..Profile::default() }
}

/// Arrivals of the whole sequence between two instants since the level fired.
fn planned(law: Law, per_second: u64, from_ns: u64, until_ns: u64) -> u64 {
    let sample = assignment("http://127.0.0.1:8000");
    let walk = schedule(law, per_second).walk(sample.seed, sample.phase, sample.place);
    walk.take_while(|&ns| ns < until_ns).filter(|&ns| ns >= from_ns).count() as u64
}

/// The latency below which a share of the samples lies, in microseconds.
fn quantile_us(tally: &Tally, share: f64) -> u64 {
    tally.latencies.send_lag.quantile_us(share).unwrap() as u64
}

#[test]
fn a_constant_rate_arrives_evenly_and_on_time() {
    let rig = Rig::start(quick(), open(Law::Constant, 200, 40, End::Requests(200)), 1);
    let Sealed { tally, ends, truth, connections } = rig.seal();
    assert_eq!(ends, [LevelEnd::Completed]);
    assert_eq!(tally.check_sealed(), Ok(()));
    assert_eq!((tally.counts.succeeded, truth.len()), (200, 200));
    let mut gaps: Vec<i128> =
        truth.windows(2).map(|pair| pair[1].arrival_ns - pair[0].arrival_ns).collect();
    gaps.sort_unstable();
    let median = gaps[gaps.len() / 2];
    assert!((median - 5_000_000).abs() < 250_000, "the middle gap is {median} ns");
    // The last comes when it should: gaps do not add up their lateness.
    let last = truth.last().unwrap().arrival_ns - 995_000_000;
    assert!((0..50_000_000).contains(&last), "{last}");
    let lag = quantile_us(&tally, 0.5);
    assert!(lag < 1000, "the middle send lag is {lag} us");
    // Those that were ready when it fired, and what they took of the spare.
    assert!(connections <= 40, "{connections}");
    println!("send lag p99: {} us", quantile_us(&tally, 0.99));
}

#[test]
fn one_two_and_four_workers_make_the_same_arrivals() {
    let load = open(Law::Poisson, 400, 64, End::Requests(100));
    let run = |workers| {
        let Sealed { tally, truth, .. } = Rig::start(quick(), load, workers).seal();
        assert_eq!(tally.check_sealed(), Ok(()));
        assert_eq!((tally.counts.started, tally.counts.succeeded), (100, 100));
        assert_eq!(truth.len(), 100);
        truth.into_iter().map(|truth| truth.body_hash).collect::<BTreeSet<_>>()
    };
    let alone = run(1);
    assert_eq!(alone.len(), 100);
    for workers in [2, 4] {
        assert_eq!(run(workers), alone, "{workers} workers");
    }
}

#[test]
fn a_window_holds_exactly_the_arrivals_that_the_sequence_has_there() {
    let law = Law::Gamma { shape_milli: 500 };
    let mut rig = Rig::start(quick(), open(law, 300, 64, End::Window), 2);
    rig.window(100 * MS, 600 * MS);
    rig.hear(|report| report.followed);
    rig.order(|| WorkerOrder::EndLevel);
    let Sealed { tally, ends, .. } = rig.seal();
    assert_eq!(ends, [LevelEnd::Completed, LevelEnd::Completed]);
    assert_eq!(tally.check_sealed(), Ok(()));
    let (from, until) = (S_NS / 10, S_NS * 6 / 10);
    assert_eq!(tally.measured.started, planned(law, 300, from, until));
    assert_eq!(tally.measured.succeeded, tally.measured.started);
    assert!(tally.counts.started >= planned(law, 300, 0, until));
    let window = tally.scope.window().unwrap();
    assert_eq!((window.following, window.in_flight_ns), (0, window.overlap_ns));
}

#[test]
fn what_a_full_fleet_cannot_send_waits_in_order_and_keeps_its_instant() {
    // Two slots of some 14 ms carry about 140/s; 500/s come.
    let mut rig = Rig::start(quick(), open(Law::Constant, 500, 2, End::Window), 1);
    rig.window(MS, 251 * MS);
    rig.hear(|report| report.followed);
    rig.order(|| WorkerOrder::EndLevel);
    let Sealed { tally, ends, truth, connections } = rig.seal();
    assert_eq!(ends, [LevelEnd::Completed]);
    assert_eq!(tally.check_sealed(), Ok(()));
    let measured = planned(Law::Constant, 500, S_NS / 1000, 251 * S_NS / 1000);
    assert_eq!((tally.measured.started, tally.measured.succeeded), (measured, measured));
    // The window's 125 take some 0.9 s, so the last of them are sent more than half of that late.
    let lag = quantile_us(&tally, 0.99);
    assert!((450_000..3_000_000).contains(&lag), "{lag}");
    assert_eq!((tally.in_flight.most(), connections), (2, 2));
    // An arrival is counted when it comes. What still waited at the end is cut and never sent.
    let cut = tally.counts.censored[Censor::CancelledPlan.index()];
    assert_eq!(tally.counts.succeeded + cut, tally.counts.started);
    assert!(cut > 100, "{cut}");
    assert!(truth.len() as u64 <= tally.counts.succeeded + 2);
}

#[test]
fn stop_and_lease_cut_an_open_loop_like_any_other() {
    for leased in [false, true] {
        let rig = Rig::start(quick(), open(Law::Constant, 400, 2, End::Requests(100_000)), 2);
        if leased {
            rig.lease.expire(Clock::boottime_ns() + 250_000_000);
        } else {
            rig.order(|| WorkerOrder::Stop { grace: 5000 * MS });
        }
        let Sealed { tally, ends, truth, .. } = rig.seal();
        let end = if leased { LevelEnd::LeaseExpired } else { LevelEnd::Stopped };
        assert_eq!(ends, [end.clone(), end]);
        assert_eq!(tally.check_sealed(), Ok(()));
        let cut = tally.counts.censored[Censor::CancelledAbort.index()];
        assert_eq!(tally.counts.censored_total(), cut);
        assert_eq!(tally.counts.succeeded + cut, tally.counts.started);
        if leased {
            assert!(cut > 0 && !truth.is_empty());
            let late = truth.iter().filter(|truth| truth.arrival_ns > 300_000_000).count();
            assert_eq!(late, 0, "requests are sent after the lease");
        }
    }
}

#[test]
fn connections_grow_with_use_and_an_arrival_does_not_wait_for_one() {
    // A second at 10/s, for which 16 connections are ready, then 25 arrivals at 400/s.
    let slow = Profile { ttft: 150 * MS, itl: MS, ..Profile::default() };
    let rate = |per_second: u64| PerSecond(per_second * 1_000_000);
    let (over, curve) = (Duration::from_secs(2), Curve::Steps(2));
    let rate = Rate::Ramp { from: rate(10), to: rate(400), over, curve };
    let arrivals = Arrivals::Open(Schedule { law: Law::Constant, rate });
    let load = Load { users: 400, arrivals, end: End::Requests(10 + 25) };
    let Sealed { tally, connections, .. } = Rig::start(slow, load, 1).seal();
    assert_eq!(tally.counts.succeeded, 35);
    let most = tally.in_flight.most();
    assert!((24..=27).contains(&most), "{most}");
    assert!((u64::from(most)..=u64::from(most) + 16 + 2).contains(&connections), "{connections}");
    let lag = tally.latencies.send_lag.max_us();
    assert!(lag.is_some_and(|us| us < 50_000), "{lag:?}");
}

#[test]
fn a_panic_voids_the_level_even_if_nothing_is_left_to_do() {
    let rig = Rig::start_panicking(open(Law::Constant, 100, 4, End::Requests(1)));
    let Sealed { tally, ends, .. } = rig.seal();
    assert!(matches!(&ends[..], [LevelEnd::Faulted(why)] if why.contains("panicked")), "{ends:?}");
    assert_eq!(tally.check_sealed(), Ok(()));
    assert_eq!(tally.counts.failed_by(Failure::ClientPanic), 1);
}
