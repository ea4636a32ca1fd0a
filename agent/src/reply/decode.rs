//! The JSON of one event, or of one whole answer, reduced to what an outcome needs.
//!
//! The only place that knows the fields of the API. Text is tested for emptiness and never
//! unescaped, copied or kept; unknown fields are skipped. What a server may not send, by type, is
//! refused; what it may leave out may also be null.

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
    /// There are choices, perhaps empty ones.
    pub(super) has_choices: bool,
    /// Text of the answer.
    pub(super) content: bool,
    /// Text of the reasoning.
    pub(super) reasoning: bool,
    /// A name or arguments of a tool call.
    pub(super) tool_call: bool,
    /// Text of a refusal.
    pub(super) refusal: bool,
    pub(super) finish: Option<Finish>,
    pub(super) usage: Option<Usage>,
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
    /// `stop`, `length`, `tool_calls`, or another reason of the model's or the request's.
    Regular,
    /// `abort` or `error`: the server gave the request up.
    GivenUp,
}

/// Decodes one JSON object.
pub(super) fn decode(endpoint: Endpoint, json: &[u8]) -> Result<Delta<'_>, BadEvent> {
    let json = std::str::from_utf8(json).map_err(|_| BadEvent)?;
    // Typed structs would also be read from arrays, by position.
    if !json.trim_ascii_start().starts_with('{') {
        return Err(BadEvent);
    }
    let object: Object<'_> = serde_json::from_str(json).map_err(|_| BadEvent)?;
    let choices = object.choices;
    let error = match object.error {
        Some(error) => Some(error.get()),
        None => object.object.filter(|kind| kind.get() == "\"error\"").map(|_| json),
    };
    let (chat, text) = match endpoint {
        Endpoint::Chat => (choices.chat, false),
        Endpoint::Completions => (Bearing::default(), choices.text),
    };
    Ok(Delta {
        has_choices: choices.any,
        content: chat.content || text,
        reasoning: chat.reasoning,
        tool_call: chat.tool_call,
        refusal: chat.refusal,
        finish: choices.finish,
        usage: object.usage.and_then(Counts::usage),
        error,
    })
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(default)]
    choices: Choices,
    usage: Option<Counts>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
}

/// Counts are narrow on purpose: no request has four billion tokens, and sums of such counts
/// cannot overflow whatever a server claims.
#[derive(Deserialize)]
struct Counts {
    prompt_tokens: Option<u32>,
    completion_tokens: Option<u32>,
    completion_tokens_details: Option<CompletionDetails>,
    prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u32>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u32>,
}

impl Counts {
    /// The counts, if they say how many tokens were generated.
    fn usage(self) -> Option<Usage> {
        let or_zero = |count: Option<u32>| u64::from(count.unwrap_or(0));
        Some(Usage {
            prompt: or_zero(self.prompt_tokens),
            completion: u64::from(self.completion_tokens?),
            reasoning: or_zero(self.completion_tokens_details.and_then(|d| d.reasoning_tokens)),
            cached_prompt: or_zero(self.prompt_tokens_details.and_then(|d| d.cached_tokens)),
        })
    }
}

/// All choices of an object, folded into one as they are read.
#[derive(Clone, Copy, Default)]
struct Choices {
    any: bool,
    chat: Bearing,
    text: bool,
    finish: Option<Finish>,
}

#[derive(Clone, Copy, Default)]
struct Bearing {
    content: bool,
    reasoning: bool,
    tool_call: bool,
    refusal: bool,
}

#[derive(Deserialize)]
struct Choice<'a> {
    /// In a stream.
    #[serde(borrow)]
    delta: Option<Message<'a>>,
    /// In a whole answer.
    #[serde(borrow)]
    message: Option<Message<'a>>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    finish_reason: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
    #[serde(default)]
    tool_calls: ToolCalls,
    #[serde(borrow)]
    function_call: Option<Function<'a>>,
}

/// Whether any tool call has something of a name or of arguments.
#[derive(Clone, Copy, Default)]
struct ToolCalls(bool);

#[derive(Deserialize)]
struct ToolCall<'a> {
    #[serde(borrow)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

impl Choices {
    fn take(&mut self, choice: &Choice<'_>) -> Result<(), &'static str> {
        self.any = true;
        self.text |= filled(choice.text)?;
        for message in [&choice.delta, &choice.message].into_iter().flatten() {
            self.chat.content |= filled(message.content)?;
            self.chat.reasoning |= filled(message.reasoning_content)? | filled(message.reasoning)?;
            self.chat.refusal |= filled(message.refusal)?;
            self.chat.tool_call |= message.tool_calls.0;
            if let Some(function) = &message.function_call {
                self.chat.tool_call |= function.filled()?;
            }
        }
        match choice.finish_reason.map(RawValue::get) {
            None | Some("\"\"") => {}
            Some("\"abort\"" | "\"error\"") => self.finish = Some(Finish::GivenUp),
            Some(reason) if reason.starts_with('"') => {
                self.finish.get_or_insert(Finish::Regular);
            }
            Some(_) => return Err("a finish reason that is not text"),
        }
        Ok(())
    }
}

impl Function<'_> {
    fn filled(&self) -> Result<bool, &'static str> {
        Ok(filled(self.name)? | filled(self.arguments)?)
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

impl<'de> Deserialize<'de> for Choices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut choices = Self::default();
        fold(deserializer, |choice: Choice<'de>| choices.take(&choice))?;
        Ok(choices)
    }
}

impl<'de> Deserialize<'de> for ToolCalls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut any = false;
        fold(deserializer, |call: ToolCall<'de>| {
            if let Some(function) = call.function {
                any |= function.filled()?;
            }
            Ok(())
        })?;
        Ok(Self(any))
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
    fn check(endpoint: Endpoint, json: &str, want: &str) {
        let got = match decode(endpoint, json.as_bytes()) {
            Err(BadEvent) => "bad".to_owned(),
            Ok(delta) => {
                let mut words: Vec<String> = [
                    (delta.has_choices, "choices"),
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
                words.extend(delta.usage.map(|u| {
                    format!("{}+{} r{} c{}", u.prompt, u.completion, u.reasoning, u.cached_prompt)
                }));
                words.extend(delta.error.map(|error| format!("error {error}")));
                words.join(" ")
            }
        };
        assert_eq!(got, want, "{json}");
    }

    fn chat(delta: &str, want: &str) {
        let json = format!(r#"{{"choices":[{{"index":0,"delta":{delta}}}]}}"#);
        check(Endpoint::Chat, &json, want);
    }

    #[test]
    fn what_bears_a_token() {
        chat(r#"{"role":"assistant","content":""}"#, "choices");
        chat(r#"{"content":null}"#, "choices");
        chat(r#"{"content":"\n"}"#, "choices content");
        chat(r#"{"content":"\ud800"}"#, "choices content");
        chat(r#"{"content":[{"type":"text","text":"a"}]}"#, "choices content");
        chat(r#"{"content":[ ]}"#, "choices");
        chat(r#"{"reasoning_content":"a"}"#, "choices reasoning");
        chat(r#"{"reasoning":"a","content":""}"#, "choices reasoning");
        chat(r#"{"reasoning":"a","reasoning_content":"a"}"#, "choices reasoning");
        chat(r#"{"refusal":"no"}"#, "choices refusal");
        chat(r#"{"tool_calls":[]}"#, "choices");
        chat(r#"{"tool_calls":null}"#, "choices");
        chat(
            r#"{"tool_calls":[{"id":"c","function":{"name":"f","arguments":""}}]}"#,
            "choices tool",
        );
        chat(
            r#"{"tool_calls":[{"function":{"arguments":""}},{"function":{"arguments":"{"}}]}"#,
            "choices tool",
        );
        chat(r#"{"tool_calls":[{"index":0,"function":{"arguments":""}}]}"#, "choices");
        chat(r#"{"function_call":{"name":"f"}}"#, "choices tool");
        chat(r#"{"content":7}"#, "bad");
        chat(r#"{"content":true}"#, "bad");
        chat("7", "bad");
        chat("null", "choices");
        check(Endpoint::Chat, r#"{"choices":[{"text":"a"}]}"#, "choices");
        check(Endpoint::Completions, r#"{"choices":[{"text":"a"}]}"#, "choices content");
        check(Endpoint::Completions, r#"{"choices":[{"text":""}]}"#, "choices");
        check(Endpoint::Completions, r#"{"choices":[{"delta":{"content":"a"}}]}"#, "choices");
        check(
            Endpoint::Chat,
            r#"{"choices":[{"index":0},{"message":{"content":"a"},"finish_reason":"stop"}]}"#,
            "choices content Regular",
        );
    }

    #[test]
    fn finish_reasons() {
        for (reason, want) in [
            ("null", "choices"),
            (r#""""#, "choices"),
            (r#""stop""#, "choices Regular"),
            (r#""length""#, "choices Regular"),
            (r#""content_filter""#, "choices Regular"),
            (r#""abort""#, "choices GivenUp"),
            (r#""error""#, "choices GivenUp"),
            ("1", "bad"),
        ] {
            let json = format!(r#"{{"choices":[{{"finish_reason":{reason}}}]}}"#);
            check(Endpoint::Chat, &json, want);
        }
    }

    #[test]
    fn usage() {
        for (usage, want) in [
            ("null", ""),
            ("{}", ""),
            (r#"{"prompt_tokens":3,"total_tokens":3}"#, ""),
            (r#"{"completion_tokens":0,"prompt_tokens":3}"#, "3+0 r0 c0"),
            (
                r#"{"prompt_tokens":3,"completion_tokens":9,"total_tokens":12,
                    "completion_tokens_details":{"reasoning_tokens":4,"audio_tokens":0},
                    "prompt_tokens_details":{"cached_tokens":2}}"#,
                "3+9 r4 c2",
            ),
            (
                r#"{"prompt_tokens":3,"completion_tokens":9,
                    "completion_tokens_details":null,"prompt_tokens_details":{}}"#,
                "3+9 r0 c0",
            ),
            (r#"{"completion_tokens":-1}"#, "bad"),
            (r#"{"completion_tokens":18446744073709551615}"#, "bad"),
            ("7", "bad"),
        ] {
            check(Endpoint::Chat, &format!(r#"{{"choices":[],"usage":{usage}}}"#), want);
        }
    }

    #[test]
    fn errors() {
        check(Endpoint::Chat, r#"{"error":{"message":"a"}}"#, r#"error {"message":"a"}"#);
        check(Endpoint::Chat, r#"{"error":null}"#, "");
        check(
            Endpoint::Chat,
            r#"{"object":"error","message":"a"}"#,
            r#"error {"object":"error","message":"a"}"#,
        );
    }

    #[test]
    fn what_is_no_object_is_bad() {
        for json in [
            "",
            " ",
            "[]",
            "null",
            "1",
            "\"a\"",
            "{",
            "{}x",
            "[DONE]",
            "{'a':1}",
            "{\"choices\":{}}",
        ] {
            check(Endpoint::Chat, json, "bad");
        }
        assert_eq!(decode(Endpoint::Chat, b"{\"id\":\"\xff\"}"), Err(BadEvent));
        check(Endpoint::Chat, " {} ", "");
    }

    #[test]
    fn deep_nesting_is_survived() {
        let deep = |open: &str, close: &str| open.repeat(400_000) + &close.repeat(400_000);
        check(Endpoint::Chat, &format!(r#"{{"x":{}}}"#, deep("[", "]")), "");
        check(Endpoint::Chat, &format!(r#"{{"error":{}}}"#, deep("[", "")), "bad");
        chat(&format!(r#"{{"content":{}}}"#, deep("[", "]")), "choices content");
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_without_panic(
            parts in prop::collection::vec(
                prop_oneof![
                    prop::sample::select(vec![
                        "{", "}", "[", "]", ",", ":", "\"choices\"", "\"delta\"", "\"content\"",
                        "\"a\"", "1", "null", "\"usage\"", "\"completion_tokens\"", "\"\\", "\u{1}",
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
