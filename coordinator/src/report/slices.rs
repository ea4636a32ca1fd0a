//! A level's results apart by what its requests share: the workload of a mix, the model that they
//! name, the base URL that they went to.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use common::tally::SliceTally;
use serde::Serialize;

use super::level::{distribution, tokens};
use super::model::{Distribution, LevelReport, Real, ReportModel, TokenSums};
use super::plain::{plain, wrap};
use super::text::{WIDTH, count, name, short};
use crate::measure::{Latency, Measured, SliceRates};

/// The part of a level whose requests share something.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SliceReport {
    /// What they share: `workload`, `model` or `base_url`.
    pub by: &'static str,
    /// Which one.
    pub name: String,
    /// Those that are measured.
    pub requests: SliceRequests,
    /// Tokens of the successful ones.
    pub tokens: TokenSums,
    /// Rates over the part of the level that is measured.
    pub rates: SliceRatesReport,
    /// Latencies of the successful ones.
    pub latency_ms: SliceLatencies,
}

/// Measured requests by how they ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SliceRequests {
    /// Begun.
    pub started: u64,
    /// Ended well.
    pub succeeded: u64,
    /// Failed.
    pub failed: u64,
    /// Cut by floodmark.
    pub censored: u64,
    /// Failed and censored ones by class; classes that did not occur are left out.
    pub by_class: BTreeMap<&'static str, u64>,
}

/// Rates over the part of a level that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SliceRatesReport {
    /// Requests that ended well.
    pub requests_per_s: Option<Real>,
    /// Completion tokens.
    pub output_tok_s: Option<Real>,
    /// Prompt tokens.
    pub prompt_tok_s: Option<Real>,
    /// Prompt and completion tokens.
    pub total_tok_s: Option<Real>,
    /// Requests that met every objective.
    pub goodput_per_s: Option<Real>,
}

/// Latencies of successful requests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SliceLatencies {
    /// Send to first token.
    pub ttft: Distribution,
    /// Send to last token.
    pub e2e: Distribution,
    /// Time per token after the first.
    pub tpot: Distribution,
}

/// The slices of a level, in the order of their kinds; none where all requests are alike.
pub(super) fn slices(level: &Measured<'_>) -> Vec<SliceReport> {
    level.tally().slices.iter().map(|slice| report(slice, level)).collect()
}

fn report(slice: &SliceTally, level: &Measured<'_>) -> SliceReport {
    let SliceTally { measured, .. } = slice;
    let failed = measured.failed_total();
    // How far neighbours depend on each other is known of the level as a whole.
    let of = |hist, worth| distribution(hist, &Latency::of_requests(hist, worth, failed));
    SliceReport {
        by: slice.slice.by.name(),
        name: slice.slice.name.clone(),
        requests: SliceRequests {
            started: measured.started,
            succeeded: measured.succeeded,
            failed,
            censored: measured.censored_total(),
            by_class: measured.by_class().collect(),
        },
        tokens: tokens(&slice.tokens, measured.succeeded),
        rates: SliceRatesReport::from(level.slice_rates(slice)),
        latency_ms: SliceLatencies {
            ttft: of(&slice.ttft, level.ttft_worth),
            e2e: of(&slice.e2e, level.e2e_worth),
            tpot: of(&slice.tpot, level.e2e_worth),
        },
    }
}

impl From<SliceRates> for SliceRatesReport {
    fn from(rates: SliceRates) -> Self {
        let real = |rate: Option<f64>| rate.and_then(Real::new);
        Self {
            requests_per_s: real(rates.requests),
            output_tok_s: real(rates.output),
            prompt_tok_s: real(rates.prompt),
            total_tok_s: real(rates.total),
            goodput_per_s: real(rates.good),
        }
    }
}

/// Characters of a slice's name in the table.
const NAME: usize = 33;

/// The levels whose requests differ, slice by slice.
pub(super) fn slices_text(model: &ReportModel) -> String {
    let mut out = String::new();
    for level in model.levels.iter().filter(|level| !level.slices.is_empty()) {
        out.push_str(&wrap("  ", &name(level), WIDTH));
        level.slices.iter().for_each(|slice| row(slice, &mut out));
    }
    if !out.is_empty() {
        let heading = format!(
            "{:<10} {:<NAME$} {:>6} {:>5} {:>6} {:>6} {:>6} {:>6} {:>6}\n",
            "apart by", "", "ok", "fail", "outp.", "TTFT", "TTFT", "E2E", "E2E"
        );
        let units = format!(
            "{:<10} {:<NAME$} {:>6} {:>5} {:>6} {:>6} {:>6} {:>6} {:>6}\n",
            "", "", "", "", "tok/s", "p50 ms", "p99 ms", "p50 s", "p99 s"
        );
        out.insert_str(0, &(heading + &units));
        if model.levels.iter().any(|level| is_open(level) && !level.slices.is_empty()) {
            let note = "latencies apart run from the send, at a rate too";
            out.push_str(&wrap("* ", note, WIDTH));
        }
    }
    out
}

fn is_open(level: &LevelReport) -> bool {
    level.rate_asked_per_s.is_some()
}

fn row(slice: &SliceReport, out: &mut String) {
    let ms = |value: Option<Real>| short(value.map(Real::value));
    let s = |value: Option<Real>| short(value.map(|ms| ms.value() / 1e3));
    let SliceLatencies { ttft, e2e, .. } = &slice.latency_ms;
    let _written = writeln!(
        out,
        "  {:<8} {:<NAME$} {:>6} {:>5} {:>6} {:>6} {:>6} {:>6} {:>6}",
        slice.by,
        plain(&slice.name, NAME - 1),
        count(slice.requests.succeeded, 6),
        count(slice.requests.failed, 5),
        ms(slice.rates.output_tok_s),
        ms(ttft.p50),
        ms(ttft.p99),
        s(e2e.p50),
        s(e2e.p99),
    );
}
