//! The links over which coordinators and agents speak: in memory for an embedded agent, plain TCP
//! on this host, mutual TLS everywhere else.
//!
//! A link proves who is at the other end ([`Peer`]) and carries bytes. It never looks into a
//! message, never dials twice on its own, and never lets an unproved peer reach a handler.
//!
//! | File | What it does |
//! |---|---|
//! | `listen` | accepts, bounded in sockets |
//! | `handshake` | lets clients prove who they are, bounded in time |
//! | `refusals` | logs who was refused, bounded in lines |
//! | `dial` | makes one connection and hands it to gRPC |
//! | `first_words` | hears from the connection itself why it failed |
//! | `memory` | pipes inside one process |
//! | `connection` | one accepted connection of any kind |
//! | `identity` | certificate files to TLS configurations |
//! | `tls` | who is trusted, in rustls's terms |
//! | `certificate` | role and name in a certificate |
//! | `reason` | TLS failures in plain words |
//!
//! **Identity is the role and the name in a certificate, not an address.** Agents move between
//! hosts and behind services, so the name in DNS that TLS insists on is the same for all of them,
//! [`AGENT_DNS_NAME`]; which agent it is stands in the URI that [`identity_uri`] makes.

mod certificate;
mod connection;
mod dial;
mod error;
mod first_words;
mod handshake;
mod identity;
mod listen;
mod memory;
mod reason;
mod refusals;
mod tls;

#[cfg(test)]
mod tests;

pub use certificate::{AGENT_DNS_NAME, CertificateFault, PeerCertificate, identity_uri};
pub use connection::Connection;
pub use dial::Dialer;
pub use error::LinkError;
pub use identity::{ClientIdentity, Identity, warn_if_public};
pub use listen::{Incoming, Listener, listen};
pub use memory::{MemoryDialer, memory};

#[cfg(doc)]
use crate::message::Peer;
