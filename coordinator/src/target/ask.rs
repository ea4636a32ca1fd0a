//! One question to the target. Redirects are not followed, the environment's proxies are not used,
//! and no answer is longer than it may be.

use std::time::Duration;

use common::target::Target;
use secrecy::{ExposeSecret as _, SecretString};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

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

/// Who is asked, and with what key: as the target's own requests would ask.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) target: &'a Target,
    pub(super) key: Option<&'a SecretString>,
}

impl Asker<'_> {
    /// Names and values of head fields.
    fn fields(self) -> Vec<(&'static str, String)> {
        let Self { target: Target { endpoint, .. }, key } = self;
        let own = endpoint.head_fields().iter().map(|(name, value)| (*name, (*value).to_owned()));
        let keyed = key.into_iter().flat_map(|key| {
            let with = move |before: &str| format!("{before}{}", key.expose_secret());
            endpoint.key_fields().iter().map(move |(name, before)| (*name, with(before)))
        });
        own.chain(keyed).collect()
    }

    /// Whom the target's certificate is checked against.
    fn roots(self) -> Result<RootCerts, String> {
        let Some(authorities) = &self.target.authorities else {
            return Ok(RootCerts::WebPki);
        };
        let mut certificates = Vec::new();
        for item in parse_pem(authorities.pem().as_bytes()) {
            match item {
                Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
                Ok(_) => {}
                Err(error) => return Err(format!("target.tls.ca cannot be read: {error}")),
            }
        }
        Ok(RootCerts::new_with_certs(&certificates))
    }
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
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(timeout))
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(None)
        .tls_config(TlsConfig::builder().root_certs(asker.roots()?).build())
        .build()
        .into();
    let fields = asker.fields();
    let answer = match method {
        Method::Get => {
            let request = agent.get(url);
            fields.iter().fold(request, |r, (name, value)| r.header(*name, value)).call()
        }
        Method::Post => {
            let request = agent.post(url);
            fields.iter().fold(request, |r, (name, value)| r.header(*name, value)).send_empty()
        }
        Method::Json(body) => {
            let request = agent.post(url).header("content-type", "application/json");
            fields.iter().fold(request, |r, (name, value)| r.header(*name, value)).send(body)
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

#[cfg(test)]
mod tests {
    use common::target::Endpoint;

    use super::*;

    #[test]
    fn a_question_carries_the_key_where_the_endpoint_does() {
        let key = "sk-x".to_owned().into();
        let fields = |endpoint, key| {
            let target = Target { endpoint, ..crate::plan::proof::target() };
            let fields = Asker { target: &target, key }.fields();
            fields.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>()
        };
        assert_eq!(fields(Endpoint::Chat, Some(&key)), ["authorization: Bearer sk-x"]);
        assert_eq!(fields(Endpoint::Chat, None), [""; 0]);
        assert_eq!(fields(Endpoint::Messages, None), ["anthropic-version: 2023-06-01"]);
        assert_eq!(
            fields(Endpoint::Messages, Some(&key)),
            ["anthropic-version: 2023-06-01", "authorization: Bearer sk-x", "x-api-key: sk-x"]
        );
    }
}
