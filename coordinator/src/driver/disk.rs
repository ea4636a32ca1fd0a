//! The store, beside the loop: a slow disk holds up the run, and nothing that keeps it alive.
//!
//! The loop goes no further before what it stores has reached the disk. While it waits it answers
//! renewals and takes in snapshots, neither of which is stored; whatever else is heard waits for
//! the next turn.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::message::{Order, Report};
use tokio::task::JoinHandle;

use super::{BATCH_MAX, Driver};
use crate::fleet::Heard;
use crate::machine::AgentIx;
use crate::store::{Store, StoreError};

/// A disk that takes longer has failed, though nobody said so: no load may go on of which nothing
/// can be kept, so the leases are left to run out.
const PATIENCE: Duration = Duration::from_secs(10);

/// The store; it is away while something is stored.
pub(super) struct Disk {
    dir: PathBuf,
    store: Option<Store>,
}

/// Something that is being stored.
type Storing<T> = JoinHandle<(Store, Result<T, StoreError>)>;

impl Disk {
    pub(super) fn new(store: Store) -> Self {
        Self { dir: store.dir().to_owned(), store: Some(store) }
    }

    /// The result directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    #[expect(clippy::expect_used, reason = "whoever takes the store waits until it is back")]
    fn begin<T: Send + 'static>(
        &mut self,
        act: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Storing<T> {
        let mut store = self.store.take().expect("one thing is stored at a time");
        tokio::task::spawn_blocking(move || {
            let done = act(&mut store);
            (store, done)
        })
    }
}

impl Driver<'_> {
    /// Stores something; it has reached the disk when this returns.
    pub(super) async fn stored<T: Send + 'static>(
        &mut self,
        act: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut storing = self.disk.begin(act);
        let until = self.clock.now() + PATIENCE;
        let stored = loop {
            let listens = self.backlog.len() < BATCH_MAX && self.clock.now() < until;
            tokio::select! {
                biased;
                stored = &mut storing => break stored,
                Some((agent, one)) = self.fleet.next(), if listens => self.meanwhile(agent, one),
            }
        };
        // A store that panics has stored nothing: its panic goes on.
        let (store, done) =
            stored.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        self.disk.store = Some(store);
        done
    }

    /// Does at once what nothing need be stored for.
    fn meanwhile(&mut self, agent: AgentIx, heard: Heard) {
        match heard {
            Heard::Report(report) => match *report {
                Report::Renew { nonce, .. } => {
                    self.fleet.order(agent, |epoch| Order::RenewEcho { epoch, nonce });
                }
                Report::Snapshot(snapshot) => self.show(agent, *snapshot),
                report @ (Report::Acquired { .. }
                | Report::Armed { .. }
                | Report::NotArmed { .. }
                | Report::Fired { .. }
                | Report::TooLate { .. }
                | Report::Sealed(_)) => {
                    self.backlog.push((agent, Heard::Report(Box::new(report))));
                }
            },
            probed_or_lost @ (Heard::Probe(_) | Heard::Lost(_)) => {
                self.backlog.push((agent, probed_or_lost));
            }
        }
    }
}
