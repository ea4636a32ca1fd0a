//! Whether the numbers of a level are steady, consistent and many enough.

use common::phase::Phase;

use super::{Context, load, reached};
use crate::campaign::Mode;
use crate::classify::limits::{GAUGE_OFF_MAX, LITTLE_OFF_MAX};
use crate::classify::number::{number, percent};
use crate::classify::{Code, Verdict};
use crate::measure::{Latency, Measured, Percentile};
use crate::stats;

/// Width of the slots in which steadiness is looked for, in seconds, where the window is long.
pub(super) const SLOT_S: f64 = 1.0;

/// Slots at least: as many as the test of steadiness needs.
pub(super) const SLOTS_MIN: usize = 50;

/// Whether the window was steady, and what speaks against it. `None` where it is too short to say,
/// or where the whole level is measured, ramp and drain included.
///
/// An open loop that piles up is not unsteady by an accident that another try would be spared: that
/// it piles up is the answer, so there it strikes nothing.
pub(super) fn steady(level: &Measured<'_>) -> (Option<bool>, Vec<Verdict>) {
    let Some(course) = level.course.as_ref().map(|course| course.coarse(SLOT_S, SLOTS_MIN)) else {
        return (None, Vec::new());
    };
    let faults = |series: &[f64]| stats::steadiness(series).map(|steadiness| steadiness.faults());
    let mut steady = None;
    let mut verdicts = Vec::new();
    let output = level.rates.output.is_some_and(|rate| rate > 0.0);
    let overloaded = load::piles_up(level).is_some();
    for (name, series, strikes) in [
        ("output", Some(&course.output).filter(|_| output), true),
        ("requests in flight", Some(&course.in_flight), true),
        ("time to the first token", Some(&course.ttft_s), false),
    ] {
        let Some(faults) = series.and_then(|series| faults(series)) else { continue };
        if strikes {
            steady = Some(steady.unwrap_or(true) && faults.is_empty());
        }
        if faults.is_empty() {
            continue;
        }
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let slot = number(course.slot_s);
        let text = format!("{name}, in slots of {slot} s, {}", faults.join("; "));
        verdicts.push(if strikes && !overloaded {
            Verdict::invalid(Code::NotSteady, text)
        } else {
            Verdict::warn(Code::NotSteady, text)
        });
    }
    (steady, verdicts)
}

/// Which quantiles are not given because the samples are too few. In paper mode a level has the
/// requests that it is told to have, and nobody asked for more.
pub(super) fn too_few(level: &Measured<'_>, context: &Context<'_>) -> Option<Verdict> {
    match (context.mode, level.record.planned.phase) {
        (Mode::Paper, _) | (Mode::Floodmark, Phase::Warmup) => return None,
        (Mode::Floodmark, Phase::Baseline | Phase::Scaling | Phase::Stress | Phase::Saturation) => {
        }
    }
    let hist = &level.tally().latencies.e2e;
    let n_eff = Latency::of_requests(hist, level.e2e_worth, 0).n_eff();
    // A p99.9 that nobody can have in a usual level is left out without a word.
    let lacking: Vec<String> = [Percentile::P90, Percentile::P95, Percentile::P99]
        .into_iter()
        .filter(|percentile| !percentile.is_held_by(n_eff))
        .filter_map(|p| Some(format!("{} needs {}", p.name(), p.floor()?.value)))
        .collect();
    if lacking.is_empty() {
        return None;
    }
    let mut text = format!("{} samples", hist.count());
    if n_eff < hist.count() as f64 {
        text.push_str(&format!(
            ", worth {} independent ones (neighbours correlate by {})",
            number(n_eff.floor()),
            number(level.e2e_worth.lag1.unwrap_or(0.0))
        ));
    }
    let text = format!("{text}: {}", lacking.join(", "));
    Some(Verdict::warn(Code::TooFewSamples, text))
}

/// Whether the ways to count what was in flight agree.
pub(super) fn little(level: &Measured<'_>) -> Vec<Verdict> {
    let (Some(window), Some(length_s), Some(mean)) =
        (level.window(), level.length_s(), level.in_flight.mean)
    else {
        return Vec::new();
    };
    let mut verdicts = Vec::new();
    let (gauge, overlap) = (window.in_flight_ns as f64, window.overlap_ns as f64);
    if (gauge - overlap).abs() > GAUGE_OFF_MAX.value * gauge.max(overlap) {
        let text = format!(
            "{} in flight by the gauge and {} by the requests, more than {} apart: records are \
             missing or counted twice",
            number(gauge / 1e9 / length_s),
            number(overlap / 1e9 / length_s),
            percent(GAUGE_OFF_MAX.value)
        );
        verdicts.push(Verdict::invalid(Code::LittleViolated, text));
    }
    if let (Some(little), Some(e2e_s)) = (reached::little(level), level.e2e_mean_s()) {
        // Whose requests end inside is a matter of chance for one turn of the users.
        let edge = e2e_s / length_s;
        let limit = LITTLE_OFF_MAX.value + edge;
        if (little - mean).abs() > limit * mean {
            let text = format!(
                "{} in flight, but rate times latency is {}, more than {} apart (one turn of the \
                 users is {} of the window): not steady, or requests are missing",
                number(mean),
                number(little),
                percent(limit),
                percent(edge)
            );
            verdicts.push(Verdict::warn(Code::LittleViolated, text));
        }
    }
    verdicts
}
