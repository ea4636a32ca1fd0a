//! Users who think between an answer and their next request, which is a key of a workload.

use common::workload::Workload;

use super::raw::Collector;
use super::read::Field;

/// Refuses a rate of requests of users who think: there are none.
pub(super) fn refuse_thinking(
    rate: &Field<'_>,
    workload: Option<&Workload>,
    c: &mut Collector<'_>,
) -> Option<()> {
    match workload.filter(|workload| workload.think_ms.is_some()) {
        None => Some(()),
        Some(Workload { name, .. }) => rate.refuse(
            c,
            format!(
                "requests at a rate have no users, and those of workload {name} think between \
                 requests; leave think_time out, or say how many users there are"
            ),
        ),
    }
}
