//! Certificates for tests, good ones and every kind of bad one.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};

use crate::link::{AGENT_DNS_NAME, ClientIdentity, Identity, LinkError, identity_uri};
use crate::message::Role;

pub(super) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
}

impl Ca {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(super) fn issue(&self, leaf: &Leaf) -> Certified {
        let mut params = CertificateParams::default();
        params.extended_key_usages = leaf.usages.clone();
        for uri in &leaf.uris {
            let uri = uri.as_str().try_into().unwrap();
            params.subject_alt_names.push(SanType::URI(uri));
        }
        for name in &leaf.dns {
            let name = name.as_str().try_into().unwrap();
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        let now = OffsetDateTime::now_utc();
        params.not_before = now + leaf.from;
        params.not_after = now + leaf.until;
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Certified { cert: cert.pem(), key: key.serialize_pem() }
    }
}

/// What goes into a certificate; begin with a good one and spoil it.
pub(super) struct Leaf {
    pub(super) uris: Vec<String>,
    pub(super) dns: Vec<String>,
    pub(super) usages: Vec<ExtendedKeyUsagePurpose>,
    pub(super) from: Duration,
    pub(super) until: Duration,
}

impl Leaf {
    pub(super) fn coordinator(name: &str) -> Self {
        Self {
            uris: vec![identity_uri(Role::Coordinator, &name.parse().unwrap())],
            dns: Vec::new(),
            usages: vec![ExtendedKeyUsagePurpose::ClientAuth],
            from: -Duration::hours(1),
            until: Duration::hours(1),
        }
    }

    pub(super) fn agent(name: &str) -> Self {
        Self {
            uris: vec![identity_uri(Role::Agent, &name.parse().unwrap())],
            dns: vec![AGENT_DNS_NAME.to_owned()],
            usages: vec![ExtendedKeyUsagePurpose::ServerAuth],
            ..Self::coordinator(name)
        }
    }

    pub(super) fn but(mut self, spoil: impl FnOnce(&mut Self)) -> Self {
        spoil(&mut self);
        self
    }
}

#[derive(Clone)]
pub(super) struct Certified {
    cert: String,
    key: String,
}

impl Certified {
    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from_pem_slice(self.cert.as_bytes()).unwrap()]
    }

    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

/// A directory with the files of one side.
pub(super) struct Files {
    _dir: tempfile::TempDir,
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
    pub(super) ca: PathBuf,
}

impl Files {
    pub(super) fn new(own: &Certified, others: &Ca) -> Self {
        Self::of(&own.cert, &own.key, &others.pem)
    }

    pub(super) fn of(cert: &str, key: &str, ca: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(Path::new(name));
            std::fs::write(&path, text).unwrap();
            path
        };
        Self {
            cert: write("cert.pem", cert),
            key: write("cert.key", key),
            ca: write("ca.pem", ca),
            _dir: dir,
        }
    }

    pub(super) fn agent(&self, permitted: Option<&[&str]>) -> Result<Identity, LinkError> {
        let permitted =
            permitted.map(|names| names.iter().map(|name| name.parse().unwrap()).collect());
        Identity::load(&self.cert, &self.key, &self.ca, permitted)
    }

    pub(super) fn coordinator(&self) -> Result<ClientIdentity, LinkError> {
        ClientIdentity::load(&self.cert, &self.key, &self.ca)
    }
}

/// The two issuers of a fleet.
pub(super) struct Fleet {
    pub(super) coordinators: Ca,
    pub(super) agents: Ca,
}

impl Fleet {
    pub(super) fn new() -> Self {
        Self { coordinators: Ca::new("coordinators"), agents: Ca::new("agents") }
    }

    pub(super) fn agent(&self, permitted: Option<&[&str]>) -> Identity {
        let own = self.agents.issue(&Leaf::agent("gpu-1"));
        Files::new(&own, &self.coordinators).agent(permitted).unwrap()
    }

    pub(super) fn coordinator(&self, name: &str) -> ClientIdentity {
        let own = self.coordinators.issue(&Leaf::coordinator(name));
        Files::new(&own, &self.agents).coordinator().unwrap()
    }
}
