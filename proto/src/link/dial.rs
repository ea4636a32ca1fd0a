//! Makes one connection to an agent and hands it to gRPC. It never redials: a lost connection ends
//! its channel, and the coordinator, which has a lease to think of, decides what next.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use super::certificate::{self, AGENT_DNS_NAME, PeerCertificate};
use super::error::LinkError;
use super::first_words::{FirstWords, Overheard};
use super::identity::ClientIdentity;
use super::memory::MemoryDialer;
use super::reason;
use super::tls::ALPN_H2;
use crate::message::Role;

/// Together these find a dead link in 3 s; without them nothing is noticed for minutes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(2);

/// How the end of a peer is noticed.
#[derive(Clone, Copy)]
enum Liveness {
    /// A pipe ends with its other end. A probe could only mistake a busy host for a dead agent.
    Certain,
    /// A link can die in silence.
    Probed,
}

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// How to reach one agent.
#[derive(Clone, Debug)]
pub enum Dialer {
    /// An agent inside this process.
    Memory(MemoryDialer),
    /// An agent on this host, without certificates.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// An agent anywhere, with certificates.
    Tls {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
        /// Who we are and whom we trust.
        identity: Arc<ClientIdentity>,
    },
}

impl Dialer {
    /// Makes a connection, and waits until the agent has spoken on it. Over TLS the agent's
    /// certificate comes with it.
    ///
    /// The channel lives as long as the connection. `timeout` covers everything.
    pub async fn connect(
        &self,
        timeout: Duration,
    ) -> Result<(Channel, Option<PeerCertificate>), LinkError> {
        let mut attempt = Attempt::new(self.agent(), timeout);
        match self {
            Self::Memory(dialer) => {
                let pipe = attempt.step("dialling", dialer.dial()).await?;
                let pipe = pipe.ok_or_else(|| attempt.not_an_agent("it has stopped"))?;
                Ok((attempt.speak(pipe, Liveness::Certain).await?, None))
            }
            Self::Tcp { host, port } => {
                let addresses = attempt.resolve(host, *port).await?;
                attempt.only_this_host(&addresses)?;
                let stream = attempt.connect(&addresses).await?;
                Ok((attempt.speak(stream, Liveness::Probed).await?, None))
            }
            Self::Tls { host, port, identity } => {
                let addresses = attempt.resolve(host, *port).await?;
                let stream = attempt.connect(&addresses).await?;
                let (stream, peer) = attempt.secure(stream, identity).await?;
                Ok((attempt.speak(stream, Liveness::Probed).await?, Some(peer)))
            }
        }
    }

    fn agent(&self) -> String {
        match self {
            Self::Memory(_) => "embedded".to_owned(),
            Self::Tcp { host, port } | Self::Tls { host, port, .. } => {
                if host.contains(':') {
                    format!("[{host}]:{port}")
                } else {
                    format!("{host}:{port}")
                }
            }
        }
    }
}

/// One dial under way: what is dialled, and the time left for all its steps.
struct Attempt {
    agent: String,
    timeout: Duration,
    deadline: Pin<Box<Sleep>>,
}

impl Attempt {
    fn new(agent: String, timeout: Duration) -> Self {
        Self { agent, timeout, deadline: Box::pin(sleep(timeout)) }
    }

    async fn step<T>(
        &mut self,
        doing: &'static str,
        work: impl Future<Output = T>,
    ) -> Result<T, LinkError> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = &mut self.deadline => Err(self.timed_out(doing)),
        }
    }

    async fn resolve(&mut self, host: &str, port: u16) -> Result<Vec<SocketAddr>, LinkError> {
        let found = self.step("resolving its name", lookup_host((host, port))).await?.map_err(
            |source| LinkError::Resolve { agent: self.agent.clone(), source: Some(source) },
        )?;
        let addresses: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
        if addresses.is_empty() {
            return Err(LinkError::Resolve { agent: self.agent.clone(), source: None });
        }
        Ok(addresses)
    }

    fn only_this_host(&self, addresses: &[SocketAddr]) -> Result<(), LinkError> {
        match addresses.iter().find(|address| !address.ip().to_canonical().is_loopback()) {
            None => Ok(()),
            Some(address) => Err(LinkError::DialNeedsCertificates {
                agent: self.agent.clone(),
                address: *address,
            }),
        }
    }

    /// Tries the addresses in order, each with an equal part of the time; reports the last failure.
    async fn connect(&mut self, addresses: &[SocketAddr]) -> Result<TcpStream, LinkError> {
        const DOING: &str = "connecting";
        let share = self.timeout / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let mut failure = self.timed_out(DOING);
        for &address in addresses {
            let tried = self.step(DOING, timeout(share, TcpStream::connect(address))).await?;
            failure = match tried {
                Err(_) => self.timed_out(DOING),
                Ok(Err(source)) => self.not_connected(address, source),
                Ok(Ok(stream)) => match stream.set_nodelay(true) {
                    Ok(()) => return Ok(stream),
                    Err(source) => self.not_connected(address, source),
                },
            };
        }
        Err(failure)
    }

    async fn secure(
        &mut self,
        stream: TcpStream,
        identity: &ClientIdentity,
    ) -> Result<(TlsStream<TcpStream>, PeerCertificate), LinkError> {
        let name =
            ServerName::try_from(AGENT_DNS_NAME).map_err(|error| self.tls(error.to_string()))?;
        let handshake = TlsConnector::from(Arc::clone(&identity.tls)).connect(name, stream);
        let stream = self
            .step("making the TLS connection", handshake)
            .await?
            .map_err(|error| self.tls(reason::of_failed_dial(&error)))?;
        let session = stream.get_ref().1;
        if session.alpn_protocol() != Some(ALPN_H2) {
            return Err(self.not_an_agent("it does not offer HTTP/2"));
        }
        let peer = session
            .peer_certificates()
            .and_then(|chain| chain.first())
            .ok_or_else(|| self.tls("it showed no certificate".to_owned()))
            .and_then(|leaf| {
                certificate::check(leaf, Role::Agent, None)
                    .map_err(|fault| self.tls(fault.to_string()))
            })?;
        Ok((stream, peer))
    }

    /// Starts HTTP/2 and waits for the agent's first words. In TLS 1.3 an agent's refusal of our
    /// certificate comes only now.
    async fn speak<S>(&mut self, stream: S, liveness: Liveness) -> Result<Channel, LinkError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        const DOING: &str = "starting HTTP/2";
        let (stream, first_words) = Overheard::new(stream);
        let mut once = Some(TokioIo::new(stream));
        let connector = tower::service_fn(move |_| {
            let connection = once.take();
            async move {
                connection.ok_or_else(|| io::Error::other("the connection to the agent has ended"))
            }
        });
        let endpoint = Endpoint::from_static("http://agent.floodmark.internal");
        let endpoint = match liveness {
            Liveness::Certain => endpoint,
            Liveness::Probed => endpoint
                .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
                .keep_alive_timeout(KEEPALIVE_TIMEOUT)
                .keep_alive_while_idle(true),
        };
        let channel = self.step(DOING, endpoint.connect_with_connector(connector)).await?;
        let words = self.step(DOING, first_words).await?;
        match (channel, words) {
            (Ok(channel), Ok(FirstWords::Http2)) => Ok(channel),
            (_, Ok(FirstWords::Failed(error))) => Err(self.tls(reason::of_failed_dial(&error))),
            (_, Ok(FirstWords::TlsAlert)) => {
                Err(self.tls("it demands TLS; give --tls-cert, --tls-key and --tls-ca".to_owned()))
            }
            (_, Ok(FirstWords::Foreign)) => {
                Err(self.not_an_agent("what answers there does not speak HTTP/2; is it an agent?"))
            }
            (Ok(_) | Err(_), Ok(FirstWords::End) | Err(_)) | (Err(_), Ok(FirstWords::Http2)) => {
                Err(self.not_an_agent("it closed the connection before it said anything"))
            }
        }
    }

    fn timed_out(&self, doing: &'static str) -> LinkError {
        LinkError::Timeout { agent: self.agent.clone(), doing, after: self.timeout }
    }

    fn not_connected(&self, address: SocketAddr, source: io::Error) -> LinkError {
        let agent = self.agent.clone();
        if source.kind() == io::ErrorKind::ConnectionRefused {
            LinkError::Refused { agent, address }
        } else {
            LinkError::Connect { agent, address, source }
        }
    }

    fn tls(&self, reason: String) -> LinkError {
        LinkError::Tls { agent: self.agent.clone(), reason }
    }

    fn not_an_agent(&self, reason: &str) -> LinkError {
        LinkError::NotAnAgent { agent: self.agent.clone(), reason: reason.to_owned() }
    }
}
