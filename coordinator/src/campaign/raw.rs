//! The raw tree: what a file, flags and environment variables say, merged, each value with its
//! origin. Nothing here knows which keys exist.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem, Problems, clip};

/// A value, where it came from and how it was written.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) written: String,
    pub(super) value: Value,
}

/// What a node holds.
#[derive(Clone)]
pub(super) enum Value {
    Text(String),
    /// Saturated: no key takes numbers of that size.
    Integer(i128),
    /// Infinite where it was written so.
    Float(f64),
    Boolean(bool),
    Datetime,
    List(Vec<Node>),
    Table(Table),
}

/// A table; each key with its own origin.
pub(super) type Table = BTreeMap<String, (Origin, Node)>;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A byte offset in the file.
    File(usize),
    /// A flag, with the key for `--set`.
    Flag(String),
    /// An environment variable.
    Environment(String),
    /// A default.
    Implied,
}

/// A campaign file.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The file as the user named it.
    pub name: &'a str,
    /// Its content.
    pub text: &'a str,
}

/// Collects problems and knows where offsets lie.
pub(super) struct Collector<'a> {
    pub(super) source: Option<Source<'a>>,
    pub(super) problems: Problems,
}

impl Source<'_> {
    /// The largest campaign file that is read.
    pub const BYTES_MAX: usize = 1 << 20;

    fn place(self, offset: Option<usize>) -> Place {
        Place::File { name: clip(self.name), at: offset.map(|offset| position(self.text, offset)) }
    }
}

/// Line and column of a byte offset, both from 1, the column in characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let offset =
        (0..=offset.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let before = text.get(..offset).unwrap_or_default();
    let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default();
    (line, column.chars().count() + 1)
}

impl Collector<'_> {
    /// Adds a problem; always `None`, so that a reader can end with it.
    pub(super) fn add<T>(
        &mut self,
        origin: &Origin,
        key: &str,
        value: Option<&str>,
        what: impl Into<String>,
    ) -> Option<T> {
        if self.problems.count_if_full() {
            return None;
        }
        let place = match (origin, self.source) {
            (Origin::File(offset), Some(source)) => source.place(Some(*offset)),
            (Origin::Flag(flag), _) => Place::Flag(clip(flag)),
            (Origin::Environment(variable), _) => Place::Environment(variable.clone()),
            (Origin::Implied, Some(source)) => source.place(None),
            (Origin::File(_) | Origin::Implied, None) => Place::Nowhere,
        };
        // Whatever is written as a key may be the key itself.
        let below =
            |table: &str| key.strip_prefix(table).is_some_and(|rest| !rest.starts_with('_'));
        let secret = below("target.api_key") || below("target.headers");
        self.problems.add(Problem {
            place,
            key: key.to_owned(),
            value: value.filter(|_| !secret).map(clip),
            what: what.into(),
        });
        None
    }
}

impl Value {
    /// What it is, with its article.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Boolean(_) => "a boolean",
            Self::Datetime => "a date or time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

impl Node {
    /// A node that nobody wrote.
    pub(super) fn implied(value: Value) -> Self {
        Self { origin: Origin::Implied, written: String::new(), value }
    }

    /// The table, if it is one.
    pub(super) fn table(&self) -> Option<&Table> {
        if let Value::Table(table) = &self.value { Some(table) } else { None }
    }

    /// How it was written, if it is a single value: a list or a table may hold a secret in a place
    /// where none belongs.
    pub(super) fn shown(&self) -> Option<&str> {
        let single = !matches!(self.value, Value::List(_) | Value::Table(_));
        single.then_some(&self.written)
    }

    /// Puts `node` at `path`, making the tables on the way. A number steps into a list: an item
    /// of it, or the one after its last. `Err` names the part of the path that has no parts.
    pub(super) fn put(&mut self, path: &[String], node: Self) -> Result<(), String> {
        let Some((step, rest)) = path.split_first() else {
            *self = node;
            return Ok(());
        };
        let origin = node.origin.clone();
        // Nobody wrote such a table, so nobody is blamed for what it lacks.
        let made = || Self::implied(Value::Table(Table::new()));
        let next = match &mut self.value {
            Value::Table(table) => {
                &mut table.entry(step.clone()).or_insert_with(|| (origin.clone(), made())).1
            }
            Value::List(items) => {
                let index: usize = step.parse().map_err(|_| step.clone())?;
                if index == items.len() {
                    items.push(made());
                }
                items.get_mut(index).ok_or_else(|| step.clone())?
            }
            Value::Text(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime => return Err(step.clone()),
        };
        next.put(rest, node)
    }
}

/// Places of a file that is no TOML which are told: what follows them is mostly their echo.
const SYNTAX_PROBLEMS_MAX: usize = 3;

/// The tree of a file; `None` and its problems if it is no TOML.
pub(super) fn read_file(collector: &mut Collector<'_>, source: Source<'_>) -> Option<Node> {
    if source.text.len() > Source::BYTES_MAX {
        let what = format!("larger than {} bytes, the most that is read", Source::BYTES_MAX);
        return collector.add(&Origin::Implied, "", None, what);
    }
    let (table, errors) = DeTable::parse_recoverable(source.text);
    for error in errors.iter().take(SYNTAX_PROBLEMS_MAX) {
        let at = error.span().map_or(0, |span| span.start);
        let what = format!("not TOML: {}", error.message());
        collector.add::<()>(&Origin::File(at), "", None, what);
    }
    errors.is_empty().then(|| Node {
        origin: Origin::Implied,
        written: String::new(),
        value: Value::Table(read_entries(source.text, table.get_ref(), None)),
    })
}

/// A value on the command line: TOML, or else a string.
pub(super) fn read_flag(origin: &Origin, text: &str) -> Node {
    let value = match DeValue::parse(text) {
        Ok(value) => read_value(text, &value, Some(origin)).value,
        Err(_) => Value::Text(text.to_owned()),
    };
    Node { origin: origin.clone(), written: text.to_owned(), value }
}

/// A dotted key, quoted where TOML wants it.
pub(super) fn read_path(text: &str) -> Option<Vec<String>> {
    if text.contains(['\n', '\r', '#', '=']) {
        return None;
    }
    let line = format!("{text} = 0");
    let table = DeTable::parse(&line).ok()?;
    let mut path = Vec::new();
    let mut table = table.get_ref();
    loop {
        let (key, value) = table.iter().next()?;
        path.push(key.get_ref().clone().into_owned());
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => return Some(path),
        }
    }
}

fn read_entries(text: &str, table: &DeTable<'_>, flag: Option<&Origin>) -> Table {
    table
        .iter()
        .map(|(key, value)| {
            let origin = flag.cloned().unwrap_or(Origin::File(key.span().start));
            let node = read_value(text, value, flag);
            (key.get_ref().clone().into_owned(), (origin, node))
        })
        .collect()
}

fn read_value(text: &str, value: &Spanned<DeValue<'_>>, flag: Option<&Origin>) -> Node {
    let span = value.span();
    let read = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.clone().into_owned()),
        DeValue::Integer(number) => Value::Integer(
            i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(i128::MAX),
        ),
        // An exponent beyond every float is infinite, as in the language.
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::INFINITY)),
        DeValue::Boolean(yes) => Value::Boolean(*yes),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(items) => {
            Value::List(items.iter().map(|item| read_value(text, item, flag)).collect())
        }
        DeValue::Table(table) => Value::Table(read_entries(text, table, flag)),
    };
    Node {
        origin: flag.cloned().unwrap_or(Origin::File(span.start)),
        // Longer values are never shown whole.
        written: text.get(span).unwrap_or_default().chars().take(100).collect(),
        value: read,
    }
}
