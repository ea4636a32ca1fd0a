//! Role and name in a certificate. Whether to trust its issuer is decided elsewhere.

use std::collections::BTreeSet;

use common::digest::Digest;
use common::ids::Name;
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::message::Role;

/// The name in DNS that every agent's certificate carries, whatever host it runs on.
pub const AGENT_DNS_NAME: &str = "agent.floodmark.internal";

const URI_SCHEME: &str = "floodmark://";

/// The URI that makes a certificate the one of `name` in `role`.
pub fn identity_uri(role: Role, name: &Name) -> String {
    format!("{URI_SCHEME}{role}/{name}")
}

/// What a certificate says about its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// What its holder may be.
    pub role: Role,
    /// Its holder's name.
    pub name: Name,
    /// SHA-256 of the certificate.
    pub fingerprint: Digest,
}

/// Why a certificate of a trusted issuer is not good enough.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// Not an X.509 certificate, or with contradicting extensions.
    #[error("the certificate cannot be read")]
    Malformed,
    /// Without an identity of ours, or with several.
    #[error("the certificate does not carry exactly one URI floodmark://ROLE/NAME")]
    Identity,
    /// Made for the other side.
    #[error("the certificate is the one of {actual} {name}, not a certificate for {wanted}s")]
    Role {
        /// The role it must have.
        wanted: Role,
        /// The role it has.
        actual: Role,
        /// The name in it.
        name: Name,
    },
    /// The extended key usage for its role is not there.
    #[error("the certificate of {role} {name} does not carry the extended key usage {usage}")]
    Usage {
        /// The role in it.
        role: Role,
        /// The name in it.
        name: Name,
        /// The usage that its role demands.
        usage: &'static str,
    },
    /// A coordinator that this agent does not know.
    #[error("{name} is not among the coordinators that this agent permits")]
    NotPermitted {
        /// The name in the certificate.
        name: Name,
    },
}

/// Reads a certificate and checks that its holder is a `wanted`, and one of `permitted`.
pub(super) fn check(
    der: &CertificateDer<'_>,
    wanted: Role,
    permitted: Option<&BTreeSet<Name>>,
) -> Result<PeerCertificate, CertificateFault> {
    let certificate = read(der)?;
    if certificate.role != wanted {
        return Err(CertificateFault::Role {
            wanted,
            actual: certificate.role,
            name: certificate.name,
        });
    }
    if permitted.is_some_and(|names| !names.contains(&certificate.name)) {
        return Err(CertificateFault::NotPermitted { name: certificate.name });
    }
    Ok(certificate)
}

fn read(der: &CertificateDer<'_>) -> Result<PeerCertificate, CertificateFault> {
    let (rest, parsed) = X509Certificate::from_der(der).map_err(|_| CertificateFault::Malformed)?;
    if !rest.is_empty() {
        return Err(CertificateFault::Malformed);
    }
    let (role, name) = identity(&parsed)?;
    // webpki takes a certificate without this extension as good for everything.
    let usage = parsed
        .extended_key_usage()
        .map_err(|_| CertificateFault::Malformed)?
        .map(|extension| extension.value);
    let (usage_name, present) = match role {
        Role::Coordinator => ("clientAuth", usage.is_some_and(|usage| usage.client_auth)),
        Role::Agent => ("serverAuth", usage.is_some_and(|usage| usage.server_auth)),
    };
    if !present {
        return Err(CertificateFault::Usage { role, name, usage: usage_name });
    }
    Ok(PeerCertificate { role, name, fingerprint: Digest::of(der) })
}

fn identity(parsed: &X509Certificate<'_>) -> Result<(Role, Name), CertificateFault> {
    let names = parsed
        .subject_alternative_name()
        .map_err(|_| CertificateFault::Malformed)?
        .ok_or(CertificateFault::Identity)?;
    let mut uris = names
        .value
        .general_names
        .iter()
        .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => parse_identity(uri).ok_or(CertificateFault::Identity),
        (None, _) | (Some(_), Some(_)) => Err(CertificateFault::Identity),
    }
}

fn parse_identity(uri: &str) -> Option<(Role, Name)> {
    let (role, name) = uri.strip_prefix(URI_SCHEME)?.split_once('/')?;
    let role = [Role::Coordinator, Role::Agent].into_iter().find(|known| known.name() == role)?;
    Some((role, name.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_identity_survives_its_uri(name in "[A-Za-z0-9][A-Za-z0-9._-]{0,63}", agent: bool) {
            let role = if agent { Role::Agent } else { Role::Coordinator };
            let name: Name = name.parse().unwrap();
            prop_assert_eq!(parse_identity(&identity_uri(role, &name)), Some((role, name)));
        }

        #[test]
        fn hostile_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            prop_assert!(check(&CertificateDer::from(bytes), Role::Agent, None).is_err());
        }
    }

    #[test]
    fn only_our_own_form_is_an_identity() {
        for bad in [
            "floodmark://coordinator/",
            "floodmark://coordinator/a/b",
            "floodmark://Coordinator/a",
            "floodmark://root/a",
            "floodmark:coordinator/a",
            "https://coordinator/a",
            "floodmark://coordinator/a?x",
            " floodmark://coordinator/a",
        ] {
            assert_eq!(parse_identity(bad), None, "{bad}");
        }
    }
}
