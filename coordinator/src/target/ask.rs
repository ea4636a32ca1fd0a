//! One question to the target. Redirects are not followed, the environment's proxies are not used,
//! and no answer is longer than it may be.

use std::time::Duration;

use common::target::Target;
use proto::secrets::Secrets;
use secrecy::ExposeSecret as _;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

/// How long a page that only tells something may take.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How it is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Method<'a> {
    /// To know.
    Get,
    /// To have something done.
    Post,
    /// To be answered.
    Json(&'a str),
}

/// Who is asked, and with what: as the target's own requests would ask.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) target: &'a Target,
    pub(super) secrets: &'a Secrets,
}

impl Asker<'_> {
    /// With what it is proven who asks.
    fn client(self) -> Result<Option<ClientCert>, String> {
        let Some(client) = &self.secrets.client else {
            return Ok(None);
        };
        let chain = certificates("cert", &client.chain)?;
        let key = PrivateKey::from_pem(client.key.expose_secret().as_bytes())
            // What an error says may hold a part of the key.
            .map_err(|_| "target.tls.key cannot be read".to_owned())?;
        Ok(Some(ClientCert::new_with_certs(&chain, key)))
    }

    /// Whom the target's certificate is checked against.
    fn roots(self) -> Result<RootCerts, String> {
        let Some(authorities) = &self.target.authorities else {
            return Ok(RootCerts::WebPki);
        };
        Ok(RootCerts::new_with_certs(&certificates("ca", authorities.pem())?))
    }
}

/// The certificates in the file of a key of `target.tls`.
fn certificates(key: &str, pem: &str) -> Result<Vec<Certificate<'static>>, String> {
    let mut certificates = Vec::new();
    for item in parse_pem(pem.as_bytes()) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(format!("target.tls.{key} cannot be read: {error}")),
        }
    }
    Ok(certificates)
}

/// What the target said.
pub(super) struct Said {
    /// HTTP status.
    pub(super) status: u16,
    /// The body, cut after `limit` bytes; empty if it is no text.
    pub(super) body: String,
}

/// Asks for a page; blocks for at most `timeout`.
pub(super) fn ask(
    method: Method<'_>,
    url: &str,
    asker: Asker<'_>,
    limit: u64,
    timeout: Duration,
) -> Result<Said, String> {
    let tls = TlsConfig::builder().root_certs(asker.roots()?).client_cert(asker.client()?).build();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(timeout))
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(None)
        .tls_config(tls)
        .build()
        .into();
    let fields = asker.secrets.fields(asker.target);
    let answer = match method {
        Method::Get => {
            let request = agent.get(url);
            fields.iter().fold(request, |r, (name, value)| r.header(name, value)).call()
        }
        Method::Post => {
            let request = agent.post(url);
            fields.iter().fold(request, |r, (name, value)| r.header(name, value)).send_empty()
        }
        Method::Json(body) => {
            let request = agent.post(url).header("content-type", "application/json");
            fields.iter().fold(request, |r, (name, value)| r.header(name, value)).send(body)
        }
    };
    let mut response = answer.map_err(|error| {
        // The system's own words, without the library's before them.
        if let ureq::Error::Io(error) = error { error.to_string() } else { error.to_string() }
    })?;
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(limit).read_to_string().unwrap_or_default();
    Ok(Said { status, body })
}
