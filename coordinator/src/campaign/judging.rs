//! What levels are judged by: the tables `slo` and `hardware`.

use std::time::Duration;

use common::phase::Phase;
use common::slo::Slo;
use common::target::Endpoint;

use super::raw::Collector;
use super::read::{Field, Section};
use super::{Hardware, Judging};
use crate::stats::samples_min;

/// Quantiles that can be asked for.
const QUANTILES: std::ops::RangeInclusive<f64> = 0.5..=0.9999;
/// The largest number that describes hardware; the least is above 0.
const HARDWARE_MAX: f64 = 1e9;
const HARDWARE_MIN: f64 = 1e-6;

/// How many requests of a level say whether its objectives are met at their quantile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Floor {
    /// The quantile.
    pub(super) quantile: f64,
    /// The requests.
    pub(super) requests: u64,
    /// The campaign states the quantile, so a level that cannot certify it is refused. Otherwise
    /// objectives only say which requests are good.
    pub(super) demanded: bool,
}

impl Floor {
    /// The floor of a level of `phase`; `None` where levels need not meet the objectives: a warm-up
    /// is never judged, and a baseline is what others are compared with.
    pub(super) fn of(self, phase: Phase) -> Option<Self> {
        match phase {
            Phase::Warmup | Phase::Baseline => None,
            Phase::Scaling | Phase::Stress | Phase::Saturation => Some(self),
        }
    }
}

/// `p99` of 0.99, `p99.9` of 0.999.
pub(crate) fn quantile_name(quantile: f64) -> String {
    // Rounded, so that 0.999 is p99.9 and not p99.89999999999999.
    format!("p{}", (quantile * 1e8).round() / 1e6)
}

/// What levels are judged by, and the floor of the objectives, if there are any. `answers` are what
/// is called and whether it streams, if that is known.
pub(super) fn read_judging(
    slo: Option<Field<'_>>,
    hardware: Option<Field<'_>>,
    answers: (Endpoint, Option<bool>),
    c: &mut Collector<'_>,
) -> Option<(Judging, Option<Floor>)> {
    let slo = match slo {
        Some(field) => read_slo(&field, answers, c),
        None => Some((Slo::default(), None)),
    };
    let hardware = match hardware {
        Some(field) => read_hardware(&field, c),
        None => Some(Hardware::default()),
    };
    let ((slo, stated), hardware) = (slo?, hardware?);
    let quantile = stated.unwrap_or(Judging::default().quantile);
    let floor = (!slo.is_empty()).then(|| Floor {
        quantile,
        requests: samples_min(quantile).unwrap_or(u64::MAX),
        demanded: stated.is_some(),
    });
    Some((Judging { slo, quantile, hardware }, floor))
}

/// The objectives, and their quantile where it is stated.
fn read_slo(
    field: &Field<'_>,
    (endpoint, stream): (Endpoint, Option<bool>),
    c: &mut Collector<'_>,
) -> Option<(Slo, Option<f64>)> {
    let section = Section::open(field, &["ttft", "tpot", "e2e", "quantile"], c)?;
    let mut objective = |key: &str, needs_stream: bool| -> Option<Option<Duration>> {
        let Some(field) = section.get(key) else {
            return Some(None);
        };
        if needs_stream && !endpoint.generates() {
            return field.refuse(c, "an embedding has no tokens to wait for; give e2e instead");
        }
        if needs_stream && stream == Some(false) {
            let what = "needs a stream: without one no first token is seen; set \
                        target.stream = true, or give e2e instead";
            return field.refuse(c, what);
        }
        field.wait(c).map(Some)
    };
    let ttft = objective("ttft", true);
    let tpot = objective("tpot", true);
    let e2e = objective("e2e", false);
    let quantile = match section.get("quantile") {
        Some(field) if ["ttft", "tpot", "e2e"].iter().all(|key| section.get(key).is_none()) => {
            field.refuse(c, "of which objective? add ttft, tpot or e2e")
        }
        Some(field) => field.number(QUANTILES, c).map(Some),
        None => Some(None),
    };
    Some((Slo { ttft: ttft?, tpot: tpot?, e2e: e2e? }, quantile?))
}

fn read_hardware(field: &Field<'_>, c: &mut Collector<'_>) -> Option<Hardware> {
    let section = Section::open(field, &["gpus", "active_params_b", "watts"], c)?;
    let mut number = |key: &str| match section.get(key) {
        Some(field) => field.number(HARDWARE_MIN..=HARDWARE_MAX, c).map(Some),
        None => Some(None),
    };
    let gpus = number("gpus");
    let active_params_b = number("active_params_b");
    let watts = number("watts");
    Some(Hardware { gpus: gpus?, active_params_b: active_params_b?, watts: watts? })
}
