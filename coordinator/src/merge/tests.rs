use common::phase::Phase;
use common::series::{InFlight, SLOT_NS, Slot};
use proptest::prelude::*;

use super::*;
use crate::testdata::{Shape, level, seal_of};

const SHAPE: Shape = Shape::QUICK;

/// Four users and nine requests on two agents.
fn two_agents() -> LevelRecord {
    level(Phase::Scaling, 4, 9, 2, SHAPE)
}

#[test]
fn a_sound_level_is_the_sum_of_its_seals() {
    let record = two_agents();
    let totals = LevelTotals::of(&record);
    assert_eq!(totals.faults, []);
    assert!(!totals.is_void());
    assert_eq!(totals.unknown_requests, 0);
    assert_eq!(totals.tally.counts.started, 9);
    assert_eq!(totals.tally.check_sealed(), Ok(()));
    assert_eq!(totals.worker_cpu_max(), Some(0.25));
}

#[test]
fn a_missing_seal_voids_the_level_and_its_requests_are_unknown() {
    let mut record = two_agents();
    record.shares[1].seal = None;
    let totals = LevelTotals::of(&record);
    assert_eq!(totals.tally.counts.started, 5);
    assert_eq!(totals.unknown_requests, 4);
    let agent = record.shares[1].agent.clone();
    assert_eq!(totals.faults, [Fault::SealMissing { agent, users: 2 }]);
}

#[test]
fn a_seal_that_contradicts_itself_is_not_added() {
    let mut record = two_agents();
    let seal = record.shares[0].seal.as_mut().unwrap();
    seal.snapshot.tally.counts.succeeded += 1;
    let totals = LevelTotals::of(&record);
    assert!(matches!(totals.faults[..], [Fault::Contradiction { .. }]));
    assert_eq!(totals.tally.counts.started, 4);
    assert_eq!(totals.unknown_requests, 5);
}

#[test]
fn a_hostile_seal_cannot_make_a_sum_overflow() {
    for poison in [
        |tally: &mut Tally| tally.tokens.prompt = u64::MAX,
        |tally: &mut Tally| tally.paper.completion = COUNT_MAX + 1,
        |tally: &mut Tally| {
            let slot = Slot { area_ns: u64::MAX, most: u32::MAX };
            tally.in_flight = InFlight::from_parts(SLOT_NS << 6, vec![slot]).unwrap();
        },
    ] {
        let mut record = two_agents();
        poison(&mut record.shares[1].seal.as_mut().unwrap().snapshot.tally);
        let totals = LevelTotals::of(&record);
        assert!(matches!(totals.faults[..], [Fault::Beyond { .. }]));
        assert_eq!(totals.tally.counts.started, 5);
    }
}

#[test]
fn an_agent_that_gave_up_voids_the_level() {
    for (end, sound) in [
        (LevelEnd::Completed, true),
        (LevelEnd::Stopped, true),
        (LevelEnd::LeaseExpired, false),
        (LevelEnd::Faulted("a user panicked".into()), false),
    ] {
        let mut record = two_agents();
        record.shares[0].seal.as_mut().unwrap().end = end;
        assert_eq!(LevelTotals::of(&record).is_void(), !sound);
    }
    for (fate, sound) in [
        (LevelFate::Completed, true),
        (LevelFate::Stopped("interrupted".into()), true),
        (LevelFate::Quarantined("agent b was lost".into()), false),
        (LevelFate::Failed("no file descriptors".into()), false),
    ] {
        let mut record = two_agents();
        record.fate = Some(fate);
        assert_eq!(LevelTotals::of(&record).is_void(), !sound);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn no_split_over_agents_changes_a_total(
        places in prop::collection::vec(0usize..4, 1..80), reverse: bool
    ) {
        let outcomes = SHAPE.outcomes(8, places.len() as u64);
        let mut split = vec![Vec::new(); 4];
        for (outcome, place) in outcomes.iter().zip(&places) {
            split[*place].push(outcome.clone());
        }
        if reverse {
            split.reverse();
        }
        let mut many = level(Phase::Scaling, 8, places.len() as u64, 4, SHAPE);
        for (share, outcomes) in many.shares.iter_mut().zip(&split) {
            share.seal = Some(seal_of(outcomes));
        }
        let one = level(Phase::Scaling, 8, places.len() as u64, 1, SHAPE);
        let (many, one) = (LevelTotals::of(&many).tally, LevelTotals::of(&one).tally);
        prop_assert_eq!(many.histogram_bytes(), one.histogram_bytes());
        prop_assert_eq!(many.in_flight.area_ns(), one.in_flight.area_ns());
        prop_assert_eq!(many.counts, one.counts);
        prop_assert_eq!(many.tokens, one.tokens);
        prop_assert_eq!(many.span, one.span);
    }
}
