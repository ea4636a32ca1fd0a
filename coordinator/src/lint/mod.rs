//! Known constraints on how a model is served: facts in, findings out. A finding says what is
//! wrong, what to do, and where the constraint comes from. What is not stated breaks no rule.
//!
//! Nothing here asks the server, and no finding ends or changes a run: it does not own the server.

mod config;
mod memory;
mod rules;

#[cfg(test)]
mod tests;

use common::arrivals::Arrivals;
use common::workload::Workload;
use serde::Serialize;

use self::config::Config;
pub use self::memory::WeightMemory;
use self::rules::RULES;
use crate::campaign::Campaign;
use crate::serving::Serving;

/// A constraint that does not hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The rule's id.
    pub rule: &'static str,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub todo: String,
    /// Where the rule comes from.
    pub source: &'static str,
}

/// A rule: its id, its source, and what of a configuration breaks it.
struct Rule {
    id: &'static str,
    source: &'static str,
    check: fn(&Config<'_>) -> Option<Broken>,
}

/// What is wrong, and what to do.
struct Broken {
    what: String,
    todo: &'static str,
}

/// What rules are checked against.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What is stated of the server.
    pub serving: &'a Serving,
    /// GPUs that rates are divided by.
    pub gpus: Option<f64>,
    /// What the levels ask for.
    pub offered: Offered,
    /// Memory of the weights on one GPU in GiB, as the server told it.
    pub weight_memory_gib: Option<f64>,
}

/// What the levels of a campaign ask of the server at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// Users of a closed loop.
    pub users: Option<u32>,
    /// Tokens of a request, prompt and answer.
    pub tokens: Option<u64>,
}

/// Everything that does not hold, in the order of the rules.
pub fn lint(facts: &Facts<'_>) -> Vec<Finding> {
    let config = Config::of(facts);
    let finding = |rule: &Rule| {
        let Broken { what, todo } = (rule.check)(&config)?;
        Some(Finding { rule: rule.id, what, todo: todo.to_owned(), source: rule.source })
    };
    RULES.iter().filter_map(finding).collect()
}

/// What does not hold of a campaign, before anything is sent.
pub fn before(campaign: &Campaign) -> Vec<Finding> {
    lint(&Facts {
        serving: &campaign.serving,
        gpus: campaign.judging.hardware.gpus,
        offered: Offered::of(campaign),
        weight_memory_gib: None,
    })
}

impl Finding {
    /// The finding in one paragraph.
    pub fn text(&self) -> String {
        let Self { rule, what, todo, source } = self;
        format!("{rule}: {what}; {todo} ({source})")
    }
}

impl Offered {
    /// What a campaign asks for.
    pub fn of(campaign: &Campaign) -> Self {
        let searched = campaign.search.as_ref().map(|search| search.at(search.spec.max_load));
        let stated = campaign.phases.iter().flat_map(|phase| &phase.levels);
        let levels = stated.chain(&searched);
        let users = levels.clone().filter_map(|level| match level.load.arrivals {
            Arrivals::Closed { .. } => Some(level.load.users),
            Arrivals::Open(_) => None,
        });
        let tokens = |workload: &Workload| {
            u64::from(workload.input_tokens.most()) + u64::from(workload.output_tokens.most())
        };
        let longest = |workload: &Workload| {
            workload.components().into_iter().map(|(one, _)| tokens(one)).max()
        };
        Self { users: users.max(), tokens: levels.filter_map(|l| longest(&l.workload)).max() }
    }
}
