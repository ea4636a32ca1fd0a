use common::seed::Generator;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::paper_cases;

/// Noise around 1 with a spread of `spread`, whose neighbours correlate by `lag1`.
fn noise(seed: u64, count: usize, lag1: f64, spread: f64) -> Vec<f64> {
    let mut random = Generator::new(seed);
    let mut state = random.normal();
    let mut next = || {
        state = lag1 * state + (1.0 - lag1 * lag1).sqrt() * random.normal();
        1.0 + spread * state
    };
    (0..count).map(|_| next()).collect()
}

/// Noise of 2 %, each value multiplied by what `shape` says of its place.
fn shaped(count: usize, shape: impl Fn(usize) -> f64) -> Vec<f64> {
    let noise = noise(5, count, 0.2, 0.02);
    noise.into_iter().enumerate().map(|(place, value)| 500.0 * value * shape(place)).collect()
}

fn faults(series: &[f64]) -> Vec<String> {
    steadiness(series).unwrap().faults().iter().map(ToString::to_string).collect()
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * one.abs().max(other.abs()).max(1e-3)
}

fn map(series: &[f64], change: impl Fn(f64) -> f64) -> Vec<f64> {
    series.iter().map(|value| change(*value)).collect()
}

fn reversed(series: &[f64]) -> Vec<f64> {
    series.iter().rev().copied().collect()
}

fn with_line(series: &[f64], per_slot: f64) -> Vec<f64> {
    let line = |(place, value): (usize, &f64)| value + per_slot * place as f64;
    series.iter().enumerate().map(line).collect()
}

fn series() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(1.0..1000.0, 50..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_cut_ignores_unit_and_origin(series in series(), scale in 0.1..50.0) {
        let mser = mser5(&series).unwrap();
        prop_assert!(mser.batches_cut <= series.len() / 10);
        prop_assert_eq!(mser.observations_cut, 5 * mser.batches_cut);
        prop_assert_eq!(mser.settled, mser.batches_cut < series.len() / 5 / 2);
        let moved = mser5(&map(&series, |value| value * scale - 300.0)).unwrap();
        prop_assert_eq!(moved.batches_cut, mser.batches_cut);
        prop_assert!(close(moved.statistic, mser.statistic * scale * scale));
    }

    #[test]
    fn an_order_within_a_batch_makes_no_cut(series in series()) {
        let turned: Vec<f64> = series.chunks(5).flat_map(reversed).collect();
        let whole = series.len() / 5 * 5;
        let (one, other) = (mser5(&series[..whole]).unwrap(), mser5(&turned[..whole]).unwrap());
        prop_assert_eq!(one.batches_cut, other.batches_cut);
    }

    #[test]
    fn a_trend_ignores_the_unit_and_turns_with_the_series(series in series(), scale in 0.1..50.0) {
        let plain = trend(&series).unwrap();
        prop_assert!((0.0..=1.0).contains(&plain.p));
        let scaled = trend(&map(&series, |value| value * scale)).unwrap();
        prop_assert!(close(scaled.p, plain.p) && close(scaled.slope, plain.slope * scale));
        prop_assert!(close(scaled.drift.unwrap(), plain.drift.unwrap()));
        let moved = trend(&map(&series, |value| value + 300.0)).unwrap();
        prop_assert!(close(moved.p, plain.p) && close(moved.slope, plain.slope));
        let turned = trend(&reversed(&series)).unwrap();
        prop_assert!(close(turned.p, plain.p) && close(turned.slope, -plain.slope));
    }

    #[test]
    fn a_line_added_is_a_slope_added(series in series(), line in -20.0..20.0) {
        let added = with_line(&series, line);
        prop_assert!(close(trend(&added).unwrap().slope, trend(&series).unwrap().slope + line));
        let (plain, tilted) = (slope(&series).unwrap(), slope(&added).unwrap());
        prop_assert!(close(tilted.per_slot, plain.per_slot + line));
        prop_assert!(close(tilted.half_width, plain.half_width));
    }

    #[test]
    fn a_slope_follows_the_unit_and_turns_with_the_series(series in series(), scale in 0.1..50.0) {
        let plain = slope(&series).unwrap();
        let scaled = slope(&map(&series, |value| value * scale - 300.0)).unwrap();
        prop_assert!(close(scaled.per_slot, plain.per_slot * scale));
        prop_assert!(close(scaled.half_width, plain.half_width * scale));
        let turned = slope(&reversed(&series)).unwrap();
        prop_assert!(close(turned.per_slot, -plain.per_slot));
        prop_assert!(close(turned.half_width, plain.half_width));
        prop_assert!(!(plain.is_significantly_positive() && turned.is_significantly_positive()));
    }

    #[test]
    fn a_step_ignores_unit_and_origin(series in series(), scale in 0.1..50.0) {
        let plain = change_point(&series).unwrap();
        prop_assert!((1..series.len()).contains(&plain.at) && (0.0..=1.0).contains(&plain.p));
        let scaled = change_point(&map(&series, |value| value * scale)).unwrap();
        prop_assert_eq!(scaled.at, plain.at);
        prop_assert!(close(scaled.p, plain.p));
        prop_assert!(close(scaled.size.unwrap(), plain.size.unwrap()));
        let moved = change_point(&map(&series, |value| value + 300.0)).unwrap();
        prop_assert_eq!(moved.at, plain.at);
    }

    #[test]
    fn a_larger_step_is_no_less_clear(count in 20usize..100, step in 1.0..5.0) {
        let size = |step: f64| {
            let series = noise(9, count, 0.0, 0.1);
            let stepped = series.iter().enumerate();
            let after = |at| if at < count / 2 { 0.0 } else { step };
            let stepped = stepped.map(|(at, value)| value + after(at));
            change_point(&stepped.collect::<Vec<f64>>()).unwrap()
        };
        prop_assert!(size(step * 2.0).size > size(step).size);
        prop_assert!(size(step * 2.0).p <= size(step).p * (1.0 + 1e-9));
    }
}

#[test]
fn the_cut_is_that_of_the_vector() {
    let vector = &paper_cases()["method_vectors"]["mser5"];
    let number = |key: &str| vector[key].as_f64().unwrap();
    assert_eq!(vector["series"], Value::from("x[i]=min(100,4*i)+(-1)^i for i=0..199"));
    let series: Vec<f64> =
        (0..200).map(|i| f64::from(100.min(4 * i)) + if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
    let mser = mser5(&series).unwrap();
    assert_eq!(mser.batches_cut as f64, number("expected_d_star_batches"));
    assert_eq!(mser.observations_cut as f64, number("expected_truncated_observations"));
    assert!((mser.statistic - number("expected_statistic")).abs() < 1e-9, "{mser:?}");
    assert!(mser.settled);
}

#[test]
fn a_constant_is_settled_from_its_first_value() {
    for constant in [0.0, 0.1, 1e9 / 3.0, -7.0] {
        let series = [constant; 153];
        let mser = mser5(&series).unwrap();
        assert_eq!((mser.batches_cut, mser.settled, mser.statistic), (0, true, 0.0));
        assert_eq!(faults(&series), [""; 0]);
        assert!(!slope(&series).unwrap().is_significantly_positive());
        let trend = trend(&series).unwrap();
        assert_eq!((trend.p, trend.slope, trend.drift.is_some()), (1.0, 0.0, constant != 0.0));
        assert_eq!(change_point(&series).unwrap().p, 1.0);
    }
}

#[test]
fn a_series_that_becomes_constant_is_cut_where_it_does() {
    for last in [0.1, 100.0 / 3.0] {
        let series: Vec<f64> = (0..150).map(|i| last * f64::from(i.min(25)) / 25.0).collect();
        assert_eq!(mser5(&series).unwrap().batches_cut, 5, "{last}");
        assert_eq!(faults(&series), [""; 0]);
    }
}

#[test]
fn a_rise_to_the_end_has_not_settled() {
    let line: Vec<f64> = (0..100).map(f64::from).collect();
    let mser = mser5(&line).unwrap();
    assert_eq!((mser.batches_cut, mser.settled), (10, false));
    let odd = mser5(&line[..95]).unwrap();
    assert_eq!((odd.batches_cut, odd.settled), (9, false));
}

#[test]
fn too_little_to_say_is_none() {
    let series = noise(1, 60, 0.0, 0.1);
    assert!(steadiness(&series[..50]).is_some());
    assert_eq!(steadiness(&series[..49]), None);
    assert_eq!(trend(&series[..9]), None);
    assert_eq!(change_point(&series[..9]), None);
    assert_eq!(slope(&series[..9]), None);
    for broken in [f64::NAN, f64::INFINITY] {
        let mut series = series.clone();
        series[30] = broken;
        assert_eq!(steadiness(&series), None);
        assert_eq!(trend(&series), None);
        assert_eq!(change_point(&series), None);
        assert_eq!(slope(&series), None);
    }
}

#[test]
fn trends_have_their_known_chances() {
    // S = 45, variance 125, z = 44 / √125.
    let line: Vec<f64> = (1..=10).map(f64::from).collect();
    let rising = trend(&line).unwrap();
    assert!((rising.p - 8.303e-5).abs() < 1e-8, "{rising:?}");
    assert!(close(rising.slope, 1.0) && close(rising.drift.unwrap(), 10.0 / 5.5));
    // Five pairs of equals: S = 40, variance 120, z = 39 / √120.
    let stairs: Vec<f64> = (0..10).map(|i| f64::from(i / 2)).collect();
    let rising = trend(&stairs).unwrap();
    assert!((rising.p - 3.706e-4).abs() < 1e-7, "{rising:?}");
}

#[test]
fn a_step_has_its_place_size_and_chance() {
    let series: Vec<f64> = (0..60).map(|i| if i < 30 { 1.0 } else { 3.0 }).collect();
    let change = change_point(&series).unwrap();
    // K = 900: 2 exp(-6 · 900² / (60³ + 60²)).
    assert_eq!((change.at, change.size), (30, Some(1.0)));
    assert!((change.p / 4.897e-10 - 1.0).abs() < 0.01, "{change:?}");
}

#[test]
fn rounding_is_no_noise() {
    let step: Vec<f64> = (0..60).map(|i| if i < 30 { 1.0 / 3.0 } else { 0.3 }).collect();
    assert!(change_point(&step).unwrap().p < 1e-8);
    for start in [0.0, 0.1, 7.0] {
        let line: Vec<f64> = (0..60).map(|i| start + 0.1 * f64::from(i)).collect();
        assert!(trend(&line).unwrap().p < 1e-15, "{start}");
        let rising = slope(&line).unwrap();
        assert!(close(rising.per_slot, 0.1) && rising.is_significantly_positive(), "{rising:?}");
    }
}

#[test]
fn a_long_series_is_made_shorter_and_keeps_its_slope_per_slot() {
    let series = with_line(&noise(3, 3600, 0.5, 0.05), 0.1 / 3600.0);
    let trend = trend(&series).unwrap();
    assert!(trend.p < 1e-10, "{trend:?}");
    assert!((trend.drift.unwrap() - 0.1 / 1.05).abs() < 0.01, "{trend:?}");
    let per_slot = slope(&series).unwrap();
    assert!((trend.slope - per_slot.per_slot).abs() < per_slot.half_width);
}

#[test]
fn chance_makes_few_trends_steps_and_slopes() {
    for (count, lag1) in [(60, 0.0), (60, 0.3), (120, 0.0), (120, 0.3)] {
        let mut seen = [0; 4];
        for seed in 0..500 {
            let series = noise(seed, count, lag1, 0.1);
            let flags = [
                trend(&series).unwrap().p < 0.01,
                change_point(&series).unwrap().p < 0.01,
                slope(&series).unwrap().is_significantly_positive(),
                !steadiness(&series).unwrap().is_steady(),
            ];
            seen.iter_mut().zip(flags).for_each(|(seen, flag)| *seen += u32::from(flag));
        }
        let [trends, steps, slopes, unsteady] = seen;
        // Of 500: 1 %, 1 %, 2.5 %, and the first two together, and as much again for chance and
        // for the correlation that a short series hides.
        let context = format!("{count} {lag1}: {trends} {steps} {slopes} {unsteady}");
        assert!(trends <= 12 && steps <= 12 && slopes <= 25 && unsteady <= 20, "{context}");
    }
}

#[test]
fn movements_are_found_in_any_noise() {
    type Shape = fn(f64) -> f64;
    let shapes: [(&str, Shape); 4] = [
        ("rises for 70 %", |x| (x / 0.7).min(1.0)),
        ("settles slowly", |x| 1.0 - 0.5 * (-2.0 * x).exp()),
        ("falls by 20 % from 70 %", |x| 1.0 - (x - 0.7).max(0.0) / 1.5),
        ("steps by 15 % at 60 %", |x| if x < 0.6 { 1.0 } else { 0.85 }),
    ];
    for (name, shape) in shapes {
        for spread in [0.0, 0.002, 0.01, 0.02, 0.05] {
            for seed in 0..10 {
                let noise = noise(seed, 120, 0.2, spread);
                let at = |place: usize| shape(place as f64 / 120.0);
                let moving = noise.iter().enumerate().map(|(place, value)| value * at(place));
                let moving: Vec<f64> = moving.collect();
                assert!(!steadiness(&moving).unwrap().is_steady(), "{name}, {spread}, {seed}");
            }
        }
    }
}

#[test]
fn a_growing_backlog_is_told_from_a_wandering_one() {
    let mut wandering = 0;
    for seed in 0..200 {
        let wander = map(&noise(seed, 300, 0.9, 0.15), |value| 50.0 * value);
        wandering += u32::from(slope(&wander).is_some_and(|it| it.is_significantly_positive()));
        let growing = slope(&with_line(&wander, 0.5)).unwrap();
        assert!(growing.is_significantly_positive(), "{growing:?}");
    }
    assert!(wandering <= 16, "{wandering} of 200");
}

#[test]
fn what_moves_is_named_with_its_numbers() {
    insta::assert_snapshot!(
        [
            ("steady", faults(&shaped(120, |_| 1.0))),
            ("ramp", faults(&shaped(120, |place| (place as f64 / 20.0).min(1.0)))),
            ("still settling", faults(&shaped(120, |place| 1.0 - 0.5 * (-(place as f64) / 60.0).exp()))),
            ("drift", faults(&shaped(120, |place| 1.0 - 0.2 * place as f64 / 120.0))),
            ("small drift", faults(&shaped(120, |place| 1.0 + 0.02 * place as f64 / 120.0))),
            ("step", faults(&shaped(120, |place| if place < 80 { 1.0 } else { 0.9 }))),
        ]
        .map(|(name, faults)| format!("{name}: {}\n", faults.join("; ")))
        .concat()
        .replace(": \n", ": none\n"),
        @r"
    steady: none
    ramp: none
    still settling: not settled in its first half, moves by +52.7 % of its mean (p < 0.0001); drifts by +13.7 % of its mean (p < 0.0001); steps after value 86 by +6.9 % of its mean (p = 0.0016)
    drift: not settled in its first half, moves by -20.8 % of its mean (p < 0.0001); drifts by -11.3 % of its mean (p < 0.0001); steps after value 89 by -5.8 % of its mean (p = 0.0007)
    small drift: none
    step: drifts by -11.7 % of its mean (p = 0.0031); steps after value 80 by -9.8 % of its mean (p < 0.0001)
    "
    );
}
