//! A worker: one thread, one current-thread runtime, its users, its recorder.

use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use common::ids::LevelId;
use common::outcome::Censor;
use common::snapshot::LevelEnd;
use common::tally::Tally;
use common::time::Tick;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet, LocalSet};

use crate::clock::Clock;
use crate::load::user::{Shared, User};
use crate::load::{SharedPlan, worker_share};

/// How often a worker looks after itself: the lease, its lag.
const TICK: Duration = Duration::from_millis(20);
/// How often it reports.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(1);
/// Orders and reports that may wait.
const QUEUE: usize = 8;

/// What a worker is told.
pub(crate) enum WorkerOrder {
    /// Run a level that fires at this instant.
    Run {
        /// The level.
        plan: SharedPlan,
        /// When it fires.
        fire: Tick,
    },
    /// Start no further request; cut those in flight after `grace`.
    Stop {
        /// How long requests in flight may go on.
        grace: Duration,
    },
}

/// What a worker says.
pub(crate) struct WorkerReport {
    /// Which worker.
    pub(crate) worker: u32,
    /// The level it speaks of.
    pub(crate) level: LevelId,
    /// Its cumulative record.
    pub(crate) tally: Box<Tally>,
    /// Its thread's share of a core since its last report.
    pub(crate) cpu: f64,
    /// Set on the last report of a level.
    pub(crate) end: Option<LevelEnd>,
}

/// A worker's thread, as the agent holds it.
pub(crate) struct Worker {
    orders: mpsc::Sender<WorkerOrder>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts worker number `index` of `workers`.
    ///
    /// # Errors
    /// If the system gives no thread or no event queue.
    pub(crate) fn start(
        index: u32,
        workers: u32,
        clock: Clock,
        reports: mpsc::Sender<WorkerReport>,
    ) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (orders, inbox) = mpsc::channel(QUEUE);
        let thread =
            std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                let place = Place { index, workers, clock, reports };
                LocalSet::new().block_on(&runtime, place.run(inbox));
            })?;
        Ok(Self { orders, thread: Some(thread) })
    }

    /// The thread has ended, which nothing but a panic makes it do while it has orders.
    pub(crate) fn is_dead(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// The thread's name.
    pub(crate) fn name(&self) -> &str {
        self.thread.as_ref().and_then(|thread| thread.thread().name()).unwrap_or("a worker")
    }

    /// Gives an order; `false` if the worker is gone or its queue is full.
    pub(crate) fn order(&self, order: WorkerOrder) -> bool {
        self.orders.try_send(order).is_ok()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let (closed, _) = mpsc::channel(1);
        self.orders = closed;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Place {
    index: u32,
    workers: u32,
    clock: Clock,
    reports: mpsc::Sender<WorkerReport>,
}

impl Place {
    /// Runs one level after another until the agent lets go.
    async fn run(self, mut inbox: mpsc::Receiver<WorkerOrder>) {
        while let Some(order) = inbox.recv().await {
            match order {
                WorkerOrder::Run { plan, fire } => {
                    Level::new(&self, plan, fire).run(&mut inbox).await;
                }
                WorkerOrder::Stop { .. } => {}
            }
        }
    }
}

/// A level while it runs.
struct Level<'a> {
    place: &'a Place,
    shared: Rc<Shared>,
    users: JoinSet<()>,
    end: Option<LevelEnd>,
    cut_at: Option<Tick>,
    cpu: CpuMeter,
}

impl<'a> Level<'a> {
    fn new(place: &'a Place, plan: SharedPlan, fire: Tick) -> Self {
        let share = worker_share(plan.assignment.share, place.index, place.workers);
        let shared = Rc::new(Shared::new(plan, place.clock, fire));
        let mut users = JoinSet::new();
        for id in share.users() {
            users.spawn_local(User::new(id, Rc::clone(&shared)).run());
        }
        let cpu = CpuMeter::start(place.clock.now());
        Self { place, shared, users, end: None, cut_at: None, cpu }
    }

    async fn run(mut self, inbox: &mut mpsc::Receiver<WorkerOrder>) {
        let clock = self.place.clock;
        let mut wake = clock.now() + TICK;
        let mut report_at = clock.now() + SNAPSHOT_EVERY;
        let mut attached = true;
        loop {
            tokio::select! {
                biased;
                order = inbox.recv(), if attached => match order {
                    Some(WorkerOrder::Stop { grace }) => self.stop(LevelEnd::Stopped, grace),
                    Some(WorkerOrder::Run { .. }) => {}
                    // The agent let go without a stop: nobody will ever read this level.
                    None => { attached = false; self.stop(LevelEnd::Stopped, Duration::ZERO); }
                },
                () = tokio::time::sleep_until(clock.instant(wake)) => {
                    let now = clock.now();
                    self.shared.recorder.borrow_mut().loop_lag(now.ns_since(wake));
                    self.look_after(now);
                    if now >= report_at {
                        self.report(now);
                        report_at = now + SNAPSHOT_EVERY;
                    }
                    wake = now + TICK;
                }
                user = self.users.join_next() => match user {
                    None => break,
                    Some(Ok(())) => {}
                    Some(Err(error)) => self.user_died(error),
                },
            }
        }
        self.seal().await;
    }

    /// Lease and cut, whatever the users are doing.
    fn look_after(&mut self, now: Tick) {
        let boottime = Clock::boottime_ns();
        let lease = &self.shared.plan.lease;
        if !lease.holds_at(boottime) {
            let cut = lease.cut_at(boottime);
            self.stop(LevelEnd::LeaseExpired, Duration::MAX);
            if cut {
                self.users.abort_all();
            }
        }
        if self.cut_at.is_some_and(|at| now >= at) {
            self.users.abort_all();
        }
    }

    /// Starts no further request and cuts after `grace`; the first reason stays, the earliest
    /// cut wins.
    fn stop(&mut self, end: LevelEnd, grace: Duration) {
        self.shared.stopping.set(true);
        let faulted = matches!(end, LevelEnd::Faulted(_));
        if self.end.is_none() || faulted {
            self.end = Some(end);
        }
        if grace < Duration::MAX {
            let at = self.place.clock.now() + grace;
            self.cut_at = Some(self.cut_at.map_or(at, |cut_at| cut_at.min(at)));
        }
        if grace.is_zero() {
            self.users.abort_all();
        }
    }

    fn user_died(&mut self, error: JoinError) {
        let Ok(panic) = error.try_into_panic() else {
            return; // Cut by `abort_all`; its request has been recorded as it was dropped.
        };
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        let text: String = text.chars().filter(|c| !c.is_control()).take(300).collect();
        tracing::error!(panic = %text, "a user's task panicked; the level is void");
        self.shared.cut_as.set(Censor::CancelledAbort);
        let end = LevelEnd::Faulted(format!("a user's task panicked: {text}"));
        self.stop(end, Duration::ZERO);
    }

    fn report(&mut self, now: Tick) {
        let recorder = self.shared.recorder.borrow();
        let report = WorkerReport {
            worker: self.place.index,
            level: self.shared.plan.assignment.level,
            tally: Box::new(recorder.snapshot()),
            cpu: self.cpu.share(now),
            end: None,
        };
        // A report that finds no place is made good by the next: it is cumulative.
        let _ = self.place.reports.try_send(report);
    }

    async fn seal(mut self) {
        let now = self.place.clock.now();
        let level = self.shared.plan.assignment.level;
        let cpu = self.cpu.share(now);
        // Users see the end of the lease before this worker's next look at it.
        let unmade =
            if self.shared.expired.get() { LevelEnd::LeaseExpired } else { LevelEnd::Completed };
        let end = self.end.take().unwrap_or(unmade);
        let fire = self.shared.recorder.borrow().fire();
        let slo = self.shared.plan.assignment.slo;
        let recorder = self.shared.recorder.replace(super::recorder::Recorder::new(fire, slo));
        let report = WorkerReport {
            worker: self.place.index,
            level,
            tally: Box::new(recorder.into_tally(now)),
            cpu,
            end: Some(end),
        };
        let _ = self.place.reports.send(report).await;
    }
}

/// The processor time of this thread.
struct CpuMeter {
    at: Tick,
    used_ns: u64,
}

impl CpuMeter {
    fn start(now: Tick) -> Self {
        Self { at: now, used_ns: thread_cpu_ns() }
    }

    /// Share of a core since the last call, 0 to 1.
    fn share(&mut self, now: Tick) -> f64 {
        let used_ns = thread_cpu_ns();
        let wall = now.ns_since(self.at);
        let used = used_ns.saturating_sub(self.used_ns);
        *self = Self { at: now, used_ns };
        if wall == 0 { 0.0 } else { (used as f64 / wall as f64).min(1.0) }
    }
}

fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}
