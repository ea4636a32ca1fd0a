//! The APIs as bytes: request bodies are read, events and bodies of replies are composed, each API
//! in a file of its own. No socket, no clock.

mod ask;
mod choices;
mod embeddings;
mod messages;
mod responses;

use std::io::Write as _;

use common::target::Endpoint;
use serde_json::json;

use super::model::Sequence;

pub(super) use ask::Ask;
use choices::Choices;
use embeddings::Embeddings;
use messages::Messages;
use responses::Responses;

/// Why a reply stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It has the length that was asked for.
    Length,
    /// By itself.
    Stop,
}

/// Composes the reply to one request. What is the same in all of its events is made once.
#[derive(Debug)]
pub(super) enum Reply {
    Choices(Choices),
    Responses(Responses),
    Messages(Messages),
    Embeddings(Embeddings),
}

/// What a reply says of itself, and of the prompt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub(super) sequence: Sequence,
    pub(super) model: &'a str,
    pub(super) created_s: u64,
    pub(super) prompt_tokens: u64,
}

impl Reply {
    pub(super) fn new(endpoint: Endpoint, facts: Facts<'_>) -> Self {
        match endpoint {
            Endpoint::Chat => Self::Choices(Choices::chat(facts)),
            Endpoint::Completions => Self::Choices(Choices::completions(facts)),
            Endpoint::Responses => Self::Responses(Responses::new(facts)),
            Endpoint::Messages => Self::Messages(Messages::new(facts)),
            Endpoint::Embeddings => Self::Embeddings(Embeddings::new(facts)),
        }
    }

    /// What a stream begins with: who speaks, and no text yet. Not all have it.
    pub(super) fn begin(&self, out: &mut Vec<u8>) {
        match self {
            Self::Choices(reply) => reply.begin(out),
            Self::Responses(reply) => reply.begin(out),
            Self::Messages(reply) => reply.begin(out),
            Self::Embeddings(_) => {}
        }
    }

    /// The event of token number `place`; the last one carries the reason where it has a place.
    pub(super) fn token(&self, out: &mut Vec<u8>, place: u32, reason: Option<Reason>) {
        match self {
            Self::Choices(reply) => reply.token(out, place, reason),
            Self::Responses(reply) => reply.token(out, place),
            Self::Messages(reply) => reply.token(out, place),
            Self::Embeddings(_) => {}
        }
    }

    /// The reason of a reply that has no token to carry it, where one would have.
    pub(super) fn stop(&self, out: &mut Vec<u8>, reason: Reason) {
        match self {
            Self::Choices(reply) => reply.stop(out, reason),
            Self::Responses(_) | Self::Messages(_) | Self::Embeddings(_) => {}
        }
    }

    /// What follows the last token: the reason unless it has been given, and the usage if it is to
    /// be stated.
    pub(super) fn finish(&self, out: &mut Vec<u8>, tokens: u32, reason: Reason, usage: bool) {
        match self {
            Self::Choices(reply) => reply.finish(out, tokens, usage),
            Self::Responses(reply) => reply.finish(out, tokens, reason, usage),
            Self::Messages(reply) => reply.finish(out, tokens, reason, usage),
            Self::Embeddings(_) => {}
        }
    }

    /// The event that ends every stream, where there is one.
    pub(super) fn done(&self, out: &mut Vec<u8>) {
        match self {
            Self::Choices(_) => event(out, None, &["[DONE]"]),
            Self::Responses(_) | Self::Messages(_) | Self::Embeddings(_) => {}
        }
    }

    /// An event with an error object.
    pub(super) fn error(&self, out: &mut Vec<u8>, message: &str) {
        match self {
            Self::Choices(_) => {
                event(out, None, &[&error_body("internal_error", 500, message)]);
            }
            Self::Responses(_) => responses::error(out, message),
            Self::Messages(_) => {
                event(out, Some("error"), &[&self.refusal("api_error", 500, message)]);
            }
            Self::Embeddings(_) => {}
        }
    }

    /// The body of a reply in one piece.
    pub(super) fn whole(&self, tokens: u32, reason: Reason, usage: bool) -> Vec<u8> {
        match self {
            Self::Choices(reply) => reply.whole(tokens, reason, usage),
            Self::Responses(reply) => reply.whole(tokens, reason, usage),
            Self::Messages(reply) => reply.whole(tokens, reason, usage),
            Self::Embeddings(reply) => reply.whole(tokens, usage),
        }
    }

    /// The body of a refusal.
    pub(super) fn refusal(&self, kind: &str, status: u16, message: &str) -> String {
        match self {
            Self::Choices(_) | Self::Responses(_) | Self::Embeddings(_) => {
                error_body(kind, status, message)
            }
            Self::Messages(_) => messages::error_body(kind, message),
        }
    }
}

/// The texts of one reply's tokens.
#[derive(Clone, Copy, Debug)]
struct Words(u64);

impl Words {
    fn of(Sequence(sequence): Sequence) -> Self {
        Self(sequence)
    }

    /// Words need no escaping in JSON.
    fn word(self, place: u32) -> &'static str {
        let turn = self.0.wrapping_add(place.into()) % WORDS.len() as u64;
        usize::try_from(turn).ok().and_then(|turn| WORDS.get(turn)).unwrap_or(&" and")
    }

    /// The first `tokens` of them.
    fn text(self, tokens: u32) -> String {
        (0..tokens).map(|place| self.word(place)).collect()
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

/// The body of a refusal where the API is not known, and of those of OpenAI.
pub(super) fn error_body(kind: &str, status: u16, message: &str) -> String {
    json!({"error": {"message": message, "type": kind, "param": null, "code": status}}).to_string()
}

/// The list of models: one.
pub(super) fn models<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let model = |id| json!({"id": id, "object": "model", "created": 0, "owned_by": "floodmark"});
    json!({ "object": "list", "data": names.map(model).collect::<Vec<_>>() }).to_string()
}

/// One server-sent event as one chunk of an HTTP body.
fn event(out: &mut Vec<u8>, name: Option<&str>, parts: &[&str]) {
    let named: &[&str] = match name {
        Some(name) => &["event: ", name, "\n"],
        None => &[],
    };
    let all = || named.iter().chain(&["data: "]).chain(parts).chain(&["\n\n"]);
    chunk_head(out, all().map(|part| part.len()).sum());
    for part in all() {
        out.extend_from_slice(part.as_bytes());
    }
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

    #[test]
    fn replies_look_like_this() {
        let mut shown = String::new();
        for endpoint in Endpoint::ALL {
            let facts = Facts {
                sequence: Sequence(26),
                model: "a \"model\"",
                created_s: 3,
                prompt_tokens: 5,
            };
            let reply = Reply::new(endpoint, facts);
            let mut out = Vec::new();
            reply.begin(&mut out);
            reply.token(&mut out, 0, None);
            reply.token(&mut out, 1, Some(Reason::Length));
            reply.stop(&mut out, Reason::Stop);
            reply.finish(&mut out, 2, Reason::Length, true);
            reply.finish(&mut out, 0, Reason::Stop, false);
            reply.error(&mut out, "broken");
            reply.done(&mut out);
            shown += &format!("# {}\n", endpoint.name());
            shown += &String::from_utf8(out).unwrap().replace("\r\n", "\n");
            for whole in [reply.whole(2, Reason::Length, true), reply.whole(0, Reason::Stop, false)]
            {
                shown += &(String::from_utf8(whole).unwrap() + "\n");
            }
            shown += &(reply.refusal("busy", 503, "no room") + "\n");
        }
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn replies_are_json() {
        let facts = Facts { sequence: Sequence(1), model: "m", created_s: 0, prompt_tokens: 2 };
        for endpoint in Endpoint::ALL {
            let reply = Reply::new(endpoint, facts);
            let mut out = Vec::new();
            reply.begin(&mut out);
            reply.token(&mut out, 0, Some(Reason::Length));
            reply.finish(&mut out, 1, Reason::Length, true);
            reply.error(&mut out, "a \"b\"");
            let stream = String::from_utf8(out).unwrap();
            let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
            let mut texts: Vec<String> = data.map(str::to_owned).collect();
            for usage in [true, false] {
                texts.push(String::from_utf8(reply.whole(1, Reason::Stop, usage)).unwrap());
            }
            texts.push(reply.refusal("a", 500, "b"));
            for text in texts {
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert!(value.is_object(), "{text}");
            }
        }
    }
}
