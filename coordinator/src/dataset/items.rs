//! The entries of a file: lines of JSON, or the items of one JSON list.

use common::records::Format;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::fault::{Fault, json};
use super::trace;

/// One entry and the line on which it begins, from 1.
pub(super) struct Item<'a> {
    pub(super) line: usize,
    pub(super) text: &'a str,
}

/// The text of a file.
pub(super) fn text(bytes: &[u8]) -> Result<&str, Fault> {
    // Some programs put a byte order mark before UTF-8.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Fault::line(line, "not UTF-8".to_owned())
    })
}

/// The entries of a text.
pub(super) fn split(text: &str) -> Result<Vec<Item<'_>>, Fault> {
    if text.trim_start().starts_with('[') {
        return split_list(text);
    }
    let lines = (1..).zip(text.split('\n'));
    let lines = lines.map(|(line, text)| Item { line, text: text.trim() });
    Ok(lines.filter(|item| !item.text.is_empty()).collect())
}

fn split_list(text: &str) -> Result<Vec<Item<'_>>, Fault> {
    let items: Vec<&RawValue> =
        serde_json::from_str(text).map_err(|error| Fault::line(error.line(), json(&error)))?;
    let (mut line, mut counted) = (1, 0);
    let located = items.into_iter().map(|item| {
        // An item is a part of the text.
        let at = (item.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        let between = text.as_bytes().get(counted..at).unwrap_or_default();
        line += between.iter().filter(|byte| **byte == b'\n').count();
        counted = at;
        Item { line, text: item.get() }
    });
    Ok(located.collect())
}

/// The format, by the keys of the first entry.
pub(super) fn format(items: &[Item<'_>]) -> Result<Format, Fault> {
    #[derive(Deserialize)]
    struct Keys {
        messages: Option<IgnoredAny>,
        prompt: Option<IgnoredAny>,
        conversations: Option<IgnoredAny>,
        input_length: Option<IgnoredAny>,
    }
    let first = items.first().ok_or(Fault::Empty)?;
    if trace::is_heading(first.text) {
        return Ok(Format::Csv);
    }
    let keys: Keys =
        serde_json::from_str(first.text).map_err(|error| Fault::line(first.line, json(&error)))?;
    match keys {
        Keys { messages: Some(_), .. } => Ok(Format::OpenAi),
        Keys { prompt: Some(_), .. } => Ok(Format::Prompts),
        Keys { conversations: Some(_), .. } => Ok(Format::ShareGpt),
        Keys { input_length: Some(_), .. } => Ok(Format::Mooncake),
        Keys { messages: None, prompt: None, conversations: None, input_length: None } => {
            Err(Fault::Unknown)
        }
    }
}
