//! What a workload has beside lengths and a cache mode, as a text in a column.

use common::workload::Workload;
use serde::{Deserialize, Serialize};

use super::states;

/// What a workload has beside lengths and a cache mode; each part absent where it has none.
#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct More {}

impl More {
    /// The workload with all of this.
    pub(super) fn on(self, plain: Workload) -> Workload {
        plain
    }
}

/// As text; `None` where there is nothing more.
pub(super) fn text(_workload: &Workload) -> Option<String> {
    let more = More {};
    (more != More::default()).then(|| states::text(&more))
}

/// From its text.
pub(super) fn of(text: &str) -> Option<More> {
    serde_json::from_str(text).ok()
}
