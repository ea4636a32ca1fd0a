//! The floodmark agent: generates load, times it on its own clock, and accounts for every request.
//!
//! | Module | What it does |
//! |---|---|
//! | [`service`], `session` | obeys one run at a time, behind the wire |
//! | [`lease`] | the dead-man switch |
//! | [`policy`], [`preflight`] | what this host may and can do |
//! | [`pin`], `health` | processors for workers; what the host tells of itself during a level |
//! | `https` | how TLS is spoken to a target |
//! | `shelf` | the data sets of the run that holds it |
//! | `load` | workers, users and arrivals, connections, recording |
//! | [`compose`] | requests as bytes |
//! | `images` | images in requests, and what serves those that a target fetches |
//! | [`reply`] | responses: HTTP, events, their meaning, their timing |
//! | [`ceiling`] | what this host can carry, found against a simulator of its own |
//! | [`sources`] | where connections come from |
//! | [`sim`] | a mock LLM server with ground truth |
//! | `proof` | the level that loads such a server of the agent's own |
//! | [`clock`] | the only place where clocks are read |

pub mod ceiling;
pub mod clock;
pub mod compose;
pub mod config;
pub mod lease;
pub mod pin;
pub mod policy;
pub mod preflight;
pub mod reply;
pub mod service;
pub mod sim;
pub mod sources;

mod health;
mod https;
mod images;
mod load;
mod proof;
mod session;
mod shelf;
#[cfg(test)]
mod testing;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use proto::message::Peer;
use proto::server::ServeError;
use tokio_stream::Stream;

use crate::clock::Clock;
use crate::service::{AgentService, Identity};

/// Version of floodmark.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long a stopped run may take to seal before the agent leaves.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);

/// Serves an agent on the connections of `incoming` until `shutdown` resolves; then stops what
/// runs, seals it, and returns.
///
/// Runs on the current runtime, which should be a thread of its own: workers have theirs.
///
/// # Errors
/// If the transport fails as a whole.
pub async fn serve<I, C>(
    identity: Identity,
    clock: Clock,
    incoming: I,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError>
where
    I: Stream<Item = io::Result<C>>,
    C: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    C: proto::server::Connected<ConnectInfo = Peer>,
{
    let service = Arc::new(AgentService::new(identity, clock));
    let leaving = Arc::clone(&service);
    let shutdown = async move {
        shutdown.await;
        if leaving.stop("the agent is shutting down").is_some() {
            let idle = async {
                while !leaving.is_idle() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            let _ = tokio::time::timeout(LEAVE_TIMEOUT, idle).await;
        }
    };
    // Once it may leave it leaves: a coordinator that keeps its connection cannot hold the agent.
    let (left, leave) = tokio::sync::oneshot::channel();
    let serving = proto::server::serve(service, incoming, async {
        shutdown.await;
        let _ = left.send(());
    });
    let deadline = async {
        let _ = leave.await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    tokio::select! {
        served = serving => served,
        () = deadline => Ok(()),
    }
}
