//! The workload of a level on the wire, both ways.

use common::length::{Bounds, Length};
use common::workload::{CacheMode, SharedPrefix, THINK_MS_MAX, TOKENS_MAX, Workload};

use super::from::{name, required};
use super::images::images;
use super::slices;
use super::supply;
use super::text;
use crate::generated as pb;
use crate::wire::WireError;

impl From<&Workload> for pb::Workload {
    fn from(workload: &Workload) -> Self {
        use pb::workload::Cache;
        if !workload.mix.is_empty() {
            return slices::mix_from(workload);
        }
        Self {
            name: workload.name.to_string(),
            input_tokens: Some((&workload.input_tokens).into()),
            output_tokens: Some((&workload.output_tokens).into()),
            forced_length: workload.forced_length,
            cache: Some(match workload.cache {
                CacheMode::Cold => Cache::Cold(pb::Cold {}),
                CacheMode::SharedPrefix(SharedPrefix { tokens, groups, share_permille }) => {
                    Cache::SharedPrefix(pb::SharedPrefix { tokens, groups, share_permille })
                }
                CacheMode::Replay => Cache::Replay(pb::Replay {}),
            }),
            models: slices::models_from(workload),
            mix: Vec::new(),
            images: workload.images.as_ref().map(Into::into),
            text: text::message(&workload.text),
            records: supply::records(workload),
        }
    }
}

impl TryFrom<pb::Workload> for Workload {
    type Error = WireError;

    fn try_from(message: pb::Workload) -> Result<Self, WireError> {
        use pb::workload::Cache;
        if !message.mix.is_empty() {
            return slices::mix(message);
        }
        let input_tokens = length("workload.input_tokens", message.input_tokens)?;
        let cache = match required("workload.cache", message.cache)? {
            Cache::Cold(_) => CacheMode::Cold,
            Cache::SharedPrefix(prefix) => shared_prefix(prefix, &input_tokens)?,
            Cache::Replay(_) => CacheMode::Replay,
        };
        let output_tokens = match message.output_tokens {
            Some(pb::Length { law: Some(pb::length::Law::Fixed(0)) }) => Length::NONE,
            output => length("workload.output_tokens", output)?,
        };
        let brought = message.records.unwrap_or_default();
        let data = brought.data.map(TryInto::try_into).transpose()?;
        Ok(Self {
            forced_length: message.forced_length,
            cache,
            text: text::read(message.text)?,
            replay_milli: supply::replay(brought.replay_milli, data.as_ref())?,
            data,
            think_ms: brought.think_ms.map(think).transpose()?,
            models: slices::models(message.models)?,
            images: images(message.images)?,
            ..Self::new(name("workload.name", &message.name)?, input_tokens, output_tokens)
        })
    }
}

fn think(message: pb::Length) -> Result<Length, WireError> {
    const FIELD: &str = "workload.records.think_ms";
    let think = length(FIELD, Some(message))?;
    if think.is_within(THINK_MS_MAX) {
        Ok(think)
    } else {
        Err(WireError::new(FIELD, format!("not 1 to {THINK_MS_MAX}")))
    }
}

fn shared_prefix(prefix: pb::SharedPrefix, input: &Length) -> Result<CacheMode, WireError> {
    let pb::SharedPrefix { tokens, groups, share_permille } = prefix;
    let prefix = SharedPrefix { tokens, groups, share_permille };
    if prefix.fits(input) {
        Ok(CacheMode::SharedPrefix(prefix))
    } else {
        let reason = "out of range, or too long for the shortest prompt";
        Err(WireError::new("workload.cache.shared_prefix", reason))
    }
}

impl From<&Length> for pb::Length {
    fn from(length: &Length) -> Self {
        use pb::length::{Law, Lognormal, Normal, Range, Values};
        let range = |bounds: Bounds| Some(Range { least: bounds.least, most: bounds.most });
        let law = match length {
            Length::Fixed(tokens) => Law::Fixed(*tokens),
            Length::Uniform { least, most } => Law::Uniform(Range { least: *least, most: *most }),
            Length::Normal { mean, sd, bounds } => {
                Law::Normal(Normal { mean: *mean, sd: *sd, bounds: range(*bounds) })
            }
            Length::Lognormal { median, sigma_milli, bounds } => Law::Lognormal(Lognormal {
                median: *median,
                sigma_milli: *sigma_milli,
                bounds: range(*bounds),
            }),
            Length::Values(values) => Law::Values(Values { tokens: values.clone() }),
            // A mix sends the lengths of its workloads, and no law of its own.
            Length::Mixed(_) => return Self { law: None },
        };
        Self { law: Some(law) }
    }
}

pub(super) fn length(
    field: &'static str,
    message: Option<pb::Length>,
) -> Result<Length, WireError> {
    use pb::length::{Law, Range};
    let bounds = |range: Option<Range>| {
        let Range { least, most } = required(field, range)?;
        Ok::<_, WireError>(Bounds { least, most })
    };
    let length = match required(field, required(field, message)?.law)? {
        Law::Fixed(tokens) => Length::Fixed(tokens),
        Law::Uniform(Range { least, most }) => Length::Uniform { least, most },
        Law::Normal(normal) => {
            Length::Normal { mean: normal.mean, sd: normal.sd, bounds: bounds(normal.bounds)? }
        }
        Law::Lognormal(lognormal) => Length::Lognormal {
            median: lognormal.median,
            sigma_milli: lognormal.sigma_milli,
            bounds: bounds(lognormal.bounds)?,
        },
        Law::Values(values) => Length::Values(values.tokens),
    };
    if length.is_within(TOKENS_MAX) {
        Ok(length)
    } else {
        Err(WireError::new(field, format!("not from 1 to {TOKENS_MAX} tokens, or no law")))
    }
}
