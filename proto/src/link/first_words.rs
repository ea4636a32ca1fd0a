//! Hears from a connection itself how it began. gRPC reports a refused connection as "transport
//! error"; the reason is in the first read, and this is where it is kept.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// How the other side's first words came in.
#[derive(Debug)]
pub(super) enum FirstWords {
    /// Bytes that may begin HTTP/2.
    Http2,
    /// The bytes of a TLS alert, in the clear.
    TlsAlert,
    /// Bytes of something else.
    Foreign,
    /// The end of the stream.
    End,
    /// An error.
    Failed(io::Error),
}

/// A stream that tells once how its first read ended.
pub(super) struct Overheard<S> {
    inner: S,
    tell: Option<oneshot::Sender<FirstWords>>,
}

impl<S> Overheard<S> {
    /// Wraps a stream. The receiver fails if the stream is dropped before its first read ends.
    pub(super) fn new(inner: S) -> (Self, oneshot::Receiver<FirstWords>) {
        let (tell, told) = oneshot::channel();
        let tell = Some(tell);
        (Self { inner, tell }, told)
    }

    fn tell(&mut self, words: FirstWords) {
        if let Some(tell) = self.tell.take() {
            // Nobody listens any more if the dial was given up.
            let _ = tell.send(words);
        }
    }
}

fn classify(bytes: &[u8]) -> FirstWords {
    /// Content type of an alert in the TLS record layer.
    const TLS_ALERT: u8 = 21;
    /// An HTTP/2 server begins with a SETTINGS frame: type 4 behind a length of 3 bytes.
    const SETTINGS: u8 = 4;
    match bytes {
        [] => FirstWords::End,
        [TLS_ALERT, 3, ..] => FirstWords::TlsAlert,
        [_, _, _, SETTINGS, ..] | [_] | [_, _] | [_, _, _] => FirstWords::Http2,
        [_, _, _, _, ..] => FirstWords::Foreign,
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Overheard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.tell.is_none() {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        match read {
            Ok(()) => {
                let words = classify(buf.filled().get(before..).unwrap_or_default());
                self.tell(words);
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                let kind = error.kind();
                self.tell(FirstWords::Failed(error));
                Poll::Ready(Err(kind.into()))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Overheard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
