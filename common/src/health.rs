//! What an agent's host told of itself while a level was measured.
//!
//! Values only: agents read them, the coordinator judges by them. What a host does not state is
//! `None`, never 0.

/// An agent's workers and its host over the measured time of a level. Shares are parts of 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// Its workers, by their number.
    pub workers: Vec<WorkerHealth>,
    /// Share of the time of the host's processors that its hypervisor gave to others.
    pub steal: Option<f64>,
    /// Share of the scheduling periods in which a quota held the agent up.
    pub throttled: Option<f64>,
    /// Open files of the agent's process: the most seen, and its limit.
    pub fds: Option<Used>,
    /// TCP sockets of the host, which are at least as many as it has local ports in use: the most
    /// seen, and the local ports there are towards one address.
    pub ports: Option<Used>,
    /// TCP segments of the host.
    pub segments: Option<Segments>,
    /// Round trips of connections to the target, as the kernel estimates them.
    pub round_trip: Option<RoundTrip>,
    /// The interface towards the target; of several the one with the least to spare.
    pub link: Option<LinkUse>,
}

/// One worker. Shares are of the measured time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WorkerHealth {
    /// Share of a core that it used.
    pub cpu: Option<f64>,
    /// Share of the time that it could have run and waited for a core.
    pub wait: Option<f64>,
    /// The same, of its worst second.
    pub wait_max: Option<f64>,
    /// The processor that it is bound to.
    pub processor: Option<u32>,
    /// Share of that processor's time that the hypervisor gave to others.
    pub steal: Option<f64>,
}

/// How much of something is used, and how much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// In use.
    pub used: u64,
    /// There is; at least 1.
    pub limit: u64,
}

/// TCP segments of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// Sent, those that were sent again left out.
    pub sent: u64,
    /// Sent again, because nobody acknowledged them.
    pub retransmitted: u64,
}

/// Round trips of a sample of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrip {
    /// Connections looked at, at the last look; at least 1.
    pub connections: u32,
    /// The median of their smoothed round trips, in µs.
    pub median_us: u32,
    /// The largest of them at any look, in µs.
    pub max_us: u32,
}

/// The use of a network interface.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkUse {
    /// Its name.
    pub name: String,
    /// Bytes per second in the direction that carried more.
    pub bytes_per_s: u64,
    /// Their share of what it can carry; `None` if it does not say what that is, as those do that
    /// are not made of hardware.
    pub share: Option<f64>,
}

impl Used {
    /// The share in use.
    pub fn share(self) -> f64 {
        self.used as f64 / self.limit.max(1) as f64
    }
}

impl Segments {
    /// The share that was sent again; `None` if none was sent.
    pub fn retransmitted_share(self) -> Option<f64> {
        let all = self.sent.saturating_add(self.retransmitted);
        (all > 0).then(|| self.retransmitted as f64 / all as f64)
    }
}

impl Health {
    /// The worker that waited the longest for a core, and its share of the time.
    pub fn longest_wait(&self) -> Option<(usize, f64)> {
        self.most(|worker| worker.wait)
    }

    /// The largest share that was stolen: of the host, or of a processor that a worker is bound to.
    pub fn most_stolen(&self) -> Option<f64> {
        let bound = self.most(|worker| worker.steal).map(|(_, share)| share);
        [self.steal, bound].into_iter().flatten().reduce(f64::max)
    }

    fn most(&self, of: impl Fn(&WorkerHealth) -> Option<f64>) -> Option<(usize, f64)> {
        let known = self.workers.iter().enumerate();
        let known = known.filter_map(|(index, worker)| Some((index, of(worker)?)));
        known.reduce(|a, b| if b.1 > a.1 { b } else { a })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_stated_is_no_maximum() {
        let worker = |wait, steal| WorkerHealth { wait, steal, ..WorkerHealth::default() };
        let mut health = Health { workers: vec![worker(None, None)], ..Health::default() };
        assert_eq!((health.longest_wait(), health.most_stolen()), (None, None));
        health.workers.push(worker(Some(0.0), Some(0.25)));
        health.workers.push(worker(Some(0.5), None));
        assert_eq!((health.longest_wait(), health.most_stolen()), (Some((2, 0.5)), Some(0.25)));
        health.steal = Some(0.75);
        assert_eq!(health.most_stolen(), Some(0.75));
    }
}
