//! One request at a time, each on the connection to the base URL whose turn it is; connections are
//! kept unless each request is to have its own. Never a retry.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use common::ids::UserId;
use common::outcome::{Ending, Failure};
use common::tally::Previous;
use common::target::Connection;
use common::time::Tick;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::time::Sleep;

use crate::clock::Clock;
use crate::compose::{Course, Request};
use crate::load::Route;
use crate::load::channel::Channel;
use crate::load::conn::{Conn, Written, broken};
use crate::load::frames::{Frames, Piece};
use crate::load::request::Open;
use crate::load::shared::Shared;
use crate::load::stamp::Receipt;
use crate::reply::{Expect, Limits, Progress, Reply};

/// A connection to each base URL, and what reads the responses that come.
pub(super) struct Caller {
    shared: Rc<Shared>,
    /// Which of the host's addresses its connections come from, in turn.
    turn: u32,
    /// In the order of the base URLs.
    links: Vec<Link>,
    /// What is expected of every reply.
    expect: Expect,
    reply: Reply,
    /// A byte of the current response has come.
    answered: bool,
    /// What the last request gave for the next one.
    previous: Option<Previous>,
    /// Where its user is in conversations that are its own.
    course: Option<Course>,
    timer: Timer,
}

/// Wakes the caller's task for its deadlines.
///
/// A deadline is put off with every request and every read, and the timer follows only once it has
/// fired too early: for as long as it is armed for an earlier instant there is nothing to tell the
/// runtime.
struct Timer {
    sleep: Pin<Box<Sleep>>,
    armed: Tick,
    /// The runtime knows whom to wake.
    registered: bool,
}

impl Timer {
    fn new(clock: Clock, armed: Tick) -> Self {
        let sleep = Box::pin(tokio::time::sleep_until(clock.instant(armed)));
        Self { sleep, armed, registered: false }
    }

    /// Ready once `deadline` has passed; otherwise the task is woken by then.
    fn poll_passed(&mut self, cx: &mut Context<'_>, clock: Clock, deadline: Tick) -> Poll<()> {
        if deadline < self.armed {
            self.arm(clock, deadline);
        }
        // A caller is one task's, so whom to wake does not change.
        while !self.registered || self.sleep.is_elapsed() {
            self.registered = true;
            if self.sleep.as_mut().poll(cx).is_ready() {
                if clock.now() >= deadline {
                    return Poll::Ready(());
                }
                self.arm(clock, deadline);
            }
        }
        Poll::Pending
    }

    fn arm(&mut self, clock: Clock, deadline: Tick) {
        self.armed = deadline;
        self.registered = false;
        self.sleep.as_mut().reset(clock.instant(deadline));
    }
}

/// What leads to one base URL.
#[derive(Default)]
struct Link {
    channel: Option<Channel>,
    /// `channel` has carried a request.
    used: bool,
}

impl Caller {
    pub(super) fn new(shared: Rc<Shared>, turn: u32) -> Self {
        let assignment = &shared.plan.assignment;
        let (endpoint, stream) = (assignment.target.endpoint, assignment.target.stream);
        let expect = Expect { endpoint, stream, forced_tokens: None };
        let fire = shared.recorder.borrow().fire();
        let timer = Timer::new(shared.clock, fire);
        let links = shared.plan.routes.iter().map(|_| Link::default()).collect();
        Self {
            shared,
            turn,
            links,
            expect,
            reply: Reply::new(expect, Limits::default()),
            answered: false,
            previous: None,
            course: None,
            timer,
        }
    }

    /// The same, of one user of a closed loop.
    pub(super) fn of_user(shared: Rc<Shared>, user: UserId) -> Self {
        let users = shared.plan.assignment.load.users;
        let course = shared.plan.composer.course(user, users);
        let share = shared.plan.assignment.share;
        let turn = user.0.saturating_sub(share.first.0) / share.step.max(1);
        Self { course, ..Self::new(shared, turn) }
    }

    /// Connects ahead of requests wherever it is not connected. A connection that cannot be made now
    /// is tried again, and counted, by the request.
    pub(super) async fn prepare(&mut self) {
        let shared = &self.shared;
        for (link, route) in self.links.iter_mut().zip(&shared.plan.routes) {
            if link.channel.is_none() {
                *link = Link { channel: connect(shared, route, self.turn).await.ok(), used: false };
            }
        }
    }

    /// There is a connection for the next request, whatever its turn.
    pub(super) fn is_connected(&self) -> bool {
        self.links.iter().all(|link| link.channel.is_some())
    }

    /// Ready when a connection can carry no further request; it is dropped then.
    pub(super) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut closed = Poll::Pending;
        for link in &mut self.links {
            if link.channel.as_mut().is_some_and(|channel| channel.poll_stale(cx).is_ready()) {
                link.channel = None;
                closed = Poll::Ready(());
            }
        }
        closed
    }

    /// Makes one request and gives the instant of its end.
    pub(super) async fn request(&mut self, mut open: Open<'_>) -> Tick {
        let shared = open.shared;
        let previous = self.previous.take();
        let composer = &shared.plan.composer;
        let request = match &self.course {
            Some(course) => composer.turn(open.choice, open.user, open.number, course),
            None => composer.request(open.choice, open.user, open.number),
        };
        let (mut channel, reused) = match self.ready_channel(request.url()).await {
            Ok(found) => found,
            Err(failure) => {
                self.step(false);
                return open.fail(failure);
            }
        };
        if !reused && !shared.may_start() {
            // Stopped, or the lease ran out, while it connected: nothing has been sent, and
            // nothing may be.
            return open.abandon();
        }
        self.reply.begin(Expect { forced_tokens: request.forced_tokens(), ..self.expect });
        self.answered = false;
        let sent = open.sent();
        let mut waits = Waits::new(&shared.plan.assignment.target.timeouts, sent);
        let exchanged = match write(shared, &mut channel, &request, &waits).await {
            Ok(()) => {
                open.written(request.images());
                self.read_reply(&mut channel, &mut waits).await
            }
            Err(Failure::TimeoutTotal) => Err(Failure::TimeoutTotal),
            // A target that refuses a request may close before it has read all of it: its answer
            // says more than the broken pipe.
            Err(failure) => match self.read_reply(&mut channel, &mut waits).await {
                Ok(_) => Ok(false),
                Err(_) => Err(failure),
            },
        };
        let keep = match exchanged {
            Ok(reusable) => reusable,
            Err(failure) => {
                let stale = reused && failure == Failure::Reset && !self.answered;
                self.reply.fail(if stale { Failure::StaleConnection } else { failure });
                false
            }
        };
        let keep = match shared.plan.assignment.target.connection {
            Connection::KeepAlive => keep,
            Connection::PerRequest => false,
        };
        if let Some(link) = self.links.get_mut(request.url()) {
            *link = Link { channel: keep.then_some(channel), used: true };
        }
        let conclusion = self.reply.conclude();
        self.step(request.goes_on() && conclusion.ending == Ending::Succeeded);
        let (done, gaps, next) = open.end(conclusion, waits.last_read, previous);
        self.previous = next;
        self.reply.recycle(gaps);
        done
    }

    fn step(&mut self, goes_on: bool) {
        if let Some(course) = &mut self.course {
            course.step(goes_on);
        }
    }

    /// The kept connection to a base URL if it is still good, or a new one; and whether it has
    /// carried a request before.
    async fn ready_channel(&mut self, url: usize) -> Result<(Channel, bool), Failure> {
        let link = self.links.get_mut(url).map(std::mem::take).unwrap_or_default();
        if let Some(mut channel) = link.channel
            && !channel.is_stale().await
        {
            return Ok((channel, link.used));
        }
        match self.shared.plan.routes.get(url) {
            Some(route) => Ok((connect(&self.shared, route, self.turn).await?, false)),
            None => Err(Failure::Dns),
        }
    }

    /// Reads until the response has ended; gives whether the connection can be kept. A failure
    /// that the response itself is gives `Ok(false)`: the reply knows it.
    async fn read_reply(
        &mut self,
        channel: &mut Channel,
        waits: &mut Waits,
    ) -> Result<bool, Failure> {
        let shared = Rc::clone(&self.shared);
        std::future::poll_fn(|cx| {
            loop {
                let read = match channel {
                    Channel::Lines(conn) => self.poll_read_once(cx, conn, &shared, waits),
                    Channel::Frames(frames) => self.poll_piece_once(cx, frames, &shared, waits),
                };
                match read {
                    Poll::Ready(Ok(Progress::More)) => {}
                    Poll::Ready(Ok(Progress::Done { reusable })) => {
                        return Poll::Ready(Ok(reusable));
                    }
                    Poll::Ready(Ok(Progress::Failed)) => return Poll::Ready(Ok(false)),
                    Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                    Poll::Pending => break,
                }
            }
            let deadline = waits.deadline(self.reply.has_body());
            let passed = self.timer.poll_passed(cx, shared.clock, deadline);
            passed.map(|()| Err(waits.cause(self.reply.has_body())))
        })
        .await
    }

    fn poll_read_once(
        &mut self,
        cx: &mut Context<'_>,
        conn: &mut Conn,
        shared: &Shared,
        waits: &mut Waits,
    ) -> Poll<Result<Progress, Failure>> {
        let mut buffer = shared.buffer.borrow_mut();
        let mut buffer = ReadBuf::new(&mut buffer);
        let read = std::task::ready!(Pin::new(&mut *conn).poll_read(cx, &mut buffer));
        if let Err(error) = read {
            // TLS without a goodbye; before any answer it is a closed connection like any other.
            let closed = error.kind() == io::ErrorKind::UnexpectedEof && !self.answered;
            return Poll::Ready(Err(if closed { Failure::Reset } else { broken(&error) }));
        }
        let receipt = waits.received(shared, conn.stamp().get());
        let seen = self.reply.events();
        let progress = match buffer.filled() {
            [] if !self.answered => {
                return Poll::Ready(Err(Failure::Reset));
            }
            [] => self.reply.closed(receipt.read),
            bytes => {
                self.answered = true;
                self.reply.push(receipt.at, bytes)
            }
        };
        self.record_receipt(shared, receipt, seen);
        Poll::Ready(Ok(progress))
    }

    /// The same of HTTP/2, a frame at a time.
    fn poll_piece_once(
        &mut self,
        cx: &mut Context<'_>,
        frames: &mut Frames,
        shared: &Shared,
        waits: &mut Waits,
    ) -> Poll<Result<Progress, Failure>> {
        let piece = std::task::ready!(frames.poll_piece(cx))?;
        let receipt = waits.received(shared, frames.stamp().get());
        let seen = self.reply.events();
        let progress = match piece {
            Piece::Head(head) => {
                self.answered = true;
                self.reply.head(receipt.at, head.status.as_u16(), &head.headers)
            }
            Piece::Body(bytes) => self.reply.push(receipt.at, &bytes),
            Piece::End => self.reply.ended(receipt.at),
        };
        self.record_receipt(shared, receipt, seen);
        Poll::Ready(Ok(progress))
    }

    /// Records a receipt, and the events that it brought beside those that had been `seen`.
    fn record_receipt(&self, shared: &Shared, receipt: Receipt, seen: u64) {
        let events = self.reply.events().saturating_sub(seen);
        shared.recorder.borrow_mut().received(receipt, events);
    }
}

async fn connect(shared: &Shared, route: &Route, turn: u32) -> Result<Channel, Failure> {
    let target = &shared.plan.assignment.target;
    Channel::open(route, turn, target.http, target.timeouts.connect).await
}

/// Writes a request, at once where the socket takes it.
async fn write(
    shared: &Shared,
    channel: &mut Channel,
    request: &Request<'_>,
    waits: &Waits,
) -> Result<(), Failure> {
    let written = match channel {
        Channel::Lines(conn) => {
            let written = conn.write_at_once(request, &mut shared.gathered.borrow_mut());
            match written.map_err(|error| broken(&error))? {
                Written::Whole => return Ok(()),
                Written::Part(bytes) => bytes,
            }
        }
        Channel::Frames(_) => 0,
    };
    let rest = async {
        match channel {
            Channel::Lines(conn) => {
                conn.write(request, written).await.map_err(|error| broken(&error))
            }
            Channel::Frames(frames) => match request.frames() {
                Some((head, body)) => frames.write(head, body).await,
                // Requests are composed for the version that connections speak.
                None => Err(Failure::HttpMalformed),
            },
        }
    };
    match tokio::time::timeout_at(shared.clock.instant(waits.total), rest).await {
        Ok(result) => result,
        Err(_) => Err(Failure::TimeoutTotal),
    }
}

/// The instants at which a wait for a response ends.
struct Waits {
    first_byte: Tick,
    total: Tick,
    idle: std::time::Duration,
    last_read: Tick,
    /// When the newest bytes came; before any, when the request was sent.
    arrived: Tick,
}

impl Waits {
    fn new(timeouts: &common::target::Timeouts, sent: Tick) -> Self {
        Self {
            first_byte: sent + timeouts.first_byte,
            total: sent + timeouts.total,
            idle: timeouts.idle,
            last_read: sent,
            arrived: sent,
        }
    }

    /// Notes a read that has just returned, of bytes that the kernel has `stamped`.
    fn received(&mut self, shared: &Shared, stamped: Option<i128>) -> Receipt {
        let read = shared.clock.now();
        let mut stamps = shared.stamps.get();
        let receipt = stamps.receipt(stamped, self.arrived, read, &shared.clock);
        shared.stamps.set(stamps);
        (self.last_read, self.arrived) = (read, receipt.at);
        receipt
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
