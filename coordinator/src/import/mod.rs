//! Results that other programs measured, parsed once into rows that can be judged.
//!
//! | Module | What it does |
//! |---|---|
//! | `json` | JSON as it was written: keys in order, repeated ones kept |
//! | `read` | reads one value of a wanted type and range, or reports a problem |
//! | `table` | floodmark's own table format, strict |
//! | `vllm` | what vLLM's `bench serve` saves |
//!
//! Nothing here reads a file or judges a row.

mod json;
mod read;
mod table;
mod vllm;

#[cfg(test)]
mod tests;

use crate::campaign::Problems;
use crate::classify::imported::{Baseline, Level};
use json::Node;
use read::Sink;

/// A file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name as the user gave it.
    pub name: String,
    /// What is in it.
    pub text: String,
}

impl Source {
    /// Longest file that is read. Detailed results hold every token's time and may be longer.
    pub const BYTES_MAX: usize = 32 << 20;
}

/// A results table.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The format that it was in.
    pub format: Format,
    /// Its name.
    pub name: String,
    /// The model, if it is named.
    pub model: Option<String>,
    /// Where it comes from, if it says so.
    pub source: Option<String>,
    /// A baseline that is no row.
    pub baseline: Option<Baseline>,
    /// The rows, in the order in which they were run; never empty.
    pub levels: Vec<Level>,
    /// What a reader must know about the import.
    pub notes: Vec<String>,
}

/// The formats that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// floodmark's own.
    Table,
    /// A result of vLLM's `bench serve` for each row.
    Vllm,
}

impl Format {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Vllm => "vllm",
        }
    }
}

/// Most rows of a table.
const ROWS_MAX: usize = 1_000;

/// The table in these files, or everything that is wrong with them: one table of floodmark's own,
/// or one or several results of vLLM's `bench serve`.
pub fn read(sources: &[Source]) -> Result<Imported, Problems> {
    let mut problems = Problems::default();
    let mut tables = Vec::new();
    let mut results = Vec::new();
    for source in sources {
        let mut sink = Sink::new(&source.name, &mut problems);
        for (number, node) in documents(source, &mut sink).into_iter().enumerate() {
            match kind(&node) {
                Some(Format::Table) => tables.push((&source.name, node)),
                Some(Format::Vllm) => results.push((&source.name, number, node)),
                None => sink.unkeyed(unknown(&node)),
            }
        }
    }
    if let [_, (name, _), ..] = tables.as_slice() {
        Sink::new(name, &mut problems).unkeyed("is a second table; give one table at a time");
    }
    if let (Some((name, _)), [_, ..]) = (tables.first(), results.as_slice()) {
        Sink::new(name, &mut problems)
            .unkeyed("is a table among results of vLLM's bench serve; give the one or the others");
    }
    let tables: Vec<Option<Imported>> = tables
        .iter()
        .map(|(name, node)| table::read(node, &mut Sink::new(name, &mut problems)))
        .collect();
    let results = vllm::read(&results, &mut problems);
    match tables.into_iter().flatten().next().or(results) {
        Some(imported) if problems.is_empty() => Ok(imported),
        Some(_) | None => Err(problems),
    }
}

/// The JSON values of a file; appended results are several in one file.
fn documents(source: &Source, sink: &mut Sink<'_>) -> Vec<Node> {
    if source.text.len() > Source::BYTES_MAX {
        let most = Source::BYTES_MAX >> 20;
        sink.unkeyed(format!("is longer than {most} MiB; save results without --save-detailed"));
        return Vec::new();
    }
    let mut nodes = Vec::new();
    for node in serde_json::Deserializer::from_str(&source.text).into_iter::<Node>() {
        match node {
            Ok(_) if nodes.len() == ROWS_MAX => {
                sink.unkeyed(format!("has more than {ROWS_MAX} results"));
                return nodes;
            }
            Ok(node) => nodes.push(node),
            Err(error) => {
                sink.syntax(&error);
                return nodes;
            }
        }
    }
    if nodes.is_empty() {
        sink.unkeyed("is empty");
    }
    nodes
}

fn kind(node: &Node) -> Option<Format> {
    let has = |keys: &[&str]| keys.iter().any(|key| node.get(key).is_some());
    if has(&["rows"]) {
        Some(Format::Table)
    } else if has(&vllm::TELLING_KEYS) {
        Some(Format::Vllm)
    } else {
        None
    }
}

fn unknown(node: &Node) -> &'static str {
    if node.get("run_id").is_some() && node.get("levels").is_some() {
        "is a summary of floodmark's own; give its result directory without --import"
    } else {
        "is neither a table with \"rows\" nor a result that vLLM's bench serve saved"
    }
}
