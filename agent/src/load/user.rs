//! One virtual user: one request at a time on one connection of its own, never a retry.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use common::arrivals::Arrivals;
use common::ids::UserId;
use common::outcome::{Censor, Ending, Failure, Marks, Outcome};
use common::tally::Previous;
use common::time::Tick;
use tokio::io::ReadBuf;
use tokio::sync::Notify;
use tokio::time::Sleep;

use crate::clock::Clock;
use crate::load::SharedPlan;
use crate::load::conn::Conn;
use crate::load::recorder::Recorder;
use crate::reply::{Conclusion, Expect, Limits, Progress, Reply};

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
    buffer: RefCell<Box<[u8]>>,
}

impl Shared {
    pub(super) fn new(plan: SharedPlan, clock: Clock, fire: Tick) -> Self {
        let recorder = Recorder::new(&plan.assignment, fire);
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

    fn may_start(&self) -> bool {
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

/// One virtual user of a level.
pub(super) struct User {
    id: UserId,
    shared: Rc<Shared>,
    conn: Option<Conn>,
    /// `conn` has carried a request.
    used: bool,
    reply: Reply,
    /// A byte of the current response has come.
    answered: bool,
    /// What the last request gave for the next one.
    previous: Option<Previous>,
    timer: Pin<Box<Sleep>>,
}

impl User {
    pub(super) fn new(id: UserId, shared: Rc<Shared>) -> Self {
        let assignment = &shared.plan.assignment;
        let forced = assignment.workload.forced_length;
        let expect = Expect {
            endpoint: assignment.target.endpoint,
            stream: assignment.target.stream,
            forced_tokens: forced.then_some(assignment.workload.output_tokens.into()),
        };
        let first = intended(&shared, id, None);
        let timer = Box::pin(tokio::time::sleep_until(shared.clock.instant(first)));
        Self {
            id,
            shared,
            conn: None,
            used: false,
            reply: Reply::new(expect, Limits::default()),
            answered: false,
            previous: None,
            timer,
        }
    }

    /// Connects, waits for the instant of the first request, and makes this user's requests.
    pub(super) async fn run(mut self) {
        let shared = Rc::clone(&self.shared);
        let plan = &shared.plan;
        let quota = plan.assignment.load.quota(self.id);
        if quota == 0 {
            return;
        }
        // A connection that cannot be made now is tried again, and counted, by the first request.
        self.conn = self.connect().await.ok();
        if !shared.stopping.get() {
            tokio::select! {
                () = shared.stopped.notified() => {}
                () = self.timer.as_mut() => {}
            }
        }
        let mut free = None;
        for number in 0..quota {
            if !shared.may_start() {
                return;
            }
            let intended = intended(&shared, self.id, free);
            let open = Open::start(&shared, self.id, number, intended);
            free = Some(self.request(open).await);
        }
    }

    async fn connect(&self) -> Result<Conn, Failure> {
        let plan = &self.shared.plan;
        let timeout = plan.assignment.target.timeouts.connect;
        Conn::open(&plan.addresses, plan.tls.as_ref(), timeout).await
    }

    /// Makes one request and gives the instant of its end.
    async fn request(&mut self, mut open: Open<'_>) -> Tick {
        let shared = open.shared;
        let previous = self.previous.take();
        let request = shared.plan.composer.request(self.id, open.number);
        let (mut conn, reused) = match self.ready_conn().await {
            Ok(found) => found,
            Err(failure) => return open.fail(failure),
        };
        if !shared.may_start() {
            // Stopped, or the lease ran out, while it connected: nothing has been sent, and
            // nothing may be.
            return open.abandon();
        }
        self.reply.begin();
        self.answered = false;
        let sent = open.sent();
        let limits = Waits::new(&shared.plan.assignment.target.timeouts, sent);
        let total = shared.clock.instant(limits.total);
        let exchanged = match tokio::time::timeout_at(total, conn.write(&request)).await {
            Ok(Ok(())) => self.read_reply(&mut conn, limits).await,
            // A target that refuses a request may close before it has read all of it: its answer
            // says more than the broken pipe.
            Ok(Err(error)) => match self.read_reply(&mut conn, limits).await {
                Ok(_) => Ok(false),
                Err(_) => Err(broken(&error)),
            },
            Err(_) => Err(Failure::TimeoutTotal),
        };
        let keep = match exchanged {
            Ok(reusable) => reusable,
            Err(failure) => {
                let stale = reused && failure == Failure::Reset && !self.answered;
                self.reply.fail(if stale { Failure::StaleConnection } else { failure });
                false
            }
        };
        self.conn = keep.then_some(conn);
        self.used = true;
        let (done, gaps, next) = open.end(self.reply.conclude(), previous);
        self.previous = next;
        self.reply.recycle(gaps);
        done
    }

    /// The kept connection if it is still good, or a new one; and whether it has carried a request
    /// before.
    async fn ready_conn(&mut self) -> Result<(Conn, bool), Failure> {
        if let Some(mut conn) = self.conn.take()
            && !conn.is_stale().await
        {
            return Ok((conn, self.used));
        }
        Ok((self.connect().await?, false))
    }

    /// Reads until the response has ended; gives whether the connection can be kept. A failure
    /// that the response itself is gives `Ok(false)`: the reply knows it.
    async fn read_reply(&mut self, conn: &mut Conn, mut waits: Waits) -> Result<bool, Failure> {
        let shared = Rc::clone(&self.shared);
        let clock = shared.clock;
        let mut armed = waits.deadline(false);
        self.timer.as_mut().reset(clock.instant(armed));
        std::future::poll_fn(|cx| {
            loop {
                match self.poll_read_once(cx, conn, &shared, &mut waits) {
                    Poll::Ready(Ok(Progress::More)) => {}
                    Poll::Ready(Ok(Progress::Done { reusable })) => {
                        return Poll::Ready(Ok(reusable));
                    }
                    Poll::Ready(Ok(Progress::Failed)) => return Poll::Ready(Ok(false)),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(broken(&error))),
                    Poll::Pending => break,
                }
            }
            // Reads put the deadline off, and the timer follows once it has fired too early, not at
            // every read. Only the first byte of a body brings the deadline nearer.
            let deadline = waits.deadline(self.reply.has_body());
            if deadline < armed {
                armed = deadline;
                self.timer.as_mut().reset(clock.instant(armed));
            }
            while self.timer.as_mut().poll(cx).is_ready() {
                if clock.now() >= deadline {
                    return Poll::Ready(Err(waits.cause(self.reply.has_body())));
                }
                armed = deadline;
                self.timer.as_mut().reset(clock.instant(armed));
            }
            Poll::Pending
        })
        .await
    }

    fn poll_read_once(
        &mut self,
        cx: &mut Context<'_>,
        conn: &mut Conn,
        shared: &Shared,
        waits: &mut Waits,
    ) -> Poll<io::Result<Progress>> {
        let mut buffer = shared.buffer.borrow_mut();
        let mut buffer = ReadBuf::new(&mut buffer);
        let read = std::task::ready!(conn.poll_read(cx, &mut buffer));
        if let Err(error) = read {
            // TLS without a goodbye; before any answer it is a closed connection like any other.
            let closed = error.kind() == io::ErrorKind::UnexpectedEof && !self.answered;
            let error = if closed { io::ErrorKind::ConnectionReset.into() } else { error };
            return Poll::Ready(Err(error));
        }
        let now = shared.clock.now();
        waits.last_read = now;
        let seen = self.reply.events();
        let progress = match buffer.filled() {
            [] if !self.answered => {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            [] => self.reply.closed(now),
            bytes => {
                self.answered = true;
                self.reply.push(now, bytes)
            }
        };
        let events = self.reply.events().saturating_sub(seen);
        if events > 0 {
            shared.recorder.borrow_mut().events(now, events);
        }
        Poll::Ready(Ok(progress))
    }
}

/// When a user's next request is intended.
fn intended(shared: &Shared, id: UserId, free: Option<Tick>) -> Tick {
    let load = shared.plan.assignment.load;
    let fire = shared.recorder.borrow().fire();
    Arrivals::intended(load.arrivals.ramp(), (id.0, load.users), fire, free)
}

fn broken(error: &io::Error) -> Failure {
    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign, open enum")]
    match error.kind() {
        io::ErrorKind::InvalidData => Failure::Tls,
        // A TLS peer that closes without saying so.
        io::ErrorKind::UnexpectedEof => Failure::Truncated,
        _ => Failure::Reset,
    }
}

/// The instants at which a wait for a response ends.
struct Waits {
    first_byte: Tick,
    total: Tick,
    idle: std::time::Duration,
    last_read: Tick,
}

impl Waits {
    fn new(timeouts: &common::target::Timeouts, sent: Tick) -> Self {
        Self {
            first_byte: sent + timeouts.first_byte,
            total: sent + timeouts.total,
            idle: timeouts.idle,
            last_read: sent,
        }
    }

    fn deadline(&self, has_body: bool) -> Tick {
        let step = if has_body { self.last_read + self.idle } else { self.first_byte };
        step.min(self.total)
    }

    fn cause(&self, has_body: bool) -> Failure {
        if self.deadline(has_body) == self.total {
            Failure::TimeoutTotal
        } else if has_body {
            Failure::TimeoutIdle
        } else {
            Failure::TimeoutFirstByte
        }
    }
}

/// A request that has begun and must end: dropped without an end it was cut, or its user panicked.
struct Open<'a> {
    shared: &'a Shared,
    user: UserId,
    number: u64,
    intended: Tick,
    sent: Option<Tick>,
    ended: bool,
}

impl<'a> Open<'a> {
    fn start(shared: &'a Shared, user: UserId, number: u64, intended: Tick) -> Self {
        shared.recorder.borrow_mut().start(intended);
        Self { shared, user, number, intended, sent: None, ended: false }
    }

    /// The first byte is about to be handed to the socket.
    fn sent(&mut self) -> Tick {
        let now = self.shared.clock.now();
        self.shared.recorder.borrow_mut().sent(now);
        self.sent = Some(now);
        now
    }

    fn fail(mut self, failure: Failure) -> Tick {
        let now = self.shared.clock.now();
        let outcome = self.cut(failure.into(), now);
        self.record(&outcome, None);
        now
    }

    /// It ends as it would if its user were cut now.
    fn abandon(self) -> Tick {
        self.shared.clock.now()
    }

    /// Records the end; gives its instant, and for the next request the vector of gaps and what
    /// this one was.
    fn end(
        mut self,
        conclusion: Conclusion,
        previous: Option<Previous>,
    ) -> (Tick, Vec<u32>, Option<Previous>) {
        let now = self.shared.clock.now();
        let done = conclusion.done.unwrap_or(now);
        let outcome = Outcome {
            user: self.user,
            request: self.number,
            ending: conclusion.ending,
            status: conclusion.status,
            paper_success: conclusion.paper_success,
            marks: Marks {
                intended: self.intended,
                sent: self.sent,
                head: conclusion.head,
                first_token: conclusion.first_token,
                first_answer: conclusion.first_answer,
                last_token: conclusion.last_token,
                done,
            },
            usage: conclusion.usage,
            events: conclusion.events,
            gaps_us: conclusion.gaps_us,
            detail: conclusion.detail.map(|words| self.shared.plan.composer.without_key(words)),
        };
        let next = self.record(&outcome, previous);
        (done, outcome.gaps_us, next)
    }

    fn record(&mut self, outcome: &Outcome, previous: Option<Previous>) -> Option<Previous> {
        let mut recorder = self.shared.recorder.borrow_mut();
        let next = recorder.end(outcome, previous);
        if recorder.has_followed(outcome.marks.done) {
            self.shared.followed.notify_one();
        }
        self.ended = true;
        next
    }

    fn cut(&self, ending: Ending, now: Tick) -> Outcome {
        Outcome {
            user: self.user,
            request: self.number,
            ending,
            status: None,
            paper_success: false,
            marks: Marks {
                intended: self.intended,
                sent: self.sent,
                done: now,
                ..Marks::default()
            },
            usage: None,
            events: 0,
            gaps_us: Vec::new(),
            detail: None,
        }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let ending = if std::thread::panicking() {
            Failure::ClientPanic.into()
        } else {
            Ending::Censored(self.shared.cut_as.get())
        };
        let outcome = self.cut(ending, self.shared.clock.now());
        self.record(&outcome, None);
    }
}
