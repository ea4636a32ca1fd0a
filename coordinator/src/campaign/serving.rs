//! What serves the model: the table `serving`. What may be a secret is refused, unseen.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::raw::{Collector, Value};
use super::read::{Field, Section};
use crate::serving::{Serving, Sut, holds_user_info, is_secret_flag, is_secret_variable};

/// Bytes of a stated text.
const TEXT_BYTES_MAX: usize = 512;
/// Flags, variables or dimensions.
const ITEMS_MAX: usize = 256;
const COUNT_MAX: u64 = 1_000_000_000;
const PARAMS_B: RangeInclusive<f64> = 1e-6..=1e6;
const BYTES_PER_PARAM: RangeInclusive<f64> = 0.01..=16.0;

/// The table `serving`; `None` if there was any problem with it.
pub(super) fn read_serving(field: Option<Field<'_>>, c: &mut Collector<'_>) -> Option<Serving> {
    let Some(field) = field else {
        return Some(Serving::default());
    };
    let section = Section::open(&field, &Serving::KEYS, c)?;
    let sut = read(&section, "sut", c, |field, c| field.word(&Sut::ALL.map(|s| (s.name(), s)), c));
    let moe = read(&section, "moe", c, |field, c| field.boolean(c));
    let dimensions = read(&section, "dimensions", c, read_dimensions);
    let params_b = read(&section, "params_b", c, |field, c| field.number(PARAMS_B, c));
    let bytes_per_param =
        read(&section, "bytes_per_param", c, |field, c| field.number(BYTES_PER_PARAM, c));
    let flags = read(&section, "flags", c, read_flags);
    let env = read(&section, "env", c, read_env);
    let mut text = |key: &str| read(&section, key, c, read_text);
    let between = text("between");
    let engine = text("engine");
    let engine_version = text("engine_version");
    let image_digest = text("image_digest");
    let gpu = text("gpu");
    let gpu_arch = text("gpu_arch");
    let driver = text("driver");
    let weights_revision = text("weights_revision");
    let tokenizer_revision = text("tokenizer_revision");
    let chat_template_digest = text("chat_template_digest");
    let precision = text("precision");
    let quantization = text("quantization");
    let kv_cache_dtype = text("kv_cache_dtype");
    let kv_offload = text("kv_offload");
    let attention = text("attention");
    let mut count = |key: &str| read(&section, key, c, |field, c| field.integer(1..=COUNT_MAX, c));
    let gpu_count = count("gpu_count");
    let block_size = count("block_size");
    let tensor_parallel = count("tensor_parallel");
    let heads = count("heads");
    let max_num_seqs = count("max_num_seqs");
    let max_num_batched_tokens = count("max_num_batched_tokens");
    let max_model_len = count("max_model_len");
    Some(Serving {
        sut: sut?,
        between: between?,
        engine: engine?,
        engine_version: engine_version?,
        image_digest: image_digest?,
        gpu: gpu?,
        gpu_arch: gpu_arch?,
        gpu_count: gpu_count?,
        driver: driver?,
        weights_revision: weights_revision?,
        tokenizer_revision: tokenizer_revision?,
        chat_template_digest: chat_template_digest?,
        precision: precision?,
        quantization: quantization?,
        kv_cache_dtype: kv_cache_dtype?,
        kv_offload: kv_offload?,
        block_size: block_size?,
        tensor_parallel: tensor_parallel?,
        attention: attention?,
        heads: heads?,
        moe: moe?,
        dimensions: dimensions?,
        params_b: params_b?,
        bytes_per_param: bytes_per_param?,
        max_num_seqs: max_num_seqs?,
        max_num_batched_tokens: max_num_batched_tokens?,
        max_model_len: max_model_len?,
        flags: flags?,
        env: env?,
    })
}

/// What `key` states, if it is there; the outer `None` for a problem.
fn read<T>(
    section: &Section<'_>,
    key: &str,
    c: &mut Collector<'_>,
    one: impl FnOnce(&Field<'_>, &mut Collector<'_>) -> Option<T>,
) -> Option<Option<T>> {
    match section.get(key) {
        Some(field) => one(&field, c).map(Some),
        None => Some(None),
    }
}

fn read_text(field: &Field<'_>, c: &mut Collector<'_>) -> Option<String> {
    if let Value::Text(text) = &field.node.value
        && holds_user_info(text)
    {
        let what = "holds a URL with a name or password in it, and what is stated here is stored \
                    with the result: leave that out";
        return field.refuse_unseen(c, what);
    }
    field.line(TEXT_BYTES_MAX, c).map(str::to_owned)
}

fn read_list<T>(
    field: &Field<'_>,
    c: &mut Collector<'_>,
    one: impl Fn(&Field<'_>, &mut Collector<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let Value::List(_) = &field.node.value else {
        return field.refuse_unseen(c, "must be a list");
    };
    let items = field.items();
    if items.len() > ITEMS_MAX {
        return field.refuse(c, format!("must have at most {ITEMS_MAX} items"));
    }
    let read: Vec<Option<T>> = items.iter().map(|item| one(item, c)).collect();
    read.into_iter().collect()
}

fn read_dimensions(field: &Field<'_>, c: &mut Collector<'_>) -> Option<Vec<u64>> {
    read_list(field, c, |item, c| item.integer(1..=COUNT_MAX, c))
}

fn read_flags(field: &Field<'_>, c: &mut Collector<'_>) -> Option<Vec<String>> {
    read_list(field, c, |item, c| {
        let Value::Text(flag) = &item.node.value else {
            return item.refuse_unseen(c, "must be a string, such as \"--block-size 1\"");
        };
        if is_secret_flag(flag) || holds_user_info(flag) {
            let what = "its value may be a secret, and what is stated here is stored with the \
                        result: leave this flag out";
            return item.refuse_unseen(c, what);
        }
        read_text(item, c)
    })
}

fn read_env(field: &Field<'_>, c: &mut Collector<'_>) -> Option<BTreeMap<String, String>> {
    let Value::Table(_) = &field.node.value else {
        return field.refuse_unseen(c, "must be a table: { NAME = \"value\" }");
    };
    let section = Section::open_any(field, c)?;
    let mut env = BTreeMap::new();
    let mut fine = true;
    for (name, _, field) in section.entries() {
        let value = if is_secret_variable(name) {
            let what = "a variable of this name may hold a secret, and what is stated here is \
                        stored with the result: leave it out";
            field.refuse_unseen(c, what)
        } else if name.is_empty() || name.len() > TEXT_BYTES_MAX || !name.chars().all(is_of_name) {
            field.refuse_unseen(c, "must be the name of an environment variable")
        } else {
            // What is set to nothing is set.
            read_value(&field, c)
        };
        match value {
            Some(value) => drop(env.insert(name.to_owned(), value)),
            None => fine = false,
        }
    }
    if env.len() > ITEMS_MAX {
        return field.refuse(c, format!("must have at most {ITEMS_MAX} variables"));
    }
    fine.then_some(env)
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn read_value(field: &Field<'_>, c: &mut Collector<'_>) -> Option<String> {
    match &field.node.value {
        Value::Text(text) if text.is_empty() => Some(String::new()),
        Value::Text(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime
        | Value::List(_)
        | Value::Table(_) => read_text(field, c),
    }
}

#[cfg(test)]
mod tests;
