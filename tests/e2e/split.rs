//! The requests of a level do not depend on who makes them.

use std::collections::BTreeSet;
use std::thread;

use harness::campaign::Campaign;
use harness::{run, simulator};

/// Hashes of all request bodies, sorted, and the run's counts.
fn bodies(agents: u32, workers: u32, seed: u64, cache: &'static str) -> (Vec<u64>, (u64, u64)) {
    let simulator = simulator::start(simulator::quick());
    let levels = vec![(9, 40), (4, 10)];
    let campaign = Campaign { seed, cache, levels, ..Campaign::new(simulator.address(), 1, 1) };
    let ran = run::to_end(&campaign, agents, workers);
    let counts = ran.total().counts;
    let (_, entries) = simulator::truth(simulator);
    let mut hashes: Vec<u64> = entries.iter().map(|entry| entry.body_hash).collect();
    hashes.sort_unstable();
    (hashes, (counts.started, counts.succeeded))
}

#[test]
fn any_number_of_agents_and_workers_makes_the_same_requests() {
    let splits = [(1, 1), (1, 3), (2, 1), (4, 2), (7, 1)];
    let all: Vec<_> = thread::scope(|scope| {
        let spawn = |(agents, workers)| scope.spawn(move || bodies(agents, workers, 42, "cold"));
        let threads = splits.map(spawn);
        threads.map(|thread| thread.join().unwrap()).into()
    });
    assert_eq!(all[0].1, (50, 50));
    assert_eq!(BTreeSet::from_iter(&all[0].0).len(), 50, "cold prompts are all different");
    for (one, split) in all.iter().zip(splits) {
        assert_eq!(*one, all[0], "agents and workers: {split:?}");
    }
}

#[test]
fn another_seed_makes_other_requests_and_a_replay_makes_one() {
    let (first, _) = bodies(2, 1, 1, "cold");
    let (second, _) = bodies(2, 1, 2, "cold");
    assert!(BTreeSet::from_iter(first).is_disjoint(&BTreeSet::from_iter(second)));
    let (replayed, _) = bodies(2, 1, 1, "replay");
    assert_eq!((replayed.len(), BTreeSet::from_iter(replayed).len()), (50, 1));
}
