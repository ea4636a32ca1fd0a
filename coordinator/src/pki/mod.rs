//! Certificates for a fleet: two issuers, one for coordinators and one for agents, so that an
//! agent's key commands nobody.
//!
//! Role and name stand in a certificate where [`proto::link`] looks for them. Nothing here is ever
//! overwritten, and nothing but files is made: an issuer's key can stay on a disconnected host.

mod files;

use std::io;
use std::path::{Path, PathBuf};

use common::ids::Name;
use proto::link::{AGENT_DNS_NAME, identity_uri};
use proto::message::Role;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use time::{Duration, OffsetDateTime};
use x509_parser::pem::parse_x509_pem;

use self::files::NewFile;
use crate::record::UnixMs;

/// Certificates hold from a little before they are made, for hosts whose clocks are behind.
const BACKDATED: Duration = Duration::minutes(5);

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file that would be overwritten.
    #[error("{} is there already and is never overwritten; move it away, or choose another directory", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A name that would make a leaf look like an issuer.
    #[error("the name `{name}` is taken by the issuers' own files; choose another")]
    ReservedName {
        /// The name.
        name: Name,
    },
    /// There is no issuer where one was looked for.
    #[error("no issuer in {}; make one with `floodmark pki init --dir DIR`, or name its directory with --dir", path.display())]
    NoIssuer {
        /// The missing file.
        path: PathBuf,
    },
    /// A file of the issuer is not what it should be.
    #[error("{} is not usable as an issuer: {reason}", path.display())]
    BadIssuer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The issuer's own certificate has expired.
    #[error("the issuer in {} expired on {until}; make a new one in another directory and issue all certificates anew", path.display())]
    Expired {
        /// The issuer's certificate.
        path: PathBuf,
        /// Its last day.
        until: time::Date,
    },
    /// A date beyond what a certificate can express.
    #[error(
        "a validity of {days} days ends beyond the calendar of certificates; give a smaller --days"
    )]
    TooLong {
        /// The days asked for.
        days: u32,
    },
    /// A certificate could not be built.
    #[error("cannot make the certificate")]
    Generate(#[from] rcgen::Error),
    /// A file could not be read or written.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// `read` or `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl PkiError {
    /// Whether another command line would have worked, as opposed to another disk.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Exists { .. }
            | Self::ReservedName { .. }
            | Self::NoIssuer { .. }
            | Self::BadIssuer { .. }
            | Self::Expired { .. }
            | Self::TooLong { .. } => true,
            Self::Generate(_) | Self::File { .. } => false,
        }
    }
}

/// Makes both issuers in `dir` and tells their files.
pub fn init(dir: &Path, days: u32, now: UnixMs) -> Result<Vec<PathBuf>, PkiError> {
    let mut made = Vec::new();
    for role in [Role::Coordinator, Role::Agent] {
        let mut params = dated(days, now)?;
        let name = format!("floodmark {role} CA");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let cert = params.self_signed(&key)?;
        let issuer = IssuerFiles::of(role, dir);
        made.push(NewFile::secret(issuer.key, key.serialize_pem()));
        made.push(NewFile::public(issuer.cert, cert.pem()));
    }
    files::create_all(&made)
}

/// A certificate to be issued.
#[derive(Debug)]
pub struct Request<'a> {
    /// What its holder may be.
    pub role: Role,
    /// Its holder's name.
    pub name: &'a Name,
    /// Where the issuers are.
    pub dir: &'a Path,
    /// Where its files go.
    pub out: &'a Path,
    /// How long it is to hold; it never outlives its issuer.
    pub days: u32,
}

/// The three files that one side needs.
#[derive(Debug)]
pub struct Issued {
    /// Its certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The issuer of its peers.
    pub peer_ca: PathBuf,
    /// The last moment it holds.
    pub until: OffsetDateTime,
}

/// Issues a certificate, and puts the certificate of the peers' issuer beside it.
pub fn issue(request: &Request<'_>, now: UnixMs) -> Result<Issued, PkiError> {
    let &Request { role, name, dir, out, days } = request;
    if name.as_str() == "ca" {
        return Err(PkiError::ReservedName { name: name.clone() });
    }
    let issuer = IssuerFiles::of(role, dir).load()?;
    let peer_issuer = IssuerFiles::of(peer_of(role), dir).cert;
    let peer_pem = read_issuer(&peer_issuer)?;

    let mut params = dated(days, now)?;
    if issuer.until <= params.not_before + BACKDATED {
        return Err(PkiError::Expired { path: issuer.path, until: issuer.until.date() });
    }
    params.not_after = params.not_after.min(issuer.until);
    params.distinguished_name.push(DnType::CommonName, name.as_str());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let uri = identity_uri(role, name).try_into()?;
    params.subject_alt_names.push(SanType::URI(uri));
    match role {
        Role::Coordinator => {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }
        Role::Agent => {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            let name = AGENT_DNS_NAME.try_into()?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let cert = params.signed_by(&key, &issuer.issuer)?;

    let issued = Issued {
        cert: out.join(format!("{role}-{name}.pem")),
        key: out.join(format!("{role}-{name}.key")),
        peer_ca: IssuerFiles::of(peer_of(role), out).cert,
        until: params.not_after,
    };
    let mut made = vec![
        NewFile::secret(issued.key.clone(), key.serialize_pem()),
        NewFile::public(issued.cert.clone(), cert.pem()),
    ];
    if !files::holds(&issued.peer_ca, &peer_pem)? {
        made.push(NewFile::public(issued.peer_ca.clone(), peer_pem));
    }
    files::create_all(&made)?;
    Ok(issued)
}

fn peer_of(role: Role) -> Role {
    match role {
        Role::Coordinator => Role::Agent,
        Role::Agent => Role::Coordinator,
    }
}

/// Parameters with both dates set. The serial number is left to rcgen: 159 bits of a hash of the
/// certificate's own fresh key, as unpredictable as the key and never the same twice.
fn dated(days: u32, now: UnixMs) -> Result<CertificateParams, PkiError> {
    let too_long = || PkiError::TooLong { days };
    let seconds = i64::try_from(now.0 / 1_000).map_err(|_| too_long())?;
    let now = OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| too_long())?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = now.checked_sub(BACKDATED).ok_or_else(too_long)?;
    params.not_after = now.checked_add(Duration::days(i64::from(days))).ok_or_else(too_long)?;
    Ok(params)
}

struct IssuerFiles {
    cert: PathBuf,
    key: PathBuf,
}

struct LoadedIssuer {
    path: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    until: OffsetDateTime,
}

impl IssuerFiles {
    fn of(role: Role, dir: &Path) -> Self {
        Self { cert: dir.join(format!("{role}-ca.pem")), key: dir.join(format!("{role}-ca.key")) }
    }

    fn load(self) -> Result<LoadedIssuer, PkiError> {
        let bad = |path: &Path, reason: &str| PkiError::BadIssuer {
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        let pem = read_issuer(&self.cert)?;
        let key = KeyPair::from_pem(&read_issuer(&self.key)?)
            .map_err(|_| bad(&self.key, "it holds no private key in PEM form"))?;
        let not_a_certificate = || bad(&self.cert, "it holds no certificate in PEM form");
        let (_, der) = parse_x509_pem(pem.as_bytes()).map_err(|_| not_a_certificate())?;
        let parsed = der.parse_x509().map_err(|_| not_a_certificate())?;
        if !parsed.is_ca() {
            return Err(bad(&self.cert, "its certificate may not issue others"));
        }
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(bad(&self.key, "it is not the key of the certificate beside it"));
        }
        let until = parsed.validity().not_after.to_datetime();
        let issuer = Issuer::from_ca_cert_pem(&pem, key).map_err(|_| not_a_certificate())?;
        Ok(LoadedIssuer { path: self.cert, issuer, until })
    }
}

fn read_issuer(path: &Path) -> Result<String, PkiError> {
    std::fs::read_to_string(path).map_err(|source| {
        let path = path.to_owned();
        if source.kind() == io::ErrorKind::NotFound {
            PkiError::NoIssuer { path }
        } else {
            PkiError::File { doing: "read", path, source }
        }
    })
}

#[cfg(test)]
mod tests;
