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

use crate::compose::{Course, Request};
use crate::load::Route;
use crate::load::channel::Channel;
use crate::load::conn::{Conn, broken};
use crate::load::frames::{Frames, Piece};
use crate::load::request::Open;
use crate::load::shared::Shared;
use crate::reply::{Expect, Limits, Progress, Reply};

/// A connection to each base URL, and what reads the responses that come.
pub(super) struct Caller {
    shared: Rc<Shared>,
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
    timer: Pin<Box<Sleep>>,
}

/// What leads to one base URL.
#[derive(Default)]
struct Link {
    channel: Option<Channel>,
    /// `channel` has carried a request.
    used: bool,
}

impl Caller {
    pub(super) fn new(shared: Rc<Shared>) -> Self {
        let assignment = &shared.plan.assignment;
        let (endpoint, stream) = (assignment.target.endpoint, assignment.target.stream);
        let expect = Expect { endpoint, stream, forced_tokens: None };
        let fire = shared.recorder.borrow().fire();
        let timer = Box::pin(tokio::time::sleep_until(shared.clock.instant(fire)));
        let links = shared.plan.routes.iter().map(|_| Link::default()).collect();
        Self {
            shared,
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
        Self { course, ..Self::new(shared) }
    }

    /// Connects ahead of requests wherever it is not connected. A connection that cannot be made now
    /// is tried again, and counted, by the request.
    pub(super) async fn prepare(&mut self) {
        let shared = &self.shared;
        for (link, route) in self.links.iter_mut().zip(&shared.plan.routes) {
            if link.channel.is_none() {
                *link = Link { channel: connect(shared, route).await.ok(), used: false };
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
        if !shared.may_start() {
            // Stopped, or the lease ran out, while it connected: nothing has been sent, and
            // nothing may be.
            return open.abandon();
        }
        self.reply.begin(Expect { forced_tokens: request.forced_tokens(), ..self.expect });
        self.answered = false;
        let sent = open.sent();
        let limits = Waits::new(&shared.plan.assignment.target.timeouts, sent);
        let total = shared.clock.instant(limits.total);
        let exchanged = match tokio::time::timeout_at(total, write(&mut channel, &request)).await {
            Ok(Ok(())) => {
                open.written(request.images());
                self.read_reply(&mut channel, limits).await
            }
            // A target that refuses a request may close before it has read all of it: its answer
            // says more than the broken pipe.
            Ok(Err(failure)) => match self.read_reply(&mut channel, limits).await {
                Ok(_) => Ok(false),
                Err(_) => Err(failure),
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
        let keep = match shared.plan.assignment.target.connection {
            Connection::KeepAlive => keep,
            Connection::PerRequest => false,
        };
        if let Some(link) = self.links.get_mut(request.url()) {
            *link = Link { channel: keep.then_some(channel), used: true };
        }
        let conclusion = self.reply.conclude();
        self.step(request.goes_on() && conclusion.ending == Ending::Succeeded);
        let (done, gaps, next) = open.end(conclusion, previous);
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
            Some(route) => Ok((connect(&self.shared, route).await?, false)),
            None => Err(Failure::Dns),
        }
    }

    /// Reads until the response has ended; gives whether the connection can be kept. A failure
    /// that the response itself is gives `Ok(false)`: the reply knows it.
    async fn read_reply(
        &mut self,
        channel: &mut Channel,
        mut waits: Waits,
    ) -> Result<bool, Failure> {
        let shared = Rc::clone(&self.shared);
        let clock = shared.clock;
        let mut armed = waits.deadline(false);
        self.timer.as_mut().reset(clock.instant(armed));
        std::future::poll_fn(|cx| {
            loop {
                let read = match channel {
                    Channel::Lines(conn) => self.poll_read_once(cx, conn, &shared, &mut waits),
                    Channel::Frames(frames) => {
                        self.poll_piece_once(cx, frames, &shared, &mut waits)
                    }
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
    ) -> Poll<Result<Progress, Failure>> {
        let mut buffer = shared.buffer.borrow_mut();
        let mut buffer = ReadBuf::new(&mut buffer);
        let read = std::task::ready!(Pin::new(conn).poll_read(cx, &mut buffer));
        if let Err(error) = read {
            // TLS without a goodbye; before any answer it is a closed connection like any other.
            let closed = error.kind() == io::ErrorKind::UnexpectedEof && !self.answered;
            return Poll::Ready(Err(if closed { Failure::Reset } else { broken(&error) }));
        }
        let now = shared.clock.now();
        waits.last_read = now;
        let seen = self.reply.events();
        let progress = match buffer.filled() {
            [] if !self.answered => {
                return Poll::Ready(Err(Failure::Reset));
            }
            [] => self.reply.closed(now),
            bytes => {
                self.answered = true;
                self.reply.push(now, bytes)
            }
        };
        self.record_events(shared, now, seen);
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
        let now = shared.clock.now();
        waits.last_read = now;
        let seen = self.reply.events();
        let progress = match piece {
            Piece::Head(head) => {
                self.answered = true;
                self.reply.head(now, head.status.as_u16(), &head.headers)
            }
            Piece::Body(bytes) => self.reply.push(now, &bytes),
            Piece::End => self.reply.ended(now),
        };
        self.record_events(shared, now, seen);
        Poll::Ready(Ok(progress))
    }

    /// Records the events that came at `now`, beside those that had been `seen`.
    fn record_events(&self, shared: &Shared, now: Tick, seen: u64) {
        let events = self.reply.events().saturating_sub(seen);
        if events > 0 {
            shared.recorder.borrow_mut().events(now, events);
        }
    }
}

async fn connect(shared: &Shared, route: &Route) -> Result<Channel, Failure> {
    let target = &shared.plan.assignment.target;
    Channel::open(route, target.http, target.timeouts.connect).await
}

async fn write(channel: &mut Channel, request: &Request<'_>) -> Result<(), Failure> {
    match channel {
        Channel::Lines(conn) => conn.write(request).await.map_err(|error| broken(&error)),
        Channel::Frames(frames) => match request.frames() {
            Some((head, body)) => frames.write(head, body).await,
            // Requests are composed for the version that connections speak.
            None => Err(Failure::HttpMalformed),
        },
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
