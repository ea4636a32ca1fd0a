use common::seed::Generator;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::paper_cases;

/// A level: slots around 100 whose neighbours correlate by `lag1`, with a spread of 5 %.
struct Level {
    random: Generator,
    lag1: f64,
    state: f64,
}

impl Level {
    fn new(seed: u64, lag1: f64) -> Self {
        let mut random = Generator::new(seed);
        let state = random.normal();
        Self { random, lag1, state }
    }

    fn slot(&mut self) -> f64 {
        let fresh = (1.0 - self.lag1.powi(2)).sqrt() * self.random.normal();
        self.state = self.lag1 * self.state + fresh;
        100.0 * (1.0 + 0.05 * self.state)
    }

    fn slots(&mut self, count: usize) -> Vec<f64> {
        (0..count).map(|_| self.slot()).collect()
    }
}

/// Batch means of a series as if its batches were independent: no pair is merged.
fn unmerged(series: &[f64]) -> BatchMeans {
    let summary = describe(series).unwrap();
    BatchMeans {
        mean: summary.mean,
        half_width: summary.ci95_half_width.unwrap(),
        count: series.len(),
        batch_slots: 1,
        unmerged: series.len(),
        lag1: None,
    }
}

fn holds_the_mean(means: &BatchMeans) -> bool {
    (means.mean - 100.0).abs() <= means.half_width
}

/// Share of levels whose interval holds the true mean, and slots at the end of a level, on
/// average, where levels end as [`Stopping`] says.
fn stopped(levels: u64, lag1: f64, measure: impl Fn(&[f64]) -> Option<BatchMeans>) -> (f64, f64) {
    let (mut held, mut slots) = (0, 0);
    for seed in 0..levels {
        let mut level = Level::new(seed, lag1);
        let mut stopping = Stopping::default();
        let mut series = level.slots(FIRST_LOOK);
        loop {
            let means = measure(&series);
            let look = means.as_ref().map_or(Look::TooEarly, |means| stopping.look(means));
            if look == Look::Stop {
                held += u32::from(holds_the_mean(&means.unwrap()));
                slots += series.len();
                break;
            }
            assert!(series.len() < 10_000, "level {seed} does not end");
            series.extend(level.slots(series.len().div_ceil(2)));
        }
    }
    (f64::from(held) / levels as f64, slots as f64 / levels as f64)
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * one.abs().max(other.abs()).max(1.0)
}

fn series() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(0.0..1000.0, 12..120)
}

proptest! {
    #[test]
    fn correlation_ignores_unit_origin_and_direction(series in series(), scale in 0.1..50.0) {
        let r = lag1(&series).unwrap();
        prop_assert!(r.abs() < 1.0);
        let moved: Vec<f64> = series.iter().map(|value| value * scale - 300.0).collect();
        prop_assert!(close(lag1(&moved).unwrap(), r));
        let reversed: Vec<f64> = series.iter().rev().copied().collect();
        prop_assert!(close(lag1(&reversed).unwrap(), r));
    }

    #[test]
    fn effective_values_are_never_more_and_fall_with_correlation(
        n in 1usize..1_000_000,
        r in -1.0..1.0,
        more in 0.0..1.0,
    ) {
        let worth = n_eff(n, Some(r));
        prop_assert!((1.0..=n as f64).contains(&worth));
        prop_assert!(n_eff(n, Some(r + (1.0 - r) * more)) <= worth);
    }

    #[test]
    fn batch_means_follow_unit_and_origin(series in series(), size in 1usize..3) {
        let Some(means) = BatchMeans::of(&series, size) else { return Ok(()) };
        let doubled: Vec<f64> = series.iter().map(|value| value * 2.0).collect();
        let doubled = BatchMeans::of(&doubled, size).unwrap();
        prop_assert!(close(doubled.mean, 2.0 * means.mean));
        prop_assert!(close(doubled.half_width, 2.0 * means.half_width));
        let moved: Vec<f64> = series.iter().map(|value| value + 77.0).collect();
        let moved = BatchMeans::of(&moved, size).unwrap();
        prop_assert!(close(moved.mean, means.mean + 77.0));
        prop_assert!(close(moved.half_width, means.half_width));
    }

    #[test]
    fn batches_are_whole_and_at_least_six(series in series(), size in 1usize..10) {
        match BatchMeans::of(&series, size) {
            None => {}
            Some(means) => {
                prop_assert_eq!(means.unmerged, series.len() / size);
                prop_assert!(means.count >= 6 && means.count <= means.unmerged);
                prop_assert_eq!(means.batch_slots % size, 0);
                let used = means.count * means.batch_slots;
                prop_assert!(used <= series.len());
                let low = series[..used].iter().copied().fold(f64::INFINITY, f64::min);
                let high = series[..used].iter().copied().fold(0.0, f64::max);
                prop_assert!((low..=high).contains(&means.mean));
            }
        }
    }
}

#[test]
fn what_has_no_correlation_says_so() {
    assert_eq!(lag1(&[1.0, 2.0]), None);
    assert_eq!(lag1(&[0.1; 10]), None);
    assert_eq!(lag1(&[1.0, f64::NAN, 2.0]), None);
    assert_eq!(lag1(&[1.0, -1.0, 1.0, -1.0]), Some(-0.75));
    assert_eq!(n_eff(100, None), 100.0);
    assert_eq!(n_eff(100, Some(0.1)), 100.0);
    assert!(close(n_eff(100, Some(0.25)), 60.0));
    assert_eq!(n_eff(0, Some(0.5)), 0.0);
}

#[test]
fn a_mean_needs_six_batches_and_is_provisional_below_twenty() {
    let slots = Level::new(1, 0.0).slots(200);
    assert_eq!(BatchMeans::of(&slots[..59], 10), None);
    let six = BatchMeans::of(&slots[..60], 10).unwrap();
    assert!(six.is_provisional() && six.count == 6);
    // Up and down: neighbours do not correlate, so no pair is merged.
    let even: Vec<f64> = (0..20).map(|place| f64::from(100 + place % 2)).collect();
    let twenty = BatchMeans::of(&even, 1).unwrap();
    assert!(!twenty.is_provisional() && twenty.count == 20 && twenty.mean == 100.5);
    assert_eq!(BatchMeans::of(&slots, 0), None);
    assert_eq!(BatchMeans::of(&[f64::NAN; 100], 1), None);
    let constant = BatchMeans::of(&[7.0; 100], 5).unwrap();
    assert_eq!((constant.mean, constant.half_width, constant.lag1), (7.0, 0.0, None));
    assert_eq!(BatchMeans::of(&[0.0; 100], 5).unwrap().relative_half_width(), None);
}

#[test]
fn pairs_are_merged_until_they_are_nearly_independent() {
    let slots = Level::new(3, 0.7).slots(600);
    let means = BatchMeans::of(&slots, 1).unwrap();
    assert!(means.batch_slots >= 4 && means.batch_slots.is_power_of_two(), "{means:?}");
    assert!(means.lag1.unwrap() <= 0.1, "{means:?}");
    assert!(means.half_width > 1.5 * unmerged(&slots).half_width, "{means:?}");
}

#[test]
fn a_series_too_short_to_merge_has_a_wider_interval_instead() {
    let series: Vec<f64> = [1, 2, 2, 3, 4, 4, 3, 2, 1, 1].map(f64::from).to_vec();
    let means = BatchMeans::of(&series, 1).unwrap();
    assert_eq!((means.count, means.batch_slots), (10, 1));
    assert!(means.half_width > 2.0 * unmerged(&series).half_width, "{means:?}");
    // A straight line is worth less than two independent values.
    let line: Vec<f64> = (0..7).map(f64::from).collect();
    assert!(lag1(&line).unwrap() > 0.5);
    assert_eq!(BatchMeans::of(&line, 1).map(|means| means.count), None);
}

#[test]
fn intervals_hold_the_mean_as_often_as_they_claim() {
    for (lag1, slots) in [(0.0, 20), (0.0, 40), (0.0, 240), (0.1, 60), (0.3, 120), (0.3, 240)] {
        let held = (0..1000).filter(|seed| {
            let slots = Level::new(*seed, lag1).slots(slots);
            BatchMeans::of(&slots, 1).is_some_and(|means| holds_the_mean(&means))
        });
        let share = held.count() as f64 / 1000.0;
        assert!((0.92..=0.97).contains(&share), "{lag1} {slots}: {share}");
    }
}

#[test]
fn stopping_covers_the_mean_as_the_method_simulated() {
    let vectors = paper_cases()["method_vectors"]["sequential_stop"].clone();
    let rows: Vec<&Value> = vectors["simulated_coverage_of_nominal_95"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["step"] == "x1.5")
        .collect();
    assert_eq!(rows.len(), 4);
    for row in rows {
        let lag1 = row["lag1"].as_f64().unwrap_or(0.0);
        let (coverage, batches) = stopped(10_000, lag1, |series| Some(unmerged(series)));
        // Three standard errors of this simulation, and more where the start of a level counts.
        let expected = row["coverage"].as_f64().unwrap();
        let slack = if lag1 == 0.0 { 0.007 } else { 0.02 };
        assert!((coverage - expected).abs() < slack, "{row}: {coverage}");
        if let Some(expected) = row["mean_batches"].as_f64() {
            assert!((batches - expected).abs() < 1.0, "{row}: {batches}");
        }
    }
}

#[test]
fn merged_pairs_make_stopping_safer() {
    for (lag1, at_least) in [(0.0, 0.93), (0.1, 0.915), (0.3, 0.87)] {
        let (coverage, slots) = stopped(1000, lag1, |series| BatchMeans::of(series, 1));
        assert!(coverage >= at_least, "{lag1}: {coverage} with {slots} slots");
    }
}

#[test]
fn looks_are_half_as_many_batches_apart() {
    let mut stopping = Stopping::default();
    let mut looked = Vec::new();
    for count in 1..=110 {
        let wide = BatchMeans { half_width: 2.0, mean: 100.0, ..with_count(count) };
        match stopping.look(&wide) {
            Look::TooEarly => {}
            Look::GoOn => looked.push(count),
            Look::Stop => panic!("2 % is not below 2 %"),
        }
    }
    assert_eq!(looked, [20, 30, 45, 68, 102]);
    let narrow = BatchMeans { half_width: 1.9, mean: 100.0, ..with_count(153) };
    assert_eq!(stopping.look(&BatchMeans { count: 19, ..narrow }), Look::GoOn);
    assert_eq!(Stopping::default().look(&narrow), Look::Stop);
    assert_eq!(Stopping::default().look(&BatchMeans { mean: 0.0, ..narrow }), Look::GoOn);
}

fn with_count(count: usize) -> BatchMeans {
    BatchMeans { count, unmerged: count, ..unmerged(&[1.0, 2.0]) }
}
