//! Whether the target is there, found out before any agent is given work.
//!
//! One question, `GET /v1/models` or the campaign's own, asked by the coordinator until it is
//! answered or the time is up. Redirects are not followed and the environment's proxies are not used.

use std::time::Duration;

use common::detail::CHARS_MAX;
use common::target::Target;
use proto::secrets::Secrets;

use super::ask::{self, ANSWER_TIMEOUT, Asker, Method, Said};
use crate::campaign::ServerPlan;
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

/// What is asked to know whether a target is there.
#[derive(Clone, Debug)]
pub struct Question {
    url: String,
    target: Target,
    /// The campaign says that this page tells it: only a success does.
    stated: bool,
}

impl Question {
    /// The page that the campaign states, or the list of models.
    pub fn of(target: &Target, plan: &ServerPlan) -> Self {
        let page = plan.ready_page.as_deref();
        let url = format!("{}{}", target.base_url, page.unwrap_or("/v1/models"));
        Self { url, target: target.clone(), stated: page.is_some() }
    }
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
    question: &Question,
    secrets: &Secrets,
    timeout: Duration,
    clock: Clock,
    mut progress: impl FnMut(&str),
) -> Result<(), NotReady> {
    let began = clock.now();
    loop {
        let (asked, secrets) = (question.clone(), secrets.clone());
        let answer = tokio::task::spawn_blocking(move || ask(&asked, &secrets)).await;
        let why = match answer {
            Ok(Answer::Ready) => return Ok(()),
            Ok(Answer::Wait(why)) => why,
            Ok(Answer::Never(why)) => {
                let waited = clock.now().since(began);
                return Err(NotReady { url: question.url.clone(), why, waited });
            }
            Err(error) => error.to_string(),
        };
        let waited = clock.now().since(began);
        if waited >= timeout {
            return Err(NotReady { url: question.url.clone(), why, waited });
        }
        progress(&why);
        tokio::time::sleep(ASK_EVERY.min(timeout - waited)).await;
    }
}

fn ask(question: &Question, secrets: &Secrets) -> Answer {
    let asker = Asker { target: &question.target, secrets };
    let asked = ask::ask(Method::Get, &question.url, asker, 4096, ANSWER_TIMEOUT);
    let Said { status, body } = match asked {
        Ok(said) => said,
        Err(why) => return Answer::Wait(why),
    };
    let said = || {
        let body: String =
            body.chars().map(|c| if c.is_control() { ' ' } else { c }).take(CHARS_MAX).collect();
        let body = secrets.without(body.trim());
        if body.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {body}") }
    };
    match status {
        401 | 403 => Answer::Never(format!(
            "{}; give the key with api_key in the campaign or OPENAI_API_KEY",
            said()
        )),
        300..=399 => Answer::Never(format!("{}; redirects are not followed", said())),
        429 | 502..=504 => Answer::Wait(said()),
        200..=299 => Answer::Ready,
        _ if question.stated => Answer::Wait(said()),
        // Some servers list no models or fail to; that they answer is enough.
        _ => Answer::Ready,
    }
}
