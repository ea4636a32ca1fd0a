//! The generator's own health in a report: its workers, and the hosts they ran on.

use common::health::{Health, LinkUse, RoundTrip, Segments, Used, WorkerHealth};
use serde::Serialize;

use super::model::Real;
use crate::merge::LevelTotals;

/// The generator's own health during a level.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Client {
    /// The highest share of a core that a worker used.
    pub worker_cpu_max: Option<Real>,
    /// How late event loops woke.
    pub loop_lag_p99_ms: Option<Real>,
    /// Kernel's receipt to the agent's read.
    pub receive_lag_p99_ms: Option<Real>,
    /// Intended instant to send.
    pub send_lag_p99_ms: Option<Real>,
    /// What reads were timed by.
    pub receive_stamps: ReceiveStamps,
    /// What the hosts told, the worst of each; left out if none told anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Hosts>,
}

/// How many reads were timed by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ReceiveStamps {
    /// By the kernel's receipt of what was read.
    pub kernel: u64,
    /// By the return of the read: there was no stamp, or the wall clock had been set.
    pub user: u64,
}

/// The worst that the hosts of a level told.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Hosts {
    /// Share of the time that a worker waited for a core.
    pub run_queue_wait_share: Option<Real>,
    /// The same, of the worst second.
    pub run_queue_wait_share_max: Option<Real>,
    /// Share of processors that a hypervisor gave to others.
    pub steal_share: Option<Real>,
    /// Share of scheduling periods in which a quota held an agent up.
    pub throttled_share: Option<Real>,
    /// Share of the open files that a process may have.
    pub fds_share: Option<Real>,
    /// TCP sockets over the local ports towards one address.
    pub ports_share: Option<Real>,
    /// Share of TCP segments that were sent again.
    pub tcp_retransmitted_share: Option<Real>,
    /// Median of the smoothed round trips of connections to the target.
    pub tcp_rtt_p50_ms: Option<Real>,
    /// Share of what an interface can carry.
    pub nic_share: Option<Real>,
}

/// What the host of one agent told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HostReport {
    /// Its workers, by their number.
    pub workers: Vec<WorkerReport>,
    /// Share of its processors that its hypervisor gave to others.
    pub steal_share: Option<Real>,
    /// Share of scheduling periods in which a quota held the agent up.
    pub throttled_share: Option<Real>,
    /// The most open files.
    pub fds: Option<UsedReport>,
    /// The most TCP sockets, and the local ports towards one address.
    pub ports: Option<UsedReport>,
    /// TCP segments.
    pub tcp: Option<TcpReport>,
    /// Round trips of a sample of connections to the target.
    pub rtt: Option<RttReport>,
    /// The interface towards the target.
    pub nic: Option<NicReport>,
}

/// One worker.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WorkerReport {
    /// Share of a core that it used.
    pub cpu_share: Option<Real>,
    /// Share of the time that it waited for one.
    pub run_queue_wait_share: Option<Real>,
    /// The same, of the worst second.
    pub run_queue_wait_share_max: Option<Real>,
    /// The processor that it is bound to.
    pub processor: Option<u32>,
    /// Share of that processor that the hypervisor gave to others.
    pub steal_share: Option<Real>,
}

/// How much of something is used, and how much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct UsedReport {
    /// In use.
    pub used: u64,
    /// There is.
    pub limit: u64,
}

/// TCP segments of a host.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TcpReport {
    /// Sent.
    pub segments: u64,
    /// Sent again.
    pub retransmitted: u64,
    /// Share of those in all that were sent.
    pub retransmitted_share: Option<Real>,
}

/// Smoothed round trips of connections.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RttReport {
    /// How many were looked at last.
    pub connections: u32,
    /// Their median.
    pub p50_ms: Option<Real>,
    /// The largest at any look.
    pub max_ms: Option<Real>,
}

/// The use of an interface.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NicReport {
    /// Its name.
    pub name: String,
    /// In the direction that carried more.
    pub bytes_per_s: u64,
    /// Share of what it can carry; `None` if it does not say what that is.
    pub share: Option<Real>,
}

impl Hosts {
    /// The worst of a level's hosts; `None` if none told anything.
    pub(super) fn of(totals: &LevelTotals<'_>) -> Option<Self> {
        let told: Vec<&Health> = totals
            .parts
            .iter()
            .filter_map(|part| part.seal?.snapshot.vitals.health.as_ref())
            .collect();
        let most = |of: &dyn Fn(&Health) -> Option<f64>| {
            told.iter().filter_map(|health| of(health)).reduce(f64::max).and_then(Real::new)
        };
        let worst_second = |health: &Health| {
            health.workers.iter().filter_map(|worker| worker.wait_max).reduce(f64::max)
        };
        (!told.is_empty()).then(|| Self {
            run_queue_wait_share: most(&|health| Some(health.longest_wait()?.1)),
            run_queue_wait_share_max: most(&worst_second),
            steal_share: most(&Health::most_stolen),
            throttled_share: most(&|health| health.throttled),
            fds_share: most(&|health| Some(health.fds?.share())),
            ports_share: most(&|health| Some(health.ports?.share())),
            tcp_retransmitted_share: most(&|health| health.segments?.retransmitted_share()),
            tcp_rtt_p50_ms: most(&|health| Some(f64::from(health.round_trip?.median_us) / 1e3)),
            nic_share: most(&|health| health.link.as_ref()?.share),
        })
    }
}

impl From<&Health> for HostReport {
    fn from(health: &Health) -> Self {
        let used = |Used { used, limit }: Used| UsedReport { used, limit };
        Self {
            workers: health.workers.iter().map(Into::into).collect(),
            steal_share: real(health.steal),
            throttled_share: real(health.throttled),
            fds: health.fds.map(used),
            ports: health.ports.map(used),
            tcp: health.segments.map(|segments| {
                let Segments { sent, retransmitted } = segments;
                let retransmitted_share = real(segments.retransmitted_share());
                TcpReport { segments: sent, retransmitted, retransmitted_share }
            }),
            rtt: health.round_trip.map(|RoundTrip { connections, median_us, max_us }| {
                let ms = |us: u32| Real::new(f64::from(us) / 1e3);
                RttReport { connections, p50_ms: ms(median_us), max_ms: ms(max_us) }
            }),
            nic: health.link.as_ref().map(|LinkUse { name, bytes_per_s, share }| NicReport {
                name: name.clone(),
                bytes_per_s: *bytes_per_s,
                share: real(*share),
            }),
        }
    }
}

impl From<&WorkerHealth> for WorkerReport {
    fn from(worker: &WorkerHealth) -> Self {
        Self {
            cpu_share: real(worker.cpu),
            run_queue_wait_share: real(worker.wait),
            run_queue_wait_share_max: real(worker.wait_max),
            processor: worker.processor,
            steal_share: real(worker.steal),
        }
    }
}

fn real(value: Option<f64>) -> Option<Real> {
    value.and_then(Real::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{ReportModel, summary_json};
    use crate::testdata::run;

    /// A level that every agent took part in.
    const PLACE: usize = 3;

    #[test]
    fn the_worst_of_the_hosts_is_told_of_a_level_and_each_host_of_its_agent() {
        let mut record = run();
        let summary = |record: &_| -> serde_json::Value {
            serde_json::from_str(&summary_json(&ReportModel::new(record, &[]))).unwrap()
        };
        // Agents that tell nothing leave the keys out.
        let silent = summary(&record);
        let level = &silent["levels"][PLACE];
        assert!(
            level["client"].get("host").is_none() && level["per_agent"][0].get("host").is_none()
        );

        let vitals = &mut record.levels[PLACE].shares[0].seal.as_mut().unwrap().snapshot.vitals;
        let worker = |wait| WorkerHealth { wait: Some(wait), ..WorkerHealth::default() };
        vitals.health = Some(Health {
            workers: vec![worker(0.01), worker(0.03)],
            throttled: Some(0.0),
            fds: Some(Used { used: 30, limit: 1000 }),
            segments: Some(Segments { sent: 99, retransmitted: 1 }),
            round_trip: Some(RoundTrip { connections: 4, median_us: 250, max_us: 900 }),
            link: Some(LinkUse { name: "eth0".to_owned(), bytes_per_s: 5000, share: None }),
            ..Health::default()
        });
        let told = summary(&record);
        let level = &told["levels"][PLACE];
        insta::assert_snapshot!(level["client"]["host"], @r#"{"fds_share":0.03,"nic_share":null,"ports_share":null,"run_queue_wait_share":0.03,"run_queue_wait_share_max":null,"steal_share":null,"tcp_retransmitted_share":0.01,"tcp_rtt_p50_ms":0.25,"throttled_share":0.0}"#);
        let host = &level["per_agent"][0]["host"];
        assert_eq!(host["workers"][1]["run_queue_wait_share"], 0.03);
        assert_eq!(host["fds"]["limit"], 1000);
        assert_eq!(host["rtt"]["max_ms"], 0.9);
        assert_eq!(host["nic"]["share"], serde_json::Value::Null);
        assert!(level["per_agent"][1].get("host").is_none());
    }
}
