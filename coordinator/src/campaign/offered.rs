//! What a level offers to the server: users who wait for their answers, or a rate that does not.

use std::fmt;
use std::time::Duration;

use common::arrivals::{Arrivals, Curve, Law, PerSecond, Rate, Schedule};
use common::assignment::{End, Load};
use common::phase::Phase;
use common::target::Timeouts;

use super::raw::{Collector, Value};
use super::read::{Field, Section};
use super::replay::{self, read_speeds, speed_text};

/// Users of one level, at most.
pub(super) const USERS_MAX: u32 = 1_000_000;
/// Levels of one campaign, at most.
pub(super) const LEVELS_MAX: usize = 1000;
/// Requests per second, at least: one per twelve days.
const RATE_MIN: f64 = 1e-6;
/// Requests per second, at most.
const RATE_MAX: f64 = 1e6;
/// A rate is a whole number of these.
const RATE_PARTS: u32 = 1_000_000;
/// The shape of a gamma law, at most; its arrivals are even to 3 %.
const SHAPE_MAX: f64 = 1000.0;
/// A shape is a whole number of these.
const SHAPE_PARTS: u32 = 1000;
/// How long a rate rises where only its beginning is stated.
const RAMP: Duration = Duration::from_secs(30);
const STEPS: u32 = 5;
const STEPS_MAX: u32 = 1000;
/// Users of a windowed level begin within this time: the method, section 3.6, spreads them over
/// max(2 s, 0.1 R), and how long a request lasts is not known beforehand.
pub(super) const CLOSED_RAMP: Duration = Duration::from_secs(2);
/// Fewest and most requests in flight that an open loop makes room for by itself.
const IN_FLIGHT: (u32, u32) = (1000, 10_000);

/// The keys that only a rate has.
const OPEN_KEYS: [&str; 4] = ["arrivals", "burstiness", "rate_ramp", "max_in_flight"];

/// What a level offers. It tells the level from the others of its phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Offered {
    /// Users, each with one request in flight.
    Users(u32),
    /// Requests per second, whatever becomes of them.
    Rate(PerSecond),
    /// A trace, so many thousandths as fast.
    Replay(u32),
}

impl fmt::Display for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Users(users) => write!(f, "{users} users"),
            Self::Rate(rate) => write!(f, "{}/s", rate_text(*rate)),
            Self::Replay(milli) => write!(f, "replay x{}", speed_text(*milli)),
        }
    }
}

/// A rate as it is written in a campaign: the shortest exact decimal number.
pub(crate) fn rate_text(rate: PerSecond) -> String {
    decimal(rate.0, RATE_PARTS)
}

/// The shape of a gamma law as it is written in a campaign.
pub(crate) fn shape_text(shape_milli: u32) -> String {
    decimal(shape_milli.into(), SHAPE_PARTS)
}

fn decimal(scaled: u64, parts: u32) -> String {
    let (whole, rest) = (scaled / u64::from(parts), scaled % u64::from(parts));
    let width = parts.ilog10() as usize;
    let text = format!("{whole}.{rest:0width$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A level's users or rate; `None` where it is not valid.
pub(super) struct Step<'t> {
    pub(super) field: Option<Field<'t>>,
    pub(super) offered: Option<Offered>,
}

impl Step<'_> {
    /// A problem with what the level offers.
    pub(super) fn refuse(&self, c: &mut Collector<'_>, what: String) {
        if let Some(field) = &self.field {
            field.refuse::<()>(c, what);
        }
    }
}

/// The levels of an entry; `None` if they cannot be told.
pub(super) fn read_steps<'t>(
    phase: Phase,
    section: &Section<'t>,
    levels_left: &mut usize,
    c: &mut Collector<'_>,
) -> Option<Vec<Step<'t>>> {
    if let Some(replay) = section.get("replay") {
        if let Some(other) = section.get("users").or_else(|| section.get("rate")) {
            let what = "cannot be combined with replay, whose requests come when those of the \
                        trace came; leave one of the two out";
            return other.refuse(c, what);
        }
        let steps = read_speeds(&replay, c)?;
        let Some(left) = levels_left.checked_sub(steps.len()) else {
            return replay.refuse(c, format!("more than {LEVELS_MAX} levels in the campaign"));
        };
        *levels_left = left;
        return Some(steps);
    }
    let field = match (section.get("users"), section.get("rate")) {
        (Some(_), Some(rate)) => {
            let what = "cannot be combined with users: users wait for their answers, a rate does \
                        not; leave one of the two out (a rate's requests in flight are \
                        bounded by max_in_flight, or --max-in-flight)";
            return rate.refuse(c, what);
        }
        (Some(field), None) | (None, Some(field)) => field,
        (None, None) => match phase {
            Phase::Warmup | Phase::Baseline => {
                return Some(vec![Step { field: None, offered: Some(Offered::Users(1)) }]);
            }
            Phase::Scaling | Phase::Stress | Phase::Saturation => {
                let hint = "say how many users each level has: users = [1, 10, 100], or how many \
                            requests arrive per second: rate = [0.5, 2]";
                return section.need("users", hint, c).and(None);
            }
        },
    };
    let is_rate = section.get("rate").is_some();
    let items = field.items();
    if items.is_empty() {
        let what = if is_rate { "name a rate" } else { "name a number of users" };
        return field.refuse(c, format!("a phase without levels; {what}"));
    }
    let Some(left) = levels_left.checked_sub(items.len()) else {
        let what = format!("more than {LEVELS_MAX} levels in the campaign");
        return field.refuse(c, what);
    };
    *levels_left = left;
    let read = items.into_iter().map(|item| {
        let offered = if is_rate {
            read_rate(&item, c).map(Offered::Rate)
        } else {
            item.count(USERS_MAX, c).map(Offered::Users)
        };
        Step { offered, field: Some(item) }
    });
    Some(read.collect())
}

fn read_rate(field: &Field<'_>, c: &mut Collector<'_>) -> Option<PerSecond> {
    let endless = match &field.node.value {
        Value::Float(number) => *number == f64::INFINITY,
        Value::Text(_)
        | Value::Integer(_)
        | Value::Boolean(_)
        | Value::Datetime
        | Value::List(_)
        | Value::Table(_) => false,
    };
    if endless {
        let what = "is no rate: requests that are sent as soon as there is room are a closed \
                    loop; leave the rate out and say how many users there are";
        return field.refuse(c, what);
    }
    field.fixed_point(RATE_MIN..=RATE_MAX, RATE_PARTS, c).map(PerSecond)
}

/// The two kinds of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Users.
    Closed,
    /// A rate.
    Open,
}

impl Kind {
    /// What an entry without a search has: a rate if it states one.
    pub(super) fn of(section: &Section<'_>) -> Self {
        let is_open = section.get("rate").or_else(|| section.get("replay")).is_some();
        if is_open { Self::Open } else { Self::Closed }
    }
}

/// How the requests of an entry's levels arrive.
pub(super) enum Pattern {
    /// Users; how long they take to begin, where it is stated.
    Closed(Option<Duration>),
    /// A rate.
    Open {
        /// How even the arrivals are.
        law: Law,
        /// How the rate rises.
        ramp: Option<RateRamp>,
        /// The most requests in flight, where it is stated.
        max_in_flight: Option<u32>,
    },
}

/// How a rate rises before it stays.
#[derive(Clone, Copy)]
pub(super) struct RateRamp {
    from: PerSecond,
    over: Duration,
    curve: Curve,
}

impl Pattern {
    /// The load of a level; `None` if the level offers what this is no pattern of.
    pub(super) fn load(&self, offered: Offered, end: End, timeouts: Timeouts) -> Option<Load> {
        let (users, arrivals) = match (offered, self) {
            (Offered::Users(users), Self::Closed(stated)) => {
                let default = match end {
                    End::Window if users > 1 => CLOSED_RAMP,
                    End::Window | End::Requests(_) => Duration::ZERO,
                };
                (users, Arrivals::Closed { ramp: stated.unwrap_or(default) })
            }
            (Offered::Rate(to), Self::Open { law, ramp, max_in_flight }) => {
                let rate = match *ramp {
                    None => Rate::Flat(to),
                    Some(RateRamp { from, over, curve }) => Rate::Ramp { from, to, over, curve },
                };
                let users = max_in_flight.unwrap_or_else(|| room(rate, timeouts));
                (users, Arrivals::Open(Schedule { law: *law, rate }))
            }
            (Offered::Replay(_), Self::Open { max_in_flight, .. }) => {
                return Some(replay::load(*max_in_flight, end));
            }
            (Offered::Users(_), Self::Open { .. })
            | (Offered::Rate(_) | Offered::Replay(_), Self::Closed(_)) => return None,
        };
        Some(Load { users, arrivals, end })
    }
}

/// Room for every request that can be open at once if the server answers none: the rate times the
/// time after which a request is given up. Beyond what one agent takes on by default, arrivals
/// wait, and say so by their send lag.
fn room(rate: Rate, timeouts: Timeouts) -> u32 {
    let top = match rate {
        Rate::Flat(rate) => rate,
        Rate::Ramp { from, to, .. } => from.max(to),
    };
    let open = (top.value() * timeouts.total.as_secs_f64()).ceil();
    (open as u32).clamp(IN_FLIGHT.0, IN_FLIGHT.1)
}

/// How the levels of an entry arrive; `None` if there was any problem.
pub(super) fn read_pattern(
    section: &Section<'_>,
    kind: Kind,
    c: &mut Collector<'_>,
) -> Option<Pattern> {
    if kind == Kind::Closed {
        let mut stray = false;
        for field in OPEN_KEYS.iter().filter_map(|key| section.get(key)) {
            stray = true;
            let what = match section.get("search") {
                None => "belongs to an open loop: say rate instead of users, or leave it out",
                Some(_) => {
                    "belongs to an open loop: say max_rate instead of max_users, or leave it out"
                }
            };
            field.refuse::<()>(c, what);
        }
        let ramp = match section.get("ramp") {
            Some(field) => field.duration(c).map(Some),
            None => Some(None),
        };
        return ramp.filter(|_| !stray).map(Pattern::Closed);
    }
    let stray = section.get("ramp").map(|field| {
        let what = match section.get("search") {
            None => "spreads the beginnings of users; a rate rises by rate_ramp = { from = 1 }",
            Some(_) => "spreads the beginnings of users; leave it out, or say max_users",
        };
        field.refuse::<()>(c, what);
    });
    let law = read_law(section, c);
    let ramp = match section.get("rate_ramp") {
        Some(field) => read_rate_ramp(&field, c).map(Some),
        None => Some(None),
    };
    let max_in_flight = match section.get("max_in_flight") {
        Some(field) => field.count(USERS_MAX, c).map(Some),
        None => Some(None),
    };
    let pattern = Pattern::Open { law: law?, ramp: ramp?, max_in_flight: max_in_flight? };
    stray.is_none().then_some(pattern)
}

/// The words for laws in a campaign.
#[derive(Clone, Copy)]
enum Word {
    Constant,
    Poisson,
    Gamma,
}

fn read_law(section: &Section<'_>, c: &mut Collector<'_>) -> Option<Law> {
    let words = [("constant", Word::Constant), ("poisson", Word::Poisson), ("gamma", Word::Gamma)];
    let arrivals = section.get("arrivals");
    let word = match &arrivals {
        Some(field) => field.word(&words, c).map(Some),
        None => Some(None),
    };
    let shape = match section.get("burstiness") {
        Some(field) => {
            let shape = field.fixed_point(0.001..=SHAPE_MAX, SHAPE_PARTS, c);
            shape.and_then(|shape| u32::try_from(shape).ok()).map(Some)
        }
        None => Some(None),
    };
    match (word?, shape?) {
        (None | Some(Word::Poisson), None) => Some(Law::Poisson),
        (Some(Word::Constant), None) => Some(Law::Constant),
        (Some(Word::Gamma), None) => {
            let what = "needs a shape: add burstiness, below 1.0 for bursts, above for evenness";
            arrivals?.refuse(c, what)
        }
        // Gamma of shape 1 is exponential.
        (None | Some(Word::Poisson | Word::Gamma), Some(SHAPE_PARTS)) => Some(Law::Poisson),
        (None | Some(Word::Gamma), Some(shape_milli)) => Some(Law::Gamma { shape_milli }),
        (Some(Word::Poisson), Some(_)) => {
            let what = "poisson arrivals have burstiness 1.0; leave arrivals out or write gamma";
            section.get("burstiness")?.refuse(c, what)
        }
        (Some(Word::Constant), Some(_)) => {
            let what = "constant arrivals have none; leave it out or write arrivals = \"gamma\"";
            section.get("burstiness")?.refuse(c, what)
        }
    }
}

/// The word for a law in a campaign and in reports.
pub(crate) fn law_word(law: Law) -> &'static str {
    match law {
        Law::Constant => "constant",
        Law::Poisson => "poisson",
        Law::Gamma { .. } => "gamma",
    }
}

/// The word for a curve in a campaign.
pub(crate) fn curve_word(curve: Curve) -> &'static str {
    match curve {
        Curve::Linear => "linear",
        Curve::Exponential => "exponential",
        Curve::Steps(_) => "step",
    }
}

fn read_rate_ramp(field: &Field<'_>, c: &mut Collector<'_>) -> Option<RateRamp> {
    let section = Section::open(field, &["from", "over", "curve", "steps"], c)?;
    let hint = "say at which rate it begins: from = 1.0";
    let from = section.need("from", hint, c).and_then(|field| read_rate(&field, c));
    let over = match section.get("over") {
        Some(field) => field.wait(c),
        None => Some(RAMP),
    };
    let steps = match section.get("steps") {
        Some(field) => field
            .integer(2..=STEPS_MAX.into(), c)
            .and_then(|steps| u32::try_from(steps).ok())
            .map(Some),
        None => Some(None),
    };
    let curves = [Curve::Linear, Curve::Exponential, Curve::Steps(STEPS)];
    let curve = match section.get("curve") {
        Some(field) => field.word(&curves.map(|curve| (curve_word(curve), curve)), c),
        None => Some(Curve::Linear),
    };
    let curve = match (curve?, steps?) {
        (Curve::Steps(_), Some(steps)) => Some(Curve::Steps(steps)),
        (Curve::Linear | Curve::Exponential, Some(_)) => {
            section.get("steps")?.refuse(c, "belongs to curve = \"step\"")
        }
        (curve, None) => Some(curve),
    };
    Some(RateRamp { from: from?, over: over?, curve: curve? })
}
