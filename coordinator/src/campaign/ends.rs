//! What ends a level: a count of requests, or a window; and the counts that cannot be right.

use std::time::Duration;

use common::arrivals::Arrivals;
use common::assignment::Load;
use common::phase::Phase;

use super::judging::Floor;
use super::offered::{Offered, Step};
use super::raw::{Collector, Value};
use super::read::{Field, Section};
use super::replay::WHOLE;
use super::window::read_length;
use super::{Mode, Tier};

/// Requests of one level before the tier's factor, at most.
const REQUESTS_MAX: u64 = 1_000_000_000;
/// Requests per user in paper mode and on the command line where none are stated: a level whose
/// whole wall clock counts needs ten per user (`n >= 10 N`), or ramp and drain weigh in.
const REQUESTS_PER_USER: u64 = 10;

/// What ends the levels of an entry.
pub(super) enum Ends<'t> {
    /// A count for each.
    Counted(Vec<Stated<'t>>),
    /// A window, of this length where it is stated.
    Window(Option<Duration>),
}

/// The requests of a level before the tier's factor; `None` where they are not valid.
pub(super) struct Stated<'t> {
    pub(super) field: Option<Field<'t>>,
    pub(super) requests: Option<u64>,
}

/// What ends the levels of an entry; `None` if that cannot be told.
pub(super) fn read_ends<'t>(
    phase: Phase,
    section: &Section<'t>,
    steps: &[Step<'_>],
    mode: Option<Mode>,
    c: &mut Collector<'_>,
) -> Option<Ends<'t>> {
    let measured = match (section.get("requests"), section.get("duration")) {
        (Some(_), Some(duration)) => {
            let what = "cannot be combined with requests: a level ends by a count or by a time; \
                        leave one of the two out";
            return duration.refuse(c, what);
        }
        (Some(_), None) => false,
        (None, Some(_)) => true,
        (None, None) => match mode {
            Some(Mode::Paper) | None => false,
            // What is asked for by flags alone is a quick look.
            Some(Mode::Floodmark) => {
                let by_window = c.source.is_some() || section.get("rate").is_some();
                by_window && section.get("replay").is_none()
            }
        },
    };
    let can_be_capped = !measured && section.get("rate").is_none();
    let stray = section.get("allow_capped").filter(|_| !can_be_capped);
    if let Some(field) = &stray {
        let what = "belongs to users who make a number of requests; leave it out";
        field.refuse::<()>(c, what);
    }
    let ends = if measured {
        let length = match section.get("duration") {
            Some(field) => read_length(&field, c).map(Some),
            None => Some(None),
        };
        length.map(Ends::Window)
    } else {
        read_requests(phase, section, steps, c).map(Ends::Counted)
    };
    ends.filter(|_| stray.is_none())
}

fn read_requests<'t>(
    phase: Phase,
    section: &Section<'t>,
    steps: &[Step<'_>],
    c: &mut Collector<'_>,
) -> Option<Vec<Stated<'t>>> {
    let per_user = match phase {
        Phase::Warmup => 1,
        Phase::Baseline | Phase::Scaling | Phase::Stress | Phase::Saturation => REQUESTS_PER_USER,
    };
    let Some(field) = section.get("requests") else {
        let default = |step: &Step<'_>| Stated {
            field: None,
            requests: match step.offered {
                Some(Offered::Users(users)) => Some(u64::from(users) * per_user),
                // A rate without a count has a window.
                Some(Offered::Rate(_)) | None => None,
                Some(Offered::Replay(_)) => Some(WHOLE),
            },
        };
        return Some(steps.iter().map(default).collect());
    };
    if !matches!(field.node.value, Value::List(_)) {
        let requests = field.integer(1..=REQUESTS_MAX, c)?;
        let same =
            |_: &Step<'_>| Stated { field: section.get("requests"), requests: Some(requests) };
        return Some(steps.iter().map(same).collect());
    }
    let items = field.items();
    if items.len() != steps.len() {
        let what = format!(
            "has {} numbers for {} levels; give one for each level, or a single number for all",
            items.len(),
            steps.len()
        );
        return field.refuse(c, what);
    }
    let read = items
        .into_iter()
        .map(|item| Stated { requests: item.integer(1..=REQUESTS_MAX, c), field: Some(item) });
    Some(read.collect())
}

/// Whether a level can never hold its users.
pub(super) fn is_capped(load: Load) -> bool {
    match load.arrivals {
        Arrivals::Closed { .. } => load.in_flight_max() < load.users.into(),
        Arrivals::Open(_) => false,
    }
}

/// A level that can never hold its users: allowed only where the campaign says so.
pub(super) fn refuse_capped(
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
    refuse(blamed, section, what, c);
}

/// A level of too few requests for the quantile that its objectives are stated at.
pub(super) fn refuse_uncertified(
    blamed: Option<&Field<'_>>,
    section: &Section<'_>,
    requests: u64,
    floor: Floor,
    tier: Tier,
    c: &mut Collector<'_>,
) {
    let what = format!(
        "{requests} requests cannot tell whether the objectives are met at slo.quantile = {}: \
         that takes {}; ask for at least {} requests, leave slo.quantile out, or lower it",
        floor.quantile,
        floor.requests,
        tier.least_stated(floor.requests),
    );
    refuse(blamed, section, what, c);
}

/// A window in which too few requests arrive for that quantile.
pub(super) fn refuse_short(
    length: Option<&Field<'_>>,
    step: &Step<'_>,
    load: Load,
    floor: Floor,
    c: &mut Collector<'_>,
) {
    let Arrivals::Open(schedule) = load.arrivals else {
        return;
    };
    let wanted = floor.requests as f64;
    // Arrivals are random: four deviations of a Poisson count are enough for nearly every window.
    let seconds = ((wanted + 4.0 * wanted.sqrt()) / schedule.rate.settled().value()).ceil();
    let what = format!(
        "too few requests arrive to tell whether the objectives are met at slo.quantile = {}: \
         that takes {}; ask for duration = \"{seconds}s\" or more, leave slo.quantile out, or \
         lower it",
        floor.quantile, floor.requests,
    );
    match length {
        Some(field) => {
            field.refuse::<()>(c, what);
        }
        None => step.refuse(c, what),
    }
}

fn refuse(blamed: Option<&Field<'_>>, section: &Section<'_>, what: String, c: &mut Collector<'_>) {
    match blamed {
        Some(field) => field.refuse::<()>(c, what),
        None => c.add(section.origin, &section.key, None, what),
    };
}
