//! The words by which closed sets are stored and reported.

use crate::campaign::{Mode, Tier};
use crate::record::{Asked, LevelFate, RunOutcome};

pub(crate) fn mode_word(mode: Mode) -> &'static str {
    mode.name()
}

pub(super) fn mode_of(word: &str) -> Option<Mode> {
    Mode::ALL.into_iter().find(|mode| mode_word(*mode) == word)
}

pub(crate) fn tier_word(tier: Tier) -> &'static str {
    match tier {
        Tier::Quick => "quick",
        Tier::Default => "default",
        Tier::Thorough => "thorough",
    }
}

pub(super) fn tier_of(word: &str) -> Option<Tier> {
    let all = [Tier::Quick, Tier::Default, Tier::Thorough];
    all.into_iter().find(|tier| tier_word(*tier) == word)
}

pub(crate) fn outcome_word(outcome: RunOutcome) -> &'static str {
    match outcome {
        RunOutcome::Completed => "completed",
        RunOutcome::Stopped => "stopped",
        RunOutcome::Failed => "failed",
    }
}

pub(super) fn outcome_of(word: &str) -> Option<RunOutcome> {
    let all = [RunOutcome::Completed, RunOutcome::Stopped, RunOutcome::Failed];
    all.into_iter().find(|outcome| outcome_word(*outcome) == word)
}

/// When a target was asked what it is: a word, and the level that it was asked for.
pub(crate) fn asked_words(asked: Asked) -> (&'static str, Option<u32>) {
    match asked {
        Asked::Began => ("began", None),
        Asked::Restarted { ordinal } => ("restarted", Some(ordinal)),
        Asked::Ended => ("ended", None),
    }
}

pub(super) fn asked_of(word: &str, ordinal: Option<u32>) -> Option<Asked> {
    match (word, ordinal) {
        ("began", None) => Some(Asked::Began),
        ("restarted", Some(ordinal)) => Some(Asked::Restarted { ordinal }),
        ("ended", None) => Some(Asked::Ended),
        _ => None,
    }
}

/// A fate's word and its reason.
pub(super) fn fate_words(fate: &LevelFate) -> (&'static str, Option<&str>) {
    match fate {
        LevelFate::Completed => ("completed", None),
        LevelFate::Stopped(because) => ("stopped", Some(because)),
        LevelFate::Quarantined(because) => ("quarantined", Some(because)),
        LevelFate::Failed(because) => ("failed", Some(because)),
    }
}

pub(super) fn fate_of(word: &str, because: String) -> Option<LevelFate> {
    match word {
        "completed" => Some(LevelFate::Completed),
        "stopped" => Some(LevelFate::Stopped(because)),
        "quarantined" => Some(LevelFate::Quarantined(because)),
        "failed" => Some(LevelFate::Failed(because)),
        _ => None,
    }
}
