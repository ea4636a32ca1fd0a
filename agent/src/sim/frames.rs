//! HTTP/2 in front of the simulator: each stream of a connection is shown to it as a connection of
//! HTTP/1.1 that carries one request, so that there is one simulator, whatever is spoken.
//!
//! What it writes goes out in frames as it is written: the pieces of a chunked body are frames of
//! data. A reply that closes its connection half way closes that of HTTP/2; one that resets it
//! resets its stream.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::desk::Desk;
use super::http::BODY_MAX;
use super::reply::After;
use super::server::one_request;
use super::wire::{Left, Pipe, Wire};

/// How a connection of HTTP/2 begins, as far as no request of HTTP/1.1 does.
const PREFACE: &[u8] = b"PRI";
/// The pause before a look at whether more of the first word has come.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// Looks at most; then it is left to HTTP/1.1.
const LOOKS_MAX: u32 = 5_000;
/// Requests at once on one connection.
const STREAMS_MAX: u32 = 256;
/// How much a client may send ahead.
const WINDOW: u32 = 1 << 20;

/// Whether the client begins with HTTP/2.
pub(super) async fn are_spoken(stream: &TcpStream) -> bool {
    for _ in 0..LOOKS_MAX {
        let mut word = [0; PREFACE.len()];
        let Ok(length) = stream.peek(&mut word).await else {
            return false;
        };
        let begun = word.get(..length).unwrap_or_default();
        if begun.is_empty() || !PREFACE.starts_with(begun) {
            return false;
        }
        if begun == PREFACE {
            return true;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    false
}

/// Serves one connection until either side has had enough.
pub(super) async fn serve(desk: Arc<Desk>, stream: TcpStream) {
    let _nodelay = stream.set_nodelay(true);
    // A stream that is let go of is reset, which is not how a connection that closes looks: these
    // outlive it.
    let mut cut_off: Vec<Wire> = Vec::new();
    let mut builder = Builder::new();
    builder
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_concurrent_streams(STREAMS_MAX);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else {
        return;
    };
    let mut streams: Vec<Pin<Box<dyn Future<Output = Option<Wire>> + Send>>> = Vec::new();
    std::future::poll_fn(|cx| {
        loop {
            streams.retain_mut(|stream| match stream.as_mut().poll(cx) {
                Poll::Pending => true,
                Poll::Ready(closes) => {
                    cut_off.extend(closes);
                    false
                }
            });
            // Also writes what the streams have to say.
            match poll_accept(&mut connection, cx) {
                Poll::Pending if !cut_off.is_empty() => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some((request, response))) => {
                    streams.push(Box::pin(serve_stream(Arc::clone(&desk), request, response)));
                }
                Poll::Ready(None) => break,
            }
        }
        // The client is gone, and every stream is told before it is dropped.
        streams.retain_mut(|stream| stream.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

type Asked = (http::Request<RecvStream>, SendResponse<Bytes>);

fn poll_accept(
    connection: &mut Connection<TcpStream, Bytes>,
    cx: &mut Context<'_>,
) -> Poll<Option<Asked>> {
    connection.poll_accept(cx).map(|accepted| accepted.and_then(Result::ok))
}

/// Answers one request; gives the stream if the connection is to close with it.
async fn serve_stream(
    desk: Arc<Desk>,
    request: http::Request<RecvStream>,
    response: SendResponse<Bytes>,
) -> Option<Wire> {
    let inbox = as_lines(request).await.ok()?;
    let pipe = Stream { inbox, taken: 0, out: Out::Head(response, Vec::new()) };
    let mut wire = Wire::new(Box::new(pipe), desk.clock);
    match one_request(&desk, &mut wire).await {
        Ok(After::Reset) => {
            wire.reset();
            None
        }
        Ok(After::Close) => Some(wire),
        Ok(After::Keep) | Err(Left) => None,
    }
}

/// The whole of a request in the words of HTTP/1.1.
async fn as_lines(request: http::Request<RecvStream>) -> Result<Vec<u8>, Left> {
    let (head, mut body) = request.into_parts();
    let mut content = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(|_| Left)?;
        let _returned = body.flow_control().release_capacity(piece.len());
        content.extend_from_slice(&piece);
        if content.len() > BODY_MAX {
            break;
        }
    }
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let length = content.len();
    let mut lines =
        format!("{} {path} HTTP/1.1\r\ncontent-length: {length}\r\n\r\n", head.method).into_bytes();
    lines.append(&mut content);
    Ok(lines)
}

/// One stream as a connection of HTTP/1.1.
struct Stream {
    inbox: Vec<u8>,
    /// Bytes of the inbox that have been read.
    taken: usize,
    out: Out,
}

/// How far the reply has come.
enum Out {
    /// Its head, as far as it is written.
    Head(SendResponse<Bytes>, Vec<u8>),
    /// Its body.
    Body(SendStream<Bytes>, Coding),
    /// All of it has been written, or nobody wants it.
    Over,
}

/// How the body is delimited where it is written.
#[derive(Clone, Copy)]
enum Coding {
    /// Bytes to come.
    Length(usize),
    /// The line with the size of a chunk, as far as it has come.
    Size(usize),
    /// Bytes to come of a chunk, its line end included.
    Chunk(usize),
    /// Bytes to come of what follows the last chunk.
    Last(usize),
}

impl Stream {
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        if let Out::Head(response, head) = &mut self.out {
            let known = head.len();
            head.extend_from_slice(bytes);
            let Some((fields, coding, length)) = read_head(head)? else {
                return Ok(());
            };
            bytes = bytes.get(length - known..).unwrap_or_default();
            let ended = matches!(coding, Coding::Length(0));
            let stream = response.send_response(fields, ended).map_err(gone)?;
            self.out = if ended { Out::Over } else { Out::Body(stream, coding) };
        }
        let Out::Body(stream, coding) = &mut self.out else {
            return Ok(());
        };
        while let Some((&byte, rest)) = bytes.split_first() {
            let mut piece = &[] as &[u8];
            *coding = match *coding {
                Coding::Length(left) => {
                    (piece, bytes) = bytes.split_at(left.min(bytes.len()));
                    Coding::Length(left - piece.len())
                }
                Coding::Chunk(left) => {
                    let taken;
                    (taken, bytes) = bytes.split_at(left.min(bytes.len()));
                    // The last two are the end of the line.
                    piece = taken.get(..left.saturating_sub(2).min(taken.len())).unwrap_or(taken);
                    if left > taken.len() {
                        Coding::Chunk(left - taken.len())
                    } else {
                        Coding::Size(0)
                    }
                }
                Coding::Size(size) => {
                    bytes = rest;
                    match (byte, char::from(byte).to_digit(16)) {
                        (b'\n', _) if size == 0 => Coding::Last(2),
                        (b'\n', _) => Coding::Chunk(size + 2),
                        (_, Some(digit)) => Coding::Size((size << 4) | digit as usize),
                        (_, None) => Coding::Size(size),
                    }
                }
                Coding::Last(left) => {
                    bytes = rest;
                    Coding::Last(left.saturating_sub(1))
                }
            };
            let ended = matches!(coding, Coding::Length(0) | Coding::Last(0));
            if ended || !piece.is_empty() {
                stream.send_data(Bytes::copy_from_slice(piece), ended).map_err(gone)?;
            }
            if ended {
                self.out = Out::Over;
                return Ok(());
            }
        }
        Ok(())
    }
}

type ReadHead = (http::Response<()>, Coding, usize);

/// The head that `bytes` begin with, and its length; `None` if it has not ended yet.
fn read_head(bytes: &[u8]) -> io::Result<Option<ReadHead>> {
    let bad = || io::Error::from(io::ErrorKind::InvalidData);
    let mut lines = [httparse::EMPTY_HEADER; 16];
    let mut head = httparse::Response::new(&mut lines);
    let httparse::Status::Complete(length) = head.parse(bytes).map_err(|_| bad())? else {
        return Ok(None);
    };
    let mut coding = Coding::Size(0);
    let mut response = http::Response::builder().status(head.code.ok_or_else(bad)?);
    for line in head.headers.iter() {
        match line.name {
            "transfer-encoding" | "connection" => {}
            "content-length" => {
                let number = std::str::from_utf8(line.value).ok().and_then(|n| n.parse().ok());
                coding = Coding::Length(number.ok_or_else(bad)?);
                response = response.header(line.name, line.value);
            }
            _ => response = response.header(line.name, line.value),
        }
    }
    Ok(Some((response.body(()).map_err(|_| bad())?, coding, length)))
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let rest = this.inbox.get(this.taken..).unwrap_or_default();
        if !rest.is_empty() {
            let piece = rest.get(..buffer.remaining().min(rest.len())).unwrap_or(rest);
            buffer.put_slice(piece);
            this.taken += piece.len();
            return Poll::Ready(Ok(()));
        }
        // Nothing more comes but the client's leaving.
        let left = match &mut this.out {
            Out::Head(response, _) => response.poll_reset(cx).map(drop),
            Out::Body(stream, _) => stream.poll_reset(cx).map(drop),
            Out::Over => Poll::Pending,
        };
        left.map(Ok)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.get_mut().write(bytes).map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Pipe for Stream {
    fn reset(self: Box<Self>) {
        match self.out {
            Out::Head(mut response, _) => response.send_reset(Reason::INTERNAL_ERROR),
            Out::Body(mut stream, _) => stream.send_reset(Reason::INTERNAL_ERROR),
            Out::Over => {}
        }
    }
}
