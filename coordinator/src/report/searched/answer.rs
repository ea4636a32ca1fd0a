//! The answer of a search, in words and in numbers.

use super::Searched;
use crate::campaign::goal_word;
use crate::classify::number::number;
use crate::plan::PlannedSearch;
use crate::report::model::Real;
use crate::report::saturation::{Capacity, RateMax, Saturation, Usl};
use crate::search::{self, Answer, Goal, Step};

/// What the report says of saturation after a search.
pub(in crate::report) fn saturation(searched: &Searched<'_>) -> Saturation {
    let Searched { search, step, findings, .. } = searched;
    let (name, because, answer) = match step {
        Step::Done(answer) => (answer.name(), words(search, answer), Some(answer)),
        Step::Run { .. } => {
            let because = match findings.capacity {
                Some(capacity) => {
                    format!("the run ended before its search did; {}", known(search, capacity))
                }
                None => "the run ended before its search did".to_owned(),
            };
            ("unfinished", because, None)
        }
    };
    let found = match answer {
        Some(Answer::Saturated(found)) => Some(*found),
        // What was known when the budget was spent is no less true.
        Some(Answer::BudgetSpent { saturation, .. }) => *saturation,
        Some(
            Answer::Capacity(_)
            | Answer::NotReached { .. }
            | Answer::ClientLimited { .. }
            | Answer::Failing { .. }
            | Answer::ObjectiveMissed { .. }
            | Answer::Struck { .. },
        )
        | None => None,
    };
    let real = |value: f64| Real::new(value);
    let closed = !search.is_open();
    Saturation {
        users: found.map(|found| found.load),
        method: "search",
        ci: found.and_then(|found| {
            Some([real(search.value(found.lower))?, real(search.value(found.upper))?])
        }),
        because,
        goal: Some(goal_word(search.spec().goal)),
        answer: Some(name),
        rate_max: found.map(|found| RateMax {
            per_s: real(found.rate_max.mean),
            low: real(found.rate_max.lower),
            high: real(found.rate_max.upper),
        }),
        measured_up_to: found.map(|found| found.measured_up_to),
        capacity: findings.capacity.map(|capacity| Capacity {
            users: closed.then_some(capacity.load),
            rate_per_s: real(search.value(capacity.load)).filter(|_| !closed),
            missed: capacity.missed.and_then(|missed| real(search.value(missed))),
        }),
        usl: findings.usl.filter(|_| closed).map(|law| Usl {
            lambda: real(law.lambda),
            sigma: real(law.sigma),
            kappa: real(law.kappa),
            peak_users: law.peak().and_then(|peak| real(peak.in_flight)),
        }),
        n_power: findings.power.filter(|_| closed),
    }
}

/// An answer in a sentence.
pub(super) fn words(search: &PlannedSearch, answer: &Answer) -> String {
    let load = |load: u32| search.words(load);
    let goal = search.spec().goal;
    match *answer {
        Answer::Saturated(found) => {
            let (lower, upper) = (search.value(found.lower), search.value(found.upper));
            let rate = found.rate_max;
            format!(
                "saturates at {} ({lower} to {upper}): fewer bring less than 95 % of the highest \
                 rate, {}/s ({} to {}); measured up to {}",
                load(found.load),
                number(rate.mean),
                number(rate.lower),
                number(rate.upper),
                load(found.measured_up_to)
            )
        }
        Answer::Capacity(capacity) => known(search, capacity),
        Answer::NotReached { up_to } => match goal {
            Goal::Saturation => {
                format!("not reached up to {}: the rate still rises there", load(up_to))
            }
            Goal::Objective => {
                format!(
                    "not reached: the objectives are still met at {}, the most allowed",
                    load(up_to)
                )
            }
        },
        Answer::ClientLimited { above: Some(above) } => {
            format!("not found: the client was the limit above {}", load(above))
        }
        Answer::ClientLimited { above: None } => {
            "not found: the client was the limit at the first load already".to_owned()
        }
        Answer::Failing { holds: Some(holds), fails } => format!(
            "not found: the server fails at {} while its rate still rises; it holds {}",
            load(fails),
            load(holds)
        ),
        Answer::Failing { holds: None, fails } => {
            format!("not found: the server fails at {} already", load(fails))
        }
        Answer::ObjectiveMissed { holds: Some(holds), missed } => format!(
            "not found: the objectives are missed at {} while the rate still rises; they are met \
             up to {}",
            load(missed),
            load(holds)
        ),
        Answer::ObjectiveMissed { holds: None, missed } => format!(
            "not found: the objectives are not met for certain at {}, the lowest load that could \
             tell",
            load(missed)
        ),
        Answer::Struck { load: struck } => format!(
            "not found: no level of {}, nor of the load before it, is a result; their verdicts say \
             why",
            load(struck)
        ),
        Answer::BudgetSpent { saturation, capacity } => spent(search, saturation, capacity),
    }
}

fn known(search: &PlannedSearch, capacity: search::Capacity) -> String {
    let met = format!("the objectives are met up to {}", search.words(capacity.load));
    match capacity.missed {
        Some(missed) => format!("{met}, and no longer for certain at {}", search.words(missed)),
        None => met,
    }
}

/// What is known when the budget is spent.
fn spent(
    search: &PlannedSearch,
    saturation: Option<search::Saturation>,
    capacity: Option<search::Capacity>,
) -> String {
    let budget = common::duration::format_duration(search.spec().budget);
    let known = match (saturation, capacity) {
        (Some(found), _) => format!(
            "between {} and {} so far",
            search.value(found.lower),
            search.words(found.upper)
        ),
        (None, Some(capacity)) => format!("{} so far", known(search, capacity)),
        (None, None) => match search.spec().goal {
            Goal::Saturation => "the rate still rises at every load that was run".to_owned(),
            Goal::Objective => "the objectives are not met for certain at any load yet".to_owned(),
        },
    };
    format!("not found: the budget of {budget} is spent: {known}")
}
