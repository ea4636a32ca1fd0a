//! TLS in front of a simulator, with a certificate of an authority that nobody knows.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::server::{WantsServerCert, WebPkiClientVerifier};
use rustls::{ConfigBuilder, RootCertStore, ServerConfig};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A server that ends TLS, for as long as the test's process lives.
#[derive(Debug)]
pub struct Front {
    /// Where it listens.
    pub address: SocketAddr,
    /// The authority that its certificate is of, in PEM.
    pub authority: String,
}

/// Ends TLS for `127.0.0.1` in front of `plain`.
pub fn front(plain: SocketAddr) -> Front {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth();
    end_tls(plain, config)
}

/// A certificate of a client with its key, and one of another authority with its own, in PEM.
#[derive(Debug)]
pub struct Client {
    /// The certificate.
    pub cert: String,
    /// Its key.
    pub key: String,
}

/// Ends TLS in front of `plain` for clients with a certificate of one authority; gives such a client,
/// and one of another.
pub fn front_for_clients(plain: SocketAddr) -> (Front, Client, Client) {
    let client = || {
        let (root, issuer) = authority();
        let key = KeyPair::generate().expect("a key");
        let own = CertificateParams::new(vec!["client".to_owned()]).expect("a name");
        let cert = own.signed_by(&key, &issuer).expect("a certificate").pem();
        (root, Client { cert, key: key.serialize_pem() })
    };
    let ((known, client), (_, stranger)) = (client(), client());
    let mut roots = RootCertStore::empty();
    roots.add(known.der().clone()).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .expect("a verifier");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier);
    (end_tls(plain, config), client, stranger)
}

fn end_tls(plain: SocketAddr, config: ConfigBuilder<ServerConfig, WantsServerCert>) -> Front {
    let (config, authority) = certificate(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            let acceptor = TlsAcceptor::from(config);
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Ok(mut outside) = acceptor.accept(socket).await
                        && let Ok(mut inside) = TcpStream::connect(plain).await
                    {
                        // Either side may leave as it likes.
                        let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                    }
                });
            }
        });
    });
    Front { address, authority }
}

fn authority() -> (Certificate, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().expect("a key");
    let mut root = CertificateParams::new(Vec::new()).expect("no names");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = root.self_signed(&key).expect("a certificate");
    (authority, Issuer::new(root, key))
}

/// A certificate for `127.0.0.1`, and the authority that vouches for it. Both versions of HTTP are
/// offered: whatever is spoken passes through.
fn certificate(
    config: ConfigBuilder<ServerConfig, WantsServerCert>,
) -> (Arc<ServerConfig>, String) {
    let (root, issuer) = authority();
    let key = KeyPair::generate().expect("a key");
    let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    let own = own.signed_by(&key, &issuer).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let config = config.with_single_cert(vec![own.der().clone()], key);
    let mut config = config.expect("a certificate with its key");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (Arc::new(config), root.pem())
}
