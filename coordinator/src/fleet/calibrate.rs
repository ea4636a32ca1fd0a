//! Agents that find what their hosts can carry, all at once.

use common::ceiling::HostCeiling;
use proto::message::Greeting;
use tokio::task::JoinSet;

use super::{Address, dial_all};
use crate::clock::Clock;

/// Has every agent find its host's ceiling; the answers are in the order of the addresses.
pub async fn calibrate_all(
    addresses: &[Address],
    quick: bool,
    clock: Clock,
) -> Vec<Result<(Greeting, HostCeiling), String>> {
    let mut asking = JoinSet::new();
    let mut answers = Vec::new();
    for (place, dialled) in dial_all(addresses, clock).await.into_iter().enumerate() {
        answers.push(match dialled {
            Ok((look, mut conn)) => {
                asking.spawn(async move {
                    let found = conn.calibrate(quick).await.map_err(|error| error.to_string());
                    (place, found.map(|found| (look.greeting, found)))
                });
                Err("it was not asked".to_owned())
            }
            Err(why) => Err(why),
        });
    }
    while let Some(done) = asking.join_next().await {
        if let Ok((place, answer)) = done
            && let Some(slot) = answers.get_mut(place)
        {
            *slot = answer;
        }
    }
    answers
}
