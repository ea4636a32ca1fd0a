//! The links over real sockets: who gets in as whom, who is kept out, and what each is told.

mod certificates;

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rcgen::ExtendedKeyUsagePurpose;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_stream::{Stream, StreamExt};
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Server};

use self::certificates::{Ca, Certified, Files, Fleet, Leaf};
use super::handshake::Handshakes;
use super::*;
use crate::message::{Peer, Role};

const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
static TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
static TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
const PATIENCE: Duration = Duration::from_secs(10);

/// A client of an agent, as an attacker could write it.
#[derive(Clone)]
struct RawClient {
    certificate: Option<Certified>,
    versions: &'static [&'static SupportedProtocolVersion],
    alpn: &'static [u8],
}

impl RawClient {
    fn with(certificate: Certified) -> Self {
        Self { certificate: Some(certificate), versions: TLS13, alpn: b"h2" }
    }

    /// Connects and waits for the first byte of a handler. The error is what a client would see.
    async fn reach(&self, address: SocketAddr, agents: &Ca) -> Result<u8, String> {
        let mut roots = RootCertStore::empty();
        let issuer = rustls_pki_types::pem::PemObject::from_pem_slice(agents.pem.as_bytes());
        roots.add(issuer.unwrap()).unwrap();
        let builder =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_protocol_versions(self.versions)
                .unwrap()
                .with_root_certificates(roots);
        let mut config = match &self.certificate {
            Some(own) => builder.with_client_auth_cert(own.chain(), own.key()).unwrap(),
            None => builder.with_no_client_auth(),
        };
        if !self.alpn.is_empty() {
            config.alpn_protocols = vec![self.alpn.to_vec()];
        }
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from(AGENT_DNS_NAME).unwrap();
        let mut stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .map_err(|error| error.to_string())?;
        stream.read_u8().await.map_err(|error| error.to_string())
    }
}

/// A handler that greets every connection and echoes its bytes.
async fn greet(mut incoming: Incoming, reached: tokio::sync::mpsc::Sender<Peer>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Some(Ok(mut connection)) = incoming.next().await {
        reached.send(connection.connect_info()).await.unwrap();
        connections.spawn(async move {
            connection.write_all(b"!").await.unwrap();
            connection.flush().await.unwrap();
            let (mut from, mut to) = tokio::io::split(connection);
            let _ = tokio::io::copy(&mut from, &mut to).await;
        });
    }
}

/// A gRPC server whose every answer names the peer that it sees.
fn serve<S>(incoming: S) -> JoinHandle<()>
where
    S: Stream<Item = Result<Connection, std::io::Error>> + Send + 'static,
{
    let service = tower::service_fn(|request: http::Request<tonic::body::Body>| async move {
        let peer = request.extensions().get::<Peer>().unwrap();
        let status = tonic::Status::unimplemented(peer.to_string());
        Ok::<_, std::convert::Infallible>(status.into_http::<tonic::body::Body>())
    });
    tokio::spawn(async move {
        let _ = Server::builder().serve_with_incoming(service, incoming).await;
    })
}

async fn call(channel: Channel) -> tonic::Status {
    let mut client = tonic::client::Grpc::new(channel);
    if let Err(error) = client.ready().await {
        return tonic::Status::unavailable(error.to_string());
    }
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    client
        .unary(tonic::Request::new(()), http::uri::PathAndQuery::from_static("/x/y"), codec)
        .await
        .unwrap_err()
}

fn tls(address: SocketAddr, identity: ClientIdentity) -> Dialer {
    Dialer::Tls {
        host: address.ip().to_string(),
        port: address.port(),
        identity: Arc::new(identity),
    }
}

fn tcp(address: SocketAddr) -> Dialer {
    Dialer::Tcp { host: address.ip().to_string(), port: address.port() }
}

async fn failure(dialer: &Dialer) -> String {
    dialer.connect(PATIENCE).await.unwrap_err().to_string()
}

#[tokio::test]
async fn who_may_command_an_agent_and_who_may_not() {
    let fleet = Fleet::new();
    let ours = |leaf: Leaf| RawClient::with(fleet.coordinators.issue(&leaf));
    let good = || Leaf::coordinator("lab");
    let plain = ours(good());
    let hour = time::Duration::hours(1);
    let wrong_issuer = "its certificate is not from the coordinators' issuer";

    // Who, what the agent logs, what the client sees.
    let refused = [
        (
            "no certificate",
            RawClient { certificate: None, ..plain.clone() },
            "it showed no certificate",
            "CertificateRequired",
        ),
        (
            "another issuer",
            RawClient::with(Ca::new("strangers").issue(&good())),
            wrong_issuer,
            "UnknownCA",
        ),
        (
            "another issuer of the same name",
            RawClient::with(Ca::new("coordinators").issue(&good())),
            wrong_issuer,
            "UnknownCA",
        ),
        (
            "expired",
            ours(good().but(|leaf| (leaf.from, leaf.until) = (-hour * 2, -hour))),
            "its certificate has expired; issue another",
            "CertificateExpired",
        ),
        (
            "not yet valid",
            ours(good().but(|leaf| (leaf.from, leaf.until) = (hour, hour * 2))),
            "its certificate is not valid yet; compare the clocks",
            "CertificateExpired",
        ),
        (
            "an agent's own certificate",
            RawClient::with(fleet.agents.issue(&Leaf::agent("gpu-1"))),
            "its certificate is not for this role",
            "UnsupportedCertificate",
        ),
        (
            "a coordinator's certificate from the agents' issuer",
            RawClient::with(fleet.agents.issue(&good())),
            wrong_issuer,
            "UnknownCA",
        ),
        (
            "an agent's certificate from the coordinators' issuer",
            ours(Leaf::agent("gpu-1")),
            "its certificate is not for this role",
            "UnsupportedCertificate",
        ),
        (
            "the same, good for clients too",
            ours(Leaf::agent("gpu-1").but(|leaf| {
                leaf.usages.push(ExtendedKeyUsagePurpose::ClientAuth);
            })),
            "the certificate is the one of agent gpu-1, not a certificate for coordinators",
            "CertificateUnknown",
        ),
        (
            "no extended key usage",
            ours(good().but(|leaf| leaf.usages.clear())),
            "the certificate of coordinator lab does not carry the extended key usage clientAuth",
            "CertificateUnknown",
        ),
        (
            "no identity",
            ours(good().but(|leaf| leaf.uris = vec!["https://lab".to_owned()])),
            "the certificate does not carry exactly one URI floodmark://ROLE/NAME",
            "CertificateUnknown",
        ),
        (
            "two identities",
            ours(good().but(|leaf| leaf.uris.push("floodmark://coordinator/b".to_owned()))),
            "the certificate does not carry exactly one URI floodmark://ROLE/NAME",
            "CertificateUnknown",
        ),
        (
            "a name that is not permitted",
            ours(Leaf::coordinator("intern")),
            "intern is not among the coordinators that this agent permits",
            "CertificateUnknown",
        ),
        (
            "TLS 1.2",
            RawClient { versions: TLS12, ..plain.clone() },
            "it does not speak TLS 1.3",
            "ProtocolVersion",
        ),
        (
            "another protocol inside TLS",
            RawClient { alpn: b"http/1.1", ..plain.clone() },
            "it does not offer HTTP/2",
            "NoApplicationProtocol",
        ),
        (
            "no protocol named inside TLS",
            RawClient { alpn: b"", ..plain.clone() },
            "it does not offer HTTP/2",
            "close",
        ),
    ];

    let identity = fleet.agent(Some(&["lab", "ci"]));
    let listener = listen(LOCAL, Some(identity.clone())).unwrap();
    let address = listener.local_addr();
    let (reached, mut handlers) = tokio::sync::mpsc::channel(16);
    let agent = tokio::spawn(greet(listener.into_incoming(), reached));
    for (who, client, logged, seen) in refused {
        let outcome = timeout(PATIENCE, client.reach(address, &fleet.agents)).await.unwrap();
        let error = outcome.expect_err(who);
        assert!(error.contains(seen), "{who}: client sees {error}");
        assert!(handlers.try_recv().is_err(), "{who} reached a handler");
        let reason = logged_reason(&identity, async |address| {
            let _ = client.reach(address, &fleet.agents).await;
        });
        assert_eq!(reason.await, logged, "{who}");
    }

    plain.reach(address, &fleet.agents).await.unwrap();
    let peer = handlers.recv().await.unwrap();
    let Peer::Certified { role, name, .. } = &peer else {
        panic!("{peer:?}");
    };
    assert_eq!((*role, name.as_str()), (Role::Coordinator, "lab"));
    agent.abort();
}

/// What an agent would log about a client.
async fn logged_reason(identity: &Identity, client: impl AsyncFnOnce(SocketAddr)) -> String {
    let socket = TcpListener::bind(LOCAL).await.unwrap();
    let address = socket.local_addr().unwrap();
    let mut handshakes = Handshakes::default();
    let agent = async {
        let (stream, from) = socket.accept().await.unwrap();
        let acceptor = TlsAcceptor::from(Arc::clone(&identity.tls));
        handshakes.start(acceptor, stream, from).unwrap();
        poll_fn(|cx| handshakes.poll_ended(cx)).await
    };
    let (ended, ()) =
        timeout(PATIENCE, async { tokio::join!(agent, client(address)) }).await.unwrap();
    match ended.unwrap() {
        Ok(_) => "let in".to_owned(),
        Err(refusal) => refusal.reason,
    }
}

#[tokio::test]
async fn a_client_that_does_not_speak_tls_is_refused() {
    let fleet = Fleet::new();
    let identity = fleet.agent(None);
    let reason = logged_reason(&identity, async |address| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    });
    assert_eq!(reason.await, "it does not speak TLS");
}

#[tokio::test]
async fn a_coordinator_takes_only_an_agent_for_an_agent() {
    let fleet = Fleet::new();
    let hour = time::Duration::hours(1);
    let agents = |leaf: Leaf| fleet.agents.issue(&leaf);
    let cases = [
        (
            fleet.coordinators.issue(&Leaf::coordinator("lab")),
            "its certificate is not for this role",
        ),
        (
            fleet.coordinators.issue(&Leaf::agent("gpu-1")),
            "its certificate is not from the agents' issuer (--tls-ca)",
        ),
        (
            agents(Leaf::coordinator("lab").but(|leaf| {
                leaf.usages.push(ExtendedKeyUsagePurpose::ServerAuth);
                leaf.dns.push(AGENT_DNS_NAME.to_owned());
            })),
            "the certificate is the one of coordinator lab, not a certificate for agents",
        ),
        (
            agents(Leaf::agent("gpu-1").but(|leaf| leaf.usages.clear())),
            "the certificate of agent gpu-1 does not carry the extended key usage serverAuth",
        ),
        (
            agents(Leaf::agent("gpu-1").but(|leaf| leaf.dns = vec!["gpu-1.lan".to_owned()])),
            "its certificate is not an agent's",
        ),
        (
            agents(Leaf::agent("gpu-1").but(|leaf| (leaf.from, leaf.until) = (-hour * 2, -hour))),
            "its certificate has expired; issue another",
        ),
    ];
    for (certificate, reason) in cases {
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(certificate.chain(), certificate.key())
                .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let socket = TcpListener::bind(LOCAL).await.unwrap();
        let address = socket.local_addr().unwrap();
        let impostor = tokio::spawn(async move {
            let (stream, _) = socket.accept().await.unwrap();
            let _ = TlsAcceptor::from(Arc::new(config)).accept(stream).await;
        });
        let error = failure(&tls(address, fleet.coordinator("lab"))).await;
        assert_eq!(error, format!("agent {address}: {reason}"));
        impostor.await.unwrap();
    }
}

#[tokio::test]
async fn grpc_runs_over_every_link_and_sees_its_peer() {
    let fleet = Fleet::new();

    let (dialer, incoming) = memory();
    let agent = serve(incoming);
    let (channel, certificate) = Dialer::Memory(dialer).connect(PATIENCE).await.unwrap();
    assert_eq!(certificate, None);
    assert_eq!(call(channel).await.message(), "this process");
    agent.abort();

    let listener = listen(LOCAL, None).unwrap();
    let address = listener.local_addr();
    let agent = serve(listener.into_incoming());
    let (channel, certificate) = tcp(address).connect(PATIENCE).await.unwrap();
    assert_eq!(certificate, None);
    let status = call(channel).await;
    assert_eq!(status.code(), tonic::Code::Unimplemented);
    assert!(status.message().ends_with("(no certificate)"), "{status}");
    agent.abort();

    let listener = listen(LOCAL, Some(fleet.agent(None))).unwrap();
    let address = listener.local_addr();
    let agent = serve(listener.into_incoming());
    let dialer = tls(address, fleet.coordinator("lab"));
    let (channel, certificate) = dialer.connect(PATIENCE).await.unwrap();
    let certificate = certificate.unwrap();
    assert_eq!(certificate.role, Role::Agent);
    assert_eq!(certificate.name.as_str(), "gpu-1");
    let status = call(channel).await;
    assert!(status.message().starts_with("coordinator lab at 127.0.0.1:"), "{status}");
    agent.abort();
}

#[tokio::test]
async fn a_refused_coordinator_is_told_why() {
    let fleet = Fleet::new();
    let listener = listen(LOCAL, Some(fleet.agent(Some(&["lab"])))).unwrap();
    let address = listener.local_addr();
    let agent = serve(listener.into_incoming());

    let intern = failure(&tls(address, fleet.coordinator("intern"))).await;
    assert_eq!(
        intern,
        format!(
            "agent {address}: it refused this coordinator: the certificate is not for this role, \
             or its name is not permitted; its log says which"
        )
    );
    let own = Ca::new("strangers").issue(&Leaf::coordinator("lab"));
    let stranger = Files::new(&own, &fleet.agents).coordinator().unwrap();
    assert_eq!(
        failure(&tls(address, stranger)).await,
        format!(
            "agent {address}: it refused this coordinator: the certificate is not from the issuer \
             it trusts"
        )
    );
    assert_eq!(
        failure(&tcp(address)).await,
        format!("agent {address}: it demands TLS; give --tls-cert, --tls-key and --tls-ca")
    );
    agent.abort();
}

#[tokio::test]
async fn whatever_is_not_an_agent_is_named_for_what_it_is() {
    let fleet = Fleet::new();

    let listener = listen(LOCAL, None).unwrap();
    let address = listener.local_addr();
    let agent = serve(listener.into_incoming());
    let error = failure(&tls(address, fleet.coordinator("lab"))).await;
    assert!(error.contains("it does not speak TLS; is it an agent"), "{error}");
    agent.abort();

    let socket = TcpListener::bind(LOCAL).await.unwrap();
    let address = socket.local_addr().unwrap();
    let web_server = tokio::spawn(async move {
        let (mut stream, _) = socket.accept().await.unwrap();
        let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let error = failure(&tcp(address)).await;
    assert!(error.contains("does not speak HTTP/2"), "{error}");
    web_server.abort();

    let socket = TcpListener::bind(LOCAL).await.unwrap();
    let address = socket.local_addr().unwrap();
    let hanging_up = tokio::spawn(async move {
        drop(socket.accept().await.unwrap());
        drop(socket);
    });
    let error = tcp(address).connect(PATIENCE).await.unwrap_err();
    assert!(matches!(error, LinkError::NotAnAgent { .. } | LinkError::Tls { .. }), "{error}");
    hanging_up.await.unwrap();
    let error = tcp(address).connect(PATIENCE).await.unwrap_err();
    assert!(matches!(error, LinkError::Refused { .. }), "{error}");

    let silent = TcpListener::bind(LOCAL).await.unwrap();
    let dialer = tcp(silent.local_addr().unwrap());
    let error = dialer.connect(Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, LinkError::Timeout { .. }), "{error}");

    let nowhere = Dialer::Tcp { host: "not a host name".to_owned(), port: 1 };
    let error = nowhere.connect(PATIENCE).await.unwrap_err();
    assert!(matches!(error, LinkError::Resolve { .. }), "{error}");
}

#[tokio::test]
async fn without_certificates_a_link_does_not_leave_this_host() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7070", "[::ffff:192.0.2.1]:7070"] {
        let address: SocketAddr = address.parse().unwrap();
        let error = listen(address, None).err().unwrap().to_string();
        for needed in [
            "floodmark pki init",
            "floodmark pki issue agent NAME",
            "tls_cert, tls_key and tls_ca",
            "--tls-cert, --tls-key, --tls-ca",
        ] {
            assert!(error.contains(needed), "{error}");
        }
        let error = tcp(address).connect(PATIENCE).await.unwrap_err();
        assert!(matches!(error, LinkError::DialNeedsCertificates { .. }), "{error}");
    }
}

#[tokio::test]
async fn memory_is_dialled_as_often_as_one_likes() {
    let (dialer, incoming) = memory();
    let agent = serve(incoming);
    for _ in 0..100 {
        let (channel, _) = Dialer::Memory(dialer.clone()).connect(PATIENCE).await.unwrap();
        assert_eq!(call(channel).await.message(), "this process");
    }
    agent.abort();
    let _ = agent.await;
    assert_eq!(failure(&Dialer::Memory(dialer)).await, "agent embedded: it has stopped");
}

#[tokio::test]
async fn a_lost_connection_is_not_made_again_behind_our_back() {
    /// An empty SETTINGS frame: all that an HTTP/2 server must say to begin.
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let listener = listen(LOCAL, None).unwrap();
    let dialer = tcp(listener.local_addr());
    let mut incoming = listener.into_incoming();
    let (dialled, connection) = tokio::join!(dialer.connect(PATIENCE), async {
        let mut connection = incoming.next().await.unwrap().unwrap();
        connection.write_all(&SETTINGS).await.unwrap();
        connection
    });
    let (channel, _) = dialled.unwrap();
    drop(connection);
    let calls = async {
        for _ in 0..10 {
            let status = timeout(PATIENCE, call(channel.clone())).await.unwrap();
            assert_ne!(status.code(), tonic::Code::Unimplemented);
        }
    };
    tokio::select! {
        () = calls => {}
        _ = incoming.next() => panic!("the channel dialled again"),
    }
}

#[tokio::test]
async fn open_connections_are_bounded_and_their_places_come_back() {
    let listener = listen(LOCAL, None).unwrap();
    let address = listener.local_addr();
    let mut incoming = listener.into_incoming();
    let mut clients = Vec::new();
    let mut open = Vec::new();
    for _ in 0..32 {
        clients.push(TcpStream::connect(address).await.unwrap());
        open.push(incoming.next().await.unwrap().unwrap());
    }

    let mut one_too_many = TcpStream::connect(address).await.unwrap();
    let mut nothing = Vec::new();
    tokio::select! {
        closed = one_too_many.read_to_end(&mut nothing) => assert_eq!(closed.unwrap_or(0), 0),
        _ = incoming.next() => panic!("let in beyond the bound"),
    }

    open.pop();
    clients.push(TcpStream::connect(address).await.unwrap());
    assert!(incoming.next().await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_half_open_handshakes_keeps_no_coordinator_out() {
    /// As many as a process of 1,024 file descriptors can hold at both ends.
    const FLOOD: usize = 400;
    let fleet = Fleet::new();
    let listener = listen(LOCAL, Some(fleet.agent(None))).unwrap();
    let address = listener.local_addr();
    let agent = serve(listener.into_incoming());

    let flood = tokio::spawn(async move {
        let mut half_open = Vec::new();
        for number in 0..FLOOD {
            let mut stream = TcpStream::connect(address).await.unwrap();
            if number % 8 == 0 {
                // The head of a handshake record that never goes on.
                let _ = stream.write_all(&[22, 3, 1, 1, 0]).await;
            }
            half_open.push(stream);
        }
        half_open
    });
    let dialer = tls(address, fleet.coordinator("lab"));
    let during = dialer.connect(Duration::from_secs(2)).await;
    let half_open = flood.await.unwrap();
    let after = dialer.connect(Duration::from_secs(2)).await;
    assert_eq!(half_open.len(), FLOOD);
    assert!(during.is_ok(), "{}", during.unwrap_err());
    assert!(after.is_ok(), "{}", after.unwrap_err());
    agent.abort();
}

#[test]
fn every_bad_file_is_named() {
    let fleet = Fleet::new();
    let agent = fleet.agents.issue(&Leaf::agent("gpu-1"));
    let good = Files::new(&agent, &fleet.coordinators);
    let text = |path: &std::path::Path| std::fs::read_to_string(path).unwrap();
    let (cert, key, ca) = (text(&good.cert), text(&good.key), text(&good.ca));
    let other = Files::new(&fleet.agents.issue(&Leaf::agent("b")), &fleet.coordinators);
    assert!(good.agent(None).is_ok());

    let cases = [
        (Files::of("", &key, &ca), "cert.pem holds no usable certificate"),
        (Files::of(&cert, "nonsense", &ca), "cert.key holds no usable private key"),
        (Files::of(&cert, &key, &key), "ca.pem holds no usable certificate"),
        (Files::of(&cert, &text(&other.key), &ca), "cert.key do not belong together"),
        (
            Files::of(&ca, &key, &ca),
            "cert.pem cannot be used here: the certificate does not carry exactly one URI",
        ),
    ];
    for (files, message) in cases {
        let error = files.agent(None).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }

    let swapped = good.coordinator().unwrap_err().to_string();
    assert!(
        swapped.ends_with(
            "the certificate is the one of agent gpu-1, not a certificate for coordinators"
        ),
        "{swapped}"
    );

    std::fs::remove_file(&good.key).unwrap();
    let missing = good.agent(None).unwrap_err();
    assert!(matches!(missing, LinkError::File { .. }), "{missing}");
    assert!(missing.to_string().contains("cert.key"), "{missing}");
}
