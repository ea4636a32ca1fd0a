//! How TLS is spoken to a target: whom its certificate is checked against, and with what a target is
//! answered that asks for one.

use std::sync::Arc;

use common::target::{BaseUrl, Host, Http, Target};
use common::trust::Authorities;
use proto::secrets::ClientCertificate;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use secrecy::ExposeSecret as _;
use tokio_rustls::TlsConnector;

use crate::load::Tls;

/// What is the same for all base URLs of a target.
///
/// # Errors
/// What cannot be used, by its key in the campaign.
pub(crate) fn config(
    target: &Target,
    client: Option<&ClientCertificate>,
) -> Result<Arc<ClientConfig>, String> {
    let roots = match &target.authorities {
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        Some(authorities) => roots(authorities)?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let mut config = match client {
        None => config.with_no_client_auth(),
        Some(client) => {
            let (chain, key) = pair(client)?;
            let unusable = |error| format!("target.tls.cert and key cannot be used: {error}");
            config.with_client_auth_cert(chain, key).map_err(unusable)?
        }
    };
    config.alpn_protocols = match target.http {
        Http::V1 => vec![b"http/1.1".to_vec()],
        Http::V2 => vec![b"h2".to_vec()],
    };
    Ok(Arc::new(config))
}

/// The way to one of them.
///
/// # Errors
/// If its host can stand in no certificate.
pub(crate) fn to(url: &BaseUrl, config: &Arc<ClientConfig>) -> Result<Tls, String> {
    let name = match &url.host {
        Host::Name(name) => ServerName::try_from(name.clone()).map_err(|e| e.to_string())?,
        Host::V4(address) => ServerName::IpAddress((*address).into()),
        Host::V6(address) => ServerName::IpAddress((*address).into()),
    };
    Ok(Tls { connector: TlsConnector::from(Arc::clone(config)), name })
}

fn roots(authorities: &Authorities) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let unread = |why: String| format!("a certificate of target.tls.ca cannot be read: {why}");
    for certificate in CertificateDer::pem_slice_iter(authorities.pem().as_bytes()) {
        let certificate = certificate.map_err(|error| unread(error.to_string()))?;
        roots.add(certificate).map_err(|error| unread(error.to_string()))?;
    }
    if roots.is_empty() { Err(unread("it has no end".to_owned())) } else { Ok(roots) }
}

type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn pair(client: &ClientCertificate) -> Result<Pair, String> {
    let chain = CertificateDer::pem_slice_iter(client.chain.as_bytes()).collect::<Result<_, _>>();
    let chain = chain.map_err(|error| format!("target.tls.cert cannot be read: {error}"))?;
    // Errors of a key never show any of it.
    let key = PrivateKeyDer::from_pem_slice(client.key.expose_secret().as_bytes())
        .map_err(|_| "target.tls.key holds no private key in PEM".to_owned())?;
    Ok((chain, key))
}
