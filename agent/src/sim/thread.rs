//! A simulated server on a thread and a runtime of its own, inside another program.

use std::net::SocketAddr;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::ledger::LedgerHandle;
use super::profile::Profile;
use super::server::{Sim, SimError};

/// A simulated server that runs until it is stopped or dropped.
#[derive(Debug)]
pub struct SimThread {
    address: SocketAddr,
    ledger: LedgerHandle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts a simulated server on `address`; port 0 takes a free one. It listens when this returns.
pub fn spawn(address: SocketAddr, profile: Profile) -> Result<SimThread, SimError> {
    let (ready, started) = sync_channel(1);
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("sim".to_owned())
        .spawn(move || run(address, profile, &ready, stopped))
        .map_err(|source| SimError::Start { what: "thread", source })?;
    let (address, ledger) = started.recv().map_err(|_| SimError::Ended)??;
    Ok(SimThread { address, ledger, stop: Some(stop), thread: Some(thread) })
}

impl SimThread {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it truly does; readable after it has stopped too.
    pub fn ledger(&self) -> LedgerHandle {
        self.ledger.clone()
    }

    /// Stops it. When this returns, its port is free and every request stands in the ledger.
    pub fn stop(mut self) {
        self.halt();
    }

    fn halt(&mut self) {
        // A thread that has ended by itself hears nothing and joins at once.
        let _heard = self.stop.take().map(|stop| stop.send(()));
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the simulator's thread panicked");
        }
    }
}

impl Drop for SimThread {
    fn drop(&mut self) {
        self.halt();
    }
}

type Started = Result<(SocketAddr, LedgerHandle), SimError>;

fn run(
    address: SocketAddr,
    profile: Profile,
    ready: &SyncSender<Started>,
    stopped: oneshot::Receiver<()>,
) {
    // The channel has room for the one message, and the caller waits for it.
    let tell = |started| drop(ready.send(started));
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return tell(Err(error)),
    };
    runtime.block_on(async {
        match Sim::bind(address, profile).await {
            Ok(sim) => {
                tell(Ok((sim.address(), sim.ledger())));
                sim.serve(async { drop(stopped.await) }).await;
            }
            Err(error) => tell(Err(error)),
        }
    });
}

/// One thread does it all: a thousand streams need less than a core.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, SimError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| SimError::Start { what: "runtime", source })
}
