//! Pipes inside one process, for embedded agents. From here on they cannot be told from sockets.

use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc;

use super::connection::Connection;
use super::listen::Incoming;

/// Bytes that a pipe holds in each direction before its writer waits.
const PIPE_BYTES: usize = 256 * 1024;

/// Connections dialled and not yet accepted; a further dial waits.
const QUEUE: usize = 16;

/// A way to reach an embedded agent, and the connections that reach it.
pub fn memory() -> (MemoryDialer, Incoming) {
    let (far_ends, accepted) = mpsc::channel(QUEUE);
    (MemoryDialer { far_ends }, Incoming::memory(accepted))
}

/// Dials the agent at the other end of [`memory`], as often as it likes.
#[derive(Clone, Debug)]
pub struct MemoryDialer {
    far_ends: mpsc::Sender<Connection>,
}

impl MemoryDialer {
    /// A fresh pipe, or `None` if the agent has gone.
    pub(super) async fn dial(&self) -> Option<DuplexStream> {
        let (near, far) = duplex(PIPE_BYTES);
        self.far_ends.send(Connection::memory(far)).await.ok()?;
        Some(near)
    }
}
