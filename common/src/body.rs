//! Bodies of requests: the fields of each API. What stands in them is another's matter.

use serde_json::{Value, json};

use crate::target::{Endpoint, Target};
use crate::workload::Workload;

/// The body's fields, with this prompt and this for the tokens of the answer. What makes an answer
/// as long as asked for has no place in the APIs: vLLM reads `min_tokens` beside `ignore_eos` where
/// the endpoint knows it, and other servers the latter.
pub fn fields(workload: &Workload, target: &Target, prompt: String, output: &Value) -> Value {
    let mut body = own(workload, target, prompt, output);
    if let Some(object) = body.as_object_mut() {
        // None of these is one of the fields above that a campaign or a level decides.
        object.extend(target.extra_body.fields().clone());
    }
    body
}

fn own(workload: &Workload, target: &Target, prompt: String, output: &Value) -> Value {
    let (model, stream) = (&target.model, target.stream);
    let mut body = match target.endpoint {
        Endpoint::Chat => json!({ "messages": [{ "role": "user", "content": prompt }] }),
        Endpoint::Completions => json!({ "prompt": prompt }),
        // A server that is measured is not asked to keep what it said.
        Endpoint::Responses => json!({ "input": prompt, "store": false }),
        Endpoint::Messages => json!({ "messages": [{ "role": "user", "content": prompt }] }),
        Endpoint::Embeddings => json!({ "input": prompt, "encoding_format": "float" }),
    };
    let mut set = |key: &str, value: Value| {
        if let Some(object) = body.as_object_mut() {
            object.insert(key.to_owned(), value);
        }
    };
    set("model", model.as_str().into());
    if !target.endpoint.generates() {
        return body;
    }
    set("temperature", 0.into());
    set("stream", stream.into());
    match target.endpoint {
        Endpoint::Chat | Endpoint::Completions => {
            set("max_tokens", output.clone());
            if stream {
                set("stream_options", json!({ "include_usage": true }));
            }
            if workload.forced_length {
                set("ignore_eos", true.into());
                set("min_tokens", output.clone());
            }
        }
        Endpoint::Responses => {
            set("max_output_tokens", output.clone());
            if workload.forced_length {
                set("ignore_eos", true.into());
            }
        }
        Endpoint::Messages => set("max_tokens", output.clone()),
        Endpoint::Embeddings => {}
    }
    body
}
