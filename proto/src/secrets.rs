//! What goes with an order to load and is for the target alone: held in memory for the level, never
//! stored, printed or logged.

use common::detail::without_secrets;
use common::extra::HeaderName;
use common::target::Target;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret as _, SecretString};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

/// What goes with an order to load and is for the target alone.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// The API key.
    pub api_key: Option<SecretString>,
    /// Fields of the head whose values are secrets.
    pub headers: Vec<(HeaderName, SecretString)>,
    /// The certificate that answers a target which asks for one.
    pub client: Option<ClientCertificate>,
}

/// A certificate with its key, in PEM.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The certificate and those between it and its authority; no secret.
    pub chain: String,
    /// Its private key.
    pub key: SecretString,
}

impl ClientCertificate {
    /// The largest chain, and the largest key: both go with every order to load.
    pub const BYTES_MAX: usize = 64 << 10;

    /// A certificate and a key that belong together, and that hold at `now_s`, in seconds since 1970.
    ///
    /// # Errors
    /// What is wrong with which of the two; never any of the key.
    pub fn checked(chain: String, key: SecretString, now_s: i64) -> Result<Self, ClientFault> {
        let of_chain = |why: String| ClientFault { of: PairPart::Certificate, why };
        let of_key = |why: String| ClientFault { of: PairPart::Key, why };
        for (pem, fault) in
            [(chain.as_str(), &of_chain as &dyn Fn(_) -> _), (key.expose_secret(), &of_key)]
        {
            if pem.len() > Self::BYTES_MAX {
                return Err(fault(format!("is larger than {} bytes", Self::BYTES_MAX)));
            }
        }
        if chain.contains("PRIVATE KEY") {
            let why = "holds a private key, which must not be given away: name its file as the key";
            return Err(of_chain(why.to_owned()));
        }
        let certificates = CertificateDer::pem_slice_iter(chain.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| of_chain(format!("cannot be read: {error}")))?;
        let none = || of_chain("holds no certificate in PEM".to_owned());
        check_dates(certificates.first().ok_or_else(none)?, now_s).map_err(of_chain)?;
        let der = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes())
            .map_err(|_| of_key("holds no private key in PEM".to_owned()))?;
        let provider = rustls::crypto::ring::default_provider();
        match CertifiedKey::from_der(certificates, der, &provider) {
            Ok(_) => Ok(Self { chain, key }),
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(of_key("is not the key of the certificate".to_owned()))
            }
            Err(error) => Err(of_key(format!("cannot be used: {error}"))),
        }
    }
}

/// Which of a certificate and its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairPart {
    /// The certificate.
    Certificate,
    /// The key.
    Key,
}

/// What is wrong with a [`ClientCertificate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFault {
    /// With which part.
    pub of: PairPart,
    /// A sentence about it, without its subject.
    pub why: String,
}

fn check_dates(certificate: &CertificateDer<'_>, now_s: i64) -> Result<(), String> {
    let (_, certificate) = X509Certificate::from_der(certificate)
        .map_err(|error| format!("holds no certificate that can be read: {error}"))?;
    let valid = certificate.validity();
    if valid.not_after.timestamp() < now_s {
        return Err(format!("has expired at {}", valid.not_after));
    }
    if valid.not_before.timestamp() > now_s {
        return Err(format!("is not valid before {}", valid.not_before));
    }
    Ok(())
}

impl Secrets {
    /// The fields of a request's head beside those that every request has: the endpoint's own, the
    /// key's, and those of the campaign, which take the place of others of the same name.
    pub fn fields(&self, target: &Target) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        let own = target.endpoint.head_fields();
        fields.extend(own.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        if let Some(key) = &self.api_key {
            let key = key.expose_secret();
            match &target.key_header {
                Some(name) => fields.push((name.to_string(), key.to_owned())),
                None => fields.extend(
                    target
                        .endpoint
                        .key_fields()
                        .iter()
                        .map(|(name, before)| ((*name).to_owned(), format!("{before}{key}"))),
                ),
            }
        }
        let plain = target.headers.iter().map(|h| (h.name.as_str(), h.value.as_str()));
        let secret =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.expose_secret()));
        for (name, value) in plain.chain(secret) {
            fields.retain(|(known, _)| known != name);
            fields.push((name.to_owned(), value.to_owned()));
        }
        fields
    }

    /// A target's words without any of the secrets that it was sent.
    pub fn without(&self, words: &str) -> String {
        let key = self.api_key.iter();
        let mut told: Vec<&str> = key
            .chain(self.headers.iter().map(|(_, value)| value))
            .map(|secret| secret.expose_secret())
            // A scheme before a token is part of the value, and a server may repeat the token alone.
            .flat_map(|value| [value, value.rsplit(' ').next().unwrap_or(value)])
            .collect();
        // A secret that holds another goes first.
        told.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        without_secrets(words, &told)
    }
}

#[cfg(test)]
mod tests {
    use common::extra::Header;
    use common::target::Endpoint;

    use super::*;

    fn target() -> Target {
        Target::new("http://h".parse().expect("a URL"), "m".to_owned())
    }

    fn shown(secrets: &Secrets, target: &Target) -> Vec<String> {
        secrets.fields(target).iter().map(|(name, value)| format!("{name}: {value}")).collect()
    }

    #[test]
    fn a_key_goes_where_the_endpoint_or_the_campaign_wants_it() {
        let secrets = Secrets { api_key: Some("sk-x".into()), ..Secrets::default() };
        let chat = target();
        let messages = Target { endpoint: Endpoint::Messages, ..target() };
        assert_eq!(shown(&Secrets::default(), &chat), [""; 0]);
        assert_eq!(shown(&Secrets::default(), &messages), ["anthropic-version: 2023-06-01"]);
        assert_eq!(shown(&secrets, &chat), ["authorization: Bearer sk-x"]);
        assert_eq!(
            shown(&secrets, &messages),
            ["anthropic-version: 2023-06-01", "authorization: Bearer sk-x", "x-api-key: sk-x"]
        );
        let azure = Target { key_header: Some("api-key".parse().expect("a name")), ..target() };
        assert_eq!(shown(&secrets, &azure), ["api-key: sk-x"]);
    }

    #[test]
    fn headers_of_the_campaign_take_the_place_of_others() {
        let header = |name: &str, value: &str| Header {
            name: name.parse().expect("a name"),
            value: value.to_owned(),
        };
        let target = Target {
            endpoint: Endpoint::Messages,
            headers: vec![header("anthropic-version", "2099-01-01"), header("x-team", "perf")],
            ..target()
        };
        let secrets = Secrets {
            api_key: Some("sk-x".into()),
            headers: vec![("authorization".parse().expect("a name"), "Basic abc".into())],
            client: None,
        };
        let mut shown = shown(&secrets, &target);
        shown.sort();
        assert_eq!(
            shown,
            [
                "anthropic-version: 2099-01-01",
                "authorization: Basic abc",
                "x-api-key: sk-x",
                "x-team: perf"
            ]
        );
    }

    #[test]
    fn a_certificate_is_shown_with_its_own_key_while_it_holds() {
        const NOW_S: i64 = 1_700_000_000;
        let pair = |from_s: i64, until_s: i64| {
            let key = rcgen::KeyPair::generate().expect("a key");
            let mut params = rcgen::CertificateParams::new(vec!["c".to_owned()]).expect("a name");
            let instant = |s| time::OffsetDateTime::from_unix_timestamp(s).expect("an instant");
            (params.not_before, params.not_after) = (instant(from_s), instant(until_s));
            (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
        };
        let (cert, key) = pair(NOW_S - 9, NOW_S + 9);
        let (other, _) = pair(NOW_S - 9, NOW_S + 9);
        let check = |cert: &str, key: &str| {
            ClientCertificate::checked(cert.to_owned(), key.to_owned().into(), NOW_S)
        };
        assert!(check(&cert, &key).is_ok());
        assert!(check(&format!("{cert}{other}"), &key).is_ok(), "a chain");
        let refused = |cert: &str, key: &str, of, says: &str| {
            let fault = check(cert, key).expect_err("a fault");
            assert!(fault.of == of && fault.why.contains(says), "{fault:?}");
        };
        refused(&other, &key, PairPart::Key, "is not the key");
        refused("", &key, PairPart::Certificate, "holds no certificate in PEM");
        refused(&cert, "", PairPart::Key, "holds no private key in PEM");
        refused(&format!("{cert}{key}"), &key, PairPart::Certificate, "holds a private key");
        refused(&cert.repeat(200), &key, PairPart::Certificate, "larger than");
        refused(&cert, &"x".repeat(70_000), PairPart::Key, "larger than");
        refused(&pair(NOW_S - 9, NOW_S - 2).0, &key, PairPart::Certificate, "has expired");
        refused(&pair(NOW_S + 2, NOW_S + 9).0, &key, PairPart::Certificate, "not valid before");
    }

    #[test]
    fn a_targets_words_lose_every_secret() {
        let secrets = Secrets {
            api_key: Some("sk-x".into()),
            headers: vec![("authorization".parse().expect("a name"), "Bearer sk-xyz".into())],
            client: None,
        };
        let clean = secrets.without("bad sk-x, Bearer sk-xyz, sk-xyz");
        assert_eq!(clean, "bad [API key], [API key], [API key]");
        assert!(!format!("{secrets:?}").contains("sk-"));
    }
}
