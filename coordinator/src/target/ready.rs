//! Whether the target is there, found out before any agent is given work.
//!
//! One question, `GET /v1/models`, asked by the coordinator until it is answered or the time is
//! up. Redirects are not followed and the environment's proxies are not used.

use std::time::Duration;

use common::detail::{CHARS_MAX, without_secret};
use common::target::Target;
use secrecy::{ExposeSecret as _, SecretString};

use super::ask::{self, Said};
use crate::clock::Clock;

const ASK_EVERY: Duration = Duration::from_secs(1);

/// The target cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[error("target {url} is not ready: {why} (waited {:.0} s)", waited.as_secs_f64())]
pub struct NotReady {
    /// What was asked.
    pub url: String,
    /// The last answer or error.
    pub why: String,
    /// How long it was asked.
    pub waited: Duration,
}

/// What one question gave.
enum Answer {
    Ready,
    /// May become ready.
    Wait(String),
    /// Will not become ready by waiting.
    Never(String),
}

/// Waits until the target answers, up to `timeout`.
///
/// # Errors
/// The address, the last status or error, and how long it was waited for.
pub async fn wait(
    target: &Target,
    key: Option<&SecretString>,
    timeout: Duration,
    clock: Clock,
    mut progress: impl FnMut(&str),
) -> Result<(), NotReady> {
    let url = format!("{}/v1/models", target.base_url);
    let began = clock.now();
    loop {
        let (asked, key) = (url.clone(), key.cloned());
        let answer = tokio::task::spawn_blocking(move || ask(&asked, key.as_ref())).await;
        let why = match answer {
            Ok(Answer::Ready) => return Ok(()),
            Ok(Answer::Wait(why)) => why,
            Ok(Answer::Never(why)) => {
                return Err(NotReady { url, why, waited: clock.now().since(began) });
            }
            Err(error) => error.to_string(),
        };
        let waited = clock.now().since(began);
        if waited >= timeout {
            return Err(NotReady { url, why, waited });
        }
        progress(&why);
        tokio::time::sleep(ASK_EVERY.min(timeout - waited)).await;
    }
}

fn ask(url: &str, key: Option<&SecretString>) -> Answer {
    let Said { status, body } = match ask::ask(url, key, 4096) {
        Ok(said) => said,
        Err(why) => return Answer::Wait(why),
    };
    let said = || {
        let body: String =
            body.chars().map(|c| if c.is_control() { ' ' } else { c }).take(CHARS_MAX).collect();
        let secret = key.map_or("", |key| key.expose_secret());
        let body = without_secret(body.trim(), secret);
        if body.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {body}") }
    };
    match status {
        401 | 403 => Answer::Never(format!(
            "{}; give the key with api_key in the campaign or OPENAI_API_KEY",
            said()
        )),
        300..=399 => Answer::Never(format!("{}; redirects are not followed", said())),
        429 | 502..=504 => Answer::Wait(said()),
        // Some servers list no models or fail to; that they answer is enough.
        _ => Answer::Ready,
    }
}
