//! What a report says of saturation: by the levels, or by a search.

use serde::Serialize;

use super::model::Real;

/// Where the target saturates.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Saturation {
    /// At how many users.
    pub users: Option<u32>,
    /// By which method.
    pub method: &'static str,
    /// Confidence interval of the users.
    pub ci: Option<[Real; 2]>,
    /// The numbers behind it, or why there are none.
    pub because: String,
    /// What a search looked for, `saturation` or `slo`; this and all below is `None` without one.
    pub goal: Option<&'static str>,
    /// How it ended, in one word.
    pub answer: Option<&'static str>,
    /// The highest rate, where saturation was found.
    pub rate_max: Option<RateMax>,
    /// The most users that were run without the server failing, where saturation was found.
    pub measured_up_to: Option<u32>,
    /// The largest load at which the objectives are met for certain.
    pub capacity: Option<Capacity>,
    /// The universal scalability law fitted to the levels.
    pub usl: Option<Usl>,
    /// The users with the highest power, rate squared over users.
    pub n_power: Option<u32>,
}

/// The highest throughput, of completion tokens unless there are none, with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RateMax {
    /// Per second.
    pub per_s: Option<Real>,
    /// Its lower end.
    pub low: Option<Real>,
    /// Its upper end.
    pub high: Option<Real>,
}

/// The largest load at which objectives are met, in users or requests per second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Capacity {
    /// Users; `None` of a rate.
    pub users: Option<u32>,
    /// Requests per second; `None` of users.
    pub rate_per_s: Option<Real>,
    /// The smallest load at which they are not met for certain, in the same unit.
    pub missed: Option<Real>,
}

/// A universal scalability law.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Usl {
    /// Rate of one request in flight.
    pub lambda: Option<Real>,
    /// Contention.
    pub sigma: Option<Real>,
    /// Coherency.
    pub kappa: Option<Real>,
    /// Requests in flight at its peak; `None` if that lies beyond what was measured.
    pub peak_users: Option<Real>,
}

impl Saturation {
    /// What levels tell that no search has found.
    pub(super) fn of_levels(users: Option<u32>, method: &'static str, because: String) -> Self {
        Self {
            users,
            method,
            ci: None,
            because,
            goal: None,
            answer: None,
            rate_max: None,
            measured_up_to: None,
            capacity: None,
            usl: None,
            n_power: None,
        }
    }
}
