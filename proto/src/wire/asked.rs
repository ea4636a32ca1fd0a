//! How a target is asked, and what is for it alone, on the wire, both ways.

use std::collections::BTreeSet;

use common::assignment::Assignment;
use common::extra::{ExtraBody, HEADERS_MAX, Header, HeaderName, is_header_value};
use common::target::{BaseUrl, Http, Target};
use secrecy::{ExposeSecret as _, SecretString};

use crate::generated as pb;
use crate::secrets::{ClientCertificate, Secrets};
use crate::wire::WireError;

/// Longest API key, in bytes.
const KEY_MAX: usize = 4096;

/// An order to load with what is for the target alone.
pub(super) fn arm_of(assignment: &Assignment, secrets: &Secrets) -> pb::Arm {
    let Secrets { api_key, headers, client } = secrets;
    let header = |(name, value): &(HeaderName, SecretString)| pb::Header {
        name: name.to_string(),
        value: value.expose_secret().to_owned(),
    };
    let key = |client: &ClientCertificate| client.key.expose_secret().to_owned();
    pb::Arm {
        assignment: Some(assignment.into()),
        api_key: api_key.as_ref().map(|key| key.expose_secret().to_owned()),
        secret_headers: headers.iter().map(header).collect(),
        client_cert_pem: client.as_ref().map(|client| client.chain.clone()).unwrap_or_default(),
        client_key_pem: client.as_ref().map(key).unwrap_or_default(),
    }
}

/// What an order holds for the target alone. No value of it is ever named in an error.
pub(super) fn secrets(arm: &pb::Arm) -> Result<Secrets, WireError> {
    let pb::Arm { assignment: _, api_key, secret_headers, client_cert_pem, client_key_pem } = arm;
    let headers = distinct("arm.secret_headers", secret_headers)?
        .into_iter()
        .map(|Header { name, value }| (name, SecretString::from(value)))
        .collect();
    let is_key =
        |key: &str| (1..=KEY_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    if api_key.as_deref().is_some_and(|key| !is_key(key)) {
        let reason = format!("not 1 to {KEY_MAX} visible ASCII characters");
        return Err(WireError::new("arm.api_key", reason));
    }
    Ok(Secrets {
        api_key: api_key.clone().map(SecretString::from),
        headers,
        client: client(client_cert_pem, client_key_pem)?,
    })
}

fn client(chain: &str, key: &str) -> Result<Option<ClientCertificate>, WireError> {
    if chain.is_empty() && key.is_empty() {
        return Ok(None);
    }
    for (field, pem) in [("arm.client_cert_pem", chain), ("arm.client_key_pem", key)] {
        if !(1..=ClientCertificate::BYTES_MAX).contains(&pem.len()) {
            let reason = format!("not 1 to {} bytes", ClientCertificate::BYTES_MAX);
            return Err(WireError::new(field, reason));
        }
    }
    Ok(Some(ClientCertificate { chain: chain.to_owned(), key: key.to_owned().into() }))
}

impl From<&Header> for pb::Header {
    fn from(header: &Header) -> Self {
        Self { name: header.name.to_string(), value: header.value.clone() }
    }
}

/// Fields of a head that are no secret.
pub(super) fn headers(
    field: &'static str,
    messages: &[pb::Header],
) -> Result<Vec<Header>, WireError> {
    let headers = distinct(field, messages)?;
    match headers.iter().find(|header| header.name.is_secret()) {
        Some(Header { name, .. }) => Err(WireError::new(field, format!("{name} is a secret"))),
        None => Ok(headers),
    }
}

fn distinct(field: &'static str, messages: &[pb::Header]) -> Result<Vec<Header>, WireError> {
    if messages.len() > HEADERS_MAX {
        return Err(WireError::new(field, format!("more than {HEADERS_MAX}")));
    }
    let mut names = BTreeSet::new();
    let header = |message: &pb::Header| {
        let name: HeaderName =
            message.name.parse().map_err(|error| WireError::new(field, error))?;
        if !is_header_value(&message.value) {
            return Err(WireError::new(field, "a value that no header can carry"));
        }
        if !names.insert(name.clone()) {
            return Err(WireError::new(field, format!("{name} twice")));
        }
        Ok(Header { name, value: message.value.clone() })
    };
    messages.iter().map(header).collect()
}

/// The fields that are added to a body; empty for none.
pub(super) fn extra_body_of(target: &Target) -> String {
    if target.extra_body.is_empty() { String::new() } else { target.extra_body.to_string() }
}

/// The fields that are added to a body.
pub(super) fn extra_body(text: &str) -> Result<ExtraBody, WireError> {
    if text.is_empty() {
        return Ok(ExtraBody::default());
    }
    text.parse().map_err(|error| WireError::new("target.extra_body", error))
}

/// The base URLs beside the first.
pub(super) fn more_base_urls(
    base_url: &BaseUrl,
    more: &[String],
) -> Result<Vec<BaseUrl>, WireError> {
    let field = "target.more_base_urls";
    if more.len() >= Target::URLS_MAX {
        return Err(WireError::new(field, format!("{} or more", Target::URLS_MAX)));
    }
    let mut seen = BTreeSet::from([base_url.to_string()]);
    let url = |text: &String| {
        let url: BaseUrl = text.parse().map_err(|error| WireError::new(field, error))?;
        if seen.insert(url.to_string()) { Ok(url) } else { Err(WireError::new(field, "one twice")) }
    };
    more.iter().map(url).collect()
}

impl From<Http> for pb::Http {
    fn from(http: Http) -> Self {
        match http {
            Http::V1 => Self::Http11,
            Http::V2 => Self::Http2,
        }
    }
}

/// The version of HTTP.
pub(super) fn http(number: i32) -> Result<Http, WireError> {
    match pb::Http::try_from(number) {
        Ok(pb::Http::Unspecified | pb::Http::Http11) => Ok(Http::V1),
        Ok(pb::Http::Http2) => Ok(Http::V2),
        Err(_) => Err(WireError::new("target.http", format!("unknown: {number}"))),
    }
}

/// The field that carries the key.
pub(super) fn key_header(text: &str) -> Result<Option<HeaderName>, WireError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error| WireError::new("target.key_header", error))
}
