//! Accepts connections for an agent, bounded in sockets, time and log lines.
//!
//! A place among the open connections is taken only by who has proved itself; who is still about
//! to is the business of [`super::handshake`].

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Sleep, sleep};
use tokio_rustls::TlsAcceptor;
use tokio_stream::Stream;

use super::connection::Connection;
use super::error::LinkError;
use super::handshake::{Handshakes, Proved};
use super::identity::Identity;
use super::refusals::{Refusal, RefusalLog};
use crate::message::Peer;

/// Connections open at once.
const CONNECTIONS_MAX: usize = 32;

/// Connections that the system holds until they are accepted. Past it a client's first packet is
/// lost, and it waits a whole second before it sends another.
const BACKLOG: u32 = 4096;

/// Accepts before handshakes get their turn.
const ACCEPTS_PER_TURN: usize = 32;

/// Pause after the system could not accept, for want of file descriptors above all. The waiting
/// connection stays ready all the while, so that without a pause the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens at `address`: without certificates on this host only, with an identity anywhere.
///
/// Must be called inside a tokio runtime with its I/O driver.
pub fn listen(address: SocketAddr, identity: Option<Identity>) -> Result<Listener, LinkError> {
    if identity.is_none() && !address.ip().to_canonical().is_loopback() {
        return Err(LinkError::NeedsCertificates { address });
    }
    let cannot = |source| LinkError::Bind { address, source };
    let socket = bind(address).map_err(cannot)?;
    let local = socket.local_addr().map_err(cannot)?;
    Ok(Listener { socket, local, tls: identity.map(|identity| identity.tls) })
}

fn bind(address: SocketAddr) -> Result<TcpListener, io::Error> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // An agent that is started again must not wait for its old connections to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A bound socket of an agent.
pub struct Listener {
    socket: TcpListener,
    local: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
}

impl Listener {
    /// Where it listens; the port is the real one even if 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The connections to come, each from a peer that has proved who it is.
    pub fn into_incoming(self) -> Incoming {
        Incoming(Source::Network(Accepting {
            socket: self.socket,
            tls: self.tls.map(TlsAcceptor::from),
            places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            handshakes: Handshakes::default(),
            pause: None,
            log: RefusalLog::default(),
        }))
    }
}

/// A stream of connections. In memory it ends when the last [`super::MemoryDialer`] has gone; on a
/// network it never ends. Dropping it closes the socket and every handshake under way.
pub struct Incoming(Source);

enum Source {
    Memory(mpsc::Receiver<Connection>),
    Network(Accepting),
}

impl Incoming {
    pub(super) fn memory(connections: mpsc::Receiver<Connection>) -> Self {
        Self(Source::Memory(connections))
    }
}

impl Stream for Incoming {
    type Item = Result<Connection, io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.0 {
            Source::Memory(connections) => connections.poll_recv(cx).map(|next| next.map(Ok)),
            Source::Network(accepting) => accepting.poll_next(cx).map(|next| Some(Ok(next))),
        }
    }
}

struct Accepting {
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
    places: Arc<Semaphore>,
    handshakes: Handshakes,
    pause: Option<Pin<Box<Sleep>>>,
    log: RefusalLog,
}

impl Accepting {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Connection> {
        self.log.poll_window(cx);
        for _ in 0..ACCEPTS_PER_TURN {
            while let Poll::Ready(Some(ended)) = self.handshakes.poll_ended(cx) {
                match ended.and_then(|proved| self.admit_proved(proved)) {
                    Ok(connection) => return Poll::Ready(connection),
                    Err(refusal) => self.log.note(&refusal),
                }
            }
            let Some((stream, address)) = ready!(self.poll_accept(cx)) else {
                continue;
            };
            let admitted = match &self.tls {
                Some(acceptor) => {
                    self.handshakes.start(acceptor.clone(), stream, address).map(|()| None)
                }
                None => self.admit_local(stream, address).map(Some),
            };
            match admitted {
                Ok(Some(connection)) => return Poll::Ready(connection),
                Ok(None) => {}
                Err(refusal) => self.log.note(&refusal),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// A connection, or `None` if there could have been one.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<(TcpStream, SocketAddr)>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        match ready!(self.socket.poll_accept(cx)) {
            Ok((stream, address)) => match stream.set_nodelay(true) {
                Ok(()) => Poll::Ready(Some((stream, address))),
                // It has gone already.
                Err(_) => Poll::Ready(None),
            },
            Err(error) => {
                self.log.note_accept_error(&error);
                self.pause = Some(Box::pin(sleep(ACCEPT_PAUSE)));
                Poll::Ready(None)
            }
        }
    }

    fn admit_proved(&self, proved: Proved) -> Result<Connection, Refusal> {
        let place = self.place(proved.address)?;
        let peer = Peer::Certified {
            role: proved.certificate.role,
            name: proved.certificate.name,
            fingerprint: proved.certificate.fingerprint,
            address: proved.address,
        };
        Ok(Connection::tls(proved.stream, peer, place))
    }

    fn admit_local(&self, stream: TcpStream, address: SocketAddr) -> Result<Connection, Refusal> {
        let place = self.place(address)?;
        Ok(Connection::tcp(stream, Peer::Loopback(address), place))
    }

    fn place(&self, address: SocketAddr) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| Refusal {
            address,
            reason: format!("{CONNECTIONS_MAX} connections are open already"),
        })
    }
}
