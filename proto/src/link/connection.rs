//! One accepted connection, whatever link it came over, with the proof of who it is from.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::message::Peer;

/// A connection that an agent accepted.
pub struct Connection {
    pipe: Pipe,
    peer: Peer,
    /// Gives the connection's place back when it is dropped.
    _place: Option<OwnedSemaphorePermit>,
}

impl Connection {
    pub(super) fn memory(stream: DuplexStream) -> Self {
        Self { pipe: Pipe::Memory(stream), peer: Peer::Embedded, _place: None }
    }

    pub(super) fn tcp(stream: TcpStream, peer: Peer, place: OwnedSemaphorePermit) -> Self {
        Self { pipe: Pipe::Tcp(stream), peer, _place: Some(place) }
    }

    pub(super) fn tls(
        stream: TlsStream<TcpStream>,
        peer: Peer,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self { pipe: Pipe::Tls(Box::new(stream)), peer, _place: Some(place) }
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut dyn Stream> {
        let stream: &mut dyn Stream = match &mut self.get_mut().pipe {
            Pipe::Memory(stream) => stream,
            Pipe::Tcp(stream) => stream,
            Pipe::Tls(stream) => stream.as_mut(),
        };
        Pin::new(stream)
    }
}

enum Pipe {
    Memory(DuplexStream),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.pipe {
            Pipe::Memory(stream) => stream.is_write_vectored(),
            Pipe::Tcp(stream) => stream.is_write_vectored(),
            Pipe::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
