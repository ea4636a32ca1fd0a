//! The Responses API of OpenAI: events that name what they are, or one response object.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::value::RawValue;

use super::{Counts, Delta, Finish, error, filled, finish, fold};

/// An event or an answer of `/v1/responses`.
pub(super) fn decode(json: &str) -> serde_json::Result<Delta<'_>> {
    let event: Event<'_> = serde_json::from_str(json)?;
    match event.kind {
        Some(kind) => event.delta(json, kind),
        None => serde_json::from_str::<Response<'_>>(json)?.answer(json),
    }
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    item: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

impl<'a> Event<'a> {
    fn delta(&self, json: &'a str, kind: &'a RawValue) -> serde_json::Result<Delta<'a>> {
        // Names of events have nothing to unescape.
        let name = kind.get().trim_matches('"');
        let mut delta = Delta {
            output: is_about_output(name),
            error: error(json, self.error, Some(kind)),
            ..Delta::default()
        };
        let bears = || filled(self.delta).map_err(serde_json::Error::custom);
        match name {
            "response.output_text.delta" => delta.content = bears()?,
            "response.refusal.delta" => delta.refusal = bears()?,
            "response.reasoning_text.delta"
            | "response.reasoning_summary_text.delta"
            | "response.reasoning.delta"
            | "response.reasoning_summary.delta" => delta.reasoning = bears()?,
            "response.function_call_arguments.delta"
            | "response.mcp_call_arguments.delta"
            | "response.custom_tool_call_input.delta"
            | "response.code_interpreter_call_code.delta" => delta.tool_call = bears()?,
            // A tool call begins with its name; other items are empty when they are added.
            "response.output_item.added" => {
                if let Some(item) = self.item {
                    let item: Named<'_> = serde_json::from_str(item.get())?;
                    delta.tool_call = filled(item.name).map_err(serde_json::Error::custom)?;
                }
            }
            "response.completed" | "response.incomplete" => {
                self.end(&mut delta, Finish::Regular)?;
            }
            "response.failed" | "response.cancelled" => self.end(&mut delta, Finish::GivenUp)?,
            _ => {}
        }
        Ok(delta)
    }

    /// The last event has the response as it is now; what its parts say has been said before.
    fn end(&self, delta: &mut Delta<'a>, meant: Finish) -> serde_json::Result<()> {
        delta.last = true;
        delta.finish = Some(meant);
        if let Some(response) = self.response {
            let end: End<'_> = serde_json::from_str(response.get())?;
            if end.finish()? == Some(Finish::GivenUp) {
                delta.finish = Some(Finish::GivenUp);
            }
            delta.error = delta.error.or(end.error.map(RawValue::get));
            delta.counts = end.usage.map(Stated::counts).unwrap_or_default();
        }
        Ok(())
    }
}

/// Opens, fills or closes a part of the output, whatever kind of part.
fn is_about_output(name: &str) -> bool {
    name.starts_with("response.")
        && [".added", ".delta", ".done"].iter().any(|end| name.ends_with(end))
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
}

/// How a response stands at its end, without what it says.
#[derive(Deserialize)]
struct End<'a> {
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    usage: Option<Stated>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

impl End<'_> {
    /// `completed` and `incomplete` are regular, the latter for its length or a filter.
    fn finish(&self) -> serde_json::Result<Option<Finish>> {
        match self.status.map(RawValue::get) {
            Some("\"in_progress\"" | "\"queued\"") => Ok(None),
            Some(_) | None => finish(self.status).map_err(serde_json::Error::custom),
        }
    }
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    usage: Option<Stated>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
    output: Option<Output>,
}

impl<'a> Response<'a> {
    fn answer(self, json: &'a str) -> serde_json::Result<Delta<'a>> {
        let Self { status, usage, error: stated, object, output } = self;
        let end = End { status, usage, error: stated };
        let bears = output.unwrap_or_default();
        Ok(Delta {
            output: output.is_some(),
            content: bears.content,
            reasoning: bears.reasoning,
            tool_call: bears.tool_call,
            finish: end.finish()?,
            error: error(json, stated, object),
            counts: end.usage.map(Stated::counts).unwrap_or_default(),
            ..Delta::default()
        })
    }
}

#[derive(Deserialize)]
struct Stated {
    input_tokens: Option<u32>,
    output_tokens: Option<u32>,
    input_tokens_details: Option<InputDetails>,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Deserialize)]
struct InputDetails {
    cached_tokens: Option<u32>,
}

#[derive(Deserialize)]
struct OutputDetails {
    reasoning_tokens: Option<u32>,
}

impl Stated {
    fn counts(self) -> Counts {
        Counts {
            prompt: self.input_tokens,
            completion: self.output_tokens,
            reasoning: self.output_tokens_details.and_then(|d| d.reasoning_tokens),
            cached_prompt: self.input_tokens_details.and_then(|d| d.cached_tokens),
            ..Counts::default()
        }
    }
}

/// What the items of an output bear, folded into one as they are read.
#[derive(Clone, Copy, Default)]
struct Output {
    /// Text or a refusal.
    content: bool,
    reasoning: bool,
    tool_call: bool,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(default)]
    content: Parts,
    #[serde(default)]
    summary: Parts,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// Whether any part of an item has text.
#[derive(Clone, Copy, Default)]
struct Parts(bool);

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Output {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut output = Self::default();
        fold(deserializer, |item: Item<'de>| {
            let text = item.content.0 || item.summary.0;
            if item.kind.is_some_and(|kind| kind.get() == "\"reasoning\"") {
                output.reasoning |= text;
            } else {
                output.content |= text;
                output.tool_call |= filled(item.name)? | filled(item.arguments)?;
            }
            Ok(())
        })?;
        Ok(output)
    }
}

impl<'de> Deserialize<'de> for Parts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut any = false;
        fold(deserializer, |part: Part<'de>| {
            any |= filled(part.text)? | filled(part.refusal)?;
            Ok(())
        })?;
        Ok(Self(any))
    }
}

#[cfg(test)]
mod tests {
    use common::target::Endpoint;

    use super::super::tests;

    fn check(json: &str, want: &str) {
        tests::check(Endpoint::Responses, json, want);
    }

    fn event(name: &str, rest: &str, want: &str) {
        check(&format!(r#"{{"type":"response.{name}","sequence_number":4{rest}}}"#), want);
    }

    #[test]
    fn what_bears_a_token() {
        event("created", r#","response":{"status":"in_progress","usage":null}"#, "");
        event("in_progress", "", "");
        event("output_item.added", r#","item":{"type":"message","content":[]}"#, "output");
        event("content_part.added", r#","part":{"type":"output_text","text":""}"#, "output");
        event("output_text.delta", r#","delta":"a""#, "output content");
        event("output_text.delta", r#","delta":"""#, "output");
        event("output_text.delta", r#","delta":null"#, "output");
        event("output_text.delta", r#","delta":7"#, "bad");
        event("refusal.delta", r#","delta":"no""#, "output refusal");
        for name in ["reasoning_text", "reasoning_summary_text", "reasoning"] {
            event(&format!("{name}.delta"), r#","delta":"a""#, "output reasoning");
        }
        event("function_call_arguments.delta", r#","delta":"{""#, "output tool");
        event(
            "output_item.added",
            r#","item":{"type":"function_call","name":"f","arguments":""}"#,
            "output tool",
        );
        // What closes a part repeats what has come.
        event("output_text.done", r#","text":"all of it""#, "output");
        event("output_item.done", r#","item":{"type":"function_call","name":"f"}"#, "output");
        // Neither sound nor what is not known has tokens.
        event("audio.delta", r#","delta":"UklG""#, "output");
        event("moon.phase", r#","delta":"full""#, "");
        check(r#"{"type":"ping"}"#, "");
    }

    #[test]
    fn ends() {
        let usage = r#""usage":{"input_tokens":9,"output_tokens":5,"total_tokens":14,
            "input_tokens_details":{"cached_tokens":4},
            "output_tokens_details":{"reasoning_tokens":2}}"#;
        let response = |status: &str, rest: &str| {
            format!(r#","response":{{"status":"{status}","output":[{{"text":7}}],{rest}}}"#)
        };
        let counted = "Regular last 9+5 r2 c4";
        event("completed", &response("completed", usage), counted);
        let details = format!(r#""incomplete_details":{{"reason":"max_output_tokens"}},{usage}"#);
        event("incomplete", &response("incomplete", &details), counted);
        // One server calls every end completed and says in the status how it was.
        event("completed", &response("incomplete", usage), counted);
        event("completed", &response("failed", usage), "GivenUp last 9+5 r2 c4");
        event("completed", &response("completed", r#""usage":null"#), "Regular last");
        event("completed", "", "Regular last");
        event(
            "failed",
            &response("failed", r#""error":{"message":"oom"}"#),
            r#"GivenUp last error {"message":"oom"}"#,
        );
        event("completed", r#","response":7"#, "bad");
        check(r#"{"type":"error","message":"a"}"#, r#"error {"type":"error","message":"a"}"#);
    }

    #[test]
    fn whole_answers() {
        let whole = |status: &str, output: &str, want: &str| {
            check(
                &format!(
                    r#"{{"object":"response","status":"{status}","error":null,"output":{output},
                       "usage":{{"input_tokens":3,"output_tokens":1}}}}"#
                ),
                want,
            );
        };
        let message = r#"{"type":"message","content":[{"type":"output_text","text":"a"}]}"#;
        let thought = r#"{"type":"reasoning","summary":[],"content":[{"text":"b"}]}"#;
        let call = r#"{"type":"function_call","name":"f","arguments":"{}"}"#;
        let counts = "Regular 3+1 r- c-";
        whole("completed", &format!("[{message}]"), &format!("output content {counts}"));
        whole(
            "incomplete",
            &format!("[{thought},{call}]"),
            &format!("output reasoning tool {counts}"),
        );
        whole("completed", "[]", &format!("output {counts}"));
        whole("completed", "null", counts);
        whole("queued", "[]", "output 3+1 r- c-");
        whole("cancelled", "[]", "output GivenUp 3+1 r- c-");
        whole("completed", "{}", "bad");
    }
}
