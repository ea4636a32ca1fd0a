use proptest::prelude::*;

use super::*;
use crate::ids::UserId;
use crate::outcome::{Censor, Failure, ImagesSent, Marks, Usage};
use crate::slice::SliceBy;

/// Three workloads, and two models.
fn slices() -> Vec<Slice> {
    let named = |by, name: &str| Slice { by, name: name.to_owned() };
    let workloads = ["a", "b", "c"].map(|name| named(SliceBy::Workload, name));
    workloads.into_iter().chain(["m", "n"].map(|name| named(SliceBy::Model, name))).collect()
}

fn any_ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        4 => Just(Ending::Succeeded),
        1 => (0..Failure::ALL.len()).prop_map(|i| Ending::Failed(Failure::ALL[i])),
        1 => (0..Censor::ALL.len()).prop_map(|i| Ending::Censored(Censor::ALL[i])),
    ]
}

prop_compose! {
    fn any_outcome()(
        user in 0u32..100,
        ending in any_ending(),
        paper_success: bool,
        intended in 0u64..10_000_000_000,
        waits in prop::array::uniform4(0u64..4_000_000_000_000),
        sent: bool, streamed: bool,
        usage in prop::option::of((0u64..9000, 0u64..9000)),
        gaps_us in prop::collection::vec(0u32..5_000_000, 0..20),
        detail in prop::option::of("[a-c]{1,3}"),
        (workload, model) in (0u8..3, 3u8..5),
        images in prop::option::of((1u64..6, 0u64..5_000_000_000)),
    ) -> Outcome {
        let [lag, first, last, done] = waits;
        let sent_at = Tick(intended + lag);
        let first_token = Tick(sent_at.0 + first);
        let last_token = Tick(first_token.0 + last);
        Outcome {
            user: UserId(user),
            request: 0,
            slices: InSlices::NONE.and(SliceBy::Workload, workload).and(SliceBy::Model, model),
            ending,
            status: None,
            paper_success,
            marks: Marks {
                intended: Tick(intended),
                sent: sent.then_some(sent_at),
                head: None,
                first_token: streamed.then_some(first_token),
                first_answer: None,
                last_token: streamed.then_some(last_token),
                done: Tick(last_token.0 + done),
            },
            usage: usage.map(|(prompt, completion)| {
                Usage { prompt, completion, reasoning: completion / 3, cached_prompt: prompt / 2 }
            }),
            events: gaps_us.len() as u64,
            gaps_us,
            detail,
            images: images.map(|(images, upload_ns)| ImagesSent {
                images,
                pixels: images * 64,
                bytes: images * 30,
                text_tokens: 12,
                upload_ns: Some(upload_ns),
            }),
        }
    }
}

/// What each of `split` agents would have recorded of these outcomes, merged in the order given.
fn merged(outcomes: &[Outcome], split: &[usize], agents: usize, reverse: bool) -> Tally {
    let mut tallies = vec![Tally::default().sliced(&slices()); agents];
    for (outcome, place) in outcomes.iter().zip(split.iter().cycle()) {
        let tally = &mut tallies[place % agents];
        tally.start(outcome.marks.intended.0, outcome.slices);
        tally.end(outcome, Tick::ZERO, Slo::default(), None);
    }
    if reverse {
        tallies.reverse();
    }
    let mut all = Tally::default();
    tallies.iter().for_each(|tally| all.merge(tally));
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn one_two_four_and_seven_agents_merge_to_the_same_bytes(
        outcomes in prop::collection::vec(any_outcome(), 0..120),
        split in prop::collection::vec(0usize..7, 1..50),
    ) {
        let alone = merged(&outcomes, &split, 1, false);
        prop_assert_eq!(alone.check_sealed(), Ok(()));
        prop_assert_eq!(alone.counts.started, outcomes.len() as u64);
        for agents in [2, 4, 7] {
            for reverse in [false, true] {
                let fleet = merged(&outcomes, &split, agents, reverse);
                prop_assert_eq!(fleet.histogram_bytes(), alone.histogram_bytes());
                prop_assert_eq!(&fleet, &alone);
            }
        }
        for (place, slice) in alone.slices.iter().enumerate() {
            let of_slice = || outcomes.iter().filter(|o| o.slices.places().any(|p| p == place));
            prop_assert_eq!(slice.measured.started, of_slice().count() as u64);
            let ended = of_slice().filter(|o| o.ending == Ending::Succeeded);
            let prompt: u64 = ended.map(|o| o.usage.unwrap_or_default().prompt).sum();
            prop_assert_eq!(slice.tokens.prompt, prompt);
        }
    }
}

#[test]
fn slices_that_lose_double_or_move_a_request_are_noticed() {
    let outcome = |workload: u8| InSlices::NONE.and(SliceBy::Workload, workload);
    let mut tally = Tally::default().sliced(&slices());
    tally.start(0, outcome(0).and(SliceBy::Model, 3));
    tally.start(0, outcome(1).and(SliceBy::Model, 3));
    assert_eq!(tally.check(), Ok(()));
    let missing = Err(ConservationError::Slices { by: "model" });
    tally.start(0, outcome(1));
    assert_eq!(tally.check(), missing, "it is in no slice by model");
    tally.slices = Slices::default();
    assert_eq!(tally.check(), Ok(()), "a level without slices has nothing to add up");
    let mut parts = vec![SliceTally::new(slices()[0].clone()); 1];
    parts[0].measured = Counts { started: 4, open: 4, ..Counts::default() };
    tally.slices = Slices::from_parts(parts);
    assert_eq!(tally.check(), Err(ConservationError::Slices { by: "workload" }));
}

/// What one agent records of these outcomes in a window that is ordered while they run: as a
/// generator does, in the order in which things happen.
fn windowed(outcomes: &[Outcome], from_ns: u64, until_ns: u64) -> Tally {
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    enum Step {
        Measure,
        Release,
        Start(usize),
        End(usize),
    }
    let mut steps = vec![(from_ns, Step::Measure), (until_ns.max(from_ns), Step::Release)];
    for (place, outcome) in outcomes.iter().enumerate() {
        steps.push((outcome.marks.intended.0, Step::Start(place)));
        steps.push((outcome.marks.done.0, Step::End(place)));
    }
    steps.sort_unstable();
    let mut tally = Tally::windowed().sliced(&slices());
    for (_, step) in steps {
        match step {
            Step::Measure => tally.measure(from_ns),
            Step::Release => tally.release(until_ns),
            Step::Start(place) => {
                tally.start(outcomes[place].marks.intended.0, outcomes[place].slices);
            }
            Step::End(place) => {
                tally.end(&outcomes[place], Tick::ZERO, Slo::default(), None);
            }
        }
    }
    tally
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_window_holds_what_was_intended_and_what_arrived_in_it_whatever_the_split(
        outcomes in prop::collection::vec(any_outcome(), 0..60),
        split in prop::collection::vec(0usize..5, 1..50),
        from_ns in 0u64..12_000_000_000,
        length in 0u64..8_000_000_000_000,
    ) {
        let until_ns = from_ns + length;
        let alone = windowed(&outcomes, from_ns, until_ns);
        prop_assert_eq!(alone.check_sealed(), Ok(()));
        let inside = |tick: Tick| tick.0 >= from_ns && tick.0 < until_ns;
        let intended = outcomes.iter().filter(|o| inside(o.marks.intended)).count() as u64;
        prop_assert_eq!(alone.measured.started, intended);
        prop_assert_eq!(alone.counts.started, outcomes.len() as u64);
        let window = *alone.scope.window().unwrap();
        prop_assert_eq!(window.following, 0);
        prop_assert_eq!(window.until_ns, Some(until_ns));
        let succeeded = || outcomes.iter().filter(|o| o.ending == Ending::Succeeded);
        let ended = succeeded().filter(|o| inside(o.marks.done)).count() as u64;
        prop_assert_eq!(window.arrived.requests, ended);
        let all: u64 = succeeded().map(|o| o.usage.unwrap_or_default().completion).sum();
        prop_assert_eq!(alone.flow.slots().map(|slot| slot.output).sum::<u64>(), all);
        prop_assert!(window.arrived.output <= all);
        let overlap: u64 = outcomes
            .iter()
            .filter_map(|o| {
                let sent = o.marks.sent?.0.max(from_ns);
                Some(o.marks.done.0.min(until_ns).saturating_sub(sent))
            })
            .sum();
        prop_assert_eq!(window.overlap_ns, overlap);
        let mut parts = vec![Vec::new(); 5];
        for (outcome, place) in outcomes.iter().zip(split.iter().cycle()) {
            parts[*place].push(outcome.clone());
        }
        let mut fleet = Tally::default();
        for part in parts.iter().rev() {
            fleet.merge(&windowed(part, from_ns, until_ns));
        }
        prop_assert_eq!(fleet.check_sealed(), Ok(()));
        prop_assert_eq!(fleet, alone);
    }
}

#[test]
fn a_request_that_spans_the_window_is_credited_by_when_its_tokens_come() {
    let mut tally = Tally::windowed();
    let second = 1_000_000_000;
    tally.start(0, InSlices::NONE);
    tally.measure(2 * second);
    assert_eq!(tally.scope.window().unwrap().following, 1);
    tally.release(4 * second);
    tally.in_flight(0, 6 * second, 1);
    let outcome = Outcome {
        user: UserId(0),
        request: 0,
        slices: InSlices::NONE,
        ending: Ending::Succeeded,
        status: Some(200),
        paper_success: true,
        marks: Marks {
            sent: Some(Tick(0)),
            first_token: Some(Tick(second)),
            last_token: Some(Tick(5 * second)),
            done: Tick(6 * second),
            ..Marks::default()
        },
        usage: Some(Usage { prompt: 7, completion: 10, ..Usage::default() }),
        events: 5,
        gaps_us: vec![1_000_000; 4],
        detail: None,
        images: None,
    };
    tally.end(&outcome, Tick::ZERO, Slo::default(), None);
    let window = tally.scope.window().unwrap();
    // Its events come at 1, 2, 3, 4 and 5 s with two tokens each: two events lie inside.
    assert_eq!(window.arrived, Arrived { output: 4, ..Arrived::default() });
    assert_eq!((window.in_flight_ns, window.overlap_ns), (2 * second, 2 * second));
    assert_eq!((window.following, tally.measured.started), (0, 0));
    assert_eq!((tally.paper.succeeded, tally.latencies.e2e.count()), (1, 0));
}

#[test]
fn a_lost_or_doubled_request_is_noticed() {
    let mut tally = Tally::default();
    tally.start(0, InSlices::NONE);
    assert_eq!(tally.check(), Ok(()));
    assert_eq!(tally.check_sealed(), Err(ConservationError::Open(1)));
    tally.counts.started += 1;
    assert!(matches!(tally.check(), Err(ConservationError::Endings { started: 2, open: 1, .. })));
    tally.counts = Counts { started: 1, succeeded: 1, ..Counts::default() };
    assert_eq!(tally.check(), Err(ConservationError::Measured));
    tally.measured = tally.counts.clone();
    assert!(matches!(tally.check(), Err(ConservationError::Samples { name: "e2e", .. })));
    tally.counts.failed[0] = u64::MAX;
    assert_eq!(tally.check(), Err(ConservationError::Overflow));
}

#[test]
fn every_class_is_counted_under_its_own_name() {
    let endings = Failure::ALL.map(Ending::Failed).into_iter();
    for ending in endings.chain(Censor::ALL.map(Ending::Censored)) {
        let mut counts = Counts { started: 1, open: 1, ..Counts::default() };
        counts.end(ending);
        assert_eq!(counts.by_class().collect::<Vec<_>>(), [(ending.name(), 1)]);
    }
}
