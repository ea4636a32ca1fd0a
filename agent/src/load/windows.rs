//! Tests: what a window measures, and when it cannot.

use std::time::Duration;

use common::arrivals::Arrivals;
use common::assignment::{End, Load};
use common::outcome::Censor;
use common::snapshot::LevelEnd;
use common::tally::Scope;

use super::rig::{Rig, Sealed, Truth};
use super::worker::WorkerOrder;
use crate::clock::Clock;
use crate::sim::Profile;

const MS: Duration = Duration::from_millis(1);
const MS_NS: i128 = 1_000_000;

fn closed(users: u32, ramp: Duration) -> Load {
    Load { users, arrivals: Arrivals::Closed { ramp }, end: End::Window }
}

/// Answers of about 25 ms.
fn jittered() -> Profile {
    Profile {
        ttft: 10 * MS,
        itl: 5 * MS,
        jitter: "0.5".parse().unwrap(),
        seed: 3,
        ..Profile::default()
    }
}

/// Requests that the target saw begin between two instants since the level fired.
fn begun(truth: &[Truth], from_ns: i128, until_ns: i128) -> u64 {
    let inside = |truth: &&Truth| truth.arrival_ns >= from_ns && truth.arrival_ns < until_ns;
    truth.iter().filter(inside).count() as u64
}

#[test]
fn a_window_holds_the_requests_that_began_in_it_and_loses_none() {
    let mut rig = Rig::start(jittered(), closed(8, 20 * MS), 2);
    rig.window(150 * MS, 650 * MS);
    rig.hear(|report| report.followed);
    rig.order(|| WorkerOrder::EndLevel);
    let Sealed { tally, ends, truth, .. } = rig.seal();
    assert_eq!(ends, [LevelEnd::Completed, LevelEnd::Completed]);
    assert_eq!(tally.check_sealed(), Ok(()));
    let window = *tally.scope.window().unwrap();
    assert_eq!((window.from_ns, window.until_ns), (150_000_000, Some(650_000_000)));

    // A request reaches the target a little after its intended instant. Those so close to an end
    // of the window that this may have carried them over it are allowed on either side.
    let (from, until) = (150 * MS_NS, 650 * MS_NS);
    let slack = 2 * MS_NS;
    let certain = begun(&truth, from + slack, until);
    let possible = begun(&truth, from, until + slack);
    assert!((certain..=possible).contains(&tally.measured.started), "{certain} {possible}");
    assert!(tally.measured.started > 60 && possible - certain < 10, "{certain} {possible}");

    // Nothing of the window is cut, and its requests ended under load.
    assert_eq!(window.following, 0);
    assert_eq!(tally.measured.succeeded, tally.measured.started);
    assert_eq!(tally.counts.started, truth.len() as u64);
    assert_eq!(tally.counts.succeeded + tally.counts.censored_total(), tally.counts.started);
    let cut = tally.counts.censored[Censor::CancelledPlan.index()];
    assert_eq!(tally.counts.censored_total(), cut);
    assert!((1..=8).contains(&cut), "{cut}");
    assert!(begun(&truth, until + slack, i128::MAX) > 0, "no make-up load");

    // In flight by the gauge and by the requests, which all users keep up.
    assert_eq!(window.in_flight_ns, window.overlap_ns);
    let mean = window.in_flight_ns as f64 / 500e6;
    assert!(mean > 7.0 && mean <= 8.0, "{mean}");

    let events: u64 = tally.flow.slots().map(|slot| slot.events).sum();
    assert!(events >= 4 * tally.counts.succeeded, "{events}");
    assert!(events <= 4 * tally.counts.started, "{events}");
    assert!(tally.serial.e2e.pairs > 0 && tally.serial.e2e.pairs < tally.measured.succeeded);
    // A look every 20 ms, those of the window only.
    assert!((1..=2 * 26).contains(&tally.latencies.loop_lag.count()));
}

#[test]
fn an_instant_that_has_come_is_too_late_and_the_level_is_not_completed() {
    type Orders = fn(&Rig, now: common::time::Tick);
    let cases: [(&str, bool, Orders); 4] = [
        ("begin", true, |rig, now| {
            rig.order(|| WorkerOrder::Measure { from: now });
            rig.order(|| WorkerOrder::Release { at: now + 2 * MS });
        }),
        ("end", true, |rig, now| {
            rig.order(|| WorkerOrder::Measure { from: now + 5 * MS });
            rig.order(|| WorkerOrder::Release { at: now });
        }),
        ("end without a begin", true, |rig, now| {
            rig.order(|| WorkerOrder::Release { at: now + 1000 * MS });
        }),
        ("ended before its end", false, |rig, now| {
            rig.order(|| WorkerOrder::Measure { from: now + 1000 * MS });
            rig.order(|| WorkerOrder::Release { at: now + 2000 * MS });
        }),
    ];
    for (case, late, orders) in cases {
        let rig = Rig::start(jittered(), closed(2, Duration::ZERO), 1);
        orders(&rig, rig.now());
        rig.order(|| WorkerOrder::EndLevel);
        let mut rig = rig;
        rig.hear(|report| report.end.is_some());
        assert_eq!(rig.is_late(), late, "{case}");
        let Sealed { tally, ends, .. } = rig.seal();
        assert_eq!(ends, [LevelEnd::Stopped], "{case}");
        assert_eq!(tally.check_sealed(), Ok(()), "{case}");
        let planned = tally.counts.censored[Censor::CancelledPlan.index()];
        assert_eq!(planned, 0, "{case}");
    }
}

#[test]
fn a_window_without_requests_needs_no_waiting() {
    // More workers than users: one worker has nothing to do, and knows no less of the window.
    let mut rig = Rig::start(jittered(), closed(1, Duration::ZERO), 2);
    rig.window(50 * MS, 60 * MS);
    rig.hear(|report| report.followed);
    rig.order(|| WorkerOrder::EndLevel);
    let Sealed { tally, ends, .. } = rig.seal();
    assert_eq!(ends, [LevelEnd::Completed, LevelEnd::Completed]);
    assert_eq!(tally.check_sealed(), Ok(()));
    assert!(matches!(tally.scope, Scope::Window(window) if window.following == 0));
}

#[test]
fn stop_and_lease_end_a_window_as_they_end_any_level() {
    for leased in [false, true] {
        let rig = Rig::start(jittered(), closed(4, Duration::ZERO), 1);
        rig.window(20 * MS, 10_000 * MS);
        if leased {
            rig.lease.expire(Clock::boottime_ns() + 150_000_000);
        } else {
            rig.order(|| WorkerOrder::Stop { grace: 200 * MS });
        }
        let Sealed { tally, ends, .. } = rig.seal();
        let end = if leased { LevelEnd::LeaseExpired } else { LevelEnd::Stopped };
        assert_eq!(ends, [end]);
        assert_eq!(tally.check_sealed(), Ok(()));
        assert_eq!(tally.counts.censored[Censor::CancelledPlan.index()], 0);
    }
}

#[test]
fn users_of_a_ramp_begin_when_they_should() {
    let slow = Profile { ttft: 300 * MS, itl: MS, ..Profile::default() };
    let mut rig = Rig::start(slow, closed(5, 200 * MS), 2);
    rig.window(220 * MS, 230 * MS);
    rig.hear(|report| report.followed);
    rig.order(|| WorkerOrder::EndLevel);
    let Sealed { tally, truth, .. } = rig.seal();
    assert_eq!(tally.check_sealed(), Ok(()));
    for (user, truth) in truth.iter().take(5).enumerate() {
        let late = truth.arrival_ns - 40 * MS_NS * user as i128;
        assert!((0..25 * MS_NS).contains(&late), "user {user} begins {late} ns late");
    }
}

#[test]
fn a_stop_does_not_wait_for_users_whose_first_request_has_not_come() {
    let hour = Duration::from_secs(3600);
    let rig = Rig::start(jittered(), closed(6, hour), 2);
    rig.order(|| WorkerOrder::Stop { grace: hour });
    let Sealed { tally, ends, .. } = rig.seal();
    assert_eq!(ends, [LevelEnd::Stopped, LevelEnd::Stopped]);
    assert_eq!(tally.check_sealed(), Ok(()));
    assert!(tally.counts.started <= 1);
}
