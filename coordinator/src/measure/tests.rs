//! The numbers of windows, against their requests counted one by one.

use common::phase::Phase;
use common::seed::Seed;

use super::*;
use crate::campaign::Hardware;
use crate::testdata::{Shape, Windowed, level};

const USUAL: Windowed = Windowed::USUAL;

fn near(a: f64, b: f64, share: f64) -> bool {
    (a - b).abs() <= share * b.abs()
}

#[test]
fn a_windows_rates_are_those_of_what_arrived_in_it() {
    let record = USUAL.level();
    let measured = Measured::of(&record, Seed(1));
    // Ten users in flight all the time, at about 0.6 s a request of 500 and 20 tokens.
    let e2e_s = measured.e2e_mean_s().unwrap();
    let expected = 10.0 / (e2e_s + 50e-6);
    let rates = measured.rates;
    assert!(near(rates.requests.unwrap(), expected, 0.02), "{rates:?}, {expected}");
    assert!(near(rates.output.unwrap(), 20.0 * expected, 0.02));
    assert!(near(rates.prompt.unwrap(), 500.0 * expected, 0.02));
    assert_eq!(rates.uncached_prompt, rates.prompt);
    assert!(near(rates.total.unwrap(), 520.0 * expected, 0.02));
    assert_eq!(rates.wasted, Some(0.0));
    assert_eq!(measured.length_s(), Some(60.0));
    assert!(near(measured.in_flight.mean.unwrap(), 10.0, 0.001));
    assert!(measured.in_flight.min.unwrap() > 9.9);
    assert_eq!(measured.in_flight.below_95pct_share, Some(0.0));
    assert_eq!(measured.good_share(), Some(1.0));
    // The whole wall clock is longer, and the paper's count with it.
    assert!(measured.wall.unwrap().length_s() > 63.0);
    assert!(measured.tally().paper.succeeded > measured.tally().measured.succeeded);
    let interval = measured.output_interval.unwrap();
    assert!(near(interval.mean, rates.output.unwrap(), 0.02), "{interval:?}");
    assert!(interval.half_width < 0.05 * interval.mean);
}

#[test]
fn a_level_that_is_measured_whole_has_rates_over_its_wall_clock() {
    let quiet = Shape { fail_every: 0, ..Shape::QUICK };
    let record = level(Phase::Scaling, 4, 400, 2, quiet);
    let measured = Measured::of(&record, Seed(1));
    assert_eq!(measured.period, measured.wall);
    let wall_s = measured.length_s().unwrap();
    assert_eq!(measured.rates.requests, Some(400.0 / wall_s));
    assert_eq!(measured.course, None);
    assert_eq!(measured.output_interval, None);
    let hardware = Hardware { gpus: Some(8.0), active_params_b: Some(37.0), watts: None };
    let per_unit = measured.per_unit(hardware);
    assert_eq!(per_unit.output_per_gpu, measured.rates.output.map(|rate| rate / 8.0));
    assert_eq!(per_unit.total_per_active_b, measured.rates.total.map(|rate| rate / 37.0));
    assert_eq!(per_unit.total_per_watt, None);
}

#[test]
fn the_arrivals_of_an_open_loop_are_counted_as_planned() {
    let record = Windowed { rate: Some(20), users: 100, ..USUAL }.level();
    let measured = Measured::of(&record, Seed(u64::MAX));
    // A constant rate: 3 s x 20/s is the first arrival inside, 63 s x 20/s the first after it.
    assert_eq!(measured.intended, 1200);
    assert_eq!(measured.tally().measured.started, 1200);
    assert_eq!(measured.arrival_ns(60), Some(3_000_000_000));
    assert_eq!(measured.load_value(), 20.0);
}

#[test]
fn a_claimed_window_without_end_costs_no_time() {
    let mut record = Windowed { rate: Some(20), users: 100, ..USUAL }.level();
    for share in &mut record.shares {
        let scope = &mut share.seal.as_mut().unwrap().snapshot.tally.scope;
        if let Scope::Window(window) = scope {
            window.until_ns = Some(u64::MAX);
        }
    }
    let measured = Measured::of(&record, Seed(1));
    let course = measured.course.unwrap();
    assert!(course.output.len() <= common::series::SLOTS_MAX);
    assert!(measured.intended > 1_000_000);
}

#[test]
fn a_course_holds_the_slots_inside_and_can_be_made_coarser() {
    let record = USUAL.level();
    let measured = Measured::of(&record, Seed(1));
    let course = measured.course.unwrap();
    assert_eq!((course.output.len(), course.in_flight.len()), (600, 600));
    let coarse = course.coarse(1.0, 50);
    assert_eq!((coarse.slot_s, coarse.output.len(), coarse.in_flight.len()), (1.0, 60, 60));
    let finer = course.coarse(1.0, 100);
    assert!((finer.slot_s - 0.6).abs() < 1e-9);
    let sum = |values: &[f64], slot_s: f64| values.iter().sum::<f64>() * slot_s;
    assert!(near(sum(&coarse.output, coarse.slot_s), sum(&course.output, course.slot_s), 1e-9));
}

#[test]
fn samples_that_depend_on_each_other_are_worth_less() {
    let record = USUAL.level();
    let mut tally = Measured::of(&record, Seed(1)).totals.tally;
    assert_eq!(Worth::of(100, &tally.serial.e2e).factor, 1.0);
    let serial = &mut tally.serial.e2e;
    *serial = Default::default();
    // Runs of three: neighbours are alike two times in three.
    for place in 0..999u64 {
        serial.add(place / 3 % 2, (place + 1) / 3 % 2);
    }
    let worth = Worth::of(1000, serial);
    assert!((worth.factor - 0.5).abs() < 0.01, "{worth:?}");
    assert!((worth.n_eff(1000) - 500.0).abs() < 10.0);
}

#[test]
fn cut_requests_are_no_measure() {
    let record = USUAL.level();
    let measured = Measured::of(&record, Seed(1));
    let all = &measured.tally().counts;
    assert!(all.censored_total() > 0, "make-up load is cut");
    assert_eq!(measured.tally().measured.censored_total(), 0);
}
