use std::time::Duration;

use common::seed::{Generator, Seed};
use proptest::prelude::*;

use super::*;
use crate::stats::Objective;

/// Throughput of a server without noise.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Linear up to a cap, then flat.
    HardCap,
    /// A cap, and from twice its load on a slow decline: 10 % for every doubling.
    RollOff,
    /// Contention that turns into a cap: an engine that batches up to a limit.
    CappedUsl,
    /// The law with a peak and retrograde overload.
    Retrograde,
    /// The law without coherency: rises for ever, ever less.
    Smooth,
}

const KNEES: [u32; 5] = [8, 37, 120, 450, 1300];

impl Shape {
    fn rate(self, knee: u32, load: u32) -> f64 {
        let (n, knee) = (f64::from(load), f64::from(knee));
        let relative = n / knee;
        match self {
            Self::HardCap => 20.0 * n.min(knee),
            Self::RollOff => {
                let fall = (relative / 2.0).max(1.0).powf(-0.15);
                20.0 * n.min(knee) * fall
            }
            Self::CappedUsl => {
                let m = n.min(knee);
                20.0 * m / (1.0 + m / knee)
            }
            Self::Retrograde => 20.0 * n / (1.0 + relative.powi(2)),
            Self::Smooth => 20.0 * n / (1.0 + 14.0 * relative),
        }
    }

    /// The highest load of its searches.
    fn max_load(self, knee: u32) -> u32 {
        match self {
            Self::HardCap | Self::RollOff | Self::CappedUsl | Self::Retrograde => 20_000,
            Self::Smooth => 4 * knee,
        }
    }

    /// The smallest load that reaches 95 % of the highest rate up to `end`.
    fn saturation(self, knee: u32, end: u32) -> u32 {
        let most = (1..=end).map(|load| self.rate(knee, load)).fold(0.0, f64::max);
        (1..=end).find(|load| self.rate(knee, *load) >= 0.95 * most).unwrap()
    }
}

/// Measures a level: batches that scatter so that the level's mean has the coefficient of
/// variation `cov`, and their t interval; `hidden` is what runs differ beyond that.
fn measure(rate: f64, cov: f64, hidden: f64, generator: &mut Generator) -> Estimate {
    const BATCHES: usize = 12;
    const T_975: f64 = 2.201;
    let level = rate * (1.0 + hidden * generator.normal());
    let scatter = cov * (BATCHES as f64).sqrt();
    let batches: Vec<f64> =
        (0..BATCHES).map(|_| level * (1.0 + scatter * generator.normal())).collect();
    let n = BATCHES as f64;
    let mean = batches.iter().sum::<f64>() / n;
    let variance = batches.iter().map(|b| (b - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let half = T_975 * (variance / n).sqrt();
    Estimate { mean, lower: mean - half, upper: mean + half }
}

fn probe(load: u32, rate: Estimate) -> Probe {
    Probe {
        load,
        in_flight_mean: f64::from(load),
        rate,
        validity: Validity::Valid,
        failing: false,
        objective: None,
        took: Duration::from_secs(60),
    }
}

fn spec(max_load: u32, seed: u64) -> SearchSpec {
    SearchSpec {
        goal: Goal::Saturation,
        start: 1,
        max_load,
        budget: Duration::from_secs(86_400),
        repeats: 3,
        seed: Seed(seed),
    }
}

/// Runs a search to its end: its answer, what was run, and what else it found.
fn run(spec: SearchSpec, mut level: impl FnMut(u32) -> Probe) -> (Answer, Vec<u32>, Findings) {
    let mut search = Search::new(spec);
    let mut loads = Vec::new();
    loop {
        match search.step() {
            Step::Done(answer) => return (answer, loads, search.findings()),
            Step::Run { load, .. } => {
                assert!((spec.start..=spec.max_load).contains(&load), "{load}");
                loads.push(load);
                assert!(loads.len() <= LEVELS_MAX as usize);
                search.feed(&level(load));
            }
        }
    }
}

/// A server of some shape, measured with noise.
fn noisy(shape: Shape, knee: u32, cov: f64, seed: u64) -> impl FnMut(u32) -> Probe {
    let mut generator = Generator::new(seed.wrapping_mul(7919) + u64::from(knee));
    move |load| probe(load, measure(shape.rate(knee, load), cov, 0.0, &mut generator))
}

/// A server without noise to speak of, from its rate.
fn exact(rate: impl Fn(f64) -> f64) -> impl Fn(u32) -> Probe {
    move |load| {
        let mean = rate(f64::from(load));
        probe(load, Estimate { mean, lower: 0.998 * mean, upper: 1.002 * mean })
    }
}

/// Searches fifty servers of each knee, with level means that scatter by 1, 2, 3 and 4 %: the
/// bracket holds the truth in every one. Half of the brackets are narrower than `median`, and all
/// of those of quiet servers (1 %) than `quiet`; brackets of two users or less are as narrow as
/// they can be.
fn holds_the_truth(shape: Shape, median: f64, quiet: f64) {
    let mut ratios = Vec::new();
    for knee in KNEES {
        let whole = shape.saturation(knee, shape.max_load(knee));
        for seed in 0..50 {
            let cov = [0.01, 0.02, 0.03, 0.04][(seed % 4) as usize];
            let spec = spec(shape.max_load(knee), seed);
            let (answer, loads, _) = run(spec, noisy(shape, knee, cov, seed));
            let context = format!("{shape:?} {knee}, seed {seed}: {answer:?} after {loads:?}");
            let Answer::Saturated(found) = answer else { panic!("{context}") };
            let truth = match shape {
                Shape::Smooth => shape.saturation(knee, found.measured_up_to),
                Shape::HardCap | Shape::RollOff | Shape::CappedUsl | Shape::Retrograde => whole,
            };
            assert!((found.lower..=found.upper).contains(&truth), "{truth}, {context}");
            assert!((found.lower..=found.upper).contains(&found.load), "{context}");
            let ratio = f64::from(found.upper) / f64::from(found.lower);
            if found.upper - found.lower > 2 {
                assert!(cov > 0.01 || ratio <= quiet, "{ratio}, {context}");
                ratios.push(ratio);
            }
        }
    }
    ratios.sort_by(f64::total_cmp);
    let middle = ratios[ratios.len() / 2];
    assert!(middle <= median, "{middle}");
}

#[test]
fn a_hard_cap_is_found() {
    holds_the_truth(Shape::HardCap, 1.3, 1.35);
}

#[test]
fn a_cap_with_a_slow_decline_beyond_is_found() {
    holds_the_truth(Shape::RollOff, 1.3, 1.35);
}

#[test]
fn contention_with_a_cap_is_found() {
    holds_the_truth(Shape::CappedUsl, 1.3, 1.35);
}

#[test]
fn a_peak_with_retrograde_overload_is_found() {
    holds_the_truth(Shape::Retrograde, 1.35, 1.35);
}

#[test]
fn a_curve_that_flattens_for_ever_is_found_less_narrowly() {
    // 95 % to 97 % of the rate is a factor of 1.7 in the load here: no narrower bracket is honest.
    holds_the_truth(Shape::Smooth, 3.5, 2.0);
}

#[test]
fn runs_that_differ_more_than_their_intervals_say_widen_the_bracket() {
    for seed in 0..50 {
        let mut generator = Generator::new(seed);
        let shape = Shape::HardCap;
        let level = |load| probe(load, measure(shape.rate(120, load), 0.004, 0.02, &mut generator));
        let (answer, loads, _) = run(spec(20_000, seed), level);
        let Answer::Saturated(found) = answer else { panic!("{answer:?}") };
        assert!((found.lower..=found.upper).contains(&114), "seed {seed}: {found:?} {loads:?}");
    }
}

#[test]
fn a_quiet_server_takes_few_levels() {
    let (answer, loads, findings) = run(spec(20_000, 1), exact(|n| 20.0 * n.min(120.0)));
    let Answer::Saturated(found) = answer else { panic!("{answer:?}") };
    assert!(found.lower < 114 && 114 <= found.upper && found.load == found.upper, "{found:?}");
    assert!(f64::from(found.upper) <= 1.3 * f64::from(found.lower), "{found:?}");
    assert!((found.rate_max.mean - 2_400.0).abs() < 5.0, "{found:?}");
    assert_eq!(found.measured_up_to, 512);
    assert!(findings.power.is_some_and(|power| (108..=130).contains(&power)), "{findings:?}");
    assert!(loads.len() <= 28, "{loads:?}");
}

#[test]
fn the_climb_doubles_until_two_doublings_bring_nothing() {
    let (_, loads, _) = run(spec(20_000, 1), exact(|n| 20.0 * n.min(120.0)));
    assert_eq!(loads[..10], [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
    assert!(loads[10..].iter().all(|load| *load <= 512), "{loads:?}");
}

#[test]
fn overload_ends_the_climb_at_once() {
    let (_, loads, _) = run(spec(20_000, 1), exact(|n| 20.0 * n / (1.0 + (n / 60.0).powi(2))));
    assert_eq!(loads.iter().max(), Some(&128));
}

#[test]
fn a_server_flat_from_the_start_is_saturated_by_one_user() {
    let (answer, ..) = run(spec(1_000, 1), exact(|_| 50.0));
    let Answer::Saturated(found) = answer else { panic!("{answer:?}") };
    assert_eq!((found.load, found.lower, found.upper), (1, 1, 1));
}

#[test]
fn a_rate_that_still_rises_at_the_highest_load_is_not_saturated() {
    let unreached = Answer::NotReached { up_to: 1_000 };
    assert_eq!(run(spec(1_000, 1), exact(|n| 20.0 * n)).0, unreached);
    assert_eq!(run(spec(1_000, 1), exact(|n| 20.0 * n.min(990.0))).0, unreached);
    assert_eq!(run(spec(1, 1), exact(|n| 20.0 * n)).0, Answer::NotReached { up_to: 1 });
    for seed in 0..20 {
        let (answer, ..) = run(spec(1_000, seed), noisy(Shape::HardCap, 1_300, 0.03, seed));
        assert_eq!(answer, unreached);
    }
}

#[test]
fn a_cap_within_the_last_step_is_found() {
    let (answer, ..) = run(spec(1_000, 1), exact(|n| 20.0 * n.min(600.0)));
    let Answer::Saturated(found) = answer else { panic!("{answer:?}") };
    assert!((found.lower..=found.upper).contains(&570), "{found:?}");
}

#[test]
fn a_load_generator_at_its_limit_is_named_and_no_saturation() {
    let level = |load| {
        let limited = load > 100;
        let validity = if limited { Validity::ClientLimited } else { Validity::Valid };
        Probe { validity, ..exact(|n| 20.0 * n.min(100.0))(load) }
    };
    let (answer, loads, _) = run(spec(1_000, 1), level);
    assert_eq!(answer, Answer::ClientLimited { above: Some(64) });
    assert_eq!(loads, [1, 2, 4, 8, 16, 32, 64, 128, 128]);

    let never = |load| Probe { validity: Validity::ClientLimited, ..exact(|n| n)(load) };
    assert_eq!(run(spec(1_000, 1), never).0, Answer::ClientLimited { above: None });
}

#[test]
fn an_invalid_level_is_tried_once_more_and_its_numbers_are_not_used() {
    let sound = exact(|n| 20.0 * n.min(120.0));
    let invalid = |load| {
        let rate = Estimate { mean: 1e9, lower: 1e9, upper: 1e9 };
        Probe { validity: Validity::Invalid, rate, ..probe(load, rate) }
    };
    let (answer, loads, _) =
        run(spec(1_000, 1), |load| if load == 32 { invalid(load) } else { sound(load) });
    assert_eq!(loads[..8], [1, 2, 4, 8, 16, 32, 32, 64]);
    let Answer::Saturated(found) = answer else { panic!("{answer:?}") };
    assert!((found.lower..=found.upper).contains(&114), "{found:?}");

    let (answer, ..) =
        run(spec(1_000, 1), |load| if load >= 32 { invalid(load) } else { sound(load) });
    assert_eq!(answer, Answer::Struck { load: 64 });

    // A second try that is valid is as good as a first.
    let mut tries = 0;
    let (again, ..) = run(spec(1_000, 1), |load| {
        tries += u32::from(load == 32);
        if load == 32 && tries == 1 { invalid(load) } else { sound(load) }
    });
    assert!(matches!(again, Answer::Saturated(_)), "{again:?}");
}

#[test]
fn a_server_that_fails_while_its_rate_rises_is_named_with_both_loads() {
    let level = |load| Probe { failing: load > 200, ..exact(|n| 20.0 * n)(load) };
    let (answer, ..) = run(spec(10_000, 1), level);
    let Answer::Failing { holds: Some(holds), fails } = answer else { panic!("{answer:?}") };
    assert!(holds <= 200 && 200 < fails, "{answer:?}");
    assert!(f64::from(fails) <= 1.15 * f64::from(holds), "{answer:?}");

    let always = |load| Probe { failing: true, ..exact(|n| n)(load) };
    assert_eq!(run(spec(9, 1), always).0, Answer::Failing { holds: None, fails: 1 });
    // No tokens at all are a failure too.
    assert_eq!(run(spec(9, 1), exact(|_| 0.0)).0, Answer::Failing { holds: None, fails: 1 });
}

#[test]
fn a_server_that_fails_beyond_its_knee_is_saturated() {
    let level = |load| Probe { failing: load > 300, ..exact(|n| 20.0 * n.min(120.0))(load) };
    let (answer, loads, _) = run(spec(10_000, 1), level);
    let Answer::Saturated(found) = answer else { panic!("{answer:?}") };
    assert!((found.lower..=found.upper).contains(&114), "{found:?}");
    assert!(found.measured_up_to <= 300, "{found:?}");
    assert!(loads.iter().all(|load| *load <= 512), "{loads:?}");
}

#[test]
fn a_budget_ends_the_search_with_what_is_known() {
    let within = |minutes: u64| {
        let budget = Duration::from_secs(60 * minutes);
        let spec = SearchSpec { budget, ..spec(20_000, 1) };
        run(spec, exact(|n| 20.0 * n.min(120.0)))
    };
    // The level of 32 users may take twice as long as that of 16 did: six minutes in all.
    let (answer, loads, _) = within(6);
    assert_eq!(answer, Answer::BudgetSpent { saturation: None, capacity: None });
    assert_eq!(loads, [1, 2, 4, 8, 16]);

    let (answer, loads, _) = within(16);
    let Answer::BudgetSpent { saturation: Some(known), .. } = answer else { panic!("{answer:?}") };
    assert!((known.lower..=known.upper).contains(&114), "{known:?}");
    assert_eq!(loads.len(), 16);
}

#[test]
fn an_objective_missed_before_saturation_ends_the_climb() {
    let level = |load| {
        let met = if load <= 100 { Objective::Met } else { Objective::Missed };
        Probe { objective: Some(met), ..exact(|n| 20.0 * n)(load) }
    };
    let (answer, loads, _) = run(spec(20_000, 1), level);
    assert_eq!(answer, Answer::ObjectiveMissed { holds: Some(64), missed: 128 });
    assert_eq!(loads, [1, 2, 4, 8, 16, 32, 64, 128, 256]);
}

#[test]
fn saturation_comes_with_the_largest_load_that_keeps_the_objective() {
    let level = |load| {
        let met = if load <= 300 { Objective::Met } else { Objective::Missed };
        Probe { objective: Some(met), ..exact(|n| 20.0 * n.min(120.0))(load) }
    };
    let (answer, _, findings) = run(spec(20_000, 1), level);
    assert!(matches!(answer, Answer::Saturated(_)), "{answer:?}");
    let Some(Capacity { load, missed }) = findings.capacity else { panic!("{findings:?}") };
    assert!((256..=300).contains(&load) && missed == Some(512), "{findings:?}");
}

/// A level that meets the objective surely well below `limit`, surely not well above it, and near
/// it is as often undecided as not.
fn certified(limit: f64, generator: &mut Generator, load: u32) -> Probe {
    let margin = (f64::from(load) / limit).ln() + 0.01 * generator.normal();
    let objective = if margin < -0.015 {
        Objective::Met
    } else if margin > 0.015 {
        Objective::Missed
    } else {
        Objective::Undecided
    };
    Probe { objective: Some(objective), ..exact(|n| n)(load) }
}

fn objective_spec(start: u32, max_load: u32) -> SearchSpec {
    SearchSpec { goal: Goal::Objective, start, ..spec(max_load, 1) }
}

#[test]
fn the_largest_load_that_keeps_the_objective_is_found_and_repeated() {
    for limit in [7_u32, 53, 120, 700] {
        let level = |load| {
            let met = if load <= limit { Objective::Met } else { Objective::Missed };
            Probe { objective: Some(met), ..exact(|n| n)(load) }
        };
        let (answer, loads, _) = run(objective_spec(1, 5_000), level);
        let Answer::Capacity(Capacity { load, missed: Some(missed) }) = answer else {
            panic!("{answer:?}")
        };
        assert!(load <= limit && limit < missed, "{answer:?}");
        assert!(missed - load == 1 || f64::from(missed) <= 1.05 * f64::from(load), "{answer:?}");
        assert!(loads.iter().filter(|run| **run == load).count() >= 5, "{loads:?}");
    }
}

#[test]
fn the_largest_request_rate_that_keeps_the_objective_is_found() {
    // Thousandths of a request per second: from 0.1 to 1,000 per second, the limit at 7.3.
    for seed in 0..50 {
        let mut generator = Generator::new(seed);
        let level = |load| certified(7_300.0, &mut generator, load);
        let (answer, loads, _) = run(objective_spec(100, 1_000_000), level);
        let Answer::Capacity(Capacity { load, missed: Some(missed) }) = answer else {
            panic!("{answer:?}")
        };
        assert!((6_800..=7_300).contains(&load), "seed {seed}: {answer:?}");
        assert!((7_000..=7_700).contains(&missed), "seed {seed}: {answer:?}");
        assert!(loads.iter().filter(|run| **run == load).count() >= 5, "{loads:?}");
        assert!(loads.len() <= 40, "seed {seed}: {loads:?}");
    }
}

#[test]
fn objectives_never_or_always_met_have_their_answers() {
    let always = |load| Probe { objective: Some(Objective::Met), ..exact(|n| n)(load) };
    let (answer, ..) = run(objective_spec(1, 100), always);
    assert_eq!(answer, Answer::NotReached { up_to: 100 });
    for word in [Some(Objective::Missed), Some(Objective::Undecided), None] {
        let never = |load| Probe { objective: word, ..exact(|n| n)(load) };
        let (answer, ..) = run(objective_spec(1, 100), never);
        assert_eq!(answer, Answer::ObjectiveMissed { holds: None, missed: 1 });
    }
}

#[test]
fn a_seed_decides_the_order_and_nothing_else_does() {
    let of = |seed| run(spec(20_000, seed), exact(|n| 20.0 * n.min(120.0)));
    assert_eq!(of(3), of(3));
    let (sorted, orders): (Vec<_>, Vec<_>) = (0..8)
        .map(|seed| {
            let loads = of(seed).1;
            let mut sorted = loads.clone();
            sorted.sort_unstable();
            (sorted, loads)
        })
        .unzip();
    assert!(sorted.iter().all(|loads| *loads == sorted[0]));
    assert!(orders.iter().any(|loads| *loads != orders[0]));
}

#[test]
fn a_step_is_the_same_until_a_level_comes_in() {
    let mut search = Search::new(spec(100, 1));
    let first = search.step();
    assert_eq!(first, search.step());
    search.feed(&exact(|n| n)(1));
    assert_ne!(first, search.step());
}

/// Any number that a level may come with, the hostile ones often.
fn number() -> impl Strategy<Value = f64> {
    let special = [0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, 1e-300];
    prop_oneof![prop::sample::select(special.to_vec()), 1.0..1e4, any::<f64>()]
}

fn any_probe() -> impl Strategy<Value = Probe> {
    let validity = prop_oneof![
        6 => Just(Validity::Valid),
        1 => Just(Validity::ClientLimited),
        1 => Just(Validity::Invalid),
    ];
    let objective = prop::option::of(prop::sample::select(vec![
        Objective::Met,
        Objective::Missed,
        Objective::Undecided,
    ]));
    let rate = (number(), number(), number());
    let probe = (number(), rate, validity, prop::bool::weighted(0.1), objective, 0..4_000_u64);
    probe.prop_map(|(in_flight_mean, (mean, lower, upper), validity, failing, objective, took)| {
        let rate = Estimate { mean, lower, upper };
        let took = Duration::from_secs(took);
        Probe { load: 0, in_flight_mean, rate, validity, failing, objective, took }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_search_ends(
        probes in prop::collection::vec(any_probe(), 1..40),
        start in 0..u32::MAX,
        span in prop_oneof![0..2_000_u32, any::<u32>()],
        repeats in 0..40_u32,
        budget in prop_oneof![Just(u64::MAX), 0..1_000_000_u64],
        saturation in any::<bool>(),
        stray in prop::option::of(any::<u32>()),
    ) {
        let goal = if saturation { Goal::Saturation } else { Goal::Objective };
        let start = start >> (span % 32);
        let max_load = start.saturating_add(span).max(1);
        let budget = Duration::from_secs(budget);
        let spec = SearchSpec { goal, start, max_load, budget, repeats, seed: Seed(1) };
        let mut search = Search::new(spec);
        let mut levels = 0;
        while let Step::Run { load, .. } = search.step() {
            prop_assert!(start.max(1) <= load && load <= max_load, "{}", load);
            let probe = probes[levels % probes.len()];
            // Levels may come in at a load that was not asked for.
            let load = stray.filter(|_| levels % 5 == 4).unwrap_or(load);
            search.feed(&Probe { load, ..probe });
            levels += 1;
            prop_assert!(levels <= LEVELS_MAX as usize);
        }
        let findings = search.findings();
        prop_assert!(findings.usl.is_none_or(|usl| usl.lambda.is_finite()));
        if let Step::Done(Answer::Saturated(found)) = search.step() {
            prop_assert!(found.lower <= found.load && found.load <= found.upper);
            prop_assert!(found.upper <= found.measured_up_to);
            prop_assert!(found.rate_max.mean.is_finite());
        }
    }
}
