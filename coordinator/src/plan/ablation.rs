//! An ablation unrolled: starts of two configurations of the server in turn, so that whatever
//! drifts meanwhile drifts under both (the method, section 3.14).

use common::ids::UserId;
use common::phase::Phase;
use serde::Serialize;

use super::{PlannedLevel, repeat};
use crate::campaign::{Ablation, Campaign};

/// What a start of the server is for. In A/A the base is compared with itself, which must show no
/// difference, before the new configuration is compared with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// The base, as the base of A/A.
    AaBase,
    /// The base, as what A/A judges.
    AaNew,
    /// The base.
    Base,
    /// The new configuration.
    New,
}

impl Arm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::AaBase, Self::AaNew, Self::Base, Self::New];

    /// The name in stores and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::AaBase => "aa_base",
            Self::AaNew => "aa_new",
            Self::Base => "base",
            Self::New => "new",
        }
    }

    /// What people are told it is.
    pub fn title(self) -> &'static str {
        match self {
            Self::AaBase => "A/A BASE",
            Self::AaNew => "A/A NEW",
            Self::Base => "BASE",
            Self::New => "NEW",
        }
    }

    /// Whether the server runs in the new configuration.
    pub fn is_new_configuration(self) -> bool {
        match self {
            Self::AaBase | Self::AaNew | Self::Base => false,
            Self::New => true,
        }
    }
}

/// The levels of A/A; none where no start is planned for it.
pub(super) fn control(campaign: &Campaign, ablation: &Ablation) -> Vec<PlannedLevel> {
    in_turn(campaign, [Arm::AaBase, Arm::AaNew], ablation.aa_restarts)
}

/// The levels that compare the two configurations.
pub(super) fn comparison(campaign: &Campaign, ablation: &Ablation) -> Vec<PlannedLevel> {
    in_turn(campaign, [Arm::Base, Arm::New], ablation.restarts)
}

/// So many starts of each: one, the other, the other, the one. Which begins is drawn. Both arms of
/// a pair make the same requests in the same order.
fn in_turn(campaign: &Campaign, arms: [Arm; 2], restarts: u32) -> Vec<PlannedLevel> {
    let [first, second] = arms;
    let mut draw =
        campaign.seed.request(Phase::Warmup, u32::from(first == Arm::Base), UserId(u32::MAX), 1);
    let swapped = draw.unit() < 0.5;
    let pair = |number: u32| {
        let swapped = swapped != (number % 2 == 1);
        let arms = if swapped { [second, first] } else { [first, second] };
        arms.map(|arm| (arm, number))
    };
    let starts = (0..restarts).flat_map(pair);
    starts.flat_map(|(arm, number)| repeat::levels(campaign, number, Some(arm))).collect()
}
