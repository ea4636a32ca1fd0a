//! Agents inside the coordinator's process: the same agent behind the same service, on a thread
//! and a runtime of its own, reached over a link in memory. The only file here that knows the
//! agent crate, but for the simulator of the demo.

use std::thread::JoinHandle;
use std::time::Duration;

use agent::clock::Clock;
use agent::policy::{Allowed, Policy};
use agent::service::Identity;
use common::ids::{BootId, Name};
use proto::link::{self, Dialer};
use tokio::sync::oneshot;

use super::Address;

/// An agent inside this process. It is stopped when this is dropped.
#[derive(Debug)]
pub struct EmbeddedAgent {
    address: Address,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The system gives no thread or no event queue.
#[derive(Debug, thiserror::Error)]
#[error("cannot start an embedded agent: {0}")]
pub struct EmbeddedError(#[from] std::io::Error);

impl EmbeddedAgent {
    /// Starts embedded agent number `number` (from 1) with `workers` worker threads.
    ///
    /// It may load whatever is not forbidden outright: the person who started this process could
    /// do so without it.
    ///
    /// # Errors
    /// If the system gives no thread or no event queue.
    pub fn start(number: u32, workers: u32, boot: BootId) -> Result<Self, EmbeddedError> {
        agent::preflight::raise_fd_limit();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (dialer, incoming) = link::memory();
        let (stop, stopped) = oneshot::channel::<()>();
        let identity = Identity {
            name: name(number),
            boot,
            workers,
            processors: None,
            policy: Policy {
                targets: Allowed::Any,
                ..Policy::new(u32::MAX, Duration::from_secs(u64::from(u32::MAX)))
            },
            state_dir: None,
            simulator: None,
        };
        let thread =
            std::thread::Builder::new().name(format!("agent-{number}")).spawn(move || {
                let shutdown = async {
                    let _ = stopped.await;
                };
                let served =
                    runtime.block_on(agent::serve(identity, Clock::start(), incoming, shutdown));
                if let Err(error) = served {
                    tracing::error!(%error, number, "an embedded agent failed");
                }
            })?;
        let address =
            Address { text: format!("embedded {number}"), dialer: Dialer::Memory(dialer) };
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// How it is dialled.
    pub fn address(&self) -> Address {
        self.address.clone()
    }
}

#[expect(clippy::expect_used, reason = "letters, a dash and digits are a name")]
fn name(number: u32) -> Name {
    format!("embedded-{number}").parse().expect("a valid name")
}

impl Drop for EmbeddedAgent {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
