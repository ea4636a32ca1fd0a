//! A connection of HTTP/2 that carries one request after the other.
//!
//! Nothing runs beside the user: whoever waits for a piece of a response drives the connection, so a
//! user that is dropped takes its socket along. Who it talks to is trusted with nothing; h2 bounds
//! what it keeps.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use common::outcome::Failure;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};

use crate::load::conn::{Conn, broken};
use crate::load::wire::Stamp;

/// How much the target may send ahead of what has been read, on a stream and on the connection: a
/// client that reads at once must never be what a server waits for.
const WINDOW: u32 = 1 << 30;
/// Bytes of a response's head, at most.
const HEAD_MAX: u32 = 64 << 10;

/// A connection of HTTP/2.
pub(super) struct Frames {
    sender: SendRequest<Bytes>,
    connection: Connection<Conn, Bytes>,
    /// The connection has come to its end and is not driven any more.
    over: bool,
    response: Response,
    stamp: Stamp,
}

/// How far the response has come.
enum Response {
    None,
    Head(ResponseFuture),
    Body(RecvStream),
    /// What follows the body, and is not looked at.
    Trailers(RecvStream),
}

/// The next piece of a response.
pub(super) enum Piece {
    Head(http::response::Parts),
    Body(Bytes),
    /// The response is complete, and the connection may carry another one.
    End,
}

impl Frames {
    /// Begins HTTP/2 on a connection.
    pub(super) async fn open(conn: Conn) -> Result<Self, Failure> {
        if !conn.has_agreed_on(b"h2") {
            return Err(Failure::Tls);
        }
        let stamp = conn.stamp().clone();
        let (sender, connection) = Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_header_list_size(HEAD_MAX)
            .enable_push(false)
            .handshake(conn)
            .await
            .map_err(|error| failure(&error, false))?;
        Ok(Self { sender, connection, over: false, response: Response::None, stamp })
    }

    /// Puts a request on the connection, once the target lets it, and writes what the socket takes.
    /// The rest goes out while the response is waited for.
    pub(super) async fn write(
        &mut self,
        head: http::Request<()>,
        body: Bytes,
    ) -> Result<(), Failure> {
        std::future::poll_fn(|cx| {
            let ready = self.sender.poll_ready(cx);
            if ready.is_pending() {
                self.drive(cx);
                if self.over {
                    return Poll::Ready(Err(Failure::Reset));
                }
                return self.sender.poll_ready(cx).map_err(|error| failure(&error, false));
            }
            ready.map_err(|error| failure(&error, false))
        })
        .await?;
        let no_body = body.is_empty();
        let sent = self.sender.send_request(head, no_body);
        let (response, mut stream) = sent.map_err(|error| failure(&error, false))?;
        if !no_body {
            stream.send_data(body, true).map_err(|error| failure(&error, false))?;
        }
        self.response = Response::Head(response);
        std::future::poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(())
        })
        .await;
        Ok(())
    }

    /// Where the kernel's stamp of the newest read is. A piece may have come with an earlier read,
    /// so it is never stamped too early.
    pub(super) fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// The next piece of the response to the request that was written last.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Failure>> {
        // What has been read is taken before more is read.
        let piece = self.poll_read(cx);
        if piece.is_ready() {
            return piece;
        }
        self.drive(cx);
        let piece = self.poll_read(cx);
        if piece.is_pending() && self.over {
            return Poll::Ready(Err(self.cut_off()));
        }
        piece
    }

    /// Ready once the connection has come to its end.
    pub(super) fn poll_stale(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.drive(cx);
        if self.over { Poll::Ready(()) } else { Poll::Pending }
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.over {
            // Why it ended is told to the request that is open.
            self.over = Pin::new(&mut self.connection).poll(cx).is_ready();
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Failure>> {
        loop {
            match &mut self.response {
                Response::None => return Poll::Pending,
                Response::Head(response) => {
                    let response = std::task::ready!(Pin::new(response).poll(cx));
                    let (head, body) =
                        response.map_err(|error| failure(&error, false))?.into_parts();
                    self.response = Response::Body(body);
                    return Poll::Ready(Ok(Piece::Head(head)));
                }
                Response::Body(body) => match std::task::ready!(body.poll_data(cx)) {
                    Some(Ok(bytes)) => {
                        // Of a body that is being read there is always something to give back.
                        let _ = body.flow_control().release_capacity(bytes.len());
                        return Poll::Ready(Ok(Piece::Body(bytes)));
                    }
                    Some(Err(error)) => return Poll::Ready(Err(failure(&error, true))),
                    None => {}
                },
                Response::Trailers(body) => {
                    let trailers = std::task::ready!(body.poll_trailers(cx));
                    trailers.map_err(|error| failure(&error, true))?;
                    self.response = Response::None;
                    return Poll::Ready(Ok(Piece::End));
                }
            }
            if let Response::Body(body) = std::mem::replace(&mut self.response, Response::None) {
                self.response = Response::Trailers(body);
            }
        }
    }

    /// The connection ended and left the response as it is.
    fn cut_off(&self) -> Failure {
        match self.response {
            Response::None | Response::Head(_) => Failure::Reset,
            Response::Body(_) | Response::Trailers(_) => Failure::Truncated,
        }
    }
}

/// What an error of HTTP/2 is among the endings; `answered` if the response had begun.
fn failure(error: &h2::Error, answered: bool) -> Failure {
    if let Some(error) = error.get_io() {
        // A connection that closes in the middle of a response, or before it.
        #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign, open enum")]
        return match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof if answered => {
                Failure::Truncated
            }
            io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => Failure::Reset,
            _ => broken(error),
        };
    }
    // A stream or a connection that the target gave up, against one that nobody can understand.
    if error.is_remote() && error.reason() != Some(Reason::HTTP_1_1_REQUIRED) {
        Failure::Reset
    } else {
        Failure::HttpMalformed
    }
}
