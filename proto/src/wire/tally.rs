//! A level's tally on the wire, both ways.

use common::detail::{self, Details};
use common::hist::{LatencyHist, SparseHist};
use common::outcome::{Censor, Failure};
use common::series::{Flow, FlowSlot, InFlight, SLOTS_MAX, Slot};
use common::tally::{
    Arrived, Counts, PaperTally, Scope, Serial, SerialPair, Span, Tally, WindowTally,
};

use super::from::{COUNT_MAX, plausible, required, text};
use super::images::image_tally;
use super::slices::slices;
use crate::generated as pb;
use crate::wire::WireError;

/// Largest in-flight area in request-nanoseconds, so that sums over any fleet stay within 64 bits.
const AREA_MAX: u64 = 1 << 56;

fn class_counts(names: &[&'static str], counts: &[u64]) -> Vec<pb::ClassCount> {
    let pairs = names.iter().zip(counts).filter(|(_, count)| **count > 0);
    pairs
        .map(|(class, count)| pb::ClassCount { class: (*class).to_owned(), count: *count })
        .collect()
}

impl From<&Tally> for pb::Tally {
    fn from(tally: &Tally) -> Self {
        let counts = &tally.counts;
        let measured = match &tally.scope {
            Scope::Whole => None,
            Scope::Pending | Scope::Window(_) => Some(pb::Measured {
                counts: Some((&tally.measured).into()),
                window: tally.scope.window().map(Into::into),
            }),
        };
        Self {
            started: counts.started,
            succeeded: counts.succeeded,
            failed: class_counts(&Failure::ALL.map(Failure::name), &counts.failed),
            censored: class_counts(&Censor::ALL.map(Censor::name), &counts.censored),
            open: counts.open,
            tokens: Some((&tally.tokens).into()),
            latencies: tally
                .latencies
                .each()
                .into_iter()
                .filter(|(_, hist)| !hist.is_empty())
                .map(|(name, hist)| pb::NamedHistogram {
                    name: name.to_owned(),
                    histogram: Some(hist.into()),
                })
                .collect(),
            paper: Some((&tally.paper).into()),
            in_flight: Some((&tally.in_flight).into()),
            span: tally.span.map(|span| pb::Span {
                first_sent_ns: span.first_sent_ns,
                last_done_ns: span.last_done_ns,
            }),
            details: tally
                .details
                .iter()
                .map(|(class, words)| pb::ClassDetail {
                    class: class.name().to_owned(),
                    words: words.to_owned(),
                })
                .collect(),
            measured,
            good: tally.good,
            flow: Some((&tally.flow).into()),
            serial_ttft: Some((&tally.serial.ttft).into()),
            serial_e2e: Some((&tally.serial.e2e).into()),
            slices: tally.slices.iter().map(Into::into).collect(),
            images: tally.images.as_deref().map(Into::into),
            unstamped: tally.unstamped,
        }
    }
}

impl From<&PaperTally> for pb::PaperTally {
    fn from(paper: &PaperTally) -> Self {
        Self {
            succeeded: paper.succeeded,
            prompt: paper.prompt,
            completion: paper.completion,
            latency: (!paper.latency.is_empty()).then(|| (&paper.latency).into()),
        }
    }
}

impl From<&LatencyHist> for pb::Histogram {
    fn from(hist: &LatencyHist) -> Self {
        let sparse = hist.to_sparse();
        let mut previous = 0;
        let gaps_us = sparse
            .buckets
            .iter()
            .map(|&(value, _)| {
                let gap = value - previous;
                previous = value;
                gap
            })
            .collect();
        Self {
            gaps_us,
            counts: sparse.buckets.iter().map(|&(_, count)| count).collect(),
            below: sparse.below,
            above: sparse.above,
            sum_us_low: sparse.sum_us as u64,
            sum_us_high: (sparse.sum_us >> 64) as u64,
            min_us: sparse.min_us,
            max_us: sparse.max_us,
        }
    }
}

impl From<&InFlight> for pb::InFlight {
    fn from(series: &InFlight) -> Self {
        Self {
            slot_ns: series.slot_ns(),
            areas_ns: series.slots().map(|slot| slot.area_ns).collect(),
            most: series.slots().map(|slot| slot.most).collect(),
        }
    }
}

impl From<&Flow> for pb::Flow {
    fn from(flow: &Flow) -> Self {
        let list = |field: fn(FlowSlot) -> u64| flow.slots().map(field).collect();
        Self {
            slot_ns: flow.slot_ns(),
            events: list(|slot| slot.events),
            output: list(|slot| slot.output),
            prompt: list(|slot| slot.prompt),
            succeeded: list(|slot| slot.succeeded),
            first: list(|slot| slot.first),
            ttft_us: list(|slot| slot.ttft_us),
        }
    }
}

impl From<&Counts> for pb::Counts {
    fn from(counts: &Counts) -> Self {
        Self {
            started: counts.started,
            succeeded: counts.succeeded,
            failed: class_counts(&Failure::ALL.map(Failure::name), &counts.failed),
            censored: class_counts(&Censor::ALL.map(Censor::name), &counts.censored),
            open: counts.open,
        }
    }
}

impl From<&WindowTally> for pb::Window {
    fn from(window: &WindowTally) -> Self {
        let Arrived { requests, output, prompt, cached_prompt, wasted } = window.arrived;
        Self {
            from_ns: window.from_ns,
            until_ns: window.until_ns,
            arrived_requests: requests,
            arrived_output: output,
            arrived_prompt: prompt,
            arrived_cached_prompt: cached_prompt,
            arrived_wasted: wasted,
            in_flight_ns: window.in_flight_ns,
            overlap_ns: window.overlap_ns,
            following: window.following,
        }
    }
}

impl From<&Serial> for pb::Serial {
    fn from(serial: &Serial) -> Self {
        let sums = [
            serial.sum_first,
            serial.sum_second,
            serial.sum_first_2,
            serial.sum_second_2,
            serial.sum_product,
        ];
        let halves = sums.iter().flat_map(|sum| [*sum as u64, (sum >> 64) as u64]);
        Self { pairs: serial.pairs, sums: halves.collect() }
    }
}

impl TryFrom<pb::Tally> for Tally {
    type Error = WireError;

    fn try_from(message: pb::Tally) -> Result<Self, WireError> {
        let counts = counts(
            (message.started, message.succeeded, message.open),
            (&message.failed, &message.censored),
        )?;
        let (scope, measured) = match message.measured {
            None => (Scope::Whole, counts.clone()),
            Some(measured) => {
                let window = measured.window.map(WindowTally::try_from).transpose()?;
                let counts = required("tally.measured.counts", measured.counts)?.try_into()?;
                (window.map_or(Scope::Pending, Scope::Window), counts)
            }
        };
        plausible("tally.good", &[message.good], COUNT_MAX)?;
        let serial = |serial: Option<pb::Serial>| {
            serial.map(Serial::try_from).transpose().map(Option::unwrap_or_default)
        };
        let mut tally = Self {
            scope,
            counts,
            measured,
            good: message.good,
            serial: SerialPair {
                ttft: serial(message.serial_ttft)?,
                e2e: serial(message.serial_e2e)?,
            },
            flow: message.flow.map(Flow::try_from).transpose()?.unwrap_or_default(),
            tokens: required("tally.tokens", message.tokens)?.try_into()?,
            paper: required("tally.paper", message.paper)?.try_into()?,
            in_flight: required("tally.in_flight", message.in_flight)?.try_into()?,
            span: message.span.map(Span::try_from).transpose()?,
            details: details(message.details)?,
            slices: slices(message.slices)?,
            images: image_tally(message.images)?,
            unstamped: message.unstamped,
            ..Self::default()
        };
        for named in message.latencies {
            let hist: LatencyHist = required("tally.latencies", named.histogram)?.try_into()?;
            let unknown = || WireError::new("tally.latencies", "unknown histogram");
            let place = tally.latencies.get_mut(&named.name).ok_or_else(unknown)?;
            if !place.is_empty() {
                return Err(WireError::new("tally.latencies", "a histogram comes twice"));
            }
            *place = hist;
        }
        plausible("tally.started", &[tally.counts.started], COUNT_MAX)?;
        tally.check().map_err(|error| WireError::new("tally", error))?;
        if tally.details.iter().any(|(failure, _)| tally.counts.failed_by(failure) == 0) {
            return Err(WireError::new("tally.details", "a class that did not occur"));
        }
        Ok(tally)
    }
}

impl TryFrom<pb::Counts> for Counts {
    type Error = WireError;

    fn try_from(message: pb::Counts) -> Result<Self, WireError> {
        counts(
            (message.started, message.succeeded, message.open),
            (&message.failed, &message.censored),
        )
    }
}

fn counts(
    (started, succeeded, open): (u64, u64, u64),
    (failed, censored): (&[pb::ClassCount], &[pb::ClassCount]),
) -> Result<Counts, WireError> {
    plausible("tally.started", &[started], COUNT_MAX)?;
    let mut counts = Counts { started, succeeded, open, ..Counts::default() };
    let failures = Failure::ALL.map(Failure::name);
    fill_classes("tally.failed", failed, &failures, &mut counts.failed)?;
    let censors = Censor::ALL.map(Censor::name);
    fill_classes("tally.censored", censored, &censors, &mut counts.censored)?;
    Ok(counts)
}

impl TryFrom<pb::Window> for WindowTally {
    type Error = WireError;

    fn try_from(message: pb::Window) -> Result<Self, WireError> {
        const FIELD: &str = "tally.window";
        if message.until_ns.is_some_and(|until| until < message.from_ns) {
            return Err(WireError::new(FIELD, "ends before it begins"));
        }
        let window = Self {
            from_ns: message.from_ns,
            until_ns: message.until_ns,
            arrived: Arrived {
                requests: message.arrived_requests,
                output: message.arrived_output,
                prompt: message.arrived_prompt,
                cached_prompt: message.arrived_cached_prompt,
                wasted: message.arrived_wasted,
            },
            in_flight_ns: message.in_flight_ns,
            overlap_ns: message.overlap_ns,
            following: message.following,
        };
        let Arrived { requests, output, prompt, cached_prompt, wasted } = window.arrived;
        let counts = [requests, output, prompt, cached_prompt, wasted, window.following];
        plausible(FIELD, &counts, COUNT_MAX)?;
        plausible(FIELD, &[window.in_flight_ns, window.overlap_ns], AREA_MAX)?;
        Ok(window)
    }
}

impl TryFrom<pb::Serial> for Serial {
    type Error = WireError;

    fn try_from(message: pb::Serial) -> Result<Self, WireError> {
        const FIELD: &str = "tally.serial";
        let halves: [u64; 10] =
            message.sums.try_into().map_err(|_| WireError::new(FIELD, "not five sums"))?;
        plausible(FIELD, &[message.pairs], COUNT_MAX)?;
        let [a, b, c, d, e] = [0, 2, 4, 6, 8].map(|at| {
            let half = |place: usize| u128::from(halves.get(place).copied().unwrap_or(0));
            half(at) | half(at + 1) << 64
        });
        Ok(Self {
            pairs: message.pairs,
            sum_first: a,
            sum_second: b,
            sum_first_2: c,
            sum_second_2: d,
            sum_product: e,
        })
    }
}

impl TryFrom<pb::Flow> for Flow {
    type Error = WireError;

    fn try_from(message: pb::Flow) -> Result<Self, WireError> {
        const FIELD: &str = "tally.flow";
        let lists = [
            message.events,
            message.output,
            message.prompt,
            message.succeeded,
            message.first,
            message.ttft_us,
        ];
        let slots = lists.iter().map(Vec::len).max().unwrap_or(0);
        if slots > SLOTS_MAX || lists.iter().any(|list| list.len() != slots) {
            return Err(WireError::new(FIELD, "lists differ in number, or too many"));
        }
        plausible(FIELD, &[message.slot_ns], COUNT_MAX)?;
        for list in &lists {
            plausible(FIELD, list, COUNT_MAX)?;
        }
        let slots = (0..slots).map(|place| {
            let [events, output, prompt, succeeded, first, ttft_us] =
                lists.each_ref().map(|list| list.get(place).copied().unwrap_or(0));
            FlowSlot { events, output, prompt, succeeded, first, ttft_us }
        });
        Self::from_parts(message.slot_ns, slots.collect())
            .map_err(|error| WireError::new(FIELD, error))
    }
}

fn fill_classes(
    field: &'static str,
    counts: &[pb::ClassCount],
    names: &[&'static str],
    into: &mut [u64],
) -> Result<(), WireError> {
    for class in counts {
        let unknown = || WireError::new(field, "unknown class");
        let place = names.iter().position(|name| *name == class.class).ok_or_else(unknown)?;
        let slot = into.get_mut(place).ok_or_else(unknown)?;
        if *slot != 0 {
            return Err(WireError::new(field, "a class comes twice"));
        }
        *slot = class.count;
    }
    Ok(())
}

fn details(messages: Vec<pb::ClassDetail>) -> Result<Details, WireError> {
    const FIELD: &str = "tally.details";
    let mut details = Details::default();
    for message in messages {
        let class = Failure::ALL.into_iter().find(|failure| failure.name() == message.class);
        let class = class.ok_or_else(|| WireError::new(FIELD, "unknown class"))?;
        if details.iter().any(|(known, _)| known == class) {
            return Err(WireError::new(FIELD, "a class comes twice"));
        }
        let words = text(FIELD, message.words)?;
        if words.is_empty() || words.chars().count() > detail::CHARS_MAX {
            let allowed = format!("not 1 to {} characters", detail::CHARS_MAX);
            return Err(WireError::new(FIELD, allowed));
        }
        details.note(class, &words);
    }
    Ok(details)
}

impl TryFrom<pb::Span> for Span {
    type Error = WireError;

    fn try_from(message: pb::Span) -> Result<Self, WireError> {
        if message.first_sent_ns > message.last_done_ns {
            return Err(WireError::new("tally.span", "ends before it begins"));
        }
        Ok(Self { first_sent_ns: message.first_sent_ns, last_done_ns: message.last_done_ns })
    }
}

impl TryFrom<pb::PaperTally> for PaperTally {
    type Error = WireError;

    fn try_from(message: pb::PaperTally) -> Result<Self, WireError> {
        let sums = [message.succeeded, message.prompt, message.completion];
        plausible("tally.paper", &sums, COUNT_MAX)?;
        Ok(Self {
            succeeded: message.succeeded,
            prompt: message.prompt,
            completion: message.completion,
            latency: message.latency.map(LatencyHist::try_from).transpose()?.unwrap_or_default(),
        })
    }
}

impl TryFrom<pb::Histogram> for LatencyHist {
    type Error = WireError;

    fn try_from(message: pb::Histogram) -> Result<Self, WireError> {
        const FIELD: &str = "histogram";
        if message.gaps_us.len() != message.counts.len() {
            return Err(WireError::new(FIELD, "gaps and counts differ in number"));
        }
        let mut value = 0u64;
        let mut buckets = Vec::with_capacity(message.counts.len());
        for (gap, count) in message.gaps_us.iter().zip(message.counts) {
            value = value
                .checked_add(*gap)
                .ok_or_else(|| WireError::new(FIELD, "bucket values overflow"))?;
            buckets.push((value, count));
        }
        let sparse = SparseHist {
            buckets,
            below: message.below,
            above: message.above,
            sum_us: u128::from(message.sum_us_low) | u128::from(message.sum_us_high) << 64,
            min_us: message.min_us,
            max_us: message.max_us,
        };
        let hist = Self::from_sparse(&sparse).map_err(|error| WireError::new(FIELD, error))?;
        plausible(FIELD, &[hist.count(), sparse.max_us], COUNT_MAX)?;
        Ok(hist)
    }
}

impl TryFrom<pb::InFlight> for InFlight {
    type Error = WireError;

    fn try_from(message: pb::InFlight) -> Result<Self, WireError> {
        const FIELD: &str = "in_flight";
        if message.areas_ns.len() != message.most.len() || message.most.len() > SLOTS_MAX {
            return Err(WireError::new(FIELD, "areas and maxima differ in number, or too many"));
        }
        plausible(FIELD, &message.areas_ns, AREA_MAX)?;
        plausible(FIELD, &[message.slot_ns], COUNT_MAX)?;
        let slots = message
            .areas_ns
            .into_iter()
            .zip(message.most)
            .map(|(area_ns, most)| Slot { area_ns, most })
            .collect();
        Self::from_parts(message.slot_ns, slots).map_err(|error| WireError::new(FIELD, error))
    }
}
