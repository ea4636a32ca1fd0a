//! The connections of a worker in open loop, and the arrivals that they take up.
//!
//! An arrival goes to the slot that was used last among those that are free; so few slots do most
//! of the work, and their connections stay warm. Without a free slot it waits in line. Spare slots
//! are connected before they are needed, and never more than the worker's share.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::ids::UserId;
use common::time::Tick;

use crate::load::caller::Caller;
use crate::load::line::Line;
use crate::load::request::Open;
use crate::load::shared::Shared;

/// Spare slots, at least.
const SPARE_MIN: u32 = 16;
/// One more spare slot for this many that are at work.
const SPARE_PER_BUSY: u32 = 4;
/// Slots that one arrival may add: a target that closes what it has just accepted is not flooded.
const GROWTH_MAX: u32 = 2;
/// A spare connection that was kept this long and then closed by the target is made anew.
const RENEW_AFTER: Duration = Duration::from_secs(1);
/// Slots for the arrivals of this time are there when a level fires.
const READY_FOR: Duration = Duration::from_secs(1);

/// The slots of a worker.
pub(super) struct Slots {
    line: RefCell<Line>,
    /// Free slots, the last used last.
    free: RefCell<Vec<Rc<Seat>>>,
    /// Slots that connect ahead of need.
    connecting: Cell<u32>,
    /// All slots.
    count: Cell<u32>,
    /// The most that there may be.
    most: u32,
    /// Nothing more will come: who is free leaves.
    closed: Cell<bool>,
}

/// Where a free slot waits.
#[derive(Default)]
struct Seat {
    called: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Slots {
    /// No slots yet, for these arrivals.
    pub(super) fn new(line: Line, most: u32) -> Self {
        Self {
            line: RefCell::new(line),
            free: RefCell::default(),
            connecting: Cell::new(0),
            count: Cell::new(0),
            most,
            closed: Cell::new(false),
        }
    }

    /// When the next arrival comes; `None` if none will.
    pub(super) fn next_at(&self) -> Option<Tick> {
        if self.closed.get() { None } else { self.line.borrow().next_at() }
    }

    /// The slots to begin with, to be run.
    pub(super) fn open(self: &Rc<Self>, shared: &Rc<Shared>) -> Vec<Slot> {
        let until = shared.recorder.borrow().fire() + READY_FOR;
        let expected = self.line.borrow().before(until, self.most);
        if self.next_at().is_none() {
            self.closed.set(true);
        }
        self.add(expected.max(SPARE_MIN), shared)
    }

    /// Takes in what has come by `now`, and calls free slots; gives slots to be added, to be run.
    pub(super) fn arrive(self: &Rc<Self>, now: Tick, shared: &Rc<Shared>) -> Vec<Slot> {
        let mut added = Vec::new();
        while self.next_at().is_some_and(|at| at <= now) {
            // A level that may not go on has no further arrivals.
            if !shared.may_start() {
                self.closed.set(true);
                break;
            }
            if let Some(arrival) = self.line.borrow_mut().come(now) {
                let choice = shared.plan.composer.choose(UserId(0), arrival.number);
                shared.recorder.borrow_mut().start(arrival.intended, choice.slices);
            }
            let free = self.free.borrow_mut().pop();
            let missing = match free {
                Some(seat) => {
                    seat.call();
                    self.spare_wanted().saturating_sub(self.spare())
                }
                // It waits, and so may what comes next, however many are about to be connected.
                None => GROWTH_MAX,
            };
            if missing > 0 {
                added.extend(self.add(missing.min(GROWTH_MAX), shared));
            }
        }
        if self.next_at().is_none() {
            self.dismiss();
        }
        added
    }

    /// Nothing more will come.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Takes in nothing more, and ends what waits in line.
    pub(super) fn close(&self, shared: &Shared) {
        self.dismiss();
        while let Some(arrival) = self.line.borrow_mut().take() {
            drop(Open::resume(shared, UserId(0), arrival.number, arrival.intended));
        }
    }

    /// Lets go of free slots. Those at work leave when the line is empty.
    fn dismiss(&self) {
        self.closed.set(true);
        for seat in self.free.borrow_mut().drain(..) {
            seat.call();
        }
    }

    fn add(self: &Rc<Self>, wanted: u32, shared: &Rc<Shared>) -> Vec<Slot> {
        let room = self.most.saturating_sub(self.count.get());
        let add = if self.closed.get() { 0 } else { wanted.min(room) };
        let first = self.count.get();
        self.count.set(first + add);
        self.connecting.set(self.connecting.get() + add);
        (first..first + add)
            .map(|number| Slot::new(number, Rc::clone(self), Rc::clone(shared)))
            .collect()
    }

    /// Slots that are free or about to be.
    fn spare(&self) -> u32 {
        self.free.borrow().len() as u32 + self.connecting.get()
    }

    fn spare_wanted(&self) -> u32 {
        let busy = self.count.get().saturating_sub(self.spare());
        SPARE_MIN.max(busy / SPARE_PER_BUSY)
    }
}

impl Seat {
    fn call(&self) {
        self.called.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    fn poll_called(&self, cx: &Context<'_>) -> Poll<()> {
        if self.called.take() {
            return Poll::Ready(());
        }
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

/// One connection of an open loop.
pub(super) struct Slot {
    slots: Rc<Slots>,
    shared: Rc<Shared>,
    seat: Rc<Seat>,
    caller: Caller,
}

/// What ended a slot's wait.
enum Called {
    /// There may be something to take up.
    Yes,
    /// The target closed the connection.
    Closed,
}

impl Slot {
    fn new(number: u32, slots: Rc<Slots>, shared: Rc<Shared>) -> Self {
        let caller = Caller::new(Rc::clone(&shared), number);
        Self { slots, shared, seat: Rc::default(), caller }
    }

    /// Connects, and takes up arrivals until there are no more, or the level may not go on.
    pub(super) async fn run(mut self) {
        self.caller.prepare().await;
        self.count_connecting(false);
        let shared = Rc::clone(&self.shared);
        // A connection that cannot be made ahead is left to the request that needs it.
        let mut tried = true;
        // What may not be started is left in line, and ends when the worker closes it.
        while shared.may_start() {
            let arrival = self.slots.line.borrow_mut().take();
            if let Some(arrival) = arrival {
                tried = false;
                let open = Open::resume(&shared, UserId(0), arrival.number, arrival.intended);
                self.caller.request(open).await;
            } else if self.slots.closed.get() {
                return;
            } else if !(tried || self.caller.is_connected()) {
                tried = true;
                self.connect().await;
            } else {
                let since = shared.clock.now();
                if let Called::Closed = self.wait().await {
                    let kept = shared.clock.now().since(since);
                    if kept < RENEW_AFTER || self.slots.spare() >= self.slots.spare_wanted() {
                        self.slots.count.set(self.slots.count.get().saturating_sub(1));
                        return;
                    }
                    self.connect().await;
                }
            }
        }
    }

    /// Connects ahead of need.
    async fn connect(&mut self) {
        self.count_connecting(true);
        self.caller.prepare().await;
        self.count_connecting(false);
    }

    /// Waits, free, until called, or until the target closes the connection.
    async fn wait(&mut self) -> Called {
        self.seat.called.set(false);
        self.slots.free.borrow_mut().push(Rc::clone(&self.seat));
        let called = poll_fn(|cx| {
            if self.seat.poll_called(cx).is_ready() {
                return Poll::Ready(Called::Yes);
            }
            self.caller.poll_closed(cx).map(|()| Called::Closed)
        })
        .await;
        if let Called::Closed = called {
            self.slots.free.borrow_mut().retain(|seat| !Rc::ptr_eq(seat, &self.seat));
        }
        called
    }

    fn count_connecting(&self, begins: bool) {
        let connecting = &self.slots.connecting;
        connecting.set(if begins {
            connecting.get() + 1
        } else {
            connecting.get().saturating_sub(1)
        });
    }
}
