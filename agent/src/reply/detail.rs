//! The server's own words about a failure, made fit to print.
//!
//! Everything here is hostile input on its way to a terminal and a report: it is cut, and what
//! could move a cursor or turn the direction of text is escaped.

use common::detail::CHARS_MAX;
use serde::Deserialize;
use serde_json::value::RawValue;

/// How deep a message is looked for: `{"error": {"message": …}}` and one wrapping of a gateway.
const DEPTH_MAX: u32 = 3;

/// The message in an error body, or else the body itself; `None` if there is nothing to read.
pub(super) fn explain(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let told = message(&text, DEPTH_MAX);
    let text = told.as_deref().unwrap_or(&text).trim();
    (!text.is_empty()).then(|| clip(text))
}

/// Where servers put their message: OpenAI and vLLM in `error.message` or `message`, FastAPI in
/// `detail`, others in `error` itself.
#[derive(Deserialize)]
struct Words<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
}

fn message(json: &str, depth: u32) -> Option<String> {
    let json = json.trim_ascii_start();
    if json.starts_with('"') {
        return serde_json::from_str(json).ok();
    }
    if !json.starts_with('{') {
        return None;
    }
    let depth = depth.checked_sub(1)?;
    let words: Words<'_> = serde_json::from_str(json).ok()?;
    [words.error, words.message, words.detail]
        .into_iter()
        .flatten()
        .find_map(|inner| message(inner.get(), depth))
}

fn clip(text: &str) -> String {
    let mut clipped = String::new();
    for c in text.chars().take(CHARS_MAX) {
        if c.is_control() || turns_text(c) {
            clipped.extend(c.escape_default());
        } else {
            clipped.push(c);
        }
    }
    clipped
}

/// Marks, embeddings, overrides and isolates of direction, and the separators of lines.
fn turns_text(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_found() {
        for (body, want) in [
            (r#"{"error":{"message":"busy","code":503}}"#, "busy"),
            (r#"{"object":"error","message":"busy"}"#, "busy"),
            (r#"{"error":"busy"}"#, "busy"),
            (r#"{"detail":"busy"}"#, "busy"),
            (r#"{"error":{"code":1},"message":"busy"}"#, "busy"),
            (r#"{"error":{"error":{"message":"busy"}}}"#, "busy"),
            (r#"{"detail":[{"msg":"a"}]}"#, r#"{"detail":[{"msg":"a"}]}"#),
            (r#"{"error":{"message":"cut"#, r#"{"error":{"message":"cut"#),
            ("<html>\r\n502\u{1b}[2J", r"<html>\r\n502\u{1b}[2J"),
            ("\"a\\u202eb\"", r"a\u{202e}b"),
            (" plain ", "plain"),
        ] {
            assert_eq!(explain(body.as_bytes()).as_deref(), Some(want));
        }
        assert_eq!(explain(b" \n"), None);
        assert_eq!(explain(b"{\"message\":\"\"}"), None);
        assert_eq!(explain(b"a\xffb").as_deref(), Some("a\u{fffd}b"));
    }

    #[test]
    fn words_are_cut_and_nesting_is_survived() {
        assert_eq!(explain("é".repeat(5000).as_bytes()), Some("é".repeat(300)));
        let deep = "{\"error\":".repeat(100_000) + &"}".repeat(100_000);
        assert_eq!(explain(deep.as_bytes()).map(|text| text.len()), Some(300));
    }
}
