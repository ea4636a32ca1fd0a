//! The agent behind the wire: who it is, who holds it, and what stops it from outside.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::ceiling::HostCeiling;
use common::ids::{BootId, Epoch, Name, RunId};
use common::processors::Processors;
use proto::message::{Ceilings, Greeting, Hello, Holder, PROTOCOL, Peer, Refusal, Report, Role};
use proto::server::{AgentApi, Orders, OrdersEnd};
use tokio::sync::{mpsc, oneshot};

use crate::ceiling::{self, Ask, CeilingError, Effort};
use crate::clock::Clock;
use crate::lease::Deadline;
use crate::policy::Policy;
use crate::session::Session;

/// Reports that may wait for a slow coordinator; snapshots that find no place are dropped, since
/// the next one says more.
const REPORTS_QUEUE: usize = 64;
/// Why a run cannot have the agent now.
const CALIBRATING: &str = "its ceiling is being found; that takes half a minute at most";
/// How long a session may take to say whom it is for.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// What an agent is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name in reports; unique within a fleet.
    pub name: Name,
    /// This start of its process.
    pub boot: BootId,
    /// Worker threads; at least 1.
    pub workers: u32,
    /// The processors that they are bound to, one for each; `None` if they are not.
    pub processors: Option<Processors>,
    /// What it lets a coordinator do.
    pub policy: Policy,
    /// Where it keeps what it finds out about its host; `None` for nowhere.
    pub state_dir: Option<PathBuf>,
    /// What it starts as a simulator; `None` for a thread in its place.
    pub simulator: Option<PathBuf>,
}

/// An agent. One run at a time holds it.
pub struct AgentService {
    inner: Arc<Inner>,
}

/// What a session shares with the service.
pub(crate) struct Inner {
    pub(crate) identity: Identity,
    pub(crate) clock: Clock,
    hold: Mutex<Option<Hold>>,
    epochs: AtomicU64,
    /// The ceiling of the host is being found; changed and read with `hold` locked.
    calibrating: AtomicBool,
    /// The newest one that this process found.
    ceiling: Mutex<Option<HostCeiling>>,
}

struct Hold {
    run: RunId,
    coordinator: String,
    epoch: Epoch,
    lease: Deadline,
    abort: mpsc::Sender<String>,
}

impl AgentService {
    /// An idle agent.
    pub fn new(identity: Identity, clock: Clock) -> Self {
        let inner = Inner {
            identity,
            clock,
            hold: Mutex::new(None),
            epochs: AtomicU64::new(1),
            calibrating: AtomicBool::new(false),
            ceiling: Mutex::new(None),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Stops whatever runs, and gives the run that was stopped.
    pub fn stop(&self, reason: &str) -> Option<RunId> {
        self.inner.with_hold(|hold| {
            hold.as_ref().map(|hold| {
                let _ = hold.abort.try_send(reason.to_owned());
                hold.run
            })
        })
    }

    /// No run holds the agent.
    pub fn is_idle(&self) -> bool {
        self.inner.with_hold(|hold| hold.is_none())
    }
}

impl Inner {
    fn with_hold<T>(&self, act: impl FnOnce(&mut Option<Hold>) -> T) -> T {
        act(&mut self.hold.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the agent for a run, unless another holds it.
    pub(crate) fn acquire(
        &self,
        run: RunId,
        peer: &Peer,
        lease: Deadline,
        abort: mpsc::Sender<String>,
    ) -> Result<Epoch, Refusal> {
        self.with_hold(|hold| {
            if let Some(held) = hold {
                return Err(busy(held));
            }
            if self.calibrating.load(Ordering::Relaxed) {
                return Err(Refusal::Invalid(CALIBRATING.to_owned()));
            }
            let epoch = Epoch(self.epochs.fetch_add(1, Ordering::Relaxed));
            *hold = Some(Hold { run, coordinator: peer.to_string(), epoch, lease, abort });
            Ok(epoch)
        })
    }

    /// Finds the host's ceiling on threads of its own, unless a run holds the agent.
    fn calibrate(
        inner: &Arc<Self>,
        quick: bool,
    ) -> Result<oneshot::Receiver<Result<HostCeiling, Refusal>>, Refusal> {
        inner.with_hold(|hold| {
            if let Some(held) = hold {
                return Err(busy(held));
            }
            if inner.calibrating.swap(true, Ordering::Relaxed) {
                return Err(Refusal::Invalid(CALIBRATING.to_owned()));
            }
            Ok(())
        })?;
        let ask = Ask {
            workers: inner.identity.workers,
            simulator: inner.identity.simulator.clone(),
            effort: if quick { Effort::Quick } else { Effort::Usual },
        };
        let (to_caller, answer) = oneshot::channel();
        let waited_for = Arc::new(AtomicBool::new(true));
        let given_up = {
            let waited_for = Arc::clone(&waited_for);
            move || !waited_for.load(Ordering::Relaxed)
        };
        let searching = ceiling::find(ask, inner.clock, given_up);
        let inner = Arc::clone(inner);
        #[expect(clippy::let_underscore_future, reason = "it ends with its search")]
        let _ = tokio::spawn(async move {
            let mut to_caller = to_caller;
            let mut found = tokio::task::spawn_blocking(move || match searching {
                Ok(thread) => thread.join().unwrap_or_else(|_| {
                    Err(CeilingError::Ended("a bug in the generator".to_owned()))
                }),
                Err(error) => Err(CeilingError::Worker(error)),
            });
            let found = tokio::select! {
                found = &mut found => found,
                () = to_caller.closed() => {
                    waited_for.store(false, Ordering::Relaxed);
                    found.await
                }
            };
            inner.with_hold(|_| inner.calibrating.store(false, Ordering::Relaxed));
            let found = match found {
                Ok(Ok(ceiling)) => {
                    inner.keep(&ceiling);
                    Ok(ceiling)
                }
                Ok(Err(error)) => Err(Refusal::Invalid(error.to_string())),
                Err(error) => Err(Refusal::Invalid(error.to_string())),
            };
            let _ = to_caller.send(found);
        });
        Ok(answer)
    }

    fn keep(&self, found: &HostCeiling) {
        if let Some(dir) = &self.identity.state_dir
            && let Err(error) = ceiling::keep(dir, found)
        {
            tracing::warn!(%error, dir = %dir.display(), "the ceiling is not kept");
        }
        *self.ceiling.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
    }

    /// The newest ceiling; `floodmark-agent calibrate` may have kept one beside this process.
    fn newest_ceiling(&self) -> Option<HostCeiling> {
        let kept = self.identity.state_dir.as_deref().and_then(ceiling::kept);
        let own = self.ceiling.lock().unwrap_or_else(PoisonError::into_inner).clone();
        kept.into_iter().chain(own).max_by_key(|ceiling| ceiling.found_at_ms)
    }

    /// Lets go of what `epoch` took.
    pub(crate) fn release(&self, epoch: Epoch) {
        self.with_hold(|hold| {
            if hold.as_ref().is_some_and(|held| held.epoch == epoch) {
                *hold = None;
            }
        });
    }
}

fn busy(held: &Hold) -> Refusal {
    Refusal::Busy {
        run: held.run,
        coordinator: held.coordinator.clone(),
        lease_left: held.lease.left_at(Clock::boottime_ns()),
    }
}

/// Whether a peer may command agents. The link has checked certificates; this checks roles.
fn authorise(peer: &Peer) -> Result<(), Refusal> {
    match peer {
        Peer::Embedded | Peer::Loopback(_) | Peer::Certified { role: Role::Coordinator, .. } => {
            Ok(())
        }
        Peer::Certified { role: Role::Agent, name, .. } => Err(Refusal::NotAllowed(format!(
            "{name}'s certificate is an agent's; only coordinators command agents"
        ))),
    }
}

impl AgentApi for AgentService {
    fn hello(&self, peer: &Peer, hello: &Hello) -> Result<Greeting, Refusal> {
        authorise(peer)?;
        if hello.protocol.major != PROTOCOL.major {
            return Err(Refusal::Protocol { agent: PROTOCOL, coordinator: hello.protocol });
        }
        let identity = &self.inner.identity;
        let holder = self.inner.with_hold(|hold| {
            hold.as_ref().map(|hold| Holder {
                run: hold.run,
                coordinator: hold.coordinator.clone(),
                lease_left: hold.lease.left_at(Clock::boottime_ns()),
            })
        });
        Ok(Greeting {
            protocol: PROTOCOL,
            build: crate::VERSION.to_owned(),
            name: identity.name.clone(),
            boot: identity.boot,
            workers: identity.workers,
            ceilings: Ceilings { users: identity.policy.users_max, run: identity.policy.run_max },
            holder,
            ceiling: self.inner.newest_ceiling(),
            clock: self.inner.clock.now(),
            processors: identity.processors.clone(),
        })
    }

    fn session(
        &self,
        peer: Peer,
        orders: Orders,
    ) -> Result<mpsc::Receiver<Result<Report, Refusal>>, Refusal> {
        authorise(&peer)?;
        let (reports, outbox) = mpsc::channel(REPORTS_QUEUE);
        let inner = Arc::clone(&self.inner);
        #[expect(clippy::let_underscore_future, reason = "a session ends with its stream or lease")]
        let _ = tokio::spawn(begin(inner, peer, orders, reports));
        Ok(outbox)
    }

    fn calibrate(
        &self,
        peer: &Peer,
        quick: bool,
    ) -> Result<oneshot::Receiver<Result<HostCeiling, Refusal>>, Refusal> {
        authorise(peer)?;
        tracing::info!(%peer, quick, "calibrating");
        Inner::calibrate(&self.inner, quick)
    }

    fn abort(&self, peer: &Peer, reason: &str) -> Result<Option<RunId>, Refusal> {
        authorise(peer)?;
        let run = self.stop(&format!("aborted by {peer}: {reason}"));
        if let Some(run) = run {
            tracing::warn!(%run, %peer, reason, "run aborted");
        }
        Ok(run)
    }
}

async fn begin(
    inner: Arc<Inner>,
    peer: Peer,
    mut orders: Orders,
    reports: mpsc::Sender<Result<Report, Refusal>>,
) {
    let run = match tokio::time::timeout(ACQUIRE_TIMEOUT, orders.next()).await {
        Ok(Ok(proto::message::Order::Acquire { run })) => run,
        Ok(Ok(_)) => return refuse(&reports, "the first order of a session is Acquire").await,
        Ok(Err(OrdersEnd::Bad(error))) => return refuse(&reports, &error.to_string()).await,
        Ok(Err(OrdersEnd::Lost(_))) | Err(_) => return,
    };
    match Session::acquire(inner, &peer, run, reports.clone()) {
        Ok(session) => session.run(orders).await,
        Err(refusal) => {
            tracing::info!(%peer, %run, %refusal, "not acquired");
            let _ = reports.send(Err(refusal)).await;
        }
    }
}

async fn refuse(reports: &mpsc::Sender<Result<Report, Refusal>>, why: &str) {
    let _ = reports.send(Err(Refusal::Invalid(why.to_owned()))).await;
}
