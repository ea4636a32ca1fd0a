//! The search of a campaign: what is looked for, within which bounds, and in which levels.

use std::time::Duration;

use common::arrivals::{Arrivals, PerSecond, Rate};
use common::assignment::End;
use common::phase::Phase;
use common::seed::Seed;
use common::target::Timeouts;

use super::judging::Floor;
use super::offered::{CLOSED_RAMP, Kind, Offered, Pattern, USERS_MAX, read_pattern};
use super::phases::{Given, read_cooldown, read_workload};
use super::raw::Collector;
use super::read::{Field, Section};
use super::think::refuse_thinking;
use super::window::read_length;
use super::{LevelPlan, WindowPlan};
use crate::search::{Goal, SearchSpec};

/// The keys of a search.
const KEYS: [&str; 6] = ["max_users", "max_rate", "budget", "goal", "start", "repeats"];
/// The words for goals.
const GOALS: [(&str, Goal); 2] = [("saturation", Goal::Saturation), ("slo", Goal::Objective)];
/// A searched rate is a whole number of these.
const RATE_PARTS: u32 = 1000;
/// Requests per second, at most.
const RATE_MAX: f64 = 1e6;
/// Runs that an answer rests on, at most.
const REPEATS_MAX: u64 = 100;

/// Levels of the SATURATION phase whose loads are found while they run.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchPlan {
    /// What is looked for, and within which bounds. A load is a number of users, or thousandths of
    /// a request per second if the level has a rate.
    pub spec: SearchSpec,
    /// The level with the first load; its window waits for the requests that every load needs.
    pub level: LevelPlan,
}

impl SearchPlan {
    /// The level with another load.
    pub(crate) fn at(&self, load: u32) -> LevelPlan {
        let mut level = self.level.clone();
        match &mut level.load.arrivals {
            Arrivals::Closed { .. } => {
                level.load.users = load;
                if let Some(window) = &mut level.window {
                    let per_user = u64::from(load) * u64::from(window.turns);
                    window.requests = window.requests.max(per_user);
                }
            }
            Arrivals::Open(schedule) => schedule.rate = Rate::Flat(per_second(load)),
        }
        level
    }

    /// Its table in a campaign file.
    pub(super) fn table(&self) -> String {
        let SearchSpec { goal, start, max_load, budget, repeats, seed: _ } = self.spec;
        let (most, start, max_load) = match self.level.load.arrivals {
            Arrivals::Closed { .. } => ("max_users", start.to_string(), max_load.to_string()),
            Arrivals::Open(_) => ("max_rate", rate_text(start), rate_text(max_load)),
        };
        let goal = goal_word(goal);
        let budget = common::duration::format_duration(budget);
        format!(
            "{{ {most} = {max_load}, budget = \"{budget}\", goal = \"{goal}\", start = {start}, \
             repeats = {repeats} }}"
        )
    }
}

/// The word for a goal in a campaign and in reports.
pub(crate) fn goal_word(goal: Goal) -> &'static str {
    match goal {
        Goal::Saturation => "saturation",
        Goal::Objective => "slo",
    }
}

/// The rate of a searched load, as it is written in a campaign.
pub(crate) fn rate_text(load: u32) -> String {
    super::rate_text(per_second(load))
}

fn per_second(load: u32) -> PerSecond {
    PerSecond(u64::from(load) * 1000)
}

/// A search belongs at the very end: it overloads the server, and finds its levels one after the
/// other.
pub(super) fn stands_last(
    phase: Phase,
    is_last: bool,
    field: &Field<'_>,
    c: &mut Collector<'_>,
) -> bool {
    let refused = match phase {
        Phase::Saturation if is_last => return true,
        Phase::Saturation => {
            "must be the last entry of the phase, and the only search: it ends with the server \
             overloaded, which would spoil what comes after it"
        }
        Phase::Warmup | Phase::Baseline | Phase::Scaling | Phase::Stress => {
            "belongs to phases.saturation: a search ends with the server overloaded, which would \
             spoil the phases after it; move it there"
        }
    };
    field.refuse::<()>(c, refused);
    false
}

/// The search of an entry; `None` if there was any problem with it.
pub(super) fn read_search(
    field: &Field<'_>,
    section: &Section<'_>,
    given: &Given<'_>,
    c: &mut Collector<'_>,
) -> Option<SearchPlan> {
    let stray = refuse_stray(section, c);
    let workload = read_workload(section, given.workloads, c);
    let cooldown = read_cooldown(Phase::Saturation, section, c);
    let length = match section.get("duration") {
        Some(field) => read_length(&field, c).map(Some),
        None => Some(None),
    };
    let longest = length.and_then(|length| length.or(given.bounds.map(|bounds| bounds.most)));
    let (kind, spec) = read_spec(field, given, longest, c).filter(|_| !stray)?;
    let pattern = match read_pattern(section, kind, c)? {
        // The first load has one user, the next one more: they all begin alike.
        Pattern::Closed(ramp) => Pattern::Closed(Some(ramp.unwrap_or(CLOSED_RAMP))),
        open @ Pattern::Open { .. } => open,
    };
    let timeouts = given.timeouts.unwrap_or(Timeouts::DEFAULT);
    // Room in flight is for the highest rate.
    let most = match kind {
        Kind::Closed => Offered::Users(spec.start),
        Kind::Open => Offered::Rate(per_second(spec.max_load)),
    };
    let load = pattern.load(most, End::Window, timeouts)?;
    let window = match length? {
        Some(length) => WindowPlan::fixed(length),
        None => {
            // Saturation is a matter of throughput, and no quantile has to be certified.
            let certified = match spec.goal {
                Goal::Saturation => 0,
                Goal::Objective => given.floor.map_or(0, |floor| floor.requests),
            };
            WindowPlan::searched(given.bounds?, certified)
        }
    };
    let workload = workload?.1?;
    if kind == Kind::Open {
        refuse_thinking(field, Some(workload), c)?;
    }
    let level = LevelPlan {
        load,
        window: Some(window),
        allow_capped: false,
        workload: workload.clone(),
        cooldown: cooldown?,
    };
    let mut search = SearchPlan { spec, level };
    if kind == Kind::Open {
        search.level = search.at(spec.start);
    }
    Some(search)
}

/// Refuses what a search finds for itself.
fn refuse_stray(section: &Section<'_>, c: &mut Collector<'_>) -> bool {
    let mut stray = false;
    for (key, what) in [
        (
            "users",
            "cannot be combined with search, which finds the number itself; leave it out, or put \
             it into an entry before that of the search",
        ),
        (
            "rate",
            "cannot be combined with search, which finds the rate itself; leave it out, or put it \
             into an entry before that of the search",
        ),
        (
            "requests",
            "cannot be combined with search: a level that looks for a rate is measured in a \
             window; leave it out, or say its length: duration = \"60s\"",
        ),
        ("allow_capped", "belongs to users who make a number of requests; leave it out"),
        ("rate_ramp", "cannot be combined with search, which raises the rate itself; leave it out"),
    ] {
        if let Some(field) = section.get(key) {
            stray = true;
            field.refuse::<()>(c, what);
        }
    }
    stray
}

/// What is looked for; `longest` is how long a level may be measured.
fn read_spec(
    field: &Field<'_>,
    given: &Given<'_>,
    longest: Option<Duration>,
    c: &mut Collector<'_>,
) -> Option<(Kind, SearchSpec)> {
    let section = Section::open(field, &KEYS, c)?;
    let hint = "say how long all its levels together may take: budget = \"2h\"";
    let budget = section.need("budget", hint, c).and_then(|field| field.wait(c));
    let most = read_most(&section, c);
    let kind = most.as_ref().map(|(kind, _, _)| *kind);
    let goal = read_goal(&section, kind, given, c);
    let repeats = read_repeats(&section, goal, c);
    let start = match section.get("start") {
        Some(field) => kind.and_then(|kind| read_load(&field, kind, c)).map(Some),
        None => Some(None),
    };
    let (kind, max_load, most) = most?;
    let (goal, start) = (goal?, start?);
    let least = match kind {
        Kind::Closed => 1,
        Kind::Open => given.floor.zip(longest).map_or(1, |(floor, longest)| least(floor, longest)),
    };
    // Without a first rate, the highest must do.
    if start.unwrap_or(max_load) < least {
        let blamed = section.get("start").unwrap_or(most);
        return refuse_low(&blamed, given.floor?, c);
    }
    let start = start.unwrap_or(least);
    if start > max_load {
        let bound = match kind {
            Kind::Closed => "max_users",
            Kind::Open => "max_rate",
        };
        return section.get("start")?.refuse(c, format!("must not be above {bound}"));
    }
    let (budget, repeats, seed) = (budget?, repeats?, given.seed.unwrap_or(Seed(0)));
    Some((kind, SearchSpec { goal, start, max_load, budget, repeats, seed }))
}

/// The highest load, and its field.
fn read_most<'t>(section: &Section<'t>, c: &mut Collector<'_>) -> Option<(Kind, u32, Field<'t>)> {
    let (kind, field) = match (section.get("max_users"), section.get("max_rate")) {
        (Some(_), Some(rate)) => {
            let what = "cannot be combined with max_users: a search is for a number of users or \
                        for a rate; leave one of the two out";
            return rate.refuse(c, what);
        }
        (Some(field), None) => (Kind::Closed, field),
        (None, Some(field)) => (Kind::Open, field),
        (None, None) => {
            let hint = "say how far the search may go: max_users = 1000, or max_rate = 50.0";
            return section.need("max_users", hint, c).and(None);
        }
    };
    read_load(&field, kind, c).map(|load| (kind, load, field))
}

/// Users, or thousandths of a request per second.
fn read_load(field: &Field<'_>, kind: Kind, c: &mut Collector<'_>) -> Option<u32> {
    match kind {
        Kind::Closed => field.count(USERS_MAX, c),
        Kind::Open => {
            let least = 1.0 / f64::from(RATE_PARTS);
            let rate = field.fixed_point(least..=RATE_MAX, RATE_PARTS, c)?;
            u32::try_from(rate).ok()
        }
    }
}

/// The method, section 3.13, wants 3 at least, and 5 for objectives.
fn read_repeats(section: &Section<'_>, goal: Option<Goal>, c: &mut Collector<'_>) -> Option<u32> {
    let least = match goal {
        Some(Goal::Saturation) | None => 3,
        Some(Goal::Objective) => 5,
    };
    let repeats = match section.get("repeats") {
        Some(field) => field.integer(least..=REPEATS_MAX, c)?,
        None => least,
    };
    u32::try_from(repeats).ok()
}

fn read_goal(
    section: &Section<'_>,
    kind: Option<Kind>,
    given: &Given<'_>,
    c: &mut Collector<'_>,
) -> Option<Goal> {
    let stated = match section.get("goal") {
        Some(field) => field.word(&GOALS, c).map(Some),
        None => Some(None),
    };
    let goal = match (stated?, kind?) {
        (Some(Goal::Saturation), Kind::Open) => {
            let what = "needs users: what a rate asks for beyond the server's best piles up and \
                        is not answered faster; say max_users instead of max_rate, or goal = \
                        \"slo\"";
            return section.get("goal")?.refuse(c, what);
        }
        (Some(goal), Kind::Closed | Kind::Open) => goal,
        (None, Kind::Closed) => Goal::Saturation,
        (None, Kind::Open) => Goal::Objective,
    };
    match (goal, given.objectives) {
        (Goal::Objective, Some(false)) => {
            let what = "looks for the largest load that meets the objectives, and there are none; \
                        add [slo] with ttft, tpot or e2e";
            section.get("goal").or_else(|| section.get("max_rate"))?.refuse(c, what)
        }
        (Goal::Objective, Some(true) | None) | (Goal::Saturation, _) => Some(goal),
    }
}

/// The lowest rate at which enough requests arrive in a window of at most `longest`. Arrivals are
/// random: four deviations of a Poisson count are enough for nearly every window.
fn least(floor: Floor, longest: Duration) -> u32 {
    let wanted = floor.requests as f64;
    let per_second = (wanted + 4.0 * wanted.sqrt()) / longest.as_secs_f64();
    (per_second * f64::from(RATE_PARTS)).ceil() as u32
}

fn refuse_low<T>(blamed: &Field<'_>, floor: Floor, c: &mut Collector<'_>) -> Option<T> {
    let what = format!(
        "too few requests arrive at this rate, in the longest window that there may be, to tell \
         whether the objectives are met at slo.quantile = {}: that takes {}; state a longer \
         duration (beside search) or a lower slo.quantile",
        floor.quantile, floor.requests
    );
    blamed.refuse(c, what)
}

#[cfg(test)]
mod tests;
