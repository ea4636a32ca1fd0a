//! Tests: every request is counted in its slices, whatever becomes of it.

use std::time::Duration;

use common::arrivals::{Arrivals, Law, PerSecond, Rate, Schedule};
use common::assignment::{Assignment, End, Load};
use common::choice::Choices;
use common::ids::UserId;
use common::mix::Weighted;
use common::slice::SliceBy;
use common::workload::Workload;

use super::rig::{Rig, Sealed};
use super::worker::WorkerOrder;
use crate::sim::Profile;
use crate::testing::assignment;

const MS: Duration = Duration::from_millis(1);

/// Two workloads; the first names two models.
fn mixed(assignment: &mut Assignment) {
    let of = |name: &str, input: u32| {
        Workload::new(
            name.parse().unwrap(),
            input.into(),
            assignment.workload.output_tokens.clone(),
        )
    };
    let models = ["base", "lora"].map(|name| Weighted { item: name.to_owned(), weight: 2 });
    let short = Workload { models: models.into(), ..of("short", 20) };
    let mix = [(short, 3), (of("long", 60), 1)];
    let mix = mix.map(|(item, weight)| Weighted { item, weight }).into();
    assignment.workload = Workload::mixed("both".parse().unwrap(), mix).unwrap();
}

fn quick() -> Profile {
    Profile { ttft: 10 * MS, itl: MS, ..Profile::default() }
}

/// How many of these requests belong to each slice.
fn expected(requests: impl Iterator<Item = (u32, u64)>) -> Vec<u64> {
    let mut assignment = assignment("http://127.0.0.1:8000");
    mixed(&mut assignment);
    let choices = Choices::of(&assignment);
    let mut counts = vec![0; choices.slices().len()];
    for (user, number) in requests {
        let slices = choices.of_request(UserId(user), number).slices;
        slices.places().for_each(|place| counts[place] += 1);
    }
    counts
}

#[test]
fn one_two_and_four_workers_count_the_same_in_every_slice() {
    let expected = expected((0..8).flat_map(|user| (0..10).map(move |number| (user, number))));
    for workers in [1, 2, 4] {
        let rig = Rig::start_with(quick(), Load::counted(8, 80), workers, mixed);
        let Sealed { tally, .. } = rig.seal();
        assert_eq!(tally.check_sealed(), Ok(()));
        let names: Vec<_> = tally.slices.iter().map(|s| (s.slice.by, &*s.slice.name)).collect();
        let (workload, model) = (SliceBy::Workload, SliceBy::Model);
        let known = [(workload, "short"), (workload, "long")];
        let models = [(model, "base"), (model, "lora"), (model, "mock")];
        assert_eq!(names, [&known[..], &models[..]].concat());
        let succeeded: Vec<u64> = tally.slices.iter().map(|s| s.measured.succeeded).collect();
        assert_eq!(succeeded, expected, "{workers} workers");
    }
}

#[test]
fn a_window_is_told_apart_with_what_arrived_in_it() {
    let load = Load { end: End::Window, ..Load::counted(8, 1) };
    let mut rig = Rig::start_with(quick(), load, 2, mixed);
    rig.window(50 * MS, 350 * MS);
    rig.hear(|report| report.followed && report.tally.slices.is_empty());
    rig.order(|| WorkerOrder::EndLevel);
    let Sealed { tally, .. } = rig.seal();
    assert_eq!(tally.check_sealed(), Ok(()));
    let window = tally.scope.window().unwrap();
    assert!(window.arrived.output > 100, "{window:?}");
    let of = |by| tally.slices.iter().filter(move |slice| slice.slice.by == by);
    for by in [SliceBy::Workload, SliceBy::Model] {
        assert_eq!(of(by).map(|s| s.arrived.output).sum::<u64>(), window.arrived.output);
        assert_eq!(of(by).map(|s| s.measured.started).sum::<u64>(), tally.measured.started);
        assert!(of(by).all(|slice| slice.arrived.output > 0), "{by}");
    }
}

#[test]
fn what_waits_in_line_when_the_level_is_closed_is_cut_in_its_slices() {
    // Two slots of some 14 ms carry about 140/s; 500/s come.
    let schedule = Schedule { law: Law::Constant, rate: Rate::Flat(PerSecond(500_000_000)) };
    let load = Load { users: 2, arrivals: Arrivals::Open(schedule), end: End::Requests(100_000) };
    let rig = Rig::start_with(quick(), load, 1, mixed);
    rig.lease.expire(crate::clock::Clock::boottime_ns() + 250_000_000);
    let Sealed { tally, .. } = rig.seal();
    assert_eq!(tally.check_sealed(), Ok(()));
    assert!(tally.counts.censored_total() > 0);
    let started = tally.counts.started;
    let expected = expected((0..started).map(|number| (0, number)));
    let counted: Vec<u64> = tally.slices.iter().map(|s| s.measured.started).collect();
    assert_eq!(counted, expected);
}
