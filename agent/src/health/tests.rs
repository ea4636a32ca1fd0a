use super::*;

const S: u64 = 1_000_000_000;

fn reading(second: u64) -> Reading {
    Reading { at: Tick(second * S), ..Reading::default() }
}

fn sched(ran_ns: u64, waited_ns: u64) -> Option<Sched> {
    Some(Sched { ran_ns, waited_ns })
}

#[test]
fn shares_are_those_of_the_measured_time_and_the_worst_second_is_kept() {
    let mut meter = HealthMeter::new(vec![None, Some(3)], Vec::new());
    let times = |all, stolen| Times { all, stolen };
    for (second, ran, waited, (all, stolen), (mine, from_me)) in [
        (10, 5 * S, S, (800, 10), (100, 5)),
        (11, 6 * S, S, (1000, 12), (200, 6)),
        (12, 6 * S, S + S / 2, (1200, 14), (300, 25)),
        (14, 7 * S, S + S / 2, (1600, 90), (500, 85)),
    ] {
        let processors =
            Processors { all: Some(times(all, stolen)), each: [(3, times(mine, from_me))].into() };
        let workers = vec![sched(ran, waited), None];
        meter.add(Reading { workers, processors, ..reading(second) });
    }
    let health = meter.health().unwrap();
    assert_eq!(health.workers[0].cpu, Some(0.5));
    assert_eq!((health.workers[0].wait, health.workers[0].wait_max), (Some(0.125), Some(0.5)));
    assert_eq!(health.steal, Some(0.1));
    let bound = WorkerHealth { processor: Some(3), steal: Some(0.2), ..WorkerHealth::default() };
    assert_eq!(health.workers[1], bound);
}

#[test]
fn the_group_that_held_the_agent_up_most_is_told() {
    let mut meter = HealthMeter::new(Vec::new(), Vec::new());
    let quota = |periods, throttled| Some(Quota { periods, throttled });
    meter.add(Reading { quotas: vec![quota(10, 10), quota(0, 0), None], ..reading(1) });
    meter.add(Reading { quotas: vec![quota(20, 11), quota(20, 15), None], ..reading(2) });
    assert_eq!(meter.health().unwrap().throttled, Some(0.75));
    let mut unlimited = HealthMeter::new(Vec::new(), Vec::new());
    for second in 1..3 {
        unlimited.add(Reading { quotas: vec![quota(0, 0)], ..reading(second) });
    }
    assert_eq!(unlimited.health().unwrap().throttled, Some(0.0));
}

#[test]
fn the_interface_with_the_least_to_spare_is_told_and_speed_may_be_unknown() {
    let link = |name: &str, bytes_per_s_max| Link { name: name.to_owned(), bytes_per_s_max };
    let links = vec![link("lo", None), link("slow", Some(1000)), link("fast", Some(100_000))];
    let mut meter = HealthMeter::new(Vec::new(), links);
    let bytes = |received, sent| Some(Bytes { received, sent });
    let none = vec![bytes(0, 0); 3];
    meter.add(Reading { links: none.clone(), ..reading(0) });
    let some = vec![bytes(9_000_000, 0), bytes(100, 1600), bytes(2000, 100)];
    meter.add(Reading { links: some, ..reading(2) });
    let told = meter.health().unwrap().link.unwrap();
    let slow = LinkUse { name: "slow".to_owned(), bytes_per_s: 800, share: Some(0.8) };
    assert_eq!(told, slow);
    let mut meter = HealthMeter::new(Vec::new(), vec![link("lo", None)]);
    meter.add(Reading { links: vec![bytes(0, 0)], ..reading(0) });
    meter.add(Reading { links: vec![bytes(5, 7)], ..reading(1) });
    let told = meter.health().unwrap().link.unwrap();
    assert_eq!(told, LinkUse { name: "lo".to_owned(), bytes_per_s: 7, share: None });
}

#[test]
fn most_in_use_is_a_peak_and_segments_are_those_of_the_time() {
    let mut meter = HealthMeter::new(Vec::new(), Vec::new());
    let used = |used| Some(Used { used, limit: 100 });
    let segments = |sent, retransmitted| Some(Segments { sent, retransmitted });
    let trip = |median_us, max_us| Some(RoundTrip { connections: 2, median_us, max_us });
    for (second, fds, segments, round_trip) in [
        (0, used(5), segments(100, 10), trip(20, 90)),
        (1, used(50), segments(150, 10), trip(30, 40)),
        (2, used(7), segments(199, 11), None),
    ] {
        meter.add(Reading { fds, segments, round_trip, ..reading(second) });
    }
    let health = meter.health().unwrap();
    assert_eq!((health.fds, health.ports), (used(50), None));
    assert_eq!(health.segments, segments(99, 1));
    assert_eq!(health.segments.unwrap().retransmitted_share(), Some(0.01));
    assert_eq!(health.round_trip, trip(30, 90));
}

/// A host without any of this (another system, or one that hides it) states nothing.
#[test]
fn what_no_file_tells_is_not_stated() {
    let mut meter = HealthMeter::new(vec![None], Vec::new());
    assert_eq!(meter.health(), None);
    meter.add(reading(1));
    assert_eq!(meter.health(), None);
    meter.add(Reading { workers: vec![sched(1, 1)], ..reading(2) });
    let silent = Health { workers: vec![WorkerHealth::default()], ..Health::default() };
    assert_eq!(meter.health(), Some(silent));
}
