//! One connection to the target: plain or TLS over one socket, written with one call per request,
//! read into the worker's buffer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use common::outcome::Failure;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::compose::{PARTS_MAX, Request};
use crate::load::wire::{Stamp, Wire};
use crate::load::{Route, Tls};
use crate::sources;

/// A connection to the target.
pub(super) enum Conn {
    Plain(Wire),
    Tls(Box<TlsStream<Wire>>),
}

/// Requests up to this size are put together before they are written: below it the copy costs less
/// than what the kernel does for every part.
const GATHER_MAX: usize = 16 << 10;

impl Conn {
    /// Connects to the first address that answers, TLS included; `turn` decides from where.
    pub(super) async fn open(route: &Route, turn: u32) -> Result<Self, Failure> {
        let mut failure = Failure::Dns;
        for address in &route.addresses {
            match sources::connect(*address, &route.sources, turn).await {
                Ok(stream) => return Self::secure(stream, route.tls.as_ref()).await,
                Err(error) => failure = connect_failure(&error),
            }
        }
        Err(failure)
    }

    /// Both sides have agreed on this protocol, or there is nothing by which they could.
    pub(super) fn has_agreed_on(&self, protocol: &[u8]) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(protocol),
        }
    }

    async fn secure(stream: TcpStream, tls: Option<&Tls>) -> Result<Self, Failure> {
        let wire = Wire::new(stream);
        let Some(tls) = tls else {
            return Ok(Self::Plain(wire));
        };
        match tls.connector.connect(tls.name.clone(), wire).await {
            Ok(stream) => Ok(Self::Tls(Box::new(stream))),
            Err(_) => Err(Failure::Tls),
        }
    }

    /// Where the kernel's stamp of the newest read is.
    pub(super) fn stamp(&self) -> &Stamp {
        match self {
            Self::Plain(wire) => wire.stamp(),
            Self::Tls(stream) => stream.get_ref().0.stamp(),
        }
    }

    /// Writes as much of a small request as the socket takes without waiting, which as a rule is all;
    /// gives how much that was. `gathered` is room to put it together in.
    pub(super) fn write_at_once(
        &mut self,
        request: &Request<'_>,
        gathered: &mut Vec<u8>,
    ) -> io::Result<Written> {
        let Self::Plain(wire) = self else {
            return Ok(Written::Part(0));
        };
        if request.pieces().is_some() {
            return Ok(Written::Part(0));
        }
        let mut slices = [IoSlice::new(&[]); PARTS_MAX];
        let used = request.parts(&mut slices);
        let parts = slices.get(..used).unwrap_or_default();
        if parts.iter().map(|part| part.len()).sum::<usize>() > GATHER_MAX {
            return Ok(Written::Part(0));
        }
        gathered.clear();
        parts.iter().for_each(|part| gathered.extend_from_slice(part));
        match wire.try_write(gathered) {
            Ok(bytes) if bytes == gathered.len() => Ok(Written::Whole),
            Ok(bytes) => Ok(Written::Part(bytes)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Written::Part(0)),
            Err(error) => Err(error),
        }
    }

    /// Writes a request, but for the bytes of it that have been `written`.
    pub(super) async fn write(&mut self, request: &Request<'_>, written: usize) -> io::Result<()> {
        if let Some(pieces) = request.pieces() {
            let mut slices = vec![IoSlice::new(&[]); pieces];
            let used = request.parts(&mut slices);
            return self.write_all(slices.get_mut(..used).unwrap_or_default(), written).await;
        }
        let mut slices = [IoSlice::new(&[]); PARTS_MAX];
        let used = request.parts(&mut slices);
        self.write_all(slices.get_mut(..used).unwrap_or_default(), written).await
    }

    async fn write_all(&mut self, mut parts: &mut [IoSlice<'_>], written: usize) -> io::Result<()> {
        IoSlice::advance_slices(&mut parts, written);
        while !parts.is_empty() {
            let written = match self {
                Self::Plain(stream) => stream.write_vectored(parts).await?,
                Self::Tls(stream) => stream.write_vectored(parts).await?,
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut parts, written);
        }
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.flush().await,
        }
    }

    /// Ready once the target has closed the connection, or has sent what nobody asked for: no
    /// further request may be put on it.
    pub(super) fn poll_stale(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut byte = [0];
        Pin::new(self).poll_read(cx, &mut ReadBuf::new(&mut byte)).map(drop)
    }
}

impl AsyncRead for Conn {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Conn {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}

/// How much of a request has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Whole,
    /// So many bytes.
    Part(usize),
}

/// What an error while bytes go to and fro is among the endings.
pub(super) fn broken(error: &io::Error) -> Failure {
    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign, open enum")]
    match error.kind() {
        io::ErrorKind::InvalidData => Failure::Tls,
        // A TLS peer that closes without saying so.
        io::ErrorKind::UnexpectedEof => Failure::Truncated,
        _ => Failure::Reset,
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        if let Self::Tls(stream) = self {
            // Says goodbye where that needs no waiting.
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let _ = Pin::new(stream.as_mut()).poll_shutdown(&mut cx);
        }
    }
}

fn connect_failure(error: &io::Error) -> Failure {
    use rustix::io::Errno;
    match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE) => return Failure::ClientFd,
        Some(Errno::ADDRNOTAVAIL | Errno::ADDRINUSE) => return Failure::ClientPort,
        Some(_) | None => {}
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign, open enum")]
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::ConnectRefused,
        io::ErrorKind::TimedOut => Failure::ConnectTimeout,
        io::ErrorKind::ConnectionReset => Failure::Reset,
        _ => Failure::ConnectUnreachable,
    }
}
