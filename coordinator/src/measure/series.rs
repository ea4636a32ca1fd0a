//! The course of a window: slots of equal width that lie wholly inside it.

use common::series::FlowSlot;
use common::tally::Tally;

use super::Period;
use crate::stats;

/// What happened in a window, slot by slot.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Course {
    /// Width of a slot in seconds.
    pub(crate) slot_s: f64,
    /// Completion tokens per second.
    pub(crate) output: Vec<f64>,
    /// Mean requests in flight.
    pub(crate) in_flight: Vec<f64>,
    /// Mean time to the first token in seconds, of those that came in the slot; slots without one
    /// are left out.
    pub(crate) ttft_s: Vec<f64>,
}

impl Course {
    /// The slots of a level that lie inside `period`, as fine as they were kept.
    pub(super) fn of(tally: &Tally, period: Period) -> Self {
        let slot_ns = tally.flow.slot_ns().max(tally.in_flight.slot_ns());
        let slot_s = slot_ns as f64 / 1e9;
        let flow = inside(tally.flow.slots(), tally.flow.slot_ns(), period);
        let per = (slot_ns / tally.flow.slot_ns().max(1)).max(1) as usize;
        let flow: Vec<FlowSlot> = joined(&flow, per);
        let in_flight: Vec<f64> = in_flight(tally, period).collect();
        let per = (slot_ns / tally.in_flight.slot_ns().max(1)).max(1) as usize;
        let in_flight = means(&in_flight, per);
        let ttft = flow.iter().filter(|slot| slot.first > 0);
        Self {
            slot_s,
            output: flow.iter().map(|slot| slot.output as f64 / slot_s).collect(),
            in_flight,
            ttft_s: ttft.map(|slot| slot.ttft_us as f64 / slot.first as f64 / 1e6).collect(),
        }
    }

    /// The same in slots of about `width_s` seconds, or finer ones so that there are at least
    /// `least` of them. Times to the first token keep their slots: they are means already.
    pub(crate) fn coarse(&self, width_s: f64, least: usize) -> Self {
        let wanted = (width_s / self.slot_s).round().max(1.0) as usize;
        let most = (self.output.len() / least.max(1)).max(1);
        let per = wanted.min(most);
        let ttft_per = per.min((self.ttft_s.len() / least.max(1)).max(1));
        Self {
            slot_s: self.slot_s * per as f64,
            output: means(&self.output, per),
            in_flight: means(&self.in_flight, per),
            ttft_s: means(&self.ttft_s, ttft_per),
        }
    }
}

/// Mean requests in flight of each slot that lies inside.
pub(super) fn in_flight(tally: &Tally, period: Period) -> impl Iterator<Item = f64> {
    let slot_ns = tally.in_flight.slot_ns();
    let slots = inside(tally.in_flight.slots(), slot_ns, period);
    slots.into_iter().map(move |slot| slot.area_ns as f64 / slot_ns as f64)
}

/// The slots that lie wholly inside. What was never written held nothing.
fn inside<C: Default + Clone>(
    slots: impl ExactSizeIterator<Item = C>,
    slot_ns: u64,
    period: Period,
) -> Vec<C> {
    let slot_ns = slot_ns.max(1);
    let first = period.from_ns.div_ceil(slot_ns);
    let end = period.until_ns / slot_ns;
    // No series holds more slots than this, whatever period a stranger claims.
    let count = end.saturating_sub(first).min(common::series::SLOTS_MAX as u64) as usize;
    let skipped = usize::try_from(first).unwrap_or(usize::MAX);
    let mut inside: Vec<C> = slots.skip(skipped).take(count).collect();
    inside.resize(count, C::default());
    inside
}

/// Token-bearing events per second in the slots that lie wholly inside.
pub(crate) fn events_per_s(tally: &Tally, period: Period) -> Option<f64> {
    let slot_ns = tally.flow.slot_ns();
    let slots = inside(tally.flow.slots(), slot_ns, period);
    let events = slots.iter().fold(0, |sum: u64, slot| sum.saturating_add(slot.events));
    stats::ratio(events as f64, slots.len() as f64 * slot_ns as f64 / 1e9)
}

fn joined(slots: &[FlowSlot], per: usize) -> Vec<FlowSlot> {
    let join = |chunk: &[FlowSlot]| {
        chunk.iter().fold(FlowSlot::default(), |sum, slot| FlowSlot {
            events: sum.events.saturating_add(slot.events),
            output: sum.output.saturating_add(slot.output),
            prompt: sum.prompt.saturating_add(slot.prompt),
            succeeded: sum.succeeded.saturating_add(slot.succeeded),
            first: sum.first.saturating_add(slot.first),
            ttft_us: sum.ttft_us.saturating_add(slot.ttft_us),
        })
    };
    slots.chunks_exact(per).map(join).collect()
}

fn means(values: &[f64], per: usize) -> Vec<f64> {
    values.chunks_exact(per.max(1)).map(|c| c.iter().sum::<f64>() / c.len() as f64).collect()
}
