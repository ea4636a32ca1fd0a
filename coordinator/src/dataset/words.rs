//! How an endpoint says a message: the chat API takes it as it was recorded, the others in words of
//! their own.

use common::target::Endpoint;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::fault;
use super::message::{Call, Content, Message, Role};

/// A message in the words of an endpoint, as items of a JSON list with commas between them; empty
/// where it is said elsewhere.
pub(super) fn message(message: &Message, endpoint: Endpoint) -> Result<String, String> {
    match endpoint {
        Endpoint::Chat => Ok(message.raw.clone()),
        Endpoint::Responses => responses(message),
        Endpoint::Messages => messages(message),
        // They take prompts, and conversations were refused.
        Endpoint::Completions | Endpoint::Embeddings => Ok(String::new()),
    }
}

/// What a body has beside its messages: tools, and where the endpoint wants it apart, what the
/// system says. Each member has a comma after it.
pub(super) fn members(
    tools: &[&RawValue],
    messages: &[Message],
    endpoint: Endpoint,
) -> Result<String, String> {
    let mut members = String::new();
    if !tools.is_empty() {
        let tools = tools.iter().zip(1..).map(|(tool, number)| {
            let wrong = |what: String| format!("tool {number}: {what}");
            self::tool(tool.get(), endpoint).map_err(wrong)
        });
        let tools: Vec<String> = tools.collect::<Result<_, _>>()?;
        members.push_str(&format!("\"tools\":[{}],", tools.join(",")));
    }
    let system = leading_system(messages);
    if endpoint == Endpoint::Messages && !system.is_empty() {
        let mut blocks = Vec::new();
        for message in system {
            blocks.extend(parts(&message.content, "text")?);
        }
        members.push_str(&format!("\"system\":{},", Value::Array(blocks)));
    }
    Ok(members)
}

/// The messages of the system at the beginning.
pub(super) fn leading_system(messages: &[Message]) -> &[Message] {
    let count = messages.iter().take_while(|message| message.role == Role::System).count();
    messages.get(..count).unwrap_or_default()
}

/// A tool as the chat API describes it.
#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow)]
    function: Described<'a>,
}

#[derive(Deserialize)]
struct Described<'a> {
    name: String,
    #[serde(borrow)]
    description: Option<&'a RawValue>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
}

/// A tool in the words of an endpoint. Its schema stays as it is: servers show it to the model in
/// the order in which it is written.
fn tool(raw: &str, endpoint: Endpoint) -> Result<String, String> {
    let Tool { function } = serde_json::from_str(raw).map_err(|error| fault::json(&error))?;
    let Described { name, description, parameters } = function;
    let name = Value::from(name);
    let description = description.map(|text| format!(",\"description\":{text}"));
    let description = description.unwrap_or_default();
    let parameters = parameters.map_or(r#"{"type":"object"}"#, RawValue::get);
    Ok(match endpoint {
        Endpoint::Chat | Endpoint::Completions | Endpoint::Embeddings => raw.to_owned(),
        Endpoint::Responses => {
            format!(r#"{{"type":"function","name":{name}{description},"parameters":{parameters}}}"#)
        }
        Endpoint::Messages => {
            format!(r#"{{"name":{name}{description},"input_schema":{parameters}}}"#)
        }
    })
}

fn responses(message: &Message) -> Result<String, String> {
    let (role, kind) = match message.role {
        Role::System => ("system", "input_text"),
        Role::User => ("user", "input_text"),
        Role::Assistant => ("assistant", "output_text"),
        Role::Tool => {
            let output = plain(&message.content)?;
            let call_id = message.answers.as_deref().unwrap_or_default();
            let item = json!({
                "type": "function_call_output", "call_id": call_id, "output": output,
            });
            return Ok(item.to_string());
        }
    };
    let mut items = Vec::new();
    match &message.content {
        Content::Nothing => {}
        Content::Text(text) => items.push(json!({ "role": role, "content": text })),
        Content::Parts(_) => {
            items.push(json!({ "role": role, "content": parts(&message.content, kind)? }));
        }
    }
    items.extend(message.calls.iter().map(|Call { id, function }| {
        json!({
            "type": "function_call", "call_id": id, "name": function.name,
            "arguments": function.arguments,
        })
    }));
    Ok(items.iter().map(Value::to_string).collect::<Vec<_>>().join(","))
}

fn messages(message: &Message) -> Result<String, String> {
    let said = match message.role {
        Role::System => {
            let what = "the Messages API has no message of the system after the first of a user";
            return Err(what.to_owned());
        }
        Role::User => json!({ "role": "user", "content": content(message)? }),
        Role::Assistant => json!({ "role": "assistant", "content": content(message)? }),
        Role::Tool => {
            let id = message.answers.as_deref().unwrap_or_default();
            let result = json!({
                "type": "tool_result", "tool_use_id": id, "content": plain(&message.content)?,
            });
            json!({ "role": "user", "content": [result] })
        }
    };
    Ok(said.to_string())
}

/// A text, or blocks where there is more than a text.
fn content(message: &Message) -> Result<Value, String> {
    if let (Content::Text(text), []) = (&message.content, message.calls.as_slice()) {
        return Ok(text.as_str().into());
    }
    let mut blocks = parts(&message.content, "text")?;
    for Call { id, function } in &message.calls {
        let input: Value = serde_json::from_str(&function.arguments).map_err(|_| {
            format!("the arguments of {} are not JSON", Value::from(&*function.name))
        })?;
        blocks.push(json!({
            "type": "tool_use", "id": id, "name": function.name, "input": input,
        }));
    }
    Ok(Value::Array(blocks))
}

/// Texts as parts of this kind.
fn parts(content: &Content, kind: &str) -> Result<Vec<Value>, String> {
    let part = |text: &str| json!({ "type": kind, "text": text });
    match content {
        Content::Nothing => Ok(Vec::new()),
        // A block of no text is refused by servers.
        Content::Text(text) if text.is_empty() => Ok(Vec::new()),
        Content::Text(text) => Ok(vec![part(text)]),
        Content::Parts(parts) => {
            let texts = parts.iter().map(|each| match &each.text {
                Some(text) => Ok(part(text)),
                None => {
                    let kind: String =
                        each.kind.chars().filter(|c| !c.is_control()).take(40).collect();
                    Err(format!(
                        "a part of type {kind:?} is known to target.endpoint = \"chat\" only"
                    ))
                }
            });
            texts.collect()
        }
    }
}

/// The text of a message that can have nothing else.
fn plain(content: &Content) -> Result<String, String> {
    match content {
        Content::Nothing => Ok(String::new()),
        Content::Text(text) => Ok(text.clone()),
        Content::Parts(_) => {
            let texts = parts(content, "text")?;
            Ok(texts.iter().filter_map(|part| part.get("text")?.as_str()).collect())
        }
    }
}
