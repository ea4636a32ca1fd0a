//! A socket to the target, which is read with the kernel's receive stamps.
//!
//! The stamp of a read is that of the newest segment it took. Linux only; elsewhere, and where the
//! socket gives none, reads are unstamped.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The kernel's stamp of what was read last, in nanoseconds of the wall clock; shared with whoever
/// reads through other layers.
#[derive(Clone, Debug, Default)]
pub(super) struct Stamp(Rc<Cell<Option<i128>>>);

impl Stamp {
    /// The stamp of the newest read.
    pub(super) fn get(&self) -> Option<i128> {
        self.0.get()
    }
}

/// A socket to the target.
pub(super) struct Wire {
    stream: TcpStream,
    stamp: Stamp,
}

impl Wire {
    /// Asks for stamps from now on.
    pub(super) fn new(stream: TcpStream) -> Self {
        // A request is one write; waiting to fill a segment could only delay it.
        let _ = stream.set_nodelay(true);
        // Where this is refused reads are unstamped, and counted as such.
        let _ = kernel::ask_for_stamps(&stream);
        Self { stream, stamp: Stamp::default() }
    }

    /// Where the stamps of reads are put.
    pub(super) fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// Writes what the socket takes at once.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.try_write(bytes)
    }

    /// Reads what is there; 0 bytes once the peer has closed its side.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            let mut received = None;
            let tried = self.stream.try_io(tokio::io::Interest::READABLE, || {
                let (bytes, stamp) = kernel::receive(&self.stream, buffer)?;
                received = Some((bytes, stamp));
                // A read that did not fill the buffer has emptied the socket. Saying so spares the
                // read that would find nothing.
                if bytes > 0 && bytes < buffer.len() {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(())
            });
            match (received, tried) {
                (Some((bytes, stamp)), _) => {
                    self.stamp.0.set(stamp);
                    return Poll::Ready(Ok(bytes));
                }
                (None, Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                (None, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(error));
                }
                (None, Err(_) | Ok(())) => {}
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes = ready!(self.get_mut().poll_receive(cx, buffer.initialize_unfilled()))?;
        buffer.advance(bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::io::{self, IoSliceMut};
    use std::os::fd::AsRawFd as _;

    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
    use tokio::net::TcpStream;

    /// Room for one control message with a stamp, aligned as the kernel's headers are.
    #[repr(C, align(8))]
    struct Control([u8; 64]);

    pub(super) fn ask_for_stamps(stream: &TcpStream) -> io::Result<()> {
        Ok(setsockopt(stream, sockopt::ReceiveTimestampns, &true)?)
    }

    /// One read, and the stamp of the newest segment in it.
    pub(super) fn receive(
        stream: &TcpStream,
        buffer: &mut [u8],
    ) -> io::Result<(usize, Option<i128>)> {
        let mut control = Control([0; 64]);
        let mut parts = [IoSliceMut::new(buffer)];
        let message =
            recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut control.0), MsgFlags::empty())?;
        #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign, open enum")]
        let stamp = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmTimestampns(stamp) => {
                Some(i128::from(stamp.tv_sec()) * 1_000_000_000 + i128::from(stamp.tv_nsec()))
            }
            _ => None,
        });
        Ok((message.bytes, stamp))
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    use std::io;

    use tokio::net::TcpStream;

    pub(super) fn ask_for_stamps(_stream: &TcpStream) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn receive(
        stream: &TcpStream,
        buffer: &mut [u8],
    ) -> io::Result<(usize, Option<i128>)> {
        use std::io::Read as _;
        let socket = socket2::SockRef::from(stream);
        Ok(((&*socket).read(buffer)?, None))
    }
}
