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

#[test]
fn lengths_that_are_drawn_and_prefixes_that_are_shared_do_not_depend_on_who_makes_them() {
    let sent = |agents: u32| {
        let simulator = simulator::start(simulator::quick());
        let levels = vec![(9, 60)];
        let campaign = Campaign { levels, ..Campaign::new(simulator.address(), 1, 1) };
        let text = campaign.text();
        let text = text.replace("input_tokens  = 12", "input_tokens = { uniform = [60, 90] }");
        let law = "output_tokens = { lognormal = { median = 8, sigma = 0.8, max = 40 } }";
        let text = text.replace("output_tokens = 6", law);
        let shared = "cache = { shared_prefix = 50, groups = 2, share = \"80%\" }";
        let ran = run::text_to_end(&text.replace("cache         = \"cold\"", shared), agents);
        // Every answer is held to the length of its own request.
        let counts = ran.total().counts;
        assert_eq!((counts.started, counts.succeeded), (60, 60));
        let (_, entries) = simulator::truth(simulator);
        let tokens = |of: fn(&simulator::Entry) -> u64| -> BTreeSet<u64> {
            entries.iter().map(of).collect()
        };
        let (prompts, answers) = (tokens(|e| e.prompt_tokens), tokens(|e| e.tokens.into()));
        assert!(prompts.len() > 5 && prompts.iter().all(|tokens| (60..=90).contains(tokens)));
        assert!(answers.len() > 5 && answers.iter().all(|tokens| (1..=40).contains(tokens)));
        let mut hashes: Vec<u64> = entries.iter().map(|entry| entry.body_hash).collect();
        hashes.sort_unstable();
        hashes
    };
    let one = sent(1);
    assert_eq!(BTreeSet::from_iter(&one).len(), 60);
    assert_eq!(one, sent(4));
}
