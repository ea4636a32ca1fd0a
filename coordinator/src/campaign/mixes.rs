//! Weighted choices among requests: the models of a workload, and workloads that are mixes of
//! others.

use common::choice::check_slices;
use common::ids::Name;
use common::mix::{MIX_MAX, MODELS_MAX, MixError, WEIGHT_MAX, Weighted};
use common::target::Target;
use common::workload::Workload;

use super::data::Plans;
use super::parse::{MODEL_BYTES_MAX, Workloads};
use super::raw::{Collector, Origin};
use super::read::{Field, Section, suggestion};
use super::text::quoted;

/// The key that makes a workload a mix.
const MIX: &str = "mix";

/// The models of a workload: names, each with a weight.
pub(super) fn read_models(
    field: &Field<'_>,
    c: &mut Collector<'_>,
) -> Option<Vec<Weighted<String>>> {
    let section = Section::open_any(field, c)?;
    let models: Vec<Option<Weighted<String>>> = section
        .entries()
        .map(|(model, origin, field)| {
            let weight = field.count(WEIGHT_MAX, c);
            let is_name = (1..=MODEL_BYTES_MAX).contains(&model.len());
            if !is_name || model.chars().any(char::is_control) {
                let what = format!(
                    "a model's name has 1 to {MODEL_BYTES_MAX} bytes and no control character"
                );
                return c.add(origin, &field.key, None, what);
            }
            Some(Weighted { item: model.to_owned(), weight: weight? })
        })
        .collect();
    let models = models.into_iter().collect::<Option<Vec<_>>>()?;
    if (1..=MODELS_MAX).contains(&models.len()) {
        return Some(models);
    }
    let what = format!(
        "must name 1 to {MODELS_MAX} models, each with a weight: {{ \"base\" = 3, \"lora-a\" = 1 }}"
    );
    field.refuse(c, what)
}

/// Whether the table of a workload says that it is a mix.
pub(super) fn is_mix(field: &Field<'_>) -> bool {
    field.node.table().is_some_and(|table| table.contains_key(MIX))
}

/// Adds the mixes in the table of all workloads to those that are none, and checks that no workload
/// has requests of too many kinds.
pub(super) fn add_mixes(
    field: &Field<'_>,
    (mut workloads, data): (Workloads, &Plans),
    target: Option<&Target>,
    c: &mut Collector<'_>,
) -> Workloads {
    // What is no table is refused where the others are read.
    let Some(_) = field.node.table() else { return workloads };
    let Some(section) = Section::open_any(field, c) else { return workloads };
    let mixes: Workloads = section
        .entries()
        .filter(|(_, _, field)| is_mix(field))
        .map(|(key, origin, field)| {
            let name = match key.parse::<Name>() {
                Ok(name) => Some(name),
                Err(error) => c.add(origin, &field.key, None, error.to_string()),
            };
            (key.to_owned(), read_mix(name, &field, (&workloads, data), c))
        })
        .collect();
    workloads.extend(mixes);
    for (key, _, field) in section.entries() {
        if let (Some(Some(workload)), Some(target)) = (workloads.get(key), target)
            && let Err(error) = check_slices(workload, target)
        {
            c.add::<()>(&field.node.origin, &field.key, None, error.to_string());
        }
    }
    workloads
}

fn read_mix(
    name: Option<Name>,
    field: &Field<'_>,
    (plain, data): (&Workloads, &Plans),
    c: &mut Collector<'_>,
) -> Option<Workload> {
    let section = Section::open_any(field, c)?;
    for (key, origin, field) in section.entries() {
        if key != MIX && field.node.origin != Origin::Implied {
            let what = "a mix has nothing of its own but the weights of its workloads, which say \
                        the rest; leave this out";
            c.add::<()>(origin, &field.key, None, what);
        }
    }
    let field = section.get(MIX)?;
    let weights = Section::open_any(&field, c)?;
    let known: Vec<&str> = plain.keys().map(String::as_str).collect();
    let parts: Vec<Option<Weighted<Workload>>> = weights
        .entries()
        .map(|(key, origin, field)| {
            let weight = field.count(WEIGHT_MAX, c);
            if data.keys().any(|name| name.as_str() == key) {
                let what = "has a data set, and a mix is made of workloads without one; load them \
                            by levels of their own";
                return field.refuse(c, what);
            }
            match plain.get(key) {
                Some(workload) => Some(Weighted { item: workload.clone()?, weight: weight? }),
                None => {
                    let near = suggestion(key, &known);
                    let what = format!(
                        "no such workload, or a mix itself;{near} a mix is made of: {}",
                        known.join(", ")
                    );
                    c.add(origin, &field.key, None, what)
                }
            }
        })
        .collect();
    let parts = parts.into_iter().collect::<Option<Vec<_>>>()?;
    match Workload::mixed(name?, parts) {
        Ok(workload) => Some(workload),
        Err(MixError::Count { .. }) => {
            let what = format!(
                "must have 2 to {MIX_MAX} workloads, each with a weight: {{ \"chat\" = 3, \
                 \"long\" = 1 }}"
            );
            field.refuse(c, what)
        }
        Err(
            error @ (MixError::Weight(_)
            | MixError::Twice(_)
            | MixError::Nested(_)
            | MixError::Brought(_)),
        ) => field.refuse(c, error.to_string()),
    }
}

/// The models of a workload as their key is written; nothing where it has none.
pub(super) fn models_line(workload: &Workload) -> Option<String> {
    let weights = workload.models.iter().map(|one| (one.item.as_str(), one.weight));
    (!workload.models.is_empty()).then(|| format!("models = {}", table(weights)))
}

/// What a mix says as its key is written; `None` for a workload that is none.
pub(super) fn mix_line(workload: &Workload) -> Option<String> {
    let weights = workload.mix.iter().map(|one| (one.item.name.as_str(), one.weight));
    (!workload.mix.is_empty()).then(|| format!("{MIX} = {}", table(weights)))
}

fn table<'a>(weights: impl Iterator<Item = (&'a str, u32)>) -> String {
    let weights = weights.map(|(name, weight)| format!("{} = {weight}", quoted(name)));
    format!("{{ {} }}", weights.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests;
