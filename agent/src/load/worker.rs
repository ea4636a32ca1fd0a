//! A worker: one thread, one current-thread runtime, its users, its recorder.

use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use common::arrivals::Arrivals;
use common::assignment::End;
use common::ids::LevelId;
use common::outcome::Censor;
use common::snapshot::LevelEnd;
use common::tally::Tally;
use common::time::Tick;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet, LocalSet};

use crate::clock::Clock;
use crate::load::alarm::Alarm;
use crate::load::cpu::{Cpu, CpuMeter};
use crate::load::line::Line;
use crate::load::recorder::Recorder;
use crate::load::seat::Seat;
use crate::load::shared::Shared;
use crate::load::slots::{Slot, Slots};
use crate::load::user::User;
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
    /// The level's window begins at this instant, which has not come yet.
    Measure {
        /// When.
        from: Tick,
    },
    /// The window ends before this instant, which has not come yet; load goes on.
    Release {
        /// When.
        at: Tick,
    },
    /// What the window needed has come: cut the rest.
    EndLevel,
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
    /// Up to when its record is complete.
    pub(crate) at: Tick,
    /// Its cumulative record.
    pub(crate) tally: Box<Tally>,
    /// Its use of its core.
    pub(crate) cpu: Cpu,
    /// It heard of an instant of the window when that had come.
    pub(crate) late: bool,
    /// The window is over, and every request that was intended before its end has ended.
    pub(crate) followed: bool,
    /// Set on the last report of a level.
    pub(crate) end: Option<LevelEnd>,
}

/// A worker's thread, as the agent holds it.
pub(crate) struct Worker {
    orders: mpsc::Sender<WorkerOrder>,
    seat: Seat,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts worker number `index` of `workers`, bound to `processor` if there is one.
    ///
    /// # Errors
    /// If the system gives no thread or no event queue, or does not bind it.
    pub(crate) fn start(
        index: u32,
        workers: u32,
        processor: Option<u32>,
        clock: Clock,
        reports: mpsc::Sender<WorkerReport>,
    ) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (orders, inbox) = mpsc::channel(QUEUE);
        let (seated, seat) = std::sync::mpsc::sync_channel(1);
        let thread =
            std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                if seated.send(Seat::take(processor)).is_err() {
                    return;
                }
                let place = Place { index, workers, clock, reports };
                LocalSet::new().block_on(&runtime, place.run(inbox));
            })?;
        let seat = seat.recv().map_err(|_| std::io::ErrorKind::BrokenPipe)??;
        Ok(Self { orders, seat, thread: Some(thread) })
    }

    /// Where its thread sits.
    pub(crate) fn seat(&self) -> Seat {
        self.seat
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
                // The level that it is about has ended here.
                WorkerOrder::Measure { .. }
                | WorkerOrder::Release { .. }
                | WorkerOrder::EndLevel
                | WorkerOrder::Stop { .. } => {}
            }
        }
    }
}

/// A level while it runs.
struct Level<'a> {
    place: &'a Place,
    shared: Rc<Shared>,
    /// Users, or slots.
    users: JoinSet<()>,
    open_loop: Option<OpenLoop>,
    /// Wakes the worker to look after itself.
    alarm: Option<Alarm>,
    end: Option<LevelEnd>,
    cut_at: Option<Tick>,
    cpu: CpuMeter,
    /// The level ends when it is told to, not when its users have.
    windowed: bool,
    /// An instant of the window had come when this worker heard of it.
    late: bool,
    /// The agent knows that the window's requests have ended.
    told: bool,
}

impl<'a> Level<'a> {
    fn new(place: &'a Place, plan: SharedPlan, fire: Tick) -> Self {
        let share = worker_share(plan.assignment.share, place.index, place.workers);
        let shared = Rc::new(Shared::new(plan, place.clock, fire));
        let cpu = CpuMeter::start(place.clock.now(), Clock::thread_cpu_ns());
        let windowed = match shared.plan.assignment.load.end {
            End::Requests(_) => false,
            End::Window => true,
        };
        let mut level = Self {
            place,
            shared,
            users: JoinSet::new(),
            open_loop: None,
            alarm: Alarm::new(place.clock).ok(),
            end: None,
            cut_at: None,
            cpu,
            windowed,
            late: false,
            told: false,
        };
        match level.shared.plan.assignment.load.arrivals {
            Arrivals::Closed { .. } => {
                for id in share.users() {
                    level.users.spawn_local(User::new(id, Rc::clone(&level.shared)).run());
                }
            }
            Arrivals::Open(schedule) => {
                let plan = &level.shared.plan;
                let trace = plan.composer.trace();
                let line = Line::new(schedule, trace, &plan.assignment, (share, fire));
                level.open(Slots::new(line, share.count));
            }
        }
        level
    }

    fn open(&mut self, slots: Slots) {
        let slots = Rc::new(slots);
        match Alarm::new(self.place.clock) {
            Ok(alarm) => {
                self.add(slots.open(&self.shared));
                self.open_loop = Some(OpenLoop { slots, alarm });
            }
            Err(error) => {
                let end = LevelEnd::Faulted(format!("the system gives no timer: {error}"));
                self.stop(end, Duration::ZERO);
            }
        }
    }

    fn add(&mut self, slots: Vec<Slot>) {
        for slot in slots {
            self.users.spawn_local(slot.run());
        }
    }

    fn arrive(&mut self) {
        if let Some(open_loop) = &self.open_loop {
            let added = open_loop.slots.arrive(self.place.clock.now(), &self.shared);
            self.add(added);
        }
    }

    async fn run(mut self, inbox: &mut mpsc::Receiver<WorkerOrder>) {
        let clock = self.place.clock;
        let mut wake = clock.now() + TICK;
        let mut report_at = clock.now() + SNAPSHOT_EVERY;
        let mut attached = true;
        while !self.is_over() {
            tokio::select! {
                biased;
                order = inbox.recv(), if attached => match order {
                    Some(WorkerOrder::Measure { from }) => self.measure(from),
                    Some(WorkerOrder::Release { at }) => self.release(at),
                    Some(WorkerOrder::EndLevel) => self.end_level(),
                    Some(WorkerOrder::Stop { grace }) => self.stop(LevelEnd::Stopped, grace),
                    Some(WorkerOrder::Run { .. }) => {}
                    // The agent let go without a stop: nobody will ever read this level.
                    None => { attached = false; self.stop(LevelEnd::Stopped, Duration::ZERO); }
                },
                () = pulse(&mut self.alarm, clock, wake) => {
                    let now = clock.now();
                    self.look_after(now, wake);
                    self.tell_followed(now);
                    if now >= report_at {
                        self.report(now);
                        report_at = now + SNAPSHOT_EVERY;
                    }
                    wake = self.next_wake(now);
                }
                () = OpenLoop::due(&mut self.open_loop) => self.arrive(),
                () = self.shared.followed.notified(), if self.windowed && !self.told => {
                    self.tell_followed(clock.now());
                }
                Some(user) = self.users.join_next() => self.ended(user),
            }
        }
        // Spare slots may still be connecting, and the last to end may have panicked.
        self.users.abort_all();
        while let Some(user) = self.users.join_next().await {
            self.ended(user);
        }
        self.seal().await;
    }

    /// Every request has ended, none will start, and no order to end is waited for.
    fn is_over(&self) -> bool {
        let done = match &self.open_loop {
            Some(open_loop) => {
                open_loop.slots.is_closed() && self.shared.recorder.borrow().is_idle()
            }
            None => self.users.is_empty(),
        };
        done && (!self.windowed || self.shared.is_stopping())
    }

    /// The next look around; at the end of the window exactly, so that the agent hears at once of
    /// a window that needs no waiting.
    fn next_wake(&self, now: Tick) -> Tick {
        let released = self.shared.recorder.borrow().released().filter(|&at| at > now);
        released.unwrap_or(now + TICK).min(now + TICK)
    }

    fn measure(&mut self, from: Tick) {
        if self.hears_in_time(from) {
            self.shared.recorder.borrow_mut().measure(from);
        }
    }

    fn release(&mut self, at: Tick) {
        if self.hears_in_time(at) {
            let windowed = self.shared.recorder.borrow_mut().release(at);
            self.late |= !windowed;
        }
    }

    /// Whether an instant is still to come. If not the level cannot be measured, and every report
    /// says so from now on.
    fn hears_in_time(&mut self, instant: Tick) -> bool {
        let now = self.place.clock.now();
        let in_time = now < instant;
        if !in_time {
            self.late = true;
            self.report(now);
        }
        in_time
    }

    /// Cuts what is open as planned. A level whose window is not over is only stopped by this.
    fn end_level(&mut self) {
        let now = self.place.clock.now();
        let measured = !self.late && self.shared.recorder.borrow().is_released(now);
        let end = if self.shared.has_expired() {
            LevelEnd::LeaseExpired
        } else if measured {
            LevelEnd::Completed
        } else {
            LevelEnd::Stopped
        };
        if self.end.is_none() && end == LevelEnd::Completed {
            self.shared.cut_as.set(Censor::CancelledPlan);
        }
        self.stop(end, Duration::ZERO);
    }

    /// Reports once that every request of the window has ended.
    fn tell_followed(&mut self, now: Tick) {
        // What has come and was not taken in yet may be of the window.
        self.arrive();
        if !self.told && self.shared.recorder.borrow().has_followed(now) {
            self.told = self.report(now);
        }
    }

    /// Lag and processor time, lease and cut, whatever the users are doing.
    fn look_after(&mut self, now: Tick, wake: Tick) {
        self.shared.recorder.borrow_mut().woke(wake, now);
        let measured = self.shared.recorder.borrow().measures(now);
        self.cpu.look(now, Clock::thread_cpu_ns(), measured);
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
        self.shared.stop();
        if let Some(open_loop) = &self.open_loop {
            open_loop.slots.close(&self.shared);
        }
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

    /// A user's task ended. One that was cut by `abort_all` has recorded its request as it was
    /// dropped; one that panicked voids the level.
    fn ended(&mut self, user: Result<(), JoinError>) {
        let Some(panic) = user.err().and_then(|error| error.try_into_panic().ok()) else {
            return;
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

    /// Reports; `false` if there was no place for it, which the next report makes good: it is
    /// cumulative.
    fn report(&mut self, now: Tick) -> bool {
        let mut recorder = self.shared.recorder.borrow_mut();
        let cpu = self.cpu.report(now, Clock::thread_cpu_ns());
        let report = WorkerReport {
            worker: self.place.index,
            at: now,
            level: self.shared.plan.assignment.level,
            tally: Box::new(recorder.snapshot(now)),
            cpu,
            late: self.late,
            followed: recorder.has_followed(now),
            end: None,
        };
        self.place.reports.try_send(report).is_ok()
    }

    async fn seal(mut self) {
        let now = self.place.clock.now();
        let assignment = &self.shared.plan.assignment;
        // Users see the end of the lease before this worker's next look at it.
        let unmade =
            if self.shared.has_expired() { LevelEnd::LeaseExpired } else { LevelEnd::Completed };
        let end = self.end.take().unwrap_or(unmade);
        let fire = self.shared.recorder.borrow().fire();
        let emptied = Recorder::new(&self.shared.plan, fire);
        let recorder = self.shared.recorder.replace(emptied);
        let cpu = self.cpu.report(now, Clock::thread_cpu_ns());
        let report = WorkerReport {
            worker: self.place.index,
            at: now,
            level: assignment.level,
            cpu,
            late: self.late,
            followed: recorder.has_followed(now),
            tally: Box::new(recorder.into_tally(now)),
            end: Some(end),
        };
        let _ = self.place.reports.send(report).await;
    }
}

/// Waits for a worker's next look after itself, as exactly as the system can: how late it comes is
/// how late the event loop is, and a runtime's own timer would add its grain of a millisecond.
async fn pulse(alarm: &mut Option<Alarm>, clock: Clock, at: Tick) {
    match alarm {
        Some(alarm) => alarm.ring(at).await,
        None => tokio::time::sleep_until(clock.instant(at)).await,
    }
}

/// What drives a worker in open loop.
struct OpenLoop {
    slots: Rc<Slots>,
    alarm: Alarm,
}

impl OpenLoop {
    /// The next arrival has come; never in closed loop, or when there is none.
    async fn due(open_loop: &mut Option<Self>) {
        let next = open_loop.as_mut().and_then(|open| Some((open.slots.next_at()?, open)));
        match next {
            Some((at, open)) => open.alarm.ring(at).await,
            None => std::future::pending().await,
        }
    }
}
