//! What is wrong with a data set: by line where a line is to blame, and what to do.

use std::fmt;

use common::ids::Name;
use common::records::{BYTES_MAX, ENTRIES_MAX, Format};
use common::target::Endpoint;
use serde_json::error::Category;

use super::FILE_BYTES_MAX;
use crate::campaign::clip;

/// Lines that are shown; further ones are counted.
pub(super) const LINES_SHOWN: usize = 20;

/// Data sets that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub struct DataErrors(pub Vec<DataError>);

/// A data set that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub struct DataError {
    /// The file, as the campaign names it.
    pub file: String,
    /// The workload that asks for it.
    pub workload: Name,
    /// Why not.
    pub fault: Fault,
}

/// Why a data set cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// The system does not give it.
    Unreadable(String),
    /// It has too many bytes.
    TooLarge,
    /// It holds nothing that could be sent.
    Empty,
    /// Its format cannot be told.
    Unknown,
    /// It cannot be said in the words of the endpoint.
    Endpoint {
        /// What it holds.
        format: Format,
        /// What is asked.
        endpoint: Endpoint,
    },
    /// From this line on there is no more room.
    TooMany {
        /// The line, from 1.
        line: usize,
    },
    /// A trace has more requests, or blocks of prompts, than there is room for.
    TooManyTraced,
    /// A trace lasts too long.
    Long,
    /// A level that replays no trace, or a trace that is not replayed.
    Replay {
        /// What the file holds.
        format: Format,
    },
    /// Lines are wrong.
    Lines {
        /// The first of them, each from 1 and with its reason.
        lines: Vec<(usize, String)>,
        /// How many there are.
        all: usize,
    },
}

impl Fault {
    /// One line is wrong.
    pub(super) fn line(line: usize, why: String) -> Self {
        Self::Lines { lines: vec![(line, why)], all: 1 }
    }
}

impl fmt::Display for DataErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(DataError::to_string).collect();
        f.write_str(&texts.join("\n"))
    }
}

impl std::error::Error for DataErrors {}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = clip(&self.file);
        let workload = &self.workload;
        match &self.fault {
            Fault::Unreadable(why) => {
                write!(f, "{file}: cannot be read: {why} (workloads.{workload}.dataset)")
            }
            Fault::TooLarge => {
                let mib = FILE_BYTES_MAX >> 20;
                write!(f, "{file}: larger than {mib} MiB, the most that is read; use a part of it")
            }
            Fault::Empty => write!(f, "{file}: holds nothing to send"),
            Fault::Unknown => {
                let names = Format::ALL.map(Format::name).join(", ");
                write!(
                    f,
                    "{file}: its format cannot be told: the first entry has neither messages nor \
                     prompt nor conversations, and is not of a trace; say which it is with \
                     workloads.{workload}.dataset.format, one of {names}"
                )
            }
            Fault::Endpoint { format, endpoint } => write!(
                f,
                "{file}: holds conversations ({format}), and {} takes prompts; set \
                 target.endpoint = \"chat\", or use a file with prompts",
                endpoint.name()
            ),
            Fault::TooMany { line } => write!(
                f,
                "{file}:{line}: one too many: {ENTRIES_MAX} requests and {} MiB are the most; use \
                 a part of the file",
                BYTES_MAX >> 20
            ),
            Fault::TooManyTraced => write!(
                f,
                "{file}: too long a trace: {ENTRIES_MAX} requests and {} MiB are the most; use a \
                 part of the file",
                BYTES_MAX >> 20
            ),
            Fault::Long => write!(f, "{file}: its requests came over more than a year"),
            Fault::Replay { format } if format.is_trace() => write!(
                f,
                "{file}: holds a trace ({format}), whose requests come when they came there; load \
                 workload {workload} by replay = {{ speed = [1] }}, and not by users or a rate"
            ),
            Fault::Replay { format } => write!(
                f,
                "{file}: holds no trace ({format}), and a level replays workload {workload}; load \
                 it by users or a rate"
            ),
            Fault::Lines { lines, all } => {
                let shown: Vec<String> =
                    lines.iter().map(|(line, why)| format!("{file}:{line}: {why}")).collect();
                f.write_str(&shown.join("\n"))?;
                let entries = if *all == 1 { "entry" } else { "entries" };
                if *all > lines.len() {
                    let more = all - lines.len();
                    write!(f, "\n{file}: {all} bad {entries}, {more} of them not shown")
                } else {
                    write!(f, "\n{file}: {all} bad {entries}; nothing was sent")
                }
            }
        }
    }
}

/// What JSON says of itself, without a place where the line is named anyway.
pub(super) fn json(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let what = text.strip_suffix(&place).unwrap_or(&text);
    let what: String = what.chars().filter(|c| !c.is_control()).take(200).collect();
    let kind = match error.classify() {
        Category::Syntax | Category::Eof => "not JSON: ",
        Category::Data | Category::Io => "",
    };
    match error.column() {
        0 => format!("{kind}{what}"),
        column => format!("{kind}{what}, at column {column}"),
    }
}
