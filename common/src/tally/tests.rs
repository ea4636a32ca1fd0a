use proptest::prelude::*;

use super::*;
use crate::ids::UserId;
use crate::outcome::{Marks, Usage};

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
    ) -> Outcome {
        let [lag, first, last, done] = waits;
        let sent_at = Tick(intended + lag);
        let first_token = Tick(sent_at.0 + first);
        let last_token = Tick(first_token.0 + last);
        Outcome {
            user: UserId(user),
            request: 0,
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
        }
    }
}

/// What each of `split` agents would have recorded of these outcomes, merged in the order given.
fn merged(outcomes: &[Outcome], split: &[usize], agents: usize, reverse: bool) -> Tally {
    let mut tallies = vec![Tally::default(); agents];
    for (outcome, place) in outcomes.iter().zip(split.iter().cycle()) {
        let tally = &mut tallies[place % agents];
        tally.start();
        tally.end(outcome, Tick::ZERO);
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
    }
}

#[test]
fn a_lost_or_doubled_request_is_noticed() {
    let mut tally = Tally::default();
    tally.start();
    assert_eq!(tally.check(), Ok(()));
    assert_eq!(tally.check_sealed(), Err(ConservationError::Open(1)));
    tally.counts.started += 1;
    assert!(matches!(tally.check(), Err(ConservationError::Endings { started: 2, open: 1, .. })));
    tally.counts.started = 1;
    tally.counts.open = 0;
    tally.counts.succeeded = 1;
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
