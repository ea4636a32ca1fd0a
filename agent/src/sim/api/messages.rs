//! The Messages API: named events, with the counts of the prompt in the first one and those of the
//! answer in one of the last.

use serde_json::json;

use super::{Facts, Reason, Words, event};

/// The reply to one request.
#[derive(Debug)]
pub(in crate::sim) struct Messages {
    words: Words,
    prompt_tokens: u64,
    /// From the opening brace of a message to its content.
    head: String,
}

impl Messages {
    pub(super) fn new(facts: Facts<'_>) -> Self {
        let Facts { sequence, model, created_s: _, prompt_tokens } = facts;
        let (number, model) = (sequence.0, json!(model));
        Self {
            words: Words::of(sequence),
            prompt_tokens,
            head: format!(
                r#"{{"id":"msg_{number:016x}","type":"message","role":"assistant","model":{model},"content":"#
            ),
        }
    }

    pub(super) fn begin(&self, out: &mut Vec<u8>) {
        let message = format!(
            r#"{}[],"stop_reason":null,"stop_sequence":null,"usage":{{"input_tokens":{},"output_tokens":1}}}}"#,
            self.head, self.prompt_tokens
        );
        named(out, "message_start", &[r#","message":"#, &message]);
        let block = r#","index":0,"content_block":{"type":"text","text":""}"#;
        named(out, "content_block_start", &[block]);
        named(out, "ping", &[]);
    }

    pub(super) fn token(&self, out: &mut Vec<u8>, place: u32) {
        let before = r#","index":0,"delta":{"type":"text_delta","text":""#;
        named(out, "content_block_delta", &[before, self.words.word(place), r#""}"#]);
    }

    pub(super) fn finish(&self, out: &mut Vec<u8>, tokens: u32, reason: Reason, usage: bool) {
        named(out, "content_block_stop", &[r#","index":0"#]);
        let delta =
            format!(r#","delta":{{"stop_reason":"{}","stop_sequence":null}}"#, stop_reason(reason));
        let usage =
            if usage { format!(r#","usage":{{"output_tokens":{tokens}}}"#) } else { String::new() };
        named(out, "message_delta", &[&delta, &usage]);
        named(out, "message_stop", &[]);
    }

    pub(super) fn whole(&self, tokens: u32, reason: Reason, usage: bool) -> Vec<u8> {
        let blocks = match tokens {
            0 => String::new(),
            1.. => format!(r#"{{"type":"text","text":"{}"}}"#, self.words.text(tokens)),
        };
        let usage = if usage {
            let prompt = self.prompt_tokens;
            format!(r#","usage":{{"input_tokens":{prompt},"output_tokens":{tokens}}}"#)
        } else {
            String::new()
        };
        format!(
            r#"{}[{blocks}],"stop_reason":"{}","stop_sequence":null{usage}}}"#,
            self.head,
            stop_reason(reason)
        )
        .into_bytes()
    }
}

/// The object of an error.
pub(super) fn error_body(kind: &str, message: &str) -> String {
    json!({"type": "error", "error": {"type": kind, "message": message}}).to_string()
}

fn stop_reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Length => "max_tokens",
        Reason::Stop => "end_turn",
    }
}

/// An event of this name, with these fields beside its type.
fn named(out: &mut Vec<u8>, name: &str, fields: &[&str]) {
    event(out, Some(name), &[&[r#"{"type":""#, name, "\""], fields, &["}"]].concat());
}
