//! One question to the target. Redirects are not followed, the environment's proxies are not used,
//! and no answer is longer than it may be.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

/// How long a page that only tells something may take.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How it is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Method {
    /// To know.
    Get,
    /// To have something done.
    Post,
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
    method: Method,
    url: &str,
    key: Option<&SecretString>,
    limit: u64,
    timeout: Duration,
) -> Result<Said, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(timeout))
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into();
    let bearer = key.map(|key| format!("Bearer {}", key.expose_secret()));
    let answer = match method {
        Method::Get => match bearer {
            Some(bearer) => agent.get(url).header("authorization", bearer).call(),
            None => agent.get(url).call(),
        },
        Method::Post => match bearer {
            Some(bearer) => agent.post(url).header("authorization", bearer).send_empty(),
            None => agent.post(url).send_empty(),
        },
    };
    let mut response = answer.map_err(|error| {
        // The system's own words, without the library's before them.
        if let ureq::Error::Io(error) = error { error.to_string() } else { error.to_string() }
    })?;
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(limit).read_to_string().unwrap_or_default();
    Ok(Said { status, body })
}
