//! Who is trusted, in rustls's terms: TLS 1.3 only, both sides certified, the issuer's signature
//! first and then our own check of role, usage and name.

use std::collections::BTreeSet;
use std::sync::Arc;

use common::ids::Name;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    RootCertStore, ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use super::certificate::{self, CertificateFault};
use crate::message::Role;

/// What HTTP/2 is called in a TLS handshake.
pub(super) const ALPN_H2: &[u8] = b"h2";

/// A verifier that could not be made of a set of issuers.
pub(super) type VerifierError = rustls::server::VerifierBuilderError;

/// Takes coordinators only, and only those of `permitted` if that is given.
pub(super) fn coordinators_only(
    issuers: RootCertStore,
    permitted: Option<BTreeSet<Name>>,
) -> Result<Arc<dyn ClientCertVerifier>, VerifierError> {
    let chain =
        WebPkiClientVerifier::builder_with_provider(Arc::new(issuers), provider()).build()?;
    Ok(Arc::new(CoordinatorsOnly { chain, permitted }))
}

/// Takes agents only.
pub(super) fn agents_only(
    issuers: RootCertStore,
) -> Result<Arc<dyn ServerCertVerifier>, VerifierError> {
    let chain =
        WebPkiServerVerifier::builder_with_provider(Arc::new(issuers), provider()).build()?;
    Ok(Arc::new(AgentsOnly { chain }))
}

/// An agent's side. Nothing is resumed: every connection is verified anew.
pub(super) fn server(
    verifier: Arc<dyn ClientCertVerifier>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// A coordinator's side.
pub(super) fn client(
    verifier: Arc<dyn ServerCertVerifier>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// To webpki, an issuer of the right name with another key is a bad signature. The issuers of two
/// fleets have equal names, and to people that is simply the wrong issuer.
fn same_name_other_key(error: Error) -> Error {
    if error == Error::InvalidCertificate(CertificateError::BadSignature) {
        Error::InvalidCertificate(CertificateError::UnknownIssuer)
    } else {
        error
    }
}

fn refusal(fault: CertificateFault) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(fault))))
}

#[derive(Debug)]
struct CoordinatorsOnly {
    chain: Arc<dyn ClientCertVerifier>,
    permitted: Option<BTreeSet<Name>>,
}

impl ClientCertVerifier for CoordinatorsOnly {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .chain
            .verify_client_cert(end_entity, intermediates, now)
            .map_err(same_name_other_key)?;
        certificate::check(end_entity, Role::Coordinator, self.permitted.as_ref())
            .map_err(refusal)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

#[derive(Debug)]
struct AgentsOnly {
    chain: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for AgentsOnly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self
            .chain
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            .map_err(same_name_other_key)?;
        certificate::check(end_entity, Role::Agent, None).map_err(refusal)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
