//! Request bodies, as far as they matter here. Everything else in a body is accepted and ignored;
//! every reply has as many tokens as asked for, so what forces a length has nothing to change.

use std::fmt;

use common::target::Endpoint;
use common::text::CHARS_PER_TOKEN;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use crate::sim::count::Counting;
use crate::sim::images::ImageRef;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) struct Ask {
    pub(in crate::sim) endpoint: Endpoint,
    pub(in crate::sim) stream: bool,
    /// A stream is to state its usage.
    pub(in crate::sim) include_usage: bool,
    /// Tokens, or vectors: one.
    pub(in crate::sim) tokens: u32,
    pub(in crate::sim) prompt_tokens: u64,
}

/// Tokens of a reply to a request that sets no limit.
const TOKENS_DEFAULT: u32 = 128;
/// The most tokens that may be asked for.
const TOKENS_MAX: u32 = 1_000_000;

impl Ask {
    /// Reads a request body: what is asked for, without its images, and these; the error is the
    /// message for the client.
    pub(in crate::sim) fn parse(
        endpoint: Endpoint,
        body: &[u8],
        counting: Counting,
    ) -> Result<(Self, Vec<ImageRef>), String> {
        let body: Body = serde_json::from_slice(body)
            .map_err(|error| format!("the body is not a request in JSON: {error}"))?;
        let (name, prompt) = match endpoint {
            Endpoint::Chat | Endpoint::Messages => ("messages", body.messages.map(sum)),
            Endpoint::Completions => ("prompt", body.prompt),
            Endpoint::Responses | Endpoint::Embeddings => ("input", body.input),
        };
        let Some(mut prompt) = prompt else {
            return Err(format!("{name} is missing"));
        };
        let before = match endpoint {
            Endpoint::Messages => body.system,
            Endpoint::Responses => body.instructions,
            Endpoint::Chat | Endpoint::Completions | Endpoint::Embeddings => None,
        };
        prompt.add(before.unwrap_or_default());
        let (limit, tokens) = match endpoint {
            Endpoint::Chat | Endpoint::Completions => {
                ("max_tokens", body.max_completion_tokens.or(body.max_tokens))
            }
            Endpoint::Responses => ("max_output_tokens", body.max_output_tokens),
            Endpoint::Messages if body.max_tokens.is_none() => {
                return Err("max_tokens is missing".to_owned());
            }
            Endpoint::Messages => ("max_tokens", body.max_tokens),
            Endpoint::Embeddings => ("input", Some(1)),
        };
        let tokens = tokens.unwrap_or(TOKENS_DEFAULT);
        if tokens == 0 || tokens > TOKENS_MAX {
            return Err(format!("{limit} is {tokens}; it must be from 1 to {TOKENS_MAX}"));
        }
        let ask = Self {
            endpoint,
            stream: endpoint.generates() && body.stream.unwrap_or(false),
            include_usage: match endpoint {
                Endpoint::Chat | Endpoint::Completions => {
                    body.stream_options.and_then(|options| options.include_usage).unwrap_or(false)
                }
                Endpoint::Responses | Endpoint::Messages | Endpoint::Embeddings => true,
            },
            tokens,
            prompt_tokens: counting.tokens(prompt.characters),
        };
        Ok((ask, prompt.images))
    }
}

fn sum(messages: Vec<Message>) -> Content {
    let mut sum = Content::default();
    messages.into_iter().filter_map(|message| message.content).for_each(|more| sum.add(more));
    sum
}

#[derive(Deserialize)]
struct Body {
    messages: Option<Vec<Message>>,
    prompt: Option<Content>,
    input: Option<Content>,
    system: Option<Content>,
    instructions: Option<Content>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    max_output_tokens: Option<u32>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<Content>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

/// What is in a prompt or a message, whatever its form: a text, texts, token ids, parts.
#[derive(Debug, Default)]
struct Content {
    /// Characters of all text.
    characters: u64,
    images: Vec<ImageRef>,
}

impl Content {
    fn text(characters: u64) -> Self {
        Self { characters, images: Vec::new() }
    }

    fn add(&mut self, more: Self) {
        self.characters += more.characters;
        self.images.extend(more.images);
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Count)
    }
}

struct Count;

impl<'de> Visitor<'de> for Count {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, texts, token ids, or parts")
    }

    fn visit_str<E>(self, text: &str) -> Result<Content, E> {
        Ok(Content::text(text.chars().count() as u64))
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::default())
    }

    /// A token id.
    fn visit_u64<E>(self, _: u64) -> Result<Content, E> {
        Ok(Content::text(CHARS_PER_TOKEN.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Content, A::Error> {
        let mut sum = Content::default();
        while let Some(more) = parts.next_element()? {
            sum.add(more);
        }
        Ok(sum)
    }

    fn visit_map<A: MapAccess<'de>>(self, part: A) -> Result<Content, A::Error> {
        let part = Part::deserialize(MapAccessDeserializer::new(part))?;
        let mut content = part.text.unwrap_or_default();
        content.add(part.content.unwrap_or_default());
        content.images.extend(part.image_url.map(|ImageUrl(url)| ImageRef::Url(url)));
        content.images.extend(part.source.map(ImageRef::from));
        Ok(content)
    }
}

/// A part of a message, or a message among inputs.
#[derive(Deserialize)]
struct Part {
    text: Option<Content>,
    content: Option<Content>,
    image_url: Option<ImageUrl>,
    source: Option<Source>,
}

/// Where an image is: a text, or an object that has one.
struct ImageUrl(String);

impl<'de> Deserialize<'de> for ImageUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UrlVisitor)
    }
}

struct UrlVisitor;

impl<'de> Visitor<'de> for UrlVisitor {
    type Value = ImageUrl;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the URL of an image")
    }

    fn visit_str<E>(self, url: &str) -> Result<ImageUrl, E> {
        Ok(ImageUrl(url.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<ImageUrl, A::Error> {
        #[derive(Deserialize)]
        struct Object {
            url: String,
        }
        let Object { url } = Object::deserialize(MapAccessDeserializer::new(object))?;
        Ok(ImageUrl(url))
    }
}

/// Where an image is, in the Messages API.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Source {
    Base64 { media_type: String, data: String },
    Url { url: String },
}

impl From<Source> for ImageRef {
    fn from(source: Source) -> Self {
        match source {
            Source::Base64 { media_type, data } => Self::Data { media_type, data },
            Source::Url { url } => Self::Url(url),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(endpoint: Endpoint, body: &str) -> Result<Ask, String> {
        Ask::parse(endpoint, body.as_bytes(), Counting::default()).map(|(ask, _)| ask)
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
            (Endpoint::Responses, r#"{"input":"12345678"}"#, 2),
            (
                Endpoint::Responses,
                r#"{"instructions":"1234","input":[{"role":"user","content":"1234"},
                    {"role":"user","content":[{"type":"input_text","text":"1234"}]}]}"#,
                3,
            ),
            (
                Endpoint::Messages,
                r#"{"max_tokens":1,"system":[{"type":"text","text":"1234"}],
                    "messages":[{"role":"user","content":"12345"}]}"#,
                3,
            ),
            (Endpoint::Embeddings, r#"{"input":"12345","stream":true}"#, 2),
            (Endpoint::Embeddings, r#"{"input":["1234","1234"]}"#, 2),
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
            Ok(Ask {
                endpoint: Endpoint::Chat,
                stream: true,
                include_usage: true,
                tokens: 7,
                prompt_tokens: 0
            })
        );
        let least = ask(Endpoint::Completions, r#"{"prompt":"","max_tokens":null}"#).unwrap();
        assert!(!least.stream && !least.include_usage);
        assert_eq!(least.tokens, TOKENS_DEFAULT);
        let response =
            ask(Endpoint::Responses, r#"{"input":"","max_output_tokens":4,"max_tokens":9}"#);
        assert_eq!(response.map(|ask| (ask.tokens, ask.include_usage)), Ok((4, true)));
        let vector = ask(Endpoint::Embeddings, r#"{"input":"a","stream":true,"max_tokens":9}"#);
        assert_eq!(vector.map(|ask| (ask.tokens, ask.stream)), Ok((1, false)));
        let limited = |body| ask(Endpoint::Messages, body).map(|ask| ask.tokens);
        assert_eq!(limited(r#"{"messages":[],"max_tokens":4}"#), Ok(4));
        assert_eq!(limited(r#"{"messages":[]}"#), Err("max_tokens is missing".to_owned()));
    }

    #[test]
    fn images_are_found_where_each_api_has_them() {
        let images = |endpoint, body: &str| {
            Ask::parse(endpoint, body.as_bytes(), Counting::default()).unwrap().1
        };
        let url = |url: &str| ImageRef::Url(url.to_owned());
        let two = r#"{"messages":[{"content":[{"type":"text","text":"a"},
            {"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}},
            {"type":"image_url","image_url":{"url":"http://h/a.jpg"}}]}]}"#;
        let expected = [url("data:image/png;base64,AA=="), url("http://h/a.jpg")];
        assert_eq!(images(Endpoint::Chat, two), expected);
        let one = r#"{"input":[{"role":"user","content":[{"type":"input_text","text":"a"},
            {"type":"input_image","detail":"auto","image_url":"http://h/b.png"}]}]}"#;
        assert_eq!(images(Endpoint::Responses, one), [url("http://h/b.png")]);
        let sources = r#"{"max_tokens":1,"messages":[{"content":[
            {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA=="}},
            {"type":"image","source":{"type":"url","url":"http://h/c"}}]}]}"#;
        let (media_type, data) = ("image/png".to_owned(), "AA==".to_owned());
        let expected = [ImageRef::Data { media_type, data }, url("http://h/c")];
        assert_eq!(images(Endpoint::Messages, sources), expected);
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
}
