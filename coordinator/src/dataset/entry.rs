//! One entry of a file as a conversation, whatever the format.

use common::records::{Format, PackedTurn};
use common::target::Endpoint;
use common::text::CHARS_PER_TOKEN;
use common::workload::TOKENS_MAX;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::fault::json;
use super::message::{Message, Role};
use super::words;
use crate::campaign::Turns;

/// What is wanted of an entry.
#[derive(Clone, Copy)]
pub(super) struct Want {
    /// In whose words.
    pub(super) endpoint: Endpoint,
    /// Which requests.
    pub(super) turns: Turns,
    /// How long answers are is stated elsewhere, whatever the file says.
    pub(super) states_output: bool,
}

/// A conversation, to be packed.
pub(super) struct Conversation {
    pub(super) members: String,
    /// At least one.
    pub(super) turns: Vec<PackedTurn>,
    /// How long the prompt of each turn is, in tokens, by its characters.
    pub(super) inputs: Vec<u32>,
}

/// The conversation of an entry; `None` if there is nothing to ask in it, where a format has such.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(text: &str, format: Format, want: Want) -> Result<Option<Conversation>, String> {
    if !text.starts_with('{') {
        return Err("no JSON object".to_owned());
    }
    match format {
        Format::OpenAi => open_ai(text, want).map(Some),
        Format::Prompts => prompt(text, want).map(Some),
        Format::ShareGpt => share_gpt(text, want),
        // Traces have no words, and are read by themselves.
        Format::Mooncake | Format::Csv => Ok(None),
    }
}

#[derive(Deserialize)]
struct OpenAi<'a> {
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<Vec<&'a RawValue>>,
    output_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    max_tokens: Option<u64>,
}

fn open_ai(text: &str, want: Want) -> Result<Conversation, String> {
    let entry: OpenAi<'_> = serde_json::from_str(text).map_err(|error| json(&error))?;
    let numbered = (1..).zip(&entry.messages);
    let messages = numbered.map(|(number, raw)| Message::read(number, raw.get()));
    let messages: Vec<Message> = messages.collect::<Result<_, _>>()?;
    let stated = entry.output_tokens.or(entry.max_completion_tokens).or(entry.max_tokens);
    let conversation = turns(&messages, &entry.tools.unwrap_or_default(), stated, want)?;
    conversation.ok_or_else(|| "no message of a user or a tool that could be answered".to_owned())
}

#[derive(Deserialize)]
struct ShareGpt {
    conversations: Vec<Said>,
}

#[derive(Deserialize)]
struct Said {
    from: String,
    value: String,
}

fn share_gpt(text: &str, want: Want) -> Result<Option<Conversation>, String> {
    let entry: ShareGpt = serde_json::from_str(text).map_err(|error| json(&error))?;
    let mut messages = Vec::new();
    for (number, Said { from, value }) in (1..).zip(entry.conversations) {
        let role = match from.as_str() {
            "human" | "user" => Role::User,
            "gpt" | "chatgpt" | "bing" | "bard" | "assistant" => Role::Assistant,
            "system" => Role::System,
            other => {
                let other: String = other.chars().filter(|c| !c.is_control()).take(40).collect();
                let known = "is none of human, user, gpt, assistant, system";
                return Err(format!("conversations, item {number}: from {other:?} {known}"));
            }
        };
        // What was left of a longer conversation may begin with an answer.
        let answers_nothing = role == Role::Assistant && !messages.iter().any(Message::asks);
        if !answers_nothing {
            messages.push(Message::text(role, value));
        }
    }
    turns(&messages, &[], None, want)
}

#[derive(Deserialize)]
struct Prompt<'a> {
    #[serde(borrow)]
    prompt: &'a RawValue,
    output_tokens: Option<u64>,
    max_tokens: Option<u64>,
}

fn prompt(text: &str, want: Want) -> Result<Conversation, String> {
    let entry: Prompt<'_> = serde_json::from_str(text).map_err(|error| json(&error))?;
    let raw = entry.prompt.get();
    let said: String = serde_json::from_str(raw).map_err(|_| "prompt is no text".to_owned())?;
    let characters = said.chars().count();
    let added = match want.endpoint {
        Endpoint::Completions | Endpoint::Embeddings => raw.to_owned(),
        Endpoint::Chat | Endpoint::Responses | Endpoint::Messages => {
            words::message(&Message::text(Role::User, said), want.endpoint)?
        }
    };
    let output_tokens = output(entry.output_tokens.or(entry.max_tokens), None, want)?;
    Ok(Conversation {
        members: String::new(),
        turns: vec![PackedTurn { added, output_tokens }],
        inputs: vec![tokens(characters)],
    })
}

/// The requests of a conversation: each ends before an answer of the model, or with the last
/// message. `None` if there is none.
fn turns(
    messages: &[Message],
    tools: &[&RawValue],
    stated: Option<u64>,
    want: Want,
) -> Result<Option<Conversation>, String> {
    let apart = match want.endpoint {
        Endpoint::Messages => words::leading_system(messages).len(),
        Endpoint::Chat | Endpoint::Completions | Endpoint::Responses | Endpoint::Embeddings => 0,
    };
    let members = words::members(tools, messages, want.endpoint)?;
    let mut conversation = Conversation { members, turns: Vec::new(), inputs: Vec::new() };
    let (mut added, mut characters, mut is_first) = (String::new(), 0, true);
    for (place, message) in messages.iter().enumerate() {
        if place >= apart {
            let said = words::message(message, want.endpoint)
                .map_err(|what| format!("message {}: {what}", place + 1))?;
            if !std::mem::take(&mut is_first) {
                added.push(',');
            }
            added.push_str(&said);
        }
        characters += message.characters();
        let next = messages.get(place + 1);
        let is_answered = next.is_none_or(|next| next.role == Role::Assistant);
        if message.asks() && is_answered {
            let answer = next.map(Message::characters);
            let output_tokens = output(stated, answer, want)
                .map_err(|what| format!("message {}: {what}", place + 1))?;
            let added = std::mem::take(&mut added);
            conversation.turns.push(PackedTurn { added, output_tokens });
            conversation.inputs.push(tokens(characters));
            if want.turns == Turns::First {
                break;
            }
        }
    }
    Ok((!conversation.turns.is_empty()).then_some(conversation))
}

/// How long an answer is to be: as stated, or as long as the one recorded.
fn output(stated: Option<u64>, recorded: Option<usize>, want: Want) -> Result<Option<u32>, String> {
    if want.states_output {
        return Ok(None);
    }
    match (stated, recorded) {
        (Some(stated), _) => {
            let tokens = u32::try_from(stated).ok().filter(|n| (1..=TOKENS_MAX).contains(n));
            tokens.map(Some).ok_or_else(|| format!("{stated} output tokens: not 1 to {TOKENS_MAX}"))
        }
        (None, Some(characters)) => Ok(Some(tokens(characters))),
        (None, None) => {
            let what = "nothing says how long the answer may be: add output_tokens here, or to the \
                        workload";
            Err(what.to_owned())
        }
    }
}

/// Tokens of a text of so many characters, at least one.
fn tokens(characters: usize) -> u32 {
    let tokens = characters.div_ceil(CHARS_PER_TOKEN as usize);
    u32::try_from(tokens).unwrap_or(TOKENS_MAX).clamp(1, TOKENS_MAX)
}
