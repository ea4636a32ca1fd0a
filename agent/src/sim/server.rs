//! The edge of the simulator: a TCP listener, one task per connection, and routes.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use common::target::Endpoint;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::api;
use super::desk::Desk;
use super::frames;
use super::http::{HttpError, Method};
use super::ledger::LedgerHandle;
use super::pages::{JSON, Page};
use super::profile::{Profile, ProfileError};
use super::reply::{After, answer, chunked_head, simple};
use super::wire::{Left, Next, Request, Wire};
use crate::clock::Clock;

/// A simulated server that listens.
#[derive(Debug)]
pub struct Sim {
    listener: TcpListener,
    address: SocketAddr,
    desk: Arc<Desk>,
}

/// Why a simulated server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The behaviour that was asked for contradicts itself.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}; choose another address with --listen")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// No runtime, thread or signal handler.
    #[error("cannot start the simulator's {what}")]
    Start {
        /// What could not be started.
        what: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The thread ended before it had said whether it listens.
    #[error("the simulator's thread ended while it was starting")]
    Ended,
    /// The ledger cannot be written.
    #[error("cannot write the ledger to {}", path.display())]
    Truth {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Connections served at once; more wait in the listener's backlog.
const CONNECTIONS_MAX: usize = 65_536;
/// The pause after a failure to accept, such as having no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// Connections that may wait to be accepted: a whole fleet may connect at one instant.
const BACKLOG: u32 = 4096;

impl Sim {
    /// Listens on `address`; port 0 takes a free one.
    #[expect(
        clippy::unused_async,
        reason = "a listener needs a runtime around it, which an async caller has"
    )]
    pub async fn bind(address: SocketAddr, profile: Profile) -> Result<Self, SimError> {
        let failed = |source| SimError::Bind { address, source };
        let listener = listen(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let desk = Arc::new(Desk::new(Clock::start(), profile));
        Ok(Self { listener, address, desk })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it truly does.
    pub fn ledger(&self) -> LedgerHandle {
        self.desk.ledger.clone()
    }

    /// Serves until `shutdown` is ready. Requests that are then in progress are cut, and stand in
    /// the ledger before this returns.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = shutdown.as_mut() => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = self.listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                    match accepted {
                        Ok((stream, _)) => {
                            self.desk.ledger.connected();
                            connections.spawn(connection(Arc::clone(&self.desk), stream));
                        }
                        Err(error) => {
                            tracing::warn!(%error, "cannot accept a connection");
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                        }
                    }
                }
            }
        }
        connections.shutdown().await;
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4(),
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6(),
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves one connection until either side has had enough.
async fn connection(desk: Arc<Desk>, stream: TcpStream) {
    if frames::are_spoken(&stream).await {
        return frames::serve(desk, stream).await;
    }
    let mut wire = Wire::of_socket(stream, desk.clock);
    loop {
        match one_request(&desk, &mut wire).await {
            Ok(After::Keep) => {}
            Ok(After::Close) | Err(Left) => return,
            Ok(After::Reset) => return wire.reset(),
        }
    }
}

/// Serves the next request of a connection.
pub(super) async fn one_request(desk: &Arc<Desk>, wire: &mut Wire) -> Result<After, Left> {
    match wire.next().await? {
        Next::Request(request) => route(desk, wire, &request).await,
        Next::Broken(error) => broken(wire, error).await,
    }
}

async fn route(desk: &Arc<Desk>, wire: &mut Wire, request: &Request) -> Result<After, Left> {
    let keep = request.head.keep_alive;
    let path = request.head.path.as_str();
    let no_method = format!("{path} has no such method");
    if let Some(endpoint) = Endpoint::ALL.into_iter().find(|endpoint| endpoint.path() == path) {
        return match request.head.method {
            Method::Post => answer(desk, wire, endpoint, request).await,
            Method::Get | Method::Other => refuse(wire, 405, &no_method, keep).await,
        };
    }
    let page = match (path, request.head.method) {
        ("/truth", Method::Get) => return truth(desk, wire, keep).await,
        ("/health", Method::Get) => Page::health(),
        ("/v1/models", Method::Get) => Page::models(desk),
        ("/counts", Method::Get) => Page::counts(desk),
        ("/metrics", Method::Get) => Page::metrics(desk),
        (
            "/truth" | "/health" | "/v1/models" | "/counts" | "/metrics",
            Method::Post | Method::Other,
        ) => return refuse(wire, 405, &no_method, keep).await,
        (_, Method::Get | Method::Post | Method::Other) => {
            return refuse(wire, 404, &format!("there is no {path} here"), keep).await;
        }
    };
    simple(wire, 200, page.content_type, &[], page.body.as_bytes(), keep).await
}

/// The whole ledger, in pieces, so that a long one holds up nobody.
async fn truth(desk: &Desk, wire: &mut Wire, keep: bool) -> Result<After, Left> {
    wire.write(&chunked_head(JSON, keep)).await?;
    for piece in desk.ledger.json().filter(|piece| !piece.is_empty()) {
        let mut chunk = Vec::with_capacity(piece.len() + 16);
        api::chunk_head(&mut chunk, piece.len());
        chunk.extend_from_slice(&piece);
        chunk.extend_from_slice(b"\r\n");
        wire.write(&chunk).await?;
        tokio::task::yield_now().await;
    }
    wire.write(b"0\r\n\r\n").await?;
    Ok(if keep { After::Keep } else { After::Close })
}

async fn broken(wire: &mut Wire, error: HttpError) -> Result<After, Left> {
    refuse(wire, error.status(), &error.to_string(), false).await
}

async fn refuse(wire: &mut Wire, status: u16, message: &str, keep: bool) -> Result<After, Left> {
    let body = api::error_body("invalid_request_error", status, message);
    simple(wire, status, JSON, &[], body.as_bytes(), keep).await
}
