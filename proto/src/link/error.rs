//! Why a link could not be made.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::certificate::CertificateFault;

/// Why a link could not be made, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// An agent was told to listen beyond this host without certificates.
    #[error(
        "will not listen on {address} without certificates: whoever reaches it could command this agent; \
         make them with `floodmark pki init` and `floodmark pki issue agent NAME`, then set \
         tls_cert, tls_key and tls_ca (--tls-cert, --tls-key, --tls-ca), or listen on 127.0.0.1"
    )]
    NeedsCertificates {
        /// Where it should have listened.
        address: SocketAddr,
    },
    /// A coordinator was told to dial beyond this host without certificates.
    #[error(
        "will not dial agent {agent} without certificates: {address} is not on this host; make one with \
         `floodmark pki issue coordinator NAME`, then give --tls-cert, --tls-key and --tls-ca"
    )]
    DialNeedsCertificates {
        /// Host and port as given.
        agent: String,
        /// What the host resolved to.
        address: SocketAddr,
    },
    /// The listening socket could not be made.
    #[error("cannot listen on {address}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A certificate or key file cannot be opened.
    #[error("cannot read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A certificate or key file does not hold what it should.
    #[error("{} holds no usable {wanted} in PEM form", path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
    },
    /// A certificate that is not for this side.
    #[error("{} cannot be used here: {fault}", path.display())]
    WrongCertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: CertificateFault,
    },
    /// Certificate and key do not make a TLS identity.
    #[error("{} and {} do not belong together", cert.display(), key.display())]
    Pair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The issuers' certificates are not fit to verify anybody.
    #[error("{} cannot be used to verify certificates: {reason}", path.display())]
    Issuers {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The name has no address.
    #[error("agent {agent}: the name cannot be resolved")]
    Resolve {
        /// Host and port as given.
        agent: String,
        /// Why; `None` if the answer was empty.
        #[source]
        source: Option<io::Error>,
    },
    /// Nobody listens.
    #[error("agent {agent}: connection refused by {address}; is floodmark-agent running there?")]
    Refused {
        /// Host and port as given.
        agent: String,
        /// What was tried.
        address: SocketAddr,
    },
    /// The network says no.
    #[error("agent {agent}: cannot connect to {address}")]
    Connect {
        /// Host and port as given.
        agent: String,
        /// What was tried.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No answer in time.
    #[error("agent {agent}: no answer within {:.1} s while {doing}", after.as_secs_f64())]
    Timeout {
        /// Host and port as given.
        agent: String,
        /// What was under way.
        doing: &'static str,
        /// The time given for all of it.
        after: Duration,
    },
    /// TLS failed; the reason is in plain words.
    #[error("agent {agent}: {reason}")]
    Tls {
        /// Host and port as given.
        agent: String,
        /// Why, and what to do.
        reason: String,
    },
    /// What answers is not an agent.
    #[error("agent {agent}: {reason}")]
    NotAnAgent {
        /// Host and port as given.
        agent: String,
        /// What it did instead.
        reason: String,
    },
}
