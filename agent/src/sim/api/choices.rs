//! Chat and text completions.

use serde_json::json;

use super::{Facts, Reason, Words, event};

/// The reply of either endpoint.
#[derive(Debug)]
pub(in crate::sim) struct Choices {
    kind: Kind,
    words: Words,
    prompt_tokens: u64,
    /// From the opening brace to the bracket of `choices`.
    stream_head: String,
    /// The same for a reply in one piece.
    whole_head: String,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Chat,
    Text,
}

impl Choices {
    pub(super) fn chat(facts: Facts<'_>) -> Self {
        Self::new(Kind::Chat, facts, ["chatcmpl", "chat.completion.chunk", "chat.completion"])
    }

    pub(super) fn completions(facts: Facts<'_>) -> Self {
        Self::new(Kind::Text, facts, ["cmpl", "text_completion", "text_completion"])
    }

    fn new(kind: Kind, facts: Facts<'_>, [prefix, stream, whole]: [&str; 3]) -> Self {
        let Facts { sequence, model, created_s, prompt_tokens } = facts;
        let (number, model) = (sequence.0, json!(model));
        let head = |object| {
            format!(
                r#"{{"id":"{prefix}-{number:016x}","object":"{object}","created":{created_s},"model":{model},"choices":["#
            )
        };
        Self {
            kind,
            words: Words::of(sequence),
            prompt_tokens,
            stream_head: head(stream),
            whole_head: head(whole),
        }
    }

    /// A chat says who speaks.
    pub(super) fn begin(&self, out: &mut Vec<u8>) {
        match self.kind {
            Kind::Chat => event(
                out,
                None,
                &[
                    &self.stream_head,
                    r#"{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}"#,
                ],
            ),
            Kind::Text => {}
        }
    }

    pub(super) fn token(&self, out: &mut Vec<u8>, place: u32, reason: Option<Reason>) {
        self.delta(out, self.words.word(place), reason);
    }

    /// An event with a reason and no text.
    pub(super) fn stop(&self, out: &mut Vec<u8>, reason: Reason) {
        self.delta(out, "", Some(reason));
    }

    fn delta(&self, out: &mut Vec<u8>, text: &str, reason: Option<Reason>) {
        let (before, after) = match self.kind {
            Kind::Chat => {
                (r#"{"index":0,"delta":{"content":""#, r#""},"logprobs":null,"finish_reason":"#)
            }
            Kind::Text => (r#"{"index":0,"text":""#, r#"","logprobs":null,"finish_reason":"#),
        };
        let reason = match reason {
            None => "null}]}",
            Some(Reason::Length) => r#""length"}]}"#,
            Some(Reason::Stop) => r#""stop"}]}"#,
        };
        event(out, None, &[&self.stream_head, before, text, after, reason]);
    }

    /// The event that states the usage, if it is to be stated.
    pub(super) fn finish(&self, out: &mut Vec<u8>, tokens: u32, usage: bool) {
        if usage {
            let counts = self.usage(tokens);
            event(out, None, &[&self.stream_head, r#"],"usage":"#, &counts, "}"]);
        }
    }

    pub(super) fn whole(&self, tokens: u32, reason: Reason, usage: bool) -> Vec<u8> {
        let text = self.words.text(tokens);
        let choice = match self.kind {
            Kind::Chat => {
                format!(r#"{{"index":0,"message":{{"role":"assistant","content":"{text}"}}"#)
            }
            Kind::Text => format!(r#"{{"index":0,"text":"{text}""#),
        };
        let usage =
            if usage { format!(r#","usage":{}"#, self.usage(tokens)) } else { String::new() };
        let reason = match reason {
            Reason::Length => "length",
            Reason::Stop => "stop",
        };
        format!(
            r#"{head}{choice},"logprobs":null,"finish_reason":"{reason}"}}]{usage}}}"#,
            head = self.whole_head,
        )
        .into_bytes()
    }

    fn usage(&self, tokens: u32) -> String {
        let prompt = self.prompt_tokens;
        let total = prompt.saturating_add(tokens.into());
        format!(
            r#"{{"prompt_tokens":{prompt},"completion_tokens":{tokens},"total_tokens":{total}}}"#
        )
    }
}
