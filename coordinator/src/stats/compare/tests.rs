//! Table 26 of the paper, the vectors of the method, and properties.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::paper_cases;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

/// Equal as far as the digits that the file prints.
fn printed(what: &str, got: f64, expected: &Value) {
    let digits = expected.to_string().split('.').nth(1).map_or(0, str::len);
    let slack = 0.51 * 10f64.powi(-(digits as i32));
    let expected = number(expected);
    assert!((got - expected).abs() <= slack, "{what}: {got}, expected {expected}");
}

fn welch(base: &[f64], new: &[f64]) -> Welch {
    Welch::of(Sample::of(base).unwrap(), Sample::of(new).unwrap())
}

#[test]
fn table_26_is_reproduced_to_its_digits() {
    let cases = paper_cases();
    let rows = cases["ablation_cases_table26"].as_array().unwrap();
    let arms = |row: &Value| (numbers(&row["disabled"]["runs"]), numbers(&row["enabled"]["runs"]));
    let chances: Vec<f64> = rows
        .iter()
        .map(|row| {
            let (off, on) = arms(row);
            welch(&off, &on).p().unwrap()
        })
        .collect();
    assert_eq!(rows.len(), 6);
    for ((row, p), p_holm) in rows.iter().zip(&chances).zip(holm(&chances)) {
        let users = row["concurrency"].to_string();
        let (off, on) = arms(row);
        let result = welch(&off, &on);
        let expected = &row["welch"];
        printed(&users, result.t().unwrap(), &expected["t"]);
        printed(&users, result.freedom, &expected["df"]);
        printed(&users, *p, &expected["p_two_sided"]);
        // Four digits times the number of tests leave three.
        assert!((p_holm - number(&expected["p_holm"])).abs() < 5e-4, "{users}: {p_holm}");
        assert_eq!(p_holm < 0.05, expected["significant_holm_5pct"].as_bool().unwrap());
        let ci = result.ci95().unwrap();
        for (side, got) in ci.into_iter().enumerate() {
            printed(&users, got, &expected["diff_ci95"][side]);
        }
        let (off, on) = (describe(&off).unwrap(), describe(&on).unwrap());
        let percent = 100.0 * result.difference / off.mean;
        printed(&users, percent, &row["expected_diff_percent"]);
        for (arm, key) in [(off, "disabled"), (on, "enabled")] {
            printed(&users, arm.ci95_half_width.unwrap(), &row[key]["expected_ci95"]);
        }
        // The table divides coefficients that it has rounded.
        let printed_ratio = number(&row["enabled"]["printed_cov_percent"])
            / number(&row["disabled"]["printed_cov_percent"]);
        printed(&users, printed_ratio, &row["cov_ratio"]);
        let ratio = on.cov.unwrap() / off.cov.unwrap();
        assert!((ratio / printed_ratio - 1.0).abs() < 0.001, "{users}: {ratio}");
    }
}

#[test]
fn holm_keeps_order_and_places() {
    assert!(holm(&[]).is_empty());
    assert_eq!(holm(&[0.04]), [0.04]);
    assert_eq!(holm(&[0.03, 0.01, 0.02]), [0.04, 0.03, 0.04]);
    assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
}

#[test]
fn the_smallest_p_by_ranks_is_that_of_the_method() {
    let cases = paper_cases();
    for row in cases["method_vectors"]["mann_whitney_min_two_sided_p"].as_array().unwrap() {
        let n = row["n_per_arm"].as_u64().unwrap() as u32;
        printed("least", mann_whitney_least(n, n), &row["p"]);
        let low: Vec<f64> = (0..n).map(f64::from).collect();
        let high: Vec<f64> = low.iter().map(|value| value + 100.0).collect();
        printed("apart", mann_whitney(&low, &high).unwrap(), &row["p"]);
    }
    assert_eq!(mann_whitney_least(1, 1), 1.0);
    assert_eq!(mann_whitney(&[], &[1.0]), None);
}

#[test]
fn tied_ranks_are_counted_exactly() {
    // By hand: of the six ways to choose two of {1, 2, 2, 3}, the sums of ranks 1 + 2.5, 1 + 2.5,
    // 1 + 4, 2.5 + 2.5, 2.5 + 4, 2.5 + 4 lie 1.5, 1.5, 0, 0, 1.5, 1.5 off their mean.
    assert_eq!(mann_whitney(&[1.0, 2.0], &[2.0, 3.0]), Some(4.0 / 6.0));
    assert_eq!(mann_whitney(&[5.0; 4], &[5.0; 4]), Some(1.0));
}

#[test]
fn the_normal_law_continues_the_exact_counts() {
    let base: Vec<f64> = (0..20).map(|i| f64::from(i) + 0.5).collect();
    for shift in [3.2, 4.2, 5.2] {
        let new: Vec<f64> = base.iter().map(|value| value + shift).collect();
        let counted = mann_whitney(&base, &new).unwrap();
        // One more value on one side, in the middle of both.
        let longer = [&base[..], &[10.0 + shift / 2.0]].concat();
        let approximate = mann_whitney(&longer, &new).unwrap();
        assert!((approximate / counted - 1.0).abs() < 0.2, "{counted} {approximate}");
    }
    let tied = [[1.0; 15], [2.0; 15]].concat();
    assert_eq!(mann_whitney(&tied, &tied), Some(1.0));
}

#[test]
fn the_smallest_detectable_difference_is_that_of_the_method() {
    // The method's figure, and the same with one more digit.
    for (n, rounded, exact) in [(3, 3.0, 3.07), (5, 2.0, 2.02), (10, 1.3, 1.32)] {
        let got = detectable(n).unwrap();
        assert!((got - exact).abs() <= 0.005, "{n}: {got}");
        assert!((got / rounded - 1.0).abs() <= 0.03, "{n}: {got}");
    }
    assert_eq!(detectable(1), None);
    assert_eq!(repeats_for(detectable(7).unwrap() + 1e-6), Some(7));
    assert_eq!(repeats_for(0.01), None);
}

#[test]
fn the_noncentral_law_agrees_with_a_simulation_of_it() {
    let mut random = Random(7);
    for (n, freedom) in [(2u32, 2.0), (5, 8.0), (20, 38.0)] {
        let apart = detectable(n).unwrap();
        let rounds = 4000;
        let found = (0..rounds).filter(|_| {
            let base: Vec<f64> = (0..n).map(|_| random.normal()).collect();
            let new: Vec<f64> = (0..n).map(|_| random.normal() + apart).collect();
            let welch = welch(&base, &new);
            // Student's own degrees: the law is about equal variances.
            Welch { freedom, ..welch }.p().unwrap() < 0.05
        });
        let share = found.count() as f64 / f64::from(rounds);
        assert!((share - 0.8).abs() < 0.025, "{n}: {share}");
    }
}

#[test]
fn samples_without_spread_are_the_same_or_untestable() {
    let same = welch(&[2.0; 3], &[2.0; 3]);
    assert_eq!((same.p(), same.ci95()), (Some(1.0), Some([0.0, 0.0])));
    assert_eq!(same.equivalence_p(0.02), Some(0.0));
    let apart = welch(&[2.0; 3], &[3.0; 3]);
    assert_eq!((apart.p(), apart.equivalence_p(0.02)), (None, Some(1.0)));
    assert_eq!(Sample::of(&[1.0]), None);
    let floored = Sample::of(&[2.0; 3]).unwrap().with_variance_at_least(0.1);
    assert!(Welch::of(floored, floored).error > 0.25);
}

#[test]
fn spreads_are_told_apart() {
    let narrow = [10.0, 10.1, 9.9, 10.05, 9.95, 10.02];
    let wide = [10.0, 14.0, 6.0, 12.5, 8.0, 11.0];
    assert!(brown_forsythe(&narrow, &wide).unwrap() < 0.01);
    assert!(brown_forsythe(&narrow, &narrow.map(|v| v + 5.0)).unwrap() > 0.99);
    assert_eq!(brown_forsythe(&[1.0], &[1.0, 2.0]), None);
    assert_eq!(brown_forsythe(&[1.0, 1.0], &[2.0, 2.0]), None);
}

proptest! {
    #[test]
    fn swapped_samples_give_the_mirrored_answer(
        base in prop::collection::vec(1.0f64..100.0, 2..12),
        new in prop::collection::vec(1.0f64..100.0, 2..12),
    ) {
        let (there, back) = (welch(&base, &new), welch(&new, &base));
        prop_assert_eq!(there.difference, -back.difference);
        prop_assert_eq!((there.p(), there.freedom), (back.p(), back.freedom));
        prop_assert_eq!(there.equivalence_p(3.0), back.equivalence_p(3.0));
        let ([a, b], [c, d]) = (there.ci95().unwrap(), back.ci95().unwrap());
        prop_assert_eq!((a, b), (-d, -c));
        let (by_rank, mirrored) = (mann_whitney(&base, &new), mann_whitney(&new, &base));
        prop_assert!((by_rank.unwrap() - mirrored.unwrap()).abs() < 1e-12);
    }

    #[test]
    fn the_interval_excludes_nothing_exactly_where_p_is_small(
        base in prop::collection::vec(1.0f64..100.0, 2..12),
        new in prop::collection::vec(1.0f64..150.0, 2..12),
    ) {
        let welch = welch(&base, &new);
        let [low, high] = welch.ci95().unwrap();
        let p = welch.p().unwrap();
        prop_assume!((p - 0.05).abs() > 1e-6);
        prop_assert_eq!(p < 0.05, low > 0.0 || high < 0.0);
    }

    #[test]
    fn raised_chances_are_never_lower_and_keep_their_order(
        chances in prop::collection::vec(0.0f64..=1.0, 1..20)
    ) {
        let raised = holm(&chances);
        for (a, b) in chances.iter().zip(&raised) {
            prop_assert!(b >= a && *b <= 1.0);
            for (c, d) in chances.iter().zip(&raised) {
                prop_assert!(a > c || b <= d);
            }
        }
    }
}

/// A small generator of normal values, for simulations that are the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn normal(&mut self) -> f64 {
        let (radius, angle) = (1.0 - self.unit(), self.unit());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }
}
