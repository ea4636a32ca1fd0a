//! What the users of a worker have in common: the plan, the record, and whether they may go on.

use std::cell::{Cell, RefCell};

use common::outcome::Censor;
use common::time::Tick;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::load::SharedPlan;
use crate::load::recorder::Recorder;
use crate::load::stamp::Stamps;

/// Bytes that one read can take: the worker's one buffer.
const READ_MAX: usize = 64 << 10;

/// What the users of a worker have in common.
pub(super) struct Shared {
    pub(super) plan: SharedPlan,
    pub(super) clock: Clock,
    pub(super) recorder: RefCell<Recorder>,
    /// No user may start another request.
    stopping: Cell<bool>,
    /// Wakes users whose first request has not come when the level stops.
    stopped: Notify,
    /// Wakes the worker when the last request has ended that was intended before the window's end.
    pub(super) followed: Notify,
    /// A user has left requests unmade because the lease had run out.
    expired: Cell<bool>,
    /// What requests become that are cut.
    pub(super) cut_as: Cell<Censor>,
    /// Where every user's bytes are read to.
    pub(super) buffer: RefCell<Box<[u8]>>,
    /// Where small requests are put together.
    pub(super) gathered: RefCell<Vec<u8>>,
    /// What maps the kernel's receive stamps to ticks.
    pub(super) stamps: Cell<Stamps>,
}

impl Shared {
    pub(super) fn new(plan: SharedPlan, clock: Clock, fire: Tick) -> Self {
        let recorder = Recorder::new(&plan, fire);
        Self {
            plan,
            clock,
            recorder: RefCell::new(recorder),
            stopping: Cell::new(false),
            stopped: Notify::new(),
            followed: Notify::new(),
            expired: Cell::new(false),
            cut_as: Cell::new(Censor::CancelledAbort),
            buffer: RefCell::new(vec![0; READ_MAX].into_boxed_slice()),
            gathered: RefCell::default(),
            stamps: Cell::new(Stamps::new(clock.wall_ahead_ns())),
        }
    }

    /// Lets no request start any more.
    pub(super) fn stop(&self) {
        self.stopping.set(true);
        self.stopped.notify_waiters();
    }

    /// No request is started any more.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.get() || self.expired.get()
    }

    /// Users have left requests unmade because the lease had run out.
    pub(super) fn has_expired(&self) -> bool {
        self.expired.get()
    }

    /// Waits for an instant, or until the level stops.
    pub(super) async fn wait(&self, until: Tick) {
        if !self.stopping.get() {
            tokio::select! {
                () = self.stopped.notified() => {}
                () = tokio::time::sleep_until(self.clock.instant(until)) => {}
            }
        }
    }

    /// Whether a request may be started now: the level goes on, and the lease holds.
    pub(super) fn may_start(&self) -> bool {
        if self.stopping.get() {
            return false;
        }
        let holds = self.plan.lease.holds_at(Clock::boottime_ns());
        if !holds {
            self.expired.set(true);
        }
        holds
    }
}
