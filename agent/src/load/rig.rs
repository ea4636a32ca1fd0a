//! Tests: workers that run one level against a simulator, and are told what to do.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use common::assignment::{Assignment, Load};
use common::length::Length;
use common::snapshot::LevelEnd;
use common::tally::Tally;
use common::time::Tick;
use common::workload::CacheMode;
use proto::secrets::Secrets;
use tokio::sync::mpsc;

use super::worker::{Worker, WorkerOrder, WorkerReport};
use super::{LevelPlan, Route};
use crate::clock::Clock;
use crate::compose::Composers;
use crate::lease::{Deadline, Lease};
use crate::sim::ledger::Entry;
use crate::sim::{self, Profile, SimThread};
use crate::testing::assignment;

/// How long after it is ordered a level fires.
const AHEAD: Duration = Duration::from_millis(60);

/// A level on some workers, and its target.
pub(super) struct Rig {
    pub(super) fire: Tick,
    pub(super) lease: Deadline,
    clock: Clock,
    target: SimThread,
    workers: Vec<Worker>,
    inbox: mpsc::Receiver<WorkerReport>,
    newest: Vec<Option<WorkerReport>>,
}

/// What became of a level.
pub(super) struct Sealed {
    /// The workers' records, merged.
    pub(super) tally: Tally,
    /// How each worker ended.
    pub(super) ends: Vec<LevelEnd>,
    /// What the target truly got, and when, in nanoseconds since the level fired.
    pub(super) truth: Vec<Truth>,
    /// Connections that it accepted.
    pub(super) connections: u64,
}

/// A request as the target saw it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Truth {
    pub(super) arrival_ns: i128,
    pub(super) body_hash: u64,
}

impl Rig {
    /// Starts a level of one agent, with distinct prompts of four tokens.
    pub(super) fn start(profile: Profile, load: Load, workers: u32) -> Self {
        Self::start_with(profile, load, workers, |_| {})
    }

    /// The same, with the assignment changed.
    pub(super) fn start_with(
        profile: Profile,
        load: Load,
        workers: u32,
        change: impl FnOnce(&mut Assignment),
    ) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let target = sim::spawn(address, profile).unwrap();
        let mut assignment = assignment(&format!("http://{}", target.address()));
        assignment.load = load;
        assignment.share = load.share(0, 1);
        assignment.workload.input_tokens = 20.into();
        assignment.workload.cache = CacheMode::Cold;
        change(&mut assignment);
        Self::run(target, assignment, workers)
    }

    /// Starts a closed loop of one worker whose users think for so long.
    pub(super) fn start_thinking(profile: Profile, load: Load, think: Duration) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let target = sim::spawn(address, profile).unwrap();
        let mut assignment = assignment(&format!("http://{}", target.address()));
        assignment.load = load;
        assignment.share = load.share(0, 1);
        assignment.workload.think_ms = Some(Length::Fixed(think.as_millis() as u32));
        Self::run(target, assignment, 1)
    }

    /// Starts a level in which user 0 panics, as every arrival does.
    pub(super) fn start_panicking(load: Load) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let target = sim::spawn(address, Profile::default()).unwrap();
        let mut assignment = assignment(&format!("http://{}", target.address()));
        assignment.load = load;
        assignment.share = load.share(0, 1);
        assignment.target.model = "panic at user 0".to_owned();
        Self::run(target, assignment, 1)
    }

    fn run(target: SimThread, assignment: Assignment, count: u32) -> Self {
        let lease = Lease::grant(Clock::boottime_ns()).deadline().clone();
        let plan = Arc::new(LevelPlan {
            composer: Composers::new(&assignment, &Secrets::default()),
            assignment,
            routes: vec![Route {
                addresses: vec![target.address()],
                sources: Vec::new(),
                tls: None,
            }],
            lease: lease.clone(),
        });
        let clock = Clock::start();
        let (reports, inbox) = mpsc::channel(64);
        let workers: Vec<_> = (0..count)
            .map(|index| Worker::start(index, count, None, clock, reports.clone()).unwrap())
            .collect();
        let fire = clock.now() + AHEAD;
        let newest = workers.iter().map(|_| None).collect();
        let rig = Self { fire, lease, clock, target, workers, inbox, newest };
        rig.order(|| WorkerOrder::Run { plan: Arc::clone(&plan), fire });
        rig
    }

    /// Tells every worker.
    pub(super) fn order(&self, order: impl Fn() -> WorkerOrder) {
        assert!(self.workers.iter().all(|worker| worker.order(order())));
    }

    /// Orders a window, in time since the level fires.
    pub(super) fn window(&self, from: Duration, until: Duration) {
        let (from, at) = (self.fire + from, self.fire + until);
        self.order(|| WorkerOrder::Measure { from });
        self.order(|| WorkerOrder::Release { at });
    }

    /// Hears reports until every worker's newest is as it should be.
    pub(super) fn hear(&mut self, enough: impl Fn(&WorkerReport) -> bool) {
        while !self.newest.iter().all(|report| report.as_ref().is_some_and(&enough)) {
            let report = self.inbox.blocking_recv().unwrap();
            let place = report.worker as usize;
            self.newest[place] = Some(report);
        }
    }

    /// This moment.
    pub(super) fn now(&self) -> Tick {
        self.clock.now()
    }

    /// A worker's newest report says that an instant had come when it heard of it.
    pub(super) fn is_late(&self) -> bool {
        self.newest.iter().flatten().any(|report| report.late)
    }

    /// Waits for the level's end.
    pub(super) fn seal(mut self) -> Sealed {
        self.hear(|report| report.end.is_some());
        let mut tally = Tally::default();
        let reports: Vec<_> = self.newest.into_iter().flatten().collect();
        reports.iter().for_each(|report| tally.merge(&report.tally));
        let ends = reports.into_iter().filter_map(|report| report.end).collect();
        drop(self.workers);
        let ledger = self.target.ledger();
        // The simulator's clock is another: both are read at one instant.
        let before = self.clock.now();
        let theirs = ledger.totals().now;
        let offset = (before.0 + self.clock.now().0) / 2;
        let since_fire = |tick: Tick| {
            i128::from(tick.0) - i128::from(theirs.0) + i128::from(offset) - i128::from(self.fire.0)
        };
        self.target.stop();
        let truth = ledger.entries(0, usize::MAX);
        let truth = truth.iter().map(|entry: &Entry| Truth {
            arrival_ns: since_fire(entry.arrival),
            body_hash: entry.body_hash,
        });
        let mut truth: Vec<_> = truth.collect();
        truth.sort_unstable_by_key(|truth| truth.arrival_ns);
        Sealed { tally, ends, truth, connections: ledger.totals().connections }
    }
}
