//! Data sets that users bring: read from their files, checked line by line before anything is sent,
//! and packed in the words of the endpoint for the agents.
//!
//! | Module | What it does |
//! |---|---|
//! | `items` | splits a file into its entries, each with its line, and tells its format |
//! | `entry` | one entry as a conversation |
//! | `trace` | requests with instants instead of words |
//! | `message`, `words` | one message, and how an endpoint says it |
//! | `fault` | what is wrong with a file, line by line |
//!
//! Only [`load`] reads files; everything else is a function of bytes.

mod entry;
mod fault;
mod items;
mod message;
mod trace;
mod words;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;

use common::digest::Digest;
use common::length::Length;
use common::records::{DataSet, Format, Packer};
use common::target::Endpoint;

use self::entry::{Conversation, Want};
pub use self::fault::{DataError, DataErrors, Fault};
use crate::campaign::{Campaign, DataPlan, TracePace};

/// Bytes of a file, at most.
pub const FILE_BYTES_MAX: usize = 64 << 20;

/// Values that stand for all lengths of a data set.
const LAW_VALUES: usize = 1000;

/// A packed data set, to be supplied to agents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supply {
    /// Names it.
    pub digest: Digest,
    /// The packed records.
    pub bytes: Vec<u8>,
}

/// Reads the data sets of a campaign and fills in its workloads; gives what agents need.
///
/// # Errors
/// Everything that is wrong with the files.
pub fn load(campaign: &mut Campaign) -> Result<Vec<Supply>, DataErrors> {
    let endpoint = campaign.target.endpoint;
    let mut supplies = BTreeMap::new();
    let mut errors = Vec::new();
    for (name, plan) in campaign.data.clone() {
        let read = read_file(&plan.file).and_then(|bytes| parse(&bytes, &plan, endpoint));
        match read {
            Ok(Parsed { data, .. }) if !campaign.replays_all(&name, data.format.is_trace()) => {
                let fault = Fault::Replay { format: data.format };
                errors.push(DataError { file: plan.file, workload: name, fault });
            }
            Ok(Parsed { bytes, data, input, output, pace }) => {
                campaign.carry(&name, &data, (&input, output.as_ref()), pace);
                supplies.insert(data.digest, bytes);
            }
            Err(fault) => errors.push(DataError { file: plan.file, workload: name, fault }),
        }
    }
    if errors.is_empty() {
        Ok(supplies.into_iter().map(|(digest, bytes)| Supply { digest, bytes }).collect())
    } else {
        Err(DataErrors(errors))
    }
}

fn read_file(path: &str) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let limit = FILE_BYTES_MAX as u64 + 1;
    let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(Fault::Unreadable(error.to_string())),
        Ok(_) if bytes.len() > FILE_BYTES_MAX => Err(Fault::TooLarge),
        Ok(_) => Ok(bytes),
    }
}

/// What a file holds.
#[derive(Debug)]
struct Parsed {
    bytes: Vec<u8>,
    data: DataSet,
    /// How long the prompts are.
    input: Length,
    /// How long the answers are, as far as the file says.
    output: Option<Length>,
    /// How fast the requests of a trace came.
    pace: Option<TracePace>,
}

/// The data set in the bytes of a file.
fn parse(bytes: &[u8], plan: &DataPlan, endpoint: Endpoint) -> Result<Parsed, Fault> {
    let text = items::text(bytes)?;
    let items = items::split(text)?;
    let format = match plan.format {
        Some(format) => format,
        None => items::format(&items)?,
    };
    if !has_words(endpoint, format) {
        return Err(Fault::Endpoint { format, endpoint });
    }
    let states_output = plan.output_tokens.is_some() || !endpoint.generates();
    if format.is_trace() {
        return parse_trace(&items, format, plan, states_output);
    }
    let want = Want { endpoint, turns: plan.turns, states_output };
    let mut packer = Packer::default();
    let (mut lines, mut wrong) = (Vec::new(), 0);
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    let mut conversations = 0;
    for item in &items {
        match entry::read(item.text, format, want) {
            Ok(Some(Conversation { members, turns, inputs: input })) => {
                if !packer.add(&members, &turns) {
                    return Err(Fault::TooMany { line: item.line });
                }
                conversations += 1;
                outputs.extend(turns.iter().filter_map(|turn| turn.output_tokens));
                inputs.extend(input);
            }
            Ok(None) => {}
            Err(why) => {
                wrong += 1;
                if lines.len() < fault::LINES_SHOWN {
                    lines.push((item.line, why));
                }
            }
        }
    }
    if wrong > 0 {
        return Err(Fault::Lines { lines, all: wrong });
    }
    let Some(input) = law(inputs.clone()) else {
        return Err(Fault::Empty);
    };
    let bytes = packer.pack();
    let data = DataSet {
        file: plan.file.clone(),
        format,
        digest: Digest::of(&bytes),
        bytes: bytes.len() as u64,
        conversations,
        // The packer has a bound below this.
        turns: inputs.len() as u32,
        shuffled: plan.shuffled,
    };
    Ok(Parsed { bytes, data, input, output: law(outputs), pace: None })
}

fn parse_trace(
    items: &[items::Item<'_>],
    format: Format,
    plan: &DataPlan,
    states_output: bool,
) -> Result<Parsed, Fault> {
    let mut traced = trace::read(items, format)?;
    if states_output {
        traced.iter_mut().for_each(|one| one.output_tokens = None);
    }
    let last_us = traced.last().map_or(0, |last| last.offset_us);
    let count = traced.len() as u64;
    let pace = TracePace::of(count, last_us);
    let input = law(traced.iter().map(|one| one.input_tokens).collect()).ok_or(Fault::Empty)?;
    let output = law(traced.iter().filter_map(|one| one.output_tokens).collect());
    let bytes = common::trace::pack(&traced).ok_or(Fault::TooManyTraced)?;
    // The packer has a bound below this.
    let count = count as u32;
    let data = DataSet {
        file: plan.file.clone(),
        format,
        digest: Digest::of(&bytes),
        bytes: bytes.len() as u64,
        conversations: count,
        turns: count,
        shuffled: false,
    };
    Ok(Parsed { bytes, data, input, output, pace: Some(pace) })
}

/// Whether an endpoint can be asked what a format holds.
fn has_words(endpoint: Endpoint, format: Format) -> bool {
    match (endpoint, format) {
        (Endpoint::Chat | Endpoint::Responses | Endpoint::Messages, _)
        | (
            Endpoint::Completions | Endpoint::Embeddings,
            Format::Prompts | Format::Mooncake | Format::Csv,
        ) => true,
        (Endpoint::Completions | Endpoint::Embeddings, Format::OpenAi | Format::ShareGpt) => false,
    }
}

/// A law that draws lengths as these are spread; `None` of none.
fn law(mut lengths: Vec<u32>) -> Option<Length> {
    lengths.sort_unstable();
    let (least, most) = (*lengths.first()?, *lengths.last()?);
    if least == most {
        return Some(Length::Fixed(least));
    }
    let last = lengths.len() - 1;
    let values = if last < LAW_VALUES {
        lengths
    } else {
        let place = |step: usize| step * last / (LAW_VALUES - 1);
        (0..LAW_VALUES).filter_map(|step| lengths.get(place(step)).copied()).collect()
    };
    Some(Length::Values(values))
}
