//! TLS handshakes of an agent's clients: few at a time, short, and in nobody's way.
//!
//! When all places are taken, a newcomer displaces the oldest handshake: of those whose client has
//! not said a word, if they are the majority, else of the others. Whoever is let in thus keeps its
//! place for the next 128 newcomers at least, and again for the next 128 that speak. A flood of
//! half-open connections displaces itself and not a coordinator, which speaks as soon as it is
//! connected.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, sink};
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificate::{self, PeerCertificate};
use super::reason;
use super::refusals::Refusal;
use super::tls::ALPN_H2;
use crate::message::Role;

/// Handshakes under way at once. A silent one costs a socket; for one that speaks rustls buffers at
/// most some 64 KiB.
const HANDSHAKES_MAX: usize = 256;

/// From accept to proved identity.
const HANDSHAKE_TIME: Duration = Duration::from_secs(3);

/// For a refused client to read why.
const FAREWELL_TIME: Duration = Duration::from_secs(1);

/// What a refused client may still send meanwhile.
const FAREWELL_BYTES: u64 = 64 * 1024;

/// A client that has shown a coordinator's certificate.
pub(super) struct Proved {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) certificate: PeerCertificate,
    pub(super) address: SocketAddr,
}

/// The handshakes under way. Dropping this closes them.
#[derive(Default)]
pub(super) struct Handshakes {
    tasks: JoinSet<Result<Proved, Refusal>>,
    /// Oldest first; ended ones are swept out when another starts.
    under_way: VecDeque<UnderWay>,
}

struct UnderWay {
    address: SocketAddr,
    spoke: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Handshakes {
    /// Starts one more. The error is the refusal of the one that had to make room.
    pub(super) fn start(
        &mut self,
        acceptor: TlsAcceptor,
        stream: TcpStream,
        address: SocketAddr,
    ) -> Result<(), Refusal> {
        self.under_way.retain(|one| !one.task.is_finished());
        let displaced =
            if self.under_way.len() < HANDSHAKES_MAX { Ok(()) } else { self.displace() };
        let spoke = Arc::new(AtomicBool::new(false));
        let task = self.tasks.spawn(prove(acceptor, stream, address, Arc::clone(&spoke)));
        self.under_way.push_back(UnderWay { address, spoke, task });
        displaced
    }

    /// How one of them ended; `None` if there are none.
    pub(super) fn poll_ended(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Proved, Refusal>>> {
        loop {
            match ready!(self.tasks.poll_join_next(cx)) {
                None => return Poll::Ready(None),
                Some(Ok(ended)) => return Poll::Ready(Some(ended)),
                // Displaced; its refusal was reported then.
                Some(Err(_)) => {}
            }
        }
    }

    fn displace(&mut self) -> Result<(), Refusal> {
        let silent = |one: &UnderWay| !one.spoke.load(Ordering::Relaxed);
        let silent_count = self.under_way.iter().filter(|one| silent(one)).count();
        let displace_silent = silent_count > HANDSHAKES_MAX / 2;
        let victim =
            self.under_way.iter().position(|one| silent(one) == displace_silent).unwrap_or(0);
        match self.under_way.remove(victim) {
            None => Ok(()),
            Some(one) => {
                one.task.abort();
                Err(Refusal {
                    address: one.address,
                    reason: format!("{HANDSHAKES_MAX} TLS handshakes were under way after it"),
                })
            }
        }
    }
}

async fn prove(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
    spoke: Arc<AtomicBool>,
) -> Result<Proved, Refusal> {
    let refused = |reason| Refusal { address, reason };
    let handshake = async {
        // An error shows again in the handshake, which knows what to say about it.
        let _ = stream.readable().await;
        spoke.store(true, Ordering::Relaxed);
        acceptor.accept(stream).into_fallible().await
    };
    let stream = match timeout(HANDSHAKE_TIME, handshake).await {
        Err(_) => {
            let seconds = HANDSHAKE_TIME.as_secs();
            return Err(refused(format!("no TLS handshake within {seconds} s")));
        }
        Ok(Err((error, stream))) => {
            // Dropped at once with bytes unread, the socket would be reset, and the alert that
            // tells the client why could be lost.
            let _ = timeout(FAREWELL_TIME, farewell(stream)).await;
            return Err(refused(reason::of_refused_client(&error)));
        }
        Ok(Ok(stream)) => stream,
    };
    let session = stream.get_ref().1;
    if session.alpn_protocol() != Some(ALPN_H2) {
        return Err(refused("it does not offer HTTP/2".to_owned()));
    }
    let leaf = session.peer_certificates().and_then(<[_]>::first);
    let leaf = leaf.ok_or_else(|| refused("it showed no certificate".to_owned()))?;
    let certificate = certificate::check(leaf, Role::Coordinator, None)
        .map_err(|fault| refused(fault.to_string()))?;
    Ok(Proved { stream, certificate, address })
}

async fn farewell(mut stream: TcpStream) {
    if stream.shutdown().await.is_ok() {
        let _ = copy(&mut stream.take(FAREWELL_BYTES), &mut sink()).await;
    }
}
