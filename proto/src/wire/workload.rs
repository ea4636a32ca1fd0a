//! The workload of a level on the wire, both ways.

use common::length::{Bounds, Length};
use common::workload::{CacheMode, GROUPS_MAX, OWN_TOKENS_MIN, SharedPrefix, TOKENS_MAX, Workload};

use super::from::{name, required};
use crate::generated as pb;
use crate::wire::WireError;

impl From<&Workload> for pb::Workload {
    fn from(workload: &Workload) -> Self {
        use pb::workload::Cache;
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
        }
    }
}

impl TryFrom<pb::Workload> for Workload {
    type Error = WireError;

    fn try_from(message: pb::Workload) -> Result<Self, WireError> {
        use pb::workload::Cache;
        let input_tokens = length("workload.input_tokens", message.input_tokens)?;
        let cache = match required("workload.cache", message.cache)? {
            Cache::Cold(_) => CacheMode::Cold,
            Cache::SharedPrefix(prefix) => shared_prefix(prefix, &input_tokens)?,
            Cache::Replay(_) => CacheMode::Replay,
        };
        Ok(Self {
            name: name("workload.name", &message.name)?,
            input_tokens,
            output_tokens: match message.output_tokens {
                Some(pb::Length { law: Some(pb::length::Law::Fixed(0)) }) => Length::NONE,
                output => length("workload.output_tokens", output)?,
            },
            forced_length: message.forced_length,
            cache,
        })
    }
}

fn shared_prefix(prefix: pb::SharedPrefix, input: &Length) -> Result<CacheMode, WireError> {
    let pb::SharedPrefix { tokens, groups, share_permille } = prefix;
    let refuse = |reason: &str| Err(WireError::new("workload.cache.shared_prefix", reason));
    if tokens == 0 || tokens.saturating_add(OWN_TOKENS_MIN) > input.least() {
        return refuse("no tokens, or too many for the shortest prompt");
    }
    if !(1..=GROUPS_MAX).contains(&groups) || !(1..=1000).contains(&share_permille) {
        return refuse("groups or share out of range");
    }
    Ok(CacheMode::SharedPrefix(SharedPrefix { tokens, groups, share_permille }))
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
        };
        Self { law: Some(law) }
    }
}

fn length(field: &'static str, message: Option<pb::Length>) -> Result<Length, WireError> {
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
