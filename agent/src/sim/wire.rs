//! One connection of a simulated server: reads requests, writes replies at their instants, and
//! notices at once when the client leaves.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use common::time::Tick;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::http::{BodyLength, ChunkedBody, Head, HttpError};
use crate::clock::Clock;

/// What a connection is made of.
pub(super) trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {
    /// Ends it at once, and so that the client sees it was no regular end.
    fn reset(self: Box<Self>);
}

impl Pipe for TcpStream {
    fn reset(self: Box<Self>) {
        // On failure the drop closes it in the ordinary way; there is nobody to tell.
        let _linger = socket2::SockRef::from(self.as_ref()).set_linger(Some(Duration::ZERO));
    }
}

/// A connection and what has been read from it too early.
pub(super) struct Wire {
    stream: Box<dyn Pipe>,
    clock: Clock,
    inbox: Vec<u8>,
    /// One timer for the connection's whole life: setting it again is cheaper than a new one.
    timer: Pin<Box<Sleep>>,
}

/// The client closed or reset the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left;

/// A whole request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) head: Head,
    pub(super) body: Vec<u8>,
    /// When its last byte had been read.
    pub(super) arrival: Tick,
}

/// What comes next on a connection.
#[derive(Debug)]
pub(super) enum Next {
    Request(Request),
    /// Something that is no request.
    Broken(HttpError),
}

/// Bytes that a client may send ahead of its turn; reading stops there until the turn comes.
const AHEAD_MAX: usize = 64 * 1024;
const READ_SIZE: usize = 16 * 1024;
/// The pause between two bytes of a dripping reply.
const DRIP: Duration = Duration::from_secs(1);

impl Wire {
    /// A connection of a client.
    pub(super) fn of_socket(stream: TcpStream, clock: Clock) -> Self {
        // Without it a token would wait for the acknowledgement of the one before. If it cannot be
        // set, the connection is dead and the next read says so.
        let _nodelay = stream.set_nodelay(true);
        Self::new(Box::new(stream), clock)
    }

    pub(super) fn new(stream: Box<dyn Pipe>, clock: Clock) -> Self {
        Self {
            stream,
            clock,
            inbox: Vec::new(),
            timer: Box::pin(tokio::time::sleep_until(clock.instant(Tick::ZERO))),
        }
    }

    /// The next request.
    pub(super) async fn next(&mut self) -> Result<Next, Left> {
        match self.request().await? {
            Ok(request) => Ok(Next::Request(request)),
            Err(error) => Ok(Next::Broken(error)),
        }
    }

    async fn request(&mut self) -> Result<Result<Request, HttpError>, Left> {
        let head = loop {
            match Head::parse(&self.inbox) {
                Ok(Some(head)) => break head,
                Ok(None) => self.read().await?,
                Err(error) => return Ok(Err(error)),
            }
        };
        self.inbox.drain(..head.length);
        if head.expects_continue {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let body = match head.body {
            BodyLength::Known(length) => self.known_body(length).await?,
            BodyLength::Chunked => match self.chunked_body().await? {
                Ok(body) => body,
                Err(error) => return Ok(Err(error)),
            },
        };
        // A large request should not hold its memory for the connection's life.
        self.inbox.shrink_to(AHEAD_MAX);
        Ok(Ok(Request { head, body, arrival: self.clock.now() }))
    }

    async fn known_body(&mut self, length: usize) -> Result<Vec<u8>, Left> {
        while self.inbox.len() < length {
            self.read().await?;
        }
        Ok(self.inbox.drain(..length).collect())
    }

    async fn chunked_body(&mut self) -> Result<Result<Vec<u8>, HttpError>, Left> {
        let mut chunked = ChunkedBody::default();
        loop {
            match chunked.advance(&self.inbox) {
                Ok(Some((body, length))) => {
                    self.inbox.drain(..length);
                    return Ok(Ok(body));
                }
                Ok(None) => self.read().await?,
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    /// Waits until `at`, and gives the time it really is then.
    pub(super) async fn wait(&mut self, at: Tick) -> Result<Tick, Left> {
        loop {
            let now = self.clock.now();
            if now >= at {
                return Ok(now);
            }
            self.timer.as_mut().reset(self.clock.instant(at));
            if self.inbox.len() >= AHEAD_MAX {
                self.timer.as_mut().await;
                continue;
            }
            self.inbox.reserve(READ_SIZE);
            tokio::select! {
                biased;
                () = self.timer.as_mut() => {}
                read = self.stream.read_buf(&mut self.inbox) => came(read)?,
            }
        }
    }

    /// Waits for `event`.
    pub(super) async fn until<F: Future>(&mut self, event: F) -> Result<F::Output, Left> {
        let mut event = std::pin::pin!(event);
        loop {
            if self.inbox.len() >= AHEAD_MAX {
                return Ok(event.await);
            }
            self.inbox.reserve(READ_SIZE);
            tokio::select! {
                biased;
                output = event.as_mut() => return Ok(output),
                read = self.stream.read_buf(&mut self.inbox) => came(read)?,
            }
        }
    }

    /// Waits until the client leaves; whatever it still sends is thrown away.
    pub(super) async fn gone(&mut self) -> Left {
        loop {
            self.inbox.clear();
            if let Err(left) = self.read().await {
                return left;
            }
        }
    }

    /// Writes all of `bytes`.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Left> {
        self.stream.write_all(bytes).await.map_err(|_| Left)
    }

    /// Writes `bytes` one by one, [`DRIP`] apart.
    pub(super) async fn drip(&mut self, bytes: &[u8]) -> Result<(), Left> {
        for byte in bytes {
            self.write(std::slice::from_ref(byte)).await?;
            let next = self.clock.now() + DRIP;
            self.wait(next).await?;
        }
        Ok(())
    }

    /// Closes the connection with a reset.
    pub(super) fn reset(self) {
        self.stream.reset();
    }

    async fn read(&mut self) -> Result<(), Left> {
        self.inbox.reserve(READ_SIZE);
        came(self.stream.read_buf(&mut self.inbox).await)
    }
}

fn came(read: io::Result<usize>) -> Result<(), Left> {
    match read {
        Ok(0) | Err(_) => Err(Left),
        Ok(_) => Ok(()),
    }
}
