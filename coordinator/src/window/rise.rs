//! Whether the load of a level is up: nothing that comes from how it began is left.

use std::time::Duration;

use common::arrivals::Arrivals;
use common::assignment::Load;
use common::workload::Workload;

use super::live::Live;
use crate::stats::mser5;

/// Share of the users that must be in flight (the method, section 3.12).
const IN_FLIGHT_SHARE: f64 = 0.98;
/// Over how long.
const IN_FLIGHT_OVER: Duration = Duration::from_secs(2);
/// Requests per user that warm a server up (the method, section 3.6).
const WARM_UP: u64 = 2;
/// Requests that say how long one takes, where nothing says how many are open.
const ENDED_MIN: u64 = 10;
/// Slots of the series that must have settled: up to 1 s each (the method, section 3.9), and at
/// least so many.
const SLOT_MAX: Duration = Duration::from_secs(1);
const SLOTS_MIN: usize = 50;
/// A level that has not come up after this time, or after so many durations of a request, is
/// measured as it is: whether it was steady is judged afterwards.
const BUDGET_MIN: Duration = Duration::from_secs(60);
const BUDGET_TURNS: u32 = 20;
/// By then every user has had its warm-up requests and one more, though each took as long as a
/// request can.
const BUDGET_TIMEOUTS: u32 = 4;

/// What a rising load waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wait {
    /// The end of its ramp, and the agents' first reports.
    Ramp,
    /// Requests to end.
    Requests {
        /// So many have.
        ended: u64,
        /// So many must.
        needed: u64,
    },
    /// Every user to have turned over: the load has been up for hardly longer than the longest
    /// request took.
    Turn,
    /// Users to be in flight.
    InFlight {
        /// So many are.
        mean: f64,
        /// So many must be.
        needed: f64,
    },
    /// What comes from the target to settle.
    Settling,
}

/// How long things can take, by timeouts and by what users do.
#[derive(Clone, Copy, Debug)]
pub struct Longest {
    /// One request.
    pub request: Duration,
    /// A user's pause after an answer; `None` if users do not wait. Users who do are people, and
    /// not requests in flight.
    pub pause: Option<Duration>,
}

impl Longest {
    /// Where requests take no longer than `request`, and users do what this workload says.
    pub fn of(request: Duration, workload: &Workload) -> Self {
        Self { request, pause: workload.think_most() }
    }

    /// From one request of a user to its next.
    pub fn turn(self) -> Duration {
        self.request.saturating_add(self.pause.unwrap_or_default())
    }
}

/// The longest that a load can rise, whatever its requests do.
pub fn rise_max(load: Load, longest: Longest) -> Duration {
    let most = longest.turn().saturating_mul(BUDGET_TIMEOUTS).max(BUDGET_MIN);
    load.arrivals.ramp().saturating_add(most)
}

/// How long this load may rise, if a request lasts `turn`.
pub(super) fn budget(load: Load, longest: Longest, turn: Option<Duration>) -> Duration {
    let turn = turn.unwrap_or_default().saturating_add(longest.pause.unwrap_or_default());
    let turns = turn.saturating_mul(BUDGET_TURNS).max(BUDGET_MIN);
    load.arrivals.ramp().saturating_add(turns).min(rise_max(load, longest))
}

/// What the load waits for; `None` if it is up. `pause` is the longest that users wait themselves.
pub(super) fn look(live: &Live, load: Load, pause: Option<Duration>) -> Option<Wait> {
    let reported = live.horizon();
    let ramp = load.arrivals.ramp();
    if reported.is_zero() || reported < ramp {
        return Some(Wait::Ramp);
    }
    let up_for = reported - ramp;
    let ended = live.ended();
    let (needed, turned) = match load.arrivals {
        // Whoever is still in a first request would be half as long again as the longest that
        // ended.
        Arrivals::Closed { .. } => {
            (WARM_UP.saturating_mul(load.users.into()), live.latency_max().mul_f64(1.5))
        }
        Arrivals::Open(_) => (ENDED_MIN, live.mean_duration().unwrap_or_default()),
    };
    if ended < needed {
        return Some(Wait::Requests { ended, needed });
    }
    if up_for < turned.saturating_add(pause.unwrap_or_default()) {
        return Some(Wait::Turn);
    }
    match load.arrivals {
        Arrivals::Closed { .. } if pause.is_some() => {}
        Arrivals::Closed { .. } => {
            let mean = live.in_flight(IN_FLIGHT_OVER).unwrap_or(0.0);
            let needed = IN_FLIGHT_SHARE * f64::from(load.users);
            if mean < needed {
                return Some(Wait::InFlight { mean, needed });
            }
        }
        Arrivals::Open(_) => {}
    }
    let series = live.output(ramp).in_slots(SLOTS_MIN, SLOT_MAX);
    match mser5(&series) {
        Some(mser) if mser.settled => None,
        Some(_) | None => Some(Wait::Settling),
    }
}
