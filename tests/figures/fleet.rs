//! What a large fleet costs its coordinator.

use std::time::Duration;

use agent::clock::Clock;
use agent::sim::Profile;
use coordinator::record::RunOutcome;
use harness::campaign::Campaign;
use harness::hollow::{History, Hollow};
use harness::{run, simulator};
use rustix::time::{ClockId, clock_gettime};

/// How long the agents' levels have gone on when they begin to tell of them.
const AGE: Duration = Duration::from_secs(300);

fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// The share of a core that a level of `agents` hollow agents takes of the coordinator's thread.
fn share(agents: u64) -> f64 {
    let simulator = simulator::start(simulator::quick());
    let users = u32::try_from(agents * 10).expect("few");
    let campaign = Campaign { window: Some("10s"), ..Campaign::new(simulator.address(), users, 1) };
    let history = History::new(AGE, 20);
    println!("a snapshot has {} bytes", history.bytes());
    let fleet = Hollow::start(agents, AGE, history);
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::start();
    let (began, cpu) = (clock.now(), thread_cpu());
    let ran = run::with_agents(&campaign.text(), fleet.addresses(), dir).expect("a stored end");
    let (took, cpu) = (clock.now().since(began), thread_cpu().saturating_sub(cpu));
    assert_eq!((ran.end.outcome, ran.end.exit_code), (RunOutcome::Completed, 0), "{:?}", ran.end);
    let seen = fleet.seen();
    let share = cpu.as_secs_f64() / took.as_secs_f64();
    println!(
        "{agents} agents: {:.2} s of processor time in {:.1} s, {share:.3} of a core; {} \
         snapshots, the slowest echo {:.0} ms",
        cpu.as_secs_f64(),
        took.as_secs_f64(),
        seen.snapshots(),
        seen.longest_echo().as_secs_f64() * 1e3,
    );
    assert!(seen.longest_echo() < Duration::from_secs(2), "{:?}", seen.longest_echo());
    assert!(seen.snapshots() > agents * 10, "{}", seen.snapshots());
    share
}

#[test]
#[cfg_attr(debug_assertions, ignore = "needs a release build; .ci/run runs it")]
fn a_thousand_agents_cost_their_coordinator_less_than_a_core() {
    share(100);
    let share = share(1000);
    assert!(share < 0.7, "{share}");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "needs a release build; .ci/run runs it")]
fn two_hundred_agents_of_one_machine_run_a_level() {
    const AGENTS: u32 = 200;
    let (ttft, itl) = (Duration::from_millis(500), Duration::from_millis(50));
    let simulator = simulator::start(Profile { ttft, itl, ..simulator::quick() });
    let campaign = Campaign {
        window: Some("4s"),
        output_tokens: 10,
        ..Campaign::new(simulator.address(), AGENTS, 1)
    };
    let ran = run::to_end(&campaign, AGENTS, 1);
    let (totals, _) = simulator::truth(simulator);
    assert_eq!((ran.end.outcome, ran.end.exit_code), (RunOutcome::Completed, 0), "{:?}", ran.end);
    let total = ran.total();
    println!(
        "{AGENTS} agents: {} requests, {} measured",
        total.counts.started, total.measured.started
    );
    assert_eq!(ran.record.levels.len(), 1, "another attempt was needed");
    assert_eq!(total.counts.started, totals.received);
    assert_eq!(total.counts.failed_total(), 0);
    assert!(total.measured.succeeded >= 3 * u64::from(AGENTS), "{:?}", total.measured);
}
