//! The models of a workload and the workloads of a mix, as parts of a text in a column.

use common::mix::{MIX_MAX, Weighted, check_models};
use common::workload::Workload;
use serde::{Deserialize, Serialize};

use super::lengths::{StoredLength, StoredPrefix, cache_of, lengths_of};
use super::more::More;

/// A model and its weight.
#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredModel {
    name: String,
    weight: u32,
}

/// A workload of a mix and its weight.
#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredPart {
    name: String,
    weight: u32,
    input: StoredLength,
    output: StoredLength,
    forced_length: bool,
    cache: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shared_prefix: Option<StoredPrefix>,
    #[serde(default, skip_serializing_if = "More::is_empty")]
    more: More,
}

/// The models of a workload.
pub(super) fn models(workload: &Workload) -> Vec<StoredModel> {
    let models = workload.models.iter();
    models.map(|one| StoredModel { name: one.item.clone(), weight: one.weight }).collect()
}

/// Those that were stored; `None` if they make no sense.
pub(super) fn models_of(stored: Vec<StoredModel>) -> Option<Vec<Weighted<String>>> {
    let models = stored.into_iter().map(|one| Weighted { item: one.name, weight: one.weight });
    let models: Vec<_> = models.collect();
    check_models(&models).is_ok().then_some(models)
}

/// The workloads of a mix.
pub(super) fn mix(workload: &Workload) -> Vec<StoredPart> {
    let parts = workload.mix.iter().filter_map(|one| {
        let workload = &one.item;
        Some(StoredPart {
            name: workload.name.to_string(),
            weight: one.weight,
            input: StoredLength::of(&workload.input_tokens)?,
            output: StoredLength::of(&workload.output_tokens)?,
            forced_length: workload.forced_length,
            cache: workload.cache.name().to_owned(),
            shared_prefix: StoredPrefix::of(workload.cache),
            more: More::of(workload),
        })
    });
    parts.collect()
}

/// The mix that was stored under a name; `None` if it makes no sense.
pub(super) fn mix_of(whole: &Workload, stored: Vec<StoredPart>) -> Option<Workload> {
    let parts = stored.into_iter().take(MIX_MAX + 1).map(|part| {
        let (input, output) = lengths_of(part.input, part.output)?;
        let prefix = part.shared_prefix.map(Into::into);
        let cache = cache_of(&part.cache, prefix, &input)?;
        let plain = Workload {
            forced_length: part.forced_length,
            cache,
            ..Workload::new(part.name.parse().ok()?, input, output)
        };
        // A mix in a mix is refused below, and deeper ones by the reader's own limit.
        Some(Weighted { item: part.more.on(plain)?, weight: part.weight })
    });
    let parts = parts.collect::<Option<Vec<_>>>()?;
    Workload::mixed(whole.name.clone(), parts).ok()
}
