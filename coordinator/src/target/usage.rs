//! What the target counts of a prompt: one small request whose answer is read for its usage only.

use std::time::Duration;

use common::body::fields;
use common::detail::CHARS_MAX;
use common::target::{Endpoint, Target};
use common::workload::Workload;
use proto::secrets::Secrets;
use serde_json::Value;

use super::ask::{Asker, Method, Said, ask};

/// Bytes read of an answer: an embedding of a large model has some 100 kB.
const ANSWER_MAX: u64 = 4 << 20;
/// How long a prompt of some thousand tokens may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Why a target did not say how many tokens a prompt has.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum NotCounted {
    /// It answered, and said nothing of it.
    #[error("its answers state no usage")]
    NoUsage,
    /// It does not take the prompt.
    #[error("it refused a prompt that was to be counted: {0}")]
    Refused(String),
    /// It cannot be asked.
    #[error("it cannot be asked: {0}")]
    Unreached(String),
}

/// Asks what a prompt is in tokens, with the shortest answer that can be asked for.
pub(crate) async fn prompt_tokens(
    target: &Target,
    secrets: &Secrets,
    workload: &Workload,
    prompt: String,
) -> Result<u64, NotCounted> {
    let output = match target.endpoint {
        // What the API's own service takes at least.
        Endpoint::Responses => 16,
        Endpoint::Chat | Endpoint::Completions | Endpoint::Messages | Endpoint::Embeddings => 1,
    };
    let target = Target { stream: false, ..target.clone() };
    let workload = Workload { forced_length: false, ..workload.clone() };
    let body = fields(&workload, &target, prompt, &output.into()).to_string();
    let url = format!("{}{}", target.base_url, target.endpoint.path());
    let asked_with = secrets.clone();
    let asked = tokio::task::spawn_blocking(move || {
        let asker = Asker { target: &target, secrets: &asked_with };
        let said = ask(Method::Json(&body), &url, asker, ANSWER_MAX, TIMEOUT);
        said.map(|said| (said, target.endpoint))
    });
    match asked.await {
        Ok(Ok((said, endpoint))) => read(&said, endpoint, secrets),
        Ok(Err(why)) => Err(NotCounted::Unreached(why)),
        Err(error) => Err(NotCounted::Unreached(error.to_string())),
    }
}

fn read(said: &Said, endpoint: Endpoint, secrets: &Secrets) -> Result<u64, NotCounted> {
    if said.status != 200 {
        let words = said.body.split_whitespace().collect::<Vec<_>>().join(" ");
        let words = words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(CHARS_MAX);
        let words: String = words.collect();
        let words = secrets.without(&words);
        return Err(NotCounted::Refused(format!("HTTP {} {words}", said.status).trim().to_owned()));
    }
    let answer: Value = serde_json::from_str(&said.body).map_err(|_| NotCounted::NoUsage)?;
    let count = |name: &str| answer.get("usage")?.get(name)?.as_u64();
    let tokens = match endpoint {
        Endpoint::Chat | Endpoint::Completions | Endpoint::Embeddings => count("prompt_tokens"),
        Endpoint::Responses => count("input_tokens"),
        // Of this API, tokens that came from a cache or went into one are counted apart.
        Endpoint::Messages => count("input_tokens").map(|tokens| {
            let beside = ["cache_read_input_tokens", "cache_creation_input_tokens"];
            tokens.saturating_add(beside.into_iter().filter_map(count).sum())
        }),
    };
    tokens.filter(|tokens| *tokens > 0).ok_or(NotCounted::NoUsage)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(endpoint: Endpoint, status: u16, body: &str) -> Result<u64, String> {
        let said = Said { status, body: body.to_owned() };
        let api_key = Some("sk-x".to_owned().into());
        read(&said, endpoint, &Secrets { api_key, ..Secrets::default() })
            .map_err(|error| error.to_string())
    }

    #[test]
    fn usage_is_read_as_each_endpoint_states_it() {
        let chat = r#"{"choices":[],"usage":{"prompt_tokens":31,"completion_tokens":1}}"#;
        assert_eq!(check(Endpoint::Chat, 200, chat), Ok(31));
        assert_eq!(check(Endpoint::Embeddings, 200, chat), Ok(31));
        let response = r#"{"usage":{"input_tokens":31,"output_tokens":1}}"#;
        assert_eq!(check(Endpoint::Responses, 200, response), Ok(31));
        let cached = r#"{"usage":{"input_tokens":2,"cache_read_input_tokens":29,
            "cache_creation_input_tokens":null}}"#;
        assert_eq!(check(Endpoint::Messages, 200, cached), Ok(31));
    }

    #[test]
    fn no_usage_and_refusals_are_told_apart_and_no_key_is_repeated() {
        for nothing in ["", "[]", "{}", r#"{"usage":null}"#, r#"{"usage":{"prompt_tokens":0}}"#] {
            assert_eq!(
                check(Endpoint::Chat, 200, nothing).unwrap_err(),
                "its answers state no usage"
            );
        }
        let refused = "{\"error\":\n \"too long for sk-x\u{1b}\"}";
        insta::assert_snapshot!(check(Endpoint::Chat, 400, refused).unwrap_err(), @r#"it refused a prompt that was to be counted: HTTP 400 {"error": "too long for [API key] "}"#);
    }
}
