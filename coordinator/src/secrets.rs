//! What is for the target alone, read where the campaign says it is found, as a run begins. Errors
//! never show any of it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use common::extra::{VALUE_BYTES_MAX, is_header_value};
use common::trust::Authorities;
use proto::link::warn_if_public;
use proto::secrets::{ClientCertificate, Secrets};
use secrecy::SecretString;

use crate::campaign::{Campaign, ClientFiles, KeyRef};
use crate::clock::wall_now;

/// Bytes of a secret's file, at most.
const SECRET_BYTES_MAX: usize = 64 << 10;

/// Why a run cannot have what it is to tell or show its target.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// A key, or a header's value.
    #[error("{of}: {why}")]
    Value {
        /// Of what.
        of: String,
        /// What is wrong.
        why: String,
    },
    /// A file of `target.tls`.
    #[error("target.tls.{key}: {why}")]
    Tls {
        /// Which.
        key: &'static str,
        /// What is wrong.
        why: String,
    },
}

/// Reads all of it.
///
/// # Errors
/// As [`SecretsError`] says.
pub fn read(campaign: &Campaign) -> Result<Secrets, SecretsError> {
    let Campaign { api_key, secret_headers, client, .. } = campaign;
    let api_key = api_key.as_ref().map(|key| read_value("api_key", key)).transpose()?;
    let headers = secret_headers
        .iter()
        .map(|(name, key)| Ok((name.clone(), read_value(&format!("target.headers.{name}"), key)?)));
    Ok(Secrets {
        api_key,
        headers: headers.collect::<Result<_, SecretsError>>()?,
        client: client.as_ref().map(read_client).transpose()?,
    })
}

/// Reads whom the target's certificate is checked against.
///
/// # Errors
/// If the file cannot be read or holds something else.
pub fn read_authorities(campaign: &Campaign) -> Result<Option<Authorities>, SecretsError> {
    let Some(path) = &campaign.ca else {
        return Ok(None);
    };
    let bad = |why: String| SecretsError::Tls { key: "ca", why };
    let pem = read_file(path, Authorities::BYTES_MAX).map_err(bad)?;
    let authorities = Authorities::new(pem);
    authorities.map(Some).map_err(|error| bad(format!("{} {error}", path.display())))
}

fn read_value(of: &str, key: &KeyRef) -> Result<SecretString, SecretsError> {
    let bad = |why: String| SecretsError::Value { of: of.to_owned(), why };
    let text = match key {
        KeyRef::Env(name) => std::env::var_os(name)
            .and_then(|value| value.into_string().ok())
            .ok_or_else(|| format!("the environment variable {name} is not set")),
        KeyRef::File(path) => read_file(path, SECRET_BYTES_MAX),
    };
    let text = text.map_err(bad)?;
    let text = text.trim();
    // A key stands alone; the value of a header may have a scheme before it.
    let alone = of != "api_key" || !text.contains([' ', '\t']);
    if !is_header_value(text) || !alone {
        let why = format!(
            "it is empty, longer than {VALUE_BYTES_MAX} bytes, or holds characters that no header \
             can carry"
        );
        return Err(bad(why));
    }
    Ok(SecretString::from(text.to_owned()))
}

fn read_client(files: &ClientFiles) -> Result<ClientCertificate, SecretsError> {
    let read = |key, path: &Path| {
        read_file(path, ClientCertificate::BYTES_MAX).map_err(|why| SecretsError::Tls { key, why })
    };
    let chain = read("cert", &files.cert)?;
    let key = SecretString::from(read("key", &files.key)?);
    warn_if_public(&files.key);
    let now_s = i64::try_from(wall_now().0 / 1000).unwrap_or(i64::MAX);
    ClientCertificate::checked(chain, key, now_s).map_err(|fault| {
        let (key, path) = match &fault.of {
            proto::secrets::PairPart::Certificate => ("cert", &files.cert),
            proto::secrets::PairPart::Key => ("key", &files.key),
        };
        SecretsError::Tls { key, why: format!("{} {}", path.display(), fault.why) }
    })
}

fn read_file(path: &Path, bytes_max: usize) -> Result<String, String> {
    let mut text = String::new();
    let limit = bytes_max as u64 + 1;
    File::open(path)
        .and_then(|file| file.take(limit).read_to_string(&mut text))
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(text)
}
