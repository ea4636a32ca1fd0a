//! Runs one short level after another on workers of its own, each against a simulator.

use std::sync::Arc;
use std::time::Duration;

use common::arrivals::{Arrivals, Law, PerSecond, Rate, Schedule};
use common::assignment::{Assignment, End, Load};
use common::ceiling::{
    BUSY_SHARE_MAX, Held, LOOP_LAG_MAX_MS, loop_lag_limit_ms, send_lag_limit_ms,
};
use common::ids::{LevelId, RunId};
use common::phase::Phase;
use common::seed::Seed;
use common::slo::Slo;
use common::snapshot::LevelEnd;
use common::tally::Tally;
use common::target::{BaseUrl, Host, Target, Timeouts};
use common::time::Tick;
use common::workload::{CacheMode, Workload};
use proto::secrets::Secrets;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::CeilingError;
use super::processors::Processors;
use super::simulator::{Pace, Simulator};
use crate::clock::Clock;
use crate::compose::Composers;
use crate::lease::{Lease, RENEW_EVERY};
use crate::load::worker::{Worker, WorkerOrder, WorkerReport};
use crate::load::{LevelPlan, Route};
use crate::sim::Profile;
use crate::sources::Sources;

/// Reports that may wait.
const REPORTS_QUEUE: usize = 1024;
/// A level fires this long after it is ordered, and a connection's worth later for every user.
const AHEAD: Duration = Duration::from_millis(100);
const CONNECT: Duration = Duration::from_micros(80);
/// What is left of a level when its simulator is asked for its count.
const COUNT_BEFORE_END: Duration = Duration::from_millis(60);
/// The share of what was asked for that must have come.
const CAME_MIN: f64 = 0.97;
/// Addresses of this host that connections come from, so that its local ports last.
const SOURCES: [std::net::Ipv4Addr; 4] = [
    std::net::Ipv4Addr::new(127, 0, 0, 1),
    std::net::Ipv4Addr::new(127, 0, 0, 2),
    std::net::Ipv4Addr::new(127, 0, 0, 3),
    std::net::Ipv4Addr::new(127, 0, 0, 4),
];

/// What a level is loaded with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Streams at once that hardly say anything.
    Streams,
    /// Requests per second, answered at once by one token.
    Requests,
    /// Chunks per second, each written alone, of streams that are paced.
    Chunks,
}

/// Streams begin no faster than this, one after the other.
const BEGIN_EVERY: Duration = Duration::from_micros(200);
const RAMP_LEAST: Duration = Duration::from_millis(150);
/// From one chunk to the next where chunks are counted.
const CHUNK_EVERY: Duration = Duration::from_millis(20);
/// Chunks per second of one such stream.
const CHUNKS_PER_STREAM: u64 = 50;

impl Kind {
    pub(super) fn pace(self) -> Pace {
        match self {
            Self::Streams => {
                Pace { ttft: Duration::from_millis(200), itl: Duration::from_millis(500) }
            }
            Self::Requests => Pace { ttft: Duration::ZERO, itl: Duration::ZERO },
            Self::Chunks => Pace { ttft: Duration::from_millis(100), itl: CHUNK_EVERY },
        }
    }

    /// Where a search begins.
    pub(super) fn first(self) -> u64 {
        match self {
            Self::Streams => 2500,
            Self::Requests => 4000,
            Self::Chunks => 20_000,
        }
    }

    /// Its part of the time for all three: streams take theirs to begin.
    pub(super) fn part_of(self, budget: Duration) -> Duration {
        match self {
            Self::Streams => budget / 2,
            Self::Requests | Self::Chunks => budget / 4,
        }
    }

    /// The least that is asked for: a host that cannot carry it carries nothing.
    pub(super) fn least(self) -> u64 {
        match self {
            Self::Streams => 10,
            Self::Requests | Self::Chunks => 500,
        }
    }

    /// The most that is asked for where `streams` can be open.
    pub(super) fn most(self, streams: u64) -> u64 {
        match self {
            Self::Streams => streams,
            Self::Requests => 2_000_000,
            Self::Chunks => streams.saturating_mul(CHUNKS_PER_STREAM),
        }
    }

    fn load(self, number: u64, streams: u64) -> Load {
        let users = |number: u64| u32::try_from(number.min(streams)).unwrap_or(u32::MAX).max(1);
        // How fast streams begin is another matter than how many there are.
        let closed = |users: u32| {
            let arrivals = Arrivals::Closed { ramp: RAMP_LEAST.max(BEGIN_EVERY * users) };
            Load { users, arrivals, end: End::Window }
        };
        match self {
            Self::Streams => closed(users(number)),
            Self::Chunks => closed(users(number.div_ceil(CHUNKS_PER_STREAM))),
            Self::Requests => {
                let rate = Rate::Flat(PerSecond(number.saturating_mul(1_000_000)));
                let arrivals = Arrivals::Open(Schedule { law: Law::Constant, rate });
                // As many as come in 50 ms: a server that is slower than that is overloaded.
                Load { users: users((number / 20).max(256)), arrivals, end: End::Window }
            }
        }
    }

    fn output_tokens(self) -> u32 {
        match self {
            Self::Streams | Self::Chunks => 10_000,
            Self::Requests => 1,
        }
    }
}

/// Workers, and the simulators that they load: worker `n` the simulator `n` modulo their number.
pub(super) struct Bench {
    clock: Clock,
    workers: Vec<Worker>,
    reports: mpsc::Receiver<WorkerReport>,
    simulators: Vec<Simulator>,
    sources: Vec<std::net::IpAddr>,
    kind: Kind,
    /// Renewed while a level runs: should this thread be stuck, the load ends.
    lease: Lease,
    levels: u32,
}

impl Bench {
    /// Starts both, on processors apart where there are several.
    pub(super) fn start(
        kind: Kind,
        processors: &Processors,
        program: Option<&std::path::Path>,
        workers: u32,
        clock: Clock,
    ) -> Result<Self, CeilingError> {
        let start = || Simulator::start(program, kind.pace());
        let simulators = processors.each_for_simulators(start).map_err(CeilingError::Simulator)?;
        let (to_bench, reports) = mpsc::channel(REPORTS_QUEUE);
        let workers = (0..workers)
            .map(|index| {
                let processor = processors.of_worker(index);
                Worker::start(index, workers, processor, clock, to_bench.clone())
            })
            .collect::<std::io::Result<Vec<_>>>()
            .map_err(CeilingError::Worker)?;
        let listed = Sources::Listed(SOURCES.map(Into::into).into());
        let towards = simulators.first().map(Simulator::address);
        // A host whose loopback has one address only has fewer ports, and that is all.
        let sources = towards.and_then(|address| listed.towards(address).ok()).unwrap_or_default();
        let lease = Lease::grant(Clock::boottime_ns());
        Ok(Self { clock, workers, reports, simulators, sources, kind, lease, levels: 0 })
    }

    /// Runs one level of `number` for about `length`; gives what held, or why it did not.
    pub(super) fn level(
        &mut self,
        number: u64,
        streams: u64,
        length: Duration,
    ) -> Result<Result<Held, String>, CeilingError> {
        let load = self.kind.load(number, streams);
        let ramp = match load.arrivals {
            Arrivals::Closed { ramp } => ramp,
            Arrivals::Open(_) => Duration::ZERO,
        };
        let assignment = self.assignment(load);
        let plans: Vec<Arc<LevelPlan>> =
            self.simulators.iter().map(|simulator| self.plan(&assignment, simulator)).collect();
        let fire = self.clock.now() + AHEAD + CONNECT * load.users.min(60_000);
        let (from, until) = (fire + Duration::from_millis(1), fire + ramp + length);
        for (worker, plan) in self.workers.iter().zip(plans.iter().cycle()) {
            let ordered = worker.order(WorkerOrder::Run { plan: Arc::clone(plan), fire })
                && worker.order(WorkerOrder::Measure { from })
                && worker.order(WorkerOrder::Release { at: until });
            if !ordered {
                return Err(CeilingError::Ended(format!("{} takes no orders", worker.name())));
            }
        }
        self.sleep_until(until - COUNT_BEFORE_END);
        let counts: std::io::Result<Vec<u64>> =
            self.simulators.iter().map(Simulator::in_flight).collect();
        self.sleep_until(until + Duration::from_millis(2));
        for worker in &self.workers {
            worker.order(WorkerOrder::EndLevel);
        }
        let Ended { tally, busy } = self.ended(assignment.level)?;
        let window = until.ns_since(from) as f64 / 1e9;
        let in_flight = match counts {
            Ok(counts) => counts.into_iter().sum(),
            Err(error) => return Ok(Err(format!("the simulator did not count: {error}"))),
        };
        let reached =
            Reached { number, load, in_flight, tally: &tally, window, streamed: length + ramp / 2 };
        Ok(match self.kind.shortfall(&reached).or_else(|| late(&tally, busy)) {
            Some(why) => Err(why),
            None => Ok(Held::with(number, &tally.latencies)),
        })
    }

    fn assignment(&mut self, load: Load) -> Assignment {
        self.levels += 1;
        self.lease = Lease::grant(Clock::boottime_ns());
        let base_url = BaseUrl {
            tls: false,
            host: Host::V4(std::net::Ipv4Addr::LOCALHOST),
            port: 80,
            path: String::new(),
        };
        let target = Target {
            timeouts: Timeouts {
                connect: Duration::from_secs(5),
                first_byte: Duration::from_secs(10),
                idle: Duration::from_secs(10),
                total: Duration::from_secs(60),
            },
            ..Target::new(base_url, Profile::default().model)
        };
        Assignment {
            run: RunId(Uuid::nil()),
            level: LevelId { ordinal: self.levels, attempt: 0 },
            phase: Phase::Warmup,
            place: self.levels,
            seed: Seed(0),
            share: load.share(0, 1),
            load,
            slo: Slo::default(),
            workload: Workload {
                forced_length: true,
                cache: CacheMode::Replay,
                ..Workload::new(name(), 20.into(), self.kind.output_tokens().into())
            },
            target,
            proof: None,
        }
    }

    fn plan(&self, assignment: &Assignment, simulator: &Simulator) -> Arc<LevelPlan> {
        Arc::new(LevelPlan {
            composer: Composers::new(assignment, &Secrets::default()),
            assignment: assignment.clone(),
            routes: vec![Route {
                addresses: vec![simulator.address()],
                sources: self.sources.clone(),
                tls: None,
            }],
            lease: self.lease.deadline().clone(),
        })
    }

    /// The record of a level that has been told to end.
    fn ended(&mut self, level: LevelId) -> Result<Ended, CeilingError> {
        let mut tally = Tally::default();
        let (mut busy, mut left) = (0.0_f64, self.workers.len());
        while left > 0 {
            let gone = || CeilingError::Ended("a worker died".to_owned());
            let report = self.reports.blocking_recv().ok_or_else(gone)?;
            match report.end {
                Some(_) if report.level != level => {}
                Some(LevelEnd::Faulted(why)) => return Err(CeilingError::Ended(why)),
                Some(LevelEnd::Completed | LevelEnd::Stopped | LevelEnd::LeaseExpired) => {
                    tally.merge(&report.tally);
                    busy = busy.max(report.cpu.busy);
                    left -= 1;
                }
                None => {}
            }
        }
        Ok(Ended { tally, busy })
    }

    fn sleep_until(&mut self, at: Tick) {
        loop {
            self.renew();
            let left = at.since(self.clock.now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(RENEW_EVERY));
        }
    }

    fn renew(&mut self) {
        let now = Clock::boottime_ns();
        let nonce = self.lease.ask(now);
        self.lease.answered(nonce, now);
    }
}

/// The record of a level, over all workers.
struct Ended {
    tally: Tally,
    busy: f64,
}

/// What is known of a level that has ended.
struct Reached<'a> {
    number: u64,
    load: Load,
    /// By the simulators' count, just before the end.
    in_flight: u64,
    tally: &'a Tally,
    /// Seconds that were measured.
    window: f64,
    /// How long a stream was there, in the mean.
    streamed: Duration,
}

impl Kind {
    /// Why less came than was asked for, if so.
    fn shortfall(self, reached: &Reached<'_>) -> Option<String> {
        let Reached { number, load, in_flight, tally, window, streamed } = reached;
        let failed = tally.counts.failed_total();
        if failed > 0 {
            let first = common::outcome::Failure::ALL
                .into_iter()
                .find(|failure| tally.counts.failed_by(*failure) > 0);
            let name = first.map_or("", common::outcome::Failure::name);
            return Some(format!("{failed} requests failed: {name}"));
        }
        match self {
            Self::Streams => (*in_flight != *number).then(|| {
                format!("{in_flight} of {number} streams were in flight by the simulator's count")
            }),
            Self::Requests => {
                let (came, asked) = (tally.measured.succeeded as f64, *number as f64 * window);
                (came < asked * CAME_MIN)
                    .then(|| format!("{:.0} requests/s of {number} were answered", came / window))
            }
            Self::Chunks => {
                let events: u64 = tally.flow.slots().map(|slot| slot.events).sum();
                let each = f64::from(load.users) * CHUNKS_PER_STREAM as f64;
                let asked = each * streamed.saturating_sub(self.pace().ttft).as_secs_f64();
                ((events as f64) < asked * CAME_MIN)
                    .then(|| format!("{:.0} chunks came of {asked:.0}", events))
            }
        }
    }
}

/// Why the generator was the limit, if it was: by what a level of a run is judged.
fn late(tally: &Tally, busy: f64) -> Option<String> {
    let latencies = &tally.latencies;
    let p99_ms = |lag: &common::hist::LatencyHist| lag.quantile_us(0.99).map(|us| us / 1e3);
    // Of few wakes the p99 is the latest of them.
    let loop_limit = if latencies.loop_lag.count() < 100 {
        LOOP_LAG_MAX_MS
    } else {
        loop_lag_limit_ms(&latencies.icl)
    };
    for (name, lag, limit) in [
        ("send lag", &latencies.send_lag, send_lag_limit_ms(latencies)),
        ("receive lag", &latencies.receive_lag, loop_lag_limit_ms(&latencies.icl)),
        ("event-loop lag", &latencies.loop_lag, loop_limit),
    ] {
        if let Some(ms) = p99_ms(lag).filter(|ms| *ms > limit) {
            return Some(format!("{name} of {ms:.1} ms at p99, above {limit:.1} ms"));
        }
    }
    (busy > BUSY_SHARE_MAX)
        .then(|| format!("no processor time to spare for {:.0} % of the time", busy * 100.0))
}

#[expect(clippy::expect_used, reason = "letters are a name")]
fn name() -> common::ids::Name {
    "ceiling".parse().expect("a valid name")
}
