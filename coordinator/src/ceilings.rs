//! Whether a plan asks more of an agent than its host was found to carry. Pure: what agents said of
//! themselves comes in.

use common::arrivals::{Arrivals, Rate};
use common::assignment::Load;
use common::ceiling::HostCeiling;

use crate::plan::Plan;

/// The share of a ceiling that a plan may ask for: a ceiling was found at the edge of being late,
/// with shorter prompts than most campaigns have.
const SHARE_MAX: f64 = 0.5;
/// Names in a sentence; the rest are counted.
const NAMES_SHOWN: usize = 4;

/// An agent, and the newest ceiling of its host.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// If one was found.
    pub ceiling: Option<HostCeiling>,
}

/// The most that a plan asks of one agent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Asked {
    users: f64,
    requests_per_s: f64,
}

/// What a person should know before a plan is run on these agents.
pub fn warnings(plan: &Plan, agents: &[Known]) -> Vec<String> {
    let asked = Asked::of(plan, agents.len());
    let mut said = Vec::new();
    for Known { name, ceiling } in agents {
        let Some(ceiling) = ceiling else { continue };
        for (what, asked, most) in [
            ("users", asked.users, ceiling.streams.most),
            ("requests/s", asked.requests_per_s, ceiling.requests_per_s.most),
        ] {
            if asked > most as f64 * SHARE_MAX {
                said.push(format!(
                    "agent {name} is asked for {asked:.0} {what}, more than half of what its host \
                     was found to carry, {most} with {} worker(s); use more agents, or calibrate it \
                     again if its host has changed",
                    ceiling.workers
                ));
            }
        }
    }
    let unknown: Vec<&str> = agents
        .iter()
        .filter(|agent| agent.ceiling.is_none())
        .map(|agent| agent.name.as_str())
        .collect();
    if !unknown.is_empty() {
        said.push(format!(
            "not calibrated: {}; `floodmark agents calibrate` finds what their hosts can carry",
            listed(&unknown)
        ));
    }
    said
}

impl Asked {
    fn of(plan: &Plan, agents: usize) -> Self {
        let agents = (agents as f64).max(1.0);
        let searched = plan.search.as_ref().map(|search| {
            let most = search.value(search.spec().max_load).ceil();
            if search.is_open() {
                Self { users: 0.0, requests_per_s: most }
            } else {
                Self { users: most, requests_per_s: 0.0 }
            }
        });
        let levels = plan.measured().map(|level| Self::of_load(level.load));
        let most = levels.chain(searched).fold(Self::default(), |most, one| Self {
            users: most.users.max(one.users),
            requests_per_s: most.requests_per_s.max(one.requests_per_s),
        });
        Self {
            users: (most.users / agents).ceil(),
            requests_per_s: (most.requests_per_s / agents).ceil(),
        }
    }

    fn of_load(load: Load) -> Self {
        match load.arrivals {
            Arrivals::Closed { .. } => Self { users: load.users.into(), requests_per_s: 0.0 },
            // How many are in flight is the target's doing.
            Arrivals::Open(schedule) => {
                let rate = match schedule.rate {
                    Rate::Flat(rate) => rate,
                    Rate::Ramp { from, to, .. } => from.max(to),
                };
                Self { users: 0.0, requests_per_s: rate.value() }
            }
        }
    }
}

fn listed(names: &[&str]) -> String {
    let shown = names.iter().take(NAMES_SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use common::ceiling::Held;

    use super::*;
    use crate::campaign::{Overlay, Source, resolve};

    fn plan(load: &str) -> Plan {
        let text = format!(
            "name = \"c\"\n[target]\nbase_urls = [\"http://127.0.0.1:1\"]\nmodel = \"m\"\n\
             [workloads.w]\ninput_tokens = 9\noutput_tokens = 9\n\
             [phases.scaling]\nworkload = \"w\"\n{load}"
        );
        let source = Source { name: "c.toml", text: &text };
        Plan::of(&resolve(Some(source), &Overlay::default()).unwrap())
    }

    fn known(name: &str, streams: u64, requests_per_s: u64) -> Known {
        let held = |most| Held { most, ..Held::default() };
        let ceiling = HostCeiling {
            found_at_ms: 1,
            version: "1.0.0".to_owned(),
            workers: 2,
            shared: false,
            streams: held(streams),
            requests_per_s: held(requests_per_s),
            chunks_per_s: held(0),
        };
        Known { name: name.to_owned(), ceiling: Some(ceiling) }
    }

    #[test]
    fn more_than_half_of_a_ceiling_is_said() {
        let agents = [known("a", 1000, 5000), known("b", 998, 5000)];
        let closed = plan("users = [10, 1000]\nduration = \"10s\"\n");
        let said = warnings(&closed, &agents);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("agent b is asked for 500 users"), "{said:?}");
        assert!(said[0].contains("998 with 2 worker(s)"), "{said:?}");
        let open = plan("rate = [5000, 5100]\nduration = \"10s\"\n");
        let said = warnings(&open, &agents);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("agent a is asked for 2550 requests/s"), "{said:?}");
    }

    #[test]
    fn agents_that_are_not_calibrated_are_named_once() {
        let agents: Vec<Known> =
            (1..=6).map(|n| Known { name: format!("a{n}"), ceiling: None }).collect();
        let said = warnings(&plan("users = [10]\nduration = \"10s\"\n"), &agents);
        let [said] = &said[..] else { panic!("{said:?}") };
        assert!(said.starts_with("not calibrated: a1, a2, a3, a4 and 2 more;"), "{said}");
    }
}
