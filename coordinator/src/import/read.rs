//! Typed reading of JSON: a value of the wanted type and range, or a problem with its file, row,
//! key and what would be right.

use std::ops::RangeInclusive;

use super::json::Node;
use crate::campaign::{Place, Problem, Problems, clip, nearest};

/// Longest name or note.
const TEXT_BYTES_MAX: usize = 400;

/// Where the problems of one file go.
pub(super) struct Sink<'p> {
    file: String,
    problems: &'p mut Problems,
}

impl<'p> Sink<'p> {
    pub(super) fn new(file: &str, problems: &'p mut Problems) -> Self {
        Self { file: file.to_owned(), problems }
    }

    /// A problem with the file as a whole.
    pub(super) fn unkeyed(&mut self, what: impl Into<String>) {
        self.add(String::new(), None, what.into(), None);
    }

    /// The file is no JSON.
    pub(super) fn syntax(&mut self, error: &serde_json::Error) {
        let text = error.to_string();
        let at = format!(" at line {} column {}", error.line(), error.column());
        let what = format!("is not JSON: {}", text.strip_suffix(&at).unwrap_or(&text));
        self.add(String::new(), None, what, Some((error.line(), error.column())));
    }

    fn add(
        &mut self,
        key: String,
        value: Option<String>,
        what: String,
        at: Option<(usize, usize)>,
    ) {
        let place = Place::File { name: self.file.clone(), at };
        self.problems.add(Problem { place, key, value, what });
    }
}

/// An object and where it stands.
pub(super) struct Object<'n> {
    entries: &'n [(String, Node)],
    /// Precedes its keys in messages: empty, or like `row 3: `.
    at: String,
}

impl<'n> Object<'n> {
    /// An object whose keys are all of `valid`, each given once.
    pub(super) fn strict(
        node: &'n Node,
        at: String,
        valid: &[&str],
        sink: &mut Sink<'_>,
    ) -> Option<Self> {
        let object = Self::open(node, at, sink)?;
        for (key, _) in object.entries {
            if !valid.contains(&key.as_str()) {
                let near = nearest(key, valid.iter().copied())
                    .map(|near| format!(" did you mean {near}?"))
                    .unwrap_or_default();
                let what = format!("unknown key;{near} valid keys: {}", valid.join(", "));
                sink.add(format!("{}{}", object.at, clip(key)), None, what, None);
            }
        }
        Some(object)
    }

    /// An object that may have further keys.
    pub(super) fn open(node: &'n Node, at: String, sink: &mut Sink<'_>) -> Option<Self> {
        let Node::Object(entries) = node else {
            let what = format!("must be an object, not {}", node.kind());
            let subject = at.trim_end_matches(": ").to_owned();
            sink.add(subject, node.shown(), what, None);
            return None;
        };
        for (place, (key, _)) in entries.iter().enumerate() {
            if entries.iter().take(place).any(|(other, _)| other == key) {
                let key = format!("{at}{}", clip(key));
                sink.add(key, None, "is given twice; keep one".to_owned(), None);
            }
        }
        Some(Self { entries, at })
    }

    /// The value of `key`; `null` is the same as nothing.
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        let given = self.entries.iter().find(|(name, _)| name == key).map(|(_, node)| node);
        given.filter(|node| **node != Node::Null)
    }

    /// A problem with the value of `key`; always `None`.
    pub(super) fn refuse<T>(
        &self,
        key: &str,
        what: impl Into<String>,
        sink: &mut Sink<'_>,
    ) -> Option<T> {
        let value = self.entries.iter().find(|(name, _)| name == key);
        let value = value.and_then(|(_, node)| node.shown());
        sink.add(format!("{}{key}", self.at), value, what.into(), None);
        None
    }

    /// The value that `read` finds for `key`; its absence is a problem that `hint` helps with.
    pub(super) fn need<T>(
        &self,
        key: &str,
        hint: &str,
        sink: &mut Sink<'_>,
        read: impl FnOnce(&Self, &str, &mut Sink<'_>) -> Option<T>,
    ) -> Option<T> {
        match self.get(key) {
            Some(_) => read(self, key, sink),
            None => self.refuse(key, format!("missing; {hint}"), sink),
        }
    }

    /// A number within `range`.
    pub(super) fn number(
        &self,
        key: &str,
        range: RangeInclusive<f64>,
        sink: &mut Sink<'_>,
    ) -> Option<f64> {
        let node = self.get(key)?;
        let right = format!("must be a number from {} to {}", range.start(), range.end());
        match node {
            Node::Number(number) if range.contains(number) => Some(*number),
            Node::Number(_) => self.refuse(key, right, sink),
            Node::Null | Node::Boolean(_) | Node::Text(_) | Node::List(_) | Node::Object(_) => {
                self.refuse(key, format!("{right}, not {}", node.kind()), sink)
            }
        }
    }

    /// A whole number within `range`, which stays below 2^53.
    pub(super) fn count(
        &self,
        key: &str,
        range: RangeInclusive<u64>,
        sink: &mut Sink<'_>,
    ) -> Option<u64> {
        let node = self.get(key)?;
        let right = format!("must be a whole number from {} to {}", range.start(), range.end());
        let bounds = *range.start() as f64..=*range.end() as f64;
        match node {
            Node::Number(number) if number.fract() == 0.0 && bounds.contains(number) => {
                Some(*number as u64)
            }
            Node::Number(_) => self.refuse(key, right, sink),
            Node::Null | Node::Boolean(_) | Node::Text(_) | Node::List(_) | Node::Object(_) => {
                self.refuse(key, format!("{right}, not {}", node.kind()), sink)
            }
        }
    }

    /// A whole number that fits 32 bits.
    pub(super) fn small(
        &self,
        key: &str,
        range: RangeInclusive<u32>,
        sink: &mut Sink<'_>,
    ) -> Option<u32> {
        let range = u64::from(*range.start())..=u64::from(*range.end());
        self.count(key, range, sink).and_then(|count| u32::try_from(count).ok())
    }

    /// A string that is not empty.
    pub(super) fn text(&self, key: &str, sink: &mut Sink<'_>) -> Option<&'n str> {
        match self.get(key)? {
            Node::Text(text) if (1..=TEXT_BYTES_MAX).contains(&text.len()) => Some(text),
            Node::Text(_) => {
                self.refuse(key, format!("must have 1 to {TEXT_BYTES_MAX} bytes"), sink)
            }
            node @ (Node::Null
            | Node::Boolean(_)
            | Node::Number(_)
            | Node::List(_)
            | Node::Object(_)) => {
                self.refuse(key, format!("must be a string, not {}", node.kind()), sink)
            }
        }
    }

    /// What precedes the keys of the object under `key`.
    pub(super) fn under(&self, key: &str) -> String {
        format!("{}{key}: ", self.at)
    }
}
