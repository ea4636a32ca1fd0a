//! One message of a conversation, as the chat API of OpenAI has it.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::fault::json;

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Whoever wrote the application.
    System,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// A tool that the model called.
    Tool,
}

/// One message.
pub(super) struct Message {
    pub(super) role: Role,
    /// The message as it was recorded.
    pub(super) raw: String,
    pub(super) content: Content,
    /// What the model calls.
    pub(super) calls: Vec<Call>,
    /// Which call a tool answers.
    pub(super) answers: Option<String>,
}

/// What a message says.
pub(super) enum Content {
    /// Nothing: it calls tools.
    Nothing,
    /// A text.
    Text(String),
    /// Parts; those that are no text have none.
    Parts(Vec<Part>),
}

/// A part of a message.
#[derive(Deserialize)]
pub(super) struct Part {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) text: Option<String>,
}

/// A call of a tool.
#[derive(Deserialize)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) function: Function,
}

/// What is called.
#[derive(Deserialize)]
pub(super) struct Function {
    pub(super) name: String,
    /// JSON in a text.
    pub(super) arguments: String,
}

/// A message as it is written.
#[derive(Deserialize)]
struct Written<'a> {
    role: String,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    tool_calls: Option<Vec<Call>>,
    tool_call_id: Option<String>,
}

impl Message {
    /// Message number `number`, from 1.
    pub(super) fn read(number: usize, raw: &str) -> Result<Self, String> {
        let wrong = |what: String| format!("message {number}: {what}");
        let written: Written<'_> =
            serde_json::from_str(raw).map_err(|error| wrong(json(&error)))?;
        let role = match written.role.as_str() {
            "system" | "developer" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "tool" => Role::Tool,
            other => {
                let other: String = other.chars().filter(|c| !c.is_control()).take(40).collect();
                let what = "is none of system, developer, user, assistant, tool";
                return Err(wrong(format!("role {other:?} {what}")));
            }
        };
        let calls = written.tool_calls.unwrap_or_default();
        let content = match written.content {
            Some(content) => Content::read(content.get()).map_err(wrong)?,
            None if role == Role::Assistant && !calls.is_empty() => Content::Nothing,
            None => return Err(wrong("has no content".to_owned())),
        };
        let answers = written.tool_call_id;
        if role == Role::Tool && answers.is_none() {
            return Err(wrong("has no tool_call_id".to_owned()));
        }
        Ok(Self { role, raw: raw.to_owned(), content, calls, answers })
    }

    /// A text.
    pub(super) fn text(role: Role, text: String) -> Self {
        let name = match role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        };
        // A text is always JSON.
        let written = serde_json::to_string(&text).unwrap_or_default();
        let raw = format!(r#"{{"role":"{name}","content":{written}}}"#);
        Self { role, raw, content: Content::Text(text), calls: Vec::new(), answers: None }
    }

    /// An answer follows it.
    pub(super) fn asks(&self) -> bool {
        match self.role {
            Role::User | Role::Tool => true,
            Role::System | Role::Assistant => false,
        }
    }

    /// Characters of what it says and calls.
    pub(super) fn characters(&self) -> usize {
        let calls = self.calls.iter();
        let called = |call: &Call| {
            call.function.name.chars().count() + call.function.arguments.chars().count()
        };
        self.content.characters() + calls.map(called).sum::<usize>()
    }
}

impl Content {
    fn read(raw: &str) -> Result<Self, String> {
        if raw.starts_with('"') {
            serde_json::from_str(raw).map(Self::Text).map_err(|error| json(&error))
        } else if raw.starts_with('[') {
            let parts = serde_json::from_str(raw).map_err(|error| json(&error))?;
            Ok(Self::Parts(parts))
        } else {
            Err("content is neither a text nor a list of parts".to_owned())
        }
    }

    fn characters(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Text(text) => text.chars().count(),
            Self::Parts(parts) => {
                let texts = parts.iter().filter_map(|part| part.text.as_ref());
                texts.map(|text| text.chars().count()).sum()
            }
        }
    }
}
