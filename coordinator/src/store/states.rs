//! How arrivals, windows and what levels are judged by are stored: JSON, described in
//! `docs/store.md`. These forms belong to the store; the values that a run works with have none.

use std::time::Duration;

use common::arrivals::{Arrivals, Curve, Law, PerSecond, Rate, Schedule};
use common::assignment::Pace;
use common::slo::Slo;
use common::time::duration_ns;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{lengths, more};
use crate::campaign::{Hardware, Judging, WindowPlan};
use crate::plan::{Arm, PlannedLevel, Preparation};

/// The text of a level's arrivals.
pub(super) fn arrivals_text(arrivals: Arrivals) -> String {
    text(&match arrivals {
        Arrivals::Closed { ramp } => StoredArrivals::Closed { ramp_ns: duration_ns(ramp) },
        Arrivals::Open(Schedule { law, rate }) => StoredArrivals::Open {
            law: match law {
                Law::Constant => StoredLaw::Constant,
                Law::Poisson => StoredLaw::Poisson,
                Law::Gamma { .. } => StoredLaw::Gamma,
            },
            shape_milli: match law {
                Law::Constant | Law::Poisson => None,
                Law::Gamma { shape_milli } => Some(shape_milli),
            },
            rate_micro: rate.settled().0,
            ramp: match rate {
                Rate::Flat(_) => None,
                Rate::Ramp { from, to: _, over, curve } => Some(StoredRamp {
                    from_micro: from.0,
                    over_ns: duration_ns(over),
                    curve: match curve {
                        Curve::Linear => StoredCurve::Linear,
                        Curve::Exponential => StoredCurve::Exponential,
                        Curve::Steps(_) => StoredCurve::Step,
                    },
                    steps: match curve {
                        Curve::Linear | Curve::Exponential => None,
                        Curve::Steps(steps) => Some(steps),
                    },
                }),
            },
        },
    })
}

/// The arrivals that a text stands for.
pub(super) fn arrivals_of(text: &str) -> Option<Arrivals> {
    Some(match serde_json::from_str(text).ok()? {
        StoredArrivals::Closed { ramp_ns } => {
            Arrivals::Closed { ramp: Duration::from_nanos(ramp_ns) }
        }
        StoredArrivals::Open { law, shape_milli, rate_micro, ramp } => {
            let law = match (law, shape_milli) {
                (StoredLaw::Constant, None) => Law::Constant,
                (StoredLaw::Poisson, None) => Law::Poisson,
                (StoredLaw::Gamma, Some(shape_milli @ 1..)) => Law::Gamma { shape_milli },
                (StoredLaw::Constant | StoredLaw::Poisson | StoredLaw::Gamma, _) => return None,
            };
            let to = rate(rate_micro)?;
            let rate = match ramp {
                None => Rate::Flat(to),
                Some(ramp) => ramp.rate(to)?,
            };
            Arrivals::Open(Schedule { law, rate })
        }
    })
}

/// The text of a level's window.
pub(super) fn window_text(window: WindowPlan) -> String {
    let WindowPlan { least, most, turns, requests, precise } = window;
    let (least_ns, most_ns) = (duration_ns(least), duration_ns(most));
    text(&StoredWindow { least_ns, most_ns, turns, requests, precise })
}

/// The window that a text stands for.
pub(super) fn window_of(text: &str) -> Option<WindowPlan> {
    let stored: StoredWindow = serde_json::from_str(text).ok()?;
    let StoredWindow { least_ns, most_ns, turns, requests, precise } = stored;
    let (least, most) = (Duration::from_nanos(least_ns), Duration::from_nanos(most_ns));
    Some(WindowPlan { least, most, turns, requests, precise })
}

/// The text of a proof's pace.
pub(super) fn proof_text(Pace { ttft, itl }: Pace) -> String {
    text(&StoredPace { ttft_ns: duration_ns(ttft), itl_ns: duration_ns(itl) })
}

/// The pace that a text stands for.
pub(super) fn proof_of(text: &str) -> Option<Pace> {
    let StoredPace { ttft_ns, itl_ns } = serde_json::from_str(text).ok()?;
    Some(Pace { ttft: Duration::from_nanos(ttft_ns), itl: Duration::from_nanos(itl_ns) })
}

/// The text of what is done before a level: words, none for nothing.
pub(super) fn before_text(before: Preparation) -> Option<String> {
    let Preparation { restart_server, reset_cache } = before;
    let words = [(restart_server, RESTART), (reset_cache, RESET)];
    let words: Vec<&str> = words.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// What is done before a level, as a text says.
pub(super) fn before_of(text: &str) -> Option<Preparation> {
    let all = [(true, false), (false, true), (true, true)];
    let all = all.map(|(restart_server, reset_cache)| Preparation { restart_server, reset_cache });
    all.into_iter().find(|before| before_text(*before).as_deref() == Some(text))
}

const RESTART: &str = "restart_server";
const RESET: &str = "reset_cache";

/// The text of what levels are judged by.
pub(super) fn judging_text(judging: &Judging) -> String {
    let Judging { slo, quantile, hardware } = *judging;
    text(&StoredJudging {
        ttft_ns: slo.ttft.map(duration_ns),
        tpot_ns: slo.tpot.map(duration_ns),
        e2e_ns: slo.e2e.map(duration_ns),
        quantile,
        gpus: hardware.gpus,
        active_params_b: hardware.active_params_b,
        watts: hardware.watts,
    })
}

/// What levels are judged by, as a text says.
pub(super) fn judging_of(text: &str) -> Option<Judging> {
    let stored: StoredJudging = serde_json::from_str(text).ok()?;
    let StoredJudging { ttft_ns, tpot_ns, e2e_ns, quantile, gpus, active_params_b, watts } = stored;
    let [ttft, tpot, e2e] = [ttft_ns, tpot_ns, e2e_ns].map(|ns| ns.map(Duration::from_nanos));
    let hardware = Hardware { gpus, active_params_b, watts };
    let shares = [gpus, active_params_b, watts];
    let above_zero = shares.into_iter().flatten().all(|number| number > 0.0);
    let valid = above_zero && quantile > 0.0 && quantile < 1.0;
    valid.then_some(Judging { slo: Slo { ttft, tpot, e2e }, quantile, hardware })
}

/// A planned level whole, by the names of the columns of `levels`.
pub(crate) fn planned_json(planned: &PlannedLevel) -> Value {
    let value = |text: String| serde_json::from_str::<Value>(&text).unwrap_or_default();
    let PlannedLevel { phase, place, repeat, arm, label, load, window, .. } = planned;
    let workload = &planned.workload;
    json!({
        "phase": phase.name(),
        "place": place,
        "repeat": repeat,
        "arm": arm.map(Arm::name),
        "label": label,
        "users": load.users,
        "arrivals": value(arrivals_text(load.arrivals)),
        "requests": load.requests(),
        "window": window.map(|window| value(window_text(window))),
        "allow_capped": planned.allow_capped,
        "workload": workload.name.as_str(),
        "input_tokens": workload.input_tokens.mean().round() as u32,
        "output_tokens": workload.output_tokens.mean().round() as u32,
        "lengths": lengths::text(workload).map(value),
        "forced_length": workload.forced_length,
        "cache": workload.cache.name(),
        "shared_prefix": lengths::prefix_text(workload.cache).map(value),
        "more": more::text(workload).map(value),
        "before": before_text(planned.before),
        "cooldown_ns": duration_ns(planned.cooldown),
        "proof": planned.proof.map(|pace| value(proof_text(pace))),
    })
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "loop", rename_all = "lowercase", deny_unknown_fields)]
enum StoredArrivals {
    Closed {
        ramp_ns: u64,
    },
    Open {
        law: StoredLaw,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shape_milli: Option<u32>,
        rate_micro: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ramp: Option<StoredRamp>,
    },
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StoredLaw {
    Constant,
    Poisson,
    Gamma,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredRamp {
    from_micro: u64,
    over_ns: u64,
    curve: StoredCurve,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    steps: Option<u32>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StoredCurve {
    Linear,
    Exponential,
    Step,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredWindow {
    least_ns: u64,
    most_ns: u64,
    turns: u32,
    requests: u64,
    precise: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPace {
    ttft_ns: u64,
    itl_ns: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredJudging {
    ttft_ns: Option<u64>,
    tpot_ns: Option<u64>,
    e2e_ns: Option<u64>,
    quantile: f64,
    gpus: Option<f64>,
    active_params_b: Option<f64>,
    watts: Option<f64>,
}

impl StoredRamp {
    fn rate(&self, to: PerSecond) -> Option<Rate> {
        let curve = match (self.curve, self.steps) {
            (StoredCurve::Linear, None) => Curve::Linear,
            (StoredCurve::Exponential, None) => Curve::Exponential,
            (StoredCurve::Step, Some(steps @ 2..)) => Curve::Steps(steps),
            (StoredCurve::Linear | StoredCurve::Exponential | StoredCurve::Step, _) => {
                return None;
            }
        };
        let over = (self.over_ns > 0).then(|| Duration::from_nanos(self.over_ns))?;
        Some(Rate::Ramp { from: rate(self.from_micro)?, to, over, curve })
    }
}

fn rate(micro: u64) -> Option<PerSecond> {
    (micro > 0).then_some(PerSecond(micro))
}

pub(super) fn text(value: &impl Serialize) -> String {
    // Numbers and words only: writing cannot fail.
    serde_json::to_string(value).unwrap_or_default()
}
