//! One request at a time on one connection, kept unless each is to have its own; never a retry.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use common::outcome::Failure;
use common::tally::Previous;
use common::target::Connection;
use common::time::Tick;
use tokio::io::ReadBuf;
use tokio::time::Sleep;

use crate::load::conn::Conn;
use crate::load::request::Open;
use crate::load::shared::Shared;
use crate::reply::{Expect, Limits, Progress, Reply};

/// A connection, and what reads the responses that come on it.
pub(super) struct Caller {
    shared: Rc<Shared>,
    conn: Option<Conn>,
    /// `conn` has carried a request.
    used: bool,
    /// What is expected of every reply.
    expect: Expect,
    reply: Reply,
    /// A byte of the current response has come.
    answered: bool,
    /// What the last request gave for the next one.
    previous: Option<Previous>,
    timer: Pin<Box<Sleep>>,
}

impl Caller {
    pub(super) fn new(shared: Rc<Shared>) -> Self {
        let assignment = &shared.plan.assignment;
        let (endpoint, stream) = (assignment.target.endpoint, assignment.target.stream);
        let expect = Expect { endpoint, stream, forced_tokens: None };
        let fire = shared.recorder.borrow().fire();
        let timer = Box::pin(tokio::time::sleep_until(shared.clock.instant(fire)));
        Self {
            shared,
            conn: None,
            used: false,
            expect,
            reply: Reply::new(expect, Limits::default()),
            answered: false,
            previous: None,
            timer,
        }
    }

    /// Connects ahead of a request, unless it is connected. A connection that cannot be made now
    /// is tried again, and counted, by the request.
    pub(super) async fn prepare(&mut self) {
        if self.conn.is_none() {
            self.conn = self.connect().await.ok();
            self.used = false;
        }
    }

    /// There is a connection for the next request.
    pub(super) fn is_connected(&self) -> bool {
        self.conn.is_some()
    }

    /// Ready when the connection can carry no further request; it is dropped then.
    pub(super) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.conn {
            Some(conn) => std::task::ready!(conn.poll_stale(cx)),
            None => return Poll::Pending,
        }
        self.conn = None;
        Poll::Ready(())
    }

    async fn connect(&self) -> Result<Conn, Failure> {
        let plan = &self.shared.plan;
        let timeout = plan.assignment.target.timeouts.connect;
        Conn::open(&plan.addresses, plan.tls.as_ref(), timeout).await
    }

    /// Makes one request and gives the instant of its end.
    pub(super) async fn request(&mut self, mut open: Open<'_>) -> Tick {
        let shared = open.shared;
        let previous = self.previous.take();
        let request = shared.plan.composer.request(open.choice, open.user, open.number);
        let (mut conn, reused) = match self.ready_conn().await {
            Ok(found) => found,
            Err(failure) => return open.fail(failure),
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
        let exchanged = match tokio::time::timeout_at(total, conn.write(&request)).await {
            Ok(Ok(())) => {
                open.written(request.images());
                self.read_reply(&mut conn, limits).await
            }
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
        let keep = match shared.plan.assignment.target.connection {
            Connection::KeepAlive => keep,
            Connection::PerRequest => false,
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
