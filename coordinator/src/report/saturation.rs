//! What a report says of saturation: by the levels, or by a search.

use serde::Serialize;

use super::model::{LevelReport, Real};
use crate::classify::Code;

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
    /// What a search has found, without the users if levels that would be saturated lack the proof
    /// of the client that they need: nobody knows whose limit it was.
    pub(super) fn if_proven(self, levels: &[LevelReport]) -> Self {
        let lacks = |level: &LevelReport| {
            level.verdicts.iter().any(|verdict| verdict.code == Code::Unproven)
        };
        if self.users.is_none() || !levels.iter().any(lacks) {
            return self;
        }
        let because = format!(
            "{}: no proof of the client covers what was measured; {}",
            Code::Unproven.name(),
            self.because
        );
        Self { users: None, because, ..self }
    }

    /// That of an ablation, whose two servers each have their own.
    pub(super) fn of_neither(self) -> Self {
        let because = "an ablation compares two servers, and each saturates by itself".to_owned();
        Self { users: None, because, ..self }
    }

    /// What a search has found, without any of it if its levels turned out to be none.
    pub(super) fn if_same_server(self, levels: &[LevelReport]) -> Self {
        match withdrawn(levels) {
            None => self,
            Some(why) => Self {
                goal: self.goal,
                answer: Some("struck"),
                ..Self::of_levels(None, self.method, format!("not found: {why}"))
            },
        }
    }

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

/// Why no answer of a search holds, whatever it was when the run ended: the search took its levels
/// for results, and then the server turned out to be another one.
pub(super) fn withdrawn(levels: &[LevelReport]) -> Option<String> {
    let searched = levels.iter().filter(|level| level.purpose.is_some());
    let struck = searched.filter(|level| level.facts.changed_later);
    let mut verdicts = struck.flat_map(|level| &level.verdicts);
    let changed = verdicts.find(|verdict| verdict.code == Code::ServerChanged)?;
    let code = changed.code.name();
    Some(format!("{code} strikes every level of the search: {}", changed.evidence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::{Effect, Verdict};
    use crate::report::ReportModel;
    use crate::testdata::run;

    #[test]
    fn what_a_search_found_is_held_back_where_the_client_is_not_proven() {
        let found = Saturation {
            ci: Real::new(5.0).zip(Real::new(7.0)).map(|(low, high)| [low, high]),
            ..Saturation::of_levels(Some(6), "search", "saturates at 6 users".to_owned())
        };
        let mut levels = ReportModel::new(&run(), &[]).levels;
        assert_eq!(found.clone().if_proven(&levels), found);
        let (code, effect, evidence) = (Code::Unproven, Effect::Warn, String::new());
        levels[1].verdicts.push(Verdict { code, effect, evidence });
        let held = found.clone().if_proven(&levels);
        assert_eq!((held.users, held.ci), (None, found.ci));
        assert!(held.because.starts_with("UNPROVEN: ") && held.because.ends_with("at 6 users"));
    }
}
