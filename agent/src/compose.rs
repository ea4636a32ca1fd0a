//! Requests as bytes, made before the instant at which they are to be sent.
//!
//! All requests of a level share their bytes but for a nonce of fixed length, so a distinct prompt
//! costs no more than a fixed one: no request is copied, formatted or allocated when it is sent.

use common::assignment::Assignment;
use common::detail::without_secret;
use common::ids::UserId;
use common::phase::Phase;
use common::seed::Seed;
use common::target::{Connection, Endpoint, Target};
use common::workload::{CHARS_PER_TOKEN, CacheMode, Workload};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

/// What prompts are made of: four sentences, repeated to the length asked for. The paper's own
/// passage is unpublished; this one is ours, of the same kind.
pub const PASSAGE: &str = "A neural network learns by comparing what it predicted with what was \
    seen, and by moving each of its weights a little in the direction that would have made the \
    error smaller. Deep models stack many such layers, so that early layers find simple patterns \
    and later ones combine them into concepts. Attention lets every position of a sequence look \
    at every other one and decide how much each of them matters. At serving time the weights no \
    longer change, and the work is to move them through memory fast enough for everyone who \
    waits. ";

const NONCE_LEN: usize = 16;

/// The bytes of a level's requests.
pub struct Composer {
    before: Vec<u8>,
    after: Vec<u8>,
    nonce: Option<NonceSource>,
    api_key: Option<SecretString>,
    /// Makes one user's requests panic, for testing what a bug in a user's task does.
    #[cfg(test)]
    panic_at: Option<UserId>,
}

#[derive(Clone, Copy)]
struct NonceSource {
    seed: Seed,
    phase: Phase,
    place: u32,
}

/// One request, ready to be written: its bytes are these three in a row.
pub struct Request<'a> {
    /// Head and body up to the nonce.
    pub before: &'a [u8],
    /// The nonce; empty where prompts are the same.
    pub nonce: [u8; NONCE_LEN],
    /// How much of the nonce is used: all or nothing.
    pub nonce_len: usize,
    /// The rest of the body.
    pub after: &'a [u8],
}

impl Composer {
    /// Prepares the bytes of a level's requests.
    pub fn new(assignment: &Assignment, api_key: Option<&SecretString>) -> Self {
        let Assignment { workload, target, .. } = assignment;
        let nonce = match workload.cache {
            CacheMode::Cold => Some(NonceSource {
                seed: assignment.seed,
                phase: assignment.phase,
                place: assignment.place,
            }),
            CacheMode::Replay => None,
        };
        let nonce_len = if nonce.is_some() { NONCE_LEN } else { 0 };
        let (body_before, body_after) = body(workload, target, nonce_len);
        let length = body_before.len() + nonce_len + body_after.len();
        let mut before = head(target, length, api_key);
        before.extend_from_slice(body_before.as_bytes());
        Self {
            before,
            after: body_after.into_bytes(),
            nonce,
            api_key: api_key.cloned(),
            #[cfg(test)]
            panic_at: crate::testing::panic_at(target),
        }
    }

    /// The request of a user with this number.
    pub fn request(&self, user: UserId, number: u64) -> Request<'_> {
        #[cfg(test)]
        assert_ne!(self.panic_at, Some(user), "a user's task was made to panic");
        let mut nonce = [0; NONCE_LEN];
        let mut nonce_len = 0;
        if let Some(NonceSource { seed, phase, place }) = self.nonce {
            let mut bits = seed.request(phase, place, user, number).next_u64();
            for digit in &mut nonce {
                *digit = b'a' + (bits & 15) as u8;
                bits >>= 4;
            }
            nonce_len = NONCE_LEN;
        }
        Request { before: &self.before, nonce, nonce_len, after: &self.after }
    }

    /// A server's words without the key that was sent to it.
    pub fn without_key(&self, words: String) -> String {
        match &self.api_key {
            Some(key) => without_secret(&words, key.expose_secret()),
            None => words,
        }
    }

    /// Bytes held for the level.
    pub fn size(&self) -> usize {
        self.before.len() + self.after.len()
    }
}

fn head(target: &Target, length: usize, api_key: Option<&SecretString>) -> Vec<u8> {
    let accept = if target.stream { "text/event-stream" } else { "application/json" };
    let mut head = format!(
        "POST {}{} HTTP/1.1\r\nhost: {}\r\nuser-agent: floodmark/{}\r\naccept: {accept}\r\n\
         accept-encoding: identity\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n",
        target.base_url.path,
        target.endpoint.path(),
        target.base_url.authority(),
        env!("CARGO_PKG_VERSION"),
    );
    let mut field = |parts: &[&str]| {
        head.extend(parts.iter().copied().chain(["\r\n"]));
    };
    match target.connection {
        Connection::KeepAlive => {}
        Connection::PerRequest => field(&["connection: close"]),
    }
    for (name, value) in target.endpoint.head_fields() {
        field(&[name, ": ", value]);
    }
    if let Some(key) = api_key {
        for (name, before) in target.endpoint.key_fields() {
            field(&[name, ": ", before, key.expose_secret()]);
        }
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// The body in two parts, a nonce of `nonce_len` letters being put between them.
fn body(workload: &Workload, target: &Target, nonce_len: usize) -> (String, String) {
    // A character that JSON leaves alone and that no field holds marks the nonce's place.
    const MARK: &str = "\u{fdd0}";
    let text = prompt(workload.input_tokens, nonce_len);
    let prompt = if nonce_len > 0 { format!("{MARK} {text}") } else { text };
    let text = fields(workload, target, prompt).to_string();
    match text.split_once(MARK) {
        Some((before, after)) => (before.to_owned(), after.to_owned()),
        None => (text, String::new()),
    }
}

/// The body's fields. What makes an answer as long as asked for has no place in the APIs: vLLM reads
/// `min_tokens` beside `ignore_eos` where the endpoint knows it, and other servers the latter.
fn fields(workload: &Workload, target: &Target, prompt: String) -> Value {
    let (model, stream, output) = (&target.model, target.stream, workload.output_tokens);
    let mut body = match target.endpoint {
        Endpoint::Chat => json!({ "messages": [{ "role": "user", "content": prompt }] }),
        Endpoint::Completions => json!({ "prompt": prompt }),
        // A server that is measured is not asked to keep what it said.
        Endpoint::Responses => json!({ "input": prompt, "store": false }),
        Endpoint::Messages => json!({ "messages": [{ "role": "user", "content": prompt }] }),
        Endpoint::Embeddings => json!({ "input": prompt, "encoding_format": "float" }),
    };
    let mut set = |key: &str, value: Value| {
        if let Some(object) = body.as_object_mut() {
            object.insert(key.to_owned(), value);
        }
    };
    set("model", model.as_str().into());
    if !target.endpoint.generates() {
        return body;
    }
    set("temperature", 0.into());
    set("stream", stream.into());
    match target.endpoint {
        Endpoint::Chat | Endpoint::Completions => {
            set("max_tokens", output.into());
            if stream {
                set("stream_options", json!({ "include_usage": true }));
            }
            if workload.forced_length {
                set("ignore_eos", true.into());
                set("min_tokens", output.into());
            }
        }
        Endpoint::Responses => {
            set("max_output_tokens", output.into());
            if workload.forced_length {
                set("ignore_eos", true.into());
            }
        }
        Endpoint::Messages => set("max_tokens", output.into()),
        Endpoint::Embeddings => {}
    }
    body
}

/// `input_tokens` times [`CHARS_PER_TOKEN`] characters of passage, nonce and its space included.
fn prompt(input_tokens: u32, nonce_len: usize) -> String {
    let chars = input_tokens as usize * CHARS_PER_TOKEN as usize;
    let taken = if nonce_len > 0 { nonce_len + 1 } else { 0 };
    PASSAGE.chars().cycle().take(chars.saturating_sub(taken).max(1)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::testing::assignment;

    fn bytes(request: &Request<'_>) -> Vec<u8> {
        [request.before, &request.nonce[..request.nonce_len], request.after].concat()
    }

    fn parse(bytes: &[u8]) -> (String, Value) {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())));
        (head.to_owned(), serde_json::from_str(body).unwrap())
    }

    #[test]
    fn a_cold_prompt_is_its_own_and_has_the_length_asked_for() {
        let mut assignment = assignment("http://127.0.0.1:8000");
        assignment.workload.cache = CacheMode::Cold;
        assignment.workload.input_tokens = 100;
        let composer = Composer::new(&assignment, None);
        let mut seen = BTreeSet::new();
        for user in 0..10 {
            for number in 0..10 {
                let (_, body) = parse(&bytes(&composer.request(UserId(user), number)));
                let prompt = body["messages"][0]["content"].as_str().unwrap().to_owned();
                assert_eq!(prompt.chars().count(), 400);
                assert!(seen.insert(prompt[..NONCE_LEN].to_owned()));
            }
        }
    }

    #[test]
    fn a_replayed_prompt_is_the_same_for_all() {
        let composer = Composer::new(&assignment("http://127.0.0.1:8000"), None);
        let one = bytes(&composer.request(UserId(0), 0));
        assert_eq!(one, bytes(&composer.request(UserId(7), 3)));
        let (head, body) = parse(&one);
        assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:8000\r\n"));
        assert!(!head.contains("authorization"));
        assert_eq!(body["ignore_eos"], true);
        assert_eq!(body["stream_options"]["include_usage"], true);
        assert_eq!(body["max_tokens"], body["min_tokens"]);
    }

    #[test]
    fn completions_carry_a_prompt_and_the_key_goes_into_the_head_only() {
        let mut assignment = assignment("https://example.com/proxy");
        assignment.target.endpoint = Endpoint::Completions;
        assignment.target.stream = false;
        assignment.workload.forced_length = false;
        let composer = Composer::new(&assignment, Some(&"sk-x".to_owned().into()));
        let (head, body) = parse(&bytes(&composer.request(UserId(0), 0)));
        assert!(head.starts_with("POST /proxy/v1/completions HTTP/1.1\r\nhost: example.com\r\n"));
        assert!(head.contains("\r\nauthorization: Bearer sk-x"));
        assert!(body["prompt"].is_string() && body.get("messages").is_none());
        assert!(body.get("ignore_eos").is_none() && body.get("stream_options").is_none());
        assert!(!head.contains("x-api-key") && !head.contains("connection"));
        assignment.target.connection = Connection::PerRequest;
        let composer = Composer::new(&assignment, Some(&"sk-x".to_owned().into()));
        let (head, body) = parse(&bytes(&composer.request(UserId(0), 0)));
        assert!(head.contains("\r\nconnection: close\r\nauthorization: Bearer sk-x"));
        assert!(!body.to_string().contains("sk-x"));
        assert_eq!(composer.without_key("no sk-x".to_owned()), "no [API key]");
    }

    #[test]
    fn every_endpoint_is_asked_in_its_own_words() {
        let asked = |endpoint: Endpoint, stream: bool, forced_length: bool| {
            let mut assignment = assignment("http://127.0.0.1:8000");
            assignment.target = Target { endpoint, stream, ..assignment.target };
            assignment.workload.forced_length = forced_length;
            assignment.workload.cache = CacheMode::Cold;
            assignment.workload.input_tokens = 30;
            let composer = Composer::new(&assignment, Some(&"sk-x".to_owned().into()));
            let (head, mut body) = parse(&bytes(&composer.request(UserId(0), 0)));
            let text = match endpoint {
                Endpoint::Chat | Endpoint::Messages => &mut body["messages"][0]["content"],
                Endpoint::Completions => &mut body["prompt"],
                Endpoint::Responses | Endpoint::Embeddings => &mut body["input"],
            };
            assert_eq!(text.take().as_str().unwrap().chars().count(), 120, "{endpoint:?}");
            let place = format!("POST {} HTTP/1.1\r\n", endpoint.path());
            assert!(head.starts_with(&place), "{head}");
            assert_eq!(head.matches("\r\nauthorization: Bearer sk-x").count(), 1);
            let messages = endpoint == Endpoint::Messages;
            assert_eq!(head.contains("\r\nx-api-key: sk-x"), messages);
            assert_eq!(head.contains("\r\nanthropic-version: 2023-06-01\r\n"), messages);
            body
        };
        assert_eq!(
            asked(Endpoint::Responses, true, true),
            json!({
                "model": "mock", "input": null, "store": false, "max_output_tokens": 4,
                "temperature": 0, "stream": true, "ignore_eos": true,
            })
        );
        let body = asked(Endpoint::Responses, false, false);
        assert_eq!((&body["stream"], body.get("ignore_eos")), (&json!(false), None));
        assert_eq!(
            asked(Endpoint::Messages, true, false),
            json!({
                "model": "mock", "messages": [{ "role": "user", "content": null }],
                "max_tokens": 4, "temperature": 0, "stream": true,
            })
        );
        assert_eq!(
            asked(Endpoint::Embeddings, false, true),
            json!({ "model": "mock", "input": null, "encoding_format": "float" })
        );
        assert_eq!(asked(Endpoint::Chat, true, true)["min_tokens"], 4);
        assert_eq!(asked(Endpoint::Completions, true, true)["min_tokens"], 4);
    }
}
