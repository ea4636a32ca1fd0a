//! The numbers of one level over its fleet, from the sum of its seals: what part of it is measured,
//! its rates, what was in flight, its latencies with their certainty. It judges nothing, and it
//! knows nothing of other levels.
//!
//! | Module | What it does |
//! |---|---|
//! | `latency` | quantiles with floors and intervals |
//! | `series` | the course of a window, slot by slot |
//! | `slices` | rates of requests that share something |

mod latency;
mod series;
mod slices;

use common::arrivals::{Arrivals, Schedule, Walk};
use common::assignment::Load;
use common::seed::Seed;
use common::tally::{Arrived, Counts, Scope, Tally, Tokens, WindowTally};

use crate::campaign::Hardware;
use crate::classify::IN_FLIGHT_SLOT_MIN;
use crate::merge::LevelTotals;
use crate::record::LevelRecord;
use crate::stats::{self, BatchMeans};

pub(crate) use latency::{Latency, Percentile, Quantile, QuantileMs, Worth};
pub(crate) use series::{Course, events_per_s};
pub(crate) use slices::SliceRates;

/// Arrivals of an open loop that are counted one by one; beyond them the rate says how many.
const WALK_MAX: usize = 5_000_000;

/// Batches behind the interval of a rate, before correlated ones are merged.
const BATCHES: usize = 20;

/// Batches are at least as long as a request, as long as there are so many of them.
const WHOLE_REQUESTS: usize = 12;

/// The numbers of a level.
#[derive(Clone, Debug)]
pub(crate) struct Measured<'a> {
    /// The level.
    pub(crate) record: &'a LevelRecord,
    /// The run's seed, which decides when an open loop's requests are intended.
    seed: Seed,
    /// The sum of its seals.
    pub(crate) totals: LevelTotals<'a>,
    /// From the first send to the last end, in nanoseconds since it fired; `None` for a level that
    /// is no result.
    pub(crate) wall: Option<Period>,
    /// The part that is measured: the window, or the whole; `None` for a level that is no result,
    /// or whose window has no end.
    pub(crate) period: Option<Period>,
    /// Rates over that part.
    pub(crate) rates: Rates,
    /// Requests in flight in that part.
    pub(crate) in_flight: InFlight,
    /// The course of the window; `None` for a level that is measured whole.
    pub(crate) course: Option<Course>,
    /// Half the width of the 95 % interval of the output rate, from the window's course.
    pub(crate) output_interval: Option<BatchMeans>,
    /// Requests intended in that part: of an open loop as planned, of a closed one as taken up.
    pub(crate) intended: u64,
    /// What samples of times to the first token are worth.
    pub(crate) ttft_worth: Worth,
    /// What samples of times to the last token are worth.
    pub(crate) e2e_worth: Worth,
}

/// A part of a level, in nanoseconds since it fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    /// Its first instant.
    pub(crate) from_ns: u64,
    /// The instant after its last one; later than the first.
    pub(crate) until_ns: u64,
}

/// What was in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct InFlight {
    /// Mean.
    pub(crate) mean: Option<f64>,
    /// The smallest mean of a slot that lies inside.
    pub(crate) min: Option<f64>,
    /// Share of the time with less than 95 % of the users in flight.
    pub(crate) below_95pct_share: Option<f64>,
}

/// Rates per second of the part that is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rates {
    /// Requests that ended well.
    pub(crate) requests: Option<f64>,
    /// Completion tokens.
    pub(crate) output: Option<f64>,
    /// Prompt tokens.
    pub(crate) prompt: Option<f64>,
    /// Prompt tokens that no cache was reported for.
    pub(crate) uncached_prompt: Option<f64>,
    /// Prompt and completion tokens.
    pub(crate) total: Option<f64>,
    /// Completion tokens of requests that failed or were cut.
    pub(crate) wasted: Option<f64>,
    /// Requests that met every objective.
    pub(crate) good: Option<f64>,
}

/// Rates per unit of what the target runs on, where that is stated.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct PerUnit {
    /// Completion tokens per second and GPU.
    pub(crate) output_per_gpu: Option<f64>,
    /// Prompt and completion tokens per second and GPU.
    pub(crate) total_per_gpu: Option<f64>,
    /// The same per thousand million active parameters.
    pub(crate) total_per_active_b: Option<f64>,
    /// The same per watt.
    pub(crate) total_per_watt: Option<f64>,
}

/// How fast a level is, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Throughput {
    /// What is counted.
    pub(crate) of: Counted,
    /// Per second.
    pub(crate) per_s: f64,
    /// Half the width of its 95 % interval; `None` for a single measurement.
    pub(crate) half_width: Option<f64>,
}

/// What a throughput counts. Only alike can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// Completion tokens.
    Output,
    /// Prompt tokens, where there are no others.
    Prompt,
    /// Requests, where there are no tokens.
    Requests,
}

impl<'a> Measured<'a> {
    /// The numbers of a level of a run with this seed.
    pub(crate) fn of(record: &'a LevelRecord, seed: Seed) -> Self {
        let totals = LevelTotals::of(record);
        let tally = &totals.tally;
        // A part of a level's load is not the level: neither its rate nor its number in flight.
        let span = tally.span.filter(|_| !totals.is_void());
        let wall = span.and_then(|span| Period::new(span.first_sent_ns, span.last_done_ns));
        let window = tally.scope.window();
        let period = match tally.scope {
            Scope::Whole => wall,
            Scope::Pending => None,
            Scope::Window(window) => {
                let end = window.until_ns.filter(|_| wall.is_some());
                end.and_then(|until| Period::new(window.from_ns, until))
            }
        };
        let course = window.and(period).map(|period| Course::of(tally, period));
        let e2e_worth = Worth::of(tally.measured.succeeded, &tally.serial.e2e);
        let mut measured = Self {
            rates: period.map_or_else(Rates::default, |period| rates(tally, period)),
            in_flight: period.map_or_else(InFlight::default, |period| {
                InFlight::of(tally, record.planned.load, period)
            }),
            output_interval: None,
            intended: 0,
            ttft_worth: Worth::of(tally.latencies.ttft.count(), &tally.serial.ttft),
            e2e_worth,
            record,
            seed,
            wall,
            period,
            course,
            totals,
        };
        measured.output_interval = measured.interval();
        measured.intended = measured.count_intended();
        measured
    }

    /// The sum of the seals.
    pub(crate) fn tally(&self) -> &Tally {
        &self.totals.tally
    }

    /// The load that was asked for.
    pub(crate) fn load(&self) -> Load {
        self.record.planned.load
    }

    /// The window, if the level is measured in one.
    pub(crate) fn window(&self) -> Option<&WindowTally> {
        self.totals.tally.scope.window()
    }

    /// The open loop's arrivals, if it is one.
    pub(crate) fn schedule(&self) -> Option<Schedule> {
        match self.load().arrivals {
            Arrivals::Closed { .. } => None,
            Arrivals::Open(schedule) => Some(schedule),
        }
    }

    /// When an arrival of the open loop is intended, in nanoseconds since the level fired.
    pub(crate) fn arrival_ns(&self, arrival: u32) -> Option<u64> {
        self.walk()?.nth(usize::try_from(arrival).ok()?)
    }

    fn walk(&self) -> Option<std::iter::Take<Walk>> {
        let planned = &self.record.planned;
        let walk = self.schedule()?.walk(self.seed, planned.phase, planned.place);
        Some(walk.take(WALK_MAX))
    }

    /// The load as one number: users, or requests per second.
    pub(crate) fn load_value(&self) -> f64 {
        self.schedule().map_or(f64::from(self.load().users), |open| open.rate.settled().value())
    }

    /// Seconds that are measured.
    pub(crate) fn length_s(&self) -> Option<f64> {
        self.period.map(Period::length_s)
    }

    /// Mean time from send to last token, in seconds.
    pub(crate) fn e2e_mean_s(&self) -> Option<f64> {
        self.tally().latencies.e2e.mean_us().map(|us| us / 1e6)
    }

    /// How fast the level is.
    pub(crate) fn throughput(&self) -> Option<Throughput> {
        let above_0 = |rate: Option<f64>| rate.filter(|rate| *rate > 0.0);
        let single = |of, per_s| Throughput { of, per_s, half_width: None };
        if let Some(output) = above_0(self.rates.output) {
            let half_width = self.output_interval.map(|means| means.half_width);
            return Some(Throughput { of: Counted::Output, per_s: output, half_width });
        }
        let prompt = above_0(self.rates.prompt).map(|rate| single(Counted::Prompt, rate));
        let requests = || above_0(self.rates.requests).map(|r| single(Counted::Requests, r));
        prompt.or_else(requests)
    }

    /// Share of the requests intended that met every objective.
    pub(crate) fn good_share(&self) -> Option<f64> {
        self.period?;
        stats::ratio(self.tally().good as f64, self.intended as f64)
    }

    /// Token-bearing events per second; `None` for what is no result or too short to say.
    pub(crate) fn events_per_s(&self) -> Option<f64> {
        events_per_s(self.tally(), self.period?)
    }

    /// Rates per unit of what the target runs on.
    pub(crate) fn per_unit(&self, hardware: Hardware) -> PerUnit {
        let over = |rate: Option<f64>, units: Option<f64>| stats::ratio(rate?, units?);
        let Rates { output, total, .. } = self.rates;
        PerUnit {
            output_per_gpu: over(output, hardware.gpus),
            total_per_gpu: over(total, hardware.gpus),
            total_per_active_b: over(total, hardware.active_params_b),
            total_per_watt: over(total, hardware.watts),
        }
    }

    /// The interval of the output rate, from batches as long as a request, or half as long where
    /// that leaves too few: what comes within one request depends on itself. More batches than
    /// [`BATCHES`] would be too wide apart: in a closed loop a piece of an answer that just misses
    /// one batch is in the next, so neighbours differ by more than chance, the more the shorter
    /// they are, and the mean is known better than they say.
    fn interval(&self) -> Option<BatchMeans> {
        let course = self.course.as_ref()?;
        self.rates.output?;
        let slots = course.output.len();
        let request = self.e2e_mean_s().unwrap_or(0.0) / course.slot_s;
        let (whole, half) = (request.ceil() as usize, (request / 2.0).ceil() as usize);
        let least = if whole.saturating_mul(WHOLE_REQUESTS) <= slots { whole } else { half };
        BatchMeans::of(&course.output, least.max(slots / BATCHES).max(1))
    }

    fn count_intended(&self) -> u64 {
        let taken_up = self.tally().measured.started;
        let (Some(schedule), Some(mut walk), Some(period)) =
            (self.schedule(), self.walk(), self.period)
        else {
            return taken_up;
        };
        let planned = match self.load().requests() {
            Some(requests) => requests,
            None => {
                let before = walk.find(|ns| *ns >= period.from_ns);
                let first = u64::from(before.is_some_and(|ns| ns < period.until_ns));
                let counted = walk.by_ref().take_while(|ns| *ns < period.until_ns).count();
                // The iterator is at its end only if the walk was longer than what is counted.
                if before.is_none() || walk.next().is_none() {
                    (schedule.rate.settled().value() * period.length_s()) as u64
                } else {
                    counted as u64 + first
                }
            }
        };
        planned.max(taken_up)
    }
}

impl Period {
    fn new(from_ns: u64, until_ns: u64) -> Option<Self> {
        (until_ns > from_ns).then_some(Self { from_ns, until_ns })
    }

    /// Its length in seconds.
    pub(crate) fn length_s(self) -> f64 {
        (self.until_ns - self.from_ns) as f64 / 1e9
    }
}

impl InFlight {
    fn of(tally: &Tally, load: Load, period: Period) -> Self {
        let Period { from_ns, until_ns } = period;
        let floor = IN_FLIGHT_SLOT_MIN.value * f64::from(load.users);
        let slots: Vec<f64> = series::in_flight(tally, period).collect();
        let min = slots.iter().copied().reduce(f64::min);
        match tally.scope.window() {
            // A slot that the window's edge cuts says nothing about the part inside.
            Some(window) => {
                let below = slots.iter().filter(|mean| **mean < floor).count();
                Self {
                    mean: stats::ratio(window.in_flight_ns as f64, (until_ns - from_ns) as f64),
                    min,
                    below_95pct_share: stats::ratio(below as f64, slots.len() as f64),
                }
            }
            None => Self {
                mean: tally.in_flight.mean(from_ns, until_ns),
                min,
                below_95pct_share: tally.in_flight.share_below(floor, from_ns, until_ns),
            },
        }
    }
}

/// Rates: in a window by what arrived in it, of a level that is measured whole by all of it.
fn rates(tally: &Tally, period: Period) -> Rates {
    let tokens = &tally.tokens;
    let arrived = match tally.scope.window() {
        Some(window) => window.arrived,
        None => Arrived::of(&tally.measured, tokens),
    };
    let per_s = |count: u64| rate_of(count, period);
    let counted = |count: u64| token_rate_of(count, (&tally.measured, tokens), period);
    Rates {
        requests: per_s(arrived.requests),
        output: counted(arrived.output),
        prompt: counted(arrived.prompt),
        uncached_prompt: counted(arrived.prompt.saturating_sub(arrived.cached_prompt)),
        total: counted(arrived.prompt + arrived.output),
        wasted: per_s(arrived.wasted),
        good: per_s(tally.good),
    }
}

fn rate_of(count: u64, period: Period) -> Option<f64> {
    stats::ratio(count as f64, period.length_s())
}

/// Successes of which the server counted no token have an unknown rate, not one of 0.
fn token_rate_of(
    count: u64,
    (measured, tokens): (&Counts, &Tokens),
    period: Period,
) -> Option<f64> {
    let succeeded = measured.succeeded;
    let is_known = succeeded > 0 && tokens.without_usage < succeeded;
    rate_of(count, period).filter(|_| is_known)
}

#[cfg(test)]
mod tests;
