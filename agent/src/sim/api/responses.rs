//! The Responses API: named events, the last of which has the whole response with its usage.

use serde_json::json;

use super::{Facts, Reason, Words, event};

/// The reply to one request.
#[derive(Debug)]
pub(in crate::sim) struct Responses {
    words: Words,
    prompt_tokens: u64,
    /// From the opening brace of a response to its status.
    head: String,
    item: String,
}

/// Events before the first token.
const BEFORE: u64 = 4;

impl Responses {
    pub(super) fn new(facts: Facts<'_>) -> Self {
        let Facts { sequence, model, created_s, prompt_tokens } = facts;
        let (number, model) = (sequence.0, json!(model));
        Self {
            words: Words::of(sequence),
            prompt_tokens,
            head: format!(
                r#"{{"id":"resp_{number:016x}","object":"response","created_at":{created_s},"model":{model},"error":null,"status":"#
            ),
            item: format!("msg_{number:016x}"),
        }
    }

    pub(super) fn begin(&self, out: &mut Vec<u8>) {
        let begun = format!(r#"{}"in_progress","output":[],"usage":null}}"#, self.head);
        for (number, name) in [(0, "response.created"), (1, "response.in_progress")] {
            self.event(out, number, name, &[r#""response":"#, &begun]);
        }
        let item = &self.item;
        let added = format!(
            r#""output_index":0,"item":{{"id":"{item}","type":"message","status":"in_progress","role":"assistant","content":[]}}"#
        );
        self.event(out, 2, "response.output_item.added", &[&added]);
        self.part(out, 3, "response.content_part.added", "");
    }

    pub(super) fn token(&self, out: &mut Vec<u8>, place: u32) {
        let before = r#"","output_index":0,"content_index":0,"delta":""#;
        let parts = [r#""item_id":""#, &self.item, before, self.words.word(place), "\""];
        self.event(out, BEFORE + u64::from(place), "response.output_text.delta", &parts);
    }

    pub(super) fn finish(&self, out: &mut Vec<u8>, tokens: u32, reason: Reason, usage: bool) {
        let number = BEFORE + u64::from(tokens);
        let text = self.words.text(tokens);
        let done = format!(
            r#""item_id":"{}","output_index":0,"content_index":0,"text":"{text}""#,
            self.item
        );
        self.event(out, number, "response.output_text.done", &[&done]);
        self.part(out, number + 1, "response.content_part.done", &text);
        let item = self.message(&text, reason);
        let done = [r#""output_index":0,"item":"#, item.as_str()];
        self.event(out, number + 2, "response.output_item.done", &done);
        let name = match reason {
            Reason::Length => "response.incomplete",
            Reason::Stop => "response.completed",
        };
        let response = self.response(&item, tokens, reason, usage);
        self.event(out, number + 3, name, &[r#""response":"#, &response]);
    }

    pub(super) fn whole(&self, tokens: u32, reason: Reason, usage: bool) -> Vec<u8> {
        let item = self.message(&self.words.text(tokens), reason);
        self.response(&item, tokens, reason, usage).into_bytes()
    }

    fn response(&self, item: &str, tokens: u32, reason: Reason, usage: bool) -> String {
        let (status, details) = match reason {
            Reason::Length => ("incomplete", r#"{"reason":"max_output_tokens"}"#),
            Reason::Stop => ("completed", "null"),
        };
        let prompt = self.prompt_tokens;
        let total = prompt.saturating_add(tokens.into());
        let usage = if usage {
            format!(
                r#"{{"input_tokens":{prompt},"input_tokens_details":{{"cached_tokens":0}},"output_tokens":{tokens},"output_tokens_details":{{"reasoning_tokens":0}},"total_tokens":{total}}}"#
            )
        } else {
            "null".to_owned()
        };
        format!(
            r#"{}"{status}","incomplete_details":{details},"output":[{item}],"usage":{usage}}}"#,
            self.head
        )
    }

    fn message(&self, text: &str, reason: Reason) -> String {
        let status = match reason {
            Reason::Length => "incomplete",
            Reason::Stop => "completed",
        };
        format!(
            r#"{{"id":"{}","type":"message","status":"{status}","role":"assistant","content":[{{"type":"output_text","text":"{text}","annotations":[]}}]}}"#,
            self.item
        )
    }

    fn part(&self, out: &mut Vec<u8>, number: u64, name: &str, text: &str) {
        let part = format!(
            r#""item_id":"{}","output_index":0,"content_index":0,"part":{{"type":"output_text","text":"{text}","annotations":[]}}"#,
            self.item
        );
        self.event(out, number, name, &[&part]);
    }

    fn event(&self, out: &mut Vec<u8>, number: u64, name: &str, fields: &[&str]) {
        let number = number.to_string();
        let head = [r#"{"type":""#, name, r#"","sequence_number":"#, &number, ","];
        event(out, Some(name), &[&head, fields, &["}"]].concat());
    }
}

/// What a stream says that cannot go on.
pub(super) fn error(out: &mut Vec<u8>, message: &str) {
    let error = json!({"type": "error", "code": "server_error", "message": message, "param": null});
    event(out, Some("error"), &[&error.to_string()]);
}
