//! Lengths that are drawn, and prefixes that prompts share, as texts in columns.

use common::length::{Bounds, Length};
use common::workload::{CacheMode, SharedPrefix, TOKENS_MAX, Workload};
use serde::{Deserialize, Serialize};

use super::states;

/// Lengths as text; `None` where both are one number, which columns of their own hold.
pub(super) fn text(workload: &Workload) -> Option<String> {
    let Workload { input_tokens, output_tokens, .. } = workload;
    if input_tokens.fixed().is_some() && output_tokens.fixed().is_some() {
        return None;
    }
    // Those of a mix are the lengths of its workloads, which are stored whole.
    let (input, output) = (StoredLength::of(input_tokens)?, StoredLength::of(output_tokens)?);
    Some(states::text(&StoredLengths { input, output }))
}

/// Lengths of prompts and of answers, from their text.
pub(super) fn of(text: &str) -> Option<(Length, Length)> {
    let StoredLengths { input, output } = serde_json::from_str(text).ok()?;
    lengths_of(input, output)
}

/// Lengths of prompts and of answers, if they are any.
pub(super) fn lengths_of(input: StoredLength, output: StoredLength) -> Option<(Length, Length)> {
    let (input, output) = (Length::from(input), Length::from(output));
    let answers = output == Length::NONE || output.is_within(TOKENS_MAX);
    (input.is_within(TOKENS_MAX) && answers).then_some((input, output))
}

/// A shared prefix as text.
pub(super) fn prefix_text(cache: CacheMode) -> Option<String> {
    StoredPrefix::of(cache).map(|prefix| states::text(&prefix))
}

/// A shared prefix from its text.
pub(super) fn prefix_of(text: &str) -> Option<SharedPrefix> {
    serde_json::from_str::<StoredPrefix>(text).ok().map(Into::into)
}

/// What a cache may see of prompts of these lengths, by its name and the prefix beside it.
pub(super) fn cache_of(
    name: &str,
    prefix: Option<SharedPrefix>,
    input: &Length,
) -> Option<CacheMode> {
    let prefix = prefix.filter(|prefix| prefix.fits(input));
    let known =
        [Some(CacheMode::Cold), Some(CacheMode::Replay), prefix.map(CacheMode::SharedPrefix)];
    known.into_iter().flatten().find(|mode| mode.name() == name)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredLengths {
    input: StoredLength,
    output: StoredLength,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredPrefix {
    tokens: u32,
    groups: u32,
    share_permille: u32,
}

impl StoredPrefix {
    /// What prompts share; `None` where they share none.
    pub(super) fn of(cache: CacheMode) -> Option<Self> {
        match cache {
            CacheMode::SharedPrefix(SharedPrefix { tokens, groups, share_permille }) => {
                Some(Self { tokens, groups, share_permille })
            }
            CacheMode::Cold | CacheMode::Replay => None,
        }
    }
}

impl From<StoredPrefix> for SharedPrefix {
    fn from(stored: StoredPrefix) -> Self {
        let StoredPrefix { tokens, groups, share_permille } = stored;
        Self { tokens, groups, share_permille }
    }
}

/// How long a text is.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "law", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum StoredLength {
    Fixed { tokens: u32 },
    Uniform { least: u32, most: u32 },
    Normal { mean: u32, sd: u32, least: u32, most: u32 },
    Lognormal { median: u32, sigma_milli: u32, least: u32, most: u32 },
    Values { values: Vec<u32> },
}

impl StoredLength {
    /// A length; `None` for that of a mix, which follows from its workloads.
    pub(super) fn of(length: &Length) -> Option<Self> {
        Some(match length {
            Length::Fixed(tokens) => Self::Fixed { tokens: *tokens },
            Length::Uniform { least, most } => Self::Uniform { least: *least, most: *most },
            Length::Normal { mean, sd, bounds: Bounds { least, most } } => {
                Self::Normal { mean: *mean, sd: *sd, least: *least, most: *most }
            }
            Length::Lognormal { median, sigma_milli, bounds: Bounds { least, most } } => {
                let (median, sigma_milli) = (*median, *sigma_milli);
                Self::Lognormal { median, sigma_milli, least: *least, most: *most }
            }
            Length::Values(values) => Self::Values { values: values.clone() },
            Length::Mixed(_) => return None,
        })
    }
}

impl From<StoredLength> for Length {
    fn from(stored: StoredLength) -> Self {
        match stored {
            StoredLength::Fixed { tokens } => Self::Fixed(tokens),
            StoredLength::Uniform { least, most } => Self::Uniform { least, most },
            StoredLength::Normal { mean, sd, least, most } => {
                Self::Normal { mean, sd, bounds: Bounds { least, most } }
            }
            StoredLength::Lognormal { median, sigma_milli, least, most } => {
                Self::Lognormal { median, sigma_milli, bounds: Bounds { least, most } }
            }
            StoredLength::Values { values } => Self::Values(values),
        }
    }
}
