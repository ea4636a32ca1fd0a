//! One run's hold on the agent: orders in, levels run by the workers, reports out.
//!
//! The session lives on the control thread. If the coordinator goes silent the session stays until
//! the lease has ended every request; a lost connection is never taken for a farewell.

mod arming;
mod watching;

use std::sync::Arc;
use std::time::Duration;

use common::assignment::{Assignment, End};
use common::digest::Digest;
use common::ids::{Epoch, LevelId, RunId};
use common::snapshot::{LevelEnd, Origin, Seal, Snapshot, Vitals};
use common::tally::Tally;
use common::time::Tick;
use proto::message::{Order, Peer, Refusal, Report};
use proto::secrets::Secrets;
use proto::server::{Orders, OrdersEnd};
use tokio::sync::mpsc;

use self::arming::{Arming, Checked, Ready};
use crate::clock::{Clock, ClockWatch};
use crate::compose::Composers;
use crate::health::Watch;
use crate::images::ImageOrigin;
use crate::lease::{LEASE, Lease, RENEW_EVERY};
use crate::load::cpu::Cpu;
use crate::load::worker::{Worker, WorkerOrder, WorkerReport};
use crate::load::{LevelPlan, SharedPlan};
use crate::proof::Proof;
use crate::service::Inner;
use crate::shelf::Shelf;

/// Reports of workers that may wait, for each worker: it sends one a second and one at the end,
/// and each is large.
const WORKER_QUEUE: usize = 2;
/// How long workers may take to seal what has been cut; then the session ends without a seal.
const CUT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an important report may wait for a coordinator that reads nothing.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// A run's hold on the agent.
pub(crate) struct Session {
    inner: Arc<Inner>,
    run: RunId,
    epoch: Epoch,
    since: Tick,
    lease: Lease,
    reports: mpsc::Sender<Result<Report, Refusal>>,
    workers: Vec<Worker>,
    worker_reports: mpsc::Receiver<WorkerReport>,
    aborts: mpsc::Receiver<String>,
    level: Level,
    arming: Option<Arming>,
    /// The data sets that levels of the run may need.
    shelf: Shelf,
    /// The simulator of the level that is armed or running, if it proves the client.
    proof: Option<Proof>,
    /// What serves images to the target of that level, if it fetches them.
    origin: Option<ImageOrigin>,
}

/// Where the session is with its current level.
enum Level {
    None,
    Armed(SharedPlan),
    Running(Box<Running>),
    /// Kept until the coordinator has stored it.
    Sealed(Box<Seal>),
}

/// A level that the workers are running.
struct Running {
    level: LevelId,
    end: End,
    sequence: u64,
    parts: Vec<Part>,
    clocks: ClockWatch,
    watch: Watch,
    /// An instant of the window had come when the session or a worker heard of it: whatever comes,
    /// the level is not completed.
    late: bool,
    /// The coordinator has been told that every request of the window has ended.
    told: bool,
}

/// What one worker has said of the level.
#[derive(Clone, Default)]
struct Part {
    /// Up to when it is complete.
    at: Tick,
    tally: Tally,
    cpu: Cpu,
    followed: bool,
    end: Option<LevelEnd>,
}

/// What a turn of the session leads to.
enum Turn {
    Go,
    /// The session is over; tell the coordinator why if it still listens.
    Over(Option<Refusal>),
    /// The same, but whatever runs is cut and sealed first.
    Abort(String),
}

impl Session {
    /// Takes the agent for a run and starts its workers.
    pub(crate) fn acquire(
        inner: Arc<Inner>,
        peer: &Peer,
        run: RunId,
        reports: mpsc::Sender<Result<Report, Refusal>>,
    ) -> Result<Self, Refusal> {
        let lease = Lease::grant(Clock::boottime_ns());
        let (abort, aborts) = mpsc::channel(1);
        let epoch = inner.acquire(run, peer, lease.deadline().clone(), abort)?;
        tracing::info!(%run, %peer, %epoch, "acquired");
        let count = inner.identity.workers;
        let queue = WORKER_QUEUE.saturating_mul(count.max(1) as usize);
        let (from_workers, worker_reports) = mpsc::channel(queue);
        let started: std::io::Result<Vec<_>> = (0..count)
            .map(|index| {
                let processors = inner.identity.processors.as_ref();
                let processor = processors.and_then(|list| list.of_worker(index));
                Worker::start(index, count, processor, inner.clock, from_workers.clone())
            })
            .collect();
        let workers = match started {
            Ok(workers) => workers,
            Err(error) => {
                inner.release(epoch);
                return Err(Refusal::Invalid(format!("it cannot start its workers: {error}")));
            }
        };
        let since = inner.clock.now();
        let level = Level::None;
        Ok(Self {
            inner,
            run,
            epoch,
            since,
            lease,
            reports,
            workers,
            worker_reports,
            aborts,
            level,
            arming: None,
            shelf: Shelf::default(),
            proof: None,
            origin: None,
        })
    }

    /// Serves the run until it is released, aborted or lost.
    pub(crate) async fn run(mut self, mut orders: Orders) {
        let acquired =
            Report::Acquired { boot: self.inner.identity.boot, epoch: self.epoch, lease: LEASE };
        self.send(acquired).await;
        let mut attached = true;
        let mut renew = tokio::time::interval(RENEW_EVERY);
        renew.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let refusal = loop {
            let turn = tokio::select! {
                biased;
                Some(reason) = self.aborts.recv() => Turn::Abort(reason),
                order = orders.next(), if attached => match order {
                    Ok(order) => self.obey(order).await,
                    Err(OrdersEnd::Bad(error)) => Turn::Abort(error.to_string()),
                    Err(OrdersEnd::Lost(why)) => {
                        tracing::warn!(run = %self.run, %why, "lost the coordinator");
                        attached = false;
                        Turn::Go
                    }
                },
                checked = Arming::end(&mut self.arming) => {
                    self.armed(checked).await;
                    Turn::Go
                }
                Some(report) = self.worker_reports.recv() => {
                    self.hear(report).await;
                    Turn::Go
                }
                () = self.level.watch_due(self.inner.clock) => {
                    self.level.look();
                    Turn::Go
                }
                _ = renew.tick() => self.every_second(),
            };
            match turn {
                Turn::Over(refusal) => break refusal,
                Turn::Abort(reason) => {
                    self.seal_now().await;
                    break Some(Refusal::Invalid(reason));
                }
                // Without a coordinator only a running level holds the agent, and the lease ends it.
                Turn::Go if !attached && !matches!(self.level, Level::Running(_)) => break None,
                Turn::Go => {}
            }
        };
        self.finish(refusal).await;
    }

    async fn finish(self, refusal: Option<Refusal>) {
        let Self { inner, run, epoch, reports, workers, worker_reports, proof, origin, .. } = self;
        // A worker must not wait for a place in a queue that nobody reads any more.
        drop(worker_reports);
        // Joining the workers' threads must not hold up this thread's other work.
        let _ = tokio::task::spawn_blocking(move || drop((workers, proof, origin))).await;
        inner.release(epoch);
        tracing::info!(%run, "released");
        if let Some(refusal) = refusal {
            let _ = tokio::time::timeout(SEND_TIMEOUT, reports.send(Err(refusal))).await;
        }
    }

    async fn send(&mut self, report: Report) {
        let sent = self.reports.send(Ok(report));
        if tokio::time::timeout(SEND_TIMEOUT, sent).await.is_err() {
            tracing::warn!(run = %self.run, "the coordinator reads nothing");
        }
    }

    async fn obey(&mut self, order: Order) -> Turn {
        let epoch = match &order {
            Order::Acquire { .. } => {
                return Turn::Over(Some(Refusal::Invalid("acquired already".to_owned())));
            }
            Order::Arm { epoch, .. }
            | Order::Supply { epoch, .. }
            | Order::Fire { epoch, .. }
            | Order::Measure { epoch, .. }
            | Order::Release { epoch, .. }
            | Order::EndLevel { epoch, .. }
            | Order::Stop { epoch, .. }
            | Order::SealStored { epoch, .. }
            | Order::RenewEcho { epoch, .. }
            | Order::Free { epoch } => *epoch,
        };
        if epoch != self.epoch {
            let refusal = Refusal::Fenced { order: epoch, agent: self.epoch };
            return Turn::Over(Some(refusal));
        }
        match order {
            Order::Acquire { .. } => {}
            Order::Arm { assignment, secrets, .. } => self.arm(*assignment, secrets).await,
            Order::Supply { digest, total, offset, chunk, .. } => {
                self.supply(digest, total, offset, &chunk).await;
            }
            Order::Fire { level, at, .. } => self.fire(level, at).await,
            Order::Measure { level, from, .. } => {
                self.instruct(level, from, || WorkerOrder::Measure { from }).await;
            }
            Order::Release { level, at, .. } => {
                self.instruct(level, at, || WorkerOrder::Release { at }).await;
            }
            Order::EndLevel { level, .. } => self.end_level(level),
            Order::Stop { level, grace, .. } => self.stop(level, grace),
            Order::SealStored { level, .. } => self.forget(level),
            Order::RenewEcho { nonce, .. } => self.lease.answered(nonce, Clock::boottime_ns()),
            Order::Free { .. } => return Turn::Over(None),
        }
        Turn::Go
    }

    async fn supply(&mut self, digest: Digest, total: u64, offset: u64, chunk: &[u8]) {
        if let Some(whole) = self.shelf.take(digest, total, offset, chunk) {
            // Tens of milliseconds, which this thread has other work for.
            match tokio::task::spawn_blocking(move || whole.check()).await {
                Ok(checked) => self.shelf.put(checked),
                Err(error) => tracing::error!(%error, "a data set was not read"),
            }
        }
    }

    async fn arm(&mut self, assignment: Assignment, secrets: Secrets) {
        let level = assignment.level;
        if assignment.run != self.run || matches!(self.level, Level::Running(_) | Level::Sealed(_))
        {
            let reasons = vec!["another level or run is not over on this agent".to_owned()];
            return self.send(Report::NotArmed { level, reasons }).await;
        }
        self.level = Level::None;
        self.end_beside();
        if let Some(Err(reason)) = assignment.workload.data.as_ref().map(|of| self.shelf.find(of)) {
            return self.send(Report::NotArmed { level, reasons: vec![reason] }).await;
        }
        self.arming = Some(Arming::start(Arc::clone(&self.inner), assignment, secrets));
    }

    async fn armed(&mut self, Checked { assignment, digest, secrets, ready }: Checked) {
        let level = assignment.level;
        match ready {
            Ok(Ready { routes, proof, origin, illustrations }) => {
                let data = assignment.workload.data.as_ref();
                let composer = match data.and_then(|data| self.shelf.find(data).ok()) {
                    Some(supplied) => Composers::supplied(&assignment, &secrets, &supplied),
                    None => Composers::new(&assignment, &secrets),
                };
                let plan = LevelPlan {
                    composer: composer.illustrated(illustrations),
                    assignment,
                    routes,
                    lease: self.lease.deadline().clone(),
                };
                tracing::info!(
                    run = %self.run, %level, users = plan.assignment.share.count,
                    target = %plan.assignment.target.urls(),
                    request_bytes = plan.composer.size(), "armed"
                );
                self.level = Level::Armed(Arc::new(plan));
                (self.proof, self.origin) = (proof, origin);
                self.send(Report::Armed { level, digest }).await;
            }
            Err(reasons) => {
                tracing::warn!(run = %self.run, %level, ?reasons, "not armed");
                self.send(Report::NotArmed { level, reasons }).await;
            }
        }
    }

    async fn fire(&mut self, level: LevelId, at: Tick) {
        let armed = match &self.level {
            Level::Armed(plan) if plan.assignment.level == level => Some(Arc::clone(plan)),
            Level::Armed(_) | Level::None | Level::Running(_) | Level::Sealed(_) => None,
        };
        let Some(plan) = armed.filter(|_| self.inner.clock.now() < at) else {
            return self.send(Report::TooLate { level }).await;
        };
        let ordered = self
            .workers
            .iter()
            .all(|worker| worker.order(WorkerOrder::Run { plan: Arc::clone(&plan), fire: at }));
        if !ordered {
            self.stop_workers(Duration::ZERO);
            return self.send(Report::TooLate { level }).await;
        }
        self.level = Level::Running(Box::new(Running {
            level,
            end: plan.assignment.load.end,
            watch: self.watch(&plan, at),
            sequence: 0,
            parts: vec![Part::default(); self.workers.len()],
            clocks: ClockWatch::start(),
            late: false,
            told: false,
        }));
        self.send(Report::Fired { level }).await;
    }

    /// Tells the workers of an instant of the running level's window, if it is still to come.
    async fn instruct(&mut self, level: LevelId, instant: Tick, order: impl Fn() -> WorkerOrder) {
        let running = match &mut self.level {
            Level::Running(running) if running.level == level => Some(running),
            // Its seal says why there is no window.
            Level::Sealed(seal) if seal.snapshot.origin.level == level => return,
            Level::None | Level::Armed(_) | Level::Running(_) | Level::Sealed(_) => None,
        };
        let mut windowed = running.filter(|running| running.end == End::Window);
        let in_time = windowed.is_some() && self.inner.clock.now() < instant;
        if let Some(running) = windowed.as_mut().filter(|_| in_time) {
            running.watch.told(&order());
        }
        if !in_time || !self.workers.iter().all(|worker| worker.order(order())) {
            self.too_late(level).await;
        }
    }

    /// Says once that the level cannot be measured.
    async fn too_late(&mut self, level: LevelId) {
        if let Level::Running(running) = &mut self.level
            && running.level == level
            && std::mem::replace(&mut running.late, true)
        {
            return;
        }
        tracing::warn!(run = %self.run, %level, "an instant had passed when its order came");
        self.send(Report::TooLate { level }).await;
    }

    fn end_level(&self, level: LevelId) {
        if matches!(&self.level, Level::Running(running) if running.level == level) {
            for worker in &self.workers {
                worker.order(WorkerOrder::EndLevel);
            }
        }
    }

    fn stop(&mut self, level: LevelId, grace: Duration) {
        self.arming.take_if(|arming| arming.level == level);
        match &self.level {
            Level::Running(running) if running.level == level => self.stop_workers(grace),
            Level::Armed(plan) if plan.assignment.level == level => {
                self.level = Level::None;
                self.end_beside();
            }
            Level::None | Level::Armed(_) | Level::Running(_) | Level::Sealed(_) => {}
        }
    }

    /// Ends what runs beside a level. Joining its thread holds up nothing.
    fn end_beside(&mut self) {
        let beside = (self.proof.take(), self.origin.take());
        if beside.0.is_some() || beside.1.is_some() {
            drop(tokio::task::spawn_blocking(move || drop(beside)));
        }
    }

    fn forget(&mut self, level: LevelId) {
        if matches!(&self.level, Level::Sealed(seal) if seal.snapshot.origin.level == level) {
            self.level = Level::None;
        }
    }

    fn stop_workers(&self, grace: Duration) {
        for worker in &self.workers {
            worker.order(WorkerOrder::Stop { grace });
        }
    }

    /// Cuts whatever runs and seals what was done.
    async fn seal_now(&mut self) {
        self.stop_workers(Duration::ZERO);
        let sealed = async {
            while matches!(self.level, Level::Running(_)) {
                match self.worker_reports.recv().await {
                    Some(report) => self.hear(report).await,
                    None => break,
                }
            }
        };
        if tokio::time::timeout(CUT_TIMEOUT, sealed).await.is_err() {
            tracing::error!("workers did not seal in time; the level has no seal");
        }
    }

    /// Asks for the lease, and reports the running level.
    fn every_second(&mut self) -> Turn {
        let boottime = Clock::boottime_ns();
        let nonce = self.lease.ask(boottime);
        let sent_at = self.inner.clock.now();
        // Both find their place in the queue or are made good by the next.
        let idle = is_empty(&self.reports);
        let _ = self.reports.try_send(Ok(Report::Renew { nonce, sent_at }));
        if let Level::Running(running) = &mut self.level {
            // On a slow link a snapshot must neither queue behind its predecessors nor hold up a
            // renewal: the next one says more.
            if idle {
                let snapshot = running.snapshot(&self.inner, self.epoch, self.origin.as_ref());
                let _ = self.reports.try_send(Ok(Report::Snapshot(Box::new(snapshot))));
            }
            if let Some(worker) = self.workers.iter().find(|worker| worker.is_dead()) {
                return Turn::Abort(format!("{} died: a bug in the generator", worker.name()));
            }
        } else if !self.lease.deadline().holds_at(boottime) {
            let reason = "the lease ran out: the coordinator did not answer for 5 s";
            return Turn::Over(Some(Refusal::Invalid(reason.to_owned())));
        }
        let run_max = self.inner.identity.policy.run_max;
        if sent_at.since(self.since) > run_max {
            return Turn::Abort(format!(
                "the run is longer than this agent's ceiling of {} s; raise `run_max` in its \
                 configuration file",
                run_max.as_secs()
            ));
        }
        Turn::Go
    }

    async fn hear(&mut self, report: WorkerReport) {
        let Level::Running(running) = &mut self.level else {
            return;
        };
        if report.level != running.level {
            return;
        }
        let faulted = matches!(report.end, Some(LevelEnd::Faulted(_)));
        if let Some(part) = running.parts.get_mut(report.worker as usize) {
            *part = Part {
                at: report.at,
                tally: *report.tally,
                cpu: report.cpu,
                followed: report.followed,
                end: report.end,
            };
        }
        if running.has_followed() && !running.told {
            let snapshot = running.snapshot(&self.inner, self.epoch, self.origin.as_ref());
            // One that finds no place is made good by the next.
            let told = self.reports.try_send(Ok(Report::Snapshot(Box::new(snapshot))));
            running.told = told.is_ok();
        }
        if faulted {
            self.stop_workers(Duration::ZERO);
        }
        if report.late {
            self.too_late(report.level).await;
        }
        self.seal_if_over().await;
    }

    async fn seal_if_over(&mut self) {
        let Level::Running(running) = &mut self.level else {
            return;
        };
        let end = match running.end() {
            Some(LevelEnd::Completed) if running.late => LevelEnd::Stopped,
            Some(end) => end,
            None => return,
        };
        running.watch.end();
        let snapshot = running.snapshot(&self.inner, self.epoch, self.origin.as_ref());
        let level = running.level;
        let end = match (self.proof.take(), end) {
            (Some(proof), LevelEnd::Completed) => proof.end_of(&snapshot.tally).await,
            (Some(proof), end) => {
                self.proof = Some(proof);
                end
            }
            (None, end) => end,
        };
        self.end_beside();
        tracing::info!(run = %self.run, %level, ?end, "sealed");
        let seal = Seal { snapshot, end };
        self.level = Level::Sealed(Box::new(seal.clone()));
        self.send(Report::Sealed(Box::new(seal))).await;
    }
}

/// Everything that was put into the queue has been taken out of it.
fn is_empty<T>(queue: &mpsc::Sender<T>) -> bool {
    queue.capacity() == queue.max_capacity()
}

impl Running {
    /// How the level ended, once all workers have ended it: the gravest of their ends.
    fn end(&self) -> Option<LevelEnd> {
        let ends: Option<Vec<_>> = self.parts.iter().map(|part| part.end.clone()).collect();
        ends?.into_iter().max_by_key(|end| match end {
            LevelEnd::Completed => 0,
            LevelEnd::Stopped => 1,
            LevelEnd::LeaseExpired => 2,
            LevelEnd::Faulted(_) => 3,
        })
    }

    /// The window is over, and every request that was intended before its end has ended.
    fn has_followed(&self) -> bool {
        self.parts.iter().all(|part| part.followed)
    }

    fn snapshot(&mut self, inner: &Inner, epoch: Epoch, origin: Option<&ImageOrigin>) -> Snapshot {
        self.clocks.look();
        let most =
            |of: fn(&Cpu) -> f64| self.parts.iter().map(|part| of(&part.cpu)).fold(0.0, f64::max);
        let mut tally = Tally::default();
        self.parts.iter().for_each(|part| tally.merge(&part.tally));
        if let Some(origin) = origin {
            tally.images.get_or_insert_default().fetches = origin.fetches();
        }
        self.sequence += 1;
        Snapshot {
            origin: Origin { boot: inner.identity.boot, epoch, level: self.level },
            sequence: self.sequence,
            // What it says is complete only up to where every worker has reported.
            at: self.parts.iter().map(|part| part.at).min().unwrap_or_default(),
            tally,
            vitals: Vitals {
                worker_cpu: most(|cpu| cpu.share),
                worker_cpu_max: most(|cpu| cpu.max),
                busy_share: most(|cpu| cpu.busy),
                clock_step_ns: self.clocks.step_ns(),
                suspended_ns: self.clocks.suspended_ns(),
                health: self.watch.health(),
            },
        }
    }
}

#[cfg(test)]
mod tests;
