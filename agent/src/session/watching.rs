//! A running level's watch over the host.

use common::assignment::End;
use common::time::Tick;

use super::{Level, Session};
use crate::clock::Clock;
use crate::health::{Host, Watch};
use crate::load::LevelPlan;
use crate::load::worker::Worker;

impl Session {
    /// A watch for a level that fires at `fire`.
    pub(super) fn watch(&self, plan: &LevelPlan, fire: Tick) -> Watch {
        let seats = self.workers.iter().map(Worker::seat).collect();
        let targets = plan.routes.iter().flat_map(|route| route.addresses.iter().copied());
        let host = Host::new(self.inner.clock, seats, targets);
        match plan.assignment.load.end {
            End::Requests(_) => Watch::start(host, Some(fire)),
            End::Window => Watch::start(host, None),
        }
    }
}

impl Level {
    /// The host is to be looked at; never while nothing is measured.
    pub(super) async fn watch_due(&self, clock: Clock) {
        let due = match self {
            Self::Running(running) => running.watch.due(),
            Self::None | Self::Armed(_) | Self::Sealed(_) => None,
        };
        match due {
            Some(due) => tokio::time::sleep_until(clock.instant(due)).await,
            None => std::future::pending().await,
        }
    }

    /// Looks at it.
    pub(super) fn look(&mut self) {
        if let Self::Running(running) = self {
            running.watch.look();
        }
    }
}
