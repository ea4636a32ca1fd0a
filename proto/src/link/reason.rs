//! TLS failures in plain words. What rustls says is for people who know TLS; these are for people
//! who run a fleet.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// What an agent logs about a client that it refused.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "rustls's errors are many and may grow; those that need other words are listed"
)]
pub(super) fn of_refused_client(error: &io::Error) -> String {
    let Some(error) = tls_error(error) else {
        return format!("the connection broke during the TLS handshake: {error}");
    };
    match error {
        Error::NoCertificatesPresented => "it showed no certificate".to_owned(),
        Error::InvalidCertificate(fault) => of_certificate(fault, "the coordinators' issuer"),
        Error::InvalidMessage(_) | Error::PeerSentOversizedRecord => {
            "it does not speak TLS".to_owned()
        }
        Error::PeerIncompatible(PeerIncompatible::Tls12NotOfferedOrEnabled) => {
            "it does not speak TLS 1.3".to_owned()
        }
        Error::NoApplicationProtocol => "it does not offer HTTP/2".to_owned(),
        Error::AlertReceived(alert) => format!("it refused this agent: {}", of_alert(*alert)),
        other => other.to_string(),
    }
}

/// What a coordinator is told about an agent that it could not reach over TLS.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "rustls's errors are many and may grow; those that need other words are listed"
)]
pub(super) fn of_failed_dial(error: &io::Error) -> String {
    let Some(error) = tls_error(error) else {
        return format!("the connection broke during the TLS handshake: {error}");
    };
    match error {
        Error::InvalidCertificate(fault) => of_certificate(fault, "the agents' issuer (--tls-ca)"),
        Error::InvalidMessage(_) | Error::PeerSentOversizedRecord => {
            "it does not speak TLS; is it an agent, and started with tls_cert, tls_key and tls_ca?"
                .to_owned()
        }
        Error::AlertReceived(alert) => format!("it refused this coordinator: {}", of_alert(*alert)),
        other => other.to_string(),
    }
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "rustls's errors are many and may grow; those that need other words are listed"
)]
fn of_certificate(fault: &CertificateError, issuer: &str) -> String {
    match fault {
        CertificateError::UnknownIssuer => format!("its certificate is not from {issuer}"),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired; issue another".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet; compare the clocks".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is not an agent's".to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is not for this role".to_owned()
        }
        CertificateError::Other(fault) => fault.to_string(),
        other => other.to_string(),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "TLS has dozens of alerts; those that a certificate of ours can cause are listed"
)]
fn of_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => "it demands a certificate".to_owned(),
        AlertDescription::UnknownCA => {
            "the certificate is not from the issuer it trusts".to_owned()
        }
        AlertDescription::CertificateExpired => {
            "the certificate has expired or is not valid yet".to_owned()
        }
        AlertDescription::CertificateUnknown | AlertDescription::UnsupportedCertificate => {
            "the certificate is not for this role, or its name is not permitted; its log says which"
                .to_owned()
        }
        AlertDescription::ProtocolVersion => "TLS 1.3 is required".to_owned(),
        other => format!("TLS alert {other:?}"),
    }
}
