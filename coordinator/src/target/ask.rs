//! One question to the target. Redirects are not followed, the environment's proxies are not used,
//! and no answer is longer than it may be.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What the target said.
pub(super) struct Said {
    /// HTTP status.
    pub(super) status: u16,
    /// The body, cut after `limit` bytes; empty if it is no text.
    pub(super) body: String,
}

/// Asks for a page; blocks for at most 5 s.
pub(super) fn ask(url: &str, key: Option<&SecretString>, limit: u64) -> Result<Said, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(ANSWER_TIMEOUT))
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into();
    let mut request = agent.get(url);
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {}", key.expose_secret()));
    }
    let mut response = request.call().map_err(|error| {
        // The system's own words, without the library's before them.
        if let ureq::Error::Io(error) = error { error.to_string() } else { error.to_string() }
    })?;
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(limit).read_to_string().unwrap_or_default();
    Ok(Said { status, body })
}
