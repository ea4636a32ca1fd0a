//! Repeats: the levels of a campaign once more, in the order that it states, and what is done to
//! the target before each.

use std::time::Duration;

use common::ids::UserId;
use common::phase::Phase;

use super::{Arm, Plan, PlannedLevel, PlannedSearch, Preparation, ablation, proof, unroll};
use crate::campaign::{Campaign, Order, PhasePlan, ResetCache};

impl Plan {
    /// The levels of `campaign`, in the order in which they run, as far as they are known before
    /// the first has ended, and a proof of the client before them. Without more of them to follow
    /// there is no pause after the last.
    pub fn of(campaign: &Campaign) -> Self {
        let (mut levels, more) = match &campaign.ablation {
            Some(ablation) => match ablation::control(campaign, ablation) {
                control if control.is_empty() => (ablation::comparison(campaign, ablation), false),
                control => (control, true),
            },
            None => {
                let repeats = campaign.repeats;
                let until = repeats.until;
                let known = until.map_or(repeats.count, |until| until.least.min(repeats.count));
                let known_levels = (0..known).flat_map(|number| levels(campaign, number, None));
                (known_levels.collect(), known < repeats.count || campaign.search.is_some())
            }
        };
        if let Some(last) = levels.last_mut().filter(|_| !more) {
            last.cooldown = Duration::ZERO;
        }
        let proof = proof::before(&levels, campaign.client_proof);
        let levels: Vec<PlannedLevel> = proof.into_iter().chain(levels).collect();
        let search = campaign.search.as_ref().map(|plan| PlannedSearch::of(plan, &levels));
        Self { levels, search, open: more || campaign.client_proof.after }
    }

    /// The repeats that follow those of [`Plan::of`] unless the interval of the mean is narrow
    /// enough before.
    pub fn spare_repeats(campaign: &Campaign) -> Vec<Vec<PlannedLevel>> {
        let repeats = campaign.repeats;
        let least = repeats.until.map_or(repeats.count, |until| until.least);
        (least..repeats.count).map(|number| levels(campaign, number, None)).collect()
    }

    /// The levels that compare two configurations, which follow those of [`Plan::of`] once A/A has
    /// shown no difference; `None` where nothing is to follow.
    pub fn after_aa(campaign: &Campaign) -> Option<Vec<PlannedLevel>> {
        let ablation = campaign.ablation.as_ref().filter(|ablation| ablation.aa_restarts > 0)?;
        let mut levels = ablation::comparison(campaign, ablation);
        if let Some(last) = levels.last_mut() {
            last.cooldown = Duration::ZERO;
        }
        Some(levels)
    }
}

/// All levels of repeat `number`, from 0, of an arm of an ablation if it is one.
pub(super) fn levels(campaign: &Campaign, number: u32, arm: Option<Arm>) -> Vec<PlannedLevel> {
    let repeats = campaign.repeats;
    let mut levels: Vec<PlannedLevel> =
        campaign.phases.iter().flat_map(|phase| ordered(campaign, phase, number)).collect();
    for (place, level) in levels.iter_mut().enumerate() {
        let first = place == 0;
        level.repeat = number;
        level.arm = arm;
        level.before = Preparation {
            restart_server: first && (repeats.restart_server || arm.is_some()),
            reset_cache: match repeats.reset_cache {
                ResetCache::Never => false,
                ResetCache::Repeat => first,
                ResetCache::Level => true,
            },
        };
    }
    levels
}

/// The levels of a phase in the order of a repeat. Warm-up and baseline stay as they are: the rest
/// is compared with them.
fn ordered(campaign: &Campaign, phase: &PhasePlan, number: u32) -> Vec<PlannedLevel> {
    let mut levels: Vec<PlannedLevel> = unroll(phase).collect();
    let fixed = match phase.phase {
        Phase::Warmup | Phase::Baseline => true,
        Phase::Scaling | Phase::Stress | Phase::Saturation => false,
    };
    match campaign.repeats.order {
        Order::Mirrored if !fixed && number % 2 == 1 => levels.reverse(),
        Order::Random if !fixed => {
            let mut draw = campaign.seed.request(phase.phase, number, UserId(u32::MAX), 0);
            // Fisher and Yates.
            for end in (1..levels.len()).rev() {
                let place = (draw.unit() * (end + 1) as f64) as usize;
                levels.swap(place.min(end), end);
            }
        }
        Order::AsWritten | Order::Mirrored | Order::Random => {}
    }
    levels
}
