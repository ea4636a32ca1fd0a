//! The JSON of one event, or of one whole answer, reduced to what an outcome needs.
//!
//! The only place that knows the fields of the APIs, each in a file of its own. Text is tested for
//! emptiness and never unescaped, copied or kept; unknown fields are skipped. What a server may not
//! send, by type, is refused; what it may leave out may also be null.

mod choices;
mod embeddings;
mod messages;
mod responses;

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

use common::outcome::Usage;
use common::target::Endpoint;

/// The bytes are not what the API promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadEvent;

/// What one event, or one whole answer, adds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Delta<'a> {
    /// It is about the output, even if it adds nothing to it: a choice, an item, a block, a vector.
    pub(super) output: bool,
    /// Text of the answer, or a vector.
    pub(super) content: bool,
    /// Text of the reasoning.
    pub(super) reasoning: bool,
    /// A name or arguments of a tool call.
    pub(super) tool_call: bool,
    /// Text of a refusal.
    pub(super) refusal: bool,
    pub(super) finish: Option<Finish>,
    /// Nothing that counts comes after it.
    pub(super) last: bool,
    pub(super) counts: Counts,
    /// The JSON of an error.
    pub(super) error: Option<&'a str>,
}

impl Delta<'_> {
    /// Whether this is more than a role, a finish reason or counts.
    pub(super) fn bears_token(&self) -> bool {
        self.content || self.reasoning || self.tool_call || self.refusal
    }
}

/// Why the model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    /// It was done, had its length, calls a tool, or another reason of its own or the request's.
    Regular,
    /// The server gave the request up.
    GivenUp,
}

/// Token counts as one event states them; what it leaves out stays as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    prompt: Option<u32>,
    /// Of a prompt that is stated in parts, those that no cache was asked for or had.
    uncached_prompt: Option<u32>,
    /// And those that a cache took up.
    created_prompt: Option<u32>,
    completion: Option<u32>,
    reasoning: Option<u32>,
    cached_prompt: Option<u32>,
}

impl Counts {
    /// With what a later event states.
    pub(super) fn then(self, later: Self) -> Self {
        Self {
            prompt: later.prompt.or(self.prompt),
            uncached_prompt: later.uncached_prompt.or(self.uncached_prompt),
            created_prompt: later.created_prompt.or(self.created_prompt),
            completion: later.completion.or(self.completion),
            reasoning: later.reasoning.or(self.reasoning),
            cached_prompt: later.cached_prompt.or(self.cached_prompt),
        }
    }

    /// The tokens of the prompt, stated at once or in parts.
    fn prompt(self) -> Option<u64> {
        let parts = [self.uncached_prompt, self.created_prompt, self.cached_prompt];
        let in_parts = || {
            let is_stated = self.uncached_prompt.or(self.created_prompt).is_some();
            is_stated.then(|| parts.into_iter().flatten().map(u64::from).sum())
        };
        self.prompt.map(u64::from).or_else(in_parts)
    }

    /// The counts, if they say how many tokens were generated. They are narrow on purpose: no
    /// request has four billion tokens, and sums of such counts cannot overflow whatever a server
    /// claims.
    pub(super) fn usage(self) -> Option<Usage> {
        let or_zero = |count: Option<u32>| u64::from(count.unwrap_or(0));
        Some(Usage {
            prompt: self.prompt().unwrap_or(0),
            completion: self.completion?.into(),
            reasoning: or_zero(self.reasoning),
            cached_prompt: or_zero(self.cached_prompt),
        })
    }
}

/// Decodes one JSON object.
pub(super) fn decode(endpoint: Endpoint, json: &[u8]) -> Result<Delta<'_>, BadEvent> {
    let json = std::str::from_utf8(json).map_err(|_| BadEvent)?;
    // Typed structs would also be read from arrays, by position.
    if !json.trim_ascii_start().starts_with('{') {
        return Err(BadEvent);
    }
    let decoded = match endpoint {
        Endpoint::Chat => choices::chat(json),
        Endpoint::Completions => choices::completions(json),
        Endpoint::Responses => responses::decode(json),
        Endpoint::Messages => messages::decode(json),
        Endpoint::Embeddings => embeddings::decode(json),
    };
    decoded.map_err(|_| BadEvent)
}

/// The error that an object states in its field, or is itself by what it calls itself.
fn error<'a>(
    json: &'a str,
    stated: Option<&'a RawValue>,
    kind: Option<&RawValue>,
) -> Option<&'a str> {
    match stated {
        Some(error) => Some(error.get()),
        None => kind.filter(|kind| kind.get() == "\"error\"").map(|_| json),
    }
}

/// What a reason to stop means; an empty one is none.
fn finish(reason: Option<&RawValue>) -> Result<Option<Finish>, &'static str> {
    match reason.map(RawValue::get) {
        None | Some("\"\"") => Ok(None),
        Some("\"abort\"" | "\"error\"" | "\"failed\"" | "\"cancelled\"") => {
            Ok(Some(Finish::GivenUp))
        }
        Some(reason) if reason.starts_with('"') => Ok(Some(Finish::Regular)),
        Some(_) => Err("a finish reason that is not text"),
    }
}

/// Whether a text, a list of parts or an object of arguments is there and not empty.
fn filled(value: Option<&RawValue>) -> Result<bool, &'static str> {
    let Some(json) = value.map(RawValue::get) else {
        return Ok(false);
    };
    let inner =
        |close: char| json.get(1..).is_some_and(|s| !s.trim_ascii_start().starts_with(close));
    match json.as_bytes().first() {
        Some(b'"') => Ok(json != "\"\""),
        Some(b'[') => Ok(inner(']')),
        Some(b'{') => Ok(inner('}')),
        _ => Err("a number or a truth value in place of text"),
    }
}

/// Hands each element of an array to `each`, without collecting them; null is an empty array.
fn fold<'de, D, T, F>(deserializer: D, each: F) -> Result<(), D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
    F: FnMut(T) -> Result<(), &'static str>,
{
    deserializer.deserialize_any(Fold { each, element: PhantomData })
}

struct Fold<T, F> {
    each: F,
    element: PhantomData<T>,
}

impl<'de, T, F> Visitor<'de> for Fold<T, F>
where
    T: Deserialize<'de>,
    F: FnMut(T) -> Result<(), &'static str>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or null")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element::<T>()? {
            (self.each)(element).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What `json` adds, in words.
    pub(super) fn check(endpoint: Endpoint, json: &str, want: &str) {
        let got = match decode(endpoint, json.as_bytes()) {
            Err(BadEvent) => "bad".to_owned(),
            Ok(delta) => {
                let mut words: Vec<String> = [
                    (delta.output, "output"),
                    (delta.content, "content"),
                    (delta.reasoning, "reasoning"),
                    (delta.tool_call, "tool"),
                    (delta.refusal, "refusal"),
                ]
                .into_iter()
                .filter(|(there, _)| *there)
                .map(|(_, word)| word.to_owned())
                .collect();
                words.extend(delta.finish.map(|finish| format!("{finish:?}")));
                words.extend(delta.last.then(|| "last".to_owned()));
                let Counts { completion, reasoning, cached_prompt, .. } = delta.counts;
                let prompt = delta.counts.prompt().map_or("-".to_owned(), |n| n.to_string());
                let of = |count: Option<u32>| count.map_or("-".to_owned(), |n| n.to_string());
                if delta.counts != Counts::default() {
                    let (r, c) = (of(reasoning), of(cached_prompt));
                    words.push(format!("{prompt}+{} r{r} c{c}", of(completion)));
                }
                words.extend(delta.error.map(|error| format!("error {error}")));
                words.join(" ")
            }
        };
        assert_eq!(got, want, "{json}");
    }

    #[test]
    fn errors() {
        for endpoint in Endpoint::ALL {
            check(endpoint, r#"{"error":{"message":"a"}}"#, r#"error {"message":"a"}"#);
            check(endpoint, r#"{"error":null}"#, "");
        }
    }

    #[test]
    fn what_is_no_object_is_bad() {
        let texts = ["", " ", "[]", "null", "1", "\"a\"", "{", "{}x", "[DONE]", "{'a':1}"];
        for endpoint in Endpoint::ALL {
            for json in texts {
                check(endpoint, json, "bad");
            }
            assert_eq!(decode(endpoint, b"{\"id\":\"\xff\"}"), Err(BadEvent));
            check(endpoint, " {} ", "");
        }
    }

    #[test]
    fn deep_nesting_is_survived() {
        let deep = |open: &str, close: &str| open.repeat(400_000) + &close.repeat(400_000);
        for endpoint in Endpoint::ALL {
            check(endpoint, &format!(r#"{{"x":{}}}"#, deep("[", "]")), "");
            check(endpoint, &format!(r#"{{"error":{}}}"#, deep("[", "")), "bad");
        }
    }

    #[test]
    fn later_counts_complete_earlier_ones() {
        let first = Counts { prompt: Some(9), cached_prompt: Some(4), ..Counts::default() };
        assert_eq!(first.usage(), None);
        let later = Counts { completion: Some(3), ..Counts::default() };
        let usage = Usage { prompt: 9, completion: 3, reasoning: 0, cached_prompt: 4 };
        assert_eq!(first.then(later).usage(), Some(usage));
        let last = Counts { completion: Some(5), prompt: Some(8), ..Counts::default() };
        let usage = Usage { prompt: 8, completion: 5, ..usage };
        assert_eq!(first.then(later).then(last).usage(), Some(usage));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_without_panic(
            parts in prop::collection::vec(
                prop_oneof![
                    prop::sample::select(vec![
                        "{", "}", "[", "]", ",", ":", "\"choices\"", "\"delta\"", "\"content\"",
                        "\"a\"", "1", "null", "\"usage\"", "\"completion_tokens\"", "\"\\", "\u{1}",
                        "\"type\"", "\"response.completed\"", "\"response\"", "\"message_start\"",
                        "\"message\"", "\"data\"", "\"embedding\"", "\"output\"",
                    ]).prop_map(|text| text.as_bytes().to_vec()),
                    any::<u8>().prop_map(|byte| vec![byte]),
                ],
                0..40,
            ),
        ) {
            let json = parts.concat();
            for endpoint in Endpoint::ALL {
                let _ = decode(endpoint, &json);
            }
        }
    }
}
