//! The OpenAI API as bytes: request bodies are read, events and bodies of replies are composed.
//! No socket, no clock.

use std::fmt;
use std::io::Write as _;

use common::workload::CHARS_PER_TOKEN;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::json;

use super::model::Sequence;

/// The two endpoints that produce tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Chat,
    Completions,
}

/// A request as far as it matters here. Everything else in a body is accepted and ignored; every
/// reply has as many tokens as asked for, so `ignore_eos` and `min_tokens` have nothing to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    pub(super) tokens: u32,
    pub(super) prompt_tokens: u64,
}

/// Tokens of a reply to a request that sets no limit.
const TOKENS_DEFAULT: u32 = 128;
/// The most tokens that may be asked for.
const TOKENS_MAX: u32 = 1_000_000;

impl Ask {
    /// Reads a request body; the error is the message for the client.
    pub(super) fn parse(endpoint: Endpoint, body: &[u8]) -> Result<Self, String> {
        let body: Body = serde_json::from_slice(body)
            .map_err(|error| format!("the body is not a request in JSON: {error}"))?;
        let (name, prompt) = match endpoint {
            Endpoint::Chat => (
                "messages",
                body.messages.map(|messages| {
                    let contents = messages.into_iter().filter_map(|message| message.content);
                    contents.map(|Characters(count)| count).sum()
                }),
            ),
            Endpoint::Completions => ("prompt", body.prompt.map(|Characters(count)| count)),
        };
        let Some(characters): Option<u64> = prompt else {
            return Err(format!("{name} is missing"));
        };
        let tokens = body.max_completion_tokens.or(body.max_tokens).unwrap_or(TOKENS_DEFAULT);
        if tokens == 0 || tokens > TOKENS_MAX {
            return Err(format!("max_tokens is {tokens}; it must be from 1 to {TOKENS_MAX}"));
        }
        Ok(Self {
            stream: body.stream.unwrap_or(false),
            include_usage: body
                .stream_options
                .and_then(|options| options.include_usage)
                .unwrap_or(false),
            tokens,
            prompt_tokens: characters.div_ceil(CHARS_PER_TOKEN.into()),
        })
    }
}

#[derive(Deserialize)]
struct Body {
    messages: Option<Vec<Message>>,
    prompt: Option<Characters>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<Characters>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

/// Characters of all text in a prompt or a message, whatever its form: a text, texts, token ids,
/// parts.
#[derive(Clone, Copy, Debug, Default)]
struct Characters(u64);

impl<'de> Deserialize<'de> for Characters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Count)
    }
}

struct Count;

impl<'de> Visitor<'de> for Count {
    type Value = Characters;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, texts, token ids, or parts")
    }

    fn visit_str<E>(self, text: &str) -> Result<Characters, E> {
        Ok(Characters(text.chars().count() as u64))
    }

    fn visit_unit<E>(self) -> Result<Characters, E> {
        Ok(Characters::default())
    }

    /// A token id.
    fn visit_u64<E>(self, _: u64) -> Result<Characters, E> {
        Ok(Characters(CHARS_PER_TOKEN.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Characters, A::Error> {
        let mut sum = Characters::default();
        while let Some(Characters(more)) = parts.next_element()? {
            sum.0 += more;
        }
        Ok(sum)
    }

    fn visit_map<A: MapAccess<'de>>(self, part: A) -> Result<Characters, A::Error> {
        let part = Part::deserialize(MapAccessDeserializer::new(part))?;
        Ok(part.text.unwrap_or_default())
    }
}

/// A part of a message; images and the like have no text.
#[derive(Deserialize)]
struct Part {
    text: Option<Characters>,
}

/// Why a reply stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It has the length that was asked for.
    Length,
    /// By itself.
    Stop,
}

impl Reason {
    fn name(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Stop => "stop",
        }
    }
}

/// Composes the reply to one request. What is the same in all of its events is made once.
#[derive(Debug)]
pub(super) struct Reply {
    endpoint: Endpoint,
    sequence: u64,
    prompt_tokens: u64,
    /// From the opening brace to the bracket of `choices`.
    stream_head: String,
    /// The same for a reply in one piece.
    whole_head: String,
}

impl Reply {
    pub(super) fn new(
        endpoint: Endpoint,
        sequence: Sequence,
        model: &str,
        created_s: u64,
        prompt_tokens: u64,
    ) -> Self {
        let Sequence(sequence) = sequence;
        let model = json!(model);
        let (prefix, stream, whole) = match endpoint {
            Endpoint::Chat => ("chatcmpl", "chat.completion.chunk", "chat.completion"),
            Endpoint::Completions => ("cmpl", "text_completion", "text_completion"),
        };
        let head = |object| {
            format!(
                r#"{{"id":"{prefix}-{sequence:016x}","object":"{object}","created":{created_s},"model":{model},"choices":["#
            )
        };
        Self {
            endpoint,
            sequence,
            prompt_tokens,
            stream_head: head(stream),
            whole_head: head(whole),
        }
    }

    /// The first event of a chat stream: who speaks, and no text yet. Other streams have none.
    pub(super) fn role(&self, out: &mut Vec<u8>) {
        match self.endpoint {
            Endpoint::Chat => event(
                out,
                &[
                    &self.stream_head,
                    r#"{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}"#,
                ],
            ),
            Endpoint::Completions => {}
        }
    }

    /// The event of token number `place`; the last one carries the reason.
    pub(super) fn token(&self, out: &mut Vec<u8>, place: u32, reason: Option<Reason>) {
        self.delta(out, self.word(place), reason);
    }

    /// An event with a reason and no text.
    pub(super) fn stop(&self, out: &mut Vec<u8>, reason: Reason) {
        self.delta(out, "", Some(reason));
    }

    fn delta(&self, out: &mut Vec<u8>, text: &str, reason: Option<Reason>) {
        let (before, after) = match self.endpoint {
            Endpoint::Chat => {
                (r#"{"index":0,"delta":{"content":""#, r#""},"logprobs":null,"finish_reason":"#)
            }
            Endpoint::Completions => {
                (r#"{"index":0,"text":""#, r#"","logprobs":null,"finish_reason":"#)
            }
        };
        let reason = match reason {
            None => "null}]}",
            Some(Reason::Length) => r#""length"}]}"#,
            Some(Reason::Stop) => r#""stop"}]}"#,
        };
        event(out, &[&self.stream_head, before, text, after, reason]);
    }

    /// The event that states the usage.
    pub(super) fn usage(&self, out: &mut Vec<u8>, tokens: u32) {
        event(out, &[&self.stream_head, r#"],"usage":"#, &self.usage_object(tokens), "}"]);
    }

    /// The body of a reply in one piece.
    pub(super) fn whole(&self, tokens: u32, reason: Reason, usage: bool) -> Vec<u8> {
        let text: String = (0..tokens).map(|place| self.word(place)).collect();
        let choice = match self.endpoint {
            Endpoint::Chat => {
                format!(r#"{{"index":0,"message":{{"role":"assistant","content":"{text}"}}"#)
            }
            Endpoint::Completions => format!(r#"{{"index":0,"text":"{text}""#),
        };
        let usage = if usage {
            format!(r#","usage":{}"#, self.usage_object(tokens))
        } else {
            String::new()
        };
        format!(
            r#"{head}{choice},"logprobs":null,"finish_reason":"{reason}"}}]{usage}}}"#,
            head = self.whole_head,
            reason = reason.name(),
        )
        .into_bytes()
    }

    fn usage_object(&self, tokens: u32) -> String {
        let prompt = self.prompt_tokens;
        let total = prompt.saturating_add(tokens.into());
        format!(
            r#"{{"prompt_tokens":{prompt},"completion_tokens":{tokens},"total_tokens":{total}}}"#
        )
    }

    /// Words need no escaping in JSON.
    fn word(&self, place: u32) -> &'static str {
        let turn = self.sequence.wrapping_add(place.into()) % WORDS.len() as u64;
        usize::try_from(turn).ok().and_then(|turn| WORDS.get(turn)).unwrap_or(&" and")
    }
}

const WORDS: [&str; 16] = [
    " the",
    " flood",
    " rose",
    " past",
    " every",
    " mark",
    " on",
    " its",
    " old",
    " stone",
    " and",
    " still",
    " we",
    " measured",
    " it",
    ".",
];

/// The event that ends every stream.
pub(super) fn done(out: &mut Vec<u8>) {
    event(out, &["[DONE]"]);
}

/// An event with an error object.
pub(super) fn error_event(out: &mut Vec<u8>, message: &str) {
    event(out, &[&error_body("internal_error", 500, message)]);
}

/// The body of a refusal.
pub(super) fn error_body(kind: &str, status: u16, message: &str) -> String {
    json!({"error": {"message": message, "type": kind, "param": null, "code": status}}).to_string()
}

/// The list of models: one.
pub(super) fn models(model: &str) -> String {
    json!({
        "object": "list",
        "data": [{"id": model, "object": "model", "created": 0, "owned_by": "floodmark"}],
    })
    .to_string()
}

/// One server-sent event as one chunk of an HTTP body.
fn event(out: &mut Vec<u8>, parts: &[&str]) {
    const PREFIX: &[u8] = b"data: ";
    const SUFFIX: &[u8] = b"\n\n";
    let text: usize = parts.iter().map(|part| part.len()).sum();
    chunk_head(out, PREFIX.len() + text + SUFFIX.len());
    out.extend_from_slice(PREFIX);
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(SUFFIX);
    out.extend_from_slice(b"\r\n");
}

/// The size line of a chunk.
pub(super) fn chunk_head(out: &mut Vec<u8>, length: usize) {
    // Writing to memory cannot fail.
    let written = write!(out, "{length:x}\r\n");
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(endpoint: Endpoint, body: &str) -> Result<Ask, String> {
        Ask::parse(endpoint, body.as_bytes())
    }

    #[test]
    fn prompts_of_every_form_have_their_characters() {
        for (endpoint, body, tokens) in [
            (Endpoint::Chat, r#"{"messages":[]}"#, 0),
            (Endpoint::Chat, r#"{"messages":[{"role":"user","content":"12345"}]}"#, 2),
            (
                Endpoint::Chat,
                r#"{"messages":[{"role":"system","content":"äöü\n"},{"role":"user","content":"1"}]}"#,
                2,
            ),
            (
                Endpoint::Chat,
                r#"{"messages":[{"role":"user","content":[{"type":"text","text":"1234"},
                    {"type":"image_url","image_url":{"url":"data:xxxxxxxxxxxxxxxxxxxxx"}}]}]}"#,
                1,
            ),
            (
                Endpoint::Chat,
                r#"{"messages":[{"role":"assistant","content":null,"tool_calls":[{"x":1.5}]}]}"#,
                0,
            ),
            (Endpoint::Completions, r#"{"prompt":"12345678"}"#, 2),
            (Endpoint::Completions, r#"{"prompt":["1234","1234"]}"#, 2),
            (Endpoint::Completions, r#"{"prompt":[1,2,3]}"#, 3),
            (Endpoint::Completions, r#"{"prompt":[[1,2],[3]]}"#, 3),
        ] {
            let ask = ask(endpoint, body);
            assert_eq!(ask.map(|ask| ask.prompt_tokens), Ok(tokens), "{body}");
        }
    }

    #[test]
    fn a_request_says_what_it_wants() {
        let full = ask(
            Endpoint::Chat,
            r#"{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true},
                "max_tokens":9,"max_completion_tokens":7,"ignore_eos":true,"temperature":0.0}"#,
        );
        assert_eq!(
            full,
            Ok(Ask { stream: true, include_usage: true, tokens: 7, prompt_tokens: 0 })
        );
        let least = ask(Endpoint::Completions, r#"{"prompt":"","max_tokens":null}"#).unwrap();
        assert!(!least.stream && !least.include_usage);
        assert_eq!(least.tokens, TOKENS_DEFAULT);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for body in [
            "",
            "{",
            "[]",
            "null",
            "{}",
            r#"{"prompt":"for the other endpoint"}"#,
            r#"{"messages":3}"#,
            r#"{"messages":"text"}"#,
            r#"{"messages":[{"content":3.5}]}"#,
            r#"{"messages":[],"max_tokens":0}"#,
            r#"{"messages":[],"max_tokens":1000001}"#,
            r#"{"messages":[],"max_tokens":-1}"#,
            r#"{"messages":[],"stream":"yes"}"#,
            r#"{"messages":[]} x"#,
        ] {
            assert!(ask(Endpoint::Chat, body).is_err(), "{body}");
        }
    }

    #[test]
    fn replies_look_like_this() {
        let mut out = Vec::new();
        let mut text = String::new();
        for endpoint in [Endpoint::Chat, Endpoint::Completions] {
            let reply = Reply::new(endpoint, Sequence(26), "a \"model\"", 3, 5);
            reply.role(&mut out);
            reply.token(&mut out, 0, None);
            reply.token(&mut out, 1, Some(Reason::Length));
            reply.stop(&mut out, Reason::Stop);
            reply.usage(&mut out, 2);
            text += &String::from_utf8(reply.whole(2, Reason::Length, true)).unwrap();
            text += "\n";
            text += &String::from_utf8(reply.whole(0, Reason::Stop, false)).unwrap();
            text += "\n";
        }
        error_event(&mut out, "broken");
        done(&mut out);
        let events = String::from_utf8(out).unwrap().replace("\r\n", "\n");
        insta::assert_snapshot!(events + &text);
    }
}
