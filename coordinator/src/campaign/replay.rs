//! Traces in place of a rate: `replay` of a phase, and what it has no room for.

use common::arrivals::{Arrivals, Law, PerSecond, Rate, Schedule};
use common::assignment::{End, Load};
use common::workload::REPLAY_MILLI_MAX;

use super::data::Plans;
use super::offered::{Offered, Step};
use super::raw::Collector;
use super::read::{Field, Section};

/// Requests of a trace that is replayed whole: more than any has, and than can be stated.
pub(super) const WHOLE: u64 = u64::MAX;
/// A speed is a whole number of these.
const SPEED_PARTS: u32 = 1000;
/// Requests in flight that a trace has room for by itself.
const IN_FLIGHT: u32 = 10_000;
/// The keys that say what a trace says.
const STRAY: [&str; 6] =
    ["arrivals", "burstiness", "rate_ramp", "ramp", "duration", "allow_capped"];

/// The levels of an entry that replays a trace: one for each speed.
pub(super) fn read_speeds<'t>(field: &Field<'t>, c: &mut Collector<'_>) -> Option<Vec<Step<'t>>> {
    let section = Section::open(field, &["speed"], c)?;
    let Some(speed) = section.get("speed") else {
        let field = Field { key: field.key.clone(), node: field.node };
        return Some(vec![Step {
            field: Some(field),
            offered: Some(Offered::Replay(SPEED_PARTS)),
        }]);
    };
    let items = speed.items();
    if items.is_empty() {
        return speed.refuse(c, "a phase without levels; name a speed");
    }
    let fastest = f64::from(REPLAY_MILLI_MAX / SPEED_PARTS);
    let step = |item: Field<'t>| {
        let milli = item.fixed_point(0.001..=fastest, SPEED_PARTS, c);
        let milli = milli.and_then(|milli| u32::try_from(milli).ok());
        Step { offered: milli.map(Offered::Replay), field: Some(item) }
    };
    Some(items.into_iter().map(step).collect())
}

/// Refuses what a trace says by itself.
pub(super) fn refuse_stray(section: &Section<'_>, c: &mut Collector<'_>) -> Option<()> {
    let stray: Vec<Field<'_>> = STRAY.iter().filter_map(|key| section.get(key)).collect();
    for field in &stray {
        let what = "requests come when those of the trace came, until it ends; leave this out \
                    (requests = N ends it sooner)";
        field.refuse::<()>(c, what);
    }
    stray.is_empty().then_some(())
}

/// Refuses to replay a workload without a data set.
pub(super) fn refuse_traceless(
    section: &Section<'_>,
    workload: Option<&str>,
    data: &Plans,
    c: &mut Collector<'_>,
) -> Option<()> {
    let Some(name) = workload else { return Some(()) };
    if data.keys().any(|with| with.as_str() == name) {
        return Some(());
    }
    let what = format!("workload {name} has no trace to replay; give it one: dataset = \"FILE\"");
    section.get("replay")?.refuse(c, what)
}

/// The load of a level that replays a trace. Its rate is that of the trace, which is known when its
/// file has been read.
pub(super) fn load(max_in_flight: Option<u32>, end: End) -> Load {
    let rate = Rate::Flat(PerSecond(1_000_000));
    let arrivals = Arrivals::Open(Schedule { law: Law::Constant, rate });
    Load { users: max_in_flight.unwrap_or(IN_FLIGHT), arrivals, end }
}

/// The speed of a replay as it is written.
pub(crate) fn speed_text(milli: u32) -> String {
    super::offered::shape_text(milli)
}
