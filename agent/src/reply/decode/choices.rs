//! Chat and text completions: objects with `choices`.

use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::value::RawValue;

use super::{Counts, Delta, Finish, error, filled, finish, fold};

/// An event or an answer of `/v1/chat/completions`.
pub(super) fn chat(json: &str) -> serde_json::Result<Delta<'_>> {
    let object: Object<'_> = serde_json::from_str(json)?;
    let chat = object.choices.chat;
    Ok(Delta {
        content: chat.content,
        reasoning: chat.reasoning,
        tool_call: chat.tool_call,
        refusal: chat.refusal,
        ..object.delta(json)
    })
}

/// An event or an answer of `/v1/completions`.
pub(super) fn completions(json: &str) -> serde_json::Result<Delta<'_>> {
    let object: Object<'_> = serde_json::from_str(json)?;
    Ok(Delta { content: object.choices.text, ..object.delta(json) })
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(default)]
    choices: Choices,
    usage: Option<Stated>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
}

impl<'a> Object<'a> {
    /// What it adds but for what its choices bear.
    fn delta(self, json: &'a str) -> Delta<'a> {
        Delta {
            output: self.choices.any,
            finish: self.choices.finish,
            counts: self.usage.map(Stated::counts).unwrap_or_default(),
            error: error(json, self.error, self.object),
            ..Delta::default()
        }
    }
}

#[derive(Deserialize)]
struct Stated {
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

impl Stated {
    fn counts(self) -> Counts {
        let reasoning = self.completion_tokens_details.and_then(|d| d.reasoning_tokens);
        Counts {
            prompt: self.prompt_tokens,
            completion: self.completion_tokens,
            reasoning,
            cached_prompt: self.prompt_tokens_details.and_then(|d| d.cached_tokens),
            ..Counts::default()
        }
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
        match finish(choice.finish_reason)? {
            None => {}
            Some(Finish::GivenUp) => self.finish = Some(Finish::GivenUp),
            Some(Finish::Regular) => {
                self.finish.get_or_insert(Finish::Regular);
            }
        }
        Ok(())
    }
}

impl Function<'_> {
    fn filled(&self) -> Result<bool, &'static str> {
        Ok(filled(self.name)? | filled(self.arguments)?)
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

#[cfg(test)]
mod tests {
    use common::target::Endpoint;

    use super::super::tests::check;

    fn chat(delta: &str, want: &str) {
        let json = format!(r#"{{"choices":[{{"index":0,"delta":{delta}}}]}}"#);
        check(Endpoint::Chat, &json, want);
    }

    #[test]
    fn what_bears_a_token() {
        chat(r#"{"role":"assistant","content":""}"#, "output");
        chat(r#"{"content":null}"#, "output");
        chat(r#"{"content":"\n"}"#, "output content");
        chat(r#"{"content":"\ud800"}"#, "output content");
        chat(r#"{"content":[{"type":"text","text":"a"}]}"#, "output content");
        chat(r#"{"content":[ ]}"#, "output");
        chat(r#"{"reasoning_content":"a"}"#, "output reasoning");
        chat(r#"{"reasoning":"a","content":""}"#, "output reasoning");
        chat(r#"{"reasoning":"a","reasoning_content":"a"}"#, "output reasoning");
        chat(r#"{"refusal":"no"}"#, "output refusal");
        chat(r#"{"tool_calls":[]}"#, "output");
        chat(r#"{"tool_calls":null}"#, "output");
        chat(
            r#"{"tool_calls":[{"id":"c","function":{"name":"f","arguments":""}}]}"#,
            "output tool",
        );
        chat(
            r#"{"tool_calls":[{"function":{"arguments":""}},{"function":{"arguments":"{"}}]}"#,
            "output tool",
        );
        chat(r#"{"tool_calls":[{"index":0,"function":{"arguments":""}}]}"#, "output");
        chat(r#"{"function_call":{"name":"f"}}"#, "output tool");
        chat(r#"{"content":7}"#, "bad");
        chat(r#"{"content":true}"#, "bad");
        chat("7", "bad");
        chat("null", "output");
        check(Endpoint::Chat, r#"{"choices":[{"text":"a"}]}"#, "output");
        check(Endpoint::Completions, r#"{"choices":[{"text":"a"}]}"#, "output content");
        check(Endpoint::Completions, r#"{"choices":[{"text":""}]}"#, "output");
        check(Endpoint::Completions, r#"{"choices":[{"delta":{"content":"a"}}]}"#, "output");
        check(
            Endpoint::Chat,
            r#"{"choices":[{"index":0},{"message":{"content":"a"},"finish_reason":"stop"}]}"#,
            "output content Regular",
        );
    }

    #[test]
    fn finish_reasons() {
        for (reason, want) in [
            ("null", "output"),
            (r#""""#, "output"),
            (r#""stop""#, "output Regular"),
            (r#""length""#, "output Regular"),
            (r#""content_filter""#, "output Regular"),
            (r#""abort""#, "output GivenUp"),
            (r#""error""#, "output GivenUp"),
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
            (r#"{"prompt_tokens":3,"total_tokens":3}"#, "3+- r- c-"),
            (r#"{"completion_tokens":0,"prompt_tokens":3}"#, "3+0 r- c-"),
            (
                r#"{"prompt_tokens":3,"completion_tokens":9,"total_tokens":12,
                    "completion_tokens_details":{"reasoning_tokens":4,"audio_tokens":0},
                    "prompt_tokens_details":{"cached_tokens":2}}"#,
                "3+9 r4 c2",
            ),
            (
                r#"{"prompt_tokens":3,"completion_tokens":9,
                    "completion_tokens_details":null,"prompt_tokens_details":{}}"#,
                "3+9 r- c-",
            ),
            (r#"{"completion_tokens":-1}"#, "bad"),
            (r#"{"completion_tokens":18446744073709551615}"#, "bad"),
            ("7", "bad"),
        ] {
            check(Endpoint::Chat, &format!(r#"{{"choices":[],"usage":{usage}}}"#), want);
        }
    }

    #[test]
    fn an_object_may_be_an_error() {
        check(
            Endpoint::Chat,
            r#"{"object":"error","message":"a"}"#,
            r#"error {"object":"error","message":"a"}"#,
        );
    }

    #[test]
    fn text_may_be_nested_deeply() {
        let deep = "[".repeat(400_000) + &"]".repeat(400_000);
        chat(&format!(r#"{{"content":{deep}}}"#), "output content");
        check(Endpoint::Chat, r#"{"choices":{}}"#, "bad");
    }
}
