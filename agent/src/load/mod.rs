//! Generating load: workers, their users or arrivals, connections, and what they record.
//!
//! A worker is one thread with one current-thread runtime. It owns its users, their connections
//! and its recorder; nothing on the path of a request is shared with another thread, but for the
//! lease's deadline, which is read and never written there.
//!
//! | Module | What it is |
//! |---|---|
//! | [`worker`] | the thread: orders, lease, reports |
//! | `user` | closed loop: one virtual user |
//! | `line`, `slots`, `alarm` | open loop: arrivals, who takes them up, what wakes for them |
//! | `caller`, `request` | one request at a time, and its record |
//! | `channel`, `conn`, `frames` | a connection, and what HTTP/2 has beside |
//! | `wire`, `stamp` | its socket, and when the kernel received what is read |
//! | `recorder`, [`cpu`] | what a worker records of the level, and of itself |
//! | [`seat`] | its thread, and the processor that it is bound to |

mod alarm;
mod caller;
mod channel;
mod conn;
pub(crate) mod cpu;
mod frames;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod https;
mod line;
#[cfg(test)]
mod open;
mod recorder;
mod request;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod scripted;
pub(crate) mod seat;
mod shared;
#[cfg(test)]
mod sliced;
mod slots;
mod stamp;
#[cfg(test)]
mod thinking;
mod user;
#[cfg(test)]
mod windows;
mod wire;
pub(crate) mod worker;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use common::assignment::{Assignment, Share};
use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;

use crate::compose::Composers;
use crate::lease::Deadline;

/// A level as every worker of an agent gets it.
pub(crate) struct LevelPlan {
    /// The agent's share.
    pub(crate) assignment: Assignment,
    /// The bytes of its requests.
    pub(crate) composer: Composers,
    /// The way to each of the target's base URLs, in their order.
    pub(crate) routes: Vec<Route>,
    /// No request is started once this has passed.
    pub(crate) lease: Deadline,
}

/// The way to one base URL of the target.
pub(crate) struct Route {
    /// Where it is, checked against the policy and pinned for the level.
    pub(crate) addresses: Vec<SocketAddr>,
    /// The host's own addresses that connections are spread over; none where the system takes one.
    pub(crate) sources: Vec<IpAddr>,
    /// How TLS is spoken, if it is.
    pub(crate) tls: Option<Tls>,
}

/// How TLS is spoken to the target.
pub(crate) struct Tls {
    pub(crate) connector: TlsConnector,
    pub(crate) name: ServerName<'static>,
}

/// The part of an agent's share that one of its workers takes.
pub(crate) fn worker_share(share: Share, worker: u32, workers: u32) -> Share {
    let count = if worker < share.count { (share.count - worker - 1) / workers + 1 } else { 0 };
    let first = share.first.0.saturating_add(worker.saturating_mul(share.step));
    Share { first: common::ids::UserId(first), step: share.step.saturating_mul(workers), count }
}

/// A level's plan, shared by the workers.
pub(crate) type SharedPlan = Arc<LevelPlan>;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use common::assignment::Load;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn workers_split_an_agents_share_without_rest(
            users in 1u32..500, agents in 1u32..9, agent in 0u32..9, workers in 1u32..9
        ) {
            let share = Load::counted(users, 1).share(agent % agents, agents);
            let all: BTreeSet<_> = share.users().collect();
            let mut seen = BTreeSet::new();
            for worker in 0..workers {
                for user in worker_share(share, worker, workers).users() {
                    prop_assert!(seen.insert(user));
                }
            }
            prop_assert_eq!(seen, all);
        }
    }
}
