//! The phases of a campaign file: tables of users and requests, unrolled into levels.

use std::collections::BTreeSet;
use std::time::Duration;

use common::assignment::Load;
use common::phase::Phase;
use common::workload::Workload;

use super::parse::Workloads;
use super::raw::{Collector, Origin, Value};
use super::read::{Field, Section, suggestion};
use super::{LevelPlan, PhasePlan, Tier};

/// Users of one level, at most.
const USERS_MAX: u32 = 1_000_000;
/// Requests of one level before the tier's factor, at most.
const REQUESTS_MAX: u64 = 1_000_000_000;
/// Levels of one campaign, at most.
const LEVELS_MAX: usize = 1000;
/// Requests per user where a file states none, as on the command line: a level whose numbers are
/// to be published needs ten per user (`n >= 10 N`), or ramp and drain weigh in.
const REQUESTS_PER_USER: u64 = 10;
/// The paper pauses 3 to 5 s between phases, and not after the warm-up (section 5.1).
const COOLDOWN: Duration = Duration::from_secs(5);

/// The phases in the order in which they run; `None` if there was any problem with them.
pub(super) fn read_phases(
    field: Option<Field<'_>>,
    workloads: &Workloads,
    tier: Option<Tier>,
    c: &mut Collector<'_>,
) -> Option<Vec<PhasePlan>> {
    let Some(field) = field else {
        let what = if c.source.is_some() {
            "missing; add [phases] with at least one of warmup, baseline, scaling, stress, \
             saturation"
        } else {
            "missing; say how many users: --users 1,10,100, or name a campaign file"
        };
        return c.add(&Origin::Implied, "phases", None, what);
    };
    let keys = Phase::ALL.map(key);
    let section = Section::open(&field, &keys, c)?;
    let mut phases = Some(Vec::new());
    let mut scope = Scope { workloads, tier, levels_left: LEVELS_MAX };
    for phase in Phase::ALL {
        let Some(field) = section.get(key(phase)) else {
            continue;
        };
        let levels = read_phase(phase, &field, &mut scope, c);
        match (&mut phases, levels) {
            (Some(phases), Some(levels)) => phases.push(PhasePlan { phase, levels }),
            (_, None) => phases = None,
            (None, Some(_)) => {}
        }
    }
    if phases.as_ref().is_some_and(Vec::is_empty) {
        let what = format!("has no phase; add at least one of {}", keys.join(", "));
        return field.refuse(c, what);
    }
    phases
}

/// A phase's key in a campaign file.
pub(super) fn key(phase: Phase) -> &'static str {
    match phase {
        Phase::Warmup => "warmup",
        Phase::Baseline => "baseline",
        Phase::Scaling => "scaling",
        Phase::Stress => "stress",
        Phase::Saturation => "saturation",
    }
}

/// What the entries of all phases share.
struct Scope<'w> {
    workloads: &'w Workloads,
    tier: Option<Tier>,
    levels_left: usize,
}

/// Users and workload of the levels of a phase so far.
type Seen = BTreeSet<(u32, String)>;

/// A phase is a table, or a list of tables that follow each other.
fn read_phase(
    phase: Phase,
    field: &Field<'_>,
    scope: &mut Scope<'_>,
    c: &mut Collector<'_>,
) -> Option<Vec<LevelPlan>> {
    let entries = field.items();
    if entries.is_empty() {
        return field.refuse(c, "a phase without levels; add one or leave the phase out");
    }
    let mut seen = Seen::new();
    let mut levels = Some(Vec::new());
    for entry in entries {
        let read = read_entry(phase, &entry, scope, &mut seen, c);
        match (&mut levels, read) {
            (Some(levels), Some(more)) => levels.extend(more),
            (_, None) => levels = None,
            (None, Some(_)) => {}
        }
    }
    levels
}

fn read_entry(
    phase: Phase,
    field: &Field<'_>,
    scope: &mut Scope<'_>,
    seen: &mut Seen,
    c: &mut Collector<'_>,
) -> Option<Vec<LevelPlan>> {
    let valid = ["users", "workload", "requests", "cooldown", "allow_capped"];
    let section = Section::open(field, &valid, c)?;
    let workload = read_workload(&section, scope.workloads, c);
    let cooldown = match section.get("cooldown") {
        Some(field) => field.duration(c),
        None => Some(match phase {
            Phase::Warmup => Duration::ZERO,
            Phase::Baseline | Phase::Scaling | Phase::Stress | Phase::Saturation => COOLDOWN,
        }),
    };
    let allow_capped = match section.get("allow_capped") {
        Some(field) => field.boolean(c),
        None => Some(false),
    };
    let users = read_users(phase, &section, &mut scope.levels_left, c)?;
    let requests = read_requests(phase, &section, &users, c);
    let name = workload.as_ref().map(|(name, _)| name.as_str());
    refuse_twins(&users, name, seen, c);
    // The one request that wakes the server up is never multiplied.
    let tier = match phase {
        Phase::Warmup => Tier::Default,
        Phase::Baseline | Phase::Scaling | Phase::Stress | Phase::Saturation => scope.tier?,
    };
    let (requests, allow_capped) = (requests?, allow_capped?);
    let level = |(level, stated): (&Users<'_>, &Requests<'_>)| {
        let load = Load::counted(level.users?, tier.scale(stated.requests?));
        if !allow_capped && load.in_flight_max() < load.users.into() {
            let blamed = stated.field.as_ref().or(level.field.as_ref());
            refuse_capped(blamed, &section, load, stated.requests?, tier, c);
        }
        Some(load)
    };
    // Every level is looked at before the first bad one ends the reading.
    let loads: Vec<Option<Load>> = users.iter().zip(&requests).map(level).collect();
    let (workload, cooldown) = (workload?.1?, cooldown?);
    let plan = |load: Load| LevelPlan {
        load,
        window: None,
        allow_capped,
        workload: workload.clone(),
        cooldown,
    };
    loads.into_iter().map(|load| load.map(plan)).collect()
}

/// Two levels of a phase with the same users and workload could not be told apart.
fn refuse_twins(users: &[Users<'_>], name: Option<&str>, seen: &mut Seen, c: &mut Collector<'_>) {
    for level in users {
        if let (Some(count), Some(name)) = (level.users, name)
            && !seen.insert((count, name.to_owned()))
        {
            let what =
                format!("the phase has a level of {count} users with workload {name} already");
            level.refuse(c, what);
        }
    }
}

/// The name and, where it is valid, the workload.
fn read_workload<'w>(
    section: &Section<'_>,
    workloads: &'w Workloads,
    c: &mut Collector<'_>,
) -> Option<(String, Option<&'w Workload>)> {
    let names: Vec<&str> = workloads.keys().map(String::as_str).collect();
    let known = if names.is_empty() {
        "the campaign has none; add [workloads.NAME]".to_owned()
    } else {
        format!("workloads: {}", names.join(", "))
    };
    let hint = format!("name a workload; {known}");
    let field = section.need("workload", &hint, c)?;
    let name = field.text(c)?;
    match workloads.get(name) {
        Some(workload) => Some((name.to_owned(), workload.as_ref())),
        None => {
            let near = suggestion(name, &names);
            field.refuse(c, format!("no such workload;{near} {known}"))
        }
    }
}

/// The users of a level; `None` where they are not valid.
struct Users<'t> {
    field: Option<Field<'t>>,
    users: Option<u32>,
}

impl Users<'_> {
    fn refuse(&self, c: &mut Collector<'_>, what: String) {
        if let Some(field) = &self.field {
            field.refuse::<()>(c, what);
        }
    }
}

fn read_users<'t>(
    phase: Phase,
    section: &Section<'t>,
    levels_left: &mut usize,
    c: &mut Collector<'_>,
) -> Option<Vec<Users<'t>>> {
    let field = match (phase, section.get("users")) {
        (_, Some(field)) => field,
        (Phase::Warmup | Phase::Baseline, None) => {
            return Some(vec![Users { field: None, users: Some(1) }]);
        }
        (Phase::Scaling | Phase::Stress | Phase::Saturation, None) => {
            let hint = "say how many users each level has: users = [1, 10, 100]";
            return section.need("users", hint, c).and(None);
        }
    };
    let items = field.items();
    if items.is_empty() {
        return field.refuse(c, "a phase without levels; name a number of users");
    }
    let Some(left) = levels_left.checked_sub(items.len()) else {
        let what = format!("more than {LEVELS_MAX} levels in the campaign");
        return field.refuse(c, what);
    };
    *levels_left = left;
    let read =
        items.into_iter().map(|item| Users { users: item.count(USERS_MAX, c), field: Some(item) });
    Some(read.collect())
}

/// The requests of a level before the tier's factor; `None` where they are not valid.
struct Requests<'t> {
    field: Option<Field<'t>>,
    requests: Option<u64>,
}

fn read_requests<'t>(
    phase: Phase,
    section: &Section<'t>,
    users: &[Users<'_>],
    c: &mut Collector<'_>,
) -> Option<Vec<Requests<'t>>> {
    let per_user = match phase {
        Phase::Warmup => 1,
        Phase::Baseline | Phase::Scaling | Phase::Stress | Phase::Saturation => REQUESTS_PER_USER,
    };
    let Some(field) = section.get("requests") else {
        let default = |level: &Users<'_>| Requests {
            field: None,
            requests: level.users.map(|users| u64::from(users) * per_user),
        };
        return Some(users.iter().map(default).collect());
    };
    if !matches!(field.node.value, Value::List(_)) {
        let requests = field.integer(1..=REQUESTS_MAX, c)?;
        let same =
            |_: &Users<'_>| Requests { field: section.get("requests"), requests: Some(requests) };
        return Some(users.iter().map(same).collect());
    }
    let items = field.items();
    if items.len() != users.len() {
        let what = format!(
            "has {} numbers for {} levels; give one for each level, or a single number for all",
            items.len(),
            users.len()
        );
        return field.refuse(c, what);
    }
    let read = items
        .into_iter()
        .map(|item| Requests { requests: item.integer(1..=REQUESTS_MAX, c), field: Some(item) });
    Some(read.collect())
}

/// A level that can never hold its users: allowed only where the campaign says so.
fn refuse_capped(
    blamed: Option<&Field<'_>>,
    section: &Section<'_>,
    load: Load,
    stated: u64,
    tier: Tier,
    c: &mut Collector<'_>,
) {
    let (users, requests) = (load.users, load.in_flight_max());
    let made = match tier {
        Tier::Default => String::new(),
        Tier::Quick | Tier::Thorough => {
            format!("tier {} makes {requests} of {stated} requests; ", tier.name())
        }
    };
    let flags = c.source.is_none();
    let allow = if flags {
        format!("add --set {}=true", section.key_of("allow_capped"))
    } else {
        "set allow_capped = true".to_owned()
    };
    let what = format!(
        "{made}{requests} requests cannot hold {users} users in flight: at most {requests} can \
         ever be; ask for at least {} requests or {allow}",
        tier.least_stated(users.into()),
    );
    match blamed {
        Some(field) => field.refuse::<()>(c, what),
        None => c.add(section.origin, &section.key, None, what),
    };
}
