//! The Messages API of Anthropic: events that name what they are, or one message object.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::value::RawValue;

use super::{Counts, Delta, error, filled, finish, fold};

/// An event or an answer of `/v1/messages`.
pub(super) fn decode(json: &str) -> serde_json::Result<Delta<'_>> {
    let event: Event<'_> = serde_json::from_str(json)?;
    let delta = Delta { error: error(json, event.error, event.kind), ..Delta::default() };
    match event.kind.map(|kind| kind.get().trim_matches('"')) {
        Some("message") => event.answer(delta),
        Some("message_start") => {
            let counts = event.message.and_then(|message| message.usage);
            let counts = counts.map(Stated::counts).unwrap_or_default();
            // The answer has not begun: what is stated of its length is not its length.
            Ok(Delta { counts: Counts { completion: None, ..counts }, ..delta })
        }
        Some("content_block_start") => bearing(event.content_block, delta),
        Some("content_block_delta") => bearing(event.delta, delta),
        Some("content_block_stop") => Ok(Delta { output: true, ..delta }),
        Some("message_delta") => {
            let reason = event.delta.and_then(|part| part.stop_reason);
            let finish = finish(reason).map_err(serde_json::Error::custom)?;
            let counts = event.usage.map(Stated::counts).unwrap_or_default();
            Ok(Delta { finish, counts, ..delta })
        }
        Some("message_stop") => Ok(Delta { last: true, ..delta }),
        // Pings, and what is not known.
        Some(_) | None => Ok(delta),
    }
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<Part<'a>>,
    #[serde(borrow)]
    content_block: Option<Part<'a>>,
    message: Option<Begun>,
    content: Option<Content>,
    #[serde(borrow)]
    stop_reason: Option<&'a RawValue>,
    usage: Option<Stated>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

impl<'a> Event<'a> {
    fn answer(self, delta: Delta<'a>) -> serde_json::Result<Delta<'a>> {
        let Bearing { content, reasoning, tool_call } = self.content.unwrap_or_default().0;
        Ok(Delta {
            output: self.content.is_some(),
            content,
            reasoning,
            tool_call,
            finish: finish(self.stop_reason).map_err(serde_json::Error::custom)?,
            counts: self.usage.map(Stated::counts).unwrap_or_default(),
            ..delta
        })
    }
}

/// The message that an answer begins with.
#[derive(Deserialize)]
struct Begun {
    usage: Option<Stated>,
}

/// A block or a part of one. Its kind need not be known: what it bears is in fields of its own.
/// Signatures and citations are no tokens.
#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    /// Thoughts that are not shown.
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    /// The tool that is called.
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    partial_json: Option<&'a RawValue>,
    #[serde(borrow)]
    stop_reason: Option<&'a RawValue>,
}

#[derive(Clone, Copy, Default)]
struct Bearing {
    content: bool,
    reasoning: bool,
    tool_call: bool,
}

impl Part<'_> {
    fn bearing(&self) -> Result<Bearing, &'static str> {
        Ok(Bearing {
            content: filled(self.text)?,
            reasoning: filled(self.thinking)? | filled(self.data)?,
            tool_call: filled(self.name)? | filled(self.input)? | filled(self.partial_json)?,
        })
    }
}

fn bearing<'a>(part: Option<Part<'_>>, delta: Delta<'a>) -> serde_json::Result<Delta<'a>> {
    let bearing = part.as_ref().map(Part::bearing).transpose();
    let bearing = bearing.map_err(serde_json::Error::custom)?;
    let Bearing { content, reasoning, tool_call } = bearing.unwrap_or_default();
    Ok(Delta { output: true, content, reasoning, tool_call, ..delta })
}

/// The blocks of a whole answer, folded into one as they are read.
#[derive(Clone, Copy, Default)]
struct Content(Bearing);

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut all = Bearing::default();
        fold(deserializer, |part: Part<'de>| {
            let one = part.bearing()?;
            all.content |= one.content;
            all.reasoning |= one.reasoning;
            all.tool_call |= one.tool_call;
            Ok(())
        })?;
        Ok(Self(all))
    }
}

/// Of a prompt `input_tokens` are those that no cache was asked for or had.
#[derive(Deserialize)]
struct Stated {
    input_tokens: Option<u32>,
    output_tokens: Option<u32>,
    cache_read_input_tokens: Option<u32>,
    cache_creation_input_tokens: Option<u32>,
}

impl Stated {
    fn counts(self) -> Counts {
        // A server that does not know it yet says 0, and no prompt is empty.
        let known = |tokens: Option<u32>| tokens.filter(|tokens| *tokens > 0);
        Counts {
            prompt: None,
            uncached_prompt: known(self.input_tokens),
            created_prompt: known(self.cache_creation_input_tokens),
            completion: self.output_tokens,
            reasoning: None,
            cached_prompt: known(self.cache_read_input_tokens),
        }
    }
}

#[cfg(test)]
mod tests {
    use common::target::Endpoint;

    use super::super::tests;

    fn check(json: &str, want: &str) {
        tests::check(Endpoint::Messages, json, want);
    }

    fn delta(part: &str, want: &str) {
        check(&format!(r#"{{"type":"content_block_delta","index":0,"delta":{part}}}"#), want);
    }

    fn start(block: &str, want: &str) {
        let json = format!(r#"{{"type":"content_block_start","index":0,"content_block":{block}}}"#);
        check(&json, want);
    }

    #[test]
    fn what_bears_a_token() {
        delta(r#"{"type":"text_delta","text":"a"}"#, "output content");
        delta(r#"{"type":"text_delta","text":""}"#, "output");
        delta(r#"{"type":"text_delta","text":7}"#, "bad");
        delta(r#"{"type":"thinking_delta","thinking":"a"}"#, "output reasoning");
        delta(r#"{"type":"signature_delta","signature":"Ab"}"#, "output");
        delta(r#"{"type":"citations_delta","citation":{"cited_text":"x"}}"#, "output");
        delta(r#"{"type":"input_json_delta","partial_json":"{\""}"#, "output tool");
        delta(r#"{"type":"input_json_delta","partial_json":""}"#, "output");
        delta("null", "output");
        delta("7", "bad");
        start(r#"{"type":"text","text":""}"#, "output");
        start(r#"{"type":"thinking","thinking":"","signature":""}"#, "output");
        start(r#"{"type":"tool_use","id":"t","name":"f","input":{}}"#, "output tool");
        start(r#"{"type":"redacted_thinking","data":"Ab"}"#, "output reasoning");
        check(r#"{"type":"content_block_stop","index":0}"#, "output");
        check(r#"{"type":"ping"}"#, "");
        check(r#"{"type":"moon_phase","delta":{"text":"full"}}"#, "");
        check(r#"{"delta":{"text":"a"}}"#, "");
    }

    #[test]
    fn counts_come_at_both_ends() {
        let begun = |usage: &str, want: &str| {
            let json = format!(r#"{{"type":"message_start","message":{{"usage":{usage}}}}}"#);
            check(&json, want);
        };
        begun(r#"{"input_tokens":9,"output_tokens":1}"#, "9+- r- c-");
        begun(
            r#"{"input_tokens":2,"cache_read_input_tokens":4,"cache_creation_input_tokens":3}"#,
            "9+- r- c4",
        );
        begun(r#"{"input_tokens":0,"output_tokens":0}"#, "");
        begun("null", "");
        begun(r#"{"input_tokens":-1}"#, "bad");
        check(
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},
                "usage":{"output_tokens":5}}"#,
            "Regular -+5 r- c-",
        );
        check(r#"{"type":"message_stop"}"#, "last");
    }

    #[test]
    fn stop_reasons() {
        for (reason, want) in [
            ("null", ""),
            (r#""max_tokens""#, "Regular"),
            (r#""tool_use""#, "Regular"),
            (r#""refusal""#, "Regular"),
            (r#""abort""#, "GivenUp"),
            ("1", "bad"),
        ] {
            let json = format!(r#"{{"type":"message_delta","delta":{{"stop_reason":{reason}}}}}"#);
            check(&json, want);
        }
    }

    #[test]
    fn whole_answers() {
        let whole = |content: &str, want: &str| {
            check(
                &format!(
                    r#"{{"type":"message","role":"assistant","content":{content},
                       "stop_reason":"max_tokens","usage":{{"input_tokens":3,"output_tokens":1}}}}"#
                ),
                want,
            );
        };
        let counts = "Regular 3+1 r- c-";
        whole(r#"[{"type":"text","text":"a"}]"#, &format!("output content {counts}"));
        whole(
            r#"[{"type":"thinking","thinking":"b"},{"type":"tool_use","name":"f","input":{}}]"#,
            &format!("output reasoning tool {counts}"),
        );
        whole("[]", &format!("output {counts}"));
        whole("null", counts);
        whole("7", "bad");
        check(
            r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#,
            r#"error {"type":"overloaded_error","message":"busy"}"#,
        );
    }
}
