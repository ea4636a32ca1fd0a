//! Certificate files to TLS configurations. Files are read once, when they are loaded.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::ids::Name;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::certificate;
use super::error::LinkError;
use super::tls;
use crate::message::Role;

/// What an agent needs to listen beyond this host.
#[derive(Clone, Debug)]
pub struct Identity {
    pub(super) tls: Arc<ServerConfig>,
}

impl Identity {
    /// Reads an agent's certificate chain and key, and the issuer of the coordinators that may
    /// command it; of those, only `permitted` if that is given.
    pub fn load(
        cert: &Path,
        key: &Path,
        ca: &Path,
        permitted: Option<BTreeSet<Name>>,
    ) -> Result<Self, LinkError> {
        let files = Files::load(cert, key, ca, Role::Agent)?;
        let verifier = tls::coordinators_only(files.issuers, permitted)
            .map_err(|error| unusable_issuers(ca, &error))?;
        let config = tls::server(verifier, files.chain, files.key)
            .map_err(|source| mismatch(cert, key, source))?;
        Ok(Self { tls: Arc::new(config) })
    }
}

/// What a coordinator needs to dial beyond this host.
#[derive(Clone, Debug)]
pub struct ClientIdentity {
    pub(super) tls: Arc<ClientConfig>,
}

impl ClientIdentity {
    /// Reads a coordinator's certificate chain and key, and the issuer of the agents that it may
    /// command.
    pub fn load(cert: &Path, key: &Path, ca: &Path) -> Result<Self, LinkError> {
        let files = Files::load(cert, key, ca, Role::Coordinator)?;
        let verifier =
            tls::agents_only(files.issuers).map_err(|error| unusable_issuers(ca, &error))?;
        let config = tls::client(verifier, files.chain, files.key)
            .map_err(|source| mismatch(cert, key, source))?;
        Ok(Self { tls: Arc::new(config) })
    }
}

struct Files {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    issuers: RootCertStore,
}

impl Files {
    fn load(cert: &Path, key: &Path, ca: &Path, role: Role) -> Result<Self, LinkError> {
        let chain = certificates(cert)?;
        if let Some(leaf) = chain.first() {
            certificate::check(leaf, role, None)
                .map_err(|fault| LinkError::WrongCertificate { path: cert.to_owned(), fault })?;
        }
        let mut issuers = RootCertStore::empty();
        for issuer in certificates(ca)? {
            issuers.add(issuer).map_err(|error| unusable_issuers(ca, &error))?;
        }
        Ok(Self { chain, key: private_key(key)?, issuers })
    }
}

/// All certificates of a file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, LinkError> {
    let unusable = || LinkError::Pem { path: path.to_owned(), wanted: "certificate" };
    let certificates = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| unusable())?;
    if certificates.is_empty() {
        return Err(unusable());
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, LinkError> {
    let key = PrivateKeyDer::from_pem_slice(&read(path)?)
        .map_err(|_| LinkError::Pem { path: path.to_owned(), wanted: "private key" })?;
    warn_if_public(path);
    Ok(key)
}

/// Logs a warning where the file of a private key is open to everybody. Group bits are left alone:
/// that is how systemd and Kubernetes hand a key to a service.
#[cfg(unix)]
pub fn warn_if_public(path: &Path) {
    use std::os::unix::fs::PermissionsExt;

    let others = fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o007 != 0);
    if others {
        tracing::warn!(
            file = %path.display(),
            "this private key is open to every user of the host; do: chmod 600"
        );
    }
}

/// Nothing is known here of who can read a file.
#[cfg(not(unix))]
pub fn warn_if_public(_path: &Path) {}

fn read(path: &Path) -> Result<Vec<u8>, LinkError> {
    fs::read(path).map_err(|source| LinkError::File { path: path.to_owned(), source })
}

fn unusable_issuers(path: &Path, reason: &impl ToString) -> LinkError {
    LinkError::Issuers { path: path.to_owned(), reason: reason.to_string() }
}

fn mismatch(cert: &Path, key: &Path, source: rustls::Error) -> LinkError {
    LinkError::Pair { cert: cert.to_owned(), key: key.to_owned(), source }
}
