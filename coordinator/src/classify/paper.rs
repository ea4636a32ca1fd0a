//! The paper's own classifier, to the letter (arXiv 2603.10031, section 5; the readings that the
//! paper leaves open are those of the method, section 1.2).
//!
//! It knows nothing of what was really in flight or of the generator's health: those are verdicts
//! beside it, never part of it.

use common::hist::LatencyHist;
use common::phase::Phase;

/// Below this share of successes a level is failing.
pub(super) const SUCCESS_MIN: f64 = 0.95;
/// Above this multiple of the baseline's p99 a SCALING level is degraded.
pub(super) const P99_FACTOR_MAX: f64 = 2.0;
/// Below this multiple of the level before it a SATURATION level is saturated.
pub(super) const GAIN_MIN: f64 = 1.05;

/// One level as the paper's client sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PaperRow {
    /// Its phase.
    pub phase: Phase,
    /// Users asked for.
    pub users: u32,
    /// Prompt and completion tokens of successes, per second of the whole wall clock; `None` if
    /// the server gave no counts.
    pub total_tok_s: Option<f64>,
    /// Completion tokens of successes, likewise.
    pub output_tok_s: Option<f64>,
    /// 99th percentile of the latency; `None` without a success.
    pub p99_s: Option<f64>,
    /// Share of the requests that got status 200 without an exception, 0 to 1.
    pub success: f64,
}

/// The paper's statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaperStatus {
    /// None of the others.
    Ok,
    /// SCALING: p99 is more than twice the baseline's.
    Degraded,
    /// SATURATION: throughput is less than 1.05 times that of the level before.
    Saturated,
    /// Fewer than 95 % succeeded.
    Failing,
}

impl PaperStatus {
    /// The name that the paper prints.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Degraded => "DEGRADED",
            Self::Saturated => "SATURATED",
            Self::Failing => "FAILING",
        }
    }
}

/// A level classified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaperVerdict {
    /// The status.
    pub status: PaperStatus,
    /// Of the first SATURATION level only: its status if the last SCALING level were the level
    /// before it. The paper does not say which it is; `status` takes it to have none.
    pub first_level_alternative: Option<PaperStatus>,
}

/// What a level is compared with.
#[derive(Clone, Copy, Debug, Default)]
struct Reference {
    baseline_p99_s: Option<f64>,
    previous_total_tok_s: Option<f64>,
}

/// Classifies the levels of a run, which are in the order in which they were run.
pub fn classify(rows: &[PaperRow]) -> Vec<PaperVerdict> {
    let mut baseline_p99_s = None;
    let mut last_scaling: Option<&PaperRow> = None;
    let mut last_saturation: Option<&PaperRow> = None;
    let mut verdicts = Vec::with_capacity(rows.len());
    for row in rows {
        let against = |previous: Option<&PaperRow>| Reference {
            baseline_p99_s,
            previous_total_tok_s: previous.and_then(|level| level.total_tok_s),
        };
        let first_saturation = row.phase == Phase::Saturation && last_saturation.is_none();
        verdicts.push(PaperVerdict {
            status: status(row, against(last_saturation)),
            first_level_alternative: last_scaling
                .filter(|_| first_saturation)
                .map(|level| status(row, against(Some(level)))),
        });
        match row.phase {
            Phase::Warmup | Phase::Stress => {}
            Phase::Baseline => baseline_p99_s = row.p99_s,
            Phase::Scaling => last_scaling = Some(row),
            Phase::Saturation => last_saturation = Some(row),
        }
    }
    verdicts
}

fn status(row: &PaperRow, reference: Reference) -> PaperStatus {
    if row.success < SUCCESS_MIN {
        return PaperStatus::Failing;
    }
    let exceeds = |value: Option<f64>, limit: Option<f64>| matches!((value, limit), (Some(value), Some(limit)) if value > limit);
    match row.phase {
        Phase::Warmup | Phase::Baseline | Phase::Stress => PaperStatus::Ok,
        Phase::Scaling => {
            let limit = reference.baseline_p99_s.map(|p99| P99_FACTOR_MAX * p99);
            if exceeds(row.p99_s, limit) { PaperStatus::Degraded } else { PaperStatus::Ok }
        }
        Phase::Saturation => {
            let wanted = reference.previous_total_tok_s.map(|rate| GAIN_MIN * rate);
            if exceeds(wanted, row.total_tok_s) { PaperStatus::Saturated } else { PaperStatus::Ok }
        }
    }
}

/// The place of the peak: the level with the most total tok/s, the first of equals. The paper
/// prints its saturation point as the users of this level.
pub fn peak(rows: &[PaperRow]) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (place, row) in rows.iter().enumerate() {
        if let Some(rate) = row.total_tok_s
            && best.is_none_or(|(_, most)| rate > most)
        {
            best = Some((place, rate));
        }
    }
    best.map(|(place, _)| place)
}

/// A percentile as the paper's client takes it, in seconds: `sorted[min(n - 1, floor(p n))]`.
pub fn percentile_s(hist: &LatencyHist, percent: u64) -> Option<f64> {
    let count = hist.count();
    let place = u128::from(count) * u128::from(percent) / 100;
    let place = u64::try_from(place).ok()?.min(count.checked_sub(1)?);
    hist.value_at_rank(place + 1).map(|us| us / 1e6)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::paper_cases;

    fn row(case: &Value, row: &Value) -> PaperRow {
        let phase = row["phase"].as_str().or(case["phase"].as_str()).unwrap();
        PaperRow {
            phase: phase.parse().unwrap(),
            users: row["concurrency"].as_u64().unwrap() as u32,
            total_tok_s: row["total_tok_s"].as_f64(),
            output_tok_s: row["output_tok_s"].as_f64(),
            p99_s: row["p99_s"].as_f64(),
            success: row["success_ratio"].as_f64().unwrap(),
        }
    }

    fn level(phase: Phase, total_tok_s: f64, p99_s: f64) -> PaperRow {
        PaperRow {
            phase,
            users: 0,
            total_tok_s: Some(total_tok_s),
            output_tok_s: None,
            p99_s: Some(p99_s),
            success: 1.0,
        }
    }

    /// Statuses of a case's rows, its baseline put in front and, where a row names a level that
    /// is not in the case, that level before it.
    fn run(case: &Value, baseline: &Value) -> Vec<(String, PaperVerdict)> {
        let mut rows = Vec::new();
        let mut asked = Vec::new();
        if let Some(p99_s) = baseline.as_f64() {
            rows.push(level(Phase::Baseline, 1.0, p99_s));
        }
        if let Some(alternative) = case["first_level_reading"]["alternative"].as_str() {
            let rate = alternative.split(' ').rev().nth(1).unwrap().parse().unwrap();
            rows.push(level(Phase::Scaling, rate, 0.0));
        }
        for (place, given) in case["rows"].as_array().unwrap().iter().enumerate() {
            let given_row = row(case, given);
            if let Some(rate) = given["previous_total_tok_s"].as_f64() {
                rows.push(level(given_row.phase, rate, 0.0));
            }
            let expected = given["expected_status"].as_str();
            let expected = expected.or(case["expected_status"][place].as_str());
            asked.push((rows.len(), expected.unwrap().to_owned()));
            rows.push(given_row);
        }
        let verdicts = classify(&rows);
        let verdict = |(place, expected): (usize, String)| (expected, verdicts[place]);
        asked.into_iter().map(verdict).collect()
    }

    #[test]
    fn every_printed_and_computed_status_is_reproduced() {
        let cases = paper_cases();
        let (mut statuses, mut readings, mut peaks) = (0, 0, 0);
        for case in cases["classifier_cases"].as_array().unwrap() {
            let id = case["id"].as_str().unwrap();
            let verdicts = run(case, &case["baseline_p99_test_value_s"]);
            for (place, (expected, verdict)) in verdicts.iter().enumerate() {
                assert_eq!(verdict.status.name(), expected, "{id} row {place}");
                statuses += 1;
            }
            if let Some(expected) = case["first_level_reading"]["alternative_status"].as_str() {
                let alternative = verdicts[0].1.first_level_alternative.unwrap();
                assert_eq!(alternative.name(), expected, "{id}");
                readings += 1;
            }
            if let Some(expected) = case["expected_peak"].as_object() {
                let rows: Vec<PaperRow> =
                    case["rows"].as_array().unwrap().iter().map(|given| row(case, given)).collect();
                let peak = &rows[peak(&rows).unwrap()];
                assert_eq!(Some(u64::from(peak.users)), expected["concurrency"].as_u64());
                assert_eq!(peak.total_tok_s, expected["total_tok_s"].as_f64(), "{id}");
                peaks += 1;
            }
        }
        assert_eq!((statuses, readings, peaks), (48, 4, 4));
    }

    #[test]
    fn edges_fall_on_the_side_that_the_paper_gives_them() {
        let cases = paper_cases();
        let cases = cases["classifier_edge_cases"].as_array().unwrap();
        assert_eq!(cases.len(), 8);
        for case in cases {
            for (place, (expected, verdict)) in
                run(case, &case["baseline_p99_s"]).iter().enumerate()
            {
                let id = case["id"].as_str().unwrap();
                assert_eq!(verdict.status.name(), expected, "{id} row {place}");
            }
        }
    }

    #[test]
    fn what_is_not_known_is_not_compared() {
        let mut unknown = level(Phase::Saturation, 1.0, 1.0);
        unknown.total_tok_s = None;
        let rows = [level(Phase::Saturation, 1.0, 1.0), unknown];
        assert!(classify(&rows).iter().all(|v| v.status == PaperStatus::Ok));
        assert_eq!(peak(&rows), Some(0));
        assert_eq!(peak(&[unknown]), None);
        assert_eq!(classify(&[level(Phase::Scaling, 1.0, 9.0)])[0].status, PaperStatus::Ok);
    }

    proptest! {
        #[test]
        fn percentiles_are_the_papers_elements(
            mut values in prop::collection::vec(1u64..100_000_000, 1..300), percent in 0u64..=100
        ) {
            let mut hist = LatencyHist::new();
            values.iter().for_each(|&us| hist.record_us(us));
            values.sort_unstable();
            let place = (values.len() * percent as usize / 100).min(values.len() - 1);
            let truth = values[place] as f64 / 1e6;
            let said = percentile_s(&hist, percent).unwrap();
            prop_assert!((said - truth).abs() <= truth * 0.0005 + 5e-7, "{said} for {truth}");
        }
    }

    #[test]
    fn an_empty_sample_has_no_percentile() {
        assert_eq!(percentile_s(&LatencyHist::new(), 99), None);
    }
}
