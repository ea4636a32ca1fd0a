//! The phases of a campaign file: tables of loads and their ends, unrolled into levels.

use std::collections::BTreeSet;
use std::time::Duration;

use common::assignment::{End, Load};
use common::phase::Phase;
use common::seed::Seed;
use common::target::Timeouts;
use common::workload::Workload;

use super::data::Plans;
use super::ends::{
    Ends, Stated, is_capped, read_ends, refuse_capped, refuse_short, refuse_uncertified,
};
use super::judging::Floor;
use super::offered::{Kind, LEVELS_MAX, Offered, Step, read_pattern, read_steps};
use super::parse::Workloads;
use super::raw::{Collector, Origin};
use super::read::{Field, Section, suggestion};
use super::replay::{WHOLE, refuse_stray, refuse_traceless};
use super::search::{read_search, stands_last};
use super::think::refuse_thinking;
use super::window::Bounds;
use super::{LevelPlan, Mode, PhasePlan, SearchPlan, Tier, WindowPlan};

/// The paper pauses 3 to 5 s between phases, and not after the warm-up (section 5.1).
const COOLDOWN: Duration = Duration::from_secs(5);

/// The keys that belong to mode floodmark.
const BEYOND_PAPER: [&str; 9] = [
    "search",
    "rate",
    "replay",
    "arrivals",
    "burstiness",
    "rate_ramp",
    "max_in_flight",
    "duration",
    "ramp",
];

/// What the rest of the campaign says about its levels; `None` where that is not valid.
pub(super) struct Given<'w> {
    pub(super) workloads: &'w Workloads,
    /// The data sets of those that have one.
    pub(super) data: &'w Plans,
    pub(super) mode: Option<Mode>,
    pub(super) tier: Option<Tier>,
    pub(super) seed: Option<Seed>,
    pub(super) timeouts: Option<Timeouts>,
    pub(super) bounds: Option<Bounds>,
    /// The floor of the objectives; `None` also if there are none.
    pub(super) floor: Option<Floor>,
    /// Whether there are objectives.
    pub(super) objectives: Option<bool>,
}

/// The phases in the order in which they run, and the search after them; never both empty.
pub(super) struct Phases {
    pub(super) phases: Vec<PhasePlan>,
    pub(super) search: Option<SearchPlan>,
}

/// The phases; `None` if there was any problem with them.
pub(super) fn read_phases(
    field: Option<Field<'_>>,
    given: &Given<'_>,
    c: &mut Collector<'_>,
) -> Option<Phases> {
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
    let mut phases = Some(Phases { phases: Vec::new(), search: None });
    let mut levels_left = LEVELS_MAX;
    for phase in Phase::ALL {
        let Some(field) = section.get(key(phase)) else {
            continue;
        };
        let read = read_phase(phase, &field, given, &mut levels_left, c);
        match (&mut phases, read) {
            (Some(phases), Some((levels, search))) => {
                if !levels.is_empty() {
                    phases.phases.push(PhasePlan { phase, levels });
                }
                phases.search = phases.search.take().or(search);
            }
            (_, None) => phases = None,
            (None, Some(_)) => {}
        }
    }
    if phases.as_ref().is_some_and(|all| all.phases.is_empty() && all.search.is_none()) {
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

/// Loads and workloads of the levels of a phase so far.
type Seen = BTreeSet<(Offered, String)>;

/// A phase is a table, or a list of tables that follow each other: its levels, and its search.
fn read_phase(
    phase: Phase,
    field: &Field<'_>,
    given: &Given<'_>,
    levels_left: &mut usize,
    c: &mut Collector<'_>,
) -> Option<(Vec<LevelPlan>, Option<SearchPlan>)> {
    let entries = field.items();
    if entries.is_empty() {
        return field.refuse(c, "a phase without levels; add one or leave the phase out");
    }
    let mut seen = Seen::new();
    let mut read = Some((Vec::new(), None));
    let last = entries.len() - 1;
    for (place, field) in entries.iter().enumerate() {
        let part = Section::open(field, &KEYS, c).and_then(|section| {
            let entry = Entry { phase, section, given };
            match entry.section.get("search") {
                Some(search) => {
                    let search = entry.search(&search, place == last, c)?;
                    Some((Vec::new(), Some(search)))
                }
                None => Some((entry.read(levels_left, &mut seen, c)?, None)),
            }
        });
        match (&mut read, part) {
            (Some((levels, search)), Some((more, found))) => {
                levels.extend(more);
                *search = search.take().or(found);
            }
            (_, None) => read = None,
            (None, Some(_)) => {}
        }
    }
    read
}

/// The keys of an entry of a phase.
const KEYS: [&str; 14] = [
    "users",
    "rate",
    "replay",
    "search",
    "workload",
    "requests",
    "duration",
    "cooldown",
    "allow_capped",
    "ramp",
    "arrivals",
    "burstiness",
    "rate_ramp",
    "max_in_flight",
];

/// A table of levels that differ in their load only.
struct Entry<'t, 'g> {
    phase: Phase,
    section: Section<'t>,
    given: &'g Given<'g>,
}

impl Entry<'_, '_> {
    fn read(
        &self,
        levels_left: &mut usize,
        seen: &mut Seen,
        c: &mut Collector<'_>,
    ) -> Option<Vec<LevelPlan>> {
        let Self { phase, section, given } = self;
        let workload = read_workload(section, given.workloads, c);
        let cooldown = read_cooldown(*phase, section, c);
        let fits_mode = self.fits_mode(c);
        let allow_capped = match section.get("allow_capped") {
            Some(field) => field.boolean(c),
            None => Some(false),
        };
        if !fits_mode {
            return None;
        }
        let steps = read_steps(*phase, section, levels_left, c)?;
        let pattern = read_pattern(section, Kind::of(section), c);
        let ends = read_ends(*phase, section, &steps, given.mode, c);
        let name = workload.as_ref().map(|(name, _)| name.as_str());
        refuse_twins(&steps, name, seen, c);
        if section.get("replay").is_some() {
            refuse_stray(section, c)?;
            refuse_traceless(section, name, given.data, c)?;
        }
        if let Some(rate) = section.get("rate").or_else(|| section.get("replay")) {
            refuse_thinking(&rate, workload.as_ref().and_then(|(_, workload)| *workload), c)?;
        }
        let (pattern, ends, allow_capped) = (pattern?, ends?, allow_capped?);
        // Every level is looked at before the first bad one ends the reading.
        let mut read = Vec::new();
        for (place, step) in steps.iter().enumerate() {
            let load = |end: End, timeouts: Timeouts| pattern.load(step.offered?, end, timeouts);
            let level = match &ends {
                Ends::Counted(stated) => stated.get(place).and_then(|stated| {
                    self.counted(step, stated, &load, allow_capped, c).map(|load| (load, None))
                }),
                Ends::Window(length) => self.windowed(step, *length, &load, c),
            };
            read.push(level);
        }
        let (workload, cooldown) = (workload?.1?, cooldown?);
        let plan = |((load, window), step): ((Load, Option<WindowPlan>), &Step<'_>)| {
            let replay_milli = match step.offered {
                Some(Offered::Replay(milli)) => Some(milli),
                Some(Offered::Users(_) | Offered::Rate(_)) | None => None,
            };
            let workload = Workload { replay_milli, ..workload.clone() };
            LevelPlan { load, window, allow_capped, workload, cooldown }
        };
        let levels = read.into_iter().zip(&steps);
        levels.map(|(level, step)| level.map(|level| plan((level, step)))).collect()
    }

    /// The search in place of levels that are stated.
    fn search(
        &self,
        field: &Field<'_>,
        is_last: bool,
        c: &mut Collector<'_>,
    ) -> Option<SearchPlan> {
        if !self.fits_mode(c) {
            return None;
        }
        let stands = stands_last(self.phase, is_last, field, c);
        read_search(field, &self.section, self.given, c).filter(|_| stands)
    }

    /// Refuses what paper mode has not.
    fn fits_mode(&self, c: &mut Collector<'_>) -> bool {
        match self.given.mode {
            Some(Mode::Floodmark) | None => return true,
            Some(Mode::Paper) => {}
        }
        let stray: Vec<Field<'_>> =
            BEYOND_PAPER.iter().filter_map(|key| self.section.get(key)).collect();
        for field in &stray {
            let what = "belongs to mode floodmark: in paper mode users begin at once and make a \
                        number of requests; leave it out or set mode = \"floodmark\"";
            field.refuse::<()>(c, what);
        }
        stray.is_empty()
    }

    /// A level that ends by a count.
    fn counted(
        &self,
        step: &Step<'_>,
        stated: &Stated<'_>,
        load: &impl Fn(End, Timeouts) -> Option<Load>,
        allow_capped: bool,
        c: &mut Collector<'_>,
    ) -> Option<Load> {
        // The one request that wakes the server up is never multiplied.
        let tier = match self.phase {
            Phase::Warmup => Tier::Default,
            Phase::Baseline | Phase::Scaling | Phase::Stress | Phase::Saturation => {
                self.given.tier?
            }
        };
        let requests = stated.requests?;
        let timeouts = self.given.timeouts.unwrap_or(Timeouts::DEFAULT);
        let requests_made = if requests == WHOLE { WHOLE } else { tier.scale(requests) };
        let load = load(End::Requests(requests_made), timeouts)?;
        let blamed = stated.field.as_ref().or(step.field.as_ref());
        if !allow_capped && is_capped(load) {
            refuse_capped(blamed, &self.section, load, requests, tier, c);
        }
        let floor = self.floor().filter(|floor| tier.scale(requests) < floor.requests);
        if let Some(floor) = floor {
            refuse_uncertified(blamed, &self.section, tier.scale(requests), floor, tier, c);
        }
        Some(load)
    }

    /// A level that ends by its window.
    fn windowed(
        &self,
        step: &Step<'_>,
        length: Option<Duration>,
        load: &impl Fn(End, Timeouts) -> Option<Load>,
        c: &mut Collector<'_>,
    ) -> Option<(Load, Option<WindowPlan>)> {
        let given = self.given;
        let load = load(End::Window, given.timeouts.unwrap_or(Timeouts::DEFAULT))?;
        let window = match length {
            Some(length) => WindowPlan::fixed(length),
            None => {
                let floor = given.floor.and_then(|floor| floor.of(self.phase));
                WindowPlan::of(self.phase, given.tier?, load, given.bounds?, floor)
            }
        };
        if let Some(floor) = self.floor()
            && let Some(expected) = WindowPlan::expected(load, window.most)
            && expected < floor.requests as f64
        {
            refuse_short(self.section.get("duration").as_ref(), step, load, floor, c);
        }
        Some((load, Some(window)))
    }

    /// The floor that levels must reach.
    fn floor(&self) -> Option<Floor> {
        self.given.floor.and_then(|floor| floor.of(self.phase)).filter(|floor| floor.demanded)
    }
}

/// The pause after a level.
pub(super) fn read_cooldown(
    phase: Phase,
    section: &Section<'_>,
    c: &mut Collector<'_>,
) -> Option<Duration> {
    match section.get("cooldown") {
        Some(field) => field.duration(c),
        None => Some(match phase {
            Phase::Warmup => Duration::ZERO,
            Phase::Baseline | Phase::Scaling | Phase::Stress | Phase::Saturation => COOLDOWN,
        }),
    }
}

/// Two levels of a phase with the same load and workload could not be told apart.
fn refuse_twins(steps: &[Step<'_>], name: Option<&str>, seen: &mut Seen, c: &mut Collector<'_>) {
    for step in steps {
        if let (Some(offered), Some(name)) = (step.offered, name)
            && !seen.insert((offered, name.to_owned()))
        {
            let what = format!("the phase has a level of {offered} with workload {name} already");
            step.refuse(c, what);
        }
    }
}

/// The name and, where it is valid, the workload.
pub(super) fn read_workload<'w>(
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
