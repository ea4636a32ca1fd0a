//! How often the printed interval of the throughput holds the truth: 200 levels against a server of
//! known pace, from every request to the report. The seeds are the first 200, whatever they give.

use super::*;
use crate::testdata::{Served, Server, Swing};

const LEVELS: u64 = 200;

/// Seeds of the long levels that tell the truth; none is a level's.
const TRUTH_SEED: u64 = 1 << 40;

const USUAL: Served = Served::USUAL;

/// By how much an answer is slower the more there are.
const CROWDED: Server = Server { crowd: Some(8), spread: 0.2, ..Server::USUAL };

/// The rate of 10,000 s of the same server, 160 levels' worth: its own error counts for nothing.
fn long_run(served: Served) -> f64 {
    served.rate(TRUTH_SEED, 10_000)
}

/// The share of levels whose interval holds the truth.
fn share_held(name: &str, served: Served, truth: f64) -> f64 {
    let mut empty = run();
    empty.header.mode = Mode::Floodmark;
    empty.levels.clear();
    let (mut held, mut widths, mut batches, mut valid) = (0, 0.0, 0, 0);
    for seed in 0..LEVELS {
        let run = RunRecord { levels: vec![served.level(seed)], ..empty.clone() };
        let model = ReportModel::new(&run, &[]);
        let level = &model.levels[0];
        valid += u32::from(level.is_valid());
        // A level without an interval holds nothing.
        let Some(interval) = level.rates.output_tok_s_ci95 else { continue };
        let (low, high) = (interval.low.unwrap().value(), interval.high.unwrap().value());
        held += u32::from(low <= truth && truth <= high);
        widths += (high - low) / 2.0 / truth;
        batches += interval.batches;
    }
    let share = f64::from(held) / LEVELS as f64;
    println!(
        "{name}: {:.1} % of {LEVELS} hold {truth:.1} tok/s; on average ±{:.2} %, {:.1} batches; \
         {valid} valid",
        share * 100.0,
        widths / LEVELS as f64 * 100.0,
        batches as f64 / LEVELS as f64,
    );
    share
}

fn assert_as_claimed(name: &str, served: Served, truth: f64) {
    let share = share_held(name, served, truth);
    assert!((0.92..=0.97).contains(&share), "{name}: {share}");
}

#[test]
fn users_that_wait_in_line_for_a_slot() {
    // Nearly regular: what misses a batch by a little is in the next one.
    let served = Served { server: Server { slots: 8, spread: 0.1, ..Server::USUAL }, ..USUAL };
    let truth = served.rate_by_means();
    let simulated = long_run(served);
    assert!((simulated / truth - 1.0).abs() < 0.002, "{simulated} for {truth}");
    assert_as_claimed("a line before slots", served, truth);
}

#[test]
fn answers_that_slow_each_other_down() {
    let served = Served { agents: 3, server: CROWDED, ..USUAL };
    assert_as_claimed("crowded", served, long_run(served));
}

#[test]
fn answers_that_do_not_know_of_each_other() {
    let served = Served { agents: 4, ..USUAL };
    assert_as_claimed("independent", served, served.rate_by_means());
}

#[test]
fn a_pace_that_wanders() {
    let swing = |lasts_s| Some(Swing { sigma: 0.1, lasts_s });
    let served = Served { server: Server { swing: swing(1.0), ..CROWDED }, ..USUAL };
    assert_as_claimed("a pace that wanders within 1 s", served, long_run(served));
    // A minute holds ten such times: too few to tell how far apart they are.
    let served = Served { server: Server { swing: swing(3.0), ..CROWDED }, ..USUAL };
    let share = share_held("a pace that wanders within 3 s", served, long_run(served));
    assert!(share >= 0.85, "{share}");
}
