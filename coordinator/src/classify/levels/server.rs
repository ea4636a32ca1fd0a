//! Whether a level was measured on the server that the run began with, or that its arm of an
//! ablation did.

use super::Context;
use crate::classify::{Code, Verdict};
use crate::measure::Measured;
use crate::record::{Asked, IdentityRecord};

/// Another model or version than at the start.
pub(super) struct Changed {
    /// What strikes the level.
    pub(super) verdict: Verdict,
    /// It was found when the run was over: while it ran, nobody could know.
    pub(super) found_later: bool,
}

/// Whether the server was another one. Of a server that is found changed at the end it is not known
/// since when, so all levels are struck, unless a restart had brought the same one already.
pub(super) fn changed(level: &Measured<'_>, context: &Context<'_>) -> Option<Changed> {
    let (first, later) = context.servers.of_arm(level.record.planned.arm).split_first()?;
    let is_other =
        |record: &&&IdentityRecord| !first.identity.differences(&record.identity).is_empty();
    let others = || later.iter().filter(is_other);
    let restart = |record: &&&IdentityRecord| match record.asked {
        Asked::Restarted { ordinal } => level.record.id.ordinal >= ordinal,
        Asked::Began | Asked::Ended => false,
    };
    // A later restart may have brought the first one back.
    let newest = later.iter().rfind(restart);
    if let Some(record) = newest.filter(is_other) {
        return Some(Changed::of(first, record, "after a restart", false));
    }
    let end = others().find(|record| record.asked == Asked::Ended)?;
    let is_known = others().any(|record| {
        record.asked != Asked::Ended && record.identity.differences(&end.identity).is_empty()
    });
    (!is_known).then(|| Changed::of(first, end, "at the end", true))
}

impl Changed {
    fn of(first: &IdentityRecord, other: &IdentityRecord, when: &str, found_later: bool) -> Self {
        let text = format!("{when} {}", first.identity.differences(&other.identity).join("; "));
        Self { verdict: Verdict::invalid(Code::ServerChanged, text), found_later }
    }
}
