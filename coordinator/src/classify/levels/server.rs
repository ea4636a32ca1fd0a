//! Whether a level was measured on the server that the run began with, or that its arm of an
//! ablation did.

use super::Context;
use crate::classify::{Code, Verdict};
use crate::measure::Measured;
use crate::record::Asked;

/// Another model or version than at the start. Of a server that is found changed at the end it is
/// not known since when, so all levels are struck.
pub(super) fn changed(level: &Measured<'_>, context: &Context<'_>) -> Option<Verdict> {
    let (first, later) = context.servers.of_arm(level.record.planned.arm).split_first()?;
    later.iter().find_map(|record| {
        let when = match record.asked {
            Asked::Restarted { ordinal } if level.record.id.ordinal >= ordinal => "after a restart",
            Asked::Restarted { .. } => return None,
            Asked::Began | Asked::Ended => "at the end",
        };
        let differences = first.identity.differences(&record.identity);
        (!differences.is_empty()).then(|| {
            let text = format!("{when} {}", differences.join("; "));
            Verdict::invalid(Code::ServerChanged, text)
        })
    })
}
