//! Tests: users who think send when they have thought, and stop thinking when they are stopped.

use std::time::Duration;

use common::assignment::Load;
use common::snapshot::LevelEnd;

use super::rig::{Rig, Sealed};
use super::worker::WorkerOrder;
use crate::clock::Clock;
use crate::sim::Profile;

const MS: Duration = Duration::from_millis(1);

/// Answers of about 13 ms.
fn quick() -> Profile {
    Profile { ttft: 10 * MS, itl: MS, ..Profile::default() }
}

#[test]
fn a_user_thinks_between_requests_and_that_is_no_lateness() {
    let Sealed { tally, ends, truth, .. } =
        Rig::start_thinking(quick(), Load::counted(2, 6), 120 * MS).seal();
    assert_eq!(ends, [LevelEnd::Completed]);
    assert_eq!((tally.counts.started, tally.counts.succeeded), (6, 6));
    // Each user: an answer, a thought, an answer, a thought, an answer; and no thought after it.
    let at = |number: usize| truth[number].arrival_ns;
    for (first, later) in [(0, 2), (1, 3), (2, 4), (3, 5)] {
        let gap = at(later) - at(first);
        assert!((132_000_000..200_000_000).contains(&gap), "{gap}");
    }
    let lag = tally.latencies.send_lag.max_us().unwrap();
    assert!(lag < 50_000, "{lag}");
    let plan = tally.latencies.e2e_plan.quantile_us(0.5).unwrap();
    assert!(plan < 100_000.0, "what users think is no latency: {plan}");
}

#[test]
fn whoever_thinks_is_stopped_at_once() {
    for leased in [false, true] {
        let mut rig = Rig::start_thinking(quick(), Load::counted(2, 6), Duration::from_secs(600));
        rig.hear(|report| report.tally.counts.succeeded == 2);
        let before = rig.now();
        if leased {
            rig.lease.expire(Clock::boottime_ns());
        } else {
            rig.order(|| WorkerOrder::Stop { grace: Duration::from_secs(60) });
        }
        rig.hear(|report| report.end.is_some());
        assert!(rig.now().since(before) < Duration::from_secs(5));
        let Sealed { tally, ends, .. } = rig.seal();
        let end = if leased { LevelEnd::LeaseExpired } else { LevelEnd::Stopped };
        assert_eq!((ends.as_slice(), tally.counts.started), (&[end][..], 2));
        assert_eq!(tally.check_sealed(), Ok(()));
    }
}
