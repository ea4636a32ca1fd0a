//! A comparison of a server with itself, through the whole path.

use std::thread;
use std::time::Duration;

use agent::sim::Profile;
use coordinator::compare::Which::{self, Base, New};
use coordinator::compare::{Answer, Comparison, Metric, Options, Run, Side, Sides, compare};
use coordinator::record::RunOutcome;
use coordinator::store::Loaded;
use harness::campaign::Campaign;
use harness::run;
use harness::simulator;

/// Runs at the same time: a level waits for most of its life.
const RUNS: usize = 8;
const PAIRS: usize = 40;
const REPEATS: usize = PAIRS * PAIR.len() / RUNS;

/// Which side a repeat is of, in the order in which they are measured: in turn, so that what
/// changes on the machine while this runs is no difference between the sides.
const PAIR: [Which; 10] = [Base, New, New, Base, Base, New, New, Base, Base, New];

/// With a chance of 5 % in each of the pairs more are different once in 50,000 times.
const DIFFERENT_MAX: usize = 9;

/// One repeat as a run of its own.
fn alone(run: &Run, repeat: usize) -> Run {
    let levels = run.levels.iter().filter(|level| level.repeat as usize == repeat);
    Run {
        name: format!("repeat-{repeat}"),
        facts: run.facts.clone(),
        levels: levels.cloned().collect(),
    }
}

/// Comparisons of every ten repeats in a row.
fn pairs(run: &Run, deciding: &[Metric]) -> Vec<Comparison> {
    let options = Options { margin: 0.02, deciding: deciding.to_vec() };
    let side = |first: usize, which: Which| Side {
        name: which.name().to_owned(),
        runs: (first..)
            .zip(PAIR)
            .filter(|(_, of)| *of == which)
            .map(|(repeat, _)| alone(run, repeat))
            .collect(),
    };
    let pair = |first| Sides { base: side(first, Base), new: side(first, New) };
    (0..REPEATS).step_by(PAIR.len()).map(|first| compare(&pair(first), &options)).collect()
}

fn is_different(comparison: &&Comparison) -> bool {
    matches!(comparison.answer, Answer::Worse | Answer::Better)
}

#[test]
#[cfg_attr(debug_assertions, ignore = "needs a release build; .ci/run runs it")]
fn a_server_is_rarely_called_different_from_itself() {
    let simulator = simulator::start(Profile {
        ttft: Duration::from_millis(20),
        itl: Duration::from_millis(2),
        jitter: "0.3".parse().expect("a spread"),
        ..Profile::default()
    });
    // One user: nothing is left to end alone when the others are done.
    let campaign = Campaign::new(simulator.address(), 1, 12);
    let text = format!("{}\n[repeats]\ncount = {REPEATS}\n", campaign.text());
    let runs: Vec<Run> = thread::scope(|scope| {
        let run = || {
            let ran = run::text_to_end(&text, 1);
            assert_eq!(ran.end.outcome, RunOutcome::Completed, "{:?}", ran.end);
            Run::of("run".to_owned(), &Loaded { record: ran.record, damage: Vec::new() })
        };
        let going: Vec<_> = (0..RUNS).map(|_| scope.spawn(run)).collect();
        going.into_iter().map(|run| run.join().expect("no panic")).collect()
    });
    let compared = |deciding: &[Metric]| -> Vec<Comparison> {
        runs.iter().flat_map(|run| pairs(run, deciding)).collect()
    };

    let by_rate = compared(&[Metric::TotalTokS]);
    assert_eq!(by_rate.len(), PAIRS);
    let tests: Vec<_> = by_rate
        .iter()
        .filter_map(|comparison| {
            let level = comparison.levels.first()?;
            let total = level.metrics.iter().find(|m| m.metric == Metric::TotalTokS)?;
            total.test.zip(total.arms.base.summary?.cov)
        })
        .collect();
    assert_eq!(tests.len(), PAIRS, "every pair is tested: {:?}", by_rate[0]);
    let cov = tests.iter().map(|(_, cov)| cov).sum::<f64>() / PAIRS as f64;
    let left_out: usize = by_rate.iter().map(|comparison| comparison.left_out.len()).sum();
    let different = by_rate.iter().filter(is_different).count();
    let by_any = compared(&Metric::DECIDING);
    println!(
        "a server and itself, five repeats a side at a CoV of {:.1} %: by total tok/s {different} \
         of {PAIRS} pairs differ, by any metric that decides {}; {left_out} repeats left out",
        cov * 100.0,
        by_any.iter().filter(is_different).count()
    );
    assert!(different <= DIFFERENT_MAX, "{different} of {PAIRS} pairs");
}
