//! What coordinator and agent say to each other, in domain types.
//!
//! These types are converted to and from protobuf in [`crate::wire`] and nowhere else.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use common::assignment::Assignment;
use common::ceiling::HostCeiling;
use common::digest::Digest;
use common::ids::{BootId, Epoch, LevelId, Name, RunId};
use common::processors::Processors;
use common::snapshot::{Seal, Snapshot};
use common::time::Tick;

use crate::secrets::Secrets;

/// Version of the protocol. Another major version is refused by both sides; a higher minor
/// version only adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolVersion {
    /// Changes when old and new cannot understand each other.
    pub major: u32,
    /// Changes when something is added.
    pub minor: u32,
}

/// The protocol that this build speaks.
pub const PROTOCOL: ProtocolVersion = ProtocolVersion { major: 2, minor: 1 };

/// The lowest minor version of it that knows [`Order::Supply`].
pub const SUPPLY_MINOR: u32 = 1;

/// Bytes of a data set that one [`Order::Supply`] carries at most.
pub const CHUNK_MAX: usize = 256 << 10;

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Who a connection comes from, as far as the link can prove it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The same process.
    Embedded,
    /// This host, without a certificate.
    Loopback(SocketAddr),
    /// A certificate for this role and name, checked by the link.
    Certified {
        /// The role in the certificate.
        role: Role,
        /// The name in the certificate.
        name: Name,
        /// SHA-256 of the certificate.
        fingerprint: Digest,
        /// Where it connected from.
        address: SocketAddr,
    },
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("this process"),
            Self::Loopback(address) => write!(f, "{address} (no certificate)"),
            Self::Certified { role, name, address, .. } => write!(f, "{role} {name} at {address}"),
        }
    }
}

/// What a certificate entitles its holder to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// May command agents.
    Coordinator,
    /// May be commanded.
    Agent,
}

impl Role {
    /// The name in certificates and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Agent => "agent",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The coordinator's first words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The protocol it speaks.
    pub protocol: ProtocolVersion,
    /// Its version of floodmark.
    pub build: String,
}

/// An agent's answer to [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The protocol it speaks.
    pub protocol: ProtocolVersion,
    /// Its version of floodmark.
    pub build: String,
    /// Its name.
    pub name: Name,
    /// Its boot.
    pub boot: BootId,
    /// Worker threads.
    pub workers: u32,
    /// What its own configuration allows at most.
    pub ceilings: Ceilings,
    /// Who holds it, if it is busy.
    pub holder: Option<Holder>,
    /// The newest ceiling of its host, if one was found.
    pub ceiling: Option<HostCeiling>,
    /// Its clock when it answered.
    pub clock: Tick,
    /// The processors that its workers are bound to; `None` if they are not.
    pub processors: Option<Processors>,
}

/// What an agent's own configuration allows at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceilings {
    /// Users at once.
    pub users: u32,
    /// Length of one run.
    pub run: Duration,
}

/// Who holds an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The run.
    pub run: RunId,
    /// The coordinator, as its link proved it.
    pub coordinator: String,
    /// What is left of the lease.
    pub lease_left: Duration,
}

/// What a coordinator orders on a session. The first order of a session is `Acquire`.
#[derive(Clone, Debug)]
pub enum Order {
    /// Hold the agent for a run. Answered by [`Report::Acquired`] or a refusal.
    Acquire {
        /// The run.
        run: RunId,
    },
    /// Prepare a level. Answered by [`Report::Armed`] or [`Report::NotArmed`]; nothing is sent to
    /// the target.
    Arm {
        /// The fencing token's epoch.
        epoch: Epoch,
        /// The agent's share.
        assignment: Box<Assignment>,
        /// What is for the target alone, kept in memory for the level only.
        secrets: Secrets,
    },
    /// A piece of a data set that levels name by its digest. Pieces come in order; what is wrong
    /// with them is said when a level that needs the whole is armed.
    Supply {
        /// The fencing token's epoch.
        epoch: Epoch,
        /// Names the whole.
        digest: Digest,
        /// Bytes of the whole.
        total: u64,
        /// Where the piece begins.
        offset: u64,
        /// The piece; at most [`CHUNK_MAX`] bytes.
        chunk: Vec<u8>,
    },
    /// Begin the armed level at an instant of the agent's own clock. Answered by
    /// [`Report::Fired`] or [`Report::TooLate`].
    Fire {
        /// The fencing token's epoch.
        epoch: Epoch,
        /// The level.
        level: LevelId,
        /// When.
        at: Tick,
    },
    /// The measured window of the running level begins at an instant that has not come yet.
    /// Answered only if it has, by [`Report::TooLate`].
    Measure {
        /// The fencing token's epoch.
        epoch: Epoch,
        /// The level.
        level: LevelId,
        /// When.
        from: Tick,
    },
    /// The window ends before an instant that has not come yet. Load goes on, so that requests of
    /// the window end under the load they began in. Answered only if the instant has come, by
    /// [`Report::TooLate`].
    Release {
        /// The fencing token's epoch.
        epoch: Epoch,
        /// The level.
        level: LevelId,
        /// When.
        at: Tick,
    },
    /// Every request of the window has ended, or has been waited for long enough: cut the rest.
    /// Answered by a seal of a completed level.
    EndLevel {
        /// The fencing token's epoch.
        epoch: Epoch,
        /// The level.
        level: LevelId,
    },
    /// Start no further request; requests in flight may go on for `grace`, then they are cut.
    /// Answered by a seal.
    Stop {
        /// The fencing token's epoch.
        epoch: Epoch,
        /// The level.
        level: LevelId,
        /// How long requests in flight may go on.
        grace: Duration,
    },
    /// The level's seal is stored: forget it.
    SealStored {
        /// The fencing token's epoch.
        epoch: Epoch,
        /// The level.
        level: LevelId,
    },
    /// The echo of a renewal.
    RenewEcho {
        /// The fencing token's epoch.
        epoch: Epoch,
        /// The renewal's number.
        nonce: u64,
    },
    /// The run is over: be free.
    Free {
        /// The fencing token's epoch.
        epoch: Epoch,
    },
}

/// What an agent reports on a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// The agent is held.
    Acquired {
        /// The agent's boot.
        boot: BootId,
        /// The epoch to put in every order.
        epoch: Epoch,
        /// How long the agent goes on without an echo.
        lease: Duration,
    },
    /// The level is ready.
    Armed {
        /// The level.
        level: LevelId,
        /// Digest of the assignment as the agent understood it.
        digest: Digest,
    },
    /// The level cannot be run on this agent; every reason.
    NotArmed {
        /// The level.
        level: LevelId,
        /// What stands in the way, and what to do.
        reasons: Vec<String>,
    },
    /// The level will begin at the instant ordered.
    Fired {
        /// The level.
        level: LevelId,
    },
    /// An instant had passed when its order came. Of a start: nothing was sent.
    TooLate {
        /// The level.
        level: LevelId,
    },
    /// State of the running level.
    Snapshot(Box<Snapshot>),
    /// Final state of a level; repeated until it is stored.
    Sealed(Box<Seal>),
    /// Asks the coordinator to prove that it is alive. Doubles as a clock probe.
    Renew {
        /// Counts up.
        nonce: u64,
        /// The agent's clock when it asked.
        sent_at: Tick,
    },
}

/// Why an agent refuses a call or an order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another major version of the protocol.
    #[error(
        "it speaks protocol {agent}, this coordinator speaks {coordinator}; run the same major version of floodmark on both"
    )]
    Protocol {
        /// The agent's.
        agent: ProtocolVersion,
        /// The coordinator's.
        coordinator: ProtocolVersion,
    },
    /// Held by another run.
    #[error("it is busy with run {run} of {coordinator}; its lease ends in {:.1} s unless renewed", lease_left.as_secs_f64())]
    Busy {
        /// The run that holds it.
        run: RunId,
        /// The coordinator that holds it.
        coordinator: String,
        /// What is left of the lease.
        lease_left: Duration,
    },
    /// The order carries an old or unknown epoch.
    #[error("the order is fenced: it carries epoch {order}, the agent is at {agent}")]
    Fenced {
        /// The order's.
        order: Epoch,
        /// The agent's.
        agent: Epoch,
    },
    /// The caller may not command this agent.
    #[error("{0}")]
    NotAllowed(String),
    /// A message that makes no sense, or not now.
    #[error("{0}")]
    Invalid(String),
}
