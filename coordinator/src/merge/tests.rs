use common::assignment::End;
use common::outcome::Failure;
use common::phase::Phase;
use common::series::{InFlight, SLOT_NS, Slot};
use common::slice::InSlices;
use common::slo::Slo;
use common::time::Tick;
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

/// A level measured in a window, and what each of three agents sealed of it.
fn windowed(seals: [(LevelEnd, Option<u64>, Option<u64>); 3]) -> LevelRecord {
    let mut record = level(Phase::Scaling, 6, 12, 3, SHAPE);
    record.planned.load.end = End::Window;
    for (share, (end, from, until)) in record.shares.iter_mut().zip(seals) {
        let seal = share.seal.as_mut().unwrap();
        let mut tally = Tally::windowed();
        from.into_iter().for_each(|from| tally.measure(from));
        until.into_iter().for_each(|until| tally.release(until));
        tally.start(1_500_000_000, InSlices::NONE);
        let failed = Failure::Http503.into();
        let mut outcome = SHAPE.outcomes(1, 1).remove(0);
        outcome.marks.intended = Tick(1_500_000_000);
        (outcome.ending, outcome.paper_success, outcome.usage) = (failed, false, None);
        tally.end(&outcome, Tick::ZERO, Slo::default(), None);
        (seal.snapshot.tally, seal.end) = (tally, end);
    }
    record
}

#[test]
fn seals_of_one_window_are_added_and_no_others() {
    const S: u64 = 1_000_000_000;
    let done = || (LevelEnd::Completed, Some(S), Some(4 * S));
    let record = windowed([done(), done(), done()]);
    let totals = LevelTotals::of(&record);
    assert_eq!(totals.faults, []);
    let window = totals.tally.scope.window().unwrap();
    assert_eq!((window.from_ns, window.until_ns), (S, Some(4 * S)));
    assert_eq!((totals.tally.counts.started, totals.tally.measured.started), (3, 3));
    assert_eq!(totals.tally.check_sealed(), Ok(()));

    let ns = |from, until| (LevelEnd::Completed, from, until);
    for odd in [
        ns(Some(S + 1), Some(4 * S)),
        ns(Some(S), Some(4 * S - 1)),
        ns(Some(S), None),
        ns(None, None),
        (LevelEnd::Stopped, Some(2 * S), None),
    ] {
        let record = windowed([done(), odd, done()]);
        let totals = LevelTotals::of(&record);
        assert!(matches!(&totals.faults[..], [Fault::OtherWindow { .. }]), "{:?}", totals.faults);
        assert_eq!(totals.tally.measured.started, 2);
    }
    // Of a level that was stopped an agent may have heard less than another.
    let stopped = |from, until| (LevelEnd::Stopped, from, until);
    let record =
        windowed([stopped(None, None), stopped(Some(S), Some(4 * S)), stopped(Some(S), None)]);
    assert_eq!(LevelTotals::of(&record).faults, []);

    // A level that is counted has no window, and one that is measured in a window is not whole.
    let mut counted = windowed([done(), done(), done()]);
    counted.planned.load.end = End::Requests(3);
    assert_eq!(LevelTotals::of(&counted).faults.len(), 3);
    let mut whole = two_agents();
    whole.planned.load.end = End::Window;
    assert_eq!(LevelTotals::of(&whole).tally.counts.started, 0);
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
