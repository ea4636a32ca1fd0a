use proptest::prelude::*;

use super::*;
use crate::classify::Code;

const CHAT: Work = Work::Stated(Stated { input_tokens: 500, output_tokens: 200, images: 0 });

fn level(phase: Phase, users: u32, total_tok_s: f64, p99_s: f64) -> Level {
    Level {
        phase,
        users,
        work: CHAT,
        requests: None,
        total_tok_s: Some(total_tok_s),
        output_tok_s: None,
        p99_s: Some(p99_s),
        mean_s: None,
        requests_per_s: None,
        success: 1.0,
    }
}

fn codes(judgement: &Judgement) -> Vec<Code> {
    judgement.verdicts.iter().map(|verdict| verdict.code).collect()
}

/// Levels of a table, users no two alike, at most one of them a baseline.
fn tables() -> impl Strategy<Value = Vec<Level>> {
    let phase = prop::sample::select(Phase::ALL.to_vec());
    let rate = prop::option::weighted(0.9, 0.0..1e5f64);
    let row = (phase, rate.clone(), rate, prop::option::of(1e-3..500.0f64), 0.9..=1.0f64);
    prop::collection::btree_map(1u32..2_000, row, 1..12).prop_map(|rows| {
        let levels =
            rows.into_iter().map(|(users, (phase, total, output, p99_s, success))| Level {
                total_tok_s: total,
                output_tok_s: output,
                p99_s,
                success,
                ..level(phase, users, 0.0, 1.0)
            });
        // Two baselines of one shape would be told apart by their order alone.
        let mut has_baseline = false;
        levels
            .map(|level| match level.phase {
                Phase::Baseline if std::mem::replace(&mut has_baseline, true) => {
                    Level { phase: Phase::Stress, ..level }
                }
                Phase::Warmup
                | Phase::Baseline
                | Phase::Scaling
                | Phase::Stress
                | Phase::Saturation => level,
            })
            .collect()
    })
}

proptest! {
    /// Only the paper's rules look at the order in which levels were run.
    #[test]
    fn the_order_of_rows_decides_nothing(
        (levels, shuffled) in tables().prop_flat_map(|levels| {
            (Just(levels.clone()), Just(levels).prop_shuffle())
        })
    ) {
        let by_users = |levels: &[Level]| {
            let mut judged: Vec<(u32, Judgement)> = levels
                .iter()
                .zip(judge(levels, None))
                .map(|(level, judgement)| (level.users, judgement))
                .collect();
            judged.sort_by_key(|(users, _)| *users);
            judged
        };
        for ((_, a), (_, b)) in by_users(&levels).into_iter().zip(by_users(&shuffled)) {
            let paper = a.paper;
            prop_assert_eq!(a, Judgement { paper, ..b });
        }
    }

    /// A table in other units of tokens is the same table.
    #[test]
    fn the_unit_of_tokens_decides_no_status(levels in tables(), binary_digits in -8i32..8) {
        let factor = 2f64.powi(binary_digits);
        let scaled: Vec<Level> = levels
            .iter()
            .map(|level| Level {
                total_tok_s: level.total_tok_s.map(|rate| rate * factor),
                output_tok_s: level.output_tok_s.map(|rate| rate * factor),
                ..*level
            })
            .collect();
        for (a, b) in judge(&levels, None).iter().zip(judge(&scaled, None)) {
            prop_assert_eq!(codes(a), codes(&b));
            prop_assert_eq!(
                (a.headline, a.latency.status, a.load.status),
                (b.headline, b.latency.status, b.load.status)
            );
        }
    }

    /// However noisy, a level that is known to hold its users is not struck for want of them.
    #[test]
    fn a_known_mean_in_flight_decides_alone(
        users in 2u32..1_000, held in 0.5..1.2f64, rate in 1.0..1e4f64
    ) {
        let low = level(Phase::Scaling, 1, 1_000.0, 10.0);
        let known = Level {
            mean_s: Some(2.0),
            requests_per_s: Some(held * f64::from(users) / 2.0),
            ..level(Phase::Scaling, users, rate, 0.1)
        };
        let judged = judge(&[low, known], None);
        prop_assume!((held - 0.98).abs() > 1e-9);
        prop_assert_eq!(codes(&judged[1]).is_empty(), held > 0.98);
    }
}

#[test]
fn fewer_requests_than_users_bound_what_was_in_flight() {
    let few = |users| Level { requests: Some(450), ..level(Phase::Saturation, users, 1e3, 1.0) };
    let judged = judge(&[few(300), few(500), few(1_000)], None);
    assert_eq!(judged[0].verdicts, []);
    for struck in &judged[1..] {
        assert_eq!(codes(struck), [Code::ConcurrencyNotReached]);
        assert_eq!(struck.headline, Headline::Invalid);
        assert!(struck.implied_inflight.unwrap() <= 450.0);
    }
    let evidence = &judged[2].verdicts[0].evidence;
    assert!(evidence.starts_with("at most 450 of 1000 users could be in flight"), "{evidence}");
}

#[test]
fn limits_fall_on_the_side_of_the_level() {
    let rows = [
        level(Phase::Baseline, 1, 10.0, 1.0),
        level(Phase::Scaling, 100, 1_000.0, 2.0),
        level(Phase::Scaling, 200, 950.0, 4.2),
        level(Phase::Scaling, 400, 949.0, 8.5),
    ];
    let judged = judge(&rows, None);
    let said = |place: usize| {
        let judgement: &Judgement = &judged[place];
        (judgement.latency.status, judgement.load.status, judgement.headline)
    };
    assert_eq!(said(0), (Latency::Ok, LoadStatus::NotJudged, Headline::Ok));
    assert_eq!(said(1), (Latency::Ok, LoadStatus::Scaling, Headline::Ok));
    assert_eq!(said(2), (Latency::Degraded, LoadStatus::Saturated, Headline::Saturated));
    assert_eq!(said(3), (Latency::Degraded, LoadStatus::Overloaded, Headline::Overloaded));
    let failing = Level { success: 0.9499, ..rows[2] };
    let kept = Level { success: 0.95, ..rows[2] };
    assert_eq!(judge(&[failing], None)[0].headline, Headline::Failing);
    assert_eq!(judge(&[kept], None)[0].headline, Headline::Ok);
}

#[test]
fn a_baseline_of_another_shape_is_none() {
    let long = Work::Stated(Stated { input_tokens: 500, output_tokens: 500, images: 0 });
    let rows = [
        level(Phase::Baseline, 1, 10.0, 1.0),
        Level { work: long, ..level(Phase::Stress, 50, 500.0, 9.0) },
        level(Phase::Stress, 50, 500.0, 9.0),
    ];
    let judged = judge(&rows, None);
    assert_eq!(judged[1].latency.status, Latency::Unknown);
    assert_eq!(judged[2].latency.status, Latency::Degraded);
    // Also where the baseline stands beside the table.
    let beside = Baseline { p99_s: 1.0, work: long };
    let judged = judge(&rows[1..], Some(beside));
    assert_eq!(judged[0].latency.status, Latency::Degraded);
    assert_eq!(judged[1].latency.status, Latency::Unknown);
}

#[test]
fn no_growth_at_all_is_what_a_constant_elasticity_is_not() {
    // The paper's rule calls the last two SATURATED although nothing bends (its edge case E8).
    let rows: Vec<Level> = (500..=1_000)
        .step_by(50)
        .map(|users| level(Phase::Saturation, users, 100.0 * f64::from(users).powf(0.9), 1.0))
        .collect();
    for judgement in &judge(&rows, None)[1..] {
        assert!((judgement.elasticity.unwrap() - 0.9).abs() < 1e-9);
        assert_eq!(judgement.load.status, LoadStatus::Scaling);
    }
}
