//! Tests: an `https` target is loaded over the same path as an `http` one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::outcome::Failure;
use common::tally::Tally;
use proto::secrets::Secrets;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{PrivatePkcs8KeyDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::worker::{Worker, WorkerOrder};
use super::{LevelPlan, Route, Tls};
use crate::clock::Clock;
use crate::compose::Composers;
use crate::lease::Lease;
use crate::sim::{self, Profile};
use crate::testing::assignment;

/// A certificate for `localhost`, and the roots that vouch for it.
pub(super) fn certificate() -> (Arc<ServerConfig>, RootCertStore) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .unwrap();
    (Arc::new(config), roots)
}

/// How a client speaks TLS that trusts these roots.
pub(super) fn client(roots: RootCertStore) -> Tls {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Tls {
        connector: TlsConnector::from(Arc::new(config)),
        name: ServerName::try_from("localhost").unwrap(),
    }
}

/// Ends TLS in front of `plain`; gives where, and the roots that vouch for it.
pub(super) fn tls_front(plain: SocketAddr) -> (SocketAddr, RootCertStore) {
    let (config, roots) = certificate();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let acceptor = TlsAcceptor::from(config);
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut outside) = acceptor.accept(socket).await else {
                        return;
                    };
                    let mut inside = TcpStream::connect(plain).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                });
            }
        });
    });
    (address, roots)
}

/// Runs the sample assignment against `address` and gives what one worker recorded.
fn load(address: SocketAddr, roots: RootCertStore) -> Tally {
    let assignment = assignment(&format!("https://localhost:{}", address.port()));
    let plan = LevelPlan {
        composer: Composers::new(&assignment, &Secrets::default()),
        assignment,
        routes: vec![Route {
            addresses: vec![address],
            sources: Vec::new(),
            tls: Some(client(roots)),
        }],
        lease: Lease::grant(Clock::boottime_ns()).deadline().clone(),
    };
    let clock = Clock::start();
    let (reports, mut inbox) = mpsc::channel(64);
    let worker = Worker::start(0, 1, None, clock, reports).unwrap();
    let fire = clock.now() + Duration::from_millis(50);
    assert!(worker.order(WorkerOrder::Run { plan: Arc::new(plan), fire }));
    loop {
        let report = inbox.blocking_recv().unwrap();
        if report.end.is_some() {
            return *report.tally;
        }
    }
}

#[test]
fn every_request_over_tls_is_accounted_for() {
    let profile = Profile {
        ttft: Duration::from_millis(2),
        itl: Duration::from_millis(1),
        ..Profile::default()
    };
    let server = sim::spawn("127.0.0.1:0".parse().unwrap(), profile).unwrap();
    let (address, roots) = tls_front(server.address());
    let tally = load(address, roots);
    assert_eq!(tally.check_sealed(), Ok(()));
    assert_eq!((tally.counts.started, tally.counts.succeeded), (6, 6));
    let truth = server.ledger();
    server.stop();
    let totals = truth.totals();
    assert_eq!(totals.received, 6);
    assert_eq!(totals.completion_tokens, tally.tokens.completion);
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_a_class_of_its_own() {
    let server = sim::spawn("127.0.0.1:0".parse().unwrap(), Profile::default()).unwrap();
    let (address, _) = tls_front(server.address());
    let tally = load(address, RootCertStore::empty());
    assert_eq!(tally.counts.failed_by(Failure::Tls), 6);
    assert_eq!(server.ledger().totals().received, 0);
}
