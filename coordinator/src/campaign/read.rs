//! Typed reading of the raw tree: a value of the wanted type and range, or a problem.

use std::ops::RangeInclusive;
use std::time::Duration;

use common::duration::parse_duration;

use super::problem::{clip, nearest};
use super::raw::{Collector, Node, Origin, Table, Value};

/// A value and its dotted key.
pub(super) struct Field<'t> {
    pub(super) key: String,
    pub(super) node: &'t Node,
}

/// A table whose keys are all known.
pub(super) struct Section<'t> {
    pub(super) key: String,
    pub(super) origin: &'t Origin,
    table: &'t Table,
}

impl<'t> Section<'t> {
    /// The table in `field`; keys other than `valid` are problems, and reading goes on.
    pub(super) fn open(field: &Field<'t>, valid: &[&str], c: &mut Collector<'_>) -> Option<Self> {
        let section = Self::open_any(field, c)?;
        for (key, (origin, _)) in section.table {
            if !valid.contains(&key.as_str()) {
                let what = format!(
                    "unknown key;{} valid keys: {}",
                    suggestion(key, valid),
                    valid.join(", ")
                );
                c.add::<()>(origin, &section.key_of(key), None, what);
            }
        }
        Some(section)
    }

    /// The table in `field`, whatever its keys.
    pub(super) fn open_any(field: &Field<'t>, c: &mut Collector<'_>) -> Option<Self> {
        let Some(table) = field.node.table() else {
            return field.refuse(c, format!("must be a table, not {}", field.node.value.kind()));
        };
        Some(Self { key: field.key.clone(), origin: &field.node.origin, table })
    }

    /// All keys with their origins and values.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'t str, &'t Origin, Field<'t>)> {
        self.table.iter().map(|(key, (origin, node))| {
            let field = Field { key: self.key_of(key), node };
            (key.as_str(), origin, field)
        })
    }

    /// The value of `key`, if it was given.
    pub(super) fn get(&self, key: &str) -> Option<Field<'t>> {
        self.table.get(key).map(|(_, node)| Field { key: self.key_of(key), node })
    }

    /// The value of `key`; its absence is a problem that `hint` helps with.
    pub(super) fn need(&self, key: &str, hint: &str, c: &mut Collector<'_>) -> Option<Field<'t>> {
        self.get(key).or_else(|| {
            let what = format!("missing; {hint}");
            c.add(self.origin, &self.key_of(key), None, what)
        })
    }

    /// The dotted key of `key` in this table.
    pub(super) fn key_of(&self, key: &str) -> String {
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let key = if !key.is_empty() && key.chars().all(bare) {
            clip(key)
        } else {
            format!("\"{}\"", clip(key))
        };
        if self.key.is_empty() { key } else { format!("{}.{key}", self.key) }
    }
}

impl<'t> Field<'t> {
    /// A problem with this value; always `None`.
    pub(super) fn refuse<T>(&self, c: &mut Collector<'_>, what: impl Into<String>) -> Option<T> {
        c.add(&self.node.origin, &self.key, self.node.shown(), what)
    }

    /// A problem with this value that must not repeat it; always `None`.
    pub(super) fn refuse_unseen<T>(&self, c: &mut Collector<'_>, what: &str) -> Option<T> {
        c.add(&self.node.origin, &self.key, None, what)
    }

    /// An integer within `range`.
    pub(super) fn integer(&self, range: RangeInclusive<u64>, c: &mut Collector<'_>) -> Option<u64> {
        let right = format!("must be an integer from {} to {}", range.start(), range.end());
        let Value::Integer(number) = self.node.value else {
            return self.refuse(c, format!("{right}, not {}", self.node.value.kind()));
        };
        u64::try_from(number)
            .ok()
            .filter(|number| range.contains(number))
            .or_else(|| self.refuse(c, right))
    }

    /// A number within `range`, whole or not.
    pub(super) fn number(&self, range: RangeInclusive<f64>, c: &mut Collector<'_>) -> Option<f64> {
        let right = format!("must be a number from {} to {}", range.start(), range.end());
        let number = match self.node.value {
            Value::Float(number) => number,
            // Every range is far below the integers that a float cannot hold.
            Value::Integer(number) => number as f64,
            Value::Text(_)
            | Value::Boolean(_)
            | Value::Datetime
            | Value::List(_)
            | Value::Table(_) => {
                return self.refuse(c, format!("{right}, not {}", self.node.value.kind()));
            }
        };
        if range.contains(&number) { Some(number) } else { self.refuse(c, right) }
    }

    /// A number within `range` in units of `1 / parts`; one between two of these is refused, so
    /// that what is done is what is written.
    pub(super) fn fixed_point(
        &self,
        range: RangeInclusive<f64>,
        parts: u32,
        c: &mut Collector<'_>,
    ) -> Option<u64> {
        let number = self.number(range, c)?;
        let scaled = (number * f64::from(parts)).round();
        if scaled / f64::from(parts) == number {
            Some(scaled as u64)
        } else {
            let decimals = parts.ilog10();
            self.refuse(c, format!("must have at most {decimals} decimals"))
        }
    }

    /// An integer from 1 to `max`.
    pub(super) fn count(&self, max: u32, c: &mut Collector<'_>) -> Option<u32> {
        u32::try_from(self.integer(1..=max.into(), c)?).ok()
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, c: &mut Collector<'_>) -> Option<bool> {
        let Value::Boolean(yes) = self.node.value else {
            let kind = self.node.value.kind();
            return self.refuse(c, format!("must be true or false, not {kind}"));
        };
        Some(yes)
    }

    /// A string. On the command line, where quotes are a nuisance, any single value is one.
    pub(super) fn text(&self, c: &mut Collector<'_>) -> Option<&'t str> {
        match (&self.node.value, &self.node.origin, self.node.shown()) {
            (Value::Text(text), _, _) => Some(text),
            (_, Origin::Flag(_) | Origin::Environment(_), Some(written)) => Some(written),
            (other, _, _) => self.refuse(c, format!("must be a string, not {}", other.kind())),
        }
    }

    /// A string of 1 to `bytes_max` bytes without control characters.
    pub(super) fn line(&self, bytes_max: usize, c: &mut Collector<'_>) -> Option<&'t str> {
        let text = self.text(c)?;
        if (1..=bytes_max).contains(&text.len()) && !text.chars().any(char::is_control) {
            Some(text)
        } else {
            let what = format!("must have 1 to {bytes_max} bytes and no control character");
            self.refuse(c, what)
        }
    }

    /// A duration.
    pub(super) fn duration(&self, c: &mut Collector<'_>) -> Option<Duration> {
        let Value::Text(text) = &self.node.value else {
            let kind = self.node.value.kind();
            let what = format!("must be a duration in quotes, such as \"5s\", not {kind}");
            return self.refuse(c, what);
        };
        match parse_duration(text) {
            Ok(duration) => Some(duration),
            Err(error) => self.refuse(c, error.to_string()),
        }
    }

    /// A duration longer than nothing.
    pub(super) fn wait(&self, c: &mut Collector<'_>) -> Option<Duration> {
        let duration = self.duration(c)?;
        if duration.is_zero() {
            return self.refuse(c, "must be longer than 0s");
        }
        Some(duration)
    }

    /// One of the words in `valid`.
    pub(super) fn word<T: Copy>(&self, valid: &[(&str, T)], c: &mut Collector<'_>) -> Option<T> {
        let text = self.text(c)?;
        if let Some((_, value)) = valid.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let words: Vec<&str> = valid.iter().map(|(word, _)| *word).collect();
        let near = suggestion(text, &words);
        let then = if near.is_empty() { "" } else { ";" };
        let what = format!("must be one of {}{then}{near}", words.join(", "));
        self.refuse(c, what)
    }

    /// The items of a list, or the single value as the only item.
    pub(super) fn items(&self) -> Vec<Field<'t>> {
        let Value::List(items) = &self.node.value else {
            return vec![Field { key: self.key.clone(), node: self.node }];
        };
        let item = |(index, node)| Field { key: format!("{}.{index}", self.key), node };
        items.iter().enumerate().map(item).collect()
    }
}

/// ` did you mean …?` where something near is valid.
pub(super) fn suggestion(word: &str, valid: &[&str]) -> String {
    nearest(word, valid.iter().copied())
        .map(|near| format!(" did you mean {near}?"))
        .unwrap_or_default()
}
