//! One connection to the target: plain or TLS over one socket, written with one call per request,
//! read into the worker's buffer.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use common::outcome::Failure;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::compose::{PARTS_MAX, Request};
use crate::load::Tls;

/// A connection to the target.
pub(super) enum Conn {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Conn {
    /// Connects to the first address that answers, TLS included, within `timeout`.
    pub(super) async fn open(
        addresses: &[SocketAddr],
        tls: Option<&Tls>,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let connect = async {
            let mut failure = Failure::Dns;
            for address in addresses {
                match TcpStream::connect(address).await {
                    Ok(stream) => return Self::secure(stream, tls).await,
                    Err(error) => failure = connect_failure(&error),
                }
            }
            Err(failure)
        };
        match tokio::time::timeout(timeout, connect).await {
            Ok(result) => result,
            Err(_) => Err(Failure::ConnectTimeout),
        }
    }

    async fn secure(stream: TcpStream, tls: Option<&Tls>) -> Result<Self, Failure> {
        // A request is one write; waiting to fill a segment could only delay it.
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls else {
            return Ok(Self::Plain(stream));
        };
        match tls.connector.connect(tls.name.clone(), stream).await {
            Ok(stream) => Ok(Self::Tls(Box::new(stream))),
            Err(_) => Err(Failure::Tls),
        }
    }

    /// Writes a request.
    pub(super) async fn write(&mut self, request: &Request<'_>) -> io::Result<()> {
        if let Some(pieces) = request.pieces() {
            let mut slices = vec![IoSlice::new(&[]); pieces];
            let used = request.parts(&mut slices);
            return self.write_all(slices.get_mut(..used).unwrap_or_default()).await;
        }
        let mut slices = [IoSlice::new(&[]); PARTS_MAX];
        let used = request.parts(&mut slices);
        self.write_all(slices.get_mut(..used).unwrap_or_default()).await
    }

    async fn write_all(&mut self, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
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

    /// Reads what is there.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
        }
    }

    /// The connection is stale now.
    pub(super) async fn is_stale(&mut self) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(self.poll_stale(cx).is_ready())).await
    }

    /// Ready once the target has closed the connection, or has sent what nobody asked for: no
    /// further request may be put on it.
    pub(super) fn poll_stale(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut byte = [0];
        self.poll_read(cx, &mut ReadBuf::new(&mut byte)).map(drop)
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
