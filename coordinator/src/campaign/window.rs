//! How long the window of a level is, where a campaign does not state its length.
//!
//! The method, section 3.6: 3, 5 or 10 mean durations of a request and as many requests per user,
//! at least a minute, and at least the requests that certify the highest quantile that is
//! reported.

use std::time::Duration;

use common::arrivals::Arrivals;
use common::assignment::{End, Load};
use common::phase::Phase;

use super::judging::Floor;
use super::raw::Collector;
use super::read::{Field, Section};
use super::{PhasePlan, SearchPlan, Tier, WindowPlan};

/// The shortest window that can be asked for: agents report once a second.
const SHORTEST: Duration = Duration::from_secs(1);
/// At least, where nothing else is stated.
const LEAST: Duration = Duration::from_secs(60);
/// Requests that certify the p99, the highest quantile of every report.
const REQUESTS_LEAST: u64 = 662;
/// Requests that certify the p95, by which latencies are compared with the baseline's where it has
/// too few for the p99. One user makes a request after another, and 662 of them would take hours.
const BASELINE_REQUESTS: u64 = 130;
/// A warm-up is never judged: it lasts until every user has been answered twice, so that weights
/// are loaded and kernels compiled, and not longer than a server needs for that.
const WARMUP: Bounds = Bounds { least: Duration::from_secs(10), most: Duration::from_secs(300) };
const WARMUP_TURNS: u32 = 2;
/// Mean durations of a request, and requests per user, of the quick tier.
const QUICK_TURNS: u32 = 3;

/// The shortest and the longest window of a campaign; the first is not above the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) least: Duration,
    pub(super) most: Duration,
}

impl Bounds {
    /// The bounds of the windows of a campaign; `None` if no window is bounded by the campaign: it
    /// has a stated length, or is a warm-up's.
    pub(super) fn of(phases: &[PhasePlan], search: Option<&SearchPlan>) -> Option<Self> {
        let levels = phases
            .iter()
            .filter(|phase| phase.phase != Phase::Warmup)
            .flat_map(|phase| &phase.levels)
            .chain(search.map(|search| &search.level));
        let mut windows = levels.filter_map(|level| level.window);
        let window = windows.find(|window| !window.is_fixed())?;
        Some(Self { least: window.least, most: window.most })
    }
}

/// The table `window`; `None` if there was any problem with it.
pub(super) fn read_bounds(
    field: Option<Field<'_>>,
    tier: Option<Tier>,
    c: &mut Collector<'_>,
) -> Option<Bounds> {
    let default = Bounds { least: LEAST, most: most_of(tier?) };
    let Some(field) = field else {
        return Some(default);
    };
    let section = Section::open(&field, &["least", "most"], c)?;
    let mut read = |key: &str| match section.get(key) {
        Some(field) => read_length(&field, c).map(Some),
        None => Some(None),
    };
    let (least, most) = (read("least"), read("most"));
    let bounds = match (least?, most?) {
        (None, None) => default,
        (Some(least), None) => Bounds { least, most: default.most.max(least) },
        (None, Some(most)) => Bounds { least: default.least.min(most), most },
        (Some(least), Some(most)) => Bounds { least, most },
    };
    if bounds.least <= bounds.most {
        Some(bounds)
    } else {
        section.get("least")?.refuse(c, "must not be longer than most")
    }
}

/// The length of a window.
pub(super) fn read_length(field: &Field<'_>, c: &mut Collector<'_>) -> Option<Duration> {
    let length = field.duration(c)?;
    if length < SHORTEST {
        return field.refuse(c, "must be at least 1s: agents report once a second");
    }
    Some(length)
}

/// Twenty times the method's shortest window by default, and room for slow requests when
/// thorough. A window always ends.
fn most_of(tier: Tier) -> Duration {
    Duration::from_secs(match tier {
        Tier::Quick => 10 * 60,
        Tier::Default => 20 * 60,
        Tier::Thorough => 60 * 60,
    })
}

impl WindowPlan {
    /// A window of exactly this length.
    pub(crate) fn fixed(length: Duration) -> Self {
        Self { least: length, most: length, turns: 0, requests: 0, precise: false }
    }

    /// The window of a searched level, to which its load adds what its users need. It is the quick
    /// tier's, whatever the tier (the method, section 3.13): levels that decide are repeated.
    pub(super) fn searched(bounds: Bounds, requests: u64) -> Self {
        let Bounds { least, most } = bounds;
        Self { least, most, turns: QUICK_TURNS, requests, precise: false }
    }

    /// Whether the campaign states its length.
    pub(crate) fn is_fixed(&self) -> bool {
        self.turns == 0
    }

    /// The window of a level whose length the campaign does not state.
    pub(super) fn of(
        phase: Phase,
        tier: Tier,
        load: Load,
        bounds: Bounds,
        floor: Option<Floor>,
    ) -> Self {
        let Bounds { least, most } = bounds;
        let turns = match tier {
            Tier::Quick => QUICK_TURNS,
            Tier::Default => 5,
            Tier::Thorough => 10,
        };
        // Slots of an open loop are no users that could take turns.
        let users = match load.arrivals {
            Arrivals::Closed { .. } => u64::from(load.users),
            Arrivals::Open(_) => 0,
        };
        let per_user = users * u64::from(turns);
        match phase {
            Phase::Warmup => Self {
                least: WARMUP.least,
                most: WARMUP.most,
                turns: WARMUP_TURNS,
                requests: users.max(1) * u64::from(WARMUP_TURNS),
                precise: false,
            },
            Phase::Baseline => {
                let requests = per_user.max(BASELINE_REQUESTS);
                Self { least, most, turns, requests, precise: false }
            }
            Phase::Scaling | Phase::Stress | Phase::Saturation => {
                let certified = floor.map_or(0, |floor| floor.requests);
                let requests = per_user.max(REQUESTS_LEAST).max(certified);
                let precise = match tier {
                    Tier::Quick | Tier::Default => false,
                    Tier::Thorough => true,
                };
                Self { least, most, turns, requests, precise }
            }
        }
    }

    /// The shortest that it can be: in an open loop the requests that it waits for arrive at a
    /// known rate.
    pub(crate) fn shortest(&self, load: Load) -> Duration {
        let wanted = match load.arrivals {
            Arrivals::Closed { .. } => Duration::ZERO,
            Arrivals::Open(schedule) => {
                let seconds = self.requests as f64 / schedule.rate.settled().value();
                // In whole seconds: the arrivals are random anyway.
                Duration::from_secs(seconds.ceil() as u64)
            }
        };
        self.least.max(wanted).min(self.most)
    }

    /// The requests that an open loop is expected to intend in a window of this length, at the rate
    /// at which it settles; `None` in closed loop and for a count.
    pub(crate) fn expected(load: Load, length: Duration) -> Option<f64> {
        match (load.arrivals, load.end) {
            (Arrivals::Open(schedule), End::Window) => {
                Some(schedule.rate.settled().value() * length.as_secs_f64())
            }
            (Arrivals::Closed { .. }, _) | (Arrivals::Open(_), End::Requests(_)) => None,
        }
    }
}
